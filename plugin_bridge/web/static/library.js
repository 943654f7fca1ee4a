// All clips of the samples folder: search, stars, trash with undo. Searches are the daemon's; this draws.

import { button, el, get, mount, notify, post, query } from "./api.js";
import { badges, Card, trash } from "./card.js";

const PAGE = 60;
const PITCHES = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"];

const field = (label, input) => el("label.field", {}, el("span", {}, label), input);
const words = el("input", { type: "search", placeholder: "words of prompt or name", id: "library-words" });
const bpmMin = el("input", { type: "number", min: 0, max: 400, step: "any", placeholder: "from", "aria-label": "tempo from" });
const bpmMax = el("input", { type: "number", min: 0, max: 400, step: "any", placeholder: "to", "aria-label": "tempo to" });
const key = el("select", {}, el("option", { value: "" }, "any"),
  ...["major", "minor"].flatMap((mode) => PITCHES.map((pitch) => el("option", { value: `${pitch} ${mode}` }, `${pitch} ${mode}`))));
const since = el("input", { type: "date" });
const adapter = el("select", {}, el("option", { value: "" }, "any"));
const starred = el("input", { type: "checkbox" });
const trashed = el("input", { type: "checkbox", id: "library-trashed" });
const count = el("span.state", { role: "status" });
const rows = el("div.rows");
const more = button("Show more", "Show more clips", () => drawMore(), "small");
const filters = el("form.filters", { onsubmit: (event) => event.preventDefault() },
  field("Search", words), el("div.field", {}, el("span", {}, "Tempo"), el("span.pair", {}, bpmMin, bpmMax)), field("Key", key), field("Since", since),
  field("Adapter", adapter), el("label.check", {}, starred, "Stars only"), el("label.check", {}, trashed, "Trash"), count);

let found = [];
let asked = 0;
let due = null;
let up = false;

mount("library", el("section.library", {}, filters, rows, more));
filters.addEventListener("input", () => searchSoon(180));

export function searchSoon(delay_ms = 60) {
  clearTimeout(due);
  due = setTimeout(() => search().catch(notify), delay_ms);
}

// Called when the tab is opened, when clips come or change, and when the daemon is back.
async function search() {
  if (!rows.offsetParent || !up) return;
  const number = ++asked;
  const values = { limit: 1000 };
  if (words.value.trim()) values.words = words.value.trim();
  if (bpmMin.value) values.bpm_min = bpmMin.value;
  if (bpmMax.value) values.bpm_max = bpmMax.value;
  if (key.value) values.key = key.value;
  if (since.value) values.since = new Date(`${since.value}T00:00:00`).toISOString();
  if (adapter.value) values.adapter = adapter.value;
  if (starred.checked) values.starred = "true";
  if (trashed.checked) values.trashed = "true";
  const clips = await get(`/bridge/clips?${query(values)}`);
  if (number !== asked) return; // a later search is on its way
  found = clips;
  count.textContent = `${clips.length}${clips.length === 1000 ? " or more" : ""} ${trashed.checked ? "in the trash" : "clips"}`;
  draw();
}

// A row whose clip is as it was stays in the page untouched: it may be under the pointer or have the focus.
function draw() {
  const old = new Map([...rows.children].map((node) => [node.dataset.clip, node]));
  const shown = found.slice(0, Math.max(PAGE, Math.min(rows.children.length, found.length)));
  const wanted = shown.map((clip) => row(clip, old.get(clip.path)));
  if (!found.length) {
    wanted.push(el("p.empty", {}, trashed.checked ? "The trash is empty." : "No clip matches. Clips of every job land here, whoever asked for them."));
  }
  const staying = new Set(wanted);
  for (const node of [...rows.children]) if (!staying.has(node)) drop(node);
  wanted.forEach((node, place) => {
    if (rows.children[place] !== node) rows.insertBefore(node, rows.children[place] ?? null);
  });
  more.hidden = shown.length >= found.length;
}

function drop(node) {
  node.detail?.remove();
  node.remove();
}

function drawMore() {
  const start = rows.children.length;
  rows.append(...found.slice(start, start + PAGE).map((clip) => row(clip)));
  more.hidden = rows.children.length >= found.length;
}

function row(clip, node = el("div.clip-row")) {
  const drawn = JSON.stringify(clip);
  if (node.drawn === drawn) return node;
  node.drawn = drawn;
  node.dataset.clip = clip.path;
  const toggle = button(node.detail ? "▾" : "▸", "Waveform and everything that can be done with it", () => expand(node, clip, toggle), "small");
  const star = button(clip.starred ? "★" : "☆", "Star", () => post("/bridge/clips/star", { clip: clip.path, starred: !clip.starred }), "small star");
  star.setAttribute("aria-pressed", String(clip.starred));
  const act = clip.trashed
    ? button("Restore", "Bring it back from the trash", () => post("/bridge/clips/restore", { clip: clip.path }), "small")
    : button("Delete", "Move to the trash; can be undone", () => trash(clip), "small danger");
  const when = new Date(clip.created);
  const date = el("time", { dateTime: clip.created }, Number.isNaN(when.getTime()) ? "" : when.toLocaleString([], { dateStyle: "short", timeStyle: "short" }));
  const line = el("div.line", {}, toggle, el("div.what", {}, el("strong", { title: clip.name }, clip.prompt || clip.name), badges(clip)), date, star, act);
  line.addEventListener("dblclick", () => toggle.click());
  node.querySelector(".line")?.remove();
  node.prepend(line);
  return node;
}

async function expand(node, clip, toggle) {
  if (node.detail) {
    node.detail.remove();
    node.detail = null;
    toggle.textContent = "▸";
    return;
  }
  node.detail = new Card(clip, { title: clip.name });
  node.append(node.detail.node);
  toggle.textContent = "▾";
  await node.detail.play();
}

export function showLibraryAdapters(adapters) {
  const kept = adapter.value;
  adapter.replaceChildren(el("option", { value: "" }, "any"), ...adapters.map((one) => el("option", { value: one.name }, one.name)));
  adapter.value = adapters.some((one) => one.name === kept) ? kept : "";
}

export function onLibraryDaemon(isUp) {
  up = isUp;
  if (up) searchSoon();
  else count.textContent = "the daemon is not there";
}
