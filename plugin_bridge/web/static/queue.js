// The jobs of all clients: what runs, what waits, what ended lately.

import { button, el, mount, post } from "./api.js";

const table = el("div.jobs");
const node = el("details.queue", {}, el("summary", {}, "Queue of all clients"), table);
const summary = node.firstChild;
const rows = new Map();

mount("queue", node);

export function onJobs({ jobs }) {
  const active = jobs.filter((job) => ["queued", "running"].includes(job.state));
  summary.textContent = active.length ? `Queue of all clients: ${active.length} at work or waiting` : "Queue of all clients: nothing waits";
  rows.clear();
  table.replaceChildren(...jobs.slice(0, 30).map(draw));
  if (!jobs.length) table.append(el("p.empty", {}, "No jobs yet."));
}

function draw(job) {
  const active = ["queued", "running"].includes(job.state);
  const state = el("span.state", {}, job.state === "running" ? `running ${Math.round(job.fraction * 100)} %` : job.state);
  if (job.message) state.title = job.message;
  const row = el("div.job", {}, state, el("span.prompt", { title: job.message || job.prompt }, job.prompt), el("span.client", {}, job.client));
  if (active) row.append(button("Cancel", `Cancel the job of ${job.client}`, () => post("/bridge/jobs/cancel", { job: job.id }), "small"));
  row.dataset.state = job.state;
  rows.set(job.id, state);
  return row;
}

export function onProgress({ job, stage, fraction }) {
  const state = rows.get(job);
  if (state) state.textContent = `${stage} ${Math.round(fraction * 100)} %`;
}
