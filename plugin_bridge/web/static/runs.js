// What this tab asked for: progress with stage and time left, a preview while decoding goes on, the takes, errors.

import { BridgeError, getBytes, post, recallOfTab, rememberOfTab } from "./api.js";
import { Card } from "./clip.js";
import { button, copy, el, notify, plural, seconds } from "./dom.js";
import { form } from "./form.js";
import { gridOf } from "./grid.js";
import { Mixer } from "./mixer.js";
import { readParts } from "./parts.js";
import { decode, player } from "./sound.js";
import { Wave } from "./wave.js";

const PREVIEW_EVERY_MS = 350;
const ENDED = ["done", "failed", "cancelled"];

const list = document.getElementById("runs");
const runs = new Map();
const closed = new Set(recallOfTab("bridge-closed") ?? []);

export const runActions = { changed: null };
export const anyRuns = () => runs.size > 0;

class Preview {
  constructor(run, take, grid) {
    this.url = `/bridge/preview/${run}/${take}`;
    this.wave = new Wave({ selectable: false, label: `preview of take ${take + 1}` });
    this.grid = grid;
    this.name = `take ${take + 1}, preview`;
    this.wave.show(null, grid);
    this.play = button("▶", "Hear what is decoded so far, before it is fitted", () => this.#toggle(), "play");
    this.play.disabled = true;
    this.node = el("div.card.preview", {}, el("header", {}, this.play, el("div.line", {}, el("strong", {}, `Take ${take + 1}`), el("span", {}, "in the making"))), this.wave.canvas);
  }

  grow() {
    this.due = true;
    this.timer ??= setTimeout(() => this.#load(), this.loaded ? PREVIEW_EVERY_MS : 0);
  }

  async #load() {
    this.due = false;
    try {
      const bytes = await getBytes(this.url);
      if (bytes.byteLength) { // nothing: the take is finished meanwhile
        this.buffer = await decode(bytes);
        this.loaded = true;
        this.play.disabled = false;
        this.wave.show(this.buffer, this.grid);
        this.node.dataset.samples = this.buffer.length;
      }
    } catch (error) {
      if (!(error instanceof BridgeError)) console.warn(error); // a finished take has no preview any more
    }
    this.timer = null;
    if (this.due && this.node.isConnected) this.grow();
  }

  #toggle() {
    if (player.owner === this) player.stop();
    else return player.play(this, { buffer: this.buffer, grid: this.grid, range: null, name: this.name });
  }

  remove() {
    if (player.owner === this) player.stop();
    this.node.remove();
  }
}

class RunView {
  cards = new Map();
  previews = new Map();

  constructor(run) {
    this.title = el("h2");
    this.state = el("span.state", { role: "status" });
    this.bar = el("progress", { max: 1, value: 0, "aria-label": `progress of ${run.prompt || "this request"}` });
    this.cancel = button("Cancel", "Cancel this job", () => post("/bridge/runs/cancel", { run: this.run.id }), "small");
    this.close = button("×", "Take this out of the list; the clips stay in the library", () => this.leave(), "small quiet");
    this.error = el("div.error-box", { hidden: true, role: "alert" });
    this.takes = el("div.takes");
    this.node = el("section.run", {}, el("header", {}, this.title, this.state, this.cancel, this.close), this.bar, this.error, this.takes);
    this.node.dataset.run = run.id;
    this.run = run;
  }

  get ids() {
    return [this.run.id];
  }

  update(run) {
    this.run = run;
    const ended = ENDED.includes(run.state);
    this.node.dataset.state = run.state;
    this.node.dataset.job = run.job;
    if (run.prompt || !this.title.textContent) this.title.textContent = this.title.title = run.prompt || "(no prompt)";
    this.show(run, ended);
    this.tell();
    this.bar.hidden = ended;
    if (run.state === "running") this.bar.value = run.fraction;
    else this.bar.removeAttribute("value");
    this.cancel.hidden = ended || !run.job;
    this.close.hidden = !ended;
    this.#showError();
  }

  tell() {
    this.state.textContent = this.#stateText();
  }

  show(run, ended) {
    for (const [path, card] of this.cards) if (!run.clips.some((clip) => clip.path === path)) this.#removeCard(path, card);
    for (const clip of run.clips) this.#addClip(clip);
    if (ended) for (const preview of this.previews.values()) preview.remove();
  }

  #stateText() {
    const { run } = this;
    if (run.state === "sent") return "sending…";
    if (run.state === "queued") return run.message || "waiting for its turn";
    if (run.state === "running") {
      const left = run.eta_s > 0.05 ? ` · ${seconds(run.eta_s)} left` : "";
      return run.message || `${run.stage} · ${Math.round(run.fraction * 100)} %${left}`;
    }
    if (run.state === "done") return this.done(run);
    return run.state;
  }

  done(run) {
    return run.clips.length === run.takes ? plural(run.takes, "take") : `${run.clips.length} of ${plural(run.takes, "take")}`;
  }

  #showError() {
    const { run } = this;
    this.error.hidden = run.state !== "failed";
    if (this.error.hidden) return;
    this.error.replaceChildren(el("code", {}, run.reason), el("span", {}, run.message), button("Copy", "Copy the text", () => copy(`${run.reason}: ${run.message}`), "small"));
  }

  #addClip(clip) {
    if (this.cards.has(clip.path)) return;
    this.previews.get(clip.take)?.remove();
    this.previews.delete(clip.take);
    const card = new Card(clip, { within: true });
    this.cards.set(clip.path, card);
    this.takes.append(card.node);
  }

  #removeCard(path, card) {
    card.remove();
    this.cards.delete(path);
  }

  preview(take) {
    if ([...this.cards.values()].some((card) => card.clip.take === take)) return;
    let preview = this.previews.get(take);
    if (!preview) {
      preview = new Preview(this.run.id, take, this.run.grid && gridOf({ bpm: 120, bars: 4, ...this.run.grid }));
      this.previews.set(take, preview);
      this.takes.append(preview.node);
    }
    preview.grow();
  }

  leave() {
    for (const id of this.ids) {
      closed.add(id);
      runs.delete(id);
    }
    rememberOfTab("bridge-closed", [...closed].slice(-100));
    for (const card of this.cards.values()) card.remove();
    this.node.remove();
    runActions.changed?.();
  }
}

// An idea in parts: one entry for all that was asked of it, later parts and those made anew among it.
class IdeaView extends RunView {
  #members = new Map(); // run id → what was asked of it

  get ids() {
    return [...this.#members.keys()];
  }

  update(run) {
    const earlier = this.#members.has(run.id) && run.id !== this.ids.at(-1);
    if (earlier) this.show(run, true);
    else super.update(run);
  }

  show(run, ended) {
    const asked = [...readParts(run.asked.redo), ...readParts(run.asked.parts)].map(({ name }) => name.toLowerCase().replace(/[\s-]+/g, "_"));
    this.#members.set(run.id, asked);
    if (!run.idea) return; // it is on its way to the daemon, which gives the idea its name
    if (!this.mixer) {
      this.mixer = new Mixer(run.idea, { title: run.prompt, within: true });
      this.cards.set(run.idea, this.mixer);
      this.takes.append(this.mixer.node);
      if (run.idea !== run.job) this.mixer.load().then(() => this.loaded(), notify);
    }
    if (!ended) this.mixer.expect(asked, this.#grid());
    for (const clip of run.clips) this.mixer.put(clip);
    const made = new Set(run.clips.map(({ part }) => part));
    const [now] = run.stage.split(":");
    for (const part of asked.filter((one) => !made.has(one))) {
      if (ended) this.mixer.missed(part);
      else this.mixer.said(part, part === now ? "in the making" : "waits for its turn");
    }
  }

  // It was gone on with from the library: what it is called, and how many parts it has, came with its clips.
  loaded() {
    this.title.textContent = this.title.title = this.mixer.name;
    this.tell();
  }

  #grid() {
    if (this.mixer.clip) return gridOf(this.mixer.clip);
    return this.run.grid && gridOf({ bpm: 120, bars: 4, ...this.run.grid });
  }

  done() {
    return plural([...(this.mixer?.lanes.values() ?? [])].filter((lane) => lane.clip).length, "part");
  }

  async preview(take) {
    const part = this.#members.get(this.run.id)?.[take];
    if (!part || this.looking) return;
    this.looking = true;
    try {
      const bytes = await getBytes(`/bridge/preview/${this.run.id}/${take}`);
      if (bytes.byteLength) this.mixer.preview(part, await decode(bytes), this.#grid());
    } catch (error) {
      if (!(error instanceof BridgeError)) console.warn(error);
    }
    setTimeout(() => (this.looking = false), PREVIEW_EVERY_MS);
  }
}

export function onRun(run, { fresh = true } = {}) {
  if (closed.has(run.id)) return;
  const known = runs.get(run.id) ?? (run.idea && [...runs.values()].find((view) => view instanceof IdeaView && view.run.idea === run.idea));
  if (known) {
    const before = known.run.state;
    runs.set(run.id, known);
    known.update(run);
    if (fresh && run.state === "failed" && before !== "failed") blame(run);
    return;
  }
  const view = run.asked.parts || run.asked.redo ? new IdeaView(run) : new RunView(run);
  runs.set(run.id, view);
  view.update(run);
  list.prepend(view.node);
  if (fresh && run.state === "failed") blame(run);
  runActions.changed?.();
}

// The daemon refused a setting: its words stand beside that field until it is mended, and the run goes with them.
function blame(run) {
  const { field } = run;
  if (!field || (run.idea && run.idea !== run.job)) return; // what goes on with an idea is not asked by the form
  form.fail(field, run.message);
  const mended = ({ detail }) => {
    if (detail.mended !== field) return;
    form.removeEventListener("errors", mended);
    runs.get(run.id)?.leave();
  };
  form.addEventListener("errors", mended);
}

export const onAudio = ({ run, take }) => runs.get(run)?.preview(take);
