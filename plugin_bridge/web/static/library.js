// All clips of the samples folder as rows with waveforms: search is the daemon's; filtering, sorting and grouping are
// done here, at once, over what it found.

import { get, query } from "./api.js";
import { Card } from "./clip.js";
import { actions, audioUrl, draggable, menu, note, star } from "./cliptools.js";
import { button, el, notify, plural, round } from "./dom.js";
import { key, spelt, tempo, title } from "./figures.js";
import { active, chips, fits, onFiltered } from "./filters.js";
import { gridOf } from "./grid.js";
import { MIX, Mixer, latest } from "./mixer.js";
import { summary } from "./peaks.js";
import { load, player } from "./sound.js";
import { onShown, view } from "./views.js";
import { Wave } from "./wave.js";

const PAGE = 60;
const MOST = 5000;
const FITS = ["good", "single", "unsure", "untouched", "unmeasured", "off", "poor"];
const text = (name) => (one, other) => one[name].localeCompare(other[name], undefined, { numeric: true });
const ORDERS = {
  newest: ["Newest first", (one, other) => other.created.localeCompare(one.created)],
  oldest: ["Oldest first", text("created")],
  name: ["Name", text("name")],
  tempo: ["Tempo", (one, other) => one.bpm - other.bpm],
  key: ["Key", (one, other) => (one.key || "~").localeCompare(other.key || "~")],
  length: ["Length", (one, other) => one.duration_s - other.duration_s],
  fit: ["Best fit", (one, other) => FITS.indexOf(one.fit) - FITS.indexOf(other.fit)],
};

const words = el("input", { type: "search", placeholder: "Words of prompt or name", id: "library-words", "aria-label": "search" });
const order = el("select", { id: "library-order", "aria-label": "sorted by" }, ...Object.entries(ORDERS).map(([name, [title]]) => el("option", { value: name }, title)));
const grouped = button("By request", "Put clips of one request together", () => {
  press(!(grouped.getAttribute("aria-pressed") === "true"));
  draw();
}, "small toggle");
const selecting = button("Select", "Choose several clips, to make something that fits to all of them", () => select(selecting.getAttribute("aria-pressed") !== "true"), "small toggle");
const together = button("", "Make something that goes with all of them, heard together", () => actions.together(selected()), "small primary");
const count = el("span.soft", { role: "status", id: "library-count" });
const rows = el("ul.rows", { "aria-label": "clips" });
const more = button("Show more", "", () => { room += PAGE; draw(); }, "small");
const press = (on) => grouped.setAttribute("aria-pressed", String(on));

let found = [];
let asked = 0;
let due = null;
let up = false;
let room = PAGE;

press(false);
selecting.setAttribute("aria-pressed", "false");
together.hidden = true;
document.getElementById("library").append(el("div.finder", {}, words, order, grouped, selecting, together, count), chips, rows, more);
words.addEventListener("input", () => searchSoon(180));
order.addEventListener("input", draw);
onFiltered(() => (active().trashed !== wasTrash ? searchSoon(0) : draw()));
onShown("library", () => searchSoon(0));
let wasTrash = false;

export function searchSoon(delay_ms = 60) {
  clearTimeout(due);
  due = setTimeout(() => search().catch(notify), delay_ms);
}

// When the view is opened, when clips come or change, and when the daemon is back.
async function search() {
  if (view() !== "library" || !up) return;
  const number = ++asked;
  wasTrash = active().trashed;
  const values = { limit: MOST };
  if (words.value.trim()) values.words = words.value.trim();
  if (wasTrash) values.trashed = "true";
  const clips = await get(`/bridge/clips?${query(values)}`);
  if (number !== asked) return; // a later search is on its way
  found = clips;
  draw();
}

function draw() {
  const ideas = ideasOf(active().trashed ? [] : found);
  const earlier = new Set(found.filter((clip) => ideas.has(clip.idea) && ideas.get(clip.idea).get(clip.part) !== clip));
  chips.draw(found, earlier.size);
  const matching = found.filter((clip) => fits(clip) && earlier.has(clip) === active().earlier);
  count.textContent = `${plural(matching.length, "clip")}${active().trashed ? " in the trash" : ""}`;
  const fitting = entries(matching, ideas).sort(({ clip: one }, { clip: other }) => ORDERS[order.value][1](one, other));
  const shown = fitting.slice(0, room);
  more.hidden = shown.length >= fitting.length;
  const wanted = grouped.getAttribute("aria-pressed") === "true" ? byRequest(shown) : shown.map(rowOf);
  if (!shown.length) wanted.push(el("li.soft", {}, empty()));
  settle(wanted);
}

// Each idea's id → the clips that count, by part. Others of it are earlier ones, which were made anew.
function ideasOf(clips) {
  const ideas = new Map();
  for (const clip of clips.filter(({ idea }) => idea)) ideas.set(clip.idea, [...(ideas.get(clip.idea) ?? []), clip]);
  return new Map([...ideas].map(([idea, own]) => [idea, latest(own)]));
}

// What stands in the list: each clip, and each idea once, with its parts in it.
function entries(clips, ideas) {
  const listed = [];
  const done = new Set();
  for (const clip of clips) {
    const parts = ideas.get(clip.idea);
    if (!parts || parts.size < 2 || parts.get(clip.part) !== clip) listed.push({ clip, parts: null });
    else if (!done.has(clip.idea)) {
      done.add(clip.idea);
      listed.push({ clip: parts.get(MIX) ?? clip, parts });
    }
  }
  return listed;
}

function empty() {
  if (found.length) return "No clip has all of that: take a filter away.";
  if (active().trashed) return "The trash is empty.";
  return words.value.trim() ? "No clip has these words in its prompt or name." : "No clips yet. Those of every job land here, whoever asked for them.";
}

function byRequest(listed) {
  const groups = new Map();
  for (const one of listed) {
    const job = one.clip.job || one.clip.path;
    groups.set(job, [...(groups.get(job) ?? []), one]);
  }
  return [...groups.values()].flatMap((own) => [heading(own), ...own.map(rowOf)]);
}

function heading(own) {
  const [{ clip, parts }] = own;
  return el("li.group", {}, el("strong", {}, clip.prompt || "(no prompt)"), el("span.soft", {}, `${parts ? "an idea" : plural(own.length, "take")} · ${when(clip)}`));
}

// The time of day; before today also the date.
function when({ created }) {
  const date = new Date(created);
  if (Number.isNaN(date.getTime())) return "";
  const today = date.toDateString() === new Date().toDateString();
  return today ? date.toLocaleTimeString([], { timeStyle: "short" }) : date.toLocaleString([], { dateStyle: "short", timeStyle: "short" });
}

// A row whose clip is as it was stays in the page untouched: it may be under the pointer or have the focus.
function settle(wanted) {
  const staying = new Set(wanted);
  for (const node of [...rows.children]) if (!staying.has(node)) drop(node);
  wanted.forEach((node, place) => {
    if (rows.children[place] !== node) rows.insertBefore(node, rows.children[place] ?? null);
  });
}

function drop(node) {
  if (node.row && player.owner === node.row) player.stop();
  node.row?.card?.remove();
  if (node.row) known.delete(node.row.id);
  node.remove();
}

const known = new Map(); // id → Row
const idOf = ({ clip, parts }) => (parts ? `idea ${clip.idea}` : clip.path);

function rowOf(entry) {
  const id = idOf(entry);
  const row = known.get(id) ?? new Row(entry);
  row.id = id;
  known.set(id, row);
  row.update(entry.clip, entry.parts);
  return row.node;
}

function select(on) {
  selecting.setAttribute("aria-pressed", String(on));
  rows.classList.toggle("selecting", on);
  if (!on) for (const row of known.values()) row.box.checked = false;
  saySelected();
}

const selected = () => [...rows.children].filter(({ row }) => row?.box.checked).map(({ row }) => row.clip);

function saySelected() {
  const chosen = selected();
  together.hidden = !chosen.length || !actions.can("context");
  together.textContent = chosen.length === 1 ? "Fit to this one" : `Fit to these ${chosen.length}`;
}

const nearing = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) if (isIntersecting) target.row.load();
}, { rootMargin: "200px" });

class Row {
  constructor({ clip, parts }) {
    Object.assign(this, { clip, parts });
    this.drawn = "";
    this.wave = new Wave({ selectable: false, numbered: false, label: `waveform of ${clip.name}` });
    this.wave.show(null, gridOf(clip));
    this.wave.onseek = (time_s) => this.play(time_s);
    this.playButton = button("▶", `Play ${clip.name}`, () => (player.owner === this ? player.stop() : this.play()), "play");
    this.open = button("", "Large, with everything that can be done with it", () => this.#expand(), "open");
    this.open.setAttribute("aria-expanded", "false");
    this.facts = el("span.facts");
    this.star = star(() => this.clip, (changed) => this.update(changed));
    this.note = note(() => this.clip);
    this.box = el("input.pick", { type: "checkbox", onchange: saySelected });
    this.node = el("li.row", {}, el("div.line", {}, this.box, this.playButton, this.wave.canvas, this.open, this.facts, this.note, this.star, menu(() => this.clip, { update: (changed) => this.update(changed) })));
    this.node.row = this;
    draggable(this.open, () => this.clip);
    nearing.observe(this.node);
  }

  update(clip, parts = this.parts) {
    const another = this.clip.path !== clip.path;
    Object.assign(this, { clip, parts });
    if (parts && this.card) for (const one of parts.values()) this.card.put(one);
    const drawn = JSON.stringify([clip, parts ? [...parts] : null]);
    if (this.drawn === drawn) return;
    this.drawn = drawn;
    this.node.dataset.clip = clip.path;
    const called = parts ? clip.prompt || "Idea" : title(clip);
    const names = parts ? [...parts.keys()].filter((part) => part !== MIX).map(spelt).join(", ") : "";
    this.box.setAttribute("aria-label", `Choose ${called}`);
    this.open.replaceChildren(el("strong", {}, called), parts ? el("span.soft", {}, names) : called.startsWith(clip.prompt) ? "" : el("span.soft", {}, clip.prompt), ...(clip.tags ?? []).map((one) => el("span.tag", {}, one)));
    this.open.title = `${clip.name}: drag it into the DAW or a folder`;
    this.open.setAttribute("aria-label", `${called}: large, with everything that can be done with it`);
    const date = el("time", { dateTime: clip.created }, when(clip));
    this.facts.replaceChildren(el("span.bpm", {}, tempo(clip)), el("span.key", {}, key(clip)), el("span.bars", {}, clip.bars ? plural(Number(round(clip.bars)), "bar") : `${round(clip.duration_s, 2)} s`), date);
    this.star.draw();
    this.note.draw();
    if (!parts) this.card?.update(clip);
    if (another) this.load();
  }

  async load() {
    nearing.unobserve(this.node);
    try {
      const found = await summary(audioUrl(this.clip));
      this.node.dataset.samples = found.length;
      this.wave.show(found, gridOf(this.clip));
    } catch (error) {
      this.node.classList.add("broken");
      this.playButton.disabled = true;
      this.playButton.title = error.message;
    }
  }

  async play(from_s = null) {
    const buffer = await load(audioUrl(this.clip));
    await player.play(this, { buffer, grid: gridOf(this.clip), range: null, name: title(this.clip) }, from_s);
  }

  #expand() {
    if (this.card) {
      this.card.remove();
      this.card = null;
    } else {
      this.card = this.parts ? new Mixer(this.clip.idea, { title: this.clip.prompt }) : new Card(this.clip);
      for (const one of this.parts?.values() ?? []) this.card.put(one);
      this.node.append(this.card.node);
    }
    this.open.setAttribute("aria-expanded", String(Boolean(this.card)));
  }

  follow() {
    const playing = player.owner === this;
    this.playButton.textContent = playing ? "■" : "▶";
    this.node.classList.toggle("playing", playing);
    this.wave.moveHead(playing ? player.position() : null);
  }
}

player.addEventListener("change", () => {
  for (const row of known.values()) row.follow();
  const step = () => {
    if (!(player.owner instanceof Row)) return;
    player.owner.follow();
    requestAnimationFrame(step);
  };
  step();
});


export function onLibraryDaemon(isUp) {
  up = isUp;
  if (up) searchSoon();
  else count.textContent = "the daemon is not there";
}
