// Calls of the page's own server, and small things every part needs. Draws nothing but short notices.

export class BridgeError extends Error {
  constructor(reason, message) {
    super(message);
    this.reason = reason;
  }
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new BridgeError("unavailable", "the page's own server does not answer: is `acestep web` still running?");
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => null);
  throw new BridgeError(told?.reason ?? "internal", told?.message ?? `${answer.status} ${answer.statusText}`);
}

export const get = async (path) => (await ask(path)).json();
export const getBytes = async (path) => (await ask(path)).arrayBuffer();
export const post = async (path, body = {}) =>
  (await ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })).json();
export const send = async (path, blob) => (await ask(path, { method: "POST", body: blob })).json();

export const query = (values) => new URLSearchParams(values).toString();

// el("button.primary", { title: "…", onclick }, "text", child…)
export function el(spec, properties = {}, ...children) {
  const [tag, ...classes] = spec.split(".");
  const node = document.createElement(tag || "div");
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("data-") || name.startsWith("aria-") || name === "for") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

export function button(text, title, onclick, kind = "") {
  const run = async (event) => {
    event.stopPropagation();
    try {
      await onclick(event);
    } catch (error) {
      notify(error);
    }
  };
  return el(`button.b${kind ? "." + kind : ""}`, { type: "button", title, onclick: run, "aria-label": title || text }, text);
}

// A notice with the error's own text; it stays until closed, other notices leave by themselves.
export function notify(what, action = null) {
  const isError = what instanceof Error;
  const text = isError ? what.message : what;
  for (const old of document.querySelectorAll("#notices .notice")) if (old.dataset.text === text) old.remove();
  const box = el("div.notice" + (isError ? ".error" : ""), { role: isError ? "alert" : "status" });
  box.dataset.text = text;
  box.append(el("span", {}, text));
  if (action) {
    box.append(button(action.text, action.text, async () => { box.remove(); await action.run(); }, "small"));
  }
  if (isError) box.append(button("Copy", "Copy the text", () => copy(what.message), "small"));
  box.append(button("×", "Close", () => box.remove(), "small"));
  let place = document.getElementById("notices");
  if (!place) {
    place = el("div", { id: "notices" });
    document.body.append(place);
  }
  place.append(box);
  while (place.children.length > 4) place.firstChild.remove();
  if (!isError) setTimeout(() => box.remove(), 8000);
  return box;
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = el("textarea", { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

export const seconds = (s) => (s < 60 ? `${s.toFixed(s < 10 ? 1 : 0)} s` : `${Math.floor(s / 60)}:${String(Math.round(s % 60)).padStart(2, "0")} min`);

export function bytes(count) {
  if (!count) return "";
  return count >= 1e9 ? `${(count / 1e9).toFixed(1)} GB` : `${Math.max(1, Math.round(count / 1e6))} MB`;
}

// Parts are drawn once and put into their place whenever Gradio shows that place (it may draw a tab anew).
const parts = new Map();

export function mount(name, node) {
  parts.set(name, node);
  place();
}

function place() {
  for (const spot of document.querySelectorAll("[data-mount]")) {
    const node = parts.get(spot.dataset.mount);
    if (node && node.parentNode !== spot) spot.replaceChildren(node);
  }
}

new MutationObserver(place).observe(document.documentElement, { childList: true, subtree: true });
