// The adapters of a request: which, and how strongly. Remembers the faders of this tab.

import { el, mount } from "./api.js";

const box = el("div.adapters");
mount("adapters", box);
const chosen = new Map(JSON.parse(sessionStorage.getItem("bridge-adapters") ?? "[]")); // name → scale

export function showAdapters(adapters) {
  for (const name of [...chosen.keys()]) if (!adapters.some((one) => one.name === name)) chosen.delete(name);
  box.replaceChildren(adapters.length ? el("span.label", {}, "Adapters") : el("span.label", {}, "No adapters yet: train one, or import one with ", el("code", {}, "lora_studio import FILE")));
  for (const adapter of adapters) box.append(row(adapter));
}

function row(adapter) {
  const on = el("input", { type: "checkbox", checked: chosen.has(adapter.name) });
  const scale = el("input", { type: "range", min: 0, max: 2, step: 0.05, value: chosen.get(adapter.name) ?? 1, "aria-label": `scale of ${adapter.name}` });
  const shown = el("output");
  const keep = () => {
    if (on.checked) chosen.set(adapter.name, Number(scale.value));
    else chosen.delete(adapter.name);
    shown.textContent = `× ${Number(scale.value).toFixed(2)}`;
    scale.disabled = !on.checked;
    sessionStorage.setItem("bridge-adapters", JSON.stringify([...chosen]));
  };
  on.onchange = scale.oninput = keep;
  keep();
  const words = adapter.trigger_words.join(", ");
  return el("label.adapter", { title: words ? `words that wake it: ${words}` : "" }, on, el("span", {}, adapter.name), scale, shown);
}

export const adapterScales = () => Object.fromEntries(chosen);

export function setAdapters(pairs) {
  chosen.clear();
  for (const [name, scale] of pairs) chosen.set(name, scale);
}
