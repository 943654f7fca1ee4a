// A waveform with a bar grid on a canvas: press to go there, drag to select a range (snapped to beats, Alt: freely).
// It is a slider for the keyboard: arrows move by a beat, with Shift they select.

import { barAt, beatsOf, snap } from "./grid.js";
import { peaksOf, resampled } from "./peaks.js";

const MIN_DRAG_PX = 4;
const LABEL_PX = 15; // room for the numbers of bars

const all = new Set();
const watching = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) if (isIntersecting) target.wave.draw();
});
const resizing = new ResizeObserver((entries) => {
  for (const { target } of entries) target.wave.redraw();
});

// After the theme changed, inks are others.
export function redrawAll() {
  for (const reference of all) reference.deref()?.redraw() ?? (reference.deref() || all.delete(reference));
}

export class Wave {
  source = null; // an AudioBuffer, or { duration, peaks }
  grid = null;
  range = null; // [start_s, end_s]
  head_s = null;
  onseek = null;
  onselect = null;
  #layers = null; // the drawn waveform, at rest and played
  #drag = null;

  // `filled`: drawn as high as there is room, however quiet it is.
  constructor({ selectable = true, numbered = true, filled = false, label = "waveform" } = {}) {
    Object.assign(this, { selectable, numbered, filled });
    this.canvas = document.createElement("canvas");
    this.canvas.className = "wave";
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "slider");
    this.canvas.setAttribute("aria-label", label);
    this.canvas.wave = this;
    all.add(new WeakRef(this));
    watching.observe(this.canvas);
    resizing.observe(this.canvas);
    this.canvas.addEventListener("pointerdown", (event) => this.#down(event));
    this.canvas.addEventListener("pointermove", (event) => this.#move(event));
    this.canvas.addEventListener("pointerup", (event) => this.#up(event));
    this.canvas.addEventListener("pointercancel", () => (this.#drag = null)); // a finger that scrolls the page
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    this.#tell();
  }

  get duration_s() {
    return this.source?.duration ?? this.grid?.duration_s ?? 0;
  }

  show(source, grid) {
    this.source = source;
    this.grid = grid;
    this.redraw();
    this.#tell();
  }

  select(range) {
    this.range = range;
    this.draw();
    this.onselect?.(range);
  }

  moveHead(time_s) {
    if (time_s === this.head_s) return;
    this.head_s = time_s;
    this.draw();
    if (document.activeElement === this.canvas) this.#tell();
  }

  redraw() {
    this.#layers = null;
    this.draw();
  }

  #tell() {
    const at = this.head_s ?? this.range?.[0] ?? 0;
    const told = { valuemin: 0, valuemax: this.duration_s.toFixed(2), valuenow: at.toFixed(2), valuetext: this.grid ? barAt(this.grid, at) : `${at.toFixed(1)} s` };
    for (const [name, value] of Object.entries(told)) this.canvas.setAttribute(`aria-${name}`, value);
  }

  #time(event) {
    const box = this.canvas.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * this.duration_s;
  }

  #down(event) {
    if (!this.duration_s || event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.#drag = { x: event.clientX, from_s: this.#time(event), moved: false };
  }

  #move(event) {
    const drag = this.#drag;
    if (!drag || !this.selectable) return;
    if (Math.abs(event.clientX - drag.x) >= MIN_DRAG_PX) drag.moved = true;
    if (!drag.moved) return;
    const grid = event.altKey ? null : this.grid;
    this.#range(snap(grid, drag.from_s), snap(grid, this.#time(event)));
  }

  #range(one_s, other_s) {
    const ends = [one_s, other_s].map((t) => Math.min(Math.max(0, t), this.duration_s)).sort((a, b) => a - b);
    this.range = ends[1] > ends[0] ? ends : null;
    this.draw();
  }

  #up(event) {
    const drag = this.#drag;
    this.#drag = null;
    if (!drag) return;
    if (drag.moved) {
      this.onselect?.(this.range);
      return;
    }
    if (this.range && this.selectable) this.select(null);
    this.onseek?.(this.#time(event));
  }

  #key(event) {
    const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (event.key === "Escape" && this.range) this.select(null);
    else if (event.key === "Home") this.onseek?.(0);
    else if (way && this.duration_s) this.#step(way * (this.grid?.beat_s ?? this.duration_s / 16), event.shiftKey && this.selectable);
    else return;
    event.preventDefault();
    event.stopPropagation();
    this.#tell();
  }

  #step(by_s, selects) {
    if (selects) {
      const [start_s, end_s] = this.range ?? [snap(this.grid, this.head_s ?? 0), snap(this.grid, this.head_s ?? 0)];
      this.#range(start_s, Math.max(start_s, end_s + by_s));
      this.onselect?.(this.range);
      return;
    }
    const to_s = snap(this.grid, (this.head_s ?? 0) + by_s);
    this.onseek?.(Math.min(Math.max(0, to_s), this.duration_s - 0.01));
  }

  draw() {
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * ratio);
    const height = Math.round(canvas.clientHeight * ratio);
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height || !this.#layers) {
      [canvas.width, canvas.height] = [width, height];
      this.#layers = this.#paint(width, height, ratio);
    }
    const { rest, played, inks } = this.#layers;
    const context = canvas.getContext("2d");
    const x = (time_s) => Math.round((time_s / this.duration_s) * width);
    context.clearRect(0, 0, width, height);
    if (this.range) {
      context.fillStyle = inks.range;
      context.fillRect(x(this.range[0]), 0, x(this.range[1]) - x(this.range[0]), height);
    }
    context.drawImage(rest, 0, 0);
    if (this.head_s === null || !this.duration_s) return;
    const head = x(this.head_s);
    const from = this.range ? x(this.range[0]) : 0;
    if (head > from) context.drawImage(played, from, 0, head - from, height, from, 0, head - from, height);
    context.fillStyle = inks.head;
    context.fillRect(head, 0, Math.max(1, Math.round(1.5 * ratio)), height);
  }

  #paint(width, height, ratio) {
    const style = getComputedStyle(this.canvas);
    const ink = (name) => style.getPropertyValue(`--wave-${name}`).trim();
    const inks = Object.fromEntries(["peak", "rms", "played", "played-rms", "bar", "beat", "label", "head", "range"].map((name) => [name, ink(name)]));
    const layer = () => Object.assign(document.createElement("canvas"), { width, height });
    const [rest, played] = [layer(), layer()];
    const top = this.grid && this.numbered ? LABEL_PX * ratio : 0;
    if (this.grid && this.duration_s) this.#paintGrid(rest.getContext("2d"), width, height, ratio, inks);
    if (this.source) {
      const peaks = this.source.peaks ? resampled(this.source.peaks, width) : peaksOf(this.source, width);
      const shown = this.filled ? raised(peaks) : peaks;
      paintPeaks(rest.getContext("2d"), shown, top, height, inks.peak, inks.rms);
      paintPeaks(played.getContext("2d"), shown, top, height, inks.played, inks["played-rms"]);
    }
    return { rest, played, inks };
  }

  #paintGrid(context, width, height, ratio, inks) {
    const x = (time_s) => Math.round((time_s / this.duration_s) * width);
    const beatPx = (this.grid.beat_s / this.duration_s) * width;
    const barPx = beatPx * this.grid.numerator;
    const every = Math.max(1, Math.ceil((26 * ratio) / barPx)); // labels need room
    context.font = `${Math.round(11 * ratio)}px system-ui, sans-serif`;
    for (const { time_s, downbeat, bar } of beatsOf(this.grid, this.duration_s)) {
      if (!downbeat && beatPx < 5 * ratio) continue;
      if (downbeat && barPx < 3 * ratio && (bar - 1) % every) continue;
      const top = downbeat || !this.numbered ? 0 : LABEL_PX * ratio;
      context.fillStyle = downbeat ? inks.bar : inks.beat;
      context.fillRect(x(time_s), top, Math.max(1, Math.round(ratio)), height);
      if (downbeat && this.numbered && (bar - 1) % every === 0) {
        context.fillStyle = inks.label;
        context.fillText(String(bar), x(time_s) + 4 * ratio, 11 * ratio);
      }
    }
  }
}

const MOST = 12; // silence stays silence

function raised(peaks) {
  const loudest = peaks.low.reduce((top, low, x) => Math.max(top, -low, peaks.high[x]), 1e-6);
  const by = Math.max(1, Math.min(MOST, 1 / loudest));
  return { columns: peaks.columns, ...Object.fromEntries(["low", "high", "rms"].map((name) => [name, peaks[name].map((one) => one * by)])) };
}

function paintPeaks(context, peaks, top, height, ink, loud) {
  const half = (height - top) / 2;
  const middle = top + half;
  const bar = (x, low, high) => context.fillRect(x, middle - high * half * 0.96, 1, Math.max(1, (high - low) * half * 0.96));
  context.fillStyle = ink;
  for (let x = 0; x < peaks.columns; x++) bar(x, Math.max(-1, peaks.low[x]), Math.min(1, peaks.high[x]));
  context.fillStyle = loud;
  for (let x = 0; x < peaks.columns; x++) if (peaks.rms[x] > 0.004) bar(x, Math.max(-peaks.rms[x], peaks.low[x]), Math.min(peaks.rms[x], peaks.high[x]));
}
