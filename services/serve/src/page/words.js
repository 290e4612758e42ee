// Words: how numbers, times and odds are said, everywhere the same.

const NO_BREAK = "\u00a0", MINUS = "\u2212", NOTHING = "\u2013";
// A window is not broken at its dash.
const DASH = "\u2060\u2013\u2060";

/** What the reader has chosen: a time zone and a unit. */
export const settings = {
  zone: localStorage.getItem("zone") || "local", // local: that of the station
  unit: localStorage.getItem("unit") || "m3/s",
};

export function toggle(key, values) {
  const next = values[(values.indexOf(settings[key]) + 1) % values.length];
  settings[key] = next;
  localStorage.setItem(key, next);
}

const CFS = 35.3146667;

/** A flow in the unit that is shown; what is asked with no number is a dash. */
export function flow(m3_s) {
  if (m3_s === null || m3_s === undefined || Number.isNaN(m3_s)) return NOTHING;
  const value = settings.unit === "m3/s" ? m3_s : m3_s * CFS;
  const size = Math.abs(value);
  const text = size >= 100 ? Math.round(value).toString() : size >= 0.1 || value === 0 ? value.toFixed(1) : value.toPrecision(1);
  return text.replace("-", MINUS);
}

/** A rate of change: whole numbers from 10 on. */
export function rate(m3_s_per_h) {
  if (m3_s_per_h === null || m3_s_per_h === undefined) return NOTHING;
  const value = settings.unit === "m3/s" ? m3_s_per_h : m3_s_per_h * CFS;
  const text = Math.abs(value) >= 10 ? Math.round(Math.abs(value)).toString() : Math.abs(value).toFixed(1);
  return text === "0.0" ? text : `${value > 0 ? "+" : MINUS}${text}`;
}

/** A flow with the digits of the one that it stands beside. */
export const beside = (m3_s, other) => (Math.abs(other) >= 100 ? Math.round(settings.unit === "m3/s" ? m3_s : m3_s * CFS).toString() : flow(m3_s));

/** A level that people have named: as it is written, without a digit too many. */
export function level(m3_s) {
  const value = settings.unit === "m3/s" ? m3_s : m3_s * CFS;
  return Number(value.toPrecision(settings.unit === "m3/s" ? 6 : 3)).toString();
}

/** A stage, as a staff shows it: in ft where flows are in ft³/s. */
export function stage(m) {
  if (m === null || m === undefined) return NOTHING;
  const metric = settings.unit === "m3/s";
  return `${(metric ? m : m / 0.3048).toFixed(2).replace("-", MINUS)}${NO_BREAK}${metric ? "m" : "ft"}`;
}

/** Whether a threshold is set as a stage. */
export const isStage = (threshold) => threshold.stage_m !== null && threshold.stage_m !== undefined;

/** A threshold as it is set, a stage or a flow; beside flows whose unit is said. */
export const threshold = (of) => (isStage(of) ? stage(of.stage_m) : level(of.value));

/** The same with its unit. */
export const named = (of) => (isStage(of) ? stage(of.stage_m) : `${level(of.value)}${NO_BREAK}${unit()}`);

export const unit = () => (settings.unit === "m3/s" ? "m³/s" : "ft³/s");

/** Whole percents; never a certainty that was not issued. */
export function percent(probability, atLeast = 0.01) {
  if (probability === null || probability === undefined) return NOTHING;
  if (probability > 1 - atLeast) return `>${NO_BREAK}${Math.round((1 - atLeast) * 100)}${NO_BREAK}%`;
  if (probability < atLeast) return `<${NO_BREAK}${Math.round(atLeast * 100)}${NO_BREAK}%`;
  return `${Math.round(probability * 100)}${NO_BREAK}%`;
}

/** A change in points of percent. */
export function points(now, before) {
  if (before === null || before === undefined) return "";
  const change = Math.round((now - before) * 100);
  if (change === 0) return "no change";
  return `${change > 0 ? "+" : MINUS}${Math.abs(change)} ${Math.abs(change) === 1 ? "point" : "points"}`;
}

/** How much more one is than another, of their ratio. */
export function percentMore(ratio) {
  const more = Math.round((ratio - 1) * 100);
  return `${more > 0 ? "+" : more < 0 ? MINUS : ""}${Math.abs(more)}${NO_BREAK}%`;
}

export function signed(value) {
  if (value === null || value === undefined) return NOTHING;
  return (value > 0 ? "+" : "") + flow(value);
}

const zoneOf = (station) => (settings.zone === "local" ? station?.timezone || "UTC" : "UTC");

/** What of the day a time is in a zone. */
function parts(time, zone) {
  const format = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone, weekday: "short", day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
  });
  return Object.fromEntries(format.formatToParts(new Date(time)).map((part) => [part.type, part.value]));
}

export function clock(time, station) {
  const of = parts(time, zoneOf(station));
  return `${of.hour}:${of.minute}`;
}

export function day(time, station) {
  const of = parts(time, zoneOf(station));
  return `${of.weekday} ${of.day} ${of.month}`;
}

export const hourOf = (time, station) => Number(parts(time, zoneOf(station)).hour);

/** The name of the zone that times are shown in, at a time. */
export function zoneName(time, station) {
  const format = new Intl.DateTimeFormat("en-GB", { timeZone: zoneOf(station), timeZoneName: "short" });
  return format.formatToParts(new Date(time)).find((part) => part.type === "timeZoneName").value;
}

/** A time with its day where that is not the day of `now`. */
export function moment(time, now, station) {
  const of = day(time, station);
  return of === day(now, station) ? clock(time, station) : `${of} ${clock(time, station)}`;
}

const HOUR = 3_600_000;

/** A time that has passed: within a day its hour says which one it is. */
export const past = (time, now, station) => (new Date(now) - new Date(time) < 24 * HOUR ? clock(time, station) : moment(time, now, station));

/** From the hour before the first to the hour behind the last; days are named from a day ahead on. */
export function windowOf(from, to, now, station) {
  const start = Math.floor(new Date(from) / HOUR) * HOUR, end = Math.ceil(new Date(to) / HOUR) * HOUR;
  const last = end > start ? end : start + HOUR;
  // Within a day ahead an hour says which one it is.
  const said = (time) => (time - new Date(now) < 24 * HOUR ? clock(time, station) : moment(time, now, station));
  return `${said(start)}${DASH}${day(start, station) === day(last, station) ? clock(last, station) : said(last)}`;
}

/** How far ahead a window lies. */
export function ahead(from, to, now) {
  const hours = (time) => Math.max(0, Math.round((new Date(time) - new Date(now)) / HOUR));
  const [first, last] = [hours(from), hours(to)];
  return first === last ? `in ${first} h` : `in ${first} to ${last} h`;
}

export function age(seconds) {
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** The event that deserves the sentence: the highest level that is watched, or the likeliest. */
export function leading(events) {
  const watched = events.filter((event) => event.probability >= 0.3);
  const height = (event) => (event.below ? -event.value : event.value);
  const highest = (all) => all.reduce((best, event) => (!best || height(event) > height(best) ? event : best), null);
  const likeliest = (all) => all.reduce((best, event) => (!best || event.probability > best.probability ? event : best), null);
  return highest(watched) || likeliest(events);
}

/** What an event says: odds, level, and when. */
export function sentence(event, now, station) {
  const what = `${percent(event.probability)} chance of ${event.below ? "falling to " : ""}${named(event)}`;
  const when = event.crossing && event.probability >= 0.05 ? `, most likely ${windowOf(event.crossing.q10, event.crossing.q90, now, station)}` : "";
  return [what, `${when}.`];
}
