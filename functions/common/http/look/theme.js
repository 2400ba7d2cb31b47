// Chooses light or dark before anything is painted, and lets the button `theme` switch it. Pages of
// one host share the choice.
(() => {
  const root = document.documentElement;
  let theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  try {
    const stored = localStorage.getItem("theme");
    if (stored === "dark" || stored === "light") theme = stored;
  } catch { /* storage may be off */ }

  function show() {
    root.dataset.theme = theme;
    root.classList.toggle("dark-mode", theme === "dark"); // Swagger UI's name for it
  }

  show();
  addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").addEventListener("click", () => {
      theme = root.dataset.theme === "dark" ? "light" : "dark";
      show();
      try { localStorage.setItem("theme", theme); } catch { /* for this page only */ }
    });
  });
})();
