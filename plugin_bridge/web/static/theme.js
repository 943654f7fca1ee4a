// Dark or light, before the first paint: what was chosen here, else what the system says. No module, so it comes first.

(() => {
  const root = document.documentElement;
  const chosen = localStorage.getItem("bridge-theme");
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
})();
