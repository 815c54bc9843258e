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
  document.querySelectorAll("svg[data-map]").forEach(map);
  document.querySelectorAll("[data-copy]").forEach(copy);
  document.querySelectorAll("[data-as-of]").forEach(asOf);
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

// A slider over the time whose history is kept; at its end is now.
function asOf(slider) {
  const field = slider.form.elements.at;
  const seconds = Date.parse(field.value) / 1000;
  slider.value = Number.isNaN(seconds) ? slider.max : seconds;
  slider.hidden = false;
  slider.addEventListener("input", () => {
    const isNow = slider.value === slider.max;
    field.value = isNow ? "" : new Date(slider.value * 1000).toISOString().replace(".000", "");
  });
  slider.addEventListener("change", () => slider.form.requestSubmit());
}

// Copies the command that stands beside the button.
function copy(button) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.previousElementSibling.textContent);
    button.textContent = "Copied";
  });
}

// Draws the points, and says of the one that is pointed at, or gone to by the arrow keys, what it is.
async function map(svg) {
  const points = await (await fetch(svg.dataset.map)).json();
  const circles = points.map(([x, y, twin]) => {
    const circle = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    circle.setAttribute("cx", x);
    circle.setAttribute("cy", -y);
    if (twin) circle.classList.add("twin");
    return circle;
  });
  svg.append(...circles);
  const said = document.getElementById("chosen");
  const link = document.querySelector("[data-open]");
  let here = -1;
  const choose = (place) => {
    if (place < 0 || place === here) return;
    circles[here]?.classList.remove("here");
    here = place;
    circles[here].classList.add("here");
    svg.append(circles[here]);
    const [, , twin, id, text] = points[here];
    said.textContent = (text || "(no text)") + (twin ? " (nearly equal to another)" : "");
    link.hidden = !id;
    link.href = `${svg.dataset.document}&id=${encodeURIComponent(id)}`;
  };
  // The nearest point that `counts`, by where it stands.
  const nearest = (x, y, counts, most = Infinity) => {
    let [best, far] = [-1, most];
    points.forEach(([px, py], place) => {
      const away = Math.hypot(px - x, py - y);
      if (away < far && counts(px - x, py - y, place)) [best, far] = [place, away];
    });
    return best;
  };
  const at = (event) => {
    const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return nearest(place.x, -place.y, () => true, 0.12);
  };
  svg.addEventListener("pointermove", (event) => choose(at(event)));
  svg.addEventListener("click", (event) => {
    choose(at(event));
    if (event.detail === 2 && !link.hidden) location.href = link.href;
  });
  const ways = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  svg.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !link.hidden) location.href = link.href;
    const way = ways[event.key];
    if (!way) return;
    event.preventDefault();
    if (here < 0) return choose(nearest(0, 0, () => true));
    const [x, y] = points[here];
    // What lies more in that direction than across.
    choose(nearest(x, y, (dx, dy, place) => {
      const along = dx * way[0] + dy * way[1];
      return place !== here && along > 0 && along >= Math.abs(dx * way[1] + dy * way[0]);
    }));
  });
}
