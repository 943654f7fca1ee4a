// Audio to imitate or to fit to: a file, a recording, or a clip of the library, with a range picked on its waveform.

import { BridgeError, button, el, mount, notify, query, send } from "./api.js";
import { audioUrl } from "./card.js";
import { gridOf } from "./grid.js";
import { decode, load, player } from "./sound.js";
import { Wave } from "./wave.js";

export const pickerActions = { library: null, cleared: null };

class Picker {
  #blob = null; // kept, because a daemon that was restarted has forgotten the upload
  #recorder = null;
  path = "";
  name = "";

  constructor(role, title, hint) {
    this.role = role;
    this.input = el("input", { type: "file", accept: "audio/*,.wav,.aif,.aiff,.flac,.mp3,.ogg", hidden: true });
    this.input.dataset.role = role;
    this.input.onchange = () => {
      const file = this.input.files[0];
      this.input.value = "";
      if (file) this.take(file, file.name).catch(notify);
    };
    this.wave = new Wave({ label: `waveform of the ${role}` });
    this.wave.onseek = (time_s) => this.buffer && this.#play(time_s);
    this.wave.onselect = () => this.#drawLabel();
    this.record = button("● Record", "Record from the microphone", () => this.#toggleRecording(), "small");
    this.play = button("▶", "Play", () => (player.owner === this ? player.stop() : this.#play()), "small");
    this.clear = button("×", "Remove", () => { this.reset(); pickerActions.cleared(role); }, "small");
    this.label = el("span.name", {}, hint);
    this.hint = hint;
    this.node = el("div.picker", {},
      el("div.tools", {}, el("strong", {}, title), button("File…", "Choose an audio file, or drop one here", () => this.input.click(), "small"),
        button("Library…", "Choose a clip in the library", () => pickerActions.library(role), "small"), this.record, this.play, this.clear), this.label, this.wave.canvas, this.input);
    this.node.dataset.role = role;
    this.node.addEventListener("dragover", (event) => event.preventDefault());
    this.node.addEventListener("drop", (event) => {
      event.preventDefault();
      const file = event.dataTransfer.files[0];
      if (file) this.take(file, file.name).catch(notify);
    });
    player.addEventListener("change", () => this.#follow());
    this.#drawState();
    mount(role, this.node);
  }

  // A file or recording: shown at once, sent to the daemon, which says whether it can read it.
  async take(blob, name) {
    this.reset();
    this.label.textContent = `${name}: sending…`;
    try {
      const uploaded = await this.#upload(blob, name);
      this.path = uploaded.path;
      this.duration_s = uploaded.duration_s;
    } catch (error) {
      this.reset();
      throw new BridgeError(error.reason, `${name}: ${error.message}`);
    }
    this.#blob = blob;
    this.name = name;
    this.#drawLabel();
    this.#drawState();
    try {
      this.buffer = await decode(await blob.arrayBuffer());
      this.wave.show(this.buffer, null);
    } catch {
      this.label.textContent += " (the daemon reads it, the browser cannot draw it)";
    }
    this.#drawState();
  }

  #upload(blob, name) {
    return send(`/bridge/upload?${query({ name })}`, blob);
  }

  async takeClip(clip, range = null) {
    this.reset();
    this.path = clip.path;
    this.name = clip.name;
    this.buffer = await load(audioUrl(clip));
    this.duration_s = this.buffer.duration;
    this.wave.show(this.buffer, gridOf(clip));
    this.wave.select(range);
    this.#drawState();
  }

  // What an earlier request used: { path, start_s, end_s } or nothing. A file outside the library is only named.
  // Of a repaint, the range shown is what was made anew, and the part of the file it lies in is kept.
  async takeRequested(audio, repaint_s = null) {
    this.reset();
    if (!audio?.path) return;
    this.path = audio.path;
    this.name = audio.path.replace(/^.*[\\/]/, "");
    const url = audioUrl(audio);
    this.buffer = await load(url).catch(() => null);
    this.duration_s = this.buffer?.duration;
    if (this.buffer) this.wave.show(this.buffer, null);
    const start_s = audio.start_s ?? 0;
    if (repaint_s) {
      this.part = [start_s, audio.end_s ?? null];
      this.wave.range = repaint_s.map((time_s) => start_s + time_s);
    } else if (start_s || audio.end_s) {
      this.wave.range = [start_s, audio.end_s ?? this.duration_s ?? null];
    }
    this.wave.draw();
    this.#drawLabel();
    this.#drawState();
  }

  reset() {
    if (player.owner === this) player.stop();
    this.#blob = null;
    this.path = this.name = "";
    this.duration_s = undefined;
    this.buffer = null;
    this.part = null;
    this.wave.show(null, null);
    this.wave.range = null;
    this.label.textContent = this.hint;
    this.#drawState();
  }

  // After the daemon was restarted: what it had been given is given again.
  async renew() {
    if (this.#blob) this.path = (await this.#upload(this.#blob, this.name)).path;
  }

  value() {
    if (!this.path) return null;
    const [start_s, end_s] = this.wave.range ?? [0, null];
    return { path: this.path, start_s, end_s, part: this.part };
  }

  #drawLabel() {
    const range = this.wave.range;
    const part = range ? `${range[0].toFixed(2)}–${range[1]?.toFixed(2) ?? "end"} s of ` : "";
    const length = this.duration_s ? ` (${this.duration_s.toFixed(2)} s)` : "";
    this.label.textContent = this.name ? `${part}${this.name}${length}` : this.hint;
    if (player.owner === this) this.#play(player.position());
  }

  #drawState() {
    this.node.classList.toggle("filled", Boolean(this.path));
    this.play.hidden = !this.buffer;
    this.clear.hidden = !this.path;
  }

  #play(from_s = null) {
    return player.play(this, { buffer: this.buffer, grid: this.wave.grid, range: this.wave.range }, from_s);
  }

  #follow() {
    this.play.textContent = player.owner === this ? "■" : "▶";
    const step = () => {
      this.wave.moveHead(player.owner === this ? player.position() : null);
      if (player.owner === this) requestAnimationFrame(step);
    };
    step();
  }

  async #toggleRecording() {
    if (this.#recorder) {
      this.#recorder.stop();
      return;
    }
    if (!navigator.mediaDevices) throw new Error("the browser gives the microphone only to pages on this machine or by https");
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
      });
    } catch (error) {
      throw new Error(`the microphone cannot be used: ${error.message}`);
    }
    const pieces = [];
    const recorder = new MediaRecorder(stream);
    recorder.ondataavailable = (event) => pieces.push(event.data);
    recorder.onstop = async () => {
      this.#recorder = null;
      this.record.textContent = "● Record";
      for (const track of stream.getTracks()) track.stop();
      try {
        const buffer = await decode(await new Blob(pieces).arrayBuffer());
        await this.take(wav(buffer), "recording.wav");
      } catch (error) {
        notify(error);
      }
    };
    recorder.start();
    this.#recorder = recorder;
    this.record.textContent = "■ Stop";
  }
}

// 32-bit float WAV: the browser's own recording format is not one the daemon reads.
export function wav(buffer) {
  const channels = buffer.numberOfChannels;
  const bytes = buffer.length * channels * 4;
  const view = new DataView(new ArrayBuffer(44 + bytes));
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + bytes, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 3, true);
  view.setUint16(22, channels, true);
  view.setUint32(24, buffer.sampleRate, true);
  view.setUint32(28, buffer.sampleRate * channels * 4, true);
  view.setUint16(32, channels * 4, true);
  view.setUint16(34, 32, true);
  text(36, "data");
  view.setUint32(40, bytes, true);
  for (let c = 0; c < channels; c++) {
    const samples = buffer.getChannelData(c);
    for (let i = 0; i < samples.length; i++) view.setFloat32(44 + (i * channels + c) * 4, samples[i], true);
  }
  return new Blob([view], { type: "audio/wav" });
}

export const reference = new Picker("reference", "Reference", "imitate the sound of… (optional)");
export const context = new Picker("context", "Context", "fit to… (optional)");
