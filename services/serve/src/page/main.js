// Main: which page is shown, the keys, and what comes by itself.

import { FIELDS, tried } from "./again.js";
import { fill, h } from "./elements.js";
import { drought, handover, map, models } from "./pages.js";
import { ask, hasToken, listen, setToken, tell } from "./service.js";
import { station } from "./station.js";
import { watch } from "./watch.js";
import * as words from "./words.js";

const main = document.getElementById("content"), dialog = document.getElementById("dialog");
const PAGES = { "": watch, map, drought, models, handover };
const TITLES = { "": "Watch list", map: "Map", drought: "Drought", models: "Models", handover: "Handover" };

/** What the pages share. */
const page = {
  stations: [], rows: () => [], station: null, forecast: null, at: 0, table: false, earlier: true, why: false, tried: null, foresight: false, hour: null, sizes: null,
  /** Says which issue is shown. */
  show(time, of, issue) {
    const node = document.getElementById("issue");
    if (!time) return fill(node);
    page.time = time;
    const said = [h("b", {}, `Issue ${words.clock(time, of)} ${words.zoneName(time, of)}`), `, ${words.day(time, of)}${issue ? ", as issued then" : ""}`];
    const step = (by, key, label) => h("button", { class: "plain", type: "button", "aria-label": label, onclick: () => move(by) }, h("kbd", {}, key));
    fill(node, of && location.hash.startsWith("#/station") ? [step(-1, "[", "earlier issue"), " ", ...said, " ", step(1, "]", "later issue")] : said);
  },
  observe(node, draw) {
    page.sizes?.disconnect();
    let width = node.clientWidth;
    page.sizes = new ResizeObserver(() => {
      if (node.clientWidth !== width) { width = node.clientWidth; draw(); }
    });
    page.sizes.observe(node);
  },
  copy(text, name) {
    navigator.clipboard?.writeText(text).then(() => announce(`${name} copied`), () => show(name, h("textarea", { rows: 6, readonly: true, "aria-label": name }, text)));
    if (!navigator.clipboard) show(name, h("textarea", { rows: 6, readonly: true, "aria-label": name }, text));
  },
  keepTable(open) { page.table = open; },
  keepForesight(open) { page.foresight = open; },
  /** How many normal stations have been scrolled to. */
  remember(shown) { page.quietShown = Math.max(page.quietShown || 0, shown); },
  toggleEarlier() {
    page.earlier = !page.earlier;
    refresh();
  },
  toggleWhy() {
    page.why = !page.why;
    refresh();
  },
  tryRain(made) {
    page.tried = made;
    refresh();
  },
  act,
  whatIf,
};

let forgetting = null;
function announce(text) {
  const node = document.getElementById("said");
  node.textContent = text;
  clearTimeout(forgetting);
  forgetting = setTimeout(() => { node.textContent = ""; }, 8_000);
}
const decoded = (text) => { try { return decodeURIComponent(text); } catch { return text; } };
const place = () => location.hash.replace(/^#\/?/, "").split("/").map(decoded);

let drawing = 0;
async function refresh() {
  const mine = (drawing += 1);
  // What a page learns is shared when it is shown, not before: another may be asked for meanwhile.
  const learned = Object.create(page);
  let issue_shown = null;
  learned.show = (...given) => { issue_shown = given; };
  const [name, id, issue] = place();
  document.querySelectorAll("nav a").forEach((link) => {
    const is = (link.dataset.page === "watch" ? "" : link.dataset.page) === name || (name === "station" && link.dataset.page === "watch");
    if (is) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  });
  const target = h("div");
  try {
    learned.station = null;
    learned.forecast = null;
    if (name === "station" && id) await station(target, learned, id, issue);
    else await (PAGES[name] || watch)(target, learned);
  } catch (error) {
    fill(target, h("h1", {}, "This cannot be shown."), h("p", { class: "sub" }, error.message), error.status === 401 ? h("p", { class: "copy" }, h("button", { type: "button", onclick: () => askToken(refresh) }, "Give a token")) : null);
  }
  if (mine !== drawing) return;
  delete learned.show;
  Object.assign(page, learned);
  if (issue_shown) page.show(...issue_shown);
  document.title = `${name === "station" ? page.station?.name || id : TITLES[name] || "Watch list"}, Nilometer`;
  const scroll = scrollY, focused = main.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  fill(main, target.childNodes.length ? [...target.childNodes] : target);
  scrollTo(0, name === page.shown ? scroll : 0);
  if (focused) [...main.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus({ preventScroll: true });
  page.shown = name;
  mark();
  keysOf(name);
  page.sizes && dispatchEvent(new Event("resize"));
}

function mark() {
  const rows = page.rows().filter((row) => row.isConnected);
  page.at = Math.max(0, Math.min(page.at, rows.length - 1));
  rows.forEach((row, at) => row.classList.toggle("here", at === page.at && Boolean(page.chosen)));
  if (page.chosen) rows[page.at]?.scrollIntoView({ block: "nearest" });
}

const chosen = () => {
  const [name] = place();
  if (name === "station") return page.station;
  if (name) return null;
  const row = page.rows()[page.at];
  return page.stations.find((station) => station.id === row?.dataset.id);
};

/** Steps to the issue before or behind. */
function move(by) {
  const [name, id, issue] = place();
  if (name !== "station" || !page.time) return;
  const next = new Date(Date.parse(page.time) + by * (page.everyS || 3_600) * 1_000).toISOString().replace(".000Z", "Z");
  if (!issue && by > 0) return;
  location.hash = `#/station/${encodeURIComponent(id)}/${next}`;
}

const KEYS = [
  ["j", "row below"], ["k", "row above"], ["Enter", "station"], ["Escape", "watch list"], ["[", "earlier issue"], ["]", "later issue"], ["a", "acknowledge"], ["n", "note"],
  ["e", "explain"], ["w", "what if"], ["f", "earlier medians"], ["t", "table"], ["v", "foresight"], ["m", "map"], ["h", "handover"], ["z", "time zone"], ["u", "unit"], ["d", "dark"], ["/", "search"], ["?", "all keys"],
];
const OF_PAGE = { station: ["Escape", "[", "]", "a", "n", "e", "w", "f", "t", "v", "z", "u", "d", "?"], "": ["j", "k", "Enter", "a", "n", "e", "w", "m", "h", "/", "?"] };

function keysOf(name) {
  const shown = OF_PAGE[name] || ["Escape", "m", "h", "z", "d", "?"];
  fill(document.getElementById("keys"), KEYS.filter(([key]) => shown.includes(key)).map(([key, what]) => h("span", {}, h("kbd", {}, key === "Escape" ? "Esc" : key), ` ${what}`)));
}

const DO = {
  j: () => step(1), k: () => step(-1), Enter: () => open(), Escape: () => { location.hash = "#/"; },
  "[": () => move(-1), "]": () => move(1), a: () => act("acknowledge"), n: () => act("note"), f: () => page.toggleEarlier(), e: () => explain(), w: () => whatIf(),
  t: () => { const table = document.getElementById("table"); if (table) { table.open = !table.open; page.table = table.open; } },
  v: () => { const node = document.getElementById("foresight"); if (node) node.open = !node.open; },
  m: () => { location.hash = "#/map"; }, h: () => { location.hash = "#/handover"; },
  z: () => { words.toggle("zone", ["local", "utc"]); refresh(); }, u: () => { words.toggle("unit", ["m3/s", "ft3/s"]); refresh(); },
  d: () => theme(true), "/": () => search(), "?": () => help(),
};

addEventListener("keydown", (event) => {
  // A field of the dialog has the focus for a moment after it has closed: the key is the page's.
  if (event.ctrlKey || event.metaKey || event.altKey || dialog.open || (event.target.closest("input, textarea, select") && !dialog.contains(event.target))) return;
  if (event.key === "Enter" && event.target.closest("a, button, summary")) return;
  const action = DO[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

function step(by) {
  page.at += page.chosen ? by : 0;
  page.chosen = true;
  mark();
}

function open() {
  const at = chosen();
  if (at) location.hash = `#/station/${encodeURIComponent(at.id)}`;
}

/** Of a row of the list too: its station is opened with it. */
function explain() {
  if (place()[0] === "station") return page.toggleWhy();
  page.why = true;
  open();
}

/** The forecast that is shown, or the newest of the row that is chosen, under other rain. */
async function whatIf() {
  const at = chosen();
  if (!at) return;
  const shown = place()[0] === "station";
  const forecast = shown ? page.forecast : await ask(`/stations/${encodeURIComponent(at.id)}/forecast`).catch((error) => announce(error.message));
  if (!forecast || dialog.open) return;
  form(`What if: ${at.name}`, FIELDS, "Try", async (given) => {
    page.tryRain(await tried(at.id, forecast, given));
    if (!shown) location.hash = `#/station/${encodeURIComponent(at.id)}`;
  });
}

function theme(turn) {
  const kept = localStorage.getItem("theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const next = turn ? (kept === "dark" ? "light" : "dark") : kept;
  if (turn) localStorage.setItem("theme", next);
  document.documentElement.dataset.theme = next;
}

/** Opens the dialog. */
function show(title, ...content) {
  const close = h("button", { type: "button", onclick: () => dialog.close() }, "Close");
  fill(dialog, h("h2", { id: "dialog-title" }, title), ...content, content.some((part) => part?.classList?.contains("with-buttons")) ? null : h("div", { class: "buttons" }, close));
  dialog.showModal();
}

function form(title, fields, submit, done) {
  const problem = h("p", { class: "problem", role: "alert" });
  const inputs = fields.map(([name, label, attributes = {}]) => [name, h(attributes.rows ? "textarea" : "input", { id: `field-${name}`, ...attributes }), label]);
  const content = h("form", { class: "with-buttons", method: "dialog", onsubmit: async (event) => {
    event.preventDefault();
    try {
      await done(Object.fromEntries(inputs.map(([name, input]) => [name, input.value.trim()])));
      dialog.close();
    } catch (error) {
      problem.textContent = error.message;
    }
  } }, inputs.map(([name, input, label]) => [h("label", { for: `field-${name}` }, label), input]), problem, h("div", { class: "buttons" }, h("button", { class: "first", type: "submit" }, submit), h("button", { type: "button", onclick: () => dialog.close() }, "Cancel")));
  show(title, content);
}

const askToken = (then) => form("Token", [["token", "A token of scope operate, as nilometer token new prints it; kept until the tab is closed", { type: "password", autocomplete: "off", required: true }]], "Use it", async ({ token }) => { setToken(token); setTimeout(then); });

/** Takes note of an alert, or writes something beside it. */
function act(action) {
  const at = chosen();
  if (!at?.alert) return announce("no alert here");
  if (!hasToken()) return askToken(() => act(action));
  const note = ["note", action === "note" ? "Note" : "Note, if any", { rows: 3, required: action === "note" }];
  const by = ["by", "Who", { value: localStorage.getItem("by") || "", autocomplete: "name" }];
  const titles = { acknowledge: `Acknowledge: ${at.name}`, note: `Note: ${at.name}` };
  form(titles[action], [by, note], action === "note" ? "Write" : "Acknowledge", async (given) => {
    localStorage.setItem("by", given.by);
    const body = Object.fromEntries(Object.entries(given).filter(([, value]) => value));
    try {
      await tell(`/alerts/${encodeURIComponent(at.alert)}/${action}`, body);
    } catch (error) {
      if (error.status === 401 || error.status === 403) setToken(null);
      throw error;
    }
    announce(action === "note" ? "written; the next tick takes it" : "acknowledged; the next tick takes it");
  });
}

async function search() {
  if (!page.stations.length) {
    const { features } = await ask("/stations");
    page.stations = features.map((feature) => ({ id: feature.id, ...feature.properties }));
  }
  const found = h("ul", { role: "listbox", "aria-label": "Stations found" });
  const input = h("input", { id: "field-search", type: "search", "aria-label": "Station, river or identifier", autocomplete: "off", oninput: () => {
    const text = input.value.toLowerCase();
    const hits = text ? page.stations.filter((of) => `${of.name} ${of.river || ""} ${of.id}`.toLowerCase().includes(text)).slice(0, 8) : [];
    fill(found, hits.map((of) => h("li", { role: "option" }, h("a", { href: `#/station/${encodeURIComponent(of.id)}`, onclick: () => dialog.close() }, of.name), of.river ? ` · ${of.river}` : "")));
  }, onkeydown: (event) => { if (event.key === "Enter") found.querySelector("a")?.click(); } });
  show("Search", input, found);
  input.focus();
}

const help = () => show("Keys", h("dl", {}, KEYS.map(([key, what]) => [h("dt", {}, h("kbd", {}, key === "Escape" ? "Esc" : key)), h("dd", {}, what)])));

addEventListener("hashchange", () => { dialog.open && dialog.close(); refresh(); });
theme(false);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => theme(false));
refresh();

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
// What came while a dialog was open is shown when it closes.
let missed = false;
dialog.addEventListener("close", () => { if (missed) refresh(); missed = false; });

let due = null, stood = true;
listen("forecast,alert,drought,model", (event) => {
  if (event.name === "position") return;
  if (event.name === "reset") announce("some events were missed; everything is read anew");
  const [name, , issue] = place();
  if (issue && name === "station") return;
  due ??= setTimeout(() => { due = null; if (dialog.open) missed = true; else refresh(); }, 400);
}, (stands) => {
  const live = document.getElementById("live");
  live.className = stands ? "" : "off";
  live.textContent = stands ? "Live" : "Not connected; trying again";
  if (stands && !stood && !dialog.open) refresh();
  stood = stands;
});
