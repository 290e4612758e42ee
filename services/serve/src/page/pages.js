// Pages: map, drought, models, handover. Each is a list that reads without its drawing.

import { WORD, fill, h, mark, s } from "./elements.js";
import { ask } from "./service.js";
import * as words from "./words.js";

/** What is not there is nothing; every other refusal is said. */
const unless = (status) => (error) => (error.status === status ? null : Promise.reject(error));
const link = (station) => h("a", { href: `#/station/${encodeURIComponent(station.id)}` }, station.name);
const pairs = (names, rows) => h("div", { class: "table" }, h("table", { class: "pairs" }, h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell)))))));

async function stationsOf(page) {
  const { time, features } = await ask("/stations");
  const stations = features.map((feature) => ({ id: feature.id, place: feature.geometry?.coordinates, ...feature.properties }));
  page.show(time, stations[0]);
  return { time, stations };
}

/** Where the stations are. Without tiles: their catchments and rivers where the definition has flow directions, else which lies below which. */
export async function map(main, page) {
  const [{ stations }, traced] = await Promise.all([stationsOf(page), ask("/map").catch(unless(404))]);
  const gauges = new Map((traced?.catchments || []).map((of) => [of.station, of.gauge]));
  // Of a definition with flow directions all is in metres, else in degrees, which shrink towards the poles.
  const whereOf = (station) => (traced ? gauges.get(station.id) : station.place);
  const placed = stations.filter(whereOf), others = stations.filter((station) => !whereOf(station));
  const parts = [h("h1", {}, h("b", {}, `${placed.length} of ${stations.length} stations`), " have a place.")];
  if (placed.length) parts.push(...mapOf(placed, whereOf, traced));
  if (others.length) parts.push(h("h2", {}, "Without a place"), h("p", {}, others.flatMap((station, index) => [index ? ", " : "", link(station)])));
  fill(main, ...parts);
}

function mapOf(placed, whereOf, traced) {
  const points = traced ? traced.catchments.flatMap((of) => of.outlines.flat()) : placed.map(whereOf);
  let [west, east, south, north] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const [x, y] of points) [west, east, south, north] = [Math.min(west, x), Math.max(east, x), Math.min(south, y), Math.max(north, y)];
  const least = traced ? 1_000 : 0.05, shrink = traced ? 1 : Math.cos(((south + north) / 2) * (Math.PI / 180));
  const spanX = Math.max((east - west) * shrink, least), spanY = Math.max(north - south, least);
  // Names stand beside their places, on the side that has room.
  const width = Math.max(320, Math.min(960, document.getElementById("content").clientWidth)), beside = width < 640 ? 120 : 240;
  const height = Math.max(240, Math.min(traced ? 640 : 720, (width - beside) * (spanY / spanX) + 48));
  const scale = Math.min((width - beside) / spanX, (height - 48) / spanY), middle = [(west + east) / 2, (south + north) / 2];
  const at = ([x, y]) => [(width - beside / 2) / 2 + (x - middle[0]) * shrink * scale, height / 2 - (y - middle[1]) * scale];
  const path = (line) => line.map((point, index) => `${index ? "L" : "M"}${at(point).map((value) => value.toFixed(1)).join(" ")}`).join("");
  const svg = s("svg", { class: "map", viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Map of the stations" });
  if (traced) {
    const stateOf = (id) => placed.find((station) => station.id === id)?.state;
    const largest = traced.rivers.reduce((most, reach) => Math.max(most, reach.area_km2), 1);
    // The largest first, so that those within it lie on it.
    const catchments = [...traced.catchments].sort((a, b) => b.outlines[0].length - a.outlines[0].length);
    for (const of of catchments) svg.append(s("path", { class: `catchment ${stateOf(of.station)}`, d: of.outlines.map(path).join("") }));
    for (const reach of traced.rivers) svg.append(s("path", { class: "river", d: path(reach.line), "stroke-width": (0.8 + 3 * Math.sqrt(reach.area_km2 / largest)).toFixed(1) }));
  } else {
    for (const station of placed) {
      const below = placed.find((other) => other.id === station.downstream);
      if (below) svg.append(s("path", { class: "link", d: path([whereOf(station), whereOf(below)]) }));
    }
  }
  for (const station of placed) {
    const [x, y] = at(whereOf(station)), shape = mark(station.state === "normal" ? (station.data === "ok" ? "normal" : station.data) : station.state);
    shape.setAttribute("x", x - 8);
    shape.setAttribute("y", y - 8);
    shape.setAttribute("width", 16);
    shape.setAttribute("height", 16);
    svg.append(s("a", { href: `#/station/${encodeURIComponent(station.id)}`, "aria-label": `${station.name}, ${WORD[station.state]}` }, s("rect", { x: x - 16, y: y - 16, width: 32, height: 32, fill: "transparent" }), s("circle", { class: "under", cx: x, cy: y, r: 10 }), shape, placed.length <= 60 ? s("text", { x: x > width * 0.7 ? x - 14 : x + 14, y: y + 4, "text-anchor": x > width * 0.7 ? "end" : "start", class: station.state === "normal" ? "halo" : `halo ${station.state}` }, station.name) : null));
  }
  if (!traced) return [svg];
  // A length that people count in, a fifth of the width at most.
  const km = [1, 2, 5, 10, 20, 50, 100, 200].filter((length) => length * 1_000 * scale <= width / 5).at(-1);
  if (km) svg.append(s("path", { class: "axis", d: `M24 ${height - 16}h${(km * 1_000 * scale).toFixed(1)}` }), s("text", { x: 24, y: height - 22, class: "third" }, `${km} km`));
  return [svg, h("p", { class: "second small" }, "Catchments and rivers by the flow directions of the definition; north is up.")];
}

/** How dry each station is for its season, and how likely each class is in the weeks ahead. */
export async function drought(main, page) {
  const { stations } = await stationsOf(page);
  const known = stations.filter((station) => station.drought).sort((a, b) => (a.drought.percentile ?? 101) - (b.drought.percentile ?? 101));
  if (!known.length) return fill(main, h("h1", {}, "Droughts are not judged here."), h("p", { class: "sub" }, "A section [drought] of the definition asks for it."));
  const dry = known.filter((station) => station.drought.class !== "none");
  const title = dry.length ? h("h1", {}, h("b", {}, `${dry.length} of ${known.length} stations`), ` are in a drought; the driest is ${dry[0].name}, in ${dry[0].drought.class}.`) : h("h1", {}, h("b", {}, "No station is in a drought."));
  const first = await Promise.all(known.slice(0, SHOWN).map((station) => ask(`/stations/${encodeURIComponent(station.id)}/drought-outlook?limit=400`).then(({ rows }) => weeksOf(station, rows))));
  const rows = known.slice(0, 500).map((station) => [h("span", {}, h("span", { class: `class-mark ${station.drought.class}` }), link(station)), station.drought.class, station.drought.percentile === null ? "–" : Math.round(station.drought.percentile), words.day(station.drought.valid_time, station)]);
  fill(main, title, h("p", { class: "sub" }, "Streamflow beside its own season in the years before; classes behind their persistence."), pairs(["Station", "Class", "Percentile", "Day"], rows), first.some(Boolean) ? h("h2", {}, "The weeks ahead, of the driest") : null, h("div", { class: "weeks" }, first.filter(Boolean)));
}

/** Stations whose weeks ahead are drawn. */
const SHOWN = 6;
const CLASSES = ["d0", "d1", "d2", "d3", "d4"];
/** What a season gives each class or worse by itself. */
const CLIMATE = [0.3, 0.2, 0.1, 0.05, 0.02];

/** How likely each class or worse is, week by week; on the same clock the percentile, and what persistence says. */
function weeksOf(station, rows) {
  const last = rows.filter((row) => row.index === "streamflow").reduce((newest, row) => (newest > row.issue_time ? newest : row.issue_time), "");
  const weeks = rows.filter((row) => row.index === "streamflow" && row.issue_time === last).sort((a, b) => a.week - b.week);
  if (!weeks.length) return null;
  const width = 440, left = 34, right = 432, top = 20, bottom = 150, height = 176, wide = (right - left) / weeks.length;
  const y = (probability) => bottom - probability * (bottom - top);
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${station.name}: probability of each drought class or worse in each of ${weeks.length} weeks; the table has the numbers.` });
  for (const value of [0, 0.5, 1]) svg.append(s("path", { class: value ? "grid" : "axis", d: `M${left} ${y(value)}H${right}` }), s("text", { x: left - 6, y: y(value) + 4, class: "third", "text-anchor": "end" }, `${value * 100}`));
  weeks.forEach((row, at) => {
    const x = left + at * wide;
    CLASSES.forEach((name) => svg.append(s("rect", { class: `class-fill ${name}`, x: (x + 2).toFixed(1), y: y(row[`at_least_${name}`]).toFixed(1), width: (wide - 4).toFixed(1), height: Math.max(0, bottom - y(row[`at_least_${name}`])).toFixed(1) })));
    if (at % 3 === 0) svg.append(s("text", { x: x + wide / 2, y: bottom + 18, class: "third", "text-anchor": "middle" }, `${row.week} wk`));
  });
  svg.append(s("path", { class: "climate", d: `M${left} ${y(CLIMATE[0])}H${right}` }), s("text", { x: right, y: y(CLIMATE[0]) - 4, class: "third halo", "text-anchor": "end" }, "D0 in an average year"), s("text", { x: left, y: 12, class: "third" }, "% that a week is in the class or worse"));
  const now = weeks[0];
  const said = now.class_now ? `The newest day is in ${now.class_now === "none" ? "no class" : now.class_now}, percentile ${Math.round(now.percentile_now)}; persistence gives every week ${now.class_now === "none" ? "none" : now.class_now}.` : "The newest day has no class.";
  return h("section", {}, h("h3", {}, link(station), h("span", { class: "second" }, ` · issued ${words.day(last, station)}`)), h("p", { class: "second" }, said), svg, h("p", { class: "legend second small" }, CLASSES.map((name) => [h("span", { class: `class-mark ${name.toUpperCase()}` }), `${name.toUpperCase()} `])),
    h("details", {}, h("summary", {}, "Table"), pairs(["Week", ...CLASSES.map((name) => `${name.toUpperCase()} or worse`), "Percentile 5–50–95 %"], weeks.map((row) => [`${row.week}, to ${words.day(row.valid_time, station)}`, ...CLASSES.map((name) => words.percent(row[`at_least_${name}`])), `${Math.round(row.percentile_q05)}–${Math.round(row.percentile_q50)}–${Math.round(row.percentile_q95)}`]))));
}

/** What forecasts are made with, what forecasts beside it, and which of the two was better. */
export async function models(main, page) {
  page.show(null, null);
  const { in_force, challengers, changes } = await ask("/models");
  const first = in_force[0];
  const at = (time) => `${words.day(time, null)} ${words.clock(time, null)} UTC`;
  const title = first ? h("h1", {}, h("b", {}, `${first.name} ${first.version}`), ` makes the forecasts since ${at(first.since)}.`) : h("h1", {}, "No model yet.");
  const of = (model, part) => [part, `${model.name} ${model.version}`, model.partition, at(model.since), model.reason, model.author, model.weights_sha256.slice(0, 12)];
  const rows = [...in_force.map((model) => of(model, "in force")), ...challengers.map((model) => of(model, "challenger"))];
  fill(main, title, h("p", { class: "sub" }, "The weights' digest stands in every forecast. A challenger forecasts beside it, and calls no one."), pairs(["", "Model", "Partition", "Since", "Why", "By", "Weights, SHA-256"], rows),
    challengers.length ? await contest(in_force, challengers) : h("p", { class: "second" }, "No challenger forecasts beside it."),
    h("h2", {}, "What changed"), pairs(["When", "Model", "To be", "Why", "By"], changes.slice(0, 20).map((model) => [at(model.since), `${model.name} ${model.version} ${model.weights_sha256.slice(0, 8)}`, model.weight ? "in force" : "challenger", model.reason, model.author])));
}

/** Stations of which both are scored. */
const SCORED = 20;

/** The mean score of both on the same hours, by lead time. */
async function contest(in_force, challengers) {
  const { time, features } = await ask("/stations");
  const from = new Date(Date.parse(time) - 48 * 3_600_000).toISOString().replace(".000Z", "Z");
  const all = await Promise.all(features.slice(0, SCORED).map((feature) => ask(`/stations/${encodeURIComponent(feature.id)}/scores?from=${from}&to=${time}`).then(({ rows }) => rows)));
  const [mine, theirs] = [in_force[0]?.weights_sha256, challengers[0].weights_sha256], both = new Map();
  for (const row of all.flat()) {
    if (row.weights_sha256 !== mine && row.weights_sha256 !== theirs) continue;
    const key = `${row.catchment}/${row.issue_time}/${row.valid_time}`;
    both.set(key, { ...both.get(key), lead: row.lead_time_s, [row.weights_sha256 === mine ? "mine" : "theirs"]: row.crps });
  }
  const pairsOf = [...both.values()].filter((of) => of.mine !== undefined && of.theirs !== undefined);
  if (!pairsOf.length) return h("p", { class: "second" }, "The two have not been scored on the same hours yet.");
  const leads = [...new Set(pairsOf.map((of) => of.lead))].sort((a, b) => a - b), some = [0, 0.25, 0.5, 1].map((part) => leads[Math.round(part * (leads.length - 1))]);
  const mean = (of, which) => of.reduce((sum, one) => sum + one[which], 0) / of.length;
  const row = (name, of) => [name, words.flow(mean(of, "mine")), words.flow(mean(of, "theirs")), words.percentMore(mean(of, "theirs") / mean(of, "mine")), of.length];
  return [h("h2", {}, "Beside each other: CRPS, less is better"), pairs(["Lead time", `in force, ${words.unit()}`, `challenger, ${words.unit()}`, "challenger beside it", "forecasts"], [...new Set(some)].map((lead) => row(`${Math.round(lead / 3_600)} h`, pairsOf.filter((of) => of.lead === lead))).concat([row("all", pairsOf)])), h("p", { class: "second small" }, `The same hours of ${Math.min(features.length, SCORED)} stations, the last two days.`)];
}

/** What the shift hands over: what stands, what has passed, what people have said of it. */
export async function handover(main, page) {
  const { since, until, standing, passed } = await ask("/handover");
  const { stations } = await stationsOf(page);
  const of = (alert) => stations.find((station) => station.station === alert.station) || { id: alert.station, name: alert.station_name };
  const row = (alert) => h("div", {}, h("p", { class: "large" }, mark(alert.state === "clear" ? "normal" : alert.kind === "gauge" ? alert.data : alert.state), link(of(alert)), ` · ${alert.text}`), h("p", { class: "second" }, [`since ${words.moment(alert.since, until, of(alert))}`, alert.acknowledged_by && `acknowledged by ${alert.acknowledged_by}`, alert.note && `“${alert.note}”`, alert.silenced_until && `silenced until ${words.moment(alert.silenced_until, until, of(alert))}`].filter(Boolean).join(" · ")));
  const open = standing.filter((alert) => !alert.acknowledged_by && alert.state === "warning").length;
  fill(main, h("h1", {}, h("b", {}, `${standing.length} ${standing.length === 1 ? "alert stands" : "alerts stand"}`), `, ${open} not acknowledged; ${passed.length} passed since ${words.moment(since, until, stations[0])}.`), h("p", { class: "sub" }, `As of ${words.day(until, stations[0])} ${words.clock(until, stations[0])}. Automatic, not official.`), h("h2", {}, "Stands"), h("div", { class: "cards" }, standing.length ? standing.map(row) : h("p", {}, "Nothing.")), h("h2", {}, "Has passed"), h("div", { class: "cards" }, passed.length ? passed.map(row) : h("p", {}, "Nothing.")), h("p", { class: "copy" }, h("button", { class: "plain", type: "button", onclick: () => print() }, "Print")));
}
