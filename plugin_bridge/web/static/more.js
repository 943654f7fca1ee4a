// Everything else that can be set, in one panel that is drawn from what the server says of its settings: one that
// is new there appears here. What the loaded checkpoint cannot do is not offered.

import { control } from "./fields.js";
import { form } from "./form.js";

const DECK = ["prompt", "bpm", "signature", "key", "bars", "takes", "parts", "midi_out"];
const UNSEEN = ["idea", "redo"]; // an idea's own entry has them
const NEEDS = {
  lyrics: () => form.can("lyrics"),
  task: () => choicesOfTask().length > 2, // beside "by what is given" and "new" there is nothing to choose
  track: () => ["lego", "extract", "complete"].some((task) => form.can(task)),
  strength: () => form.can("reference") || ["complete", "cover", "repaint"].some((task) => form.can(task)),
  guide: () => form.description.supports?.guide !== false,
};

const panel = document.getElementById("more");
const toggle = document.getElementById("more-toggle");
const place = document.getElementById("more-fields");
const shown = new Map();

const choicesOfTask = () => (form.field("task")?.choices ?? []).filter(([, task]) => !task || form.can(task));

form.addEventListener("described", () => {
  for (const field of form.fields) {
    if (DECK.includes(field.name) || UNSEEN.includes(field.name) || ["audio", "region", "adapters"].includes(field.kind)) continue;
    if (field.name === "task") field.choices = choicesOfTask();
    let made = shown.get(field.name);
    if (!made) {
      made = control(field);
      shown.set(field.name, made);
      place.append(made.node);
    }
    Object.assign(made.field, field); // a loaded checkpoint brings other choices
    made.node.hidden = !(NEEDS[field.name]?.() ?? true);
  }
});

form.addEventListener("change", mark);
form.addEventListener("filled", mark);

// How many of them are not as they come, so that nothing works out of sight.
function mark() {
  const { defaults } = form.description;
  const changed = [...shown.keys()].filter((name) => JSON.stringify(form.values[name] ?? "") !== JSON.stringify(defaults[name] ?? ""));
  const count = changed.length + Object.keys(form.adapters).length;
  for (const [name, { node }] of shown) node.classList.toggle("changed", changed.includes(name));
  toggle.dataset.count = count || "";
  toggle.textContent = count ? `More (${count})` : "More";
}

export function openMore(name = "") {
  setOpen(true);
  const field = document.getElementById(name);
  field?.scrollIntoView({ block: "center" });
  field?.focus({ preventScroll: true });
}

function setOpen(open) {
  panel.hidden = !open;
  toggle.setAttribute("aria-expanded", String(open));
  document.body.classList.toggle("with-more", open);
}

toggle.addEventListener("click", () => setOpen(panel.hidden));
document.getElementById("more-close").addEventListener("click", () => {
  setOpen(false);
  toggle.focus();
});
document.getElementById("more-reset").addEventListener("click", () => {
  const { prompt } = form.values;
  form.fill({ values: { ...form.description.defaults, prompt } });
});
panel.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  setOpen(false);
  toggle.focus();
});
