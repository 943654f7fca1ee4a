// A waveform with a bar grid on a canvas: click to go there, drag to select a range (snapped to beats, Alt: freely).

import { beatsOf, snap } from "./grid.js";

const MIN_DRAG_PX = 4;

const watching = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) if (isIntersecting) target.wave.draw();
});
const resizing = new ResizeObserver((entries) => {
  for (const { target } of entries) target.wave.resized();
});

export class Wave {
  buffer = null;
  grid = null;
  range = null; // [start_s, end_s]
  head_s = null;
  onseek = null;
  onselect = null;
  #peaks = null;
  #drag = null;

  constructor({ selectable = true, label = "waveform" } = {}) {
    this.canvas = document.createElement("canvas");
    this.canvas.className = "wave";
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", label);
    this.canvas.wave = this;
    watching.observe(this.canvas);
    resizing.observe(this.canvas);
    this.canvas.addEventListener("pointerdown", (event) => this.#down(event, selectable));
    this.canvas.addEventListener("pointermove", (event) => this.#move(event));
    this.canvas.addEventListener("pointerup", (event) => this.#up(event));
    this.canvas.addEventListener("pointercancel", () => (this.#drag = null)); // a finger that scrolls the page
  }

  get duration_s() {
    return this.buffer?.duration ?? this.grid?.duration_s ?? 0;
  }

  show(buffer, grid) {
    this.buffer = buffer;
    this.grid = grid;
    this.#peaks = null;
    this.draw();
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
  }

  resized() {
    this.#peaks = null;
    this.draw();
  }

  #time(event) {
    const box = this.canvas.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * this.duration_s;
  }

  #down(event, selectable) {
    if (!this.duration_s || event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.#drag = { x: event.clientX, from_s: this.#time(event), moved: false, selectable };
  }

  #move(event) {
    const drag = this.#drag;
    if (!drag?.selectable) return;
    if (Math.abs(event.clientX - drag.x) >= MIN_DRAG_PX) drag.moved = true;
    if (!drag.moved) return;
    const grid = event.altKey ? null : this.grid;
    const ends = [snap(grid, drag.from_s), snap(grid, this.#time(event))].map((t) => Math.min(t, this.duration_s));
    ends.sort((a, b) => a - b);
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
    if (this.range && drag.selectable) this.select(null);
    this.onseek?.(this.#time(event));
  }

  #peaksFor(columns) {
    if (this.#peaks?.length === columns * 2) return this.#peaks;
    const peaks = new Float32Array(columns * 2);
    const channels = Array.from({ length: this.buffer.numberOfChannels }, (_, c) => this.buffer.getChannelData(c));
    const step = this.buffer.length / columns;
    const stride = Math.max(1, Math.floor(step / 400)); // enough to draw a song of minutes at once
    for (let x = 0; x < columns; x++) {
      let low = 0;
      let high = 0;
      const end = Math.min(this.buffer.length, Math.ceil((x + 1) * step));
      for (let i = Math.floor(x * step); i < end; i += stride) {
        for (const channel of channels) {
          if (channel[i] < low) low = channel[i];
          if (channel[i] > high) high = channel[i];
        }
      }
      peaks[2 * x] = low;
      peaks[2 * x + 1] = high;
    }
    this.#peaks = peaks;
    return peaks;
  }

  draw() {
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * ratio);
    const height = Math.round(canvas.clientHeight * ratio);
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const style = getComputedStyle(canvas);
    const ink = (name) => style.getPropertyValue(name).trim();
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    const x = (time_s) => Math.round((time_s / this.duration_s) * width);
    if (this.range) {
      context.fillStyle = ink("--wave-range");
      context.fillRect(x(this.range[0]), 0, x(this.range[1]) - x(this.range[0]), height);
    }
    if (this.grid && this.duration_s) this.#drawGrid(context, x, width, height, ratio, ink);
    if (this.buffer) this.#drawPeaks(context, width, height, ink("--wave-ink"));
    if (this.head_s !== null && this.duration_s) {
      context.fillStyle = ink("--wave-head");
      context.fillRect(x(this.head_s), 0, Math.max(1, Math.round(1.5 * ratio)), height);
    }
  }

  #drawPeaks(context, width, height, ink) {
    const peaks = this.#peaksFor(width);
    const middle = height / 2;
    context.fillStyle = ink;
    for (let x = 0; x < width; x++) {
      const top = middle - peaks[2 * x + 1] * middle * 0.96;
      const bottom = middle - peaks[2 * x] * middle * 0.96;
      context.fillRect(x, top, 1, Math.max(1, bottom - top));
    }
  }

  #drawGrid(context, x, width, height, ratio, ink) {
    const beats = beatsOf(this.grid, this.duration_s);
    const beatPx = (this.grid.beat_s / this.duration_s) * width;
    const barPx = beatPx * this.grid.numerator;
    const every = Math.max(1, Math.ceil((26 * ratio) / barPx)); // labels need room
    context.font = `${Math.round(10 * ratio)}px sans-serif`;
    for (const { time_s, downbeat, bar } of beats) {
      if (!downbeat && beatPx < 5 * ratio) continue;
      if (downbeat && barPx < 3 * ratio && (bar - 1) % every) continue;
      context.fillStyle = ink(downbeat ? "--wave-bar" : "--wave-beat");
      context.fillRect(x(time_s), 0, Math.max(1, Math.round(ratio)), height);
      if (downbeat && (bar - 1) % every === 0) {
        context.fillStyle = ink("--wave-label");
        context.fillText(String(bar), x(time_s) + 3 * ratio, 10 * ratio);
      }
    }
  }
}
