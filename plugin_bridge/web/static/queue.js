// The jobs of all clients: what runs, what waits, what ended lately.

import { post } from "./api.js";
import { button, el } from "./dom.js";

const table = document.getElementById("jobs");
const summary = document.querySelector("#queue > summary");
const rows = new Map();
const isActive = (job) => ["queued", "running"].includes(job.state);

export function onJobs({ jobs }) {
  const active = jobs.filter(isActive);
  summary.textContent = active.length ? `Queue of all clients: ${active.length} at work or waiting` : "Queue of all clients: nothing waits";
  rows.clear();
  table.replaceChildren(...jobs.slice(0, 30).map(draw));
  if (!jobs.length) table.append(el("p.soft", {}, "No jobs yet."));
}

function draw(job) {
  const state = el("span.state", {}, job.state === "running" ? `running ${Math.round(job.fraction * 100)} %` : job.state);
  if (job.message) state.title = job.message;
  const row = el("div.job", {}, state, el("span.prompt", { title: job.message || job.prompt }, job.prompt), el("span.client", {}, job.client));
  if (isActive(job)) row.append(button("Cancel", `Cancel the job of ${job.client}`, () => post("/bridge/jobs/cancel", { job: job.id }), "small"));
  row.dataset.state = job.state;
  rows.set(job.id, state);
  return row;
}

export function onProgress({ job, stage, fraction }) {
  const state = rows.get(job);
  if (state) state.textContent = `${stage} ${Math.round(fraction * 100)} %`;
}
