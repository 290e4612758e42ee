//! The machine of one threshold: normal → watch → warning → clear, beside what the gauge delivers. Pure.
//!
//! ```text
//!              P ≥ watch                P ≥ warning, or the river is there
//!  normal ───────────────▶ watch ─────────────────────────▶ warning
//!  clear  ◀─────────────── watch ◀───────────────────────── warning ──▶ clear
//!       P < watch_until              P < warning_until
//!                 for some issues in a row, readings back behind the margin, the gauge delivering
//! ```
//!
//! It rises at once and falls late; while a gauge is late or silent it does not fall.

use nilometer_definitions::AlertOptions;
use nilometer_schemas::{AlertChange, AlertKind, AlertState, GaugeData, Timestamp};
use serde::{Deserialize, Serialize};

/// What the newest forecast says of the threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EventSummary {
    pub(crate) issue_time: Timestamp,
    pub(crate) until: Timestamp,
    /// the level as a flow
    pub(crate) level_m3_s: f64,
    pub(crate) probability: f64,
    pub(crate) crossing: [Option<Timestamp>; 3],
    pub(crate) peak: [f64; 3],
    pub(crate) peak_time: [Timestamp; 3],
    pub(crate) model: String,
}

/// Who has taken note of an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Acknowledged {
    pub(crate) by: String,
    pub(crate) until: Option<Timestamp>,
}

/// Whose alerts they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) station: String,
    pub(crate) kind: AlertKind,
}

/// Where one threshold stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) about: About,
    pub(crate) state: AlertState,
    pub(crate) since: Timestamp,
    /// of the alert that there is, or was last
    pub(crate) started: Timestamp,
    pub(crate) revision: i32,
    /// since when the river is at or beyond the threshold
    pub(crate) reached: Option<Timestamp>,
    /// whether it has been since the alert is in this state
    pub(crate) was_reached: bool,
    pub(crate) event: Option<EventSummary>,
    pub(crate) probability_before: Option<f64>,
    /// issues in a row that ask for less, and the most urgent that one of them asked for
    pub(crate) falling: Option<(u32, AlertState)>,
    pub(crate) acknowledged: Option<Acknowledged>,
    pub(crate) note: Option<String>,
    pub(crate) silenced_until: Option<Timestamp>,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            about: About { station: String::new(), kind: AlertKind::Flood },
            state: AlertState::Normal,
            since: Timestamp::default(),
            started: Timestamp::default(),
            revision: 0,
            reached: None,
            was_reached: false,
            event: None,
            probability_before: None,
            falling: None,
            acknowledged: None,
            note: None,
            silenced_until: None,
        }
    }
}

/// What a tick says of a threshold.
pub(crate) struct Heard<'a> {
    pub(crate) tick: Timestamp,
    /// time and flow, m³ s⁻¹, of the station's newest readings, in the order of time
    pub(crate) readings: &'a [(Timestamp, f64)],
    pub(crate) event: Option<EventSummary>,
    /// whether that takes the place of an issue that has counted
    pub(crate) supersedes: bool,
    /// what the gauge delivers; none where it has never read
    pub(crate) data: Option<GaugeData>,
    pub(crate) data_changed: bool,
}

/// How a threshold is reached.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Side {
    /// the level, where it is a flow; that of a stage is in the newest event
    pub(crate) level_m3_s: Option<f64>,
    /// whether it is reached from above
    pub(crate) below: bool,
}

impl Standing {
    /// Takes in a tick; gives what has changed, where somebody is to hear of it.
    pub(crate) fn take(&mut self, heard: Heard<'_>, side: Side, options: &AlertOptions) -> Option<AlertChange> {
        let Heard { tick, readings, event, supersedes, data, data_changed } = heard;
        let issued = event.is_some();
        if let Some(event) = event {
            self.probability_before = self.event.as_ref().map(|before| before.probability);
            self.event = Some(event);
        }
        // That of a flow may have changed since the newest forecast.
        if let Some(level) = side.level_m3_s.or(self.event.as_ref().map(|event| event.level_m3_s)) {
            readings.iter().for_each(|reading| self.read(*reading, level, side.below, options.margin));
        }
        let expired = |until: Option<Timestamp>| until.is_some_and(|until| until <= tick);
        let forgotten = self.acknowledged.take_if(|acknowledged| expired(acknowledged.until)).is_some();
        self.silenced_until = self.silenced_until.filter(|until| *until > tick);
        let active = self.state.is_active();
        let now_reached = self.reached.is_some() && !self.was_reached;
        self.was_reached |= now_reached;
        let asks = self.asks(options.watch_probability, options.warning_probability);
        if asks.is_active() && asks > self.state {
            if !active {
                (self.started, self.revision, self.note) = (tick, 0, None);
            }
            self.enter(asks, tick);
            return Some(AlertChange::Raised);
        }
        if now_reached && active {
            (self.acknowledged, self.falling) = (None, None);
            return Some(AlertChange::Reached);
        }
        if let Some(fallen) = self.falls(tick, issued && !supersedes, data, options) {
            self.enter(fallen, tick);
            return Some(if fallen.is_active() { AlertChange::Lowered } else { AlertChange::Cleared });
        }
        match active {
            true if data_changed => Some(AlertChange::Data),
            true if issued || forgotten => Some(AlertChange::Revised),
            _ => None,
        }
    }

    /// What the newest forecast and the readings ask for, by the probabilities of a watch and a warning.
    fn asks(&self, watch: f64, warning: f64) -> AlertState {
        let probability = self.event.as_ref().map_or(0.0, |event| event.probability);
        if self.reached.is_some() || probability >= warning {
            AlertState::Warning
        } else if probability >= watch {
            AlertState::Watch
        } else {
            AlertState::Clear
        }
    }

    /// The state that it falls to, where enough issues in a row have asked for less.
    fn falls(
        &mut self,
        tick: Timestamp,
        counts: bool,
        data: Option<GaugeData>,
        options: &AlertOptions,
    ) -> Option<AlertState> {
        let asks = self.asks(options.watch_until_probability, options.warning_until_probability);
        // What a gauge does not say is no reason to look away.
        let delivers = data.is_none_or(|data| data == GaugeData::Ok);
        if !self.state.is_active() || asks >= self.state || !delivers {
            self.falling = None;
            return None;
        }
        let (before, most) = self.falling.unwrap_or((0, AlertState::Clear));
        let (issues, most) = (before + u32::from(counts), most.max(asks));
        self.falling = Some((issues, most));
        let long_enough = tick.seconds_since(self.since) >= options.minimum_duration.seconds();
        (counts && issues >= options.issues && long_enough).then_some(most)
    }

    /// Goes over to a state.
    pub(crate) fn enter(&mut self, state: AlertState, tick: Timestamp) {
        if state > self.state || !state.is_active() {
            self.acknowledged = None;
        }
        (self.state, self.since, self.falling) = (state, tick, None);
        self.was_reached = self.reached.is_some();
    }

    /// Whether the river is at or beyond the threshold: until it has come back behind the margin.
    fn read(&mut self, (time, flow): (Timestamp, f64), level: f64, below: bool, margin: f64) {
        let (there, back) = match below {
            false => (flow >= level, flow < level * (1.0 - margin)),
            true => (flow <= level, flow > level * (1.0 + margin)),
        };
        if there {
            self.reached.get_or_insert(time);
        } else if back {
            self.reached = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use nilometer_transforms::Span;
    use proptest::prelude::*;

    use super::*;

    const HOUR_US: i64 = 3_600_000_000;

    fn hour(hour: i64) -> Timestamp {
        Timestamp(hour * HOUR_US)
    }

    fn event(at: i64, probability: f64) -> EventSummary {
        EventSummary {
            issue_time: hour(at),
            until: hour(at + 24),
            level_m3_s: 100.0,
            probability,
            crossing: [Some(hour(at + 2)); 3],
            peak: [80.0, 100.0, 120.0],
            peak_time: [hour(at + 3); 3],
            model: "m".to_owned(),
        }
    }

    struct Gauge {
        standing: Standing,
        options: AlertOptions,
        hour: i64,
    }

    impl Gauge {
        fn new() -> Self {
            Self { standing: Standing::default(), options: AlertOptions::default(), hour: 0 }
        }

        fn hears(&mut self, probability: f64, flow: Option<f64>, data: GaugeData) -> Option<AlertChange> {
            self.hour += 1;
            let reading = flow.map(|flow| (hour(self.hour), flow));
            let heard = Heard {
                tick: hour(self.hour),
                readings: reading.as_slice(),
                event: Some(event(self.hour, probability)),
                supersedes: false,
                data: Some(data),
                data_changed: false,
            };
            self.standing.take(heard, Side { level_m3_s: None, below: false }, &self.options)
        }

        fn is(&mut self, probability: f64, flow: f64) -> Option<AlertChange> {
            self.hears(probability, Some(flow), GaugeData::Ok)
        }
    }

    use AlertChange::{Cleared, Lowered, Raised, Reached, Revised};

    #[test]
    fn it_rises_at_once_and_falls_late() {
        let mut gauge = Gauge::new();
        assert_eq!([0.1, 0.29].map(|p| gauge.is(p, 10.0)), [None, None]);
        assert_eq!(
            [0.3, 0.5, 0.6, 0.7].map(|p| gauge.is(p, 10.0)),
            [Some(Raised), Some(Revised), Some(Raised), Some(Revised)]
        );
        assert_eq!(gauge.standing.started, hour(3));
        assert_eq!([0.39, 0.39, 0.45].map(|p| gauge.is(p, 10.0)), [Some(Revised); 3], "no three in a row");
        assert_eq!([0.39, 0.2, 0.1].map(|p| gauge.is(p, 10.0)), [Some(Revised), Some(Revised), Some(Lowered)]);
        assert_eq!(gauge.standing.state, AlertState::Watch, "one of the three asked for it");
        assert_eq!([0.1, 0.1, 0.1].map(|p| gauge.is(p, 10.0)), [Some(Revised), Some(Revised), Some(Cleared)]);
        assert_eq!(gauge.is(0.0, 10.0), None);
        assert_eq!(gauge.is(0.95, 10.0), Some(Raised), "another alert");
        assert_eq!(gauge.standing.started, hour(17));
    }

    #[test]
    fn a_gauge_that_oscillates_at_the_threshold_is_one_alert() {
        let mut gauge = Gauge::new();
        let flows = (0..60).map(|hour| if hour < 50 { 100.0 + 12.0 * f64::from(hour % 2 * 2 - 1) } else { 50.0 });
        let changes: Vec<_> =
            flows.filter_map(|flow| gauge.is(0.0, flow)).filter(|change| *change != Revised).collect();
        assert_eq!(changes.iter().filter(|change| **change == Raised).count(), 1, "{changes:?}");
        assert_eq!(changes.iter().filter(|change| **change == Cleared).count(), 1, "{changes:?}");
        assert_eq!(changes.last(), Some(&Cleared));
    }

    #[test]
    fn silence_never_clears() {
        let mut gauge = Gauge::new();
        assert_eq!(gauge.is(0.7, 110.0), Some(Raised));
        for data in [GaugeData::Late, GaugeData::Silent] {
            for _ in 0..9 {
                assert_eq!(gauge.hears(0.0, None, data), Some(Revised));
            }
        }
        assert_eq!(gauge.standing.state, AlertState::Warning);
        assert_eq!([50.0, 50.0, 50.0].map(|flow| gauge.is(0.0, flow)), [Some(Revised), Some(Revised), Some(Cleared)]);
    }

    #[test]
    fn what_was_acknowledged_calls_again_when_it_rises_or_is_reached() {
        let mut gauge = Gauge::new();
        let note = || Some(Acknowledged { by: "ana".to_owned(), until: None });
        gauge.is(0.4, 10.0);
        gauge.standing.acknowledged = note();
        assert_eq!(gauge.is(0.5, 10.0), Some(Revised));
        assert!(gauge.standing.acknowledged.is_some());
        assert_eq!(gauge.is(0.7, 10.0), Some(Raised));
        assert!(gauge.standing.acknowledged.is_none());
        gauge.standing.acknowledged = note();
        assert_eq!(gauge.is(0.7, 101.0), Some(Reached));
        assert!(gauge.standing.acknowledged.is_none());
        gauge.standing.acknowledged = Some(Acknowledged { until: Some(hour(gauge.hour + 2)), ..note().unwrap() });
        assert_eq!(gauge.is(0.7, 101.0), Some(Revised));
        assert!(gauge.standing.acknowledged.is_some());
        gauge.is(0.7, 101.0);
        assert!(gauge.standing.acknowledged.is_none(), "its time is over");
    }

    #[test]
    fn a_superseding_forecast_revises_and_is_no_issue_of_its_own() {
        let mut gauge = Gauge::new();
        gauge.options.minimum_duration = Span::from_seconds(0);
        gauge.is(0.4, 10.0);
        for _ in 0..9 {
            let heard = Heard {
                tick: hour(2),
                readings: &[],
                event: Some(event(2, 0.0)),
                supersedes: true,
                data: Some(GaugeData::Ok),
                data_changed: false,
            };
            let side = Side { level_m3_s: None, below: false };
            assert_eq!(gauge.standing.take(heard, side, &gauge.options), Some(Revised));
        }
    }

    #[test]
    fn a_low_flow_is_reached_from_above() {
        let (mut standing, options) = (Standing::default(), AlertOptions::default());
        let mut reads = |hour_of: i64, flow: f64| {
            let readings = [(hour(hour_of), flow)];
            let heard = Heard {
                tick: hour(hour_of),
                readings: &readings,
                event: None,
                supersedes: false,
                data: Some(GaugeData::Ok),
                data_changed: false,
            };
            standing.take(heard, Side { level_m3_s: Some(1.0), below: true }, &options)
        };
        assert_eq!([2.0, 1.01, 0.99].map(|flow| reads(1, flow)), [None, None, Some(Raised)]);
    }

    proptest! {
        /// Whatever comes, an alert that began ends at most once before the next begins, and none falls within its minimum duration.
        #[test]
        fn rises_and_ends_alternate(hours in prop::collection::vec((0.0..1.0_f64, 50.0..150.0_f64, 0..3_usize), 1..200)) {
            let mut gauge = Gauge::new();
            let mut active = false;
            for (probability, flow, data) in hours {
                let was = gauge.standing.since;
                let change = gauge.hears(probability, Some(flow), GaugeData::ALL[data]);
                match change {
                    Some(Raised) => active = true,
                    Some(Cleared) => {
                        prop_assert!(active && data == 0);
                        active = false;
                    }
                    _ => {}
                }
                if matches!(change, Some(Cleared | Lowered)) {
                    prop_assert!(hour(gauge.hour).seconds_since(was) >= 3_600);
                }
                prop_assert_eq!(active, gauge.standing.state.is_active());
                prop_assert!(gauge.standing.state == AlertState::Warning || gauge.standing.reached.is_none());
            }
        }
    }
}
