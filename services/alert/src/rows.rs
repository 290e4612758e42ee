//! Rows: where an alert stands, in words that `alert.v1` keeps.

use nilometer_definitions::{Catchment, Threshold};
use nilometer_schemas::{AlertChange, AlertKind, AlertRow, AlertState, AlertsBuilder, Timestamp};

use crate::{
    gauge::Gauge,
    machine::{About, EventSummary, Standing},
    words,
};

/// What alerts of a threshold are about.
pub(crate) const fn kind_of(threshold: &Threshold) -> AlertKind {
    if threshold.below { AlertKind::LowFlow } else { AlertKind::Flood }
}

/// A row of a threshold's alert.
pub(crate) fn push(
    tick: Timestamp,
    change: AlertChange,
    catchment: &Catchment,
    threshold: &Threshold,
    standing: &mut Standing,
    gauge: &Gauge,
    rows: &mut AlertsBuilder,
) {
    standing.revision += 1;
    let kind = kind_of(threshold);
    let id = identifier(catchment.station(), kind, &threshold.id, standing.started);
    let text = words::of_threshold(tick, catchment, threshold, standing, gauge);
    let event = standing.event.as_ref();
    let peak = |at: usize| event.map(|event| event.peak[at]);
    let of_event = |of: fn(&EventSummary) -> [Option<Timestamp>; 3], at: usize| event.and_then(|event| of(event)[at]);
    let crossing = |at: usize| of_event(|event| event.crossing, at);
    let peak_time = |at: usize| of_event(|event| event.peak_time.map(Some), at);
    let acknowledged = standing.acknowledged.as_ref();
    rows.push(AlertRow {
        alert: &id,
        kind: kind.name(),
        threshold: &threshold.id,
        threshold_name: threshold.name(),
        level: Some(threshold.canonical()),
        unit: Some(threshold.kind.variable().unit().name()),
        level_m3_s: event.map(|event| event.level_m3_s),
        time: tick,
        change: change.name(),
        state: standing.state.name(),
        since: standing.since,
        started: standing.started,
        revision: standing.revision,
        reached: standing.reached.is_some(),
        reached_since: standing.reached,
        issue_time: event.map(|event| event.issue_time),
        until: event.map(|event| event.until),
        probability: event.map(|event| event.probability),
        probability_before: standing.probability_before,
        crossing_q10: crossing(0),
        crossing_q50: crossing(1),
        crossing_q90: crossing(2),
        peak_q05: peak(0),
        peak_q50: peak(1),
        peak_q95: peak(2),
        peak_time_q10: peak_time(0),
        peak_time_q50: peak_time(1),
        peak_time_q90: peak_time(2),
        acknowledged_by: acknowledged.map(|acknowledged| acknowledged.by.as_str()),
        acknowledged_until: acknowledged.and_then(|acknowledged| acknowledged.until),
        note: standing.note.as_deref(),
        silenced_until: standing.silenced_until,
        model: event.map(|event| event.model.as_str()),
        text: &text,
        ..of_station(catchment, gauge)
    });
}

/// The row of a gauge that delivers otherwise than before.
pub(crate) fn push_gauge(tick: Timestamp, catchment: &Catchment, gauge: &Gauge, rows: &mut AlertsBuilder) {
    let id = identifier(catchment.station(), AlertKind::Gauge, "", gauge.since);
    let text = words::of_gauge(tick, catchment, gauge);
    rows.push(AlertRow {
        alert: &id,
        kind: AlertKind::Gauge.name(),
        time: tick,
        change: AlertChange::Data.name(),
        state: AlertState::Normal.name(),
        since: gauge.since,
        started: gauge.since,
        revision: 1,
        text: &text,
        ..of_station(catchment, gauge)
    });
}

/// The end of the alert of a threshold that the definition no longer has.
pub(crate) fn push_withdrawn(
    tick: Timestamp,
    catchment: &str,
    threshold: &str,
    standing: &Standing,
    rows: &mut AlertsBuilder,
) {
    let About { station, kind } = &standing.about;
    let id = identifier(station, *kind, threshold, standing.started);
    let text = format!("{station}: the definition no longer has what this {} was about.", kind.name());
    rows.push(AlertRow {
        alert: &id,
        catchment,
        station,
        station_name: station,
        kind: kind.name(),
        threshold,
        threshold_name: threshold,
        time: tick,
        change: AlertChange::Withdrawn.name(),
        state: AlertState::Clear.name(),
        since: tick,
        started: standing.started,
        revision: standing.revision + 1,
        text: &text,
        ..AlertRow::BLANK
    });
}

pub(crate) fn identifier(station: &str, kind: AlertKind, threshold: &str, started: Timestamp) -> String {
    format!("{station}/{}/{threshold}/{}", kind.name(), started.compact())
}

/// What a row says of its station.
pub(crate) fn of_station<'a>(catchment: &'a Catchment, gauge: &Gauge) -> AlertRow<'a> {
    AlertRow {
        catchment: &catchment.id,
        station: catchment.station(),
        station_name: catchment.name(),
        river: catchment.river.as_deref(),
        latitude: catchment.latitude,
        longitude: catchment.longitude,
        timezone: catchment.timezone.as_deref(),
        data: gauge.data.map(nilometer_schemas::GaugeData::name),
        observed_m3_s: gauge.newest.map(|(_, flow)| flow),
        observed_time: gauge.newest.map(|(time, _)| time),
        ..AlertRow::BLANK
    }
}
