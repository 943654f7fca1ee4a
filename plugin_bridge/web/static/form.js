// What the next request will be: the value of every setting, the audio it takes up, its adapters, its errors.
// Survives a reload. Draws nothing; says "change", "filled", "described" and "errors".

import { recall, remember } from "./api.js";

const KEPT = "bridge-form";
const NUMBERS = ["number", "whole"];

class Form extends EventTarget {
  description = null; // what /bridge/form says
  values = {};
  adapters = {}; // name → scale
  errors = new Map(); // setting → sentence
  sources = { reference: null, context: null }; // filled by sources.js: things with value() and put()
  #before = null; // for undo

  get fields() {
    return this.description?.fields ?? [];
  }

  field(name) {
    return this.fields.find((one) => one.name === name);
  }

  describe(description) {
    const first = !this.description;
    this.description = description;
    if (first) {
      const kept = recall(KEPT) ?? {};
      this.values = { ...description.defaults, ...this.#known(kept.values ?? {}) };
      this.adapters = kept.adapters ?? {};
      this.kept = kept.sources ?? {}; // taken up by sources.js once it is there
    } else {
      this.values = { ...description.defaults, ...this.#known(this.values) };
    }
    this.#say("described");
    this.#say("filled");
  }

  #known(values) {
    return Object.fromEntries(Object.entries(values).filter(([name]) => name in this.description.defaults));
  }

  // What the loaded checkpoint can do; everything as long as nobody has said so.
  can(what) {
    const told = this.description?.supports;
    if (!told) return true;
    return what in told ? Boolean(told[what]) : !told.tasks || told.tasks.includes(what);
  }

  set(name, value) {
    this.values = { ...this.values, [name]: value };
    if (name === "seed") this.values.lock = Boolean(String(value).trim());
    if (this.errors.has(name) && !this.wrong(name)) this.mend(name);
    this.changed();
  }

  setAdapter(name, scale) {
    if (scale === null) delete this.adapters[name];
    else this.adapters[name] = scale;
    this.mend("adapters");
    this.changed();
  }

  changed() {
    this.#keep();
    this.#say("change");
  }

  #keep() {
    const sources = Object.fromEntries(Object.entries(this.sources).map(([role, one]) => [role, one?.kept() ?? null]));
    remember(KEPT, { values: this.values, adapters: this.adapters, sources });
  }

  // All of it at once, as /bridge/recall says it. `undo` brings back what was there.
  async fill({ values, adapters, reference, context }) {
    this.#before = this.snapshot();
    this.values = { ...this.description.defaults, ...this.#known(values) };
    this.adapters = { ...(adapters ?? {}) };
    this.errors.clear();
    this.#say("errors");
    this.#say("filled");
    await Promise.all([this.sources.reference.put(reference ?? null), this.sources.context.put(context ?? null)]);
    this.changed();
  }

  snapshot() {
    const { reference, context } = this.sources;
    return { values: { ...this.values }, adapters: { ...this.adapters }, reference: reference.kept(), context: context.kept() };
  }

  undo() {
    return this.#before ? this.fill(this.#before) : undefined;
  }

  // A sentence where what is typed cannot be right; the daemon has the last word.
  wrong(name) {
    const field = this.field(name);
    const text = String(this.values[name] ?? "").trim();
    if (!field || !NUMBERS.includes(field.kind) || field.fader || !text || text.toLowerCase() === "off") return "";
    const value = Number(text.replace(",", "."));
    const kind = field.kind === "whole" ? "a whole number" : "a number";
    const range = field.low !== null && field.high !== null && field.low !== undefined ? `, ${field.low}–${field.high}` : "";
    if (Number.isNaN(value) || (field.kind === "whole" && !Number.isInteger(value))) return `${field.title}: expected ${kind}${range}`;
    if (value < (field.low ?? -Infinity) || value > (field.high ?? Infinity)) return `${field.title}: expected ${field.low}–${field.high}`;
    return "";
  }

  check(name) {
    const said = this.wrong(name);
    if (said) this.fail(name, said);
    else this.mend(name);
  }

  fail(name, message) {
    this.errors.set(name, message);
    this.#say("errors", { shown: name });
  }

  mend(name) {
    if (this.errors.delete(name)) this.#say("errors", { mended: name });
  }

  request(tab) {
    const { reference, context } = this.sources;
    return { tab, values: this.values, reference: reference.value(), context: context.value(), adapters: this.adapters };
  }

  #say(what, detail = {}) {
    this.dispatchEvent(new CustomEvent(what, { detail }));
  }
}

export const form = new Form();
