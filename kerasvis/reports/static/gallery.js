// The gallery's one script: theme, search, sorting, views and keys. Without it all pages can be read.
"use strict";

const byId = (id) => document.getElementById(id);

// A page on disk may have no storage; a choice then applies to this page only.
function remember(key, value) {
  try { localStorage.setItem(`kerasvis-${key}`, value); } catch { /* nothing to do */ }
}
function remembered(key) {
  try { return localStorage.getItem(`kerasvis-${key}`); } catch { return null; }
}

function startTheme() {
  const root = document.documentElement, button = byId("theme");
  const isDark = () => (root.dataset.theme ??
    (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const tell = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  const theme = remembered("theme");
  if (theme) root.dataset.theme = theme;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remember("theme", root.dataset.theme);
    tell();
  });
  button.hidden = false;
  tell();
}

const wordsOf = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);
const isNumber = (word) => /^\d+$/.test(word);

// A layer's page: which feature maps are shown, in which order, and which of their panels.
function startTiles() {
  const list = byId("tiles");
  const items = [...list.children];
  const filter = byId("filter"), order = byId("order"), status = byId("num-shown");
  const value = (item, key) => { const n = Number(item.dataset[key]); return Number.isNaN(n) ? -Infinity : n; };
  const byNumber = (a, b) => value(a, "number") - value(b, "number");
  const orders = {
    number: byNumber,
    strongest: (a, b) => value(b, "strongest") - value(a, "strongest") || byNumber(a, b),
    sparseness: (a, b) => value(b, "sparseness") - value(a, "sparseness") || byNumber(a, b),
    rate: (a, b) => value(a, "rate") - value(b, "rate") || byNumber(a, b),
    class: (a, b) => !a.dataset.class - !b.dataset.class ||
      a.dataset.class.localeCompare(b.dataset.class) || byNumber(a, b),
  };
  const matches = (item, word) => isNumber(word) ? item.dataset.number === word
    : item.dataset.classes.toLowerCase().includes(word);
  function show() {
    const words = wordsOf(filter.value);
    let shown = 0;
    for (const item of items) {
      item.hidden = !words.every((word) => matches(item, word));
      shown += !item.hidden;
    }
    status.textContent = `${shown} of ${items.length}`;
  }
  filter.addEventListener("input", show);
  order.addEventListener("change", () => list.append(...items.sort(orders[order.value])));
  show();
}

// Which panels of the pictures are shown: one or all, by name, on all pages.
function startViews() {
  const form = document.querySelector(".controls"), views = [...form.elements.view];
  const tiles = byId("tiles");
  function show({ value }) {
    const isAll = value === "all";
    tiles?.classList.toggle("view-all", isAll);
    tiles?.classList.toggle("view-one", !isAll);
    tiles?.style.setProperty("--panel", isAll ? 0 : value);
    for (const units of document.querySelectorAll(".units")) {
      units.style.setProperty("--shown", isAll ? units.dataset.shown : 1);
    }
    for (const pair of document.querySelectorAll(".units .pair")) {
      [...pair.children].forEach((cell, panel) => { cell.hidden = !isAll && panel !== Number(value); });
    }
  }
  function choose(view) {
    view.checked = true;
    show(view);
    remember("view", view.dataset.panel);
  }
  const before = views.find((view) => view.dataset.panel === remembered("view"));
  if (before) { before.checked = true; show(before); }
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", (event) => { if (event.target.name === "view") choose(event.target); });
  form.hidden = false;
  return (key) => {
    const view = views.find(({ value }) => value === (key === "0" ? "all" : String(key - 1)));
    return view && (() => choose(view));
  };
}

// The first page's search for feature maps.
const NUM_SHOWN = 60;
function startSearch() {
  const query = byId("query"), found = byId("found"), status = byId("num-found");
  const maps = window.galleryIndex.flatMap(([layer, folder, entries]) =>
    entries.map(([strongest, rate, classes], number) =>
      ({ layer, folder, number, strongest, rate, classes, text: `${layer}\n${classes.join("\n")}`.toLowerCase() })));
  const matches = (map, word) => (isNumber(word) && String(map.number) === word) || map.text.includes(word);
  function entry(map) {
    const item = document.createElement("li"), link = document.createElement("a"), note = document.createElement("span");
    link.href = `${map.folder}/${map.number}.html`;
    link.textContent = `${map.layer} ${map.number}`;
    note.className = "note";
    note.textContent = ` max ${map.strongest}, active in ${(100 * map.rate).toFixed(1)} %${map.classes.length ? `: ${map.classes.join(", ")}` : ""}`;
    item.append(link, note);
    return item;
  }
  function show() {
    const words = wordsOf(query.value);
    const hits = words.length ? maps.filter((map) => words.every((word) => matches(map, word))) : [];
    found.replaceChildren(...hits.slice(0, NUM_SHOWN).map(entry));
    const more = hits.length > NUM_SHOWN ? `, the first ${NUM_SHOWN} are shown` : "";
    status.textContent = words.length ? `${hits.length} of ${maps.length} feature maps${more}` : "";
  }
  query.addEventListener("input", show);
  document.querySelector(".search").hidden = false;
  show();
}

// Keys: arrows between tiles, or to the page before and after; u upwards; / to the search; digits
// for what the pictures show.
function startKeys(viewOf) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const isDigit = /^\d$/.test(event.key), fields = "input, select, textarea, [tabindex]";
    if (event.target.matches(fields) && !(isDigit && event.target.type === "radio")) return;
    const act = event.key === "/" ? focusSearch : isDigit ? viewOf(event.key)
      : moveAmongTiles(event) ?? follow(event.key);
    if (act) { event.preventDefault(); act(); }
  });
}
function focusSearch() {
  (byId("query") ?? byId("filter"))?.focus();
}
function follow(key) {
  const relation = { ArrowLeft: "prev", ArrowRight: "next", u: "up" }[key];
  const link = relation && !byId("tiles") || key === "u"
    ? document.querySelector(`link[rel=${relation}]`) : null;
  return link && (() => { location.href = link.href; });
}
function moveAmongTiles(event) {
  const list = byId("tiles");
  if (!list || !event.key.startsWith("Arrow")) return null;
  const links = [...list.querySelectorAll("li:not([hidden]) > a")];
  const place = links.indexOf(document.activeElement);
  if (place < 0) {
    return event.key === "ArrowRight" && links.length ? () => links[0].focus() : null;
  }
  const top = (link) => link.parentElement.offsetTop;
  const below = links.findIndex((link) => top(link) > top(links[0]));
  const columns = below < 0 ? links.length : below;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  const target = links[place + step];
  return () => target?.focus();
}

startTheme();
startKeys(document.querySelector("[name=view]") ? startViews() : () => null);
if (byId("tiles")) startTiles();
if (byId("query")) startSearch();
