// One clip, large: its waveform with the bar grid, played as a loop, what was measured, and what can be done with it.

import { actions, audioUrl, draggable, menu, note, star } from "./cliptools.js";
import { button, el, entry } from "./dom.js";
import { badge, key, tempo, title, titleInRun } from "./figures.js";
import { barAt, gridOf } from "./grid.js";
import { forget, load, player } from "./sound.js";
import { drawSpectrogram } from "./spectrum.js";
import { Wave } from "./wave.js";

const shown = new Set(); // cards in the page, for the playhead and the keyboard
let current = null; // the card the space key plays

export function currentCard() {
  return current?.node.isConnected ? current : cardsInSight()[0] ?? null;
}

// The cards in sight, in order: what up and down go through.
export const cardsInSight = () => [...document.querySelectorAll(".card:is([data-clip], [data-idea])")].filter((one) => one.offsetParent).map((one) => one.card);

// Puts a card among those that the keyboard and the playhead know. It has `node`, `playButton`, `name`, toggle(),
// play(), moveHead() and told().
export function joined(card) {
  card.node.card = card;
  card.node.addEventListener("pointerdown", () => (current = card), true);
  card.node.addEventListener("focusin", () => player.owner || (current = card));
  shown.add(card);
}

export function left(card) {
  if (player.owner === card) player.stop();
  shown.delete(card);
  card.node.remove();
}

export class Card {
  // `within`: it stands under its run's prompt, and need not say it again.
  constructor(clip, { within = false } = {}) {
    Object.assign(this, { clip, within });
    this.wave = new Wave({ label: `waveform of ${clip.name}` });
    this.wave.show(null, gridOf(clip));
    this.node = el("article.card", { tabIndex: -1, "aria-label": clip.name });
    this.#draw();
    this.wave.onseek = (time_s) => this.play(time_s);
    this.wave.onselect = () => this.#selected();
    joined(this);
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

  #draw() {
    this.playButton = button("▶", "Play as a loop (space)", () => this.toggle(), "play");
    this.playButton.disabled = true;
    this.line = el("div.line");
    this.star = star(() => this.clip, (clip) => this.update(clip));
    this.trouble = el("p.trouble", { hidden: true });
    this.sheet = el("div.sheet", { hidden: true });
    this.selection = el("span.selection", { role: "status" });
    this.badge = el("span");
    this.note = note(() => this.clip);
    draggable(this.line, () => this.clip);
    const head = el("header", {}, this.playButton, this.line, this.badge, this.note, this.star,
      menu(() => this.clip, { update: (clip) => this.update(clip), more: () => [entry("Spectrogram", "Draw the spectrogram", () => this.#spectrogram())] }));
    this.node.replaceChildren(head, this.trouble, this.wave.canvas, this.#tools(), this.sheet);
    this.update(this.clip);
  }

  #tools() {
    const range = () => this.wave.range;
    this.repaint = button("Make this part anew", "The selected range is made anew, the rest stays", () => actions.repaint(this.clip, range()), "small");
    this.repaint.hidden = true;
    const reference = button("More like this", "Same request, this sound, other seeds", () => actions.reference(this.clip, range()), "small");
    const context = button("Fit to this", "Make something that goes with it", () => actions.context(this.clip, range()), "small");
    reference.dataset.needs = "reference";
    context.dataset.needs = "context";
    this.needs = [reference, context];
    return el("div.tools", {}, reference, context, button("Again", "The clip's own request, seed and all", () => actions.again(this.clip), "small"), this.repaint, this.selection);
  }

  async toggle() {
    if (player.owner === this) player.stop();
    else await this.play();
  }

  async play(from_s = null) {
    await this.loading;
    if (!this.buffer) return;
    current = this;
    await player.play(this, { buffer: this.buffer, grid: gridOf(this.clip), range: this.wave.range, name: title(this.clip) }, from_s);
  }

  #selected() {
    const range = this.wave.range;
    const grid = gridOf(this.clip);
    this.selection.textContent = !range ? "" : grid ? `${barAt(grid, range[0])} – ${barAt(grid, range[1])}` : `${range[0].toFixed(2)}–${range[1].toFixed(2)} s`;
    this.repaint.hidden = !range || !actions.can("repaint");
    if (player.owner === this) this.play(player.position());
  }

  async #spectrogram() {
    const old = this.sheet.querySelector("canvas");
    this.sheet.replaceChildren();
    this.sheet.hidden = Boolean(old);
    if (old) return;
    await this.loading;
    const canvas = el("canvas.spectrogram", { role: "img", "aria-label": `spectrogram of ${this.clip.name}` });
    this.sheet.append(canvas);
    drawSpectrogram(canvas, this.buffer);
  }

  update(clip) {
    this.clip = clip;
    this.node.dataset.clip = clip.path;
    this.node.setAttribute("aria-label", clip.name);
    const facts = [el("strong", {}, this.within ? titleInRun(clip) : title(clip)), el("span", {}, tempo(clip)), el("span", {}, key(clip))];
    const tags = (clip.tags ?? []).map((one) => el("span.tag", {}, one));
    this.line.replaceChildren(...facts, ...tags);
    this.line.title = `${clip.name}: drag it into the DAW or a folder`;
    this.badge.replaceChildren(badge(clip));
    this.star.draw();
    this.note.draw();
    for (const one of this.needs ?? []) one.hidden = !actions.can(one.dataset.needs) || (one.dataset.needs === "context" && !clip.bpm); // nothing lies on the grid of a one-shot
  }

  get name() {
    return this.clip.name;
  }

  moveHead(at_s) {
    this.wave.moveHead(at_s);
  }

  told({ action, was, clip }) {
    if (this.clip.path !== was) return;
    if (action === "trash" || (action === "restore" && this.clip.trashed)) {
      forget(audioUrl(this.clip));
      this.remove();
    } else {
      this.update(clip);
    }
  }

  remove() {
    left(this);
  }
}

// What the daemon tells of a clip changes every card of it, in every tab.
export function onLibrary(message) {
  for (const card of [...shown]) card.told(message);
}

function follow() {
  for (const card of shown) card.moveHead(player.owner === card ? player.position() : null);
  if (player.owner) requestAnimationFrame(follow);
}

player.addEventListener("change", () => {
  for (const card of shown) {
    const playing = player.owner === card;
    card.playButton.textContent = playing ? "■" : "▶";
    card.playButton.setAttribute("aria-label", playing ? `Stop ${card.name}` : `Play ${card.name} as a loop (space)`);
    card.node.classList.toggle("playing", playing);
  }
  follow();
});
