// Foresight: what each issue said of one hour, and what was read when it came.

import { band, line, step } from "./draw.js";
import { fill, h, s } from "./elements.js";
import { ask } from "./service.js";
import * as words from "./words.js";

const HOUR = 3_600_000;
const iso = (time) => new Date(time).toISOString().replace(".000Z", "Z");

/** Closed until it is opened; the hour is that of the highest median until another is chosen. */
export function foresight(here, forecast, page) {
  const { q50 } = forecast.quantiles, first = forecast.valid_time[q50.indexOf(Math.max(...q50))];
  const key = `${here.id}/${forecast.issue_time}`;
  if (page.hour?.key !== key) page.hour = { key, time: first };
  const body = h("div");
  const show = () => of(here, page.hour.time, body, (by) => { page.hour.time = iso(Date.parse(page.hour.time) + by * HOUR); show(); });
  if (page.foresight) show();
  return h("details", { id: "foresight", open: page.foresight, ontoggle: (event) => { if (event.target.open && !page.foresight) show(); page.keepForesight(event.target.open); } },
    h("summary", {}, "Foresight: what each issue said of one hour ", h("kbd", {}, "v")), body);
}

async function of(here, time, body, move) {
  const id = encodeURIComponent(here.id);
  const answers = await Promise.all([ask(`/stations/${id}/foresight?valid_time=${time}`), ask(`/readings?stations=${id}&from=${time}&to=${time}`)]).catch((error) => error);
  if (answers instanceof Error) return fill(body, h("p", { class: "second" }, answers.message));
  const [{ rows }, read] = answers;
  const reading = read[0]?.value?.at(-1) ?? null;
  const said = h("p", {}, h("button", { class: "plain", type: "button", onclick: () => move(-1) }, "hour earlier"), " ", h("strong", {}, words.moment(time, here.observed?.valid_time || time, here)), " ", h("button", { class: "plain", type: "button", onclick: () => move(1) }, "hour later"),
    h("span", { class: "second" }, reading === null ? " · not read yet" : ` · read ${words.flow(reading)} ${words.unit()}`));
  if (!rows.length) return fill(body, said, h("p", { class: "second" }, "No issue spoke of it."));
  const width = Math.max(320, Math.round(body.clientWidth || body.parentElement?.clientWidth || 900));
  fill(body, said, draw(here, rows, reading, width), tableOf(here, rows));
}

function draw(here, rows, reading, width) {
  const height = 176, left = 44, right = width - 12, top = 20, bottom = 140;
  const times = rows.map((row) => Date.parse(row.issue_time)), span = Math.max(HOUR, times.at(-1) - times[0]);
  const highest = Math.max(...rows.map((row) => row.q95), reading ?? 0, 1e-6) * 1.08;
  const x = (time) => left + ((time - times[0]) / span) * (right - left), y = (value) => bottom - (value / highest) * (bottom - top);
  const points = (level) => rows.map((row, at) => [x(times[at]), y(row[level])]);
  const text = (at, on, said, kind = "third", anchor = "start") => s("text", { x: at.toFixed(1), y: on.toFixed(1), class: kind, "text-anchor": anchor }, said);
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": "What each issue said of the hour: median with 50 and 90 % bands, by issue time; the table below has the same numbers." });
  const grade = step(highest, 3);
  for (let value = 0; value < highest; value += grade) svg.append(s("path", { class: value ? "grid" : "axis", d: `M${left} ${y(value).toFixed(1)}H${right}` }), text(left - 8, y(value) + 4, value ? words.level(value) : "0", "third", "end"));
  svg.append(s("path", { class: "fan90", d: band(points("q95"), points("q05")) }), s("path", { class: "fan50", d: band(points("q75"), points("q25")) }), s("path", { class: "median", d: line(points("q50")) }));
  if (reading !== null) svg.append(s("path", { class: "observed", d: `M${left} ${y(reading).toFixed(1)}H${right}` }), text(right, y(reading) - 6, `read ${words.flow(reading)}`, "strong halo", "end"));
  const every = Math.max(1, Math.ceil(rows.length / Math.max(2, Math.floor(width / 110))));
  rows.forEach((row, at) => { if (at % every === 0) svg.append(text(x(times[at]), bottom + 18, words.clock(row.issue_time, here), "third", at ? "middle" : "start")); });
  svg.append(text(left, 12, `${words.unit()}, by issue time`));
  return svg;
}

function tableOf(here, rows) {
  const levels = ["q05", "q25", "q50", "q75", "q95"];
  return h("details", {}, h("summary", {}, "Table"), h("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Table of the foresight" }, h("table", { class: "pairs" },
    h("thead", {}, h("tr", {}, ["Issue", "5 %", "25 %", "median", "75 %", "95 %"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, h("td", {}, words.moment(row.issue_time, rows.at(-1).issue_time, here)), levels.map((level) => h("td", {}, words.flow(row[level])))))))));
}
