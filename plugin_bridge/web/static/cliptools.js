// Everything that can be done with a clip, in the takes and in the library alike.

import { BridgeError, get, post, query } from "./api.js";
import { button, copy, el, entry, notify, popup } from "./dom.js";
import { stem } from "./figures.js";
import { audioUrl } from "./sources.js";

// What the page as a whole offers to a clip; filled in by main.js.
export const actions = { again: null, reference: null, context: null, together: null, repaint: null, can: () => true };

let edits = true; // whether the daemon renames and tags

const KINDS = { wav: "audio/wav", aif: "audio/aiff", aiff: "audio/aiff", flac: "audio/flac", mp3: "audio/mpeg" };
export const midiUrl = (clip) => `/bridge/midi?${query({ clip: clip.path })}`;
export const downloadUrl = (clip) => `/bridge/audio?${query({ clip: clip.path })}&download`;

const audioFile = (clip) => ({ name: clip.name, url: downloadUrl(clip), kind: KINDS[clip.name.split(".").pop().toLowerCase()] ?? "audio/wav" });
const midiFile = (clip) => ({ name: `${stem(clip)}.mid`, url: midiUrl(clip), kind: "audio/midi" });

// Dragged out of the page the clip is a file: Chromium fetches it where it is dropped; others get its address.
export function draggable(node, clip, file = audioFile) {
  node.draggable = true;
  node.addEventListener("dragstart", (event) => {
    event.stopPropagation(); // of what lies within another
    const { dataTransfer } = event;
    const { name, url, kind } = file(clip());
    const whole = new URL(url, location.href).href;
    dataTransfer.effectAllowed = "copy";
    dataTransfer.setData("DownloadURL", `${kind}:${name}:${whole}`);
    dataTransfer.setData("text/uri-list", whole);
    dataTransfer.setData("text/x-acestep-clip", clip().path);
  });
}

// The notes of a clip, where it has them: dragged or pressed they are a MIDI file.
export function note(clip) {
  const node = el("a.b.quiet.note", {}, "♪");
  draggable(node, clip, midiFile);
  node.draw = () => {
    const one = clip();
    node.hidden = !one.midi;
    Object.assign(node, { href: midiUrl(one), download: midiFile(one).name, title: "Notes as MIDI: drag them into the DAW, or press to download" });
    node.setAttribute("aria-label", `Notes of ${one.name} as a MIDI file`);
  };
  node.draw();
  return node;
}

export function star(clip, update) {
  const node = button("☆", "Star", async () => update(await post("/bridge/clips/star", { clip: clip().path, starred: !clip().starred })), "star quiet");
  node.draw = () => {
    node.textContent = clip().starred ? "★" : "☆";
    node.setAttribute("aria-pressed", String(clip().starred));
  };
  node.draw();
  return node;
}

// "⋯" with what is not needed every minute. `more`: entries that only a large card has.
export function menu(clip, { update, more = () => [] } = {}) {
  const opener = button("⋯", "More to do with this clip", () => {}, "quiet");
  const box = popup(opener, () => {
    const one = clip();
    if (one.trashed) return [entry("Bring back", "Bring it back from the trash", () => post("/bridge/clips/restore", { clip: one.path }))];
    const download = el("a.b.entry", { href: downloadUrl(one), download: one.name }, "Download");
    return [
      ...(edits ? [entry("Rename…", "Give the file another name", () => rename(one, update)), entry("Tags…", "Words to find it by", () => tag(one, update))] : []),
      ...more(),
      download,
      entry("Show in folder", "Open the folder in the file manager", () => post("/bridge/clips/reveal", { clip: one.path })),
      entry("Copy path", one.path, () => copy(one.path)),
      entry("Sidecar", "Show what is written beside the clip", () => sidecar(one)),
      entry("Move to the trash", "Can be undone", () => trash(one)),
    ];
  });
  return el("span.holder", {}, opener, box);
}

export async function trash(clip) {
  const gone = await post("/bridge/clips/trash", { clip: clip.path });
  notify(`${clip.name} is in the trash.`, { text: "Undo", run: () => post("/bridge/clips/restore", { clip: gone.path }) });
}

async function rename(clip, update) {
  const ending = clip.name.slice(stem(clip).length);
  const name = await ask("Rename", "Name", stem(clip));
  if (name === null || !name.trim() || name.trim() === stem(clip)) return;
  await edit(async () => update?.(await post("/bridge/clips/rename", { clip: clip.path, name: name.trim() + ending })));
}

async function tag(clip, update) {
  const text = await ask("Tags", "Words, with commas between them", (clip.tags ?? []).join(", "));
  if (text === null) return;
  const tags = [...new Set(text.split(",").map((one) => one.trim()).filter(Boolean))];
  await edit(async () => update?.(await post("/bridge/clips/tag", { clip: clip.path, tags })));
}

// An older daemon cannot: then it is not offered again.
async function edit(change) {
  try {
    await change();
  } catch (error) {
    if (error instanceof BridgeError && error.reason === "unsupported") edits = false;
    throw error;
  }
}

async function sidecar(clip) {
  const told = await get(`/bridge/sidecar?${query({ clip: clip.path })}`);
  await dialog("Sidecar of " + clip.name, [el("pre", { tabIndex: 0 }, JSON.stringify(told, null, 2))], []);
}

// Asks for one line of text; null where nothing is to be changed.
async function ask(title, label, text) {
  const input = el("input", { type: "text", value: text, autocomplete: "off" });
  const said = await dialog(title, [el("label.field", {}, el("span.label", {}, label), input)], [el("button.b.primary", { value: "ok" }, title)], input);
  return said === "ok" ? input.value : null;
}

function dialog(title, content, buttons, focused = null) {
  const box = el("dialog.dialog", { "aria-label": title });
  const close = el("button.b", { value: "", formNoValidate: true }, buttons.length ? "Cancel" : "Close");
  box.append(el("form", { method: "dialog" }, el("h2", {}, title), ...content, el("div.tools", {}, ...buttons, close)));
  document.body.append(box);
  box.showModal();
  focused?.select();
  return new Promise((resolve) => box.addEventListener("close", () => {
    resolve(box.returnValue);
    box.remove();
  }));
}

export { audioUrl };
