// Musical time in the browser: where bars and beats of a clip lie. bpm counts quarter notes per minute.

export function gridOf({ bpm, signature, bars }) {
  const [numerator, denominator] = String(signature || "4/4").split("/").map(Number);
  if (!(bpm > 0) || !(numerator > 0) || !(denominator > 0)) return null;
  const beat_s = (4 / denominator) * (60 / bpm);
  return { bpm, beat_s, numerator, denominator, bar_s: beat_s * numerator, duration_s: beat_s * numerator * bars, bars };
}

// Every beat before `end_s`: { time_s, downbeat, bar }.
export function beatsOf(grid, end_s) {
  const beats = [];
  for (let i = 0; i * grid.beat_s < end_s - 1e-6 && i < 20_000; i++) {
    beats.push({ time_s: i * grid.beat_s, downbeat: i % grid.numerator === 0, bar: Math.floor(i / grid.numerator) + 1 });
  }
  return beats;
}

export function snap(grid, time_s) {
  return grid ? Math.round(time_s / grid.beat_s) * grid.beat_s : time_s;
}

// "bar 2, beat 3": where a moment lies, as a musician counts.
export function barAt(grid, time_s) {
  const beats = Math.floor(time_s / grid.beat_s + 1e-6);
  return `bar ${Math.floor(beats / grid.numerator) + 1}, beat ${(beats % grid.numerator) + 1}`;
}

// Tempo by tapping: the median of the last intervals; a pause of two seconds begins anew.
export class Taps {
  #times = [];

  tap(now_ms) {
    if (this.#times.length && now_ms - this.#times.at(-1) > 2000) this.#times = [];
    this.#times.push(now_ms);
    this.#times = this.#times.slice(-9);
    if (this.#times.length < 2) return null;
    const intervals = this.#times.slice(1).map((time, i) => time - this.#times[i]).sort((a, b) => a - b);
    const middle = intervals.length >> 1;
    const median = intervals.length % 2 ? intervals[middle] : (intervals[middle - 1] + intervals[middle]) / 2;
    return Math.round((60000 / median) * 10) / 10;
  }
}
