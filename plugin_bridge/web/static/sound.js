// Decoding and playing: one thing plays at a time, as a loop without a gap, with a click track on request. It may have
// several voices, which begin at one moment and stay in phase.

import { getBytes } from "./api.js";
import { beatsOf } from "./grid.js";

const RATE_HZ = 48000; // the clips' own rate: nothing is resampled, a loop keeps its exact length
const KEPT = 24;
const AHEAD_S = 0.02;

let context = null;

export function audioContext() {
  context ??= new AudioContext({ sampleRate: RATE_HZ, latencyHint: "interactive" });
  return context;
}

const decoded = new Map(); // url → promise of an AudioBuffer, least recently used first

export function load(url) {
  const known = decoded.get(url);
  if (known) {
    decoded.delete(url);
    decoded.set(url, known);
    return known;
  }
  const promise = getBytes(url).then(decode);
  decoded.set(url, promise);
  promise.catch(() => decoded.delete(url));
  while (decoded.size > KEPT) decoded.delete(decoded.keys().next().value);
  return promise;
}

export const forget = (url) => decoded.delete(url);

export async function decode(bytes) {
  try {
    // An offline context decodes before the first click of the user, when a live one may not start yet.
    return await new OfflineAudioContext(2, 1, RATE_HZ).decodeAudioData(bytes);
  } catch {
    throw new Error("the browser cannot play this file: it is broken, or of a kind only the daemon reads");
  }
}

export function clickTrack(buffer, grid) {
  const clicks = new AudioBuffer({ length: buffer.length, sampleRate: buffer.sampleRate, numberOfChannels: 1 });
  if (!grid) return clicks;
  const samples = clicks.getChannelData(0);
  const length = Math.round(0.03 * buffer.sampleRate);
  for (const { time_s, downbeat } of beatsOf(grid, buffer.duration)) {
    const start = Math.round(time_s * buffer.sampleRate);
    const hz = downbeat ? 1760 : 1175;
    for (let i = 0; i < length && start + i < samples.length; i++) {
      const t = i / buffer.sampleRate;
      samples[start + i] = 0.5 * Math.exp(-t * 140) * Math.sin(2 * Math.PI * hz * t);
    }
  }
  return clicks;
}

// All sources loop over the same samples from the same moment, so they cannot drift apart.
export function startLoop(ctx, outputs, buffers, { when, from_s, loop }) {
  return buffers.map((buffer, i) => {
    const source = new AudioBufferSourceNode(ctx, { buffer, loop: Boolean(loop) });
    if (loop) [source.loopStart, source.loopEnd] = loop;
    source.connect(outputs[i]);
    source.start(when, from_s);
    return source;
  });
}

const samples = new Float32Array(2048);
const gainOf = (share) => share * share; // even steps for the ear

class Player extends EventTarget {
  owner = null; // who plays: any object, compared by identity
  click = localStorage.getItem("bridge-click") === "on";
  looping = localStorage.getItem("bridge-loop") !== "off";
  volume = Number(localStorage.getItem("bridge-volume") ?? 1);
  #sources = [];
  #start = { at: 0, from_s: 0 };
  #track = null;
  #graph = null;
  #gains = []; // of the voices

  #outputs() {
    const ctx = audioContext();
    if (!this.#graph) {
      const music = new GainNode(ctx);
      const clicks = new GainNode(ctx, { gain: this.click ? 1 : 0 });
      const volume = new GainNode(ctx, { gain: gainOf(this.volume), channelCount: 2, channelCountMode: "explicit" });
      const sides = new ChannelSplitterNode(ctx, { numberOfOutputs: 2 });
      const meters = [0, 1].map(() => new AnalyserNode(ctx, { fftSize: 2048 }));
      music.connect(volume);
      clicks.connect(volume);
      volume.connect(ctx.destination);
      volume.connect(sides);
      meters.forEach((meter, side) => sides.connect(meter, side));
      this.#graph = { meters, music, clicks, volume };
    }
    return this.#graph;
  }

  // track: { buffer, grid, range: [start_s, end_s] | null, voices: [{ buffer, gain }] where it has several }
  async play(owner, track, from_s = null) {
    const ctx = audioContext();
    if (ctx.state === "suspended") await ctx.resume();
    const begin = from_s ?? (this.owner && this.owner !== owner ? this.position() : null);
    this.#silence();
    const { buffer } = track;
    const [low, high] = track.range ?? [0, buffer.duration];
    let from = begin ?? low;
    if (!(from >= low && from < high)) from = low;
    const { music, clicks } = this.#outputs();
    const when = ctx.currentTime + AHEAD_S;
    const loop = this.looping ? [low, high] : null;
    const voices = track.voices ?? [{ buffer, gain: 1 }];
    this.#gains = voices.map(({ gain }) => new GainNode(ctx, { gain }));
    for (const gain of this.#gains) gain.connect(music);
    const click = clickTrack(buffer, track.grid);
    this.#sources = startLoop(ctx, [...this.#gains, clicks], [...voices.map((one) => one.buffer), click], { when, from_s: from, loop });
    if (!loop) {
      const sources = this.#sources;
      sources.at(-1).onended = () => sources === this.#sources && this.stop();
      if (high < buffer.duration) for (const source of sources) source.stop(when + high - from);
    }
    this.#start = { at: when, from_s: from };
    this.#track = { ...track, low, high };
    this.owner = owner;
    this.dispatchEvent(new Event("change"));
  }

  stop() {
    this.#silence();
    this.owner = null;
    this.#track = null;
    this.dispatchEvent(new Event("change"));
  }

  #silence() {
    const sources = this.#sources;
    this.#sources = [];
    for (const gain of this.#gains) gain.disconnect();
    this.#gains = [];
    for (const source of sources) {
      source.onended = null;
      source.stop();
      source.disconnect();
    }
  }

  // Seconds into the playing track, as heard now; 0 when nothing plays.
  position() {
    if (!this.#track) return 0;
    const ctx = audioContext();
    const { low, high } = this.#track;
    const passed = Math.max(0, ctx.currentTime - (ctx.outputLatency || 0) - this.#start.at);
    const at = this.#start.from_s + passed;
    return this.looping ? low + ((at - low) % (high - low)) : Math.min(at, high);
  }

  // How loud each voice of what `owner` plays is from now on.
  balance(owner, gains) {
    if (this.owner !== owner) return;
    this.#gains.forEach((node, i) => node.gain.setTargetAtTime(gains[i], audioContext().currentTime, 0.008));
    this.#track.voices.forEach((voice, i) => (voice.gain = gains[i]));
  }

  setClick(on) {
    this.click = on;
    localStorage.setItem("bridge-click", on ? "on" : "off");
    if (this.#graph) this.#graph.clicks.gain.value = on ? 1 : 0;
    this.dispatchEvent(new Event("change"));
  }

  setLooping(on) {
    this.looping = on;
    localStorage.setItem("bridge-loop", on ? "on" : "off");
    if (this.owner) this.play(this.owner, this.#track, this.position());
    this.dispatchEvent(new Event("change"));
  }

  setVolume(share) {
    this.volume = share;
    localStorage.setItem("bridge-volume", String(share));
    if (this.#graph) this.#graph.volume.gain.value = gainOf(share);
    this.dispatchEvent(new Event("change"));
  }

  // The track that plays: { buffer, grid, low, high }.
  get track() {
    return this.#track;
  }

  // The loudest sample of the last moment, left and right: what really goes out.
  levels() {
    if (!this.#graph) return [0, 0];
    return this.#graph.meters.map((meter) => {
      meter.getFloatTimeDomainData(samples);
      return samples.reduce((loudest, sample) => Math.max(loudest, Math.abs(sample)), 0);
    });
  }

  level() {
    return Math.max(...this.levels());
  }
}

export const player = new Player();
