//! Gauge: what a station delivers, by the age of its newest reading.

use nilometer_schemas::{GaugeData, Timestamp};
use serde::{Deserialize, Serialize};

/// What is known of one station's gauge.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Gauge {
    pub(crate) station: String,
    /// time and flow, m³ s⁻¹, of the newest reading
    pub(crate) newest: Option<(Timestamp, f64)>,
    /// what it delivers; none where it has never read
    pub(crate) data: Option<GaugeData>,
    /// since when
    pub(crate) since: Timestamp,
}

impl Gauge {
    /// Takes in the readings of a tick, in the order of time; whether it delivers otherwise than before. `ages_s` are those from which on it is late, and
    /// silent.
    pub(crate) fn take(&mut self, tick: Timestamp, readings: &[(Timestamp, f64)], ages_s: [i64; 2]) -> bool {
        let newer = |time: Timestamp| self.newest.is_none_or(|(newest, _)| time >= newest);
        if let Some(reading) = readings.last().filter(|(time, _)| newer(*time)) {
            self.newest = Some(*reading);
        }
        let Some((newest, _)) = self.newest else { return false };
        let age_s = tick.seconds_since(newest);
        let data = match ages_s {
            [_, silent] if age_s >= silent => GaugeData::Silent,
            [late, _] if age_s >= late => GaugeData::Late,
            _ => GaugeData::Ok,
        };
        // Its first reading is no news.
        let changed = self.data.is_some_and(|before| before != data);
        if self.data != Some(data) {
            (self.data, self.since) = (Some(data), tick);
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_is_late_then_silent_then_back() {
        let (mut gauge, at) = (Gauge::default(), |hour: i64| Timestamp(hour * 3_600_000_000));
        let ages_s = [2 * 3_600, 6 * 3_600];
        assert!(!gauge.take(at(0), &[], ages_s) && gauge.data.is_none(), "it has never read");
        assert!(!gauge.take(at(1), &[(at(1), 5.0)], ages_s));
        let found: Vec<_> = (2..9).map(|hour| (gauge.take(at(hour), &[], ages_s), gauge.data)).collect();
        let (ok, late, silent) = (Some(GaugeData::Ok), Some(GaugeData::Late), Some(GaugeData::Silent));
        let expected =
            [(false, ok), (true, late), (false, late), (false, late), (false, late), (true, silent), (false, silent)];
        assert_eq!(found, expected);
        assert!(!gauge.take(at(9), &[(at(0), 1.0)], ages_s), "an older reading is no newer one");
        assert!(gauge.take(at(10), &[(at(9), 4.0), (at(10), 3.0)], ages_s));
        assert_eq!((gauge.newest, gauge.data, gauge.since), (Some((at(10), 3.0)), ok, at(10)));
    }
}
