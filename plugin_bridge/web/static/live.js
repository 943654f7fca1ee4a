// The socket to the page's server: everything that happens comes through it; it heals by itself.

const RETRY_MS = 700;

export const tab = (sessionStorage["bridge-tab"] ??= crypto.randomUUID?.() ?? String(Math.random()).slice(2));

export function connect(handlers, onState) {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/bridge/live?tab=${encodeURIComponent(tab)}`);
  socket.onopen = () => onState(true);
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    handlers[message.kind]?.(message);
  };
  socket.onclose = () => {
    onState(false);
    setTimeout(() => connect(handlers, onState), RETRY_MS);
  };
}
