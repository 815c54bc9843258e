// What a browser adds to pages that work without it: answers while one types, keys, the theme.
"use strict";

const THEME = "memorizz-theme";
try {
  const chosen = localStorage.getItem(THEME);
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch { /* A browser that keeps nothing has the theme of the system. */ }

document.addEventListener("DOMContentLoaded", () => {
  theme();
  document.querySelectorAll("form[data-live]").forEach(live);
  document.addEventListener("keydown", keys);
});

function theme() {
  const button = document.querySelector("[data-theme-toggle]");
  if (!button) return;
  button.hidden = false;
  button.addEventListener("click", () => {
    const root = document.documentElement;
    const isDark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
    try { localStorage.setItem(THEME, root.dataset.theme); } catch { /* as above */ }
  });
}

// Asks for the page that the form would lead to, and takes what it shows in the place of what is there.
function live(form) {
  const place = form.dataset.live;
  let waiting = 0;
  let asked = null;
  const ask = async () => {
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
    const address = `${form.action}?${query}`;
    asked?.abort();
    asked = new AbortController();
    try {
      const answer = await fetch(address, { signal: asked.signal });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const found = page.querySelector(place) ?? page.querySelector(".problem");
      if (found) document.querySelector(place).replaceChildren(...(answer.ok ? found.childNodes : [found]));
      history.replaceState(null, "", address);
    } catch (error) {
      if (error.name !== "AbortError") form.submit();
    }
  };
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(ask, 200);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(waiting);
    ask();
  });
}

// "/" goes to the search; j and k, or the arrows, go through what was found.
function keys(event) {
  const typing = event.target.closest("input, select, textarea, [contenteditable]");
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/" && !typing) {
    document.querySelector('[type="search"]')?.focus();
    event.preventDefault();
    return;
  }
  const step = { j: 1, k: -1 }[event.key];
  if (!step || typing) return;
  const links = [...document.querySelectorAll(".hits .said")];
  const next = links[Math.max(0, links.indexOf(document.activeElement) + step)];
  next?.focus();
}
