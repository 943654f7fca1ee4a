// The control of a setting, by its kind. A kind that is new here is a field of text: the daemon reads it.

import { coded, el, newId } from "./dom.js";
import { form } from "./form.js";

const STEPS = { bpm: 1, takes: 1, bars: 1 };
const LONG = ["lyrics"];

// { node, focus() }; it follows the form and writes into it.
export function control(field, { compact = false } = {}) {
  const id = field.name;
  const made = makers[kindOf(field)](field);
  const { input } = made;
  input.id = id;
  input.name = id;
  const trouble = el("p.field-error", { id: `${id}-error`, hidden: true });
  const isSwitch = input.type === "checkbox";
  const group = made.group;
  const title = group ? el("legend.label", {}, field.title) : el("label.label", { for: id }, field.title);
  if (field.unit && !compact) title.append(el("span.unit", {}, ` ${field.unit}`));
  if (!group) scrub(title, field, input);
  const help = !compact && field.help ? el("p.help", { id: `${id}-help` }, ...coded(field.help)) : null;
  if (compact && field.help) title.title = field.help;
  const node = el(`${group ? "fieldset" : "div"}.field${isSwitch ? ".switch" : ""}`, {}, title, made.node ?? input, ...(made.more ?? []), help, trouble);
  node.dataset.field = id;

  const write = () => made.write(form.values[id]);
  const read = () => form.set(id, made.read());
  (made.node ?? input).addEventListener("input", read);
  input.addEventListener("change", () => form.check(id));
  form.addEventListener("filled", write);
  form.addEventListener("errors", () => {
    const said = form.errors.get(id) ?? "";
    trouble.textContent = said;
    trouble.hidden = !said;
    node.classList.toggle("wrong", Boolean(said));
    input.setAttribute("aria-invalid", String(Boolean(said)));
    const told = [help?.id, said && trouble.id].filter(Boolean).join(" ");
    if (told) input.setAttribute("aria-describedby", told);
    else input.removeAttribute("aria-describedby");
  });
  if (help) input.setAttribute("aria-describedby", help.id);
  write();
  return { node, input, field };
}

function kindOf(field) {
  if (field.fader) return "fader";
  if (field.kind === "switch" && !field.choices?.length) return "tick";
  if (field.kind === "names") return "names";
  if (field.kind === "signature") return "signature";
  if (field.kind === "key" || field.choices?.length) return "menu";
  if (field.kind === "number" || field.kind === "whole") return "number";
  return LONG.includes(field.name) ? "long" : "text";
}

const choicesOf = (field) => (field.kind === "key" ? form.description.keys : field.choices) ?? [];

const makers = {
  text: (field) => plain(el("input", { type: "text", placeholder: field.placeholder ?? "", autocomplete: "off", spellcheck: false })),
  long: (field) => plain(el("textarea", { rows: 4, placeholder: field.placeholder ?? "" })),
  number(field) {
    const input = el("input.number", { type: "text", inputMode: field.kind === "whole" ? "numeric" : "decimal", placeholder: field.placeholder ?? "", autocomplete: "off" });
    input.addEventListener("keydown", (event) => {
      const way = { ArrowUp: 1, ArrowDown: -1 }[event.key];
      if (!way) return;
      event.preventDefault();
      step(field, input, way * (event.shiftKey ? 10 : 1));
    });
    return plain(input);
  },
  tick(field) {
    const input = el("input", { type: "checkbox" });
    return { input, read: () => input.checked, write: (value) => (input.checked = Boolean(value)) };
  },
  menu(field) {
    const input = el("select");
    return {
      input,
      read: () => input.value,
      write(value) {
        input.replaceChildren(...choicesOf(field).map(([shown, one]) => el("option", { value: one }, shown)));
        if (value && ![...input.options].some((one) => one.value === value)) input.append(el("option", { value }, value));
        input.value = value ?? "";
      },
    };
  },
  signature() {
    const list = el("datalist", { id: newId("signatures") });
    const input = el("input.number", { type: "text", list: list.id, placeholder: "4/4", autocomplete: "off" });
    list.append(...(form.description.signatures ?? []).map((one) => el("option", { value: Array.isArray(one) ? one[1] : one })).filter((one) => one.value));
    return { ...plain(input), more: [list] };
  },
  fader(field) {
    const input = el("input", { type: "range", min: field.low ?? 0, max: field.high ?? 1, step: 0.01 });
    const shown = el("output", { htmlFor: field.name });
    const show = () => (shown.textContent = `${Math.round(Number(input.value) * 100)} %`);
    return {
      input,
      node: el("div.fader", {}, input, shown),
      read: () => (show(), Number(input.value)),
      write(value) {
        input.value = value ?? 1;
        show();
      },
    };
  },
  names(field) {
    const node = el("div.chips");
    const input = node; // errors are said at the group
    return {
      input,
      node,
      group: true,
      read: () => [...node.querySelectorAll("input:checked")].map((one) => one.value),
      write(value) {
        const names = [...new Set([...choicesOf(field).map(([, one]) => one), ...(value ?? [])])];
        node.replaceChildren(...names.map((name) => el("label.chip", {}, el("input", { type: "checkbox", value: name, checked: (value ?? []).includes(name) }), name)));
      },
    };
  },
};

const plain = (input) => ({ input, read: () => input.value, write: (value) => input.value !== String(value ?? "") && (input.value = value ?? "") });

function step(field, input, by) {
  const start = Number((input.value || field.placeholder || field.low || 0).toString().replace(",", "."));
  if (Number.isNaN(start)) return;
  const moved = start + by * (STEPS[field.name] ?? 1);
  input.value = String(Math.round(Math.min(field.high ?? moved, Math.max(Math.max(field.low ?? moved, field.name === "bars" ? 1 : -Infinity), moved)) * 100) / 100);
  input.dispatchEvent(new Event("input", { bubbles: true }));
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

// A number is turned by dragging its name up and down, as in a DAW.
function scrub(title, field, input) {
  if (kindOf(field) !== "number") return;
  title.classList.add("scrub");
  let last = null;
  title.addEventListener("pointerdown", (event) => {
    title.setPointerCapture(event.pointerId);
    last = event.clientY;
  });
  title.addEventListener("pointermove", (event) => {
    if (last === null || Math.abs(last - event.clientY) < 4) return;
    step(field, input, Math.trunc((last - event.clientY) / 4));
    last = event.clientY;
  });
  for (const end of ["pointerup", "pointercancel"]) title.addEventListener(end, () => (last = null));
}
