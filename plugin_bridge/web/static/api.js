// Calls of the page's own server. Draws nothing.

export class BridgeError extends Error {
  constructor(reason, message, field = "") {
    super(message);
    this.reason = reason;
    this.field = field; // the setting that is wrong, where the server knows it
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
  throw new BridgeError(told?.reason ?? "internal", told?.message ?? `${answer.status} ${answer.statusText}`, told?.field ?? "");
}

export const get = async (path) => (await ask(path)).json();
export const getBytes = async (path) => (await ask(path)).arrayBuffer();
export const post = async (path, body = {}) =>
  (await ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })).json();
export const send = async (path, blob) => (await ask(path, { method: "POST", body: blob })).json();

export const query = (values) => new URLSearchParams(values).toString();

// What this tab or this browser remembers; a browser that keeps nothing is no reason to stop.
function kept(storage, name) {
  try {
    return JSON.parse(storage.getItem(name) ?? "null");
  } catch {
    return null;
  }
}

function keep(storage, name, value) {
  try {
    storage.setItem(name, JSON.stringify(value));
  } catch (error) {
    console.warn(error);
  }
}

// This tab's own value, else what the last tab left.
export const recall = (name) => kept(sessionStorage, name) ?? kept(localStorage, name);
export function remember(name, value) {
  keep(sessionStorage, name, value);
  keep(localStorage, name, value);
}
export const recallOfTab = (name) => kept(sessionStorage, name);
export const rememberOfTab = (name, value) => keep(sessionStorage, name, value);
