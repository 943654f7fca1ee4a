// Audio that the request takes up: a sound to imitate (reference) and audio to fit to (context). A file, a
// recording or a clip; a range is picked on its waveform.

import { BridgeError, query, send } from "./api.js";
import { button, el, entry, notify, plural, popup, seconds } from "./dom.js";
import { spoken } from "./figures.js";
import { form } from "./form.js";
import { gridOf } from "./grid.js";
import { isRecording, record, stopRecording } from "./recorder.js";
import { decode, load, player } from "./sound.js";
import { Wave } from "./wave.js";

export const audioUrl = (clip) => `/bridge/audio?${query({ clip: clip.path, ...(playable(clip.path) ? {} : { as: "wav" }) })}`;
const playable = (path) => !/\.aiff?$/i.test(path); // no browser but Safari decodes AIFF

export const sourceActions = { library: null };

class Source {
  #blob = null; // kept, because a daemon that was restarted has forgotten the upload
  #state = null; // { path, name, start_s, end_s, part, plus: what sounds together with it }

  constructor(role, { verb, label, hint, task }) {
    Object.assign(this, { role, task });
    this.input = el("input", { type: "file", accept: "audio/*,.wav,.aif,.aiff,.flac,.mp3,.ogg", hidden: true });
    this.input.dataset.role = role;
    this.input.onchange = () => {
      const file = this.input.files[0];
      this.input.value = "";
      if (file) this.take(file, file.name).catch(notify);
    };
    this.opener = button(`+ ${verb}`, hint, () => {}, "source");
    this.opener.dataset.role = role;
    const holder = el("span.holder", {}, this.opener, this.input);
    this.menu = popup(this.opener, () => [
      entry("A file…", "Choose an audio file; it can also be dropped on the page", () => this.input.click()),
      entry("A clip of the library…", "Choose a clip in the library", () => sourceActions.library(this)),
      entry("Record…", "Record from the microphone", () => this.#record()),
    ]);
    holder.append(this.menu);
    document.getElementById("source-buttons").append(holder);

    this.wave = new Wave({ label: `waveform of the ${role}: the range that is used`, numbered: false });
    this.wave.onseek = (time_s) => this.buffer && this.#play(time_s);
    this.wave.onselect = () => this.#selected();
    this.play = button("▶", `Play the ${role}`, () => (player.owner === this ? player.stop() : this.#play()), "small round");
    this.clear = button("×", `Take the ${role} away`, () => this.#cleared(), "small quiet");
    this.label = el("span.name");
    this.trouble = el("p.field-error", { hidden: true });
    this.node = el("div.picker", { hidden: true }, this.play, el("strong", {}, label), this.label, this.wave.canvas, this.clear, this.trouble);
    this.node.dataset.role = role;
    document.getElementById("sources").append(this.node);
    player.addEventListener("change", () => this.#follow());
    form.addEventListener("errors", () => this.#drawTrouble());
    form.sources[role] = this;
  }

  get name() {
    return this.#state?.name ?? "";
  }

  value() {
    if (!this.#state) return null;
    const { path, start_s, end_s, part, plus } = this.#state;
    return { path, start_s, end_s, ...(part ? { part } : {}), ...(plus.length ? { plus } : {}) };
  }

  kept() {
    return this.#state ? { ...this.#state } : null;
  }

  // A file or recording: sent to the daemon, which says whether it can read it.
  async take(blob, name) {
    form.mend(this.role);
    this.#set({ path: "", name: `${name} (sending…)`, start_s: 0, end_s: null });
    try {
      const uploaded = await this.#upload(blob, name);
      this.#blob = blob;
      this.#set({ path: uploaded.path, name, start_s: 0, end_s: null, duration_s: uploaded.duration_s });
    } catch (error) {
      this.#set(null);
      form.fail(this.role, `${name}: ${error.message}`);
      if (!(error instanceof BridgeError)) throw error;
      return;
    } finally {
      form.changed();
    }
    this.buffer = await decode(await blob.arrayBuffer()).catch(() => null); // the daemon reads more than browsers do
    this.#show(null);
  }

  #upload(blob, name) {
    return send(`/bridge/upload?${query({ name })}`, blob);
  }

  // { path, start_s, end_s, part }: of the library, of an earlier request, of before the reload; or nothing.
  async put(audio, { clip = null } = {}) {
    form.mend(this.role);
    this.#blob = audio && this.#blob && this.#state?.path === audio.path ? this.#blob : null;
    if (!audio?.path) {
      this.#set(null);
      return;
    }
    const plus = audio.plus ?? [];
    const name = audio.name || (plus.length ? plural(1 + plus.length, "clip") : spoken(audio.path.replace(/^.*[\\/]/, "")));
    this.#set({ path: audio.path, name, start_s: audio.start_s ?? 0, end_s: audio.end_s ?? null, part: audio.part ?? null, plus });
    this.buffer = await summed([audio, ...plus]);
    if (this.buffer && this.#state) this.#state.duration_s = this.buffer.duration;
    this.#show(clip && gridOf(clip));
  }

  // After the daemon was restarted: what it had been given is given again.
  async renew() {
    if (this.#blob && this.#state) this.#state.path = (await this.#upload(this.#blob, this.#state.name)).path;
  }

  #set(state) {
    if (player.owner === this) player.stop();
    this.#state = state && { plus: [], ...state };
    this.buffer = null;
    this.#show(null);
  }

  #show(grid) {
    const state = this.#state;
    const whole = !state || (!state.start_s && state.end_s === null);
    this.wave.range = whole ? null : [state.start_s, state.end_s ?? state.duration_s ?? state.start_s];
    this.wave.show(this.buffer, grid);
    this.play.hidden = this.wave.canvas.hidden = !this.buffer;
    this.node.hidden = !state && !form.errors.get(this.role);
    this.node.classList.toggle("filled", Boolean(state?.path));
    this.clear.hidden = !state;
    this.#label();
  }

  #label() {
    const state = this.#state;
    const range = this.wave.range;
    const part = range ? `${range[0].toFixed(2)}–${range[1].toFixed(2)} s of ` : "";
    const length = state?.duration_s ? ` · ${seconds(state.duration_s)}` : "";
    this.label.textContent = state ? `${part}${state.name}${length}` : "";
  }

  #selected() {
    const range = this.wave.range;
    const span = { start_s: range?.[0] ?? 0, end_s: range?.[1] ?? null };
    this.#state = { ...this.#state, ...span, plus: this.#state.plus.map((one) => ({ ...one, ...span })) };
    this.#label();
    form.changed();
    if (player.owner === this) this.#play(player.position());
  }

  // What needs a context goes with it: the next request is an ordinary one again.
  #cleared() {
    this.#set(null);
    if (this.role === "context" && form.values.task) {
      form.values.task = "";
      form.dispatchEvent(new Event("filled"));
    }
    form.changed();
  }

  #drawTrouble() {
    const said = form.errors.get(this.role) ?? "";
    this.trouble.textContent = said;
    this.trouble.hidden = !said;
    this.node.hidden = !this.#state && !said;
  }

  #play(from_s = null) {
    return player.play(this, { buffer: this.buffer, grid: this.wave.grid, range: this.wave.range, name: this.name }, from_s);
  }

  #follow() {
    const playing = player.owner === this;
    this.play.textContent = playing ? "■" : "▶";
    const step = () => {
      this.wave.moveHead(player.owner === this ? player.position() : null);
      if (player.owner === this) requestAnimationFrame(step);
    };
    step();
  }

  async #record() {
    if (isRecording()) return;
    const shown = this.opener.textContent;
    const bar = el("div.notice.recording", { role: "status" }, el("span", {}, "● Recording"), button("Stop", "Stop recording", stopRecording, "small primary"));
    try {
      const blob = await record(() => document.getElementById("notices").append(bar));
      await this.take(blob, "recording.wav");
    } finally {
      bar.remove();
      this.opener.textContent = shown;
    }
  }
}

// What is heard of files that sound together; nothing where one of them cannot be played here.
async function summed(files) {
  if (files.some(({ path }) => path.startsWith("upload:"))) return null;
  const buffers = await Promise.all(files.map((one) => load(audioUrl(one)))).catch(() => []);
  if (buffers.length < 2) return buffers[0] ?? null;
  const ctx = new OfflineAudioContext(2, Math.max(...buffers.map(({ length }) => length)), buffers[0].sampleRate);
  for (const buffer of buffers) {
    const source = new AudioBufferSourceNode(ctx, { buffer });
    source.connect(ctx.destination);
    source.start();
  }
  return ctx.startRendering();
}

export const reference = new Source("reference", { verb: "Imitate…", label: "Imitate", hint: "Imitate the sound of a file, a clip or a recording", task: "reference" });
export const context = new Source("context", { verb: "Fit to…", label: "Fit to", hint: "Make something that goes with a file, a clip or a recording", task: "context" });

const canContext = () => form.can("context") || ["complete", "lego", "cover", "repaint", "extract"].some((task) => form.can(task));

form.addEventListener("described", () => {
  reference.opener.hidden = !form.can("reference");
  context.opener.hidden = !canContext();
  for (const [role, audio] of Object.entries(form.kept ?? {})) if (audio?.path) form.sources[role].put(audio);
  form.kept = {};
});

// A file that is dropped anywhere: the half of the page says what it is for.
const veil = el("div.drop", { hidden: true },
  el("div", { "data-role": "reference" }, "Imitate this"), el("div", { "data-role": "context" }, "Fit to this"));
document.body.append(veil);
const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files") && !event.dataTransfer.types.includes("text/x-acestep-clip");

addEventListener("dragenter", (event) => {
  if (!hasFiles(event)) return;
  for (const half of veil.children) half.hidden = form.sources[half.dataset.role].opener.hidden;
  veil.hidden = [...veil.children].every((half) => half.hidden);
});
veil.addEventListener("dragover", (event) => event.preventDefault());
veil.addEventListener("dragleave", (event) => event.target === veil && !veil.contains(event.relatedTarget) && (veil.hidden = true));
veil.addEventListener("drop", (event) => {
  event.preventDefault();
  veil.hidden = true;
  const file = event.dataTransfer.files[0];
  const role = event.target.closest("[data-role]")?.dataset.role;
  if (file && role) form.sources[role].take(file, file.name).catch(notify);
});
addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
addEventListener("drop", (event) => hasFiles(event) && (event.preventDefault(), (veil.hidden = true)));
