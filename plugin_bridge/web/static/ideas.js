// For the first visit, and whenever ideas are wanted: clips to press that sound at once, prompts to begin with, and
// the words that the checkpoint has learned.

import { button, el, notify } from "./dom.js";
import { addWord, setPrompt } from "./deck.js";
import { form } from "./form.js";
import { gridOf } from "./grid.js";
import { anyRuns, runActions } from "./runs.js";
import { load, player } from "./sound.js";
import { Wave } from "./wave.js";

const root = document.getElementById("ideas");
const TITLES = { styles: "Styles", parts: "Parts", instruments: "Sounds" };
const FOLDED_AT = 12;
let demos = [];

form.addEventListener("described", draw);
form.addEventListener("change", pressChips);
form.addEventListener("filled", pressChips);
runActions.changed = () => root.classList.toggle("after", anyRuns());

function draw() {
  const { examples = [], words = {}, demos: clips = [] } = form.description;
  for (const demo of demos) if (player.owner === demo) player.stop();
  demos = clips.map((clip) => new Demo(clip));
  const parts = [];
  if (demos.length) parts.push(el("section.demos", { "aria-label": "examples to hear" }, ...demos.map((demo) => demo.node)));
  if (examples.length) parts.push(el("section.begin", {}, el("h2", {}, "Begin with"), el("div.chips", {}, ...examples.map(example))));
  const rows = Object.entries(TITLES).filter(([name]) => words[name]?.length);
  for (const [name, title] of rows) parts.push(el("section", {}, el("h2", {}, title), wordChips(words[name])));
  root.replaceChildren(el("p.lead", {}, "Say what you want to hear, in words. Press ▶ to hear what comes of three prompts."), ...parts);
  root.firstChild.hidden = !demos.length;
  pressChips();
}

class Demo {
  constructor(clip) {
    this.name = clip.title;
    this.grid = gridOf({ signature: "4/4", ...clip });
    this.url = clip.url;
    this.play = button("▶", `Play ${clip.title}`, () => this.toggle(), "play");
    this.wave = new Wave({ selectable: false, numbered: false, label: `waveform of ${clip.title}` });
    this.wave.show(null, this.grid);
    this.wave.onseek = (time_s) => this.start(time_s);
    const use = button("Use this prompt", clip.prompt, () => setPrompt(clip.prompt), "small");
    const line = el("div.line", {}, el("strong", {}, clip.title), el("span", {}, `${clip.bpm} bpm`), el("span", {}, clip.key || "no key"));
    this.node = el("article.demo", { "aria-label": clip.title }, el("header", {}, this.play, line), this.wave.canvas, el("footer", {}, el("p.said", {}, clip.prompt), use));
    this.loading = load(this.url).then((buffer) => {
      this.buffer = buffer;
      this.wave.show(buffer, this.grid);
      this.node.dataset.samples = buffer.length;
    }).catch(notify);
    player.addEventListener("change", () => this.#follow());
  }

  toggle() {
    return player.owner === this ? player.stop() : this.start();
  }

  async start(from_s = null) {
    await this.loading;
    if (this.buffer) await player.play(this, { buffer: this.buffer, grid: this.grid, range: null, name: this.name }, from_s);
  }

  #follow() {
    const playing = player.owner === this;
    this.play.textContent = playing ? "■" : "▶";
    this.node.classList.toggle("playing", playing);
    const step = () => {
      this.wave.moveHead(player.owner === this ? player.position() : null);
      if (player.owner === this) requestAnimationFrame(step);
    };
    step();
  }
}

function example({ title, prompt, settings = {} }) {
  return button(title || prompt, prompt, () => form.fill({ values: { ...form.values, parts: "", ...settings, prompt }, adapters: form.adapters, ...picked() }), "chip");
}

const picked = () => ({ reference: form.sources.reference.kept(), context: form.sources.context.kept() });

function word(text) {
  const chip = button(text, `Add “${text}” to the prompt, or take it out`, () => addWord(text), "chip word");
  chip.dataset.word = text;
  return chip;
}

// A long row is folded: its first words show what it is about.
function wordChips(list) {
  const row = el("div.chips.words", {}, ...list.map(word));
  if (list.length <= FOLDED_AT) return row;
  row.classList.add("folded");
  const all = button(`All ${list.length}`, "", () => {
    row.classList.remove("folded");
    row.children[FOLDED_AT].focus();
    all.remove();
  }, "chip all");
  row.append(all);
  return row;
}

function pressChips() {
  const said = new Set(String(form.values.prompt ?? "").toLowerCase().split(",").map((one) => one.trim()));
  for (const chip of root.querySelectorAll("[data-word]")) chip.setAttribute("aria-pressed", String(said.has(chip.dataset.word.toLowerCase())));
}
