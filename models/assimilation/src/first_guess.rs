//! First guess check: each reading of a gauge is held against what the forecast expects of it before it moves anything.
//!
//! Background check of operational analyses (Lorenc & Hammon 1988, QJRMS 114, 515), with two additions for rivers: the bound is learned by gauge,
//! because floods make the innovations of daily models heavy-tailed, and what is above the forecast is possible where the water for it
//! is there. Chosen on the Cance's autumn of 2014 and on 24 CAMELS-US catchments, 1980 to 1989, six of them arid
//! (`docs/checks.md`).

use serde::{Deserialize, Serialize};

/// The smallest bound, in expected standard deviations.
const SMALLEST_BOUND: f64 = 9.0;
/// The bound is this many times the learned quantile of |normalised innovation|.
const QUANTILE_FACTOR: f64 = 3.0;
/// Share of accepted readings beyond that quantile, and how fast its logarithm learns.
const BEYOND: f64 = 0.01;
const RATE: f64 = 0.1;
/// Readings before which a model may still be settling from its initial state: the bound is twice as large.
const SETTLING: u32 = 30;
/// A reading of a shifted gauge fits again within this many standard deviations.
const RETURN_BOUND: f64 = 3.0;
/// A shift's log ratio varies by at most this share of its mean.
const STEADY: f64 = 0.3;
/// Cubic feet in a cubic metre.
const FEET3_PER_M3: f64 = 35.314_667;

/// A reading against its first guess, in log space.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Departure {
    /// Observed minus expected.
    pub innovation: f64,
    /// Its expected standard deviation: the forecast's and the observation's errors together, above 0.
    pub expected_std: f64,
    /// Whether so much water can be there: rain and melt give as much.
    pub possible: bool,
    /// Whether groundwater may give as much, of which a model that settles from its initial state may know nothing.
    pub is_baseflow: bool,
    /// Whether the reading teaches the bound: one that another check suspects does not.
    pub teaches: bool,
    /// Of a rated gauge the stage minus that of the expected discharge, m.
    pub stage_offset_m: Option<f64>,
}

impl Departure {
    fn normalised(&self) -> f64 {
        self.innovation / self.expected_std
    }
}

/// When a run of suspect readings is a shift, and when it ends at the latest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShiftOptions {
    /// Consecutive suspect readings on one side of the forecast, in a steady ratio to it.
    pub readings: u32,
    /// From this time after the first of them on readings are taken again, seconds.
    pub accept_after_s: i64,
}

/// What becomes of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstGuess {
    /// It fits, or nothing is held against it.
    Fits,
    /// It is beyond the bound.
    Suspect,
    /// Its gauge is shifted.
    Shifted,
}

/// A change of a gauge's standing, to be reported once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ShiftEvent {
    /// Readings since `since_s` are `ratio` times what is expected.
    Began {
        /// Time of the first of them, seconds.
        since_s: i64,
        /// Their geometric mean over what was expected.
        ratio: f64,
        /// Of a rated gauge how far their stage is off on average, m.
        stage_offset_m: Option<f64>,
    },
    /// A reading fits again.
    Ended,
    /// The run lasted for [`ShiftOptions::accept_after_s`]: the river is believed, not the forecast.
    Accepted {
        /// Time of the first of them, seconds.
        since_s: i64,
    },
}

/// What the check knows of one gauge.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstGuessCheck {
    /// the learned quantile of |normalised innovation|
    quantile: f64,
    learned: u32,
    run: Option<Run>,
}

/// Consecutive suspect readings on one side of the forecast.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    since_s: i64,
    readings: u32,
    /// mean of the innovations, and the sum of squares about it (Welford 1962)
    mean: f64,
    squares: f64,
    /// mean of the stage offsets, of a rated gauge
    stage_offset_m: Option<f64>,
    standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Standing {
    Suspect,
    Shifted,
    Accepted,
}

impl Default for FirstGuessCheck {
    fn default() -> Self {
        Self { quantile: SMALLEST_BOUND / QUANTILE_FACTOR, learned: 0, run: None }
    }
}

impl FirstGuessCheck {
    /// Judges a reading of `time_s` seconds and learns from it where it fits; says what changed with it.
    pub fn judge(
        &mut self,
        departure: &Departure,
        time_s: i64,
        options: &ShiftOptions,
    ) -> (FirstGuess, Option<ShiftEvent>) {
        let standing = self.run.map(|run| run.standing);
        if self.fits(departure) {
            self.learn(departure);
            self.run = None;
            let ended = standing.is_some_and(|standing| standing != Standing::Suspect);
            return (FirstGuess::Fits, ended.then_some(ShiftEvent::Ended));
        }
        let mut run = self.run.filter(|run| run.is_side_of(departure)).unwrap_or_else(|| Run::new(time_s));
        run.add(departure);
        let mut event = None;
        if run.standing != Standing::Accepted && time_s - run.since_s >= options.accept_after_s {
            run.standing = Standing::Accepted;
            event = Some(ShiftEvent::Accepted { since_s: run.since_s });
        } else if run.standing == Standing::Suspect && run.readings >= options.readings && run.is_steady() {
            run.standing = Standing::Shifted;
            event = Some(ShiftEvent::Began {
                since_s: run.since_s,
                ratio: run.mean.exp(),
                stage_offset_m: run.stage_offset_m,
            });
        }
        self.run = Some(run);
        let verdict = match run.standing {
            Standing::Suspect => FirstGuess::Suspect,
            Standing::Shifted => FirstGuess::Shifted,
            Standing::Accepted => FirstGuess::Fits,
        };
        (verdict, event)
    }

    /// The bound on |normalised innovation|.
    #[must_use]
    pub fn bound(&self) -> f64 {
        let bound = (QUANTILE_FACTOR * self.quantile).max(SMALLEST_BOUND);
        if self.is_settling() { 2.0 * bound } else { bound }
    }

    /// Whether the model may still be far from the river because of its initial state.
    const fn is_settling(&self) -> bool {
        self.learned < SETTLING
    }

    /// Whether the gauge is shifted, as far as readings are left out for it.
    #[must_use]
    pub fn is_shifted(&self) -> bool {
        self.run.is_some_and(|run| run.standing == Standing::Shifted)
    }

    fn fits(&self, departure: &Departure) -> bool {
        match self.run.filter(|run| run.standing == Standing::Shifted) {
            _ if self.is_settling() && departure.is_baseflow => true,
            Some(run) => run.is_left_by(departure),
            None if departure.normalised().abs() <= self.bound() => true,
            None => departure.innovation > 0.0 && departure.possible,
        }
    }

    fn learn(&mut self, departure: &Departure) {
        if departure.teaches {
            let beyond = departure.normalised().abs() > self.quantile;
            let step = RATE * (f64::from(u8::from(beyond)) - BEYOND);
            self.quantile = (self.quantile * step.exp()).max(1.0);
            self.learned = self.learned.saturating_add(1);
        }
    }
}

impl Run {
    const fn new(since_s: i64) -> Self {
        Self { since_s, readings: 0, mean: 0.0, squares: 0.0, stage_offset_m: None, standing: Standing::Suspect }
    }

    fn add(&mut self, departure: &Departure) {
        let innovation = departure.innovation;
        self.readings = self.readings.saturating_add(1);
        let (before, readings) = (innovation - self.mean, f64::from(self.readings));
        self.mean += before / readings;
        self.squares += before * (innovation - self.mean);
        self.stage_offset_m = departure.stage_offset_m.map(|offset| {
            let mean = self.stage_offset_m.unwrap_or(offset);
            mean + (offset - mean) / readings
        });
    }

    /// Whether a reading is the forecast's again, and not the shift's: in a flood the discharge of a moved datum comes close to the right one.
    fn is_left_by(&self, departure: &Departure) -> bool {
        let offsets = self.stage_offset_m.zip(departure.stage_offset_m);
        departure.normalised().abs() <= RETURN_BOUND
            && departure.innovation.abs() <= 0.5 * self.mean.abs()
            && offsets.is_none_or(|(shift, now)| now.abs() <= 0.5 * shift.abs())
    }

    fn is_side_of(&self, departure: &Departure) -> bool {
        self.mean.signum() == departure.innovation.signum()
    }

    fn is_steady(&self) -> bool {
        (self.squares / f64::from(self.readings)).sqrt() <= STEADY * self.mean.abs()
    }
}

/// The standard deviation of the observation error with which a suspect reading enters an analysis: as large as makes the innovation one
/// expected standard deviation (adaptive observation error inflation; Minamide & Zhang 2017, Mon. Wea. Rev. 145, 1063).
#[must_use]
pub fn suspect_error_std(innovation: f64, forecast_std: f64, error_std: f64) -> f64 {
    (innovation * innovation - forecast_std * forecast_std).max(error_std * error_std).sqrt()
}

/// What a steady ratio of readings to the forecast points to.
#[must_use]
pub fn likely_cause(ratio: f64) -> &'static str {
    let near = |of: f64| (ratio / of).ln().abs() < 0.5;
    if near(FEET3_PER_M3) {
        "unit: ft3/s that are labelled m3/s"
    } else if near(1.0 / FEET3_PER_M3) {
        "unit: m3/s that are labelled ft3/s"
    } else if near(1_000.0) {
        "unit: l/s that are labelled m3/s"
    } else if near(1e-3) {
        "unit: m3/s that are labelled l/s"
    } else {
        "datum, rating or unit of the gauge"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_S: i64 = 3_600;
    const OPTIONS: ShiftOptions = ShiftOptions { readings: 6, accept_after_s: 7 * 24 * HOUR_S };

    fn departure(innovation: f64) -> Departure {
        Departure {
            innovation,
            expected_std: 0.1,
            possible: false,
            is_baseflow: false,
            teaches: true,
            stage_offset_m: None,
        }
    }

    /// A gauge that has been read for `hours`, with innovations of one expected standard deviation.
    fn settled(hours: i64) -> FirstGuessCheck {
        let mut check = FirstGuessCheck::default();
        for hour in 0..hours {
            let sign = if hour % 2 == 0 { 0.1 } else { -0.1 };
            assert_eq!(check.judge(&departure(sign), hour * HOUR_S, &OPTIONS), (FirstGuess::Fits, None));
        }
        check
    }

    #[test]
    fn a_jump_is_suspect_and_one_that_rain_explains_is_not() {
        let check = settled(100);
        let jump = departure(3.56);
        assert_eq!(check.clone().judge(&jump, 0, &OPTIONS).0, FirstGuess::Suspect);
        let rained = Departure { possible: true, ..jump };
        assert_eq!(check.clone().judge(&rained, 0, &OPTIONS).0, FirstGuess::Fits);
        let fallen = Departure { innovation: -3.56, possible: true, ..jump };
        assert_eq!(check.clone().judge(&fallen, 0, &OPTIONS).0, FirstGuess::Suspect, "rain explains no fall");
        assert_eq!(check.clone().judge(&departure(0.89), 0, &OPTIONS).0, FirstGuess::Fits);
    }

    #[test]
    fn the_bound_is_learned_and_never_small() {
        assert!((settled(5_000).bound() - SMALLEST_BOUND).abs() < 1e-9);
        assert!((FirstGuessCheck::default().bound() - 2.0 * SMALLEST_BOUND).abs() < 1e-9, "a model may still settle");
        let mut wild = FirstGuessCheck::default();
        for hour in 0..5_000_i64 {
            // One in twenty is eight standard deviations off.
            let innovation = if hour % 20 == 0 { 0.8 } else { 0.1 };
            wild.judge(&departure(innovation), hour * HOUR_S, &OPTIONS);
        }
        assert!(wild.bound() > 20.0 && wild.bound() < 30.0, "{}", wild.bound());
        let before = wild.bound();
        wild.judge(&Departure { teaches: false, ..departure(0.8) }, 0, &OPTIONS);
        assert!((wild.bound() - before).abs() < 1e-12);
    }

    /// Verdicts of hourly readings with these innovations, and the events.
    fn hours(check: &mut FirstGuessCheck, innovations: &[f64]) -> (Vec<FirstGuess>, Vec<ShiftEvent>) {
        let judged: Vec<_> = (100..)
            .zip(innovations)
            .map(|(hour, innovation)| check.judge(&departure(*innovation), hour * HOUR_S, &OPTIONS))
            .collect();
        (judged.iter().map(|(verdict, _)| *verdict).collect(), judged.iter().filter_map(|(_, event)| *event).collect())
    }

    #[test]
    fn a_steady_ratio_is_a_shift_and_ends_when_readings_fit() {
        let mut check = settled(100);
        let (verdicts, events) = hours(&mut check, &[3.5, 3.6, 3.4, 3.6, 3.5, 3.5, 3.6, 0.8, 0.2, 0.1]);
        assert_eq!(
            verdicts[4..9],
            [FirstGuess::Suspect, FirstGuess::Shifted, FirstGuess::Shifted, FirstGuess::Shifted, FirstGuess::Fits]
        );
        let [ShiftEvent::Began { since_s, ratio, .. }, ShiftEvent::Ended] = events[..] else { panic!("{events:?}") };
        assert_eq!(since_s, 100 * HOUR_S);
        assert!((ratio.ln() - 3.517).abs() < 1e-3);
        assert_eq!(likely_cause(ratio), "unit: ft3/s that are labelled m3/s");
    }

    #[test]
    fn a_flood_that_the_forecast_missed_is_no_shift_and_either_side_begins_anew() {
        let mut check = settled(100);
        let (verdicts, events) = hours(&mut check, &[1.0, 1.6, 2.4, 3.6, 4.4, 3.0, 1.8, 1.0, -3.0, 0.1]);
        assert!(events.is_empty(), "{events:?}");
        assert_eq!(verdicts[8..], [FirstGuess::Suspect, FirstGuess::Fits]);
        assert_eq!(hours(&mut settled(100), &[3.5, -3.5, 3.5, -3.5, 3.5, -3.5, 3.5]).1, []);
    }

    #[test]
    fn a_river_that_has_changed_is_believed_after_a_time() {
        let mut check = settled(100);
        let innovations: Vec<f64> = vec![2.0; 7 * 24 + 3];
        let (verdicts, events) = hours(&mut check, &innovations);
        assert_eq!(verdicts[7 * 24 - 1..7 * 24 + 1], [FirstGuess::Shifted, FirstGuess::Fits]);
        assert_eq!(events[1], ShiftEvent::Accepted { since_s: 100 * HOUR_S });
        assert_eq!(events.len(), 2);
        assert!(!check.is_shifted());
        assert_eq!(check.judge(&departure(0.1), 0, &OPTIONS), (FirstGuess::Fits, Some(ShiftEvent::Ended)));
    }

    #[test]
    fn a_model_that_settles_may_know_nothing_of_groundwater_but_more_is_suspect_from_the_first() {
        let mut check = FirstGuessCheck::default();
        let judge = |check: &mut FirstGuessCheck, d: &Departure| check.judge(d, 0, &OPTIONS).0;
        for _ in 0..6 {
            assert_ne!(judge(&mut check, &departure(3.56)), FirstGuess::Fits);
        }
        assert!(check.is_shifted());
        let little = Departure { is_baseflow: true, ..departure(2.5) };
        assert_eq!(judge(&mut check, &little), FirstGuess::Fits, "the flood that it began in has gone");
        assert_eq!(judge(&mut check, &Departure { innovation: -3.56, ..little }), FirstGuess::Fits);
        assert_eq!(judge(&mut settled(100), &little), FirstGuess::Suspect, "a model that has settled knows better");
    }

    #[test]
    fn a_moved_datum_is_not_taken_for_a_right_one_in_a_flood() {
        let mut check = settled(100);
        let shifted = |innovation, offset_m| Departure { stage_offset_m: Some(offset_m), ..departure(innovation) };
        for hour in 100..106 {
            check.judge(&shifted(1.8, 1.0), hour * HOUR_S, &OPTIONS);
        }
        assert!(check.is_shifted());
        let flood = Departure { expected_std: 0.3, ..shifted(0.6, 1.1) };
        assert_eq!(check.judge(&flood, 106 * HOUR_S, &OPTIONS).0, FirstGuess::Shifted);
        let right = Departure { expected_std: 0.3, ..shifted(-0.4, -0.3) };
        assert_eq!(check.judge(&right, 107 * HOUR_S, &OPTIONS), (FirstGuess::Fits, Some(ShiftEvent::Ended)));
    }

    #[test]
    fn what_is_saved_goes_on_where_it_was() {
        let mut check = settled(77);
        hours(&mut check, &[3.5, 3.6, 3.4]);
        let mut again: FirstGuessCheck = serde_json::from_str(&serde_json::to_string(&check).unwrap()).unwrap();
        assert_eq!(check, again);
        assert_eq!(hours(&mut check, &[3.5; 9]), hours(&mut again, &[3.5; 9]));
    }

    #[test]
    fn a_suspect_readings_error_makes_its_innovation_an_expected_one() {
        let error_std = suspect_error_std(3.56, 0.3, 0.03);
        assert!((error_std.hypot(0.3) - 3.56).abs() < 1e-12);
        assert!((suspect_error_std(0.1, 0.3, 0.03) - 0.03).abs() < 1e-12, "never smaller than it was");
    }
}
