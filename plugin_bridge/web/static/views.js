// Which of the four views is shown: the one that the address names.

const VIEWS = ["takes", "library", "train", "set-up"];
const shown = new Map(VIEWS.map((name) => [name, []])); // what each does when it comes into sight

// "#/takes": not the name of anything in the page, which the browser would go to.
const named = () => location.hash.replace("#/", "");
export const view = () => (VIEWS.includes(named()) ? named() : "takes");

export const onShown = (name, run) => shown.get(name).push(run);

export function show(name) {
  if (view() === name) apply();
  else location.hash = `/${name}`;
}

export function apply() {
  const name = view();
  document.body.dataset.view = name;
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.dataset.view !== name;
  for (const link of document.querySelectorAll(".bar nav a")) {
    if (link.hash === `#/${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  for (const run of shown.get(name)) run();
}

addEventListener("hashchange", () => {
  apply();
  scrollTo(0, 0);
});
