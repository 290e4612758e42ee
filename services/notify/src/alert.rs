//! Alert: the newest row of one, with its own words.

use arrow::array::{Array as _, Float64Array, StringArray, TimestampMicrosecondArray};
use nilometer_schemas::{AlertChange, AlertKind, AlertState, Alerts, GaugeData, Timestamp};
use serde::{Deserialize, Serialize};

/// What one alert says after a change: a row of `alert.v1`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// from its rise to its end
    pub alert: String,
    /// the station
    pub station: String,
    /// what people call it
    pub station_name: String,
    /// its river; its own name where nothing says
    pub river: String,
    /// ° north and ° east
    pub place: Option<(f64, f64)>,
    /// what it is about
    pub kind: AlertKind,
    /// identifier of the threshold
    pub threshold: String,
    /// what people call it
    pub threshold_name: String,
    /// the level as a flow, m³ s⁻¹
    pub level_m3_s: Option<f64>,
    /// the tick of the change
    pub time: Timestamp,
    /// why there is a row
    pub change: AlertChange,
    /// how urgent it is
    pub state: AlertState,
    /// since when it is in this state
    pub since: Timestamp,
    /// when it rose
    pub started: Timestamp,
    /// counts its rows
    pub revision: i32,
    /// what the gauge delivers
    pub data: Option<GaugeData>,
    /// time of the newest reading
    pub observed_time: Option<Timestamp>,
    /// since when the river is at or beyond the threshold
    pub reached_since: Option<Timestamp>,
    /// issue time of the forecast behind it
    pub issue_time: Option<Timestamp>,
    /// end of its horizon
    pub until: Option<Timestamp>,
    /// that the threshold is reached within it
    pub probability: Option<f64>,
    /// the same of the issue before
    pub probability_before: Option<f64>,
    /// when it is reached: quantiles at 0.1, 0.5 and 0.9
    pub crossing: [Option<Timestamp>; 3],
    /// highest flow, or lowest: quantiles at 0.05, 0.5 and 0.95, m³ s⁻¹
    pub peak_m3_s: [Option<f64>; 3],
    /// who has taken note
    pub acknowledged_by: Option<String>,
    /// until when that holds
    pub acknowledged_until: Option<Timestamp>,
    /// the newest note
    pub note: Option<String>,
    /// until when no one is to be called
    pub silenced_until: Option<Timestamp>,
    /// a sentence
    pub text: String,
}

impl Alert {
    /// Every row, in order.
    pub fn of_rows(rows: &Alerts) -> impl Iterator<Item = Self> {
        (0..rows.len()).filter_map(|row| Self::of(rows, row))
    }

    /// A row; none where a word means nothing, which the contract rules out.
    fn of(rows: &Alerts, row: usize) -> Option<Self> {
        let time = |column: &TimestampMicrosecondArray| column.is_valid(row).then(|| Timestamp(column.value(row)));
        let number = |column: &Float64Array| column.is_valid(row).then(|| column.value(row));
        let text = |column: &StringArray| column.is_valid(row).then(|| column.value(row).to_owned());
        let station_name = rows.station_name().value(row).to_owned();
        Some(Self {
            alert: rows.alert().value(row).to_owned(),
            station: rows.station().value(row).to_owned(),
            river: text(rows.river()).unwrap_or_else(|| station_name.clone()),
            station_name,
            place: number(rows.latitude()).zip(number(rows.longitude())),
            kind: AlertKind::of_name(rows.kind().value(row))?,
            threshold: rows.threshold().value(row).to_owned(),
            threshold_name: rows.threshold_name().value(row).to_owned(),
            level_m3_s: number(rows.level_m3_s()),
            time: Timestamp(rows.time().value(row)),
            change: AlertChange::of_name(rows.change().value(row))?,
            state: AlertState::of_name(rows.state().value(row))?,
            since: Timestamp(rows.since().value(row)),
            started: Timestamp(rows.started().value(row)),
            revision: rows.revision().value(row),
            data: text(rows.data()).and_then(|data| GaugeData::of_name(&data)),
            observed_time: time(rows.observed_time()),
            reached_since: time(rows.reached_since()),
            issue_time: time(rows.issue_time()),
            until: time(rows.until()),
            probability: number(rows.probability()),
            probability_before: number(rows.probability_before()),
            crossing: [rows.crossing_q10(), rows.crossing_q50(), rows.crossing_q90()].map(time),
            peak_m3_s: [rows.peak_q05(), rows.peak_q50(), rows.peak_q95()].map(number),
            acknowledged_by: text(rows.acknowledged_by()),
            acknowledged_until: time(rows.acknowledged_until()),
            note: text(rows.note()),
            silenced_until: time(rows.silenced_until()),
            text: rows.text().value(row).to_owned(),
        })
    }

    /// Whether somebody should look: it is a watch or a warning, or the gauge is silent.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state.is_active() || (self.kind == AlertKind::Gauge && self.data == Some(GaugeData::Silent))
    }

    /// When the river reaches the threshold, as far as is known: since when it has, or the earliest likely time.
    #[must_use]
    pub fn onset(&self) -> Option<Timestamp> {
        self.reached_since.or(self.crossing[0])
    }

    /// What comes before what: warnings before watches, what is there before what comes, the sooner and the likelier first; then by name.
    fn urgency(
        &self,
    ) -> (std::cmp::Reverse<AlertState>, Timestamp, std::cmp::Reverse<i64>, std::cmp::Reverse<i64>, &str) {
        let onset = self.onset().unwrap_or(Timestamp(i64::MAX));
        // Of one station's thresholds that are reached at one time the higher one says more.
        let millionths = |number: Option<f64>| std::cmp::Reverse((number.unwrap_or(0.0) * 1e6) as i64);
        (std::cmp::Reverse(self.state), onset, millionths(self.probability), millionths(self.level_m3_s), &self.alert)
    }
}

/// The alerts of one river, the most urgent first.
#[derive(Debug, Clone, PartialEq)]
pub struct River {
    /// the river
    pub name: String,
    /// one for each station and kind: the highest threshold of those that are as urgent
    pub alerts: Vec<Alert>,
    /// how many more thresholds of these stations are watched or warned of
    pub more: usize,
}

/// What deserves attention, by river, the most urgent first: of each station and kind the one alert that says most.
#[must_use]
pub fn watch_list<'a>(active: impl IntoIterator<Item = &'a Alert>) -> Vec<River> {
    let mut rivers: Vec<River> = Vec::new();
    let mut all: Vec<&Alert> = active.into_iter().filter(|alert| alert.is_active()).collect();
    // The most urgent state of a station is said of its highest threshold, or its lowest where the river falls.
    let height = |alert: &Alert| {
        let level = alert.level_m3_s.unwrap_or(0.0);
        if alert.kind == AlertKind::LowFlow { -level } else { level }
    };
    all.sort_by(|a, b| {
        let state = b.state.cmp(&a.state);
        state.then(height(b).total_cmp(&height(a))).then_with(|| a.alert.cmp(&b.alert))
    });
    for alert in all {
        let at = rivers.iter().position(|river| river.name == alert.river).unwrap_or_else(|| {
            rivers.push(River { name: alert.river.clone(), alerts: Vec::new(), more: 0 });
            rivers.len() - 1
        });
        let river = &mut rivers[at];
        if river.alerts.iter().any(|other| other.station == alert.station && other.kind == alert.kind) {
            river.more += 1;
        } else {
            river.alerts.push(alert.clone());
        }
    }
    for river in &mut rivers {
        river.alerts.sort_by(|a, b| a.urgency().cmp(&b.urgency()));
    }
    rivers.sort_by(|a, b| a.alerts.first().map(Alert::urgency).cmp(&b.alerts.first().map(Alert::urgency)));
    rivers
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use nilometer_schemas::{AlertRow, AlertsBuilder};

    use super::*;

    pub(crate) const HOUR_US: i64 = 3_600_000_000;
    /// 2014-11-04T00:00:00Z
    pub(crate) const NIGHT_US: i64 = 1_415_059_200_000_000;

    pub(crate) fn at(hour: i64) -> Timestamp {
        Timestamp(NIGHT_US + hour * HOUR_US)
    }

    pub(crate) fn row(
        station: &'static str,
        threshold: &'static str,
        level: f64,
        state: AlertState,
    ) -> AlertRow<'static> {
        AlertRow {
            alert: "",
            station,
            station_name: station,
            river: Some("Cance"),
            latitude: Some(45.18),
            longitude: Some(4.8),
            kind: "flood",
            threshold,
            threshold_name: threshold,
            level: Some(level),
            level_m3_s: Some(level),
            time: at(2),
            change: "raised",
            state: state.name(),
            since: at(2),
            started: at(2),
            revision: 1,
            data: Some("ok"),
            issue_time: Some(at(2)),
            until: Some(at(26)),
            probability: Some(0.82),
            crossing_q10: Some(at(8)),
            crossing_q50: Some(at(10)),
            crossing_q90: Some(at(12)),
            peak_q05: Some(179.0),
            peak_q50: Some(273.0),
            peak_q95: Some(414.0),
            text: "Cance at Sarras: 82 % chance of 150 m³/s <minor & more>.",
            ..AlertRow::BLANK
        }
    }

    pub(crate) fn alerts(rows: &[AlertRow<'_>]) -> Vec<Alert> {
        let mut builder = AlertsBuilder::new();
        for row in rows {
            let id = format!("{}/{}/{}", row.station, row.kind, row.threshold);
            builder.push(AlertRow { alert: &id, ..*row });
        }
        Alert::of_rows(&builder.finish().unwrap()).collect()
    }

    #[test]
    fn a_watch_list_has_one_line_a_station_and_the_most_urgent_river_first() {
        let (watch, warning) = (AlertState::Watch, AlertState::Warning);
        let elsewhere =
            AlertRow { river: Some("Lez"), crossing_q10: Some(at(3)), ..row("lez", "minor", 10.0, warning) };
        let gauge = AlertRow { kind: "gauge", state: "normal", data: Some("silent"), ..row("v3", "", 0.0, watch) };
        let gauge = AlertRow { state: "normal", ..gauge };
        let all = alerts(&[
            row("v1", "minor", 100.0, warning),
            row("v1", "major", 300.0, watch),
            row("v1", "moderate", 200.0, warning),
            AlertRow { reached_since: Some(at(1)), ..row("v2", "minor", 50.0, warning) },
            row("v2", "major", 90.0, AlertState::Clear),
            elsewhere,
            gauge,
        ]);
        let rivers = watch_list(&all);
        let said: Vec<_> = rivers.iter().map(|river| (river.name.as_str(), river.more)).collect();
        assert_eq!(said, [("Cance", 2), ("Lez", 0)], "the river that is there comes first");
        let stations: Vec<_> = rivers[0].alerts.iter().map(|a| (a.station.as_str(), a.threshold.as_str())).collect();
        assert_eq!(stations, [("v2", "minor"), ("v1", "moderate"), ("v3", "")]);
    }
}
