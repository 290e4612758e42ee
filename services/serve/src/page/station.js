// Station: one sentence, the chart that proves it, and what it rests on.

import { explained, whatIf } from "./again.js";
import { hydrograph } from "./draw.js";
import { WORD, fill, h, mark } from "./elements.js";
import { foresight } from "./foresight.js";
import { ask } from "./service.js";
import { why } from "./watch.js";
import * as words from "./words.js";

const HOUR = 3_600_000;
const iso = (time) => new Date(time).toISOString().replace(".000Z", "Z");

export async function station(main, page, id, issue) {
  const path = `/stations/${encodeURIComponent(id)}`;
  const [feature, forecast] = await Promise.all([ask(path), ask(`${path}/forecast${issue ? `?issue=${issue}` : ""}`).catch((error) => (error.status === 404 && !issue ? null : Promise.reject(error)))]);
  const here = { id: feature.id, ...feature.properties };
  const now = forecast ? forecast.issue_time : here.observed?.valid_time;
  if (!now) {
    page.show(null, here);
    return fill(main, h("h1", {}, here.name), h("p", { class: "sub" }, "No forecast and no reading yet."));
  }
  page.show(now, here, issue);
  page.station = here;
  page.everyS = forecast?.every_s;
  const from = iso(Date.parse(now) - 30 * HOUR), to = iso(Date.parse(now) + 40 * HOUR);
  const [read, forcing, said, scores, analyses] = await Promise.all([
    ask(`/readings?stations=${encodeURIComponent(id)}&from=${from}&to=${now}`), ask(`${path}/forcing?from=${from}&to=${to}`), ask(`${path}/events?from=${from}&to=${now}`), ask(`${path}/scores?from=${iso(Date.parse(now) - 48 * HOUR)}&to=${now}`), ask(`${path}/analyses?from=${iso(Date.parse(now) - 3 * HOUR)}&to=${now}`),
  ]);
  const readings = (read[0]?.valid_time || []).map((time, at) => [time, read[0].value[at]]);
  if (issue) asIssued(here, forecast, said.rows, readings);
  const odds = {};
  for (const row of said.rows) (odds[row.threshold] ??= []).push([row.issue_time, row.probability]);
  const earlier = page.earlier && forecast ? await earlierOf(path, forecast, said.rows) : [];
  page.forecast = forecast;
  const other = forecast && page.tried?.key === `${here.id}/${forecast.issue_time}` ? page.tried : null;
  const drawn = { station: here, now, readings, rain: rainOf(forcing.rows, forecast), forecast, earlier, odds, other: other?.answer.what_if };
  const chart = h("div", { class: "chart" });
  const draw = () => fill(chart, hydrograph(drawn, Math.max(320, Math.round(chart.clientWidth || 960))));
  const event = words.leading(here.events);
  fill(main,
    h("p", { class: "who" }, issue ? null : h("span", { class: here.state }, mark(here.state), h("strong", {}, WORD[here.state])), !issue && ["silent", "late"].includes(here.data) ? h("span", {}, mark(here.data), h("strong", {}, WORD[here.data])) : null, h("strong", {}, here.name), h("span", { class: "third small" }, `${here.name === here.id ? "" : `${here.id}, `}${Math.round(here.area_km2)} km²`)),
    headline(here, event, forecast, now),
    h("p", { class: "sub" }, standing(here, event, forecast, now)),
    other ? whatIf(other, () => page.tryRain(null)) : null,
    h("div", { class: "two" },
      h("section", { "aria-label": "Forecast" }, chart, copies(here, forecast, page), tableOf(forecast, here, page), forecast ? foresight(here, forecast, page) : null),
      h("aside", { "aria-label": "What it rests on" },
        h("div", { class: "actions" },
          h("button", { class: "first", type: "button", disabled: !here.alert, onclick: () => page.act("acknowledge") }, here.acknowledged ? "Acknowledged" : "Acknowledge", h("kbd", {}, "a")),
          h("button", { type: "button", disabled: !here.alert, onclick: () => page.act("note") }, "Note", h("kbd", {}, "n")),
          h("button", { type: "button", "aria-pressed": page.earlier ? "true" : "false", onclick: () => page.toggleEarlier() }, "Earlier", h("kbd", {}, "f")),
          h("button", { type: "button", disabled: !forecast, "aria-pressed": page.why ? "true" : "false", onclick: () => page.toggleWhy() }, "Explain", h("kbd", {}, "e")),
          h("button", { type: "button", disabled: !forecast, onclick: () => page.whatIf() }, "What if", h("kbd", {}, "w"))),
        page.why && forecast ? explained(here, forecast, event) : null,
        ...side(here, event, forecast, scores.rows, analyses.rows, now, page))));
  draw();
  page.observe(chart, draw);
}

/** Of an earlier issue what was known then. */
function asIssued(here, forecast, events, readings) {
  const of = (time) => events.filter((row) => row.issue_time === time);
  const times = [...new Set(events.map((row) => row.issue_time))].sort();
  const before = of(times[times.indexOf(forecast.issue_time) - 1]);
  here.events = of(forecast.issue_time).map((row) => ({
    threshold: row.threshold, name: row.threshold_name, value: row.level_m3_s, stage_m: row.variable === "stage" ? row.level : null, below: row.below, probability: row.probability,
    probability_before: before.find((earlier) => earlier.threshold === row.threshold)?.probability ?? null,
    crossing: row.crossing_q10 ? { q10: row.crossing_q10, q50: row.crossing_q50, q90: row.crossing_q90 } : null,
  }));
  const first = of(forecast.issue_time).find((row) => !row.below);
  here.forecast = { issue_time: forecast.issue_time, peak: first ? { q05: first.peak_q05, q50: first.peak_q50, q95: first.peak_q95, time_q10: first.peak_time_q10, time_q50: first.peak_time_q50, time_q90: first.peak_time_q90 } : null };
  const known = readings.filter(([time, value]) => value !== null && time <= forecast.issue_time).slice(-2);
  const [last, previous] = [known.at(-1), known.length > 1 ? known[0] : null];
  here.observed = last ? { valid_time: last[0], value: last[1], stage_m: null, age_s: (Date.parse(forecast.issue_time) - Date.parse(last[0])) / 1000, rise_per_h: previous ? ((last[1] - previous[1]) * HOUR) / (Date.parse(last[0]) - Date.parse(previous[0])) : null } : null;
  here.assimilated = null;
  here.alert = null;
  here.data = "ok";
  // Its colour is that of its odds: the state is that of now.
  const most = Math.max(0, ...here.events.map((event) => event.probability));
  here.state = most >= 0.6 ? "warning" : most >= 0.3 ? "watch" : "normal";
}

/** Rain by hour: what was measured, and ahead what the forecast was made with. */
function rainOf(rows, forecast) {
  const byTime = new Map();
  for (const row of rows) {
    if (row.variable !== "precipitation" || row.value === null || row.member) continue;
    byTime.set(row.valid_time, [row.valid_time, row.value / Math.max(1 / 60, (row.period_s || 3_600) / 3_600), row.period_s || 3_600]);
  }
  const last = forecast ? forecast.valid_time.at(-1) : null;
  return [...byTime.values()].filter(([time]) => !last || time <= last).sort((a, b) => a[0].localeCompare(b[0]));
}

async function earlierOf(path, forecast, events) {
  const times = [...new Set(events.map((row) => row.issue_time))].sort();
  const before = times.filter((time) => time < forecast.issue_time);
  const some = [3, 6, 9].map((back) => before.at(-back)).filter(Boolean);
  const guessed = some.length ? some : [3, 6, 9].map((back) => iso(Date.parse(forecast.issue_time) - back * HOUR));
  const found = await Promise.all(guessed.map((time) => ask(`${path}/forecast?issue=${time}&quantiles=50`).catch(() => null)));
  return found.filter(Boolean);
}

function headline(here, event, forecast, now) {
  const observed = here.observed;
  if (event && observed && !event.below && observed.value >= event.value) return h("h1", {}, h("b", { class: here.state }, `Above ${words.named(event)}`), ` (${event.name.toLowerCase()}).`);
  if (event && (event.probability >= 0.05 || !forecast)) {
    const [what, when] = words.sentence(event, now, here);
    return h("h1", {}, h("b", { class: here.state === "normal" ? "" : here.state }, what), when);
  }
  if (!forecast) return h("h1", {}, "No forecast yet.");
  const median = forecast.quantiles.q50, top = median.indexOf(Math.max(...median));
  return h("h1", {}, h("b", {}, `At most ${words.flow(forecast.quantiles.q95[top])} ${words.unit()}`), ` by ${words.moment(forecast.valid_time.at(-1), now, here)}, most likely ${words.flow(median[top])}.`);
}

function standing(here, event, forecast, now) {
  const observed = here.observed, said = [];
  if (["silent", "late"].includes(here.data)) {
    said.push(observed ? `No reading since ${words.past(observed.valid_time, now, here)}. The forecast goes on from rain alone${cost(forecast)}. Silence never clears a warning.` : "The gauge has not read for longer than the service remembers.");
  } else if (observed) {
    const rise = observed.rise_per_h;
    said.push(`Now ${words.flow(observed.value)} ${words.unit()}${of(observed.stage_m)}${rise === null || Math.abs(rise) < 0.05 ? "" : `, ${rise > 0 ? "rising" : "falling"} ${words.rate(Math.abs(rise)).slice(1)} an hour`}.`);
  }
  for (const other of here.events) {
    if (other === event || other.probability < 0.3 || !other.crossing || (observed && observed.value >= other.value)) continue;
    said.push(`${words.threshold(other)} is ${other.probability > 0.95 ? "all but certain" : words.percent(other.probability)}, ${words.windowOf(other.crossing.q10, other.crossing.q90, now, here)}.`);
  }
  const peak = here.forecast?.peak;
  if (peak) said.push(`Peak ${words.flow(peak.q50)} (${words.flow(peak.q05)} to ${words.flow(peak.q95)}) at ${words.windowOf(peak.time_q10, peak.time_q90, now, here)}.`);
  return said.join(" ");
}

/** A stage beside its flow. */
const of = (stage_m) => (stage_m === null || stage_m === undefined ? "" : ` (${words.stage(stage_m)})`);

/** How wide the band is beside the median where it is widest. */
function cost(forecast) {
  if (!forecast) return "";
  const { q05, q50, q95 } = forecast.quantiles, at = Math.min(11, q50.length - 1);
  if (!q50[at]) return "";
  return `: in ${at + 1} h its 90 % band is ${((q95[at] - q05[at]) / q50[at]).toFixed(1)} times the median wide`;
}

function side(here, event, forecast, scores, analyses, now, page) {
  const parts = [];
  const [change, reason] = why(here, event, now);
  if (event && change && !page.why) {
    const from = event.probability_before;
    parts.push(h("h2", {}, "Since the issue before"), h("p", { class: "large" }, h("strong", {}, from === null ? words.percent(event.probability) : `${words.percent(from)} → ${words.percent(event.probability)}`), ` of ${words.threshold(event)}`), h("p", {}, [change, reason].filter(Boolean).join(": ")));
  }
  const read = analyses.filter((row) => row.variable === "discharge").slice(-3).reverse();
  if (read.length) {
    parts.push(h("h2", {}, `Readings assimilated, ${words.unit()}`), h("table", { class: "pairs" },
      h("thead", {}, h("tr", {}, ...["Time", "Read", "Expected", "Gap"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, read.map((row) => h("tr", {}, h("td", {}, words.clock(row.valid_time, here)), h("td", {}, words.flow(row.observed)), h("td", {}, words.beside(row.predicted, row.observed)), h("td", {}, words.signed(row.observed - row.predicted)))))));
    const moved = stores(read[0]);
    if (moved) parts.push(h("p", { class: "second" }, moved));
  }
  const silent = ["silent", "late"].includes(here.data) ? `The gauge, since ${here.observed ? words.moment(here.observed.valid_time, now, here) : "ever"}.` : "None.";
  parts.push(h("h2", {}, "Silent inputs"), h("p", {}, forecast?.filled_steps ? `${silent} Forcing of ${forecast.filled_steps} steps was filled in.` : silent));
  const half = forecast ? Math.round(forecast.valid_time.length / 2) : 0, lead = half * 3_600;
  const of = scores.filter((row) => row.lead_time_s === lead && !row.shadow);
  if (of.length >= 10) {
    const inside = of.filter((row) => row.covered_90).length / of.length;
    parts.push(h("h2", {}, "How good"), h("p", {}, `Of the last ${of.length} forecasts ${half} h ahead, `, h("strong", {}, `${Math.round(inside * 100)}\u00a0%`), " inside the 90 % band."));
  }
  if (forecast) parts.push(h("h2", {}, "Model"), h("p", {}, `${forecast.model} ${forecast.model_version} `, h("span", { class: "second" }, forecast.weights_sha256.slice(0, 8))), h("p", { class: "second" }, `${forecast.members} ${forecast.members === 1 ? "member" : "members"}, weather: ${SCENARIOS[forecast.scenario] || forecast.scenario}${forecast.supersedes ? `; supersedes the issue of ${words.moment(forecast.supersedes, now, here)}` : ""}`));
  return parts;
}

const SCENARIOS = { perfect: "as it fell (replay)", members: "forecast of members", past_years: "past years", persistence: "persistence", zero: "none" };

/** The store that an analysis moved most. */
function stores(row) {
  if (!row.store?.length) return "";
  const most = row.increment_mm.reduce((best, value, at) => (Math.abs(value) > Math.abs(row.increment_mm[best]) ? at : best), 0);
  const moved = row.increment_mm[most];
  if (Math.abs(moved) < 0.05) return "No store moved by more than 0.05 mm.";
  return `${row.store[most].replaceAll("_", " ")} ${moved > 0 ? "+" : "−"}${Math.abs(moved).toFixed(1)} mm.`;
}

function copies(here, forecast, page) {
  if (!forecast) return null;
  const url = `${location.origin}/api/v1/stations/${encodeURIComponent(here.id)}/forecast?issue=${forecast.issue_time}`;
  const all = {
    curl: `curl '${url}'`,
    CSV: `curl '${url}&f=csv'`,
    SQL: `SELECT valid_time, q05, q50, q95 FROM forecast WHERE catchment = '${here.id.replaceAll("'", "''")}' AND issue_time = '${forecast.issue_time}' ORDER BY valid_time`,
    Python: `import urllib.request\nimport pyarrow.ipc\n\nrequest = urllib.request.Request("${url}&f=arrow")\nrows = pyarrow.ipc.open_stream(urllib.request.urlopen(request)).read_all()`,
    link: `${location.origin}/#/station/${encodeURIComponent(here.id)}/${forecast.issue_time}`,
  };
  const copy = (name) => h("button", { class: "plain", type: "button", onclick: () => page.copy(all[name], name) }, name);
  return h("p", { class: "copy" }, "Copy as ", Object.keys(all).map(copy));
}

function tableOf(forecast, here, page) {
  if (!forecast) return null;
  const levels = ["q05", "q25", "q50", "q75", "q95"], thresholds = Object.keys(forecast.exceedance), { stage } = forecast;
  const stages = stage ? ["q05", "q50", "q95"] : [];
  const table = h("table", { class: "pairs" },
    h("caption", { class: "hidden" }, `Forecast of ${here.name}, ${words.unit()}`),
    h("thead", {}, h("tr", {}, [`Time, ${words.zoneName(forecast.issue_time, here)}`, "5 %", "25 %", "median", "75 %", "95 %", ...thresholds.map((name) => `chance, ${name}`), ...stages.map((level) => `stage, ${level === "q50" ? "median" : `${Number(level.slice(1))} %`}`)].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, forecast.valid_time.map((time, at) => h("tr", {}, h("td", {}, words.moment(time, forecast.issue_time, here)), levels.map((level) => h("td", {}, words.flow(forecast.quantiles[level][at]))), thresholds.map((name) => h("td", {}, words.percent(forecast.exceedance[name][at], 0.03))), stages.map((level) => h("td", {}, `${words.stage(stage.quantiles_m[level][at])}${stage.extrapolated[at] ? "*" : ""}`))))));
  return h("details", { id: "table", open: page.table, ontoggle: (event) => page.keepTable(event.target.open) }, h("summary", {}, "Table ", h("kbd", {}, "t")), h("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Table of the forecast" }, table, stage ? h("p", { class: "second" }, `Stage by rating ${stage.rating_version}, above the gauge's datum${stage.extrapolated.some(Boolean) ? "; * beyond what was measured" : ""}.`) : null));
}
