// An idea as one entry: its parts as a small mixer on one clock. Mute, solo and level of each, the mix as heard as a
// file, each part dragged alone, made anew while the others stay, or added.

import { get, post, query } from "./api.js";
import { joined, left } from "./clip.js";
import { actions, audioUrl, draggable, menu, note, star } from "./cliptools.js";
import { button, el, newId, notify, popup, round } from "./dom.js";
import { badge, key, spelt, stem, tempo } from "./figures.js";
import { form } from "./form.js";
import { gridOf } from "./grid.js";
import { tab } from "./live.js";
import { partsText, readParts } from "./parts.js";
import { forget, load, player } from "./sound.js";
import { show } from "./views.js";
import { wav } from "./wavfile.js";
import { Wave } from "./wave.js";

export const MIX = "mix";
const LOWEST_DB = -40; // here a fader is off
const HIGHEST_DB = 6;
const HIGHEST_PEAK = 0.89; // −1 dB, as a mix from the daemon has it
const share = (db) => (db <= LOWEST_DB ? 0 : 10 ** (db / 20));
const decibels = (db) => (db <= LOWEST_DB ? "off" : `${db > 0 ? "+" : ""}${round(db, 1).replace("-", "−")} dB`);

// The clips of an idea that count, by part, in the usual order of parts: of two for one part the later one.
export function latest(clips) {
  const found = new Map();
  for (const clip of [...clips].sort((a, b) => a.created.localeCompare(b.created))) if (!clip.trashed) found.set(clip.part, clip);
  const usual = form.description?.supports?.parts ?? [];
  const place = (part) => (usual.includes(part) ? usual.indexOf(part) : usual.length);
  return new Map([...found].sort(([a], [b]) => place(a) - place(b)));
}

// The loudest sample of all together.
function peakOfSum(buffers) {
  let peak = 1e-6;
  for (const side of [0, 1]) {
    const sum = new Float32Array(Math.max(0, ...buffers.map(({ length }) => length)));
    for (const buffer of buffers) buffer.getChannelData(Math.min(side, buffer.numberOfChannels - 1)).forEach((sample, i) => (sum[i] += sample));
    peak = sum.reduce((top, one) => Math.max(top, Math.abs(one)), peak);
  }
  return peak;
}

class Lane {
  clip = null;
  buffer = null;
  muted = false;
  soloed = false;
  db = 0;

  constructor(mixer, part) {
    Object.assign(this, { mixer, part });
    const called = spelt(part);
    this.wave = new Wave({ numbered: false, filled: true, label: `waveform of ${called}` });
    this.wave.onseek = (time_s) => mixer.play(time_s);
    this.wave.onselect = (range) => mixer.select(range);
    this.mute = button("M", `Mute ${called}`, () => this.#press("muted", this.mute), "small toggle");
    this.solo = button("S", `Solo ${called}`, () => this.#press("soloed", this.solo), "small toggle");
    this.fader = el("input", { type: "range", min: LOWEST_DB, max: HIGHEST_DB, step: 0.5, value: 0, title: "Level; a double click brings it back to 0 dB", "aria-label": `Level of ${called}` });
    this.shown = el("output", {}, "0 dB");
    this.fader.addEventListener("input", () => this.#level(Number(this.fader.value)));
    this.fader.addEventListener("dblclick", () => this.#level(0));
    this.line = el("span.part-name", {}, el("strong", {}, called));
    this.facts = el("span.lane-tools");
    this.node = el("li.lane", {}, this.line, el("span.lane-mix", {}, this.mute, this.solo, this.fader, this.shown), this.wave.canvas, this.facts);
    this.node.dataset.part = part;
    for (const node of [this.mute, this.solo]) node.setAttribute("aria-pressed", "false");
    this.#level(0);
    this.said("");
  }

  #press(what, node) {
    this[what] = !this[what];
    node.setAttribute("aria-pressed", String(this[what]));
    this.mixer.balance();
  }

  #level(db) {
    this.db = db;
    this.fader.value = db;
    this.shown.textContent = decibels(db);
    this.fader.setAttribute("aria-valuetext", decibels(db));
    this.mixer.balance();
  }

  put(clip) {
    const same = this.clip?.path === clip.path;
    this.clip = clip;
    this.node.dataset.clip = clip.path;
    this.line.title = `${clip.name}: drag it into the DAW or a folder`;
    if (!this.line.draggable) draggable(this.line, () => this.clip);
    this.said("");
    if (!same) this.loading = this.#load(clip);
  }

  empty() {
    this.clip = this.buffer = null;
    delete this.node.dataset.clip;
    delete this.node.dataset.samples;
  }

  async #load(clip) {
    try {
      const buffer = await load(audioUrl(clip));
      if (this.clip?.path !== clip.path) return; // another one has come
      this.buffer = buffer;
      this.node.dataset.samples = buffer.length;
      this.wave.show(buffer, gridOf(clip));
      this.mixer.renewed();
    } catch (error) {
      this.said(error.message);
    }
  }

  // What is being made of it, or what is wrong; else what can be done with it.
  said(text) {
    this.node.classList.toggle("waiting", !this.clip);
    if (text || !this.clip) {
      this.facts.replaceChildren(el("span.soft", {}, text || "waits for its turn"));
      return;
    }
    const notes = note(() => this.clip);
    const anew = button("↻", `Make ${spelt(this.part)} anew; the others stay`, () => {}, "quiet");
    const box = popup(anew, () => [this.mixer.wordsOf(this.part, anew)], { kind: "asking" });
    this.facts.replaceChildren(badge(this.clip), notes, el("span.holder", {}, anew, box), menu(() => this.clip, { update: (clip) => this.put(clip) }));
  }
}

export class Mixer {
  lanes = new Map();
  mix = null; // the clip of all parts together
  #trim = 1; // so that all parts at 0 dB do not clip
  #joined = false;

  // `within`: it stands under its run's prompt, and need not say it again.
  constructor(idea, { title = "", within = false } = {}) {
    Object.assign(this, { idea, title, within });
    this.playButton = button("▶", "Play all parts as a loop (space)", () => this.toggle(), "play");
    this.line = el("div.line", {}, el("strong", {}, within ? "Mix" : title || "Idea"));
    this.badge = el("span");
    this.list = el("ul.lanes", { "aria-label": "parts" });
    this.head = el("header", {}, this.playButton, this.line, this.badge);
    this.tools = el("div.tools", { hidden: true }, ...this.#tools());
    this.node = el("article.card.idea", { tabIndex: -1, "aria-label": `idea: ${title || idea}` }, this.head, this.list, this.tools);
    this.node.dataset.idea = idea;
    this.playButton.disabled = true;
    joined(this);
  }

  #tools() {
    this.adding = button("+ Part", "Add a part that fits to these", () => {}, "small");
    const box = popup(this.adding, () => [this.#adds()], { kind: "asking" });
    const fit = button("Fit to this", "Make something that goes with what sounds now", () => this.#fit(), "small");
    const like = button("More like this", "Same request, this sound, other seeds", () => actions.reference(this.clip, null), "small");
    fit.hidden = !actions.can("context");
    like.hidden = !actions.can("reference");
    return [
      el("span.holder", {}, this.adding, box),
      like,
      fit,
      button("Save this mix", "The mix as you hear it now, as a file", () => this.save(), "small"),
    ];
  }

  get name() {
    return this.title || this.mix?.prompt || this.clip?.prompt || "Idea";
  }

  get clip() {
    return this.mix ?? [...this.lanes.values()].find((lane) => lane.clip)?.clip ?? null;
  }

  // Parts that are to come, in their order.
  expect(names, grid) {
    for (const name of names) {
      const lane = this.#lane(name);
      if (!lane.clip && !lane.wave.grid) lane.wave.show(null, grid);
    }
  }

  #lane(part) {
    let lane = this.lanes.get(part);
    if (!lane) {
      lane = new Lane(this, part);
      this.lanes.set(part, lane);
      this.list.append(lane.node);
      this.lanes.values().next().value.wave.numbered = true;
    }
    return lane;
  }

  put(clip) {
    if (clip.part === MIX) {
      if (this.mix && this.mix.created > clip.created) return; // of two the later one
      this.mix = clip;
    } else {
      const lane = this.#lane(clip.part);
      if (!lane.clip || lane.clip.created <= clip.created) lane.put(clip);
    }
    this.#draw();
  }

  #draw() {
    const { clip, mix } = this;
    this.line.replaceChildren(el("strong", {}, this.within ? "Mix" : this.name), el("span", {}, tempo(clip)), el("span", {}, key(clip)));
    this.tools.hidden = false;
    if (!mix) return;
    if (!this.line.draggable) draggable(this.line, () => this.mix);
    this.line.title = `${mix.name}: drag the mix into the DAW or a folder; each part by its name`;
    this.head.replaceChildren(this.playButton, this.line, badge(mix), note(() => this.mix), star(() => this.mix, (one) => this.put(one)), menu(() => this.mix, { update: (one) => this.put(one) }));
  }

  // Those that are in the library already.
  async load() {
    for (const clip of latest(await get(`/bridge/clips?${query({ idea: this.idea, limit: 500 })}`)).values()) this.put(clip);
  }

  said(part, text) {
    this.lanes.get(part)?.said(text);
  }

  // A part that was asked for and did not come.
  missed(part) {
    const lane = this.lanes.get(part);
    if (!lane || lane.clip) return lane?.said("");
    lane.said("was not made");
    if (this.clip) lane.facts.append(button("Make it", `Make ${spelt(part)} for this idea`, async () => this.#ask({ parts: partsText([{ name: part, words: (await this.#words()).get(part) ?? "" }]) }), "small"));
  }

  preview(part, buffer, grid) {
    const lane = this.#lane(part);
    if (!lane.clip) lane.wave.show(buffer, grid);
  }

  #sounding() {
    const lanes = [...this.lanes.values()].filter((lane) => lane.buffer);
    const soloed = lanes.filter((lane) => lane.soloed);
    return (soloed.length ? soloed : lanes).filter((lane) => !lane.muted && share(lane.db) > 0);
  }

  #voices() {
    const heard = new Set(this.#sounding());
    return [...this.lanes.values()].filter((lane) => lane.buffer).map((lane) => ({ lane, buffer: lane.buffer, gain: heard.has(lane) ? share(lane.db) * this.#trim : 0 }));
  }

  balance() {
    const voices = this.#voices();
    for (const lane of this.lanes.values()) lane.node.classList.toggle("silent", Boolean(lane.buffer) && !voices.some((one) => one.lane === lane && one.gain));
    player.balance(this, voices.map((one) => one.gain));
  }

  // A part has come, or is another one now: it joins what plays.
  renewed() {
    this.playButton.disabled = false;
    this.#trim = Math.min(1, HIGHEST_PEAK / peakOfSum([...this.lanes.values()].flatMap(({ buffer }) => buffer ?? [])));
    this.balance();
    if (player.owner === this) this.play(player.position());
  }

  toggle() {
    return player.owner === this ? player.stop() : this.play();
  }

  async play(from_s = null) {
    const voices = this.#voices();
    if (!voices.length) return;
    const { buffer } = voices.reduce((longest, one) => (one.buffer.length > longest.buffer.length ? one : longest));
    await player.play(this, { buffer, voices, grid: gridOf(this.clip), range: this.range ?? null, name: this.name }, from_s);
  }

  select(range) {
    this.range = range;
    for (const { wave } of this.lanes.values()) if (wave.range !== range) {
      wave.range = range;
      wave.draw();
    }
    if (player.owner === this) this.play(player.position());
  }

  moveHead(at_s) {
    for (const { wave } of this.lanes.values()) wave.moveHead(at_s);
  }

  // The mix as it is heard now: levels, mutes and solos, over the whole length, sample by sample.
  async mixed() {
    const voices = this.#voices().filter((one) => one.gain);
    if (!voices.length) throw new Error("nothing sounds: take a mute away, or turn a level up");
    const ctx = new OfflineAudioContext(2, Math.max(...voices.map((one) => one.buffer.length)), voices[0].buffer.sampleRate);
    for (const { buffer, gain } of voices) {
      const source = new AudioBufferSourceNode(ctx, { buffer });
      source.connect(new GainNode(ctx, { gain })).connect(ctx.destination);
      source.start();
    }
    return ctx.startRendering();
  }

  async save() {
    const buffer = await this.mixed();
    const name = `${stem(this.clip).replace(/_[a-z_]+$/, "")}_own-mix.wav`;
    const url = URL.createObjectURL(wav(buffer, gridOf(this.clip)));
    el("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    const loudest = peakOfSum([buffer]);
    const peak = decibels(20 * Math.log10(loudest));
    notify(loudest > 1 ? `${name}: its peak is ${peak}. Nothing is lost in the file; turn it down in the DAW.` : `${name}: its peak is ${peak}.`);
  }

  // The part's own words, to change them or not.
  wordsOf(part, opener) {
    const input = el("input", { type: "text", id: newId("words"), autocomplete: "off", placeholder: "as the prompt says" });
    const send = async () => {
      opener.nextElementSibling.hidePopover();
      await this.#ask({ redo: partsText([{ name: part, words: input.value }]) });
    };
    this.#words().then((known) => (input.value ||= known.get(part) ?? ""), () => {});
    input.addEventListener("keydown", (event) => event.key === "Enter" && send().catch(notify));
    return el("div.asked", {}, el("label.label", { for: input.id }, `Words for ${spelt(part)}`), input, button("Make it anew", "The other parts stay", send, "small primary"));
  }

  async #words() {
    const told = await get(`/bridge/sidecar?${query({ clip: this.clip.path })}`);
    return new Map(readParts(told.idea?.request?.parts).map(({ name, words }) => [name, words]));
  }

  #fit() {
    const clips = this.#sounding().map((lane) => lane.clip);
    if (!clips.length) throw new Error("nothing sounds: take a mute away, or turn a level up");
    return actions.together(clips);
  }

  #adds() {
    const known = (form.description?.supports?.parts ?? []).filter((name) => !this.lanes.get(name)?.clip);
    const input = el("input", { type: "text", id: newId("words"), autocomplete: "off", placeholder: "words for it, if you like" });
    const add = (name) => async () => {
      this.adding.nextElementSibling.hidePopover();
      await this.#ask({ parts: partsText([{ name, words: input.value }]) });
    };
    return el("div.asked", {}, el("label.label", { for: input.id }, "Which part, and what it should sound like"), input, el("div.chips", {}, ...known.map((name) => button(spelt(name), `Add ${spelt(name)}`, add(name), "chip"))));
  }

  async #ask(values) {
    await post("/bridge/generate", { tab, values: { ...values, idea: this.idea, midi_out: Boolean(form.values.midi_out || this.clip?.midi) } });
    show("takes"); // where it is seen in the making
  }

  told({ action, was, clip }) {
    if (action === "restore" && clip.idea === this.idea) return void this.load().catch(notify);
    const lane = [...this.lanes.values()].find((one) => one.clip?.path === was);
    const isMix = this.mix?.path === was;
    if (!lane && !isMix) return;
    if (action !== "trash") {
      if (lane) lane.put(clip);
      else this.mix = clip;
      this.#draw();
      return;
    }
    forget(audioUrl(lane?.clip ?? this.mix));
    if (isMix) this.mix = null;
    this.#without(lane).catch(notify);
  }

  // An earlier one of that part counts again, where there is one.
  async #without(lane) {
    lane?.empty();
    this.renewed();
    await this.load();
    if (lane && !lane.clip) {
      this.lanes.delete(lane.part);
      lane.node.remove();
    }
    if (!this.lanes.size) this.remove();
  }

  remove() {
    left(this);
  }
}
