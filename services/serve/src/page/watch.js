// Watch: the list that is looked at first, the most urgent row on top, all rows on one clock.

import { clockOf, row as drawRow, ticks } from "./draw.js";
import { WORD, fill, h, mark } from "./elements.js";
import { ask } from "./service.js";
import * as words from "./words.js";

const BACK_H = 18, QUIET_AT_ONCE = 60, CHARTS_AT_ONCE = 60;

const RANK = { warning: 0, watch: 1, normal: 2 };

/** What comes before what: warnings, watches, silent and late gauges, then by name. */
function order(a, b) {
  const rank = (of) => RANK[of.state] * 2 + (of.state === "normal" && of.data !== "silent" && of.data !== "late" ? 1 : 0);
  const onset = (of) => (words.leading(of.events)?.crossing ? Date.parse(words.leading(of.events).crossing.q10) : Infinity);
  return rank(a) - rank(b) || Number(Boolean(a.acknowledged)) - Number(Boolean(b.acknowledged)) || (a.state !== "normal" ? onset(a) - onset(b) : 0) || a.name.localeCompare(b.name);
}

const quietOf = (station) => station.state === "normal" && station.data !== "silent" && station.data !== "late";

export async function watch(main, page) {
  const { time, horizon_s, features } = await ask("/stations");
  const stations = features.map((feature) => ({ id: feature.id, place: feature.geometry?.coordinates, ...feature.properties })).sort(order);
  page.stations = stations;
  page.show(time, stations[0]);
  if (!time) return fill(main, h("h1", {}, "No forecast yet."), h("p", { class: "sub" }, "The first comes with the first issue; the page shows it by itself."));
  const horizonH = horizon_s / 3_600;
  const clock = clockOf(time, BACK_H, horizonH, 0, 1000);
  const urgent = stations.filter((station) => !quietOf(station)), quiet = stations.filter(quietOf);
  const list = h("div", { class: "list", role: "table", "aria-label": "Stations, the most urgent first" });
  list.append(head(clock, stations[0], time));
  const body = h("div", { role: "rowgroup" });
  list.append(body);
  const waiting = new Map();
  const observer = new IntersectionObserver((entries) => entries.forEach((entry) => entry.isIntersecting && want(entry.target)), { rootMargin: "400px" });
  const add = (station, kind) => {
    const element = rowOf(station, clock, time, kind, quiet.length, station === quiet[0]);
    element.dataset.id = station.id;
    body.append(element);
    waiting.set(element.querySelector(".chart"), station);
    observer.observe(element.querySelector(".chart"));
  };
  let wanted = [], due = null;
  function want(cell) {
    observer.unobserve(cell);
    wanted.push(cell);
    due ??= setTimeout(fetchCharts, 20);
  }
  async function fetchCharts() {
    due = null;
    const cells = wanted.splice(0, CHARTS_AT_ONCE);
    if (wanted.length) due = setTimeout(fetchCharts, 0);
    const ids = cells.map((cell) => waiting.get(cell).id).map(encodeURIComponent).join(",");
    const since = new Date(clock.from).toISOString();
    const asked = Promise.all([ask(`/forecasts?stations=${ids}&quantiles=5,25,50,75,95`), ask(`/readings?stations=${ids}&from=${since}`)]);
    const said = await asked.catch(() => null);
    if (!said) return setTimeout(() => cells.forEach((cell) => cell.isConnected && observer.observe(cell)), 5_000);
    const [forecasts, readings] = said;
    for (const cell of cells) {
      const station = waiting.get(cell), forecast = forecasts.find((of) => of.station === station.id);
      const reading = readings.find((of) => of.station === station.id);
      const pairs = reading ? reading.valid_time.map((at, index) => [at, reading.value[index]]) : [];
      fill(cell, drawRow(station, pairs, forecast, words.leading(station.events), clock, quietOf(station), stations[0]));
    }
  }
  urgent.forEach((station) => add(station, "urgent"));
  let shown = 0;
  const more = h("div", { class: "wide" }, h("button", { class: "plain", type: "button", onclick: () => addQuiet() }, ""));
  const addQuiet = () => {
    quiet.slice(shown, shown + QUIET_AT_ONCE).forEach((station) => add(station, "quiet"));
    shown = Math.min(shown + QUIET_AT_ONCE, quiet.length);
    page.remember(shown);
    more.remove();
    if (shown < quiet.length) {
      more.firstChild.textContent = `${quiet.length - shown} more are normal`;
      body.append(more);
      end.observe(more);
    }
  };
  const end = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && addQuiet(), { rootMargin: "200px" });
  do addQuiet(); while (shown < Math.min(page.quietShown || 0, quiet.length));
  fill(main, ...title(stations, time), list);
  page.rows = () => [...body.querySelectorAll("[data-id]")];
}

/** One sentence, and one beneath it. */
function title(stations, time) {
  const first = stations[0], event = first && words.leading(first.events);
  const count = (test) => stations.filter(test).length;
  const urgent = stations.filter((station) => station.state !== "normal");
  const parts = [];
  const news = count((station) => station.state === "warning" && !station.acknowledged), watches = count((station) => station.state === "watch");
  const mute = count((station) => station.data === "silent" || station.data === "late");
  const taken = count((station) => station.state === "warning" && station.acknowledged);
  if (news) parts.push(`${news} ${news === 1 ? "warning is" : "warnings are"} not acknowledged`);
  if (taken) parts.push(`${taken} acknowledged`);
  if (watches) parts.push(`${watches} ${watches === 1 ? "watch" : "watches"}`);
  if (mute) parts.push(`${mute} ${mute === 1 ? "gauge is" : "gauges are"} silent or late`);
  const rest = count(quietOf);
  if (rest) parts.push(`${rest} normal`);
  const below = `${parts.join(", ")}.`;
  if (urgent.length && !event) return [h("h1", {}, h("b", { class: first.state }, first.text || `${first.name}: ${WORD[first.state]}.`)), h("p", { class: "sub" }, below)];
  if (!urgent.length) return [h("h1", {}, "Nothing is watched or warned of."), h("p", { class: "sub" }, below)];
  const [what, when] = words.sentence(event, time, first);
  return [h("h1", {}, h("b", {}, `${first.name}: `), h("b", { class: first.state }, what), when), h("p", { class: "sub" }, below)];
}

function head(clock, station, time) {
  const place = (node, at, kind = "") => {
    node.style.left = `${clock.x(at) / 10}%`;
    if (kind) node.className = kind;
    return node;
  };
  const axis = h("span", { class: "clock", role: "columnheader" }, h("span", { class: "hidden" }, "Flow, past and forecast"));
  const now = clock.x(time);
  // Labels that would meet are left out, those of days never.
  const widest = innerWidth > 1080 ? Math.max(240, Math.min(innerWidth, 1408) - 986) : innerWidth - 32;
  const room = (label) => ((label.length * 8 + 12) * 1000) / widest / 2, taken = [[now - 60_000 / widest, now]];
  const all = ticks(clock, station), inOrder = [...all.filter((tick) => tick.midnight), ...all.filter((tick) => !tick.midnight)];
  for (const tick of inOrder) {
    const at = clock.x(tick.time), half = room(tick.label);
    if (at < half || at > 1000 - half || taken.some(([from, to]) => at + half > from && at - half < to)) continue;
    taken.push([at - half, at + half]);
    axis.append(place(h("span", { "aria-hidden": "true" }, tick.midnight ? h("b", {}, tick.label) : tick.label), tick.time));
  }
  axis.append(place(h("span", { "aria-hidden": "true" }, "now"), time, "now"));
  const column = (text, kind = "") => h("span", { role: "columnheader", class: kind }, text);
  return h("div", { role: "rowgroup" }, h("div", { role: "row", class: "head" }, column("State"), column("Station"), column(`Now, ${words.unit()}`, "number"), axis, column("Chance", "number"), column("Most likely"), column("Since last issue, why")));
}

function rowOf(station, clock, time, kind, quiet, isFirstQuiet) {
  const event = words.leading(station.events);
  const cell = (name, ...children) => h("span", { role: "cell", class: `cell ${name}` }, ...children);
  const small = (text) => h("span", { class: "small second" }, text);
  const state = station.state !== "normal" ? station.state : quietOf(station) ? "normal" : station.data;
  const mute = station.state !== "normal" && ["silent", "late"].includes(station.data);
  const since = station.acknowledged ? `acknowledged, ${station.acknowledged}` : station.since ? `since ${words.past(station.since, time, station)}` : "";
  const stateWord = kind === "quiet" ? [mark("normal"), h("span", { class: isFirstQuiet ? "" : "hidden" }, isFirstQuiet ? `Normal, ${quiet}` : "Normal")] : [mark(state), h("span", { class: `large ${station.state}` }, h("strong", {}, WORD[state])), h("br"), mute ? h("span", { class: "small" }, mark(station.data), WORD[station.data].toLowerCase()) : small(since)];
  const observed = station.observed;
  const reached = event && observed && !event.below && observed.value >= event.value;
  const value = observed ? [h("b", {}, words.flow(observed.value)), kind === "quiet" ? "" : small(station.data === "ok" ? `${words.rate(observed.rise_per_h)} an hour` : `at ${words.past(observed.valid_time, time, station)}`)] : [h("b", {}, "–"), kind === "quiet" ? "" : small("no reading")];
  const chance = event ? [h("b", { class: station.state === "normal" ? "" : station.state }, reached ? "above" : words.percent(event.probability)), kind === "quiet" ? "" : small(`of ${words.threshold(event)} ${event.name.toLowerCase().replace(/ flood$/, "")}`)] : [kind === "quiet" ? "" : small("no threshold")];
  const timed = event?.crossing && event.probability >= 0.15 && !reached;
  const when = timed && kind !== "quiet" ? [h("b", {}, words.windowOf(event.crossing.q10, event.crossing.q90, time, station)), small(words.ahead(event.crossing.q10, event.crossing.q90, time))] : [];
  const [change, reason] = why(station, event, time);
  const element = h("div", { role: "row", class: `${kind}${station.state === "warning" && !station.acknowledged ? " tinted" : ""}` },
    cell("state", ...stateWord),
    cell("name", h("b", {}, h("a", { href: `#/station/${encodeURIComponent(station.id)}` }, station.name)), kind === "quiet" ? "" : small(`${station.name === station.id ? "" : `${station.id} · `}${Math.round(station.area_km2)} km²`)),
    cell("value number", ...value),
    cell("chart", h("span", { class: "hidden" }, station.text || "")),
    cell("chance number", ...chance),
    cell("when", ...when),
    cell("why", ...(kind === "quiet" ? [] : [change ? h("b", {}, change) : "", small(reason)])));
  return element;
}

/** What changed, and what of it the gauge explains. */
export function why(station, event, time) {
  const change = event ? words.points(event.probability, event.probability_before) : "";
  if (station.data === "silent" || station.data === "late") {
    const said = station.observed ? `${station.data}, last reading ${words.past(station.observed.valid_time, time, station)}` : "never read";
    return [change, said];
  }
  const read = station.assimilated;
  if (!read) return [change, ""];
  return [change, `gauge read ${words.flow(read.observed)}, ${words.beside(read.predicted, read.observed)} expected`];
}
