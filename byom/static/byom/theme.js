// Runs before the first paint, so that a remembered theme does not flash.
(() => {
  const THEMES = ["system", "light", "dark"];

  function remembered() {
    try {
      return localStorage.getItem("theme") || "system";
    } catch {
      return "system"; // storage is switched off
    }
  }

  function show(theme) {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }

  show(remembered());

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    let theme = remembered();
    const label = () => (button.textContent = `Theme: ${theme}`);
    label();
    button.hidden = false;
    button.addEventListener("click", () => {
      theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
      try {
        localStorage.setItem("theme", theme);
      } catch {
        // Not remembered, but it holds for this page.
      }
      show(theme);
      label();
    });
  });
})();
