// The top of the page, always in sight: the prompt, Generate, and a strip with what musicians set first.

import { BridgeError, post } from "./api.js";
import { button, el, notify, plural } from "./dom.js";
import { control } from "./fields.js";
import { spelt } from "./figures.js";
import { form } from "./form.js";
import { Taps } from "./grid.js";
import { tab } from "./live.js";
import { openMore } from "./more.js";
import { readParts } from "./parts.js";

export const IN_STRIP = ["bpm", "signature", "key", "bars", "takes"];

const deck = document.getElementById("deck");
const prompt = document.getElementById("prompt");
const go = document.getElementById("go");
const strip = document.getElementById("strip-fields");
const plan = document.getElementById("plan");
const trouble = document.getElementById("prompt-error");
const taps = new Taps();
const shown = new Map();

export const deckActions = { sent: null };

form.addEventListener("described", () => {
  for (const name of IN_STRIP) {
    const field = form.field(name);
    if (!field || shown.has(name)) continue;
    const made = control(field, { compact: true });
    shown.set(name, made);
    if (name === "bpm") made.node.append(button("Tap", "Tap the tempo here", tapTempo, "small tap"));
    strip.append(made.node);
  }
});

form.addEventListener("filled", () => {
  if (prompt.value !== form.values.prompt) prompt.value = form.values.prompt ?? "";
  grow();
  sayPlan();
});
form.addEventListener("change", sayPlan);
form.addEventListener("errors", ({ detail }) => {
  const said = form.errors.get("prompt") ?? form.errors.get("") ?? "";
  trouble.textContent = said;
  trouble.hidden = !said;
  prompt.setAttribute("aria-invalid", String(Boolean(said)));
  if (form.field(detail.shown) && !document.getElementById(detail.shown)?.closest("#deck")) openMore(detail.shown);
});

prompt.addEventListener("input", () => {
  grow();
  form.mend("");
  form.mend("prompt");
  form.set("prompt", prompt.value);
});
deck.addEventListener("submit", (event) => {
  event.preventDefault();
  generate();
});
addEventListener("resize", grow);

function grow() {
  prompt.style.height = "auto";
  prompt.style.height = `${prompt.scrollHeight + 2}px`;
}

// Notes beside each clip: a switch, because it is wanted for some clips only.
const midi = button("♪ MIDI", "Write the notes of each clip into a MIDI file beside it", () => form.set("midi_out", !form.values.midi_out), "toggle");
midi.id = "midi_out";
document.getElementById("source-buttons").append(midi);
for (const what of ["change", "filled"]) form.addEventListener(what, () => midi.setAttribute("aria-pressed", String(Boolean(form.values.midi_out))));

function tapTempo() {
  const tempo = taps.tap(performance.now());
  if (tempo === null) return;
  form.set("bpm", String(tempo));
  shown.get("bpm").input.value = tempo;
  form.check("bpm");
}

export async function generate() {
  for (const { name } of form.fields) form.check(name);
  if (form.errors.size) {
    focusWrong();
    return;
  }
  go.disabled = true;
  try {
    const { run } = await post("/bridge/generate", form.request(tab));
    deckActions.sent?.(run);
  } catch (error) {
    if (error instanceof BridgeError && form.field(error.field)) {
      form.fail(error.field, error.message);
      focusWrong();
    } else notify(error);
  } finally {
    go.disabled = false;
  }
}

function focusWrong() {
  const [name] = form.errors.keys();
  (name ? document.getElementById(name) : prompt)?.focus();
}

export function addWord(word) {
  const text = prompt.value.trim();
  const words = text ? text.split(/\s*,\s*/).filter(Boolean) : [];
  const without = words.filter((one) => one.toLowerCase() !== word.toLowerCase());
  setPrompt((without.length < words.length ? without : [...words, word]).join(", "));
}

export function setPrompt(text) {
  prompt.value = text;
  prompt.dispatchEvent(new Event("input", { bubbles: true }));
}

// What Generate will do now, in one line.
function sayPlan() {
  const { values } = form;
  const { reference, context } = form.sources;
  const parts = readParts(values.parts).map(({ name }) => spelt(name));
  const what = parts.length ? "an idea" : plural(Number(values.takes) || 1, "take");
  if (parts.length) parts.splice(0, Infinity, `${parts.join(", ")} and their mix`);
  const task = form.field("task")?.choices?.find(([, value]) => value && value === values.task);
  if (task) parts.push(String(task[0]).replace(/ – .*/, ""));
  if (reference?.name) parts.push(`like ${reference.name}`);
  if (context?.name) parts.push(`${values.task === "repaint" ? "of" : "fitted to"} ${context.name}`);
  if (String(values.seed ?? "").trim()) parts.push(`seed ${values.seed}`);
  const adapters = Object.keys(form.adapters);
  if (adapters.length) parts.push(`with ${adapters.join(", ")}`);
  if (values.tempo_map) parts.push("a changing tempo");
  plan.textContent = parts.length ? `Generate makes ${what}: ${parts.join(" · ")}.` : "";
  plan.hidden = !parts.length;
}

let filled = null;

// What an action has just filled in, with a way back.
export function sayFilled(sentence) {
  filled?.remove();
  filled = notify(sentence, { text: "Undo", run: () => form.undo() });
}
