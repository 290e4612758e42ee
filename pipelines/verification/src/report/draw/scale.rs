//! Scales: from times and values to pixels, with ticks at round numbers.

use jiff::tz::TimeZone;
use nilometer_schemas::Timestamp;

const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 24 * HOUR_S;
/// Labels of an axis at most.
const LABELS: i64 = 9;
const FEW_LABELS: i64 = 4;

/// A time axis.
pub struct Time {
    pub from: Timestamp,
    pub to: Timestamp,
    pub left: f64,
    pub right: f64,
    pub zone: TimeZone,
    /// whether there is room for few words
    pub narrow: bool,
}

/// A tick of a time axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    pub at: Timestamp,
    /// empty where it has none
    pub label: String,
    /// whether a day begins, or a month
    pub major: bool,
}

impl Time {
    pub fn x(&self, time: Timestamp) -> f64 {
        let share = time.seconds_since(self.from) as f64 / (self.to.seconds_since(self.from) as f64).max(1.0);
        self.left + share * (self.right - self.left)
    }

    pub fn holds(&self, time: Timestamp) -> bool {
        (self.from..=self.to).contains(&time)
    }

    /// Hour and minute at the axis's own time zone, with the day.
    pub fn says(&self, time: Timestamp) -> String {
        self.local(time).map_or_else(|| time.to_string(), |local| local.strftime("%a %-d %b %Y, %H:%M").to_string())
    }

    /// Hour and minute, and the day where it is not that of `beside`.
    pub fn hour(&self, time: Timestamp, beside: Timestamp) -> String {
        match (self.local(time), self.local(beside)) {
            (Some(time), Some(beside)) if time.date() == beside.date() => time.strftime("%H:%M").to_string(),
            (Some(time), _) => time.strftime("%-d %b %H:%M").to_string(),
            _ => time.to_string(),
        }
    }

    /// The day.
    pub fn day(&self, time: Timestamp) -> String {
        self.local(time).map_or_else(|| time.to_string(), |local| local.strftime("%-d %b").to_string())
    }

    /// The name of the zone.
    pub fn zone_name(&self) -> String {
        self.zone.iana_name().unwrap_or("UTC").to_owned()
    }

    fn local(&self, time: Timestamp) -> Option<jiff::Zoned> {
        Some(jiff::Timestamp::from_microsecond(time.0).ok()?.to_zoned(self.zone.clone()))
    }

    /// Ticks at full hours of the zone, labelled at 00, 06, 12 and 18 where there is room; of longer times at days, and at months.
    pub fn ticks(&self) -> Vec<Tick> {
        let days = self.to.seconds_since(self.from) / DAY_S;
        if days > 45 {
            return self.months();
        }
        let every_h = match days {
            0..=2 => 6,
            3..=4 => 12,
            _ => 24 * (days / if self.narrow { FEW_LABELS } else { LABELS } + 1),
        };
        let mut ticks = Vec::new();
        let mut at = self.from.ceil_s(HOUR_S);
        while at <= self.to {
            if let Some(local) = self.local(at) {
                let (hour, midnight) = (i64::from(local.hour()), local.hour() == 0);
                let day = i64::from(local.day_of_year());
                let due = if every_h >= 24 { midnight && day % (every_h / 24) == 0 } else { hour % every_h == 0 };
                let label = match (due, midnight) {
                    (true, true) => local.strftime(if self.narrow { "%-d %b" } else { "%a %-d %b" }).to_string(),
                    (true, false) => local.strftime("%H:%M").to_string(),
                    _ => String::new(),
                };
                if due || days <= 4 {
                    ticks.push(Tick { at, label, major: midnight });
                }
            }
            at = at.plus_s(HOUR_S);
        }
        ticks
    }

    fn months(&self) -> Vec<Tick> {
        let mut ticks = Vec::new();
        let months = self.to.seconds_since(self.from) / (30 * DAY_S);
        let mut at = self.from.ceil_s(DAY_S);
        while at <= self.to {
            let noon = at.plus_s(DAY_S / 2);
            if let Some(local) = self.local(noon).filter(|local| local.day() == 1) {
                let year = local.month() == 1;
                let due =
                    months <= if self.narrow { 5 } else { 14 } || (months <= 60 && local.month() % 3 == 1) || year;
                let label = if year { local.strftime("%Y") } else { local.strftime("%b") }.to_string();
                ticks.push(Tick { at, label: if due { label } else { String::new() }, major: year });
            }
            at = at.plus_s(DAY_S);
        }
        ticks
    }
}

/// A value axis, from 0 up.
pub struct Values {
    pub top: f64,
    pub above: f64,
    pub below: f64,
}

impl Values {
    /// Up to a round number that is at least `most`.
    pub fn up_to(most: f64, above: f64, below: f64) -> Self {
        Self { top: most.max(1e-3) * 1.04, above, below }
    }

    pub fn y(&self, value: f64) -> f64 {
        self.below - (value / self.top).clamp(0.0, 1.0) * (self.below - self.above)
    }

    /// Round numbers, four or five of them, as they are written.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        let rough = self.top / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|step| *step >= rough).unwrap_or(power);
        let number = (self.top / step).floor() as usize;
        (0..=number).map(|n| n as f64 * step).map(|value| (value, written(value))).collect()
    }
}

/// A number without a decimal that says nothing.
pub fn written(value: f64) -> String {
    let rounded = (value * 1e6).round() / 1e6;
    format!("{rounded}").replace('-', "−")
}

/// A flow: an integer from 100 on, else one decimal where it says something; three digits of small ones.
pub fn flow(m3_s: f64) -> String {
    match m3_s.abs() {
        large if large >= 99.95 => format!("{m3_s:.0}"),
        small if small < 0.995 => format!("{m3_s:.3}"),
        _ => format!("{m3_s:.1}").trim_end_matches(".0").to_owned(),
    }
}

/// Whole percents.
pub fn percent(probability: f64) -> String {
    match (probability * 100.0).round() {
        whole if whole >= 100.0 => "> 99 %".to_owned(),
        whole if whole <= 0.0 => "< 1 %".to_owned(),
        whole => format!("{whole} %"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use super::*;

    fn axis(from: &str, to: &str, zone: &str) -> Time {
        let zone = TimeZone::get(zone).unwrap();
        Time { from: from.parse().unwrap(), to: to.parse().unwrap(), left: 0.0, right: 100.0, zone, narrow: false }
    }

    fn labels(axis: &Time) -> Vec<String> {
        axis.ticks().into_iter().map(|tick| tick.label).filter(|label| !label.is_empty()).collect()
    }

    #[test]
    fn ticks_are_round_hours_of_the_zone() {
        let utc = axis("2014-11-03T20:10:00Z", "2014-11-05T08:00:00Z", "UTC");
        assert_eq!(labels(&utc), ["Tue 4 Nov", "06:00", "12:00", "18:00", "Wed 5 Nov", "06:00"]);
        let paris = axis("2014-11-03T20:10:00Z", "2014-11-05T08:00:00Z", "Europe/Paris");
        assert_eq!(paris.ticks()[2].at.to_string(), "2014-11-03T23:00:00Z", "midnight there");
        let months = axis("2014-09-15T00:00:00Z", "2015-03-02T00:00:00Z", "UTC");
        assert_eq!(labels(&months), ["Oct", "Nov", "Dec", "2015", "Feb", "Mar"]);
        let weeks = axis("2014-11-01T00:00:00Z", "2014-11-20T00:00:00Z", "UTC");
        assert!((4..=10).contains(&labels(&weeks).len()), "{:?}", labels(&weeks));
    }

    #[test]
    fn values_have_round_ticks_without_needless_decimals() {
        let said =
            |top: f64| Values::up_to(top, 0.0, 1.0).ticks().into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        assert_eq!(said(420.0), ["0", "100", "200", "300", "400"]);
        assert_eq!(said(0.9), ["0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(said(95.0), ["0", "20", "40", "60", "80"]);
        assert_eq!([273.4, 38.24, 0.41234].map(flow), ["273", "38.2", "0.412"]);
    }
}
