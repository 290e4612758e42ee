//! Event: what a forecast says of each threshold of a station, from its trajectories and the distribution of each lead time.

use std::collections::BTreeMap;

use nilometer_assimilation::Ratings;
use nilometer_definitions::{Catchment, Levels, Threshold, ThresholdKind};
use nilometer_schemas::{EventRow, EventsBuilder, ForecastRow, LeadProbability, Timestamp};
use nilometer_statistics::{Distribution, Level, Reached, crossing};

use crate::{ForecastError, lead::Lead};

/// Adds a row for each threshold of a catchment that is a flow, or has one by its rating. `trajectories` are `[L][M]` of the `leads`; `forecast` is
/// any row of the forecast.
pub(crate) fn add_events(
    events: &mut EventsBuilder,
    catchment: &Catchment,
    (ratings, levels): (&BTreeMap<String, Ratings>, &Levels),
    leads: &[Lead],
    trajectories: &[Vec<f64>],
    forecast: &ForecastRow<'_>,
) -> Result<(), ForecastError> {
    let (Some(first), Some(last)) = (leads.first(), leads.last()) else { return Ok(()) };
    let lead_s = |lead: &Lead| lead.valid_time.seconds_since(forecast.issue_time);
    let lead_times: Vec<f64> = leads.iter().map(|lead| lead_s(lead) as f64).collect();
    for threshold in &catchment.thresholds {
        let threshold = &*levels.of(catchment.station(), threshold, forecast.issue_time);
        let Some(level_m3_s) = flow_of(threshold, ratings.get(catchment.station()), first.valid_time) else { continue };
        let level = Level { value: level_m3_s, below: threshold.below };
        let said = crossing(&lead_times, trajectories, level)?;
        let by_lead = |lead: &Lead| {
            let beyond = if threshold.below { Distribution::at_or_below } else { Distribution::exceedance };
            let probability = beyond(&lead.distribution, level_m3_s);
            LeadProbability { lead_time_s: u64::try_from(lead_s(lead)).unwrap_or(0), probability }
        };
        let by_lead: Vec<LeadProbability> = leads.iter().map(by_lead).collect();
        // As many trajectories as there are cannot say less than one lead time by itself.
        let probability = by_lead.iter().map(|lead| lead.probability).fold(said.probability, f64::max);
        let after = |seconds: f64| forecast.issue_time.plus_s(seconds.round() as i64);
        let of_reached = |of: fn(&Reached) -> [f64; 3], at: usize| said.reached.as_ref().map(|reached| of(reached)[at]);
        let crossing_time = |at: usize| of_reached(|reached| reached.time_s, at).map(after);
        let duration_s = |at: usize| of_reached(|reached| reached.duration_s, at);
        let volume_m3 = |at: usize| of_reached(|reached| reached.volume, at);
        events.push(EventRow {
            catchment: &catchment.id,
            station: catchment.station(),
            threshold: &threshold.id,
            threshold_name: threshold.name(),
            variable: threshold.kind.variable(),
            level: threshold.canonical(),
            level_m3_s,
            below: threshold.below,
            issue_time: forecast.issue_time,
            until: last.valid_time,
            probability,
            by_lead: &by_lead,
            crossing_q10: crossing_time(0),
            crossing_q50: crossing_time(1),
            crossing_q90: crossing_time(2),
            peak_q05: said.peak[0],
            peak_q50: said.peak[1],
            peak_q95: said.peak[2],
            peak_time_q10: after(said.peak_time_s[0]),
            peak_time_q50: after(said.peak_time_s[1]),
            peak_time_q90: after(said.peak_time_s[2]),
            duration_s_q10: duration_s(0),
            duration_s_q50: duration_s(1),
            duration_s_q90: duration_s(2),
            volume_m3_q10: volume_m3(0),
            volume_m3_q50: volume_m3(1),
            volume_m3_q90: volume_m3(2),
            rise_q50: said.rise_per_h[0],
            rise_q95: said.rise_per_h[1],
            trajectories: i32::try_from(trajectories[0].len()).unwrap_or(i32::MAX),
            scenario: forecast.scenario,
            state_time: forecast.state_time,
            model: forecast.model,
            model_version: forecast.model_version,
            weights_sha256: forecast.weights_sha256,
            observation_position: forecast.observation_position,
            forcing_position: forecast.forcing_position,
            supersedes: forecast.supersedes,
            reason: forecast.reason,
        });
    }
    Ok(())
}

/// A threshold as a flow, m³ s⁻¹: that of the rating of its time where it is a stage; none where there is no rating.
fn flow_of(threshold: &Threshold, ratings: Option<&Ratings>, time: Timestamp) -> Option<f64> {
    match threshold.kind {
        ThresholdKind::Flow => Some(threshold.canonical()),
        ThresholdKind::Stage => Some(ratings?.at(time)?.discharge_m3_s(threshold.canonical()).discharge_m3_s),
    }
}
