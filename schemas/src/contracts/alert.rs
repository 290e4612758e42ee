//! Alerts: what deserves somebody's attention, and since when.

use super::{contract, refuse};
use crate::{
    Contract, SchemaError, Timestamp,
    columns::{Boolean, Int32, OptionalFloat64, OptionalText, OptionalTime, Text, Time},
};

/// Lists words of a column: the type, its variants and what each is called.
macro_rules! words {
    ($(#[$doc:meta])* $words:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $words { $($(#[$variant_doc])* $variant,)* }

        impl $words {
            /// Every one, in order.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// The word in `alert.v1`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What a word of `alert.v1` means.
            #[must_use]
            pub fn of_name(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|word| word.name() == name)
            }
        }
    };
}

words! {
    /// How urgent an alert is.
    AlertState {
        /// nothing to look at
        Normal = "normal",
        /// it was urgent and has passed
        Clear = "clear",
        /// it may come to it
        Watch = "watch",
        /// it is there, or likely
        Warning = "warning",
    }
}

impl AlertState {
    /// Whether somebody should look.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Watch | Self::Warning)
    }
}

words! {
    /// What an alert is about.
    AlertKind {
        /// a level that is reached from below
        Flood = "flood",
        /// a level that is reached from above
        LowFlow = "low_flow",
        /// a class of drought
        Drought = "drought",
        /// what the gauge itself does
        Gauge = "gauge",
    }
}

words! {
    /// What a gauge delivers, beside every alert of its station.
    GaugeData {
        /// it reads as it should
        Ok = "ok",
        /// a reading is overdue
        Late = "late",
        /// it has not read for long
        Silent = "silent",
    }
}

words! {
    /// Why there is a row.
    AlertChange {
        /// the state has risen
        Raised = "raised",
        /// the state has fallen, and is still one to look at
        Lowered = "lowered",
        /// it has passed
        Cleared = "cleared",
        /// the river has reached the threshold
        Reached = "reached",
        /// a newer forecast says something else of it
        Revised = "revised",
        /// the gauge delivers, or does not any more
        Data = "data",
        /// an operator has taken note
        Acknowledged = "acknowledged",
        /// an operator has written something beside it
        Noted = "noted",
        /// an operator has asked for quiet
        Silenced = "silenced",
        /// the definition no longer has it
        Withdrawn = "withdrawn",
    }
}

contract! {
    /// What deserves somebody's attention: a row whenever something of an alert changes. The newest row of an `alert` says all of it.
    Alerts,
    /// What one alert says after a change, borrowing its words.
    AlertRow, AlertsBuilder: Contract::Alert, checked by check;
    beside {}
    columns of row {
        /// identifier from its rise to its end: station, kind, threshold and the time of its rise
        alert: Text,
        /// catchment identifier
        catchment: Text,
        /// the station
        station: Text,
        /// what people call it
        station_name: Text,
        /// its river
        river: OptionalText,
        /// of the station, ° north
        latitude: OptionalFloat64 ["unit": "degrees_north"],
        /// of the station, ° east
        longitude: OptionalFloat64 ["unit": "degrees_east"],
        /// time zone of its people
        timezone: OptionalText,
        /// [`AlertKind`]: flood, low_flow, drought or gauge
        kind: Text,
        /// identifier of the threshold or class; empty for a gauge
        threshold: Text,
        /// what people call it
        threshold_name: Text,
        /// the level, in `unit`
        level: OptionalFloat64,
        /// unit of the level
        unit: OptionalText,
        /// the level as a flow, m³ s⁻¹
        level_m3_s: OptionalFloat64 ["unit": "m3 s-1"],
        /// the tick of the change
        time: Time,
        /// why there is a row: raised, lowered, cleared, reached, revised, data, acknowledged, noted, silenced or withdrawn
        change: Text,
        /// [`AlertState`]: normal, watch, warning or clear
        state: Text,
        /// since when it is in this state
        since: Time,
        /// when it rose
        started: Time,
        /// counts the rows of an alert, from 1
        revision: Int32,
        /// [`GaugeData`]: ok, late or silent; null of a station that has never read
        data: OptionalText,
        /// newest reading, m³ s⁻¹
        observed_m3_s: OptionalFloat64 ["unit": "m3 s-1"],
        /// its time
        observed_time: OptionalTime,
        /// whether the river is at or beyond the threshold, and has not come back by the margin
        reached: Boolean,
        /// since when
        reached_since: OptionalTime,
        /// issue time of the forecast behind it
        issue_time: OptionalTime,
        /// end of the forecast's horizon
        until: OptionalTime,
        /// that the threshold is reached within the horizon
        probability: OptionalFloat64 ["unit": "1"],
        /// the same of the issue before it
        probability_before: OptionalFloat64 ["unit": "1"],
        /// when it is reached: quantile at 0.1
        crossing_q10: OptionalTime,
        /// the same, the median
        crossing_q50: OptionalTime,
        /// the same at 0.9
        crossing_q90: OptionalTime,
        /// highest flow of the horizon, or the lowest: quantile at 0.05, m³ s⁻¹
        peak_q05: OptionalFloat64 ["unit": "m3 s-1"],
        /// the same, the median
        peak_q50: OptionalFloat64 ["unit": "m3 s-1"],
        /// the same at 0.95
        peak_q95: OptionalFloat64 ["unit": "m3 s-1"],
        /// when that is: quantile at 0.1
        peak_time_q10: OptionalTime,
        /// the same, the median
        peak_time_q50: OptionalTime,
        /// the same at 0.9
        peak_time_q90: OptionalTime,
        /// who has taken note; null where no operator has, or it has risen since
        acknowledged_by: OptionalText,
        /// until when that holds; null for as long as it does not rise
        acknowledged_until: OptionalTime,
        /// the newest note
        note: OptionalText,
        /// until when no one is to be called
        silenced_until: OptionalTime,
        /// model package behind the forecast
        model: OptionalText,
        /// what it says, in a sentence
        text: Text,
    }
}

impl AlertRow<'static> {
    /// A row that says nothing yet.
    pub const BLANK: Self = Self {
        alert: "",
        catchment: "",
        station: "",
        station_name: "",
        river: None,
        latitude: None,
        longitude: None,
        timezone: None,
        kind: "",
        threshold: "",
        threshold_name: "",
        level: None,
        unit: None,
        level_m3_s: None,
        time: Timestamp(0),
        change: "",
        state: "",
        since: Timestamp(0),
        started: Timestamp(0),
        revision: 0,
        data: None,
        observed_m3_s: None,
        observed_time: None,
        reached: false,
        reached_since: None,
        issue_time: None,
        until: None,
        probability: None,
        probability_before: None,
        crossing_q10: None,
        crossing_q50: None,
        crossing_q90: None,
        peak_q05: None,
        peak_q50: None,
        peak_q95: None,
        peak_time_q10: None,
        peak_time_q50: None,
        peak_time_q90: None,
        acknowledged_by: None,
        acknowledged_until: None,
        note: None,
        silenced_until: None,
        model: None,
        text: "",
    };
}

fn check(alerts: &Alerts) -> Result<(), SchemaError> {
    use arrow::array::Array as _;
    let refuse = |column, row, value: &str, accepted| Err(refuse(Contract::Alert, column, row, value, accepted));
    for row in 0..alerts.len() {
        let (kind, change, state) = (alerts.kind().value(row), alerts.change().value(row), alerts.state().value(row));
        if AlertKind::of_name(kind).is_none() {
            return refuse("kind", row, kind, "flood, low_flow, drought or gauge");
        }
        if AlertChange::of_name(change).is_none() {
            return refuse("change", row, change, "a change that alert.v1 lists");
        }
        if AlertState::of_name(state).is_none() {
            return refuse("state", row, state, "normal, watch, warning or clear");
        }
        let data = alerts.data();
        if data.is_valid(row) && GaugeData::of_name(data.value(row)).is_none() {
            return refuse("data", row, data.value(row), "ok, late or silent");
        }
        let probability = alerts.probability();
        if probability.is_valid(row) && !(0.0..=1.0).contains(&probability.value(row)) {
            return refuse("probability", row, &probability.value(row).to_string(), "0 to 1");
        }
    }
    Ok(())
}
