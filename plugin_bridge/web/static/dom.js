// Elements, buttons, pop-ups and notices: the small things that every part of the page draws with.

// el("button.primary", { title: "…", onclick }, "text", child…)
export function el(spec, properties = {}, ...children) {
  const [tag, ...classes] = spec.split(".");
  const node = document.createElement(tag || "div");
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(properties)) {
    if (/^(data-|aria-)/.test(name) || ["for", "list", "role", "popover"].includes(name)) node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

// Words between backquotes are typed as they stand.
export const coded = (text) => text.split("`").map((one, i) => (i % 2 ? el("code", {}, one) : one));

// `title` says what it does in full; what is shown may be one sign.
export function button(text, title, onclick, kind = "") {
  const run = async (event) => {
    try {
      await onclick(event);
    } catch (error) {
      notify(error);
    }
  };
  const node = el(`button.b${kind ? "." + kind.split(" ").join(".") : ""}`, { type: "button", onclick: run }, text);
  if (title) node.title = title;
  if (title && !/\p{L}{2}/u.test(text)) node.setAttribute("aria-label", title); // a sign alone says nothing aloud
  return node;
}

let numbers = 0;
export const newId = (what) => `${what}-${++numbers}`;

// A pop-up under a button, to be put into the page beside it: pressed, it stays until something else is pressed; with `hover` it also comes under
// the pointer. `fill` draws its content each time.
export function popup(opener, fill, { hover = false, kind = "menu" } = {}) {
  const box = el(`div.pop.${kind}`, { popover: "auto", id: newId("pop") });
  opener.setAttribute("aria-expanded", "false");
  opener.setAttribute("aria-controls", box.id);
  opener.popoverTargetElement = box;
  box.addEventListener("beforetoggle", (event) => event.newState === "open" && box.replaceChildren(...fill()));
  box.addEventListener("toggle", (event) => {
    const open = event.newState === "open";
    opener.setAttribute("aria-expanded", String(open));
    if (open) place(opener, box);
  });
  box.addEventListener("click", (event) => event.target.closest("[data-closes]") && box.hidePopover());
  if (hover) followPointer(opener, box);
  return box;
}

function followPointer(opener, box) {
  let hovered = false; // it came under the pointer, nobody has pressed
  const leave = () => setTimeout(() => {
    if (!hovered || box.matches(":hover") || opener.matches(":hover")) return;
    hovered = false;
    box.hidePopover();
  }, 120);
  opener.addEventListener("pointerenter", (event) => {
    if (event.pointerType !== "mouse" || box.matches(":popover-open")) return;
    hovered = true;
    box.showPopover();
  });
  for (const node of [opener, box]) node.addEventListener("pointerleave", leave);
  opener.addEventListener("click", (event) => {
    if (hovered) event.preventDefault(); // it is open already: now it stays
    hovered = false;
  });
}

function place(opener, box) {
  const at = opener.getBoundingClientRect();
  const room = { width: document.documentElement.clientWidth, height: window.innerHeight };
  const left = Math.max(8, Math.min(at.right - box.offsetWidth, room.width - box.offsetWidth - 8));
  const below = at.bottom + 4;
  const top = below + box.offsetHeight <= room.height - 8 ? below : Math.max(8, at.top - 4 - box.offsetHeight);
  box.style.left = `${left}px`;
  box.style.top = `${top}px`;
}

// An entry of a menu: it closes the menu and does its thing.
export function entry(text, title, run, kind = "") {
  const node = button(text, title, run, `entry ${kind}`.trim());
  node.dataset.closes = "";
  return node;
}

// A notice with the error's own text; it stays until closed, other notices leave by themselves.
export function notify(what, action = null) {
  const isError = what instanceof Error;
  const text = isError ? what.message : what;
  const place = document.getElementById("notices");
  for (const old of place.children) if (old.dataset.text === text) old.remove();
  const box = el("div.notice" + (isError ? ".error" : ""), { role: isError ? "alert" : "status" });
  box.dataset.text = text;
  box.append(el("span", {}, text));
  if (action) box.append(button(action.text, action.text, async () => { box.remove(); await action.run(); }, "small"));
  if (isError) box.append(button("Copy", "Copy the text", () => copy(text), "small"));
  box.append(button("×", "Close", () => box.remove(), "small quiet"));
  place.append(box);
  while (place.children.length > 4) place.firstChild.remove();
  if (!isError) setTimeout(() => box.remove(), 9000);
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
export const round = (value, places = 2) => String(Math.round(value * 10 ** places) / 10 ** places);
export const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

export function bytes(count) {
  if (!count) return "";
  return count >= 1e9 ? `${(count / 1e9).toFixed(1)} GB` : `${Math.max(1, Math.round(count / 1e6))} MB`;
}
