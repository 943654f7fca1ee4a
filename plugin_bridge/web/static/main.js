// Puts the parts together: who hears what, and what one part asks of another.

import { get, post } from "./api.js";
import { showAdapters } from "./adapters.js";
import { currentCard, onLibrary } from "./clip.js";
import { actions } from "./cliptools.js";
import { deckActions, sayFilled } from "./deck.js";
import { notify, plural } from "./dom.js";
import { title } from "./figures.js";
import { form } from "./form.js";
import { barAt, gridOf } from "./grid.js";
import "./ideas.js";
import "./keys.js";
import { onLibraryDaemon, searchSoon } from "./library.js";
import { connect, tab } from "./live.js";
import { openMore } from "./more.js";
import { foldParts } from "./parts.js";
import { onJobs, onProgress } from "./queue.js";
import { onAudio, onRun } from "./runs.js";
import { setupSoon } from "./setup.js";
import { audioContext, clickTrack, player, startLoop } from "./sound.js";
import { context, reference, sourceActions } from "./sources.js";
import { onDaemon, onSocket } from "./top.js";
import { onTrain, trainActions } from "./train.js";
import "./transport.js";
import { apply, show } from "./views.js";

let wasUp = false;

// The form as the daemon of now has it: what its checkpoint can do, which there are, which adapters.
async function describe() {
  const described = await get("/bridge/form");
  try {
    const { cascades, adapters } = await get("/bridge/models");
    const cascade = described.fields.find((one) => one.name === "cascade");
    if (cascade) cascade.choices = [["the daemon's", ""], ...cascades.map((one) => [one.name, one.name])];
    const stages = described.fields.find((one) => one.name === "stages");
    if (stages) stages.choices = (described.supports.stages ?? []).map((one) => [one, one]);
    form.describe(described);
    showAdapters(adapters);
  } catch (error) {
    form.describe(described);
    if (error.reason !== "unavailable") throw error;
  }
}

const describeSoon = () => describe().catch(notify);

// The form from a clip's own request, with what is set instead; then what was done is said.
async function fillFrom(clip, set, says) {
  const { values } = form;
  const recalled = await post("/bridge/recall", { clip: clip.path, set });
  if (recalled.values.task === "text") recalled.values.task = ""; // what is done where nothing else is said
  recalled.values.idea = recalled.values.redo = ""; // an idea is gone on with where it stands
  await form.fill(recalled);
  sayFilled(says(recalled, values));
}

const part = (clip, range) => ({ path: clip.path, name: title(clip), start_s: range?.[0] ?? 0, end_s: range?.[1] ?? null });
const named = (clip, range) => {
  const grid = gridOf(clip);
  return range ? `${grid ? `${barAt(grid, range[0])} to ${barAt(grid, range[1])}` : `${range[0].toFixed(2)}–${range[1].toFixed(2)} s`} of ${title(clip)}` : title(clip);
};
const facts = ({ bpm, bars, key }) => [bpm && `${bpm} bpm`, bars && `${bars} bars`, key].filter(Boolean).join(", ");

Object.assign(actions, {
  can: (task) => form.can(task),
  again: (clip) => fillFrom(clip, { takes: "1" }, ({ says }) => `${says} Generate makes the same clip again.`),
  reference: (clip, range) => fillFrom(clip, { reference: part(clip, range), seed: "", lock: false, takes: form.values.takes }, ({ values }) =>
    `Everything is set as for ${title(clip)} (${facts(values)}). Generate makes ${values.parts ? "another idea that sounds" : "other takes that sound"} like ${named(clip, range)}.`),
  async context(clip, range, others = []) {
    const { prompt, parts, takes } = form.values;
    const audio = { ...part(clip, range), ...(others.length ? { name: plural(1 + others.length, "clip"), plus: others.map((one) => part(one)) } : {}) };
    const what = others.length ? `${audio.name} together` : named(clip, range);
    const set = { context: audio, reference: null, task: "", track: "", seed: "", lock: false, parts, takes, bpm: clip.tempo_map ? "" : clip.bpm, signature: clip.signature, key: clip.key, prompt: prompt === clip.prompt ? "" : prompt };
    if (range) set.bars = "";
    await fillFrom(clip, set, ({ values }) => `Tempo, bars and key are those of ${title(clip)} (${facts(values)}). Say what to add; Generate makes it to go with ${what}.`);
    document.getElementById("prompt").select();
  },
  // Several clips as one context, which must have one beat.
  together([first, ...others]) {
    const odd = others.find((one) => one.bpm !== first.bpm || one.signature !== first.signature || one.tempo_map);
    if (odd) throw new Error(`${title(odd)} has ${odd.bpm} bpm in ${odd.signature}, ${title(first)} ${first.bpm} bpm in ${first.signature}: clips that sound together need one tempo`);
    return actions.context(first, null, others);
  },
  repaint: (clip, range) => fillFrom(clip, { context: part(clip, range), task: "repaint", parts: "", seed: "", lock: false, takes: form.values.takes }, () =>
    `Generate makes ${named(clip, range)} anew and leaves the rest as it is.`),
});

deckActions.sent = () => {
  foldParts();
  show("takes");
  scrollTo(0, 0);
};

sourceActions.library = (source) => {
  show("library");
  notify(`Open a clip by its name and press “${source.role === "reference" ? "More like this" : "Fit to this"}”.`);
};

trainActions.use = async (name) => {
  await describe();
  form.setAdapter(name, 1);
  form.dispatchEvent(new Event("filled"));
  show("takes");
  openMore();
};

connect({
  daemon(message) {
    onDaemon(message);
    if (message.up && !wasUp) {
      describeSoon();
      for (const source of [reference, context]) source.renew().catch(notify);
    }
    wasUp = message.up;
    onLibraryDaemon(message.up);
    setupSoon();
  },
  jobs: onJobs,
  progress: onProgress,
  runs: ({ runs }) => runs.forEach((run) => onRun(run, { fresh: false })),
  run: ({ run }) => onRun(run),
  audio: onAudio,
  train: onTrain,
  clip: () => searchSoon(),
  library(message) {
    onLibrary(message);
    searchSoon();
  },
  models() {
    describeSoon();
    setupSoon();
  },
}, onSocket);

describeSoon();
apply();

window.bridge = { tab, form, sound: { player, audioContext, clickTrack, startLoop, currentCard } }; // for tests that listen
