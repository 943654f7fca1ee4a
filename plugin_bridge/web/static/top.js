// The line on top: is the daemon there, what is loaded, light or dark.

import { post } from "./api.js";
import { notify } from "./dom.js";
import { redrawAll } from "./wave.js";

const pill = document.getElementById("pill");
const start = document.getElementById("start-daemon");
const theme = document.getElementById("theme");
const systemIsLight = matchMedia("(prefers-color-scheme: light)");

export function onDaemon({ up, message, status, address }) {
  pill.dataset.state = up ? "up" : "down";
  pill.textContent = up ? status.cascade || "nothing loaded" : message;
  pill.title = up ? `daemon ${status.version} at ${address}, on ${status.device}` : address;
  start.hidden = up || !/^(127\.|localhost|\[::1\])/.test(address);
}

export function onSocket(open) {
  if (open) return;
  pill.dataset.state = "down";
  pill.textContent = "the page's own server is gone; trying again…";
  start.hidden = true;
}

start.addEventListener("click", () => post("/bridge/daemon/start").catch(notify));
theme.addEventListener("click", () => {
  const { dataset } = document.documentElement;
  const isLight = (dataset.theme ?? (systemIsLight.matches ? "light" : "dark")) === "light";
  dataset.theme = isLight ? "dark" : "light";
  localStorage.setItem("bridge-theme", dataset.theme);
  redrawAll();
});
systemIsLight.addEventListener("change", redrawAll);

// What scrolls under the top keeps clear of it, however high the deck is.
new ResizeObserver(([entry]) => document.documentElement.style.setProperty("--top", `${entry.target.offsetHeight}px`)).observe(document.querySelector(".top"));

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names the view
  document.getElementById("prompt").focus();
});
