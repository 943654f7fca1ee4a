// The parts of an idea that the next request asks for: chips of what the checkpoint can play, and words for each. Also
// how such a list is written as one text: "drums: dusty breakbeat; bass".

import { button, el } from "./dom.js";
import { spelt } from "./figures.js";
import { form } from "./form.js";

// [{ name, words }] of a text. Up to the first part with words commas part them; behind a colon they belong to the words.
export function readParts(text) {
  const parts = [];
  for (const piece of String(text ?? "").split(/[;\n]/)) {
    let held = null;
    for (const one of piece.split(",")) {
      const [name, ...words] = one.split(":");
      if (words.length) parts.push((held = { name: name.trim(), words: words.join(":").trim() }));
      else if (held) held.words += `, ${one.trim()}`;
      else if (one.trim()) parts.push({ name: one.trim(), words: "" });
    }
  }
  return parts;
}

const one = ({ name, words }) => (words.trim() ? `${name}: ${words.replace(/[;\n]/g, ",").trim()}` : name);
export const partsText = (parts) => parts.map(one).join("; ");

const PLACEHOLDERS = { drums: "dusty breakbeat", bass: "warm sub, sparse", chords: "electric piano", lead: "saw lead", pad: "warm pad", arp: "music box" };
const opener = button("+ Parts", "An idea in parts: a clip for each, all made to fit, and their mix", () => setOpen(row.hidden), "source");
const chosen = el("div.chosen");
const rest = el("div.chips");
const trouble = el("p.field-error", { hidden: true, role: "alert" });
const row = el("fieldset.parts", { id: "parts", hidden: true }, el("legend.sr", {}, "Parts"), rest, chosen, trouble);

opener.setAttribute("aria-controls", "parts");
document.getElementById("source-buttons").prepend(opener);
document.getElementById("sources").before(row);

let parts = []; // as they are drawn
const narrow = matchMedia("(max-width: 700px)");

form.addEventListener("described", draw);
form.addEventListener("filled", () => {
  if (partsText(parts) !== partsText(readParts(form.values.parts))) draw();
  if (parts.length && !narrow.matches) setOpen(true);
});
form.addEventListener("errors", ({ detail }) => {
  trouble.textContent = form.errors.get("parts") ?? "";
  trouble.hidden = !trouble.textContent;
  if (detail.shown === "parts") setOpen(true);
});

// After Generate a phone's screen is the result's.
export function foldParts() {
  if (narrow.matches) setOpen(false);
}

function setOpen(open) {
  row.hidden = !open;
  opener.setAttribute("aria-expanded", String(open));
}

function set(list) {
  parts = list;
  form.mend("parts");
  form.set("parts", partsText(parts));
  draw();
}

function draw() {
  parts = readParts(form.values.parts);
  const known = form.description?.supports?.parts ?? [];
  opener.hidden = !known.length && !parts.length;
  opener.textContent = parts.length ? `Parts (${parts.length})` : "+ Parts";
  opener.setAttribute("aria-expanded", String(!row.hidden));
  const focused = document.activeElement?.dataset?.part;
  rest.replaceChildren(...known.map(chip), ...(parts.length ? [button("Clear", "One clip again, without parts", () => (set([]), setOpen(false)), "small quiet")] : []));
  chosen.replaceChildren(...parts.map(words));
  if (focused) rest.querySelector(`[data-part="${CSS.escape(focused)}"]`)?.focus();
  document.body.classList.toggle("with-parts", parts.length > 0);
}

function chip(name) {
  const on = parts.some((part) => part.name === name);
  const node = button(spelt(name), "", () => set(on ? parts.filter((part) => part.name !== name) : [...parts, { name, words: "" }]), "chip");
  node.dataset.part = name;
  node.setAttribute("aria-pressed", String(on));
  return node;
}

// What one part is to sound like; empty: as the prompt says.
function words(part) {
  const input = el("input", { type: "text", value: part.words, placeholder: PLACEHOLDERS[part.name] ?? "words of its own", autocomplete: "off", spellcheck: false });
  input.addEventListener("input", () => {
    part.words = input.value;
    form.mend("parts");
    form.set("parts", partsText(parts));
  });
  return el("label.part", {}, el("span.label", {}, spelt(part.name)), input);
}
