// The keyboard: Enter generates, space plays and stops, Esc stops, up and down change the take, C is the click, L the loop.

import { cardsInSight, currentCard } from "./clip.js";
import { generate } from "./deck.js";
import { player } from "./sound.js";

function inText(target) {
  return target.isContentEditable || ["TEXTAREA", "SELECT"].includes(target.tagName)
    || (target.tagName === "INPUT" && !["checkbox", "radio", "range", "button"].includes(target.type));
}

// Its own things to press: Enter and space are theirs. A card's buttons leave space to the player.
const isPressed = (target, key) => (["BUTTON", "A", "SUMMARY", "INPUT"].includes(target.tagName) && !(key === " " && target.tagName !== "INPUT" && target.closest(".card, .transport")));

function step(by) {
  const cards = cardsInSight();
  const at = cards.indexOf(currentCard());
  const next = cards[Math.min(cards.length - 1, Math.max(0, at + by))];
  next?.node.scrollIntoView({ block: "nearest" });
  return next?.play();
}

const KEYS = {
  " ": () => (player.owner ? player.stop() : currentCard()?.toggle()),
  Escape: () => player.stop(),
  ArrowDown: () => step(1),
  ArrowUp: () => step(-1),
  c: () => player.setClick(!player.click),
  l: () => player.setLooping(!player.looping),
};

document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || target.closest("dialog, [popover]")) return;
  if (key === "Enter" && !event.shiftKey && (target.id === "prompt" || (!isPressed(target, key) && !inText(target)))) {
    event.preventDefault();
    generate();
    return;
  }
  if (key === "Escape" && document.querySelector(":popover-open")) return; // it closes that
  if (inText(target) || (key === " " && isPressed(target, key)) || target.type === "range") return;
  if (key.startsWith("Arrow") && !player.owner) return; // then they scroll
  const act = KEYS[key.length === 1 ? key.toLowerCase() : key];
  if (!act) return;
  event.preventDefault();
  act();
});
