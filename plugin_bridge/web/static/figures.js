// What was measured of a clip: one badge that says whether it fits, and the figures behind it.

import { button, el, plural, popup, round, seconds } from "./dom.js";

const signed = (value, places) => (Math.abs(value) < 0.005 ? "0" : (value > 0 ? "+" : "") + value.toFixed(places));

const WORDS = {
  good: ["✓ fits", "good", "tempo, downbeat and key are as asked for"],
  poor: ["! check", "warn", "something is not as asked for"],
  unsure: ["? unsure", "", "it cannot be told from this sound"],
  unmeasured: ["not measured", "", "nobody has listened to it"],
  untouched: ["as made", "", "it was not brought to the grid"],
  mix: ["figures", "", "the plain sum of its parts"],
  single: ["✓ one hit", "good", "a single hit stands clear: it has no tempo"],
  off: ["fit off", "", "it was not brought to the grid"],
};

export function badge(clip) {
  const [text, kind, meaning] = WORDS[clip.part === "mix" ? "mix" : clip.fit] ?? ["figures", "", ""];
  const opener = button(text, "", () => {}, `badge ${kind}`.trim());
  opener.setAttribute("aria-label", `${text.replace(/^\W+/, "")}: what was measured of ${clip.name}`);
  const box = popup(opener, () => [el("p", {}, meaning), figures(clip)], { hover: true, kind: "figures" });
  return el("span.holder", {}, opener, box);
}

export function figures(clip) {
  const list = el("dl");
  const add = (name, value, kind = "") => list.append(el("dt", {}, name), el("dd" + (kind && "." + kind), {}, value));
  add("file", clip.name);
  const judged = (good) => (good ? "good" : "warn");
  add("length", `${plural(Number(round(clip.bars)), "bar")} of ${clip.signature} · ${seconds(clip.duration_s)} · ${clip.samples} samples`);
  if (clip.tempo_error_pct !== null) add("tempo", `${signed(clip.tempo_error_pct, 2)} % off, before it was brought to the grid`, judged(Math.abs(clip.tempo_error_pct) <= 0.5));
  if (clip.downbeat_error_ms !== null) add("downbeat", `${signed(clip.downbeat_error_ms, 1)} ms off`, judged(Math.abs(clip.downbeat_error_ms) <= 25));
  if (clip.key_match !== null) add("key", clip.key_match === "other" ? "another than asked for" : clip.key_match, judged(clip.key_match !== "other"));
  if (clip.lufs !== null) add("loudness", `${round(clip.lufs, 1)} LUFS`);
  add("seed", String(clip.seed));
  add("cascade", clip.cascade);
  for (const [name, scale] of clip.adapters) add("adapter", `${name} × ${round(scale)}`);
  return list;
}

const MADE = /^\d{8}-\d{6}_(.*)(?:_t(\d+)|bars?_([a-z]\w*)(?:-\d+)?)$/; // a name that the daemon gave, to a take or a part

// How a clip is called here: by the name that somebody gave it, else by its prompt and take.
export const stem = (clip) => clip.name.replace(/\.[^.]+$/, "");
export const spelt = (part) => part.replaceAll("_", " ");
const which = (clip) => (clip.part && clip.prompt.endsWith(spelt(clip.part)) ? "" : ` · ${clip.part ? spelt(clip.part) : clip.take + 1}`);
export const title = (clip) => (MADE.test(stem(clip)) ? `${clip.prompt || "no prompt"}${which(clip)}` : stem(clip));
export const titleInRun = (clip) => (MADE.test(stem(clip)) ? (clip.part ? spelt(clip.part) : `Take ${clip.take + 1}`) : stem(clip));
// A file by what it was made of, for lines that have little room.
export function spoken(name) {
  const made = MADE.exec(name.replace(/\.[^.]+$/, ""));
  return made ? `${made[1].replace(/_.*/, "").replaceAll("-", " ")} · ${made[2] ?? spelt(made[3])}` : name;
}
export const tempo = (clip) => (clip.bpm ? `${round(clip.bpm)} bpm` : "one-shot");
export const key = (clip) => clip.key || "no key";
