//! Words: an alert in a sentence, at the station's own time.

use jiff::tz::TimeZone;
use nilometer_definitions::{Catchment, Threshold};
use nilometer_schemas::{AlertState, GaugeData, Timestamp};

use crate::{gauge::Gauge, machine::Standing};

const HOUR_S: i64 = 3_600;
const MINUTES_S: i64 = 60;

/// Times as the people of a station read them.
pub(crate) struct LocalTime(TimeZone);

impl LocalTime {
    /// Of a catchment; UTC where it says none, and where the system does not know its zone.
    pub(crate) fn of(catchment: &Catchment) -> Self {
        let zone = catchment.timezone.as_deref().and_then(|name| TimeZone::get(name).ok());
        Self(zone.unwrap_or(TimeZone::UTC))
    }

    /// Hour and minute, and the day where it is not that of `beside`.
    fn at(&self, time: Timestamp, beside: Timestamp) -> String {
        let local =
            |time: Timestamp| jiff::Timestamp::from_microsecond(time.0).ok().map(|t| t.to_zoned(self.0.clone()));
        let (Some(time), Some(beside)) = (local(time), local(beside)) else { return time.to_string() };
        let same_day = time.date() == beside.date();
        time.strftime(if same_day { "%H:%M" } else { "%-d %b %H:%M" }).to_string()
    }

    /// The day, and the year where it is not that of `beside`.
    pub(crate) fn day(&self, time: Timestamp, beside: Timestamp) -> String {
        let local =
            |time: Timestamp| jiff::Timestamp::from_microsecond(time.0).ok().map(|t| t.to_zoned(self.0.clone()));
        let (Some(time), Some(beside)) = (local(time), local(beside)) else { return time.to_string() };
        time.strftime(if time.year() == beside.year() { "%-d %b" } else { "%-d %b %Y" }).to_string()
    }

    /// From the hour before one time to the hour behind another.
    fn window(&self, from: Timestamp, to: Timestamp, tick: Timestamp) -> String {
        let (from, to) = (from.floor_s(HOUR_S), to.ceil_s(HOUR_S));
        match from == to {
            true => format!("at {}", self.at(from, tick)),
            false => format!("{}–{}", self.at(from, tick), self.at(to, from)),
        }
    }
}

/// Whole percents; what trajectories cannot tell from certainty is no certainty.
pub(crate) fn percent(probability: f64) -> String {
    match (probability * 100.0).round() {
        whole if whole >= 100.0 => "> 99 %".to_owned(),
        whole if whole <= 0.0 => "< 1 %".to_owned(),
        whole => format!("{whole} %"),
    }
}

/// A flow in m³/s: an integer from 100 on, else one decimal where it says something; three digits of small ones.
pub(crate) fn flow(m3_s: f64) -> String {
    match m3_s.abs() {
        large if large >= 99.95 => format!("{m3_s:.0}"),
        small if small < 0.995 => format!("{m3_s:.3}"),
        _ => format!("{m3_s:.1}").trim_end_matches(".0").to_owned(),
    }
}

/// What an alert of a threshold says.
pub(crate) fn of_threshold(
    tick: Timestamp,
    catchment: &Catchment,
    threshold: &Threshold,
    standing: &Standing,
    gauge: &Gauge,
) -> String {
    let zone = LocalTime::of(catchment);
    let level = format!("{} {} ({})", trimmed(threshold.value), shown_unit(threshold), threshold.name());
    let side = if threshold.below { "below" } else { "above" };
    let mut text = format!("{}: ", catchment.name());
    match (standing.state, standing.reached, &standing.event) {
        (AlertState::Normal | AlertState::Clear, ..) => text += &format!("{level} has passed."),
        (_, Some(since), event) => {
            text += &format!("{side} {level} since {}.", zone.at(since, tick));
            if let Some(event) = event {
                text += &format!(" {}", peak(event, threshold.below, &zone, tick));
            }
        }
        (_, None, Some(event)) => {
            text += &format!("{} chance of {level}", percent(event.probability));
            if let [Some(from), _, Some(to)] = event.crossing {
                text += &format!(", most likely {}", zone.window(from, to, tick));
            }
            text += &format!(". {}", peak(event, threshold.below, &zone, tick));
        }
        (_, None, None) => text += &format!("{level}."),
    }
    if standing.state.is_active()
        && let Some(silence) = silence(gauge, &zone, tick)
    {
        text += &format!(" {silence}");
    }
    text
}

fn peak(event: &crate::machine::EventSummary, below: bool, zone: &LocalTime, tick: Timestamp) -> String {
    let [low, middle, high] = event.peak.map(flow);
    let what = if below { "Lowest" } else { "Peak" };
    let window = zone.window(event.peak_time[0], event.peak_time[2], tick);
    format!("{what} {middle} m³/s ({low} to {high}), {window}.")
}

/// What a gauge's own row says.
pub(crate) fn of_gauge(tick: Timestamp, catchment: &Catchment, gauge: &Gauge) -> String {
    let zone = LocalTime::of(catchment);
    let text = silence(gauge, &zone, tick).unwrap_or_else(|| "the gauge reads again.".to_owned());
    format!("{}: {text}", catchment.name())
}

fn silence(gauge: &Gauge, zone: &LocalTime, tick: Timestamp) -> Option<String> {
    let (newest, _) = gauge.newest?;
    let since = zone.at(newest.floor_s(MINUTES_S), tick);
    match gauge.data? {
        GaugeData::Ok => None,
        GaugeData::Late => Some(format!("No reading since {since}.")),
        GaugeData::Silent => Some(format!("No reading since {since}; the forecast goes on from the weather alone.")),
    }
}

/// A level as the definition has it, without a decimal that says nothing.
fn trimmed(value: f64) -> String {
    format!("{value}")
}

fn shown_unit(threshold: &Threshold) -> &'static str {
    match threshold.unit.name() {
        "m3 s-1" => "m³/s",
        "ft3 s-1" => "ft³/s",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use super::*;

    #[test]
    fn windows_are_local_and_name_a_day_once() {
        let (zone, time) =
            (LocalTime(TimeZone::get("Europe/Paris").unwrap()), |text: &str| text.parse::<Timestamp>().unwrap());
        let tick = time("2014-11-03T18:00:00Z");
        let window = |from: &str, to: &str| zone.window(time(from), time(to), tick);
        assert_eq!(window("2014-11-03T20:10:00Z", "2014-11-03T21:05:00Z"), "21:00–23:00");
        assert_eq!(window("2014-11-03T20:10:00Z", "2014-11-04T02:00:00Z"), "21:00–4 Nov 03:00");
        assert_eq!(window("2014-11-04T16:10:00Z", "2014-11-04T18:00:00Z"), "4 Nov 17:00–19:00");
        assert_eq!(window("2014-11-03T20:00:00Z", "2014-11-03T20:00:00Z"), "at 21:00");
    }

    #[test]
    fn numbers_say_no_more_than_is_known() {
        assert_eq!([0.997, 0.824, 0.004].map(percent), ["> 99 %", "82 %", "< 1 %"]);
        assert_eq!([273.4, 38.24, 99.97, 0.41234].map(flow), ["273", "38.2", "100", "0.412"]);
    }
}
