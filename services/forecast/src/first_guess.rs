//! First guess: what the gauges have just read is held against what the models expect of them, before it moves anything.

use nilometer_alignment::{Observation, StepAlignment, Subject};
use nilometer_assimilation::{
    Departure, FirstGuess, FirstGuessCheck, Ratings, ShiftEvent, ShiftOptions, likely_cause, suspect_error_std,
};
use nilometer_definitions::{AssimilationMethod, Pipeline};
use nilometer_schemas::{Flag, Timestamp};
use nilometer_transforms::check::SuspectUse;

use crate::{ForecastError, ensembles::Ensembles};

/// How much more rain may have fallen, or how much faster it may have run off, than the product and the rain's memory say.
const RAIN_FACTOR: f64 = 2.0;

/// More than groundwater gives most rivers.
const BASEFLOW_MM_DAY: f64 = 10.0;

/// What the definition asks of each gauge.
pub(crate) struct FirstGuessChecks {
    gauges: Vec<Gauge>,
    suspect_factor: f64,
}

struct Gauge {
    /// whether readings are held against the models
    checked: bool,
    suspect: SuspectUse,
    shift: ShiftOptions,
    /// where it reports stage
    ratings: Option<Ratings>,
}

/// What became of the readings of a step.
#[derive(Default)]
pub(crate) struct Judged {
    /// suspect ones that move nothing
    pub(crate) ignored: Vec<Observation>,
    /// those of shifted gauges, which move nothing
    pub(crate) shifted: Vec<Observation>,
    /// suspect ones that still wait for their analysis
    pub(crate) downweighted: Vec<Subject>,
    pub(crate) changes: Vec<Change>,
}

/// A gauge that begins or ceases to be shifted.
pub(crate) struct Change {
    pub(crate) catchment: usize,
    pub(crate) time: Timestamp,
    event: ShiftEvent,
}

impl FirstGuessChecks {
    /// Of a checked definition.
    pub(crate) fn new(pipeline: &Pipeline) -> Self {
        let assimilates = pipeline.assimilation.method != AssimilationMethod::None;
        let gauge = |station: &str| {
            let over = pipeline.station_checks.get(station).cloned().unwrap_or_default();
            let options = pipeline.checks.overridden_by(&over);
            let shift = options.gauge_shift.unwrap_or_default();
            if !assimilates && (options.first_guess == Some(true) || options.gauge_shift.is_some()) {
                tracing::warn!(
                    station,
                    "checks.first_guess and checks.gauge_shift have no effect: with assimilation.method = \"none\" no reading moves a state"
                );
            }
            Gauge {
                checked: assimilates && options.first_guess.unwrap_or(true),
                suspect: options.suspect.unwrap_or_default(),
                ratings: pipeline.ratings.get(station).cloned(),
                shift: ShiftOptions { readings: shift.readings, accept_after_s: shift.accept_after.seconds() },
            }
        };
        Self {
            gauges: pipeline.catchments.iter().map(|c| gauge(c.station())).collect(),
            suspect_factor: pipeline.assimilation.error_factors.suspect,
        }
    }

    /// Judges the readings of the step that the states have reached, where they expect `expected_m3_s` `[C]`; those that move nothing are taken
    /// out of `alignment`. `checks` `[C]` is what each gauge has taught.
    pub(crate) fn judge(
        &self,
        checks: &mut [FirstGuessCheck],
        states: &Ensembles,
        expected_m3_s: &[f64],
        alignment: &mut StepAlignment,
    ) -> Result<Judged, ForecastError> {
        let mut judged = Judged::default();
        let mut failed = None;
        let left_out = alignment.sift_observations(states.time(), |reading| {
            if !reading.is_discharge() {
                return true;
            }
            let check = &mut checks[reading.catchment];
            let stays = self.judge_one(check, states, expected_m3_s[reading.catchment], reading, &mut judged);
            stays.unwrap_or_else(|error| {
                failed = Some(error);
                true
            })
        });
        let shifted = |reading: &Observation| checks[reading.catchment].is_shifted();
        (judged.shifted, judged.ignored) = left_out.into_iter().partition(shifted);
        failed.map_or(Ok(judged), Err)
    }

    /// Whether a reading stays, its error as large as its doubt.
    fn judge_one(
        &self,
        check: &mut FirstGuessCheck,
        states: &Ensembles,
        expected_m3_s: f64,
        reading: &mut Observation,
        judged: &mut Judged,
    ) -> Result<bool, ForecastError> {
        let gauge = &self.gauges[reading.catchment];
        if gauge.checked {
            let operator = &states.operators()[reading.catchment];
            let log = operator.observe(reading.value)?;
            let (error_std, plain_std) = (log.error_variance.sqrt() * reading.error_factor, log.error_variance.sqrt());
            let innovation = log.value - operator.log(expected_m3_s);
            let forecast_std = states.log_spread(reading.catchment, operator.log(expected_m3_s));
            let (rain_mm, snow_mm) = states.water_at_hand_mm(reading.catchment);
            let depth_mm = states.depth_mm(reading);
            let curve = gauge.ratings.as_ref().and_then(|ratings| ratings.at(reading.valid_time));
            let departure = Departure {
                innovation,
                expected_std: forecast_std.hypot(error_std),
                possible: depth_mm <= RAIN_FACTOR * rain_mm + snow_mm,
                is_baseflow: depth_mm <= BASEFLOW_MM_DAY * states.step_days(),
                teaches: reading.flag != Flag::Suspect,
                stage_offset_m: curve.map(|curve| curve.stage_m(reading.value) - curve.stage_m(expected_m3_s)),
            };
            let time_s = reading.valid_time.seconds_since(Timestamp(0));
            let (verdict, event) = check.judge(&departure, time_s, &gauge.shift);
            judged.changes.extend(event.map(|event| Change {
                catchment: reading.catchment,
                time: reading.valid_time,
                event,
            }));
            if verdict != FirstGuess::Fits {
                reading.flag = Flag::Suspect;
                let widened = suspect_error_std(innovation, forecast_std, error_std * self.suspect_factor);
                reading.error_factor = widened / plain_std;
            }
            match verdict {
                FirstGuess::Shifted => return Ok(false),
                FirstGuess::Suspect if gauge.suspect == SuspectUse::Downweight => {
                    judged.downweighted.push(reading.subject());
                }
                FirstGuess::Suspect | FirstGuess::Fits => {}
            }
        }
        Ok(reading.flag != Flag::Suspect || gauge.suspect == SuspectUse::Downweight)
    }
}

impl Change {
    /// One line in the log.
    pub(crate) fn report(&self, station: &str) {
        let since = |since_s: i64| Timestamp(0).plus_s(since_s);
        match self.event {
            ShiftEvent::Began { since_s, ratio, stage_offset_m } => tracing::warn!(
                station,
                since = %since(since_s),
                ratio = format!("{ratio:.3}"),
                cause = cause(ratio, stage_offset_m),
                "gauge shifted: its readings are in a steady ratio to the forecast, and are not assimilated until one fits again; correct the source's unit or add a rating, or accept them with station_checks.{station}.first_guess = false"
            ),
            ShiftEvent::Ended => {
                tracing::info!(station, at = %self.time, "gauge no longer shifted: a reading fits the forecast again")
            }
            ShiftEvent::Accepted { since_s } => tracing::warn!(
                station,
                since = %since(since_s),
                at = %self.time,
                "readings have been suspect for checks.gauge_shift.accept_after and are assimilated again"
            ),
        }
    }
}

/// What the ratio points to; of a rated gauge how far the stage is off.
fn cause(ratio: f64, stage_offset_m: Option<f64>) -> String {
    let of_stage = |offset_m| format!("datum, or unit of the stage: it is {offset_m:+.2} m off the forecast's");
    stage_offset_m.map_or_else(|| likely_cause(ratio).to_owned(), of_stage)
}
