//! Droughts: how rare a value is for its season, and the class that follows once that has lasted.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF as _, Normal};

/// Percentiles at or below which the classes D0 to D4 begin (US Drought Monitor).
pub const CLASS_PERCENTILES: [f64; 5] = [30.0, 20.0, 10.0, 5.0, 2.0];
/// How many times in a row a class must be there before it begins, and how many it must have been left before it ends, in days.
pub const PERSISTENCE_DAYS: [u32; 2] = [7, 14];

/// Where a value lies among those of its season, in percent: rank by Gringorten's plotting position, (i − 0.44)/(n + 0.12). Of values that are
/// alike it has the middle rank. None of no value.
#[must_use]
pub fn percentile(value: f64, season: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (mut below, mut same, mut n) = (0_u32, 0_u32, 0_u32);
    for other in season.into_iter().filter(|other| !other.is_nan()) {
        below += u32::from(other < value);
        same += u32::from(other == value);
        n += 1;
    }
    if n == 0 || value.is_nan() {
        return None;
    }
    // Its own rank, the value counted among those of the season.
    let rank = f64::from(below) + 1.0 + 0.5 * f64::from(same);
    let position = (rank - 0.44) / (f64::from(n) + 1.0 + 0.12);
    Some(100.0 * position.clamp(0.0, 1.0))
}

/// The normal score of a percentile.
#[must_use]
pub fn score_of_percentile(percentile: f64) -> f64 {
    Normal::standard().inverse_cdf((percentile / 100.0).clamp(0.001, 0.999))
}

/// The percentile of a normal score.
#[must_use]
pub fn percentile_of_score(score: f64) -> f64 {
    100.0 * Normal::standard().cdf(score)
}

/// The class of a percentile: 0 to 4 for D0 to D4; none above 30 %.
#[must_use]
pub fn class_of(percentile: f64) -> Option<u8> {
    let classes = CLASS_PERCENTILES.iter().rposition(|limit| percentile <= *limit);
    classes.and_then(|class| u8::try_from(class).ok())
}

/// What became of a drought in a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DroughtChange {
    /// a drought began, or a worse class
    Develops,
    /// there is one as before
    Persists,
    /// there is still one, of a lesser class
    Improves,
    /// it is over
    Ends,
    /// there is none
    None,
}

impl DroughtChange {
    /// The word in `drought.v1`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Develops => "develops",
            Self::Persists => "persists",
            Self::Improves => "improves",
            Self::Ends => "ends",
            Self::None => "none",
        }
    }
}

/// The class that is there once it has lasted: a worse one begins when it has been reached for some days in a row, and a lesser one, or none, when
/// it has been left for some more. A day without a value changes nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroughtClass {
    /// 0 to 4 for D0 to D4
    class: Option<u8>,
    /// days in a row that were of a worse class, and the mildest of these
    worse: (u32, Option<u8>),
    /// days in a row that were of a lesser class or none, and the worst of these
    lesser: (u32, Option<u8>),
}

impl DroughtClass {
    /// The class that is there.
    #[must_use]
    pub const fn class(&self) -> Option<u8> {
        self.class
    }

    /// Takes in a day's percentile.
    pub fn day(&mut self, percentile: Option<f64>) -> DroughtChange {
        let before = self.class;
        let there = if before.is_some() { DroughtChange::Persists } else { DroughtChange::None };
        let Some(percentile) = percentile else { return there };
        let today = class_of(percentile);
        let [into, out_of] = PERSISTENCE_DAYS;
        self.worse = match (today > before, self.worse) {
            (false, _) => (0, None),
            (true, (0, _)) => (1, today),
            (true, (days, mildest)) => (days + 1, mildest.min(today)),
        };
        self.lesser = match (today < before, self.lesser) {
            (false, _) => (0, None),
            (true, (days, worst)) => (days + 1, worst.max(today)),
        };
        if self.worse.0 >= into {
            (self.class, self.worse, self.lesser) = (self.worse.1, (0, None), (0, None));
            return DroughtChange::Develops;
        }
        if self.lesser.0 >= out_of {
            (self.class, self.worse, self.lesser) = (self.lesser.1, (0, None), (0, None));
            return if self.class.is_some() { DroughtChange::Improves } else { DroughtChange::Ends };
        }
        there
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percentiles_are_plotting_positions() {
        let season: Vec<f64> = (1..=99).map(f64::from).collect();
        assert!((percentile(50.5, season.clone()).unwrap() - 50.5).abs() < 0.1);
        let lowest = percentile(0.0, season.clone()).unwrap();
        assert!((lowest - 100.0 * 0.56 / 100.12).abs() < 1e-12, "{lowest}");
        assert_eq!(percentile(1.0, []), None);
        assert_eq!(percentile(f64::NAN, season.clone()), None);
        assert!((percentile(0.0, [0.0; 30]).unwrap() - 50.0).abs() < 2.0, "a river that is always dry is no drought");
        assert!((score_of_percentile(50.0)).abs() < 1e-12);
    }

    #[test]
    fn classes_are_those_of_the_drought_monitor() {
        let classes = [31.0, 30.0, 20.0, 10.1, 10.0, 5.0, 2.0].map(class_of);
        assert_eq!(classes, [None, Some(0), Some(1), Some(1), Some(2), Some(3), Some(4)]);
    }

    #[test]
    fn a_class_comes_after_a_week_and_goes_after_two() {
        let mut drought = DroughtClass::default();
        let days: Vec<DroughtChange> = [25.0; 8].into_iter().map(|p| drought.day(Some(p))).collect();
        assert_eq!(days.iter().position(|day| *day == DroughtChange::Develops), Some(6));
        assert_eq!(days[7], DroughtChange::Persists);
        // Three weeks that become severe: the mildest class of the last seven days counts.
        let found: Vec<_> = [15.0, 15.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0].map(|p| drought.day(Some(p))).to_vec();
        assert_eq!(found.iter().position(|day| *day == DroughtChange::Develops), Some(6));
        assert_eq!(drought.class(), Some(1));
        // A day without a value neither ends nor begins anything.
        assert_eq!(drought.day(None), DroughtChange::Persists);
        let wet: Vec<_> = (0..14).map(|_| drought.day(Some(60.0))).collect();
        assert_eq!((wet[12], wet[13]), (DroughtChange::Persists, DroughtChange::Ends));
        assert_eq!(drought.day(Some(60.0)), DroughtChange::None);
    }

    proptest! {
        /// A class never changes within the days that it has to last, and only by what the days have said.
        #[test]
        fn classes_last(percentiles in prop::collection::vec(0.0..100.0_f64, 1..400)) {
            let (mut drought, mut since) = (DroughtClass::default(), 0_u32);
            for percentile in percentiles {
                let before = drought.class();
                let change = drought.day(Some(percentile));
                since += 1;
                match change {
                    DroughtChange::Develops => prop_assert!(drought.class() > before && since >= PERSISTENCE_DAYS[0]),
                    DroughtChange::Improves | DroughtChange::Ends => {
                        prop_assert!(drought.class() < before && since >= PERSISTENCE_DAYS[1]);
                    }
                    _ => prop_assert_eq!(drought.class(), before),
                }
                if drought.class() != before {
                    since = 0;
                }
            }
        }
    }
}
