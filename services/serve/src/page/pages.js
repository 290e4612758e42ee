// Pages: map, drought, models, handover. Each is a list that reads without its drawing.

import { WORD, fill, h, mark, s } from "./elements.js";
import { ask } from "./service.js";
import * as words from "./words.js";

const link = (station) => h("a", { href: `#/station/${encodeURIComponent(station.id)}` }, station.name);
const pairs = (names, rows) => h("div", { class: "table" }, h("table", { class: "pairs" }, h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell)))))));

async function stationsOf(page) {
  const { time, features } = await ask("/stations");
  const stations = features.map((feature) => ({ id: feature.id, place: feature.geometry?.coordinates, ...feature.properties }));
  page.show(time, stations[0]);
  return { time, stations };
}

/** Where the stations are, and which lies below which. Without tiles: places, names and states alone. */
export async function map(main, page) {
  const { stations } = await stationsOf(page);
  const placed = stations.filter((station) => station.place), others = stations.filter((station) => !station.place);
  const parts = [h("h1", {}, h("b", {}, `${placed.length} of ${stations.length} stations`), " have a place.")];
  if (placed.length) {
    const [xs, ys] = [0, 1].map((axis) => placed.map((station) => station.place[axis]));
    const shrink = Math.cos(((Math.min(...ys) + Math.max(...ys)) / 2) * (Math.PI / 180));
    const spanX = Math.max((Math.max(...xs) - Math.min(...xs)) * shrink, 0.05), spanY = Math.max(Math.max(...ys) - Math.min(...ys), 0.05);
    const width = 960, height = Math.max(240, Math.min(720, (width - 240) * (spanY / spanX)));
    const scale = Math.min((width - 240) / spanX, (height - 80) / spanY);
    const middle = [(Math.min(...xs) + Math.max(...xs)) / 2, (Math.min(...ys) + Math.max(...ys)) / 2];
    const at = ([x, y]) => [width / 2 - 80 + (x - middle[0]) * shrink * scale, height / 2 - (y - middle[1]) * scale];
    const svg = s("svg", { class: "map", viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Map of the stations" });
    for (const station of placed) {
      const below = placed.find((other) => other.id === station.downstream);
      if (below) svg.append(s("path", { class: "link", d: `M${at(station.place).join(" ")}L${at(below.place).join(" ")}` }));
    }
    for (const station of placed) {
      const [x, y] = at(station.place), shape = mark(station.state === "normal" ? (station.data === "ok" ? "normal" : station.data) : station.state);
      shape.setAttribute("x", x - 8);
      shape.setAttribute("y", y - 8);
      shape.setAttribute("width", 16);
      shape.setAttribute("height", 16);
      svg.append(s("a", { href: `#/station/${encodeURIComponent(station.id)}`, "aria-label": `${station.name}, ${WORD[station.state]}` }, s("rect", { x: x - 16, y: y - 16, width: 32, height: 32, fill: "transparent" }), shape, placed.length <= 60 ? s("text", { x: x + 14, y: y + 4, class: station.state === "normal" ? "halo" : `halo ${station.state}` }, station.name) : null));
    }
    parts.push(svg);
  }
  if (others.length) parts.push(h("h2", {}, "Without a place"), h("p", {}, others.flatMap((station, index) => [index ? ", " : "", link(station)])));
  fill(main, ...parts);
}

/** How dry each station is for its season, and how likely each class is in the weeks ahead. */
export async function drought(main, page) {
  const { stations } = await stationsOf(page);
  const known = stations.filter((station) => station.drought).sort((a, b) => (a.drought.percentile ?? 101) - (b.drought.percentile ?? 101));
  if (!known.length) return fill(main, h("h1", {}, "Droughts are not judged here."), h("p", { class: "sub" }, "A section [drought] of the definition asks for it."));
  const dry = known.filter((station) => station.drought.class !== "none");
  const title = dry.length ? h("h1", {}, h("b", {}, `${dry.length} of ${known.length} stations`), ` are in a drought; the driest is ${dry[0].name}, in ${dry[0].drought.class}.`) : h("h1", {}, h("b", {}, "No station is in a drought."));
  const rows = known.slice(0, 500).map((station) => [h("span", {}, h("span", { class: `class-mark ${station.drought.class}` }), link(station)), station.drought.class, station.drought.percentile === null ? "–" : Math.round(station.drought.percentile), words.day(station.drought.valid_time, station)]);
  fill(main, title, h("p", { class: "sub" }, "Streamflow beside its own season in the years before; classes behind their persistence."), pairs(["Station", "Class", "Percentile", "Day"], rows));
}

/** What forecasts are made with. */
export async function models(main, page) {
  page.show(null, null);
  const { in_force } = await ask("/models");
  const first = in_force[0];
  const title = first ? h("h1", {}, h("b", {}, `${first.name} ${first.version}`), ` makes the forecasts since ${words.day(first.since, null)} ${words.clock(first.since, null)} UTC.`) : h("h1", {}, "No model yet.");
  const rows = in_force.map((model) => [`${model.name} ${model.version}`, words.percent(model.weight, 0.001), model.partition, model.reason, model.author, model.weights_sha256.slice(0, 12)]);
  fill(main, title, h("p", { class: "sub" }, "The weights' digest stands in every forecast."), pairs(["Model", "Weight", "Partition", "Why", "By", "Weights, SHA-256"], rows));
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
