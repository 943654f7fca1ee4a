// The adapters of a request: which, and how strongly.

import { el } from "./dom.js";
import { form } from "./form.js";

const box = document.getElementById("adapters");
let known = [];

export function showAdapters(adapters) {
  known = adapters;
  draw();
}

form.addEventListener("filled", draw);

function draw() {
  for (const name of Object.keys(form.adapters)) if (known.length && !known.some((one) => one.name === name)) delete form.adapters[name];
  const none = el("p.help", {}, "No adapters yet: train one, or import one with ", el("code", {}, "lora_studio import FILE"));
  box.replaceChildren(el("h3.label", {}, "Adapters"), ...(known.length ? known.map(row) : [none]));
}

function row(adapter) {
  const on = el("input", { type: "checkbox", checked: adapter.name in form.adapters });
  const scale = el("input", { type: "range", min: 0, max: 2, step: 0.05, value: form.adapters[adapter.name] ?? 1, "aria-label": `scale of ${adapter.name}` });
  const shown = el("output");
  const show = () => {
    shown.textContent = `× ${Number(scale.value).toFixed(2)}`;
    scale.disabled = !on.checked;
  };
  on.onchange = scale.oninput = () => {
    show();
    form.setAdapter(adapter.name, on.checked ? Number(scale.value) : null);
  };
  show();
  const words = adapter.trigger_words.join(", ");
  return el("div.adapter", {}, el("label", { title: words ? `words that wake it: ${words}` : "" }, on, el("span", {}, adapter.name)), scale, shown);
}
