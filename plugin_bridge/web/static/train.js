// An adapter of one's own sound: choose a folder, see and hear what was found in it, train with a live curve, compare
// before and after.

import { get, post, query, recall, remember } from "./api.js";
import { curves, paintCurves } from "./curves.js";
import { button, copy, el, plural, round, seconds } from "./dom.js";
import { gridOf } from "./grid.js";
import { Sound } from "./listen.js";
import { onShown } from "./views.js";

const KEPT = "bridge-train";
const FILES_SHOWN = 100;
const MORE = { trigger: ["Trigger word", "none"], base: ["Cascade", "nano"], stages: ["Stages", "all"], rank: ["Rank", "32"], learning_rate: ["Learning rate", "0.0005"] };

const LESSON = [
  ["Choose a folder", "Your own loops or stems. Ten minutes of audio are a good beginning."],
  ["Look at it", "Hear every file, and see the tempo and the key that were found."],
  ["Train", "Watch the loss fall. A stopped run goes on where it was."],
  ["Compare", "Hear the same clips before and after, then use the adapter."],
];

export const trainActions = { use: null };

const kept = recall(KEPT) ?? {};
const fields = new Map();
const trouble = el("p.field-error", { id: "train-error", role: "alert", hidden: true });
const folders = el("div.folders");
const found = el("div", { id: "train-found" });
const training = el("section.training", { id: "training", "aria-label": "training" });

function field(name, title, placeholder) {
  const id = `train-${name.replace("_", "-")}`;
  const input = el("input", { type: "text", id, placeholder, value: kept[name] ?? "", autocomplete: "off", spellcheck: false });
  input.addEventListener("input", () => {
    complain("");
    remember(KEPT, values());
  });
  fields.set(name, input);
  return el("div.field", {}, el("label.label", { for: id }, title), input);
}

const values = () => Object.fromEntries([...fields].map(([name, input]) => [name, input.value.trim()]));
const targets = el("select", { id: "train-targets" }, ...["attention", "mlp", "all"].map((one) => el("option", { value: one }, one)));
const restart = el("input", { type: "checkbox", id: "train-restart" });

function complain(message, name = "") {
  trouble.textContent = message;
  trouble.hidden = !message;
  for (const [one, input] of fields) {
    const wrong = Boolean(message) && one === name;
    input.setAttribute("aria-invalid", String(wrong));
    if (wrong) input.focus();
  }
  if (name) fields.get(name).closest(".field").append(trouble);
}

// What the server refuses stands under the field it is about.
async function attempt(path, body) {
  complain("");
  try {
    await post(path, body);
  } catch (error) {
    complain(error.message, /adapter has no name|name /.test(error.message) ? "name" : "folder");
  }
}

const look = button("Look at it", "List what is in the folder, with tempo and key", () => attempt("/bridge/train/prepare", { folder: values().folder }), "");
const start = button("Train", "Train on this folder; a stopped run of this name goes on", () =>
  attempt("/bridge/train/start", { ...values(), targets: targets.value, restart: restart.checked }), "primary");
const stop = button("Stop", "Stop at the next step; the same run can go on from there", () => post("/bridge/train/stop"), "");
[look.id, start.id, stop.id] = ["train-look", "train-start", "train-stop"];
stop.hidden = true;

const steps = el("form.train-form", { onsubmit: (event) => event.preventDefault(), "aria-label": "training" },
  field("folder", "Folder with your loops or stems, on this machine", "~/Music/MyStems"), folders,
  field("name", "Name of the adapter", "my-sound"), field("minutes", "Minutes", "8 on a CPU"),
  el("details", {}, el("summary", {}, "More settings"), el("div.more-fields", {}, ...Object.entries(MORE).map(([name, [title, placeholder]]) => field(name, title, placeholder)),
    el("div.field", {}, el("label.label", { for: "train-targets" }, "Layers"), targets), el("label.check", {}, restart, "Begin anew, also where a stopped run could go on"))),
  el("div.tools", {}, look, start, stop));
fields.get("folder").closest(".field").append(trouble);
document.getElementById("train").append(el("div.train", {}, steps, el("div.train-told", {}, training, found)));
onShown("train", () => paintCurves(training));
new ResizeObserver(() => paintCurves(training)).observe(training);

let drawn = ""; // the data set that stands in the page
let ended = "";

export function onTrain(told) {
  const { what, state } = told;
  const running = state === "running";
  stop.hidden = !running;
  look.disabled = start.disabled = running;
  training.dataset.state = state;
  if (what === "idle") {
    training.replaceChildren(el("p.lead", {}, "Teach it your own sound."), el("ol.lesson", {}, ...LESSON.map(([title, text]) => el("li", {}, el("strong", {}, title), el("span", {}, text)))));
    return;
  }
  const parts = [head(told)];
  if (told.error) parts.push(el("div.error-box", { role: "alert" }, el("span", {}, told.error), button("Copy", "Copy the text", () => copy(told.error), "small")));
  if (told.ticks.length) parts.push(curves(told.ticks));
  if (state === "done" && what === "train") parts.push(result(told.result));
  if (told.lines.length) parts.push(el("details", { open: state === "failed" || Boolean(training.querySelector("details[open]")) }, el("summary", {}, "What it says"), el("pre", { tabIndex: 0 }, told.lines.join("\n"))));
  const now = JSON.stringify([what, state, told.result]);
  if (ended !== now || running) training.replaceChildren(...parts); // what is being listened to stays
  ended = now;
  paintCurves(training);
  if (Object.keys(told.dataset).length) dataset(told);
}

function head({ what, state, progress, command }) {
  const names = { prepare: "Looking at the folder", train: "Training" };
  const bar = el("progress", { max: 1, hidden: state !== "running", "aria-label": names[what] });
  if (progress.total) bar.value = progress.done / progress.total;
  return el("div.panel", {}, el("header", {}, el("h2", {}, names[what]), el("span.state", { role: "status" }, stateText(state, progress))), bar, el("code.command-line", {}, command));
}

function stateText(state, progress) {
  if (state !== "running") return state;
  const left = progress.eta_s > 0 ? ` · ${seconds(progress.eta_s)} left` : "";
  const done = progress.total ? ` ${progress.done} of ${progress.total}` : "";
  return progress.what ? `${progress.what}${done}${left}` : "starting…";
}

// What was found in the folder stays in the page while the training runs.
function dataset({ dataset: told, report }) {
  const now = JSON.stringify(told);
  if (now === drawn) return;
  drawn = now;
  const { samples = [], skipped = [], notes = [] } = told;
  const said = `${plural(told.files, "file")}, ${plural(told.segments, "segment")}, ${Number(told.minutes).toFixed(1)} minutes · ${plural(told.held_out, "file")} held out to listen by`;
  found.replaceChildren(el("section.panel", { "aria-label": "what was found" },
    el("header", {}, el("h2", {}, "What was found"), report ? el("a.b.small", { href: "/bridge/train/report", target: "_blank", rel: "noopener" }, "Full report") : ""),
    el("p.soft", {}, `${said}${told.songs ? ` · ${plural(told.songs, "song")} of aligned stems` : ""}`),
    list("warning", notes), list("skipped file", skipped.map((one) => `${one.path}: ${one.reason}`)),
    el("ul.rows.files", {}, ...samples.slice(0, FILES_SHOWN).map(file)),
    samples.length > FILES_SHOWN ? el("p.soft", {}, `… and ${samples.length - FILES_SHOWN} more: all of them are in the report.`) : ""));
}

function list(title, lines) {
  if (!lines.length) return "";
  return el("details.warnings", { open: lines.length <= 5 }, el("summary", {}, `${plural(lines.length, title)}`), el("ul", {}, ...lines.map((line) => el("li", {}, line))));
}

function file(one) {
  const sound = new Sound(`/bridge/train/source?${query({ name: one.path })}`, one.path, one.bpm ? gridOf({ bpm: one.bpm, signature: one.signature, bars: (one.duration_s * one.bpm) / 240 }) : null);
  const tempo = one.bpm ? `${round(one.bpm)} bpm${one.sure ? "" : " ?"}` : "no tempo";
  const facts = el("span.facts", {}, el("span.bpm" + (one.sure ? "" : ".warn"), { title: one.sure ? "" : "not sure: say it in the file name or in dataset.json" }, tempo), el("span.key", {}, one.key || "no key"), el("span.bars", {}, seconds(one.duration_s)));
  const row = el("li.row", {}, el("div.line", {}, sound.button, sound.wave.canvas, el("span.open", {}, el("strong", {}, one.path), el("span.soft", {}, one.caption)), facts));
  row.dataset.file = one.path;
  sound.node = row;
  return row;
}

const fileUrl = (name) => `/bridge/train/file?${query({ name })}`;

function result({ name, folder, summary, files }) {
  const stages = Object.entries(summary?.stages ?? {}).map(([stage, one]) =>
    el("li", {}, `stage ${stage}: held-out loss ${one.base_loss?.toFixed(4)} → ${one.loss?.toFixed(4)}, effect ${(100 * one.effect).toFixed(1)} %`));
  const heard = summary?.trained_files ? [el("p.soft", {}, `Trained on ${plural(summary.trained_files, "file")}, ${summary.held_out_files} held out.`)] : [];
  return el("section.panel", { "aria-label": "result" },
    el("header", {}, el("h2", {}, `Adapter ${name} is ready`), button("Use it", "Take it into the next request", () => trainActions.use(name), "primary small")),
    ...pairs(files.filter((one) => one.endsWith(".wav"))).map(comparison), ...heard, el("ul.soft", {}, ...stages), el("p.soft", {}, folder));
}

// "previews/1_before.wav" and "previews/1_after.wav" belong together.
function pairs(files) {
  const groups = new Map();
  for (const one of files) {
    const [number] = one.split("/").pop().split("_");
    groups.set(number, [...(groups.get(number) ?? []), one]);
  }
  return [...groups.values()].map((own) => own.sort((one, other) => other.includes("before") - one.includes("before")));
}

// Switching between the two keeps the place, so that the same beat is heard both ways.
function comparison(files) {
  return el("div.comparison", {}, ...files.map((one) => {
    const name = one.split("/").pop().replace(/\.wav$/, "").replace(/^\d+_/, "").replaceAll("_", " ");
    const sound = new Sound(fileUrl(one), name, null);
    sound.node = el("div.side", {}, sound.button, el("strong", {}, name), sound.wave.canvas);
    sound.node.dataset.preview = one;
    return sound.node;
  }));
}

// Choosing a folder: its folders as buttons. The text field stays the truth.
async function browse(path) {
  const told = await get(`/bridge/folders?${query({ path })}`).catch(() => get("/bridge/folders"));
  const input = fields.get("folder");
  input.value = told.path;
  input.dispatchEvent(new Event("input"));
  folders.replaceChildren(button("↑", `Up to ${told.parent}`, () => browse(told.parent), "small"),
    ...told.folders.map((name) => button(`${name}/`, "", () => browse(`${told.path}/${name}`), "small")), el("span.soft", { role: "status" }, `${plural(told.audio, "audio file")} here`));
}

folders.append(button("Choose a folder…", "Walk through the folders of this machine", () => browse(fields.get("folder").value), "small"));
