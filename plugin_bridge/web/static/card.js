// One clip: waveform with bar grid, loop playback, its measured fit, and everything that can be done with it.

import { button, copy, el, get, notify, post, query, seconds } from "./api.js";
import { gridOf } from "./grid.js";
import { forget, load, player } from "./sound.js";
import { drawSpectrogram } from "./spectrum.js";
import { Wave } from "./wave.js";

export const audioUrl = (clip) => `/bridge/audio?${query({ clip: clip.path })}`;

// What the page as a whole offers to a card; filled in by main.js.
export const actions = { reference: null, context: null, repaint: null, again: null, can: () => true };

const shown = new Set(); // cards in the page, for the playhead and the keyboard
let current = null; // the card the space key plays

export const currentCard = () => (current && current.node.isConnected ? current : null) ?? firstCard();

function firstCard() {
  const node = [...document.querySelectorAll(".card")].find((one) => one.offsetParent !== null);
  return node?.card ?? null;
}

export class Card {
  constructor(clip, { title = "" } = {}) {
    this.clip = clip;
    this.wave = new Wave({ label: `waveform of ${clip.name}` });
    this.wave.show(null, gridOf(clip));
    this.node = el("article.card", { tabIndex: -1 });
    this.node.card = this;
    this.node.dataset.clip = clip.path;
    this.#draw(title);
    this.wave.onseek = (time_s) => this.play(time_s);
    this.wave.onselect = () => this.#selected();
    this.node.addEventListener("pointerdown", () => (current = this), true);
    shown.add(this);
    this.loading = this.#load();
  }

  async #load() {
    try {
      this.buffer = await load(audioUrl(this.clip));
      this.wave.show(this.buffer, gridOf(this.clip));
      this.node.dataset.samples = this.buffer.length;
      this.playButton.disabled = false;
    } catch (error) {
      this.trouble.textContent = error.message;
      this.trouble.hidden = false;
    }
  }

  #draw(title) {
    const { clip } = this;
    this.playButton = button("▶", "Play as a loop (space)", () => this.toggle(), "play");
    this.playButton.disabled = true;
    this.star = button("", "", () => this.#toggleStar(), "small star");
    this.#drawStar();
    this.trouble = el("p.trouble", { hidden: true });
    this.sheet = el("div.sheet", { hidden: true });
    this.selection = el("span.selection");
    const head = el("header", {}, this.playButton, el("div.what", {}, el("strong", {}, title || clip.prompt || clip.name), badges(clip)), this.star);
    this.node.replaceChildren(head, this.trouble, this.wave.canvas, this.#tools(), this.sheet);
  }

  #tools() {
    const { clip } = this;
    const range = () => this.wave.range;
    const more = el("details.more", {}, el("summary", {}, "More"));
    more.append(
      el("div.tools", {},
        button("Spectrogram", "Draw the spectrogram", () => this.#spectrogram(), "small"),
        button("Show in folder", "Open the folder in the file manager", () => post("/bridge/clips/reveal", { clip: clip.path }), "small"),
        button("Sidecar", "Show what is written beside the clip", () => this.#sidecar(), "small"),
        button("Copy path", clip.path, () => copy(clip.path), "small"),
        button("Delete", "Move to the trash; can be undone", () => trash(clip), "small danger"),
      ),
    );
    const repaint = button("Repaint", "Make the selected range anew", () => this.#repaint(), "small");
    repaint.dataset.task = "repaint";
    const download = el("a.b.small", { href: `${audioUrl(clip)}&download`, download: clip.name, title: "Download the file" }, "Download");
    return el("div.tools", {},
      button("Again", `Fill the form with this clip's request and seed ${clip.seed}`, () => actions.again(clip), "small"),
      button("More like this", "Use as reference: imitate this sound", () => actions.reference(clip, range()), "small"),
      button("Fit to this", "Use as context: make something that goes with it", () => actions.context(clip, range()), "small"),
      repaint, download, more, this.selection);
  }

  async toggle() {
    if (player.owner === this) player.stop();
    else await this.play();
  }

  async play(from_s = null) {
    await this.loading;
    if (!this.buffer) return;
    current = this;
    await player.play(this, { buffer: this.buffer, grid: gridOf(this.clip), range: this.wave.range }, from_s);
  }

  #selected() {
    const range = this.wave.range;
    this.selection.textContent = range ? `${range[0].toFixed(2)}–${range[1].toFixed(2)} s` : "";
    if (player.owner === this) this.play(player.position());
  }

  #repaint() {
    if (!actions.can("repaint")) throw new Error("the loaded checkpoint cannot repaint: choose another cascade");
    if (!this.wave.range) throw new Error("drag over the waveform first: the selected range is made anew");
    return actions.repaint(this.clip, this.wave.range);
  }

  async #spectrogram() {
    const old = this.sheet.querySelector("canvas");
    this.sheet.replaceChildren();
    this.sheet.hidden = Boolean(old);
    if (old) return;
    await this.loading;
    const canvas = el("canvas.spectrogram");
    this.sheet.append(canvas);
    drawSpectrogram(canvas, this.buffer);
  }

  async #sidecar() {
    const old = this.sheet.querySelector("pre");
    this.sheet.replaceChildren();
    this.sheet.hidden = Boolean(old);
    if (old) return;
    const told = await get(`/bridge/sidecar?${query({ clip: this.clip.path })}`);
    this.sheet.append(el("pre", {}, JSON.stringify(told, null, 2)));
  }

  async #toggleStar() {
    this.update(await post("/bridge/clips/star", { clip: this.clip.path, starred: !this.clip.starred }));
  }

  #drawStar() {
    this.star.textContent = this.clip.starred ? "★" : "☆";
    this.star.title = this.clip.starred ? "Take the star away" : "Star";
    this.star.setAttribute("aria-pressed", String(this.clip.starred));
  }

  update(clip) {
    this.clip = clip;
    this.#drawStar();
  }

  remove() {
    if (player.owner === this) player.stop();
    shown.delete(this);
    this.node.remove();
  }
}

export function badges(clip) {
  const row = el("div.badges");
  const add = (text, title = "", kind = "") => row.append(el("span.badge" + (kind && "." + kind), { title }, text));
  add(`${round(clip.bpm)} bpm`);
  add(clip.signature);
  add(clip.key || "no key", clip.key ? "" : "unpitched, or the key was left open");
  add(`${round(clip.bars)} bars`, `${clip.samples} samples at ${clip.sample_rate_hz} Hz`);
  add(seconds(clip.duration_s));
  if (clip.tempo_error_pct !== null) {
    add(`tempo ${signed(clip.tempo_error_pct)} %`, "measured before it was brought to the grid", Math.abs(clip.tempo_error_pct) <= 0.5 ? "good" : "warn");
  }
  if (clip.downbeat_error_ms !== null) add(`downbeat ${signed(clip.downbeat_error_ms)} ms`, "measured", Math.abs(clip.downbeat_error_ms) <= 25 ? "good" : "warn");
  if (clip.key_match !== null) add(clip.key_match === "other" ? "other key" : clip.key_match, "how the notes that are heard go with the key that was asked for", clip.key_match === "other" ? "warn" : "good");
  if (clip.lufs !== null) add(`${round(clip.lufs)} LUFS`, "integrated loudness");
  if (clip.fit) add(`fit: ${clip.fit}`, "", clip.fit === "poor" ? "warn" : clip.fit === "good" ? "good" : "");
  for (const [name, scale] of clip.adapters) add(`${name} × ${round(scale)}`, "adapter");
  add(`seed ${clip.seed}`);
  return row;
}

const round = (value) => String(Math.round(value * 100) / 100);
const signed = (value) => Math.abs(value) < 0.005 ? "0" : (value > 0 ? "+" : "") + value.toFixed(2);

export async function trash(clip) {
  const gone = await post("/bridge/clips/trash", { clip: clip.path });
  notify(`${clip.name} is in the trash.`, { text: "Undo", run: () => post("/bridge/clips/restore", { clip: gone.path }) });
}

// What the daemon tells of a clip changes every card of it, in every tab.
export function onLibrary({ action, was, clip }) {
  for (const card of [...shown]) {
    if (card.clip.path !== was) continue;
    if (action === "trash" || (action === "restore" && card.clip.trashed)) {
      forget(audioUrl(card.clip));
      card.remove();
    } else {
      card.update(clip);
    }
  }
}

function follow() {
  for (const card of shown) card.wave.moveHead(player.owner === card ? player.position() : null);
  if (player.owner) requestAnimationFrame(follow);
}

player.addEventListener("change", () => {
  for (const card of shown) {
    card.playButton.textContent = player.owner === card ? "■" : "▶";
    card.node.classList.toggle("playing", player.owner === card);
  }
  follow();
});
