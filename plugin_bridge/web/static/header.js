// The line on top: is the daemon there, what is loaded, click and loop switches, light or dark.

import { button, el, mount, post } from "./api.js";
import { player } from "./sound.js";

const pill = el("span.pill", { role: "status" }, "connecting…");
const start = button("Start the daemon", "Starts `acestep serve` on this machine", () => post("/bridge/daemon/start"), "small start");
start.hidden = true;
const click = button("Click", "Click track on or off (C)", () => player.setClick(!player.click), "small toggle");
const loop = button("Loop", "Loop on or off (L)", () => player.setLooping(!player.looping), "small toggle");
const shade = button("◐", "Light or dark", () => setDark(!document.body.classList.contains("dark")), "small");

mount("header", el("div.top", {}, el("strong.brand", {}, "ACE-Step bridge"), pill, start, el("span.switches", {}, loop, click, shade)));

const press = () => {
  click.setAttribute("aria-pressed", String(player.click));
  loop.setAttribute("aria-pressed", String(player.looping));
};
player.addEventListener("change", press);
press();

function setDark(dark) {
  document.body.classList.toggle("dark", dark);
  localStorage.setItem("bridge-dark", dark ? "yes" : "no");
  window.dispatchEvent(new Event("bridge-theme"));
}

const kept = localStorage.getItem("bridge-dark");
if (kept) setDark(kept === "yes");
window.addEventListener("bridge-theme", () => {
  for (const canvas of document.querySelectorAll("canvas.wave")) canvas.wave.draw();
});

export function onDaemon({ up, message, status, address }) {
  pill.dataset.state = up ? "up" : "down";
  pill.textContent = up ? `daemon ${status.version} · ${status.cascade || "nothing loaded"} · ${status.device}` : message;
  pill.title = address;
  start.hidden = up || !/^(127\.|localhost|\[::1\])/.test(address);
}

export function onSocket(open) {
  if (open) return;
  pill.dataset.state = "down";
  pill.textContent = "the page's own server is gone; trying again…";
  start.hidden = true;
}
