// What is wrong with a page for one who reads it with a small window, weak eyes, a keyboard or a screen reader.
() => {
  const wrong = [];
  const all = (selector) => [...document.querySelectorAll(selector)];
  const named = (e) => `${e.localName}${e.id ? `#${e.id}` : ""}${e.className?.trim ? `.${e.className}` : ""} ${(e.textContent ?? "").trim().slice(0, 30)}`;
  const shown = (e) => e.checkVisibility({ visibilityProperty: true });

  const root = document.documentElement;
  if (root.scrollWidth > innerWidth) wrong.push(`wider than the window: ${root.scrollWidth}`);
  if (!root.lang) wrong.push("no language");
  if (!document.title.trim()) wrong.push("no title");
  if (all("main").length !== 1) wrong.push("not one main");

  // Headings: one of the first level, and none that leaves a level out.
  const first = all("h1").length;
  if (first !== 1) wrong.push(`${first} headings of the first level`);
  let level = 0;
  for (const each of all("h1, h2, h3, h4, h5, h6")) {
    const next = Number(each.localName[1]);
    if (next > level + 1) wrong.push(`${each.localName} after h${level}: ${named(each)}`);
    level = next;
  }

  // Names: what a screen reader says of a field, a button, a link or a picture.
  const seen = new Set();
  for (const each of all("[id]")) {
    if (seen.has(each.id)) wrong.push(`an id twice: ${each.id}`);
    seen.add(each.id);
  }
  const labelled = (e) =>
    e.getAttribute("aria-label")?.trim() ||
    (e.getAttribute("aria-labelledby") ?? "").split(" ").some((id) => id && document.getElementById(id)?.textContent.trim());
  for (const each of all("input:not([type=hidden]), select, textarea")) {
    if (!labelled(each) && ![...each.labels].some((label) => label.textContent.trim())) wrong.push(`no label: ${named(each)}`);
  }
  for (const each of all("a[href], button, summary, svg[role=img], [role=region]")) {
    const text = each.textContent.trim() || [...each.querySelectorAll("img")].some((picture) => picture.alt);
    if (!labelled(each) && (!text || each.getAttribute("role"))) wrong.push(`no name: ${named(each)}`);
  }
  for (const each of all("img:not([alt])")) wrong.push(`no alt: ${each.src}`);

  // Contrast: of each text with what lies under it.
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const color = (text) => {
    if (!known.has(text)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = text;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      known.set(text, [r, g, b, a / 255]);
    }
    return known.get(text);
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const grounds = new Map();
  const ground = (e) => {
    if (!e) return color(getComputedStyle(root).colorScheme === "dark" ? "#121212" : "#ffffff");
    if (!grounds.has(e)) grounds.set(e, over(color(getComputedStyle(e).backgroundColor), ground(e.parentElement)));
    return grounds.get(e);
  };
  const faded = (e) => (e ? Number(getComputedStyle(e).opacity) * faded(e.parentElement) : 1);
  const light = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (e, style) => {
    const under = ground(e);
    const [r, g, b, a] = color(style.color);
    const [one, other] = [light(over([r, g, b, a * faded(e)], under)), light(under)].sort((x, y) => y - x);
    return (one + 0.05) / (other + 0.05);
  };
  const judged = (e, style, what) => {
    const found = contrast(e, style);
    if (found < 4.5) wrong.push(`contrast ${found.toFixed(2)}: ${what}`);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const done = new Set();
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement;
    // What cannot be used now may be pale.
    if (!texts.currentNode.data.trim() || done.has(e) || !shown(e) || e.closest(":disabled") || e.matches(":disabled + *")) continue;
    done.add(e);
    if (!e.closest("script, style, title, option")) judged(e, getComputedStyle(e), named(e));
  }
  for (const each of all("input[placeholder]")) {
    if (!each.value && !each.disabled && shown(each)) judged(each, getComputedStyle(each, "::placeholder"), `placeholder of ${named(each)}`);
  }

  // The focus: an outline, of the thing itself or of what stands for it.
  const lined = (e) => e && parseFloat(getComputedStyle(e).outlineWidth) > 0 && getComputedStyle(e).outlineStyle !== "none";
  for (const each of all("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")) {
    if (!shown(each) || each.disabled) continue;
    each.focus({ preventScroll: true, focusVisible: true });
    if (document.activeElement === each && !lined(each) && !lined(each.nextElementSibling)) wrong.push(`the focus is not seen: ${named(each)}`);
  }
  return [...new Set(wrong)];
}
