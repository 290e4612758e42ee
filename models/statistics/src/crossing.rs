//! What trajectories say of a level of the river: whether it is reached, when, for how long, and how high the water comes.

use crate::{
    error::StatisticsError,
    quantile::quantiles_of_sorted,
    series::{require_finite, require_length, require_some},
};

/// Levels of the quantiles of times, durations and volumes.
pub const CROSSING_LEVELS: [f64; 3] = [0.1, 0.5, 0.9];
/// Levels of the quantiles of the peak.
pub const PEAK_LEVELS: [f64; 3] = [0.05, 0.5, 0.95];
/// Levels of the quantiles of the fastest rise.
pub const RISE_LEVELS: [f64; 2] = [0.5, 0.95];

/// A level, and from which side it is reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// in the unit of the trajectories
    pub value: f64,
    /// whether it is reached from above, as a low flow is
    pub below: bool,
}

/// What trajectories say of a level. Times and durations are in s after the issue time.
#[derive(Debug, Clone, PartialEq)]
pub struct Crossing {
    /// share of the trajectories that reach it
    pub probability: f64,
    /// what the trajectories that reach it say; none where none does
    pub reached: Option<Reached>,
    /// quantiles at [`PEAK_LEVELS`] of the highest value, or of the lowest of a level that is reached from above
    pub peak: [f64; PEAK_LEVELS.len()],
    /// quantiles at [`CROSSING_LEVELS`] of when that is, s
    pub peak_time_s: [f64; CROSSING_LEVELS.len()],
    /// quantiles at [`RISE_LEVELS`] of the fastest rise from one lead time to the next, the unit of the trajectories an hour; negative where all fall
    pub rise_per_h: [f64; RISE_LEVELS.len()],
}

/// Quantiles at [`CROSSING_LEVELS`] of the trajectories that reach a level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reached {
    /// when it is reached first, s
    pub time_s: [f64; CROSSING_LEVELS.len()],
    /// how long the river is beyond it, s
    pub duration_s: [f64; CROSSING_LEVELS.len()],
    /// what is beyond it in that time, the unit of the trajectories times s
    pub volume: [f64; CROSSING_LEVELS.len()],
}

/// What `trajectories`, `[L][M]` at `lead_times_s` `[L]`, say of a level. Between two lead times a trajectory is a straight line; before the first one it
/// is as at the first one, and a level that is reached there counts as reached at that time.
///
/// # Errors
/// [`StatisticsError::TooFew`] without a lead time or a member, [`StatisticsError::Length`] where leads have not the same members,
/// [`StatisticsError::NotFinite`] for a value that is no number.
pub fn crossing(lead_times_s: &[f64], trajectories: &[Vec<f64>], level: Level) -> Result<Crossing, StatisticsError> {
    require_some("lead times", lead_times_s, 1)?;
    require_length("trajectories' lead times", trajectories.len(), lead_times_s.len())?;
    let members = trajectories[0].len();
    require_some("trajectories", &trajectories[0], 1)?;
    for of_lead in trajectories {
        require_length("trajectories", of_lead.len(), members)?;
        require_finite("trajectories", of_lead)?;
    }
    let (mut times, mut durations, mut volumes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut peaks, mut peak_times, mut rises) = (Vec::new(), Vec::new(), Vec::new());
    let mut values = Vec::with_capacity(lead_times_s.len());
    for member in 0..members {
        values.clear();
        values.extend(trajectories.iter().map(|of_lead| of_lead[member]));
        let path = Path::of(lead_times_s, &values, level);
        if let Some(first_s) = path.first_s {
            times.push(first_s);
            durations.push(path.duration_s);
            volumes.push(path.volume);
        }
        peaks.push(values[path.peak]);
        peak_times.push(lead_times_s[path.peak]);
        rises.push(path.rise_per_h);
    }
    let probability = times.len() as f64 / members as f64;
    let reached = match times.is_empty() {
        true => None,
        false => Some(Reached {
            time_s: quantiles_of(&mut times, &CROSSING_LEVELS)?,
            duration_s: quantiles_of(&mut durations, &CROSSING_LEVELS)?,
            volume: quantiles_of(&mut volumes, &CROSSING_LEVELS)?,
        }),
    };
    Ok(Crossing {
        probability,
        reached,
        peak: quantiles_of(&mut peaks, &PEAK_LEVELS)?,
        peak_time_s: quantiles_of(&mut peak_times, &CROSSING_LEVELS)?,
        rise_per_h: quantiles_of(&mut rises, &RISE_LEVELS)?,
    })
}

/// What one trajectory does about a level.
struct Path {
    /// when it reaches it first; none where it does not
    first_s: Option<f64>,
    duration_s: f64,
    volume: f64,
    /// the lead at which it is furthest beyond it, or nearest to it
    peak: usize,
    rise_per_h: f64,
}

impl Path {
    fn of(lead_times_s: &[f64], values: &[f64], level: Level) -> Self {
        let sign = if level.below { -1.0 } else { 1.0 };
        let beyond = |value: f64| sign * (value - level.value);
        let start = beyond(values[0]);
        let first_s = (start >= 0.0).then_some(lead_times_s[0]);
        let duration_s = if first_s.is_some() { lead_times_s[0] } else { 0.0 };
        let mut path =
            Self { first_s, duration_s, volume: duration_s * start.max(0.0), peak: 0, rise_per_h: f64::NEG_INFINITY };
        let steps = values.windows(2).zip(lead_times_s.windows(2)).enumerate();
        for (at, (values_of_step, times)) in steps {
            let ([before, after], length_s) = ([values_of_step[0], values_of_step[1]], times[1] - times[0]);
            let (from, to) = (beyond(before), beyond(after));
            // The share of the way at which the line passes the level.
            let passes = if (from >= 0.0) == (to >= 0.0) { 0.0 } else { from / (from - to) };
            let (share, mean) = match (from >= 0.0, to >= 0.0) {
                (true, true) => (1.0, f64::midpoint(from, to)),
                (true, false) => (passes, 0.5 * from),
                (false, true) => (1.0 - passes, 0.5 * to),
                (false, false) => (0.0, 0.0),
            };
            if to >= 0.0 && path.first_s.is_none() {
                path.first_s = Some(times[0] + passes * length_s);
            }
            path.duration_s += share * length_s;
            path.volume += share * length_s * mean;
            if to > beyond(values[path.peak]) {
                path.peak = at + 1;
            }
            path.rise_per_h = path.rise_per_h.max(3_600.0 * (after - before) / length_s);
        }
        if values.len() == 1 {
            path.rise_per_h = 0.0;
        }
        path
    }
}

fn quantiles_of<const N: usize>(values: &mut [f64], levels: &[f64; N]) -> Result<[f64; N], StatisticsError> {
    values.sort_unstable_by(f64::total_cmp);
    let mut quantiles = [0.0; N];
    quantiles_of_sorted(values, levels, &mut quantiles)?;
    Ok(quantiles)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: f64 = 3_600.0;

    #[test]
    fn a_flood_wave_and_a_low_flow_are_as_by_hand() {
        // Three members that reach 100 after half an hour, at the third hour and never; the second is back below at the end.
        let of_members = [[90.0, 110.0, 130.0, 120.0], [10.0, 20.0, 100.0, 80.0], [5.0, 6.0, 7.0, 8.0]];
        let trajectories: Vec<Vec<f64>> = (0..4).map(|lead| of_members.map(|member| member[lead]).to_vec()).collect();
        let leads = [HOUR, 2.0 * HOUR, 3.0 * HOUR, 4.0 * HOUR];
        let flood = crossing(&leads, &trajectories, Level { value: 100.0, below: false }).unwrap();
        assert!((flood.probability - 2.0 / 3.0).abs() < 1e-12);
        let reached = flood.reached.unwrap();
        // First reached at 1.5 h and 3 h: type 7 between the two.
        let expected = [0.1, 0.5, 0.9].map(|level| (1.5 + 1.5 * level) * HOUR);
        assert!(reached.time_s.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{:?}", reached.time_s);
        // 2.5 h, and an instant; 5 m3/s over half an hour, 20 and 25 over one each, and nothing.
        assert!((reached.duration_s[1] - 1.25 * HOUR).abs() < 1e-6, "{:?}", reached.duration_s);
        assert!((reached.volume[1] - 0.5 * (0.5 * 5.0 + 20.0 + 25.0) * HOUR).abs() < 1e-6, "{:?}", reached.volume);
        assert_eq!((flood.peak[1], flood.peak_time_s[1]), (100.0, 3.0 * HOUR));
        assert!((flood.rise_per_h[0] - 20.0).abs() < 1e-9, "rises of 20, 80 and 1 an hour: {:?}", flood.rise_per_h);

        let low = crossing(&leads, &trajectories, Level { value: 7.0, below: true }).unwrap();
        assert!((low.probability - 1.0 / 3.0).abs() < 1e-12);
        let reached = low.reached.unwrap();
        assert_eq!(reached.time_s, [HOUR; 3], "it was there already");
        assert!((reached.duration_s[1] - 3.0 * HOUR).abs() < 1e-6);
        assert!((reached.volume[1] - (2.0 + 1.5 + 0.5) * HOUR).abs() < 1e-6);
        assert_eq!(low.peak[0], quantiles_of(&mut [90.0, 10.0, 5.0], &PEAK_LEVELS).unwrap()[0], "the lowest values");
    }

    #[test]
    fn what_cannot_be_judged_is_refused_and_what_is_never_reached_has_no_time() {
        let level = Level { value: 9.0, below: false };
        assert!(crossing(&[], &[], level).is_err());
        assert!(crossing(&[1.0], &[vec![]], level).is_err());
        assert!(crossing(&[1.0, 2.0], &[vec![1.0], vec![1.0, 2.0]], level).is_err());
        assert!(crossing(&[1.0], &[vec![f64::NAN]], level).is_err());
        let never = crossing(&[1.0], &[vec![1.0, 2.0]], level).unwrap();
        assert_eq!((never.probability, never.reached, never.rise_per_h), (0.0, None, [0.0; 2]));
    }

    proptest! {
        #[test]
        fn a_higher_level_is_reached_by_fewer_later_and_for_less_time(
            flows in proptest::collection::vec(proptest::collection::vec(0.0_f64..100.0, 5), 2..9), low in 0.0_f64..100.0, more in 0.0_f64..20.0,
        ) {
            let leads: Vec<f64> = (1..=flows.len()).map(|lead| lead as f64 * HOUR).collect();
            let [lower, higher] = [low, low + more].map(|value| crossing(&leads, &flows, Level { value, below: false }).unwrap());
            prop_assert!(higher.probability <= lower.probability);
            let marginal = |of_lead: &Vec<f64>| of_lead.iter().filter(|flow| **flow >= low).count() as f64 / 5.0;
            prop_assert!(flows.iter().map(marginal).fold(0.0, f64::max) <= lower.probability);
            if let (1.0, Some(higher), Some(lower)) = (higher.probability, higher.reached, lower.reached) {
                for at in 0..3 {
                    prop_assert!(higher.time_s[at] >= lower.time_s[at] - 1e-6 && higher.duration_s[at] <= lower.duration_s[at] + 1e-6);
                    prop_assert!(higher.volume[at] <= lower.volume[at] + 1e-6);
                }
            }
        }
    }
}
