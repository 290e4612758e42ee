//! Rating curves: the discharge that belongs to a stage, as a station's agency publishes it.

use nilometer_schemas::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    error::{AssimilationError, require, require_each},
    rating_shape::{RatingSegment, RatingShape},
};

/// A rating as its agency publishes it; [`RatingCurve`] is the checked form.
///
/// ```toml
/// version = "22.0"
/// valid_from = "2020-03-09T22:10:01Z"
/// gauged_stage_m = [0.3, 2.4]
/// relative_error = 0.05
/// [[shape.segments]]
/// from_stage_m = 0.2
/// h0_m = 0.2
/// a = 8.0
/// b = 1.8
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RatingOptions {
    /// The agency's name of this version.
    pub version: String,
    /// The rating holds from this instant until the next version's.
    pub valid_from: Timestamp,
    /// Lowest and highest stage of the discharge measurements behind the rating, m; outside, it is extrapolated.
    pub gauged_stage_m: [f64; 2],
    /// Standard error of the rated discharge, relative, 0 to 10. USGS grades: excellent 0.02, good 0.05, fair 0.08.
    pub relative_error: f64,
    /// The curve.
    pub shape: RatingShape,
}

/// Discharge from a rating.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rated {
    /// Discharge, m3/s, at least 0.
    pub discharge_m3_s: f64,
    /// Whether the stage lies outside the stages at which discharge was measured.
    pub extrapolated: bool,
}

/// One version of a station's rating, checked: discharge never falls where stage rises.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "RatingOptions")]
pub struct RatingCurve {
    version: String,
    valid_from: Timestamp,
    gauged_stage_m: [f64; 2],
    relative_error: f64,
    segments: Vec<RatingSegment>,
}

impl RatingCurve {
    /// Checks a published rating and compiles it to power laws.
    ///
    /// # Errors
    /// [`AssimilationError::Rating`], which names the version: a number that is not finite or outside its range, stages
    /// or discharges that do not ascend, or segments that meet with a step of discharge of more than 1 %.
    pub fn new(options: RatingOptions) -> Result<Self, AssimilationError> {
        let RatingOptions { version, valid_from, gauged_stage_m, relative_error, shape } = options;
        match check(gauged_stage_m, relative_error).and_then(|()| shape.compile()) {
            Ok(segments) => Ok(Self { version, valid_from, gauged_stage_m, relative_error, segments }),
            Err(reason) => Err(AssimilationError::Rating { version, reason: Box::new(reason) }),
        }
    }

    /// The agency's name of this version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The rating holds from this instant until the next version's.
    #[must_use]
    pub const fn valid_from(&self) -> Timestamp {
        self.valid_from
    }

    /// Standard error of the rated discharge, relative.
    #[must_use]
    pub const fn relative_error(&self) -> f64 {
        self.relative_error
    }

    /// Discharge at a stage in m above the gauge's datum: 0 at and below the stage of zero flow, NaN where it is NaN.
    #[must_use]
    pub fn discharge_m3_s(&self, stage_m: f64) -> Rated {
        let next = self.segments.partition_point(|segment| segment.from_stage_m <= stage_m);
        let discharge_m3_s = self.segments[next.saturating_sub(1)].discharge_m3_s(stage_m);
        // Rounded coefficients may lift the end of a segment above the start of the next one.
        let ceiling_m3_s = self.segments.get(next.max(1)).map_or(f64::INFINITY, RatingSegment::lowest_m3_s);
        let [lowest_m, highest_m] = self.gauged_stage_m;
        Rated {
            discharge_m3_s: if discharge_m3_s > ceiling_m3_s { ceiling_m3_s } else { discharge_m3_s },
            extrapolated: !(lowest_m..=highest_m).contains(&stage_m),
        }
    }

    /// Lowest stage in m at which the rating gives this discharge in m3/s, for predictions in stage: the stage of zero flow
    /// where the discharge is 0 or less, NaN where it is NaN.
    #[must_use]
    pub fn stage_m(&self, discharge_m3_s: f64) -> f64 {
        let discharge_m3_s = if discharge_m3_s < 0.0 { 0.0 } else { discharge_m3_s };
        let next = self.segments.partition_point(|segment| segment.lowest_m3_s() < discharge_m3_s);
        let stage_m = self.segments[next.saturating_sub(1)].stage_m(discharge_m3_s);
        let ceiling_m = self.segments.get(next.max(1)).map_or(f64::INFINITY, |segment| segment.from_stage_m);
        if stage_m > ceiling_m { ceiling_m } else { stage_m }
    }
}

impl TryFrom<RatingOptions> for RatingCurve {
    type Error = AssimilationError;

    fn try_from(options: RatingOptions) -> Result<Self, AssimilationError> {
        Self::new(options)
    }
}

fn check(gauged_stage_m: [f64; 2], relative_error: f64) -> Result<(), AssimilationError> {
    require_each("gauged stage in m", &gauged_stage_m, "finite, the lowest and then the highest", |stage_m| {
        stage_m.is_finite() && gauged_stage_m[0] < gauged_stage_m[1]
    })?;
    require("relative error of the rating", relative_error, "0 to 10", |v| (0.0..=10.0).contains(&v))
}

/// All ratings of one station. A flood may move the bed: each version holds from its instant until the next one's.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Vec<RatingCurve>")]
pub struct Ratings(Vec<RatingCurve>);

impl Ratings {
    /// The versions of one station, in any order.
    ///
    /// # Errors
    /// [`AssimilationError::Duplicate`] where two versions share their name or the instant they begin at.
    pub fn new(mut curves: Vec<RatingCurve>) -> Result<Self, AssimilationError> {
        curves.sort_by_key(RatingCurve::valid_from);
        for (index, curve) in curves.iter().enumerate() {
            let later = &curves[index + 1..];
            if later.iter().any(|other| other.version == curve.version) {
                return Err(AssimilationError::Duplicate { what: "rating", name: curve.version.clone() });
            }
            if later.first().is_some_and(|next| next.valid_from == curve.valid_from) {
                let name = curve.valid_from.to_string();
                return Err(AssimilationError::Duplicate { what: "first instant of a rating", name });
            }
        }
        Ok(Self(curves))
    }

    /// The version that holds at an instant; none before the first one begins.
    #[must_use]
    pub fn at(&self, time: Timestamp) -> Option<&RatingCurve> {
        self.0[..self.0.partition_point(|curve| curve.valid_from <= time)].last()
    }
}

impl TryFrom<Vec<RatingCurve>> for Ratings {
    type Error = AssimilationError;

    fn try_from(curves: Vec<RatingCurve>) -> Result<Self, AssimilationError> {
        Self::new(curves)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use super::*;

    fn curve(version: &str, valid_from: &str) -> RatingCurve {
        let options = RatingOptions {
            version: version.to_owned(),
            valid_from: valid_from.parse().unwrap(),
            gauged_stage_m: [0.5, 2.0],
            relative_error: 0.05,
            shape: RatingShape::Table { h0_m: 0.2, points: vec![[0.5, 1.0], [1.0, 6.0], [2.0, 30.0]] },
        };
        RatingCurve::new(options).unwrap()
    }

    #[test]
    fn a_stage_outside_the_gauged_range_is_extrapolated() {
        let curve = curve("1", "2020-01-01");
        let extrapolated = [0.1, 0.49, 0.5, 1.0, 2.0, 2.01, f64::NAN].map(|m| curve.discharge_m3_s(m).extrapolated);
        assert_eq!(extrapolated, [true, true, false, false, false, true, true]);
        assert_eq!(curve.discharge_m3_s(0.2).discharge_m3_s, 0.0);
        assert_eq!(curve.discharge_m3_s(-3.0).discharge_m3_s, 0.0);
        assert!(curve.discharge_m3_s(f64::NAN).discharge_m3_s.is_nan());
        assert!(curve.stage_m(f64::NAN).is_nan());
        assert_eq!([0.0, -1.0].map(|q| curve.stage_m(q)), [0.2, 0.2]);
    }

    #[test]
    fn the_version_is_picked_by_its_instant() {
        let ratings = Ratings::new(vec![curve("2", "2021-06-01"), curve("1", "2020-01-01")]).unwrap();
        let at = |time: &str| ratings.at(time.parse().unwrap()).map(RatingCurve::version);
        assert_eq!(at("2019-12-31"), None);
        assert_eq!(at("2020-01-01"), Some("1"));
        assert_eq!(at("2021-05-31T23:59:59Z"), Some("1"));
        assert_eq!(at("2021-06-01"), Some("2"));
    }

    #[test]
    fn versions_that_cannot_be_distinguished_are_refused() {
        let twice = Ratings::new(vec![curve("1", "2020-01-01"), curve("2", "2021-01-01"), curve("1", "2022-01-01")]);
        assert_eq!(twice.unwrap_err().to_string(), "rating 1 is listed twice; accepted: each once");
        let together = Ratings::new(vec![curve("1", "2020-01-01"), curve("2", "2020-01-01")]).unwrap_err();
        let expected = "first instant of a rating 2020-01-01T00:00:00Z is listed twice; accepted: each once";
        assert_eq!(together.to_string(), expected);
    }
}
