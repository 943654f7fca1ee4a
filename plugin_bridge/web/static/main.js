// Puts the parts together: who hears what, what the form asks the browser, and the keyboard.

import { BridgeError, get, notify, query } from "./api.js";
import { adapterScales, setAdapters, showAdapters } from "./adapters.js";
import { actions, currentCard, onLibrary } from "./card.js";
import { Taps } from "./grid.js";
import { onDaemon, onSocket } from "./header.js";
import { onLibraryDaemon, searchSoon, showLibraryAdapters } from "./library.js";
import { connect, tab } from "./live.js";
import { context, pickerActions, reference } from "./picker.js";
import { onJobs, onProgress } from "./queue.js";
import { onAudio, onRun } from "./runs.js";
import { setupSoon } from "./setup.js";
import { onTrain, trainActions } from "./train.js";
import { audioContext, clickTrack, player, startLoop } from "./sound.js";

let supports = null;
let wasUp = false;
const taps = new Taps();

async function readModels() {
  try {
    const { cascades, adapters } = await get("/bridge/models");
    supports = cascades.find((one) => one.loaded)?.supports ?? null;
    showAdapters(adapters);
    showLibraryAdapters(adapters);
    pressHidden("models-go");
  } catch (error) {
    if (error.reason !== "unavailable") notify(error);
  }
}

const pressHidden = (id) => (document.querySelector(`#${id} button`) ?? document.getElementById(id))?.click();
const showTab = (name) => [...document.querySelectorAll("#tabs button[role=tab]")].find((one) => one.textContent.trim() === name)?.click();

function openSection(id) {
  const toggle = document.querySelector(`#${id} > button`);
  if (toggle && !toggle.classList.contains("open")) toggle.click();
}

function fillForm(asked) {
  window.bridge.recalled = { ...asked, tab };
  pressHidden("recall-go");
  showTab("Generate");
}

Object.assign(actions, {
  can: (task) => supports === null || supports.includes(task),
  async again(clip) {
    const { request } = await get(`/bridge/sidecar?${query({ clip: clip.path })}`);
    setAdapters(clip.adapters);
    readModels();
    fillForm({ clip: clip.path, set: { takes: 1 } });
    await Promise.all([reference.takeRequested(request?.reference), context.takeRequested(request?.context, request?.repaint_s)]);
  },
  async reference(clip, range) {
    showTab("Generate");
    openSection("audio-fields");
    await reference.takeClip(clip, range);
  },
  async context(clip, range) {
    fillForm({ set: { bpm: clip.bpm, signature: clip.signature, bars: clip.bars, key: clip.key, tempo_map: "" } });
    openSection("audio-fields");
    await context.takeClip(clip, range);
  },
  async repaint(clip, range) {
    fillForm({ clip: clip.path, set: { task: "repaint", seed: "", lock: false } });
    openSection("audio-fields");
    await context.takeClip(clip, range);
    notify(`Repaint: ${range[0].toFixed(2)}–${range[1].toFixed(2)} s of ${clip.name} are made anew with the next Generate.`);
  },
});

pickerActions.library = (role) => {
  showTab("Library");
  notify(`Open a clip with ▸ and press “${role === "reference" ? "More like this" : "Fit to this"}”.`);
};

// What needs a context goes with it: the next request is an ordinary one again.
pickerActions.cleared = (role) => role === "context" && fillForm({ set: { task: "" } });

trainActions.use = (name) => {
  setAdapters([[name, 1]]);
  readModels();
  showTab("Generate");
  openSection("model-fields");
};

window.bridge = {
  tab,
  recalled: {},
  tap: () => String(taps.tap(performance.now()) ?? document.querySelector("#bpm input")?.value ?? ""),
  formState: () => ({
    tab,
    reference: reference.value(),
    context: context.value(),
    adapters: adapterScales(),
  }),
  sound: { player, audioContext, clickTrack, startLoop, currentCard }, // for tests that listen
};

const handlers = {
  daemon(message) {
    onDaemon(message);
    if (message.up && !wasUp) {
      readModels();
      for (const picker of [reference, context]) picker.renew().catch(notify);
    }
    wasUp = message.up;
    onLibraryDaemon(message.up);
    setupSoon();
  },
  jobs: onJobs,
  progress: onProgress,
  runs: ({ runs }) => runs.forEach(onRun),
  run: ({ run }) => onRun(run),
  audio: onAudio,
  train(message) {
    onTrain(message);
    if (message.what === "train" && message.state === "done") readModels();
  },
  clip: () => searchSoon(),
  library(message) {
    onLibrary(message);
    searchSoon();
  },
  models() {
    readModels();
    setupSoon();
  },
  error: ({ reason, message }) => notify(new BridgeError(reason, message)),
};

connect(handlers, onSocket);

// A tab that is opened shows how things are now.
document.addEventListener("click", (event) => {
  if (!event.target.closest?.("#tabs button[role=tab]")) return;
  setTimeout(() => {
    searchSoon();
    setupSoon();
    if (wasUp) readModels();
  }, 50);
});

function inText(target) {
  return target.isContentEditable || ["TEXTAREA", "SELECT"].includes(target.tagName)
    || (target.tagName === "INPUT" && !["checkbox", "radio", "range", "button"].includes(target.type));
}

// A card's buttons leave the key to the player: after a press, space plays and stops.
const pressedBySpace = (target) => ["INPUT", "SUMMARY"].includes(target.tagName)
  || (target.tagName === "BUTTON" && !target.closest(".card"));

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const { target, key } = event;
  const inPrompt = Boolean(target.closest?.("#prompt"));
  if (key === "Enter" && !event.shiftKey && (inPrompt || (!inText(target) && target.tagName !== "BUTTON" && target.tagName !== "A" && target.tagName !== "SUMMARY") || (target.type === "number"))) {
    if (!document.getElementById("go")?.offsetParent) return;
    event.preventDefault();
    event.stopPropagation();
    target.dispatchEvent(new Event("change", { bubbles: true }));
    setTimeout(() => document.getElementById("go").click(), 30); // after the field's value has reached the form
    return;
  }
  if (inText(target)) return;
  const act = { " ": () => (player.owner ? player.stop() : currentCard()?.toggle()), Escape: () => player.stop(),
    c: () => player.setClick(!player.click), l: () => player.setLooping(!player.looping) }[key];
  if (!act || (key === " " && pressedBySpace(target))) return;
  event.preventDefault();
  act();
}, true);
