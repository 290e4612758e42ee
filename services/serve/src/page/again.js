// Again: forecasts that are made again: why one changed, and what it would be under other rain.

import { fill, h } from "./elements.js";
import { ask, tell } from "./service.js";
import * as words from "./words.js";

const PARTS = { elapsed: "nearer by", weather: "weather", gauges: "gauge", calibration: "calibration", thresholds: "threshold", model: "model" };
const known = new Map();

/** Why a forecast differs from the one before: each part with what it changed. It comes when it has been made. */
export function explained(here, forecast, event) {
  const node = h("section", { id: "why", "aria-live": "polite" });
  const key = `${here.id}/${forecast.issue_time}`;
  const show = (split) => fill(node, h("h2", {}, `Why it changed since ${words.clock(split.against, here)}`), tableOf(split, here, event), readingsOf(split, here));
  if (known.has(key)) {
    show(known.get(key));
    return node;
  }
  fill(node, h("h2", {}, "Why it changed"), h("p", { class: "second" }, "Both forecasts are being made again…"));
  ask(`/stations/${encodeURIComponent(here.id)}/explain?issue=${forecast.issue_time}`).then((split) => {
    if (known.size > 50) known.clear();
    known.set(key, split);
    show(split);
  }, (error) => fill(node, h("h2", {}, "Why it changed"), h("p", { class: "second" }, error.message)));
  return node;
}

/** Odds of the leading threshold, and the median where it is highest, from part to part. */
function tableOf(split, here, event) {
  const odds = split.odds.find((of) => of.threshold === event?.threshold);
  const top = split.after.quantiles.q50.reduce((best, value, at, all) => (value > all[best] ? at : best), 0);
  if (!split.valid_time.length) return h("p", {}, "The two forecasts have no hour in common.");
  const hours = Math.round((Date.parse(split.issue_time) - Date.parse(split.against)) / 360_000) / 10;
  const name = (part) => (part === "elapsed" ? `${PARTS.elapsed} ${hours} h` : PARTS[part]);
  const point = (of) => { const change = Math.round(of * 100); return change ? `${change > 0 ? "+" : "−"}${Math.abs(change)}` : "0"; };
  const row = (first, second, third, kind) => h("tr", { class: kind }, h("th", { scope: "row" }, first), odds ? h("td", {}, second) : null, h("td", {}, third));
  const moved = split.changes.filter((change) => Math.round((odds?.changes[change.part] || 0) * 100) || Math.abs(change.quantiles.q50[top]) >= 0.05);
  const still = split.changes.filter((change) => !moved.includes(change)).map((change) => PARTS[change.part].replace(" by", ""));
  return [
    h("table", { class: "pairs split" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, h("span", { class: "hidden" }, "part")), odds ? h("th", { scope: "col" }, `chance of ${words.threshold(event)}`) : null, h("th", { scope: "col" }, `median at ${words.clock(split.valid_time[top], here)}`))),
      h("tbody", {}, row(words.clock(split.against, here), words.percent(odds?.before), words.flow(split.before.quantiles.q50[top])),
        moved.map((change) => row(name(change.part), odds ? point(odds.changes[change.part]) : null, words.rate(change.quantiles.q50[top]))),
        row(words.clock(split.issue_time, here), words.percent(odds?.after), words.flow(split.after.quantiles.q50[top]), "sum"))),
    still.length ? h("p", { class: "second small" }, `No change by ${still.join(", ")}.`) : null,
  ];
}

function readingsOf(split, here) {
  const read = split.readings.filter((row) => row.variable === "discharge" && row.stores_mm);
  return read.slice(-3).map((row) => {
    const [store, mm] = Object.entries(row.stores_mm).reduce((best, of) => (Math.abs(of[1]) > Math.abs(best[1]) ? of : best), ["", 0]);
    const moved = Math.abs(mm) >= 0.05 ? `; ${store.replaceAll("_", " ")} ${mm > 0 ? "+" : "−"}${Math.abs(mm).toFixed(1)} mm` : "";
    return h("p", { class: "second small" }, `${words.clock(row.valid_time, here)} read ${words.flow(row.observed)}, ${words.beside(row.expected, row.observed)} expected${moved}.`);
  });
}

/** What is asked, of the fields of the form. */
function questionOf(id, forecast, { factor, back, rain }) {
  const question = { station: id, issue: forecast.issue_time };
  if (factor) question.rain_factor = Number(factor);
  if (Number(back)) question.since = new Date(Date.parse(forecast.issue_time) - Number(back) * 3_600_000).toISOString().replace(".000Z", "Z");
  if (rain) question.rain = rain.split(/[\s,;]+/).map((mm, at) => ({ valid_time: forecast.valid_time[at], mm: Number(mm) })).filter((row) => row.valid_time);
  return question;
}

/** The fields of the form. */
export const FIELDS = [
  ["factor", "Rain, multiplied by", { type: "number", min: 0, max: 10, step: 0.1, value: 1.5, inputmode: "decimal" }],
  ["back", "From so many hours before the issue on; 0 is rain ahead alone", { type: "number", min: 0, max: 48, step: 1, value: 0, inputmode: "numeric" }],
  ["rain", "Or rain of the steps ahead, mm, one after the other", { placeholder: "10 20 5", autocomplete: "off" }],
];

/** Makes the forecast under the rain of the form. */
export async function tried(id, forecast, given) {
  const answer = await tell("/what-if", questionOf(id, forecast, given));
  const back = Number(given.back) ? ` from ${given.back} h before the issue on` : " ahead";
  return { key: `${id}/${forecast.issue_time}`, answer, said: given.rain ? `rain ahead of ${given.rain} mm` : `rain${back} × ${given.factor}` };
}

/** What would be, in a sentence. */
export function whatIf({ answer, said }, close) {
  const top = (forecast) => Math.max(...forecast.quantiles.q50);
  const odds = answer.odds.map((of) => `${of.name.toLowerCase()} ${words.percent(of.issued)} → ${words.percent(of.what_if)}`);
  return h("p", { class: "what-if", role: "status" }, h("strong", {}, `What if: ${said}. `), answer.notes.length ? `${answer.notes[0]}. ` : `Highest median ${words.flow(top(answer.issued))} → ${words.flow(top(answer.what_if))} ${words.unit()}${odds.length ? `; ${odds.join("; ")}` : ""}. `, h("span", { class: "second" }, "Not published. "), h("button", { class: "plain", type: "button", onclick: close }, "Close"));
}
