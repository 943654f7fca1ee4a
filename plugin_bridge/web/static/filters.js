// Chips that narrow the library down: stars, the trash, when, and the tempi, keys, adapters and tags that there are.

import { button, el } from "./dom.js";

const TEMPI = [[0, 90], [90, 110], [110, 130], [130, 160], [160, Infinity]];
const KEYS_SHOWN = 8;
const SPANS = { today: ["Today", 1], week: ["This week", 7] };

const on = new Set(); // ids of chips that are pressed
let filtered = () => {};

export const chips = el("div.chips.filters", { role: "group", "aria-label": "filters" });
export const onFiltered = (run) => (filtered = run);
export const active = () => ({ trashed: on.has("trashed"), earlier: on.has("earlier") });

const tempoName = ([low, high]) => (high === Infinity ? `${low}+ bpm` : low ? `${low}–${high}` : `below ${high} bpm`);
const DAY_MS = 86_400_000;

// Each kind: pressed chips of one kind are alternatives, the kinds narrow each other.
const KINDS = {
  starred: { chips: () => [["starred", "★ Starred"]], has: (clip) => clip.starred },
  when: { chips: () => Object.entries(SPANS).map(([id, [title]]) => [id, title]), has: (clip, id) => Date.now() - new Date(clip.created) < SPANS[id][1] * DAY_MS },
  tempo: {
    chips: (clips) => TEMPI.map((one, place) => [String(place), tempoName(one), clips.filter((clip) => inTempo(clip, one)).length]).filter(([, , count]) => count),
    has: (clip, id) => inTempo(clip, TEMPI[id]),
  },
  key: { chips: (clips) => counted(clips, (clip) => [clip.key || "no key"]).slice(0, KEYS_SHOWN), has: (clip, id) => (clip.key || "no key") === id },
  adapter: { chips: (clips) => counted(clips, (clip) => clip.adapters.map(([name]) => name)), has: (clip, id) => clip.adapters.some(([name]) => name === id) },
  tag: { chips: (clips) => counted(clips, (clip) => clip.tags ?? []), has: (clip, id) => (clip.tags ?? []).includes(id) },
};

const inTempo = (clip, [low, high]) => clip.bpm > 0 && clip.bpm >= low && clip.bpm < high;

function counted(clips, names) {
  const counts = new Map();
  for (const name of clips.flatMap(names)) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].sort((one, other) => other[1] - one[1] || one[0].localeCompare(other[0])).map(([name, count]) => [name, name, count]);
}

export function fits(clip) {
  return Object.entries(KINDS).every(([kind, { has }]) => {
    const ids = pressed(kind);
    return !ids.length || ids.some((id) => has(clip, id));
  });
}

const pressed = (kind) => [...on].filter((one) => one.startsWith(`${kind}:`)).map((one) => one.slice(kind.length + 1));

// `earlier`: how many clips of ideas have a later one in their place.
chips.draw = (clips, earlier) => {
  const focused = document.activeElement?.dataset?.filter;
  const made = Object.entries(KINDS).flatMap(([kind, { chips: offered }]) => {
    const list = offered(clips);
    const missing = pressed(kind).filter((id) => !list.some(([one]) => one === id)).map((id) => [id, kind === "tempo" ? tempoName(TEMPI[id]) : id, 0]);
    return [...list, ...missing].map(([id, title, count]) => chip(`${kind}:${id}`, title, count));
  });
  chips.replaceChildren(...made, ...(earlier || on.has("earlier") ? [chip("earlier", "Earlier parts", earlier)] : []), chip("trashed", "Trash"), ...(on.size ? [button("Clear", "Take all filters away", () => { on.clear(); filtered(); }, "small quiet")] : []));
  if (focused) chips.querySelector(`[data-filter="${CSS.escape(focused)}"]`)?.focus();
};

function chip(id, title, count) {
  const node = button(title, "", () => {
    if (!on.delete(id)) on.add(id);
    filtered();
  }, "chip");
  if (count) node.append(el("span.count", {}, ` ${count}`));
  node.dataset.filter = id;
  node.setAttribute("aria-pressed", String(on.has(id)));
  return node;
}
