// The bar at the bottom: what plays and where in bars, how loud it is, volume, loop and click.

import { currentCard } from "./clip.js";
import { button, el } from "./dom.js";
import { barAt } from "./grid.js";
import { player } from "./sound.js";

const FLOOR_DB = -48;
const FALL_DB_S = 24; // as meters fall
const HOLD_MS = 1200;

const toggle = button("▶", "Play and stop (space)", () => (player.owner ? player.stop() : currentCard()?.toggle()), "play");
const name = el("strong.name", {}, "nothing plays");
const position = el("span.position", {}, "");
const bars = [0, 1].map(() => ({ fill: el("div.fill"), peak: el("div.peak"), db: FLOOR_DB, top: FLOOR_DB, since: 0 }));
const meter = el("div.meter", { role: "meter", "aria-label": "peak level", "aria-valuemin": FLOOR_DB, "aria-valuemax": 0, "aria-valuenow": FLOOR_DB },
  ...bars.map((bar) => el("div.side", {}, bar.fill, bar.peak)));
const reading = el("span.reading", { "aria-hidden": "true" }, "−∞ dB");
const volume = el("input.volume", { type: "range", min: 0, max: 1, step: 0.01, value: player.volume, title: "Volume", "aria-label": "volume" });
const loop = button("Loop", "Loop on or off (L)", () => player.setLooping(!player.looping), "small toggle");
const click = button("Click", "Click track on or off (C)", () => player.setClick(!player.click), "small toggle");

document.getElementById("transport").append(toggle, el("div.what", {}, name, position), meter, reading, el("div.switches", {}, loop, click), volume);
volume.addEventListener("input", () => player.setVolume(Number(volume.value)));

player.addEventListener("change", () => {
  press();
  if (player.owner) requestAnimationFrame(follow);
});
press();

function press() {
  const track = player.track;
  toggle.textContent = player.owner ? "■" : "▶";
  name.textContent = track?.name || (player.owner ? "a sound" : "nothing plays");
  loop.setAttribute("aria-pressed", String(player.looping));
  click.setAttribute("aria-pressed", String(player.click));
}

let last_ms = 0;

function follow(now_ms) {
  const passed_s = Math.min(0.2, (now_ms - last_ms) / 1000);
  last_ms = now_ms;
  const track = player.track;
  position.textContent = track ? place(track, player.position()) : "";
  const levels = player.levels();
  bars.forEach((bar, side) => draw(bar, 20 * Math.log10(Math.max(levels[side], 1e-6)), passed_s, now_ms));
  const top = Math.max(...bars.map((bar) => bar.top));
  reading.textContent = top > FLOOR_DB ? `${top.toFixed(1).replace("-", "−")} dB` : "−∞ dB";
  reading.classList.toggle("over", top > -0.1);
  meter.setAttribute("aria-valuenow", Math.round(Math.max(FLOOR_DB, Math.max(...bars.map((bar) => bar.db)))));
  if (player.owner || bars.some((bar) => bar.db > FLOOR_DB)) requestAnimationFrame(follow);
}

function draw(bar, db, passed_s, now_ms) {
  bar.db = Math.max(db, bar.db - FALL_DB_S * passed_s, FLOOR_DB);
  if (db >= bar.top || now_ms - bar.since > HOLD_MS) [bar.top, bar.since] = [Math.max(db, FLOOR_DB), now_ms];
  bar.fill.style.clipPath = `inset(0 ${100 * (bar.db / FLOOR_DB)}% 0 0)`;
  bar.peak.style.left = `${100 * (1 - bar.top / FLOOR_DB)}%`;
}

// "2.3 / 4 bars"
function place({ grid, buffer }, at_s) {
  if (!grid) return `${at_s.toFixed(1)} / ${buffer.duration.toFixed(1)} s`;
  const [bar, beat] = barAt(grid, at_s).match(/\d+/g);
  return `${bar}.${beat} / ${Math.round(grid.bars * 100) / 100}`;
}
