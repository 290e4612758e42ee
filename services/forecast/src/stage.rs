//! Stage: what a gauge's rating makes of a forecast of discharge. Pure.

use nilometer_assimilation::Ratings;
use nilometer_schemas::{QUANTILE_LEVELS, STAGE_LEVELS, StageForecast, Timestamp};

/// The stages of a forecast's quantiles, by the rating that holds at its valid time; none where there is none. A quantile's stage is the stage's
/// quantile, as stage rises with discharge; of a mean this is not so, so it has none.
pub(crate) fn stage_of<'a>(
    ratings: Option<&'a Ratings>,
    valid_time: Timestamp,
    quantiles_m3_s: &[f64; QUANTILE_LEVELS.len()],
) -> Option<StageForecast<'a>> {
    let rating = ratings?.at(valid_time)?;
    let of_level = |level: f64| QUANTILE_LEVELS.iter().zip(quantiles_m3_s).find(|(l, _)| **l == level).map(|(_, q)| *q);
    let stage_m = STAGE_LEVELS.map(|level| rating.stage_m(of_level(level).unwrap_or(f64::NAN)));
    let extrapolated = stage_m.iter().any(|stage_m| rating.discharge_m3_s(*stage_m).extrapolated);
    Some(StageForecast { stage_m, rating_version: rating.version(), extrapolated })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use nilometer_assimilation::{RatingCurve, RatingOptions, RatingShape};

    use super::*;

    fn ratings() -> Ratings {
        let curve = |version: &str, valid_from: &str, shift_m: f64| {
            let points = vec![[0.5, 1.0], [1.0, 6.0], [2.0, 30.0]];
            RatingCurve::new(RatingOptions {
                version: version.to_owned(),
                valid_from: valid_from.parse().unwrap(),
                gauged_stage_m: [0.5, 2.0],
                relative_error: 0.05,
                shape: RatingShape::Table {
                    h0_m: 0.2,
                    points: points.into_iter().map(|[stage_m, q]| [stage_m + shift_m, q]).collect(),
                },
            })
            .unwrap()
        };
        Ratings::new(vec![curve("1", "2020-01-01", 0.0), curve("2", "2021-01-01", 0.1)]).unwrap()
    }

    #[test]
    fn stages_rise_with_the_quantiles_by_the_rating_of_the_valid_time() {
        let ratings = ratings();
        let at = |time: &str, quantiles| stage_of(Some(&ratings), time.parse().unwrap(), quantiles);
        let usual: [f64; QUANTILE_LEVELS.len()] = std::array::from_fn(|level| 1.0 + level as f64);
        let first = at("2020-06-01", &usual).unwrap();
        assert_eq!((first.rating_version, first.extrapolated), ("1", false));
        assert!(first.stage_m.is_sorted() && (first.stage_m[0] - 0.5).abs() < 1e-9, "{first:?}");
        let second = at("2021-06-01", &usual).unwrap();
        assert_eq!(second.rating_version, "2");
        assert!(second.stage_m.iter().zip(first.stage_m).all(|(b, a)| *b > a), "{second:?}");
        let flood = usual.map(|q| 10.0 * q);
        assert!(at("2020-06-01", &flood).unwrap().extrapolated, "no measurement was so high");
        assert_eq!(at("2019-06-01", &usual), None, "before the first rating");
        assert_eq!(stage_of(None, Timestamp(0), &usual), None);
    }
}
