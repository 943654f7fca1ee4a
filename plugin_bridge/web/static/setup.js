// The set-up page: the daemon, which checkpoints fit this machine, adapters, and the bridges into DAWs.

import { BridgeError, get, post } from "./api.js";
import { button, bytes, coded, copy, el, notify, seconds } from "./dom.js";
import { onShown, view } from "./views.js";

const daemon = el("section.panel");
const cascades = el("section.panel");
const adapters = el("section.panel");
const bridges = el("section.panel");
document.getElementById("set-up").append(daemon, cascades, adapters, bridges);
onShown("set-up", () => setupSoon());

const command = (text) => el("span.command", {}, el("code", {}, text), button("Copy", `Copy: ${text}`, () => copy(text), "small"));

function facts(pairs) {
  const list = el("dl");
  for (const [name, value] of pairs) if (value !== "" && value !== null && value !== undefined) list.append(el("dt", {}, name), el("dd", {}, value));
  return list;
}

let bridgesAsked = false;

export async function drawSetup({ again = false } = {}) {
  if (view() !== "set-up") return;
  const told = await get("/bridge/status");
  drawDaemon(told);
  if (told.up) drawModels(await get("/bridge/models"));
  else {
    cascades.replaceChildren(el("h2", {}, "Checkpoints"), el("p.soft", {}, "Known when the daemon is there."));
    adapters.replaceChildren();
  }
  if (!bridgesAsked || again) {
    bridgesAsked = true;
    bridges.replaceChildren(el("h2", {}, "Bridges into DAWs"), el("p.soft", {}, "looking…"));
    drawBridges(await get("/bridge/bridges"));
  }
}

function drawDaemon({ up, message, status, own, address, local, page_version }) {
  daemon.replaceChildren(el("h2", {}, "Daemon"));
  if (up) {
    daemon.append(facts([
      ["state", status.running_job ? `working on ${status.running_job}` : "idle"],
      ["version", `${status.version}, wire ${status.wire_version}${page_version === "unknown" ? "" : `; this page ${page_version}`}`],
      ["address", `${address} (gRPC)${status.osc_port ? `, OSC port ${status.osc_port}` : ""}`],
      ["queue", `${status.queued} waiting`],
      ["loaded", status.cascade || "nothing yet"],
      ["device", status.device],
      ["memory", bytes(status.memory_bytes)],
      ["up for", seconds(status.uptime_s)],
      ["samples folder", status.samples_folder],
      ["home", status.home],
    ]));
  } else {
    daemon.append(el("p.trouble", {}, message));
    if (local) daemon.append(el("p", {}, command(own.command), " ", button("Start it", "Start the daemon; it ends with this page", start, "primary small")));
  }
  if (own.started) {
    daemon.append(el("p", {}, own.running ? "Started by this page; it ends with it." : `Started by this page; it has ended (${own.code}).`));
    if (!up || !own.running) daemon.append(el("pre", {}, own.lines.join("\n")));
  }
}

async function start() {
  await post("/bridge/daemon/start");
  setTimeout(() => drawSetup().catch(notify), 1200);
}

function drawModels({ cascades: known, adapters: sounds }) {
  cascades.replaceChildren(el("h2", {}, "Checkpoints"));
  for (const one of known) cascades.append(cascadeRow(one));
  if (!known.length) cascades.append(el("p.soft", {}, "None found."));
  cascades.append(el("p", {}, "More: ", command("acestep pull turbo"), " ", command("acestep models")));
  adapters.replaceChildren(el("h2", {}, "Adapters"));
  for (const one of sounds) adapters.append(adapterRow(one));
  if (!sounds.length) adapters.append(el("p.soft", {}, "None yet: train one, or ", command("lora_studio import FILE")));
}

function change(what, one, done) {
  const verb = one.loaded ? "unload" : "load";
  return button(one.loaded ? "Unload" : "Load", `${verb} ${one.name}`, async (event) => {
    event.target.disabled = true;
    event.target.textContent = "…";
    try {
      await post(`/bridge/models/${what}/${verb}`, { name: one.name });
      notify(`${one.name} is ${verb}ed.`);
    } finally {
      await done();
    }
  }, "small");
}

const badge = (text, kind = "") => el(`span.badge${kind && `.${kind}`}`, {}, text);
const loaded = (one) => (one.loaded ? badge("loaded", "good") : "");
const named = (name, ...badges) => el("div.named", {}, el("strong", {}, name), ...badges);

function cascadeRow(one) {
  const row = el("div.model", {},
    el("div.what", {}, named(one.name, loaded(one), badge(one.fits ? "fits this machine" : "too large for this machine", one.fits ? "good" : "warn")),
      el("div.soft", {}, [one.stages.join(" → "), one.parameters ? `${(one.parameters / 1e6).toFixed(0)} M parameters` : "", bytes(one.bytes), one.license].filter(Boolean).join(" · ")),
      el("div.soft", {}, one.supports.length ? `can: ${one.supports.join(", ")}` : ""), one.note ? el("div", {}, one.note) : ""),
    change("cascade", one, drawSetup));
  row.dataset.cascade = one.name;
  return row;
}

function adapterRow(one) {
  const row = el("div.model", {},
    el("div.what", {}, named(one.name, loaded(one)),
      el("div.soft", {}, [`rank ${one.rank}`, `alpha ${one.alpha}`, one.stages.join(", "), one.trigger_words.join(", ")].filter(Boolean).join(" · "))),
    change("adapter", one, drawSetup));
  row.dataset.adapter = one.name;
  return row;
}

function drawBridges({ bridges: found, trouble }) {
  bridges.replaceChildren(el("h2", {}, "Bridges into DAWs ", button("Look again", "Look again", () => drawSetup({ again: true }), "small")));
  if (trouble) bridges.append(el("p.trouble", {}, trouble));
  for (const [install, places] of Map.groupBy(found, (one) => one.install)) {
    const all = places.every((one) => one.installed);
    bridges.append(el("div.model", {},
      el("div.what", {}, named(places[0].title, badge(all ? "installed" : "not installed", all ? "good" : "")), ...places.flatMap((one) => place(one, all))),
      command(install)));
  }
}

// Where it is or would be; of several places, also whether it is in this one.
const place = (one, all) => [one.where && el("div.soft", {}, `${one.where}${one.installed && !all ? " (installed)" : ""}`), one.note && told(one.note)].filter(Boolean);

// Long words are folded.
const LONG = 140;
const told = (note) => (note.length > LONG ? el("details", {}, el("summary", {}, `${note.slice(0, note.search(/[:;,(]/))} …`), el("div.soft", {}, ...coded(note))) : el("div.soft", {}, ...coded(note)));

export function setupSoon() {
  drawSetup().catch((error) => {
    if (!(error instanceof BridgeError && error.reason === "unavailable")) notify(error);
  });
}

setInterval(() => view() === "set-up" && document.visibilityState === "visible" && setupSoon(), 5000); // memory, queue, uptime while looked at
