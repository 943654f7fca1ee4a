// The training page: what was found in the folder, loss curves, previews before and after, the finished adapter.

import { button, copy, el, get, mount, notify, query, seconds } from "./api.js";
import { load, player } from "./sound.js";
import { Wave } from "./wave.js";

const box = el("section.training");
const folders = el("div.folders");
mount("train", box);
mount("folders", folders);

export const trainActions = { use: null };


export function onTrain(told) {
  const { what, state } = told;
  if (what === "idle") {
    box.replaceChildren(el("p.empty", {}, "Choose a folder of your own loops or stems, look at what is found in it, then train. "
      + "A stopped run goes on where it was."));
    return;
  }
  const parts = [head(told)];
  if (told.error) parts.push(el("div.error-box", { role: "alert" }, el("span", {}, told.error), button("Copy", "Copy the text", () => copy(told.error), "small")));
  if (what === "prepare" && Object.keys(told.dataset).length) parts.push(dataset(told.dataset));
  if (told.report) parts.push(el("p", {}, el("a.b.small", { href: "/bridge/train/report", target: "_blank" }, "Open the report: what was found, what was skipped and why")));
  if (told.ticks.length) parts.push(curves(told.ticks));
  if (state === "done" && what === "train") parts.push(result(told.result));
  if (told.lines.length) parts.push(el("details", { open: state === "failed" }, el("summary", {}, "What it says"), el("pre", {}, told.lines.join("\n"))));
  box.replaceChildren(...parts);
  box.dataset.state = state;
  for (const canvas of box.querySelectorAll("canvas.curve")) canvas.paint();
}

function head({ what, state, progress, command }) {
  const names = { prepare: "Looking at the folder", train: "Training" };
  const line = el("header", {}, el("strong", {}, names[what]), el("span.state", {}, stateText(state, progress)));
  const bar = el("progress", { max: 1, hidden: state !== "running" });
  if (progress.total) bar.value = progress.done / progress.total;
  return el("div.run", {}, line, bar, el("code.command-line", {}, command));
}

function stateText(state, progress) {
  if (state !== "running") return state;
  const left = progress.eta_s > 0 ? ` · ${seconds(progress.eta_s)} left` : "";
  const done = progress.total ? ` ${progress.done} of ${progress.total}` : "";
  return progress.what ? `${progress.what}${done}${left}` : "starting…";
}

function dataset(found) {
  const list = el("ul");
  for (const one of found.skipped ?? []) list.append(el("li", {}, `${one.path}: ${one.reason}`));
  return el("div.panel", {},
    el("p", {}, `${found.files} files, ${found.segments} segments, ${Number(found.minutes).toFixed(1)} minutes; ${found.held_out} files held out; ${found.songs} songs of aligned stems.`),
    (found.skipped ?? []).length ? el("details", {}, el("summary", {}, `${found.skipped.length} skipped`), list) : "");
}

// One curve per stage: loss thin, held-out loss thick with dots.
function curves(ticks) {
  const stages = [...new Set(ticks.map((tick) => tick.stage))];
  const root = el("div.curves");
  for (const stage of stages) {
    const own = ticks.filter((tick) => tick.stage === stage);
    const last = own.at(-1);
    const held = own.filter((tick) => tick.validation !== null && tick.validation !== undefined);
    const canvas = el("canvas.curve");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `loss of stage ${stage}`);
    canvas.dataset.points = own.length;
    canvas.paint = () => paint(canvas, own, held);
    const numbers = `loss ${last.loss.toFixed(4)}${held.length ? `, held out ${held[0].validation.toFixed(4)} → ${held.at(-1).validation.toFixed(4)}` : ""}`;
    root.append(el("figure", {}, el("figcaption", {}, el("strong", {}, `stage ${stage}`), ` step ${last.step} of ${last.total_steps} · ${numbers}`), canvas));
  }
  return root;
}

function paint(canvas, ticks, held) {
  const ratio = window.devicePixelRatio || 1;
  const width = (canvas.width = Math.round(canvas.clientWidth * ratio));
  const height = (canvas.height = Math.round(canvas.clientHeight * ratio));
  if (!width || !height) return;
  const style = getComputedStyle(canvas);
  const ink = (name) => style.getPropertyValue(name).trim();
  const context = canvas.getContext("2d");
  const values = [...ticks.map((tick) => tick.loss), ...held.map((tick) => tick.validation)].filter(Number.isFinite);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const pad = 6 * ratio;
  const left = 46 * ratio; // the labels' room
  const x = (step) => left + (step / (ticks.at(-1).total_steps || 1)) * (width - left - pad);
  const y = (value) => height - pad - ((value - low) / (high - low || 1)) * (height - 2 * pad);
  const line = (points, colour, thick) => {
    context.strokeStyle = colour;
    context.lineWidth = thick * ratio;
    context.beginPath();
    points.forEach(([step, value], i) => context[i ? "lineTo" : "moveTo"](x(step), y(value)));
    context.stroke();
  };
  line(ticks.map((tick) => [tick.step, tick.loss]), ink("--wave-label"), 1);
  line(held.map((tick) => [tick.step, tick.validation]), ink("--wave-ink"), 2);
  context.fillStyle = ink("--wave-ink");
  for (const tick of held) context.fillRect(x(tick.step) - 2 * ratio, y(tick.validation) - 2 * ratio, 4 * ratio, 4 * ratio);
  context.fillStyle = ink("--wave-label");
  context.font = `${10 * ratio}px sans-serif`;
  context.fillText(high.toFixed(3), pad, 11 * ratio);
  context.fillText(low.toFixed(3), pad, height - 3 * ratio);
}

const fileUrl = (name) => `/bridge/train/file?${query({ name })}`;

function result({ name, folder, summary, files }) {
  const stages = Object.entries(summary?.stages ?? {}).map(([stage, one]) =>
    el("li", {}, `stage ${stage}: held-out loss ${one.base_loss?.toFixed(4)} → ${one.loss?.toFixed(4)}, effect ${(100 * one.effect).toFixed(1)} %`));
  return el("div.panel", {},
    el("p", {}, el("strong", {}, `Adapter ${name}`), " is ready. ", button("Use it", "Take it into the next request", () => trainActions.use(name), "primary small")),
    el("p.empty", {}, folder), el("ul", {}, ...stages),
    ...files.filter((file) => file.endsWith(".wav")).map(preview));
}

function preview(file) {
  const wave = new Wave({ selectable: false, label: file });
  const owner = {};
  const play = button("▶", "Play as a loop", async () => {
    if (player.owner === owner) return player.stop();
    const buffer = await load(fileUrl(file));
    await player.play(owner, { buffer, grid: null, range: null });
  }, "small");
  player.addEventListener("change", () => (play.textContent = player.owner === owner ? "■" : "▶"));
  load(fileUrl(file)).then((buffer) => wave.show(buffer, null)).catch(notify);
  return el("div.preview", {}, play, el("span", {}, file.replace(/^.*\//, "").replace(".wav", "").replace("_", ": ")), wave.canvas);
}

// Choosing a folder: its folders as buttons. The text field stays the truth.
const field = () => document.querySelector("#train-folder textarea, #train-folder input");

function setFolder(path) {
  const input = field();
  input.value = path;
  input.dispatchEvent(new Event("input", { bubbles: true }));
}

async function browse(path) {
  const told = await get(`/bridge/folders?${query({ path })}`).catch(() => get("/bridge/folders"));
  setFolder(told.path);
  folders.replaceChildren(
    button("↑", told.parent, () => browse(told.parent), "small"),
    ...told.folders.map((name) => button(`${name}/`, name, () => browse(`${told.path}/${name}`), "small")),
    el("span.empty", {}, `${told.audio} audio files here`),
  );
}

folders.append(button("Choose a folder…", "Walk through the folders of this page's machine", () => browse(field()?.value ?? ""), "small"));
