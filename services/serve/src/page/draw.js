// Draw: one clock for every chart; a bracket is always a window of time; silence is hatched.

import { s } from "./elements.js";
import * as words from "./words.js";

const HOUR = 3_600_000;
const ms = (time) => new Date(time).getTime();

/** From a time to a place on the clock that all charts share. */
export function clockOf(now, backHours, aheadHours, left, right) {
  const from = ms(now) - backHours * HOUR, to = ms(now) + aheadHours * HOUR;
  const x = (time) => left + ((ms(time) - from) / (to - from)) * (right - left);
  return { now, from, to, left, right, x, within: (time) => Math.min(right, Math.max(left, x(time))) };
}

/** Hours that are labelled: every `every` hours of the day in the reader's zone. */
export function ticks(clock, station, every = 6) {
  const all = [];
  for (let time = Math.ceil(clock.from / HOUR) * HOUR; time <= clock.to; time += HOUR) {
    const hour = words.hourOf(time, station);
    if (hour % every === 0) all.push({ time, midnight: hour === 0, label: hour === 0 ? words.day(time, station) : words.clock(time, station) });
  }
  return all;
}

export const line = (points) => points.map(([x, y], at) => `${at ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
export const band = (upper, lower) => (upper.length ? `${line(upper)}${line([...lower].reverse()).replace("M", "L")}Z` : "");

/** Readings as lines that break where a reading is missing for longer than `gapHours`. */
function readingLines(readings, clock, y, gapHours = 3) {
  const lines = [];
  let last = null;
  for (const [time, value] of readings) {
    if (value === null || ms(time) < clock.from || ms(time) > clock.to) continue;
    if (last === null || ms(time) - last > gapHours * HOUR) lines.push([]);
    lines.at(-1).push([clock.x(time), y(value)]);
    last = ms(time);
  }
  return lines;
}

/** What a forecast and readings reach at most within a clock. */
function highest(readings, forecast, clock) {
  const inside = readings.filter(([time, value]) => value !== null && ms(time) >= clock.from).map(([, value]) => value);
  return Math.max(0, ...inside, ...(forecast?.quantiles.q95 || forecast?.quantiles.q50 || []));
}

/** A row of the watch list: the past, now, the fan, the leading threshold and its window. Scaled to its threshold; hours are those of `first`. */
export function row(station, readings, forecast, event, clock, quiet, first) {
  const height = quiet ? 28 : 64, top = highest(readings, forecast, clock);
  const scale = event && !event.below ? Math.max(event.value * 1.35, Math.min(top * 1.05, event.value * 3)) : Math.max(top * 1.4, 1e-9);
  const y = (value) => height - 4 - (Math.min(value, scale) / scale) * (height - 10);
  const svg = s("svg", { class: "row-chart", viewBox: `0 0 1000 ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": `${station.name}: readings and forecast` });
  for (const tick of ticks(clock, first)) svg.append(s("path", { class: "grid", d: `M${clock.x(tick.time).toFixed(1)} 0V${height}` }));
  if (forecast) svg.append(...fan(forecast, clock, y, quiet));
  if (event) svg.append(s("path", { class: "threshold", d: `M0 ${y(event.value).toFixed(1)}H1000` }));
  svg.append(...silence(station, clock, 0, height));
  for (const points of readingLines(readings, clock, y)) svg.append(s("path", { class: "observed", d: line(points) }));
  if (forecast) svg.append(s("path", { class: "median", d: median(station, forecast, clock, y) }));
  if (event?.crossing && event.probability >= 0.15) svg.append(bracket(clock, event, y(event.value), station.state, 7));
  svg.append(s("path", { class: "now", d: `M${clock.x(clock.now).toFixed(1)} 0V${height}` }));
  return svg;
}

function fan(forecast, clock, y, quiet) {
  const points = (level) => (forecast.quantiles[level] || []).map((value, at) => [clock.x(forecast.valid_time[at]), y(value)]);
  const bands = [];
  if (!quiet) bands.push(s("path", { class: "fan90", d: band(points("q95"), points("q05")) }));
  if (!quiet && forecast.quantiles.q25) bands.push(s("path", { class: "fan50", d: band(points("q75"), points("q25")) }));
  return bands;
}

/** The median, from the newest reading where that is of now. */
function median(station, forecast, clock, y) {
  const points = forecast.quantiles.q50.map((value, at) => [clock.x(forecast.valid_time[at]), y(value)]);
  const observed = station.observed;
  const isOfNow = observed && ms(observed.valid_time) >= ms(forecast.issue_time) - HOUR;
  return line(isOfNow ? [[clock.x(observed.valid_time), y(observed.value)], ...points] : points);
}

const shapeOf = (event, state) => (event.probability >= 0.6 || state === "warning" ? "warning" : event.probability >= 0.3 ? "watch" : "");

function bracket(clock, event, y, state, half) {
  const from = clock.within(event.crossing.q10), to = Math.max(clock.within(event.crossing.q90), from + 2);
  const d = `M${from.toFixed(1)} ${y.toFixed(1)}H${to.toFixed(1)}M${from.toFixed(1)} ${(y - half).toFixed(1)}v${2 * half}M${to.toFixed(1)} ${(y - half).toFixed(1)}v${2 * half}`;
  return s("path", { class: `bracket ${shapeOf(event, state)}`, d });
}

/** From the last reading to now, where the gauge is silent or late. */
function silence(station, clock, top, bottom) {
  if (!["silent", "late"].includes(station.data) || !station.observed) return [];
  const from = clock.within(station.observed.valid_time), to = clock.x(clock.now);
  return from < to ? [s("rect", { class: "hatched", x: from.toFixed(1), y: top, width: (to - from).toFixed(1), height: bottom - top })] : [];
}

/** A step of an axis that people count in. */
export function step(highest, about) {
  const raw = highest / about, size = 10 ** Math.floor(Math.log10(raw || 1));
  return [1, 2, 5, 10].map((factor) => factor * size).find((candidate) => candidate >= raw) || size;
}

/**
 * The hydrograph: rain from above, flow with its fan, odds below, on one clock. `width` is what it is drawn for; a narrow one is another drawing
 * and not a smaller one.
 */
export function hydrograph({ station, now, readings, rain, forecast, earlier, odds, other }, width) {
  const narrow = width < 640;
  const rated = ratingOf(forecast);
  const left = narrow ? 34 : 44, right = width - (narrow ? 8 : 20) - (rated.length ? 40 : 0);
  const rainTop = 24, rainBottom = narrow ? 60 : 72, flowTop = rainBottom + (narrow ? 28 : 36), flowBottom = flowTop + (narrow ? 232 : 292);
  const oddsTop = flowBottom + 56, oddsBottom = oddsTop + (narrow ? 48 : 72), height = oddsBottom + 12;
  const horizon = forecast ? Math.max(1, (ms(forecast.valid_time.at(-1)) - ms(now)) / HOUR) : 24;
  const clock = clockOf(now, narrow ? Math.min(8, horizon / 2) : Math.min(18, horizon * 0.75), horizon, left, right);
  const events = station.events || [];
  const top = Math.max(highest(readings, forecast, clock), ...(other?.quantiles.q75 || []), 1e-6);
  // Thresholds far above everything would press the river to the ground: they are named and not drawn.
  const shown = events.filter((event) => event.below || event.value <= top * 2.5);
  const scale = Math.max(top, ...shown.map((event) => event.value)) * 1.12;
  const y = (value) => flowBottom - (value / scale) * (flowBottom - flowTop);
  const svg = s("svg", { class: "hydrograph", viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
    "aria-label": `Hydrograph of ${station.name}: rain, readings, the forecast's median with 50 and 90 % bands, thresholds with the windows in which they are reached, and the odds by issue. The table below has the same numbers.` });
  const text = (x, at, words, kind = "third", anchor = "start") => s("text", { x: x.toFixed(1), y: at.toFixed(1), class: kind, "text-anchor": anchor }, words);
  const marks = ticks(clock, station, narrow ? 6 : 6);
  for (const tick of marks) svg.append(s("path", { class: "grid", d: `M${clock.x(tick.time).toFixed(1)} ${rainTop}V${flowBottom}M${clock.x(tick.time).toFixed(1)} ${oddsTop}V${oddsBottom}` }));

  const most = Math.max(...rain.map(([, value]) => value || 0), 1), rainStep = step(most, 1);
  const rainScale = Math.max(most, rainStep);
  for (const [time, value, seconds] of rain) {
    const from = clock.x(ms(time) - seconds * 1_000), to = clock.x(time);
    if (!value || from < left - 1 || to > right + 1) continue;
    svg.append(s("rect", { class: ms(time) > ms(now) ? "rain ahead" : "rain", x: (from + 0.5).toFixed(1), y: rainTop, width: Math.max(0.5, to - from - 1).toFixed(1), height: ((value / rainScale) * (rainBottom - rainTop)).toFixed(1) }));
  }
  svg.append(s("path", { class: "axis", d: `M${left} ${rainTop}H${right}` }));
  const ofRain = rain.length ? (narrow ? "rain, mm/h" : "rain, mm an hour") : "no rain is known";
  svg.append(narrow ? text(right, 12, ofRain, "third", "end") : text(left, 12, ofRain));
  if (rain.length) svg.append(text(left - 8, rainTop + 4, "0", "third", "end"), text(left - 8, rainTop + (rainStep / rainScale) * (rainBottom - rainTop) + 4, String(rainStep), "third", "end"));

  const grade = step(scale, narrow ? 4 : 5);
  svg.append(s("path", { class: "axis", d: `M${left} ${flowBottom}H${right}` }), text(left - 8, flowBottom + 4, "0", "third", "end"));
  for (let value = grade; value < scale; value += grade) {
    if (shown.some((event) => Math.abs(y(event.value) - y(value)) < 14)) continue;
    svg.append(s("path", { class: "grid", d: `M${left} ${y(value).toFixed(1)}H${right}` }), text(left - 8, y(value) + 4, words.level(value), "third", "end"));
  }
  svg.append(text(left, flowTop - 8, words.unit()));
  if (forecast) svg.append(...fan(forecast, clock, y, false));
  for (const event of shown) {
    svg.append(s("path", { class: "threshold", d: `M${left} ${y(event.value).toFixed(1)}H${right}` }), text(left - 8, y(event.value) + 4, words.isStage(event) ? words.flow(event.value) : words.level(event.value), "strong", "end"));
  }
  svg.append(...stages(rated, y, right, flowTop, flowBottom, text));
  svg.append(...silence(station, clock, flowTop, flowBottom));
  for (const past of earlier) {
    const points = past.quantiles.q50.map((value, at) => [clock.x(past.valid_time[at]), y(value)]).filter(([x]) => x >= left && x <= right);
    svg.append(s("path", { class: "earlier", d: line(points) }));
  }
  for (const points of readingLines(readings, clock, y)) svg.append(s("path", { class: "observed", d: line(points) }));
  if (forecast) {
    svg.append(s("path", { class: "median", d: median(station, forecast, clock, y) }));
    if (other) svg.append(...whatIf(other, clock, y, text, narrow));
    for (const event of shown) if (event.crossing && event.probability >= 0.05) svg.append(bracket(clock, event, y(event.value), "", 7));
    svg.append(...(other ? [] : fanLabels(forecast, clock, y, text, narrow)), ...peakWindow(station, clock, y, flowTop, text, narrow));
  }
  for (const event of shown) {
    const odd = event.probability >= 0.3 ? "warning" : "third";
    const when = event.crossing && event.probability >= 0.05 && !narrow ? `, ${words.windowOf(event.crossing.q10, event.crossing.q90, now, station)}` : "";
    svg.append(s("text", { x: left + 4, y: (y(event.value) - 6).toFixed(1), class: "halo" }, s("tspan", { class: "strong" }, event.name.toLowerCase() + (words.isStage(event) ? ` ${words.stage(event.stage_m)}` : "")), s("tspan", { dx: 8, class: odd }, `${words.percent(event.probability)}${when}`)));
  }
  const above = events.filter((event) => !shown.includes(event));
  if (above.length) svg.append(text(right, flowTop + 24, `above this: ${above.map((event) => `${words.threshold(event)} ${event.name.toLowerCase()}, ${words.percent(event.probability)}`).join("; ")}`, "third", "end"));
  for (const tick of marks) svg.append(text(clock.x(tick.time), flowBottom + 20, tick.label, tick.midnight ? "strong" : "third", "middle"));

  svg.append(...oddsStrip(events, odds, forecast, clock, oddsTop, oddsBottom, text, left, right, narrow));
  const x = clock.x(now), said = `now ${words.clock(now, station)}`;
  svg.append(s("path", { class: "now", d: `M${x.toFixed(1)} 16V${oddsBottom}` }), s("rect", { class: "nowbox", x: (x - 38).toFixed(1), y: 0, width: 76, height: 20, rx: 2 }), text(x, 14, said, "nowtext", "middle"));
  if (station.observed && ms(station.observed.valid_time) >= clock.from) {
    const at = [clock.x(station.observed.valid_time), y(station.observed.value)];
    svg.append(s("circle", { class: station.data === "ok" ? "end" : "end open", cx: at[0].toFixed(1), cy: at[1].toFixed(1), r: 4 }), text(at[0] - 8, shown.some((event) => Math.abs(y(event.value) - at[1]) < 22) ? at[1] + 18 : at[1] - 6, words.flow(station.observed.value), "big halo", "end"));
  }
  return svg;
}

/** Pairs of flow and stage that a forecast was issued with, ascending: where it has a rating. */
function ratingOf(forecast) {
  if (!forecast?.stage) return [];
  const { quantiles_m } = forecast.stage;
  const pairs = Object.keys(quantiles_m).filter((level) => forecast.quantiles[level]).flatMap((level) => quantiles_m[level].map((stage_m, at) => [forecast.quantiles[level][at], stage_m]));
  return pairs.filter(([flow, stage_m]) => flow !== null && stage_m !== null).sort((a, b) => a[1] - b[1]);
}

/** A scale of stages on the right, as far as the forecast reaches. */
function stages(rated, y, right, top, bottom, text) {
  if (rated.length < 2) return [];
  const metre = words.settings.unit === "m3/s" ? 1 : 0.3048, [lowest, highest] = [rated[0][1] / metre, rated.at(-1)[1] / metre];
  const grade = step(Math.max(highest - lowest, 0.1), 10), drawn = [text(right + 8, top - 8, metre === 1 ? "m" : "ft")];
  let last = bottom + 20;
  for (let at = Math.ceil(lowest / grade) * grade; at <= highest + 1e-9; at += grade) {
    const above = rated.findIndex(([, stage_m]) => stage_m / metre >= at - 1e-9), [b, a] = [rated[above], rated[Math.max(0, above - 1)]];
    const share = b[1] > a[1] ? (at * metre - a[1]) / (b[1] - a[1]) : 1, on = y(a[0] + share * (b[0] - a[0]));
    if (last - on < 14 || on < top) continue;
    last = on;
    drawn.push(s("path", { class: "axis", d: `M${right} ${on.toFixed(1)}h5` }), text(right + 8, on + 4, Number(at.toFixed(2)).toString()));
  }
  return drawn;
}

/** The forecast under other rain: its median and its 50 % band as lines, beside what was issued. */
function whatIf(other, clock, y, text, narrow) {
  const points = (level) => other.quantiles[level].map((value, at) => [clock.x(other.valid_time[at]), y(value)]);
  const middle = points("q50"), top = middle.reduce((best, point, at) => (point[1] < middle[best][1] ? at : best), 0);
  return [...["q25", "q75"].map((level) => s("path", { class: "other thin", d: line(points(level)) })), s("path", { class: "other", d: line(middle) }), text(middle[top][0], middle[top][1] - 8, narrow ? "what if" : "what if, median and 50 %", "halo strong", "middle")];
}

function fanLabels(forecast, clock, y, text, narrow) {
  const upper = forecast.quantiles.q95, labels = [];
  const widest = upper.reduce((best, _, at) => (upper[at] - forecast.quantiles.q05[at] > upper[best] - forecast.quantiles.q05[best] ? at : best), 0);
  const x = clock.x(forecast.valid_time[widest]);
  const between = (a, b) => (y(forecast.quantiles[a][widest]) + y(forecast.quantiles[b][widest])) / 2 + 4;
  const room = (a, b) => Math.abs(y(forecast.quantiles[a][widest]) - y(forecast.quantiles[b][widest]));
  if (room("q95", "q75") > 16) labels.push({ y: between("q95", "q75"), of: "90 %", kind: "second" });
  if (room("q75", "q25") > 34) labels.push({ y: between("q75", "q50"), of: "50 %", kind: "strong halo" });
  const last = forecast.valid_time.length - 1;
  const drawn = labels.map((label) => text(x, label.y, label.of, label.kind, "middle"));
  if (!narrow && last > 3) drawn.push(text(clock.x(forecast.valid_time[last]) - 4, y(forecast.quantiles.q50[last]) - 8, "median", "strong halo", "end"));
  return drawn;
}

function peakWindow(station, clock, y, flowTop, text, narrow) {
  const peak = station.forecast?.peak;
  if (!peak) return [];
  const from = clock.within(peak.time_q10), to = Math.max(clock.within(peak.time_q90), from + 2), at = flowTop + 6;
  const said = `peak ${words.flow(peak.q50)} (${words.flow(peak.q05)}–${words.flow(peak.q95)})`;
  const when = narrow ? "" : `, ${words.windowOf(peak.time_q10, peak.time_q90, clock.now, station)}`;
  return [
    s("path", { class: "peak", d: `M${from.toFixed(1)} ${at}H${to.toFixed(1)}M${from.toFixed(1)} ${at - 5}v10M${to.toFixed(1)} ${at - 5}v10` }),
    text(clock.right, at - 12, said + when, "halo second", "end"),
  ];
}

/** Left of now the chance within the horizon by issue, right of it the chance of being beyond a threshold hour by hour. */
function oddsStrip(events, odds, forecast, clock, top, bottom, text, left, right, narrow) {
  const y = (probability) => bottom - probability * (bottom - top);
  const drawn = [s("path", { class: "axis", d: `M${left} ${bottom}H${right}` })];
  for (const [value, said] of [[0, "0"], [0.5, "50"], [1, "100"]]) {
    if (value) drawn.push(s("path", { class: "grid", d: `M${left} ${y(value)}H${right}` }));
    drawn.push(text(left - 8, y(value) + 4, said, "third", "end"));
  }
  const now = clock.x(clock.now);
  if (!events.length) return [...drawn, text(left, top - 10, "no threshold is set for this station")];
  drawn.push(text(left, top - 10, narrow ? "% by issue" : "% chance within the horizon, by issue"), text(now + 8, top - 10, narrow ? "% hour by hour" : "% chance of being beyond it, hour by hour"));
  const leading = words.leading(events);
  const kindOf = (event) => (event === leading && event.probability >= 0.3 ? " warning" : "");
  const issued = events.map((event) => (odds[event.threshold] || []).map(([time, probability]) => [clock.x(time), y(probability)]).filter(([x]) => x >= left - 0.5));
  const hourly = events.map((event) => (forecast?.exceedance?.[event.threshold] || []).map((probability, at) => [clock.x(forecast.valid_time[at]), y(probability)]));
  for (const [lines, ahead] of [[issued, ""], [hourly, " ahead"]]) {
    events.forEach((event, at) => {
      if (!lines[at].length) return;
      const kind = kindOf(event);
      drawn.push(s("path", { class: `odds${ahead}${kind}`, d: line(lines[at]) }));
      if (!ahead) drawn.push(...lines[at].map(([x, dot]) => s("circle", { class: `dot${kind}`, cx: x.toFixed(1), cy: dot.toFixed(1), r: 2 })));
      const place = narrow && !ahead ? null : apart(lines, at);
      if (place) drawn.push(text(place[0], Math.max(top + 10, Math.min(bottom - 4, place[1] + (place[2] ? -6 : 14))), words.threshold(event), kind ? "warning halo" : "strong halo", "middle"));
    });
  }
  return drawn;
}

/** Where a line is farthest from the others, so that its label meets none, and whether it lies above them there. */
function apart(lines, mine) {
  let best = null, most = 13;
  lines[mine].forEach(([x, y], at) => {
    const others = lines.filter((_, other) => other !== mine).map((other) => other[at]?.[1]).filter((value) => value !== undefined);
    const distance = others.length ? Math.min(...others.map((other) => Math.abs(other - y))) : 14 + at;
    const edge = at > 0 && at < lines[mine].length - 1;
    if (edge && distance > most) {
      most = distance;
      best = [x, y, others.some((other) => other > y) ];
    }
  });
  return best;
}
