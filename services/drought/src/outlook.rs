//! Outlook: trajectories of weeks become odds of classes of drought, each week beside its own season; and what had been expected of a week waits for
//! what comes. Pure.

use nilometer_engine::{ColumnsBuilder, KeyedColumns};
use nilometer_schemas::Timestamp;
use nilometer_statistics::{CLASS_PERCENTILES, percentile, quantile_of_sorted, ranked_probability_score};
use serde::{Deserialize, Serialize};

/// Classes of drought.
const CLASSES: usize = CLASS_PERCENTILES.len();
/// Shares of the trajectories that lie below the percentiles that are given.
const LEVELS: [f64; 3] = [0.05, 0.5, 0.95];

/// How likely each class is in one week.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Odds {
    /// of each class or worse in the week
    pub(crate) at_least: [f64; CLASSES],
    /// of each class or worse in one of the weeks up to it
    pub(crate) reached: [f64; CLASSES],
    /// percentiles of the season at [`LEVELS`]
    pub(crate) percentiles: [f64; 3],
}

/// The odds of each week of `trajectories` `[W][N]`, beside the values of its season `[W]`; none where a season has no value.
pub(crate) fn odds(trajectories: &[Vec<f64>], seasons: &[Vec<f64>]) -> Option<Vec<Odds>> {
    let (mut weeks, mut worst) = (Vec::with_capacity(trajectories.len()), Vec::new());
    for (values, season) in trajectories.iter().zip(seasons) {
        let ranks = values.iter().map(|value| percentile(*value, season.iter().copied()));
        let mut ranks: Vec<f64> = ranks.collect::<Option<_>>()?;
        worst.resize(ranks.len(), 100.0);
        worst.iter_mut().zip(&ranks).for_each(|(worst, rank)| *worst = f64::min(*worst, *rank));
        let share = |of: &[f64], limit: f64| of.iter().filter(|rank| **rank <= limit).count() as f64 / of.len() as f64;
        let (at_least, reached) =
            (CLASS_PERCENTILES.map(|limit| share(&ranks, limit)), CLASS_PERCENTILES.map(|limit| share(&worst, limit)));
        ranks.sort_by(f64::total_cmp);
        let of_levels = LEVELS.map(|level| quantile_of_sorted(&ranks, level).unwrap_or(f64::NAN));
        weeks.push(Odds { at_least, reached, percentiles: of_levels });
    }
    Some(weeks)
}

/// What an outlook is of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Issuer {
    pub(crate) scenario: String,
    pub(crate) model: String,
    pub(crate) weights_sha256: String,
}

/// What was expected of a week.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Expected {
    /// the day that the week ends with, counted from 1970
    pub(crate) day: i64,
    /// place of the index among those that are judged each day
    pub(crate) index: usize,
    pub(crate) week: i32,
    pub(crate) issue_time: Timestamp,
    pub(crate) at_least: [f64; CLASSES],
    /// what persistence gives
    pub(crate) class_now: Option<u8>,
}

/// How good an expectation was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scored {
    pub(crate) expected: Expected,
    pub(crate) percentile: f64,
    /// ranked probability scores of the outlook, persistence and climatology
    pub(crate) rps: [f64; 3],
}

impl Expected {
    /// Its score, now that the percentile that came is known.
    fn scored(self, percentile: f64) -> Scored {
        let occurred = CLASS_PERCENTILES.map(|limit| percentile <= limit);
        let persistence = std::array::from_fn(|class| {
            f64::from(u8::from(self.class_now.is_some_and(|now| usize::from(now) >= class)))
        });
        let climatology = CLASS_PERCENTILES.map(|limit| limit / 100.0);
        // Arrays of one length, so that there is a score.
        let rps = [self.at_least, persistence, climatology]
            .map(|given| ranked_probability_score(&given, &occurred).unwrap_or(f64::NAN));
        Scored { expected: self, percentile, rps }
    }
}

/// What is expected of the weeks to come in one catchment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Expectations(Vec<Expected>);

impl Expectations {
    pub(crate) fn expect(&mut self, expected: Expected) {
        self.0.push(expected);
    }

    /// Issue time of the oldest outlook that waits.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.0.iter().map(|expected| expected.issue_time).min()
    }

    /// The scores of what was expected of a day, whose percentiles have come; what was expected of an index without one is forgotten.
    pub(crate) fn come(&mut self, day: i64, percentiles: &[Option<f64>]) -> Vec<Scored> {
        let (over, waiting): (Vec<Expected>, Vec<_>) = self.0.iter().partition(|expected| expected.day <= day);
        self.0 = waiting;
        let known = |expected: &Expected| percentiles[expected.index].filter(|_| expected.day == day);
        over.into_iter().filter_map(|expected| Some(expected.scored(known(&expected)?))).collect()
    }

    pub(crate) fn store(of: &[&Self], columns: &mut ColumnsBuilder) {
        columns.i64("expected.place", |at| {
            let place = |e: &Expected| {
                [e.day, e.index as i64, i64::from(e.week), e.issue_time.0, e.class_now.map_or(-1, i64::from)]
            };
            of[at].0.iter().flat_map(place).collect::<Vec<_>>()
        });
        columns.f64("expected.at_least", |at| of[at].0.iter().flat_map(|e| e.at_least).collect::<Vec<_>>());
    }

    pub(crate) fn restore(&mut self, rows: &KeyedColumns<'_>, at: usize) {
        let places = rows.i64("expected.place", at).unwrap_or_default().as_chunks().0;
        let at_least = rows.f64("expected.at_least", at).unwrap_or_default().as_chunks().0;
        let expected = places.iter().zip(at_least).map(|([day, index, week, issue_time, class], at_least)| Expected {
            day: *day,
            index: usize::try_from(*index).unwrap_or(0),
            week: i32::try_from(*week).unwrap_or(0),
            issue_time: Timestamp(*issue_time),
            at_least: *at_least,
            class_now: u8::try_from(*class).ok(),
        });
        self.0 = expected.collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn season() -> Vec<f64> {
        (1..=99).map(f64::from).collect()
    }

    #[test]
    fn odds_are_the_share_of_trajectories_beside_their_own_season() {
        let wet: Vec<f64> = season().iter().map(|value| 10.0 * value).collect();
        let trajectories = vec![vec![5.0, 25.0, 50.0, 1.0], vec![50.0, 25.0, 50.0, 99.0]];
        let weeks = odds(&trajectories, &[season(), season()]).unwrap();
        assert_eq!(weeks[0].at_least, [0.75, 0.5, 0.5, 0.25, 0.25]);
        assert_eq!(weeks[1].at_least, [0.25, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(weeks[1].reached, weeks[0].at_least, "nothing worse comes");
        assert!(weeks[0].percentiles.is_sorted() && (weeks[1].percentiles[1] - 50.0).abs() < 1.0);
        let in_a_wet_season = odds(&trajectories, &[wet.clone(), wet]).unwrap();
        assert_eq!(in_a_wet_season[1].at_least, [1.0, 1.0, 1.0, 0.25, 0.0], "the same flows are low there");
        assert_eq!(odds(&trajectories, &[season(), Vec::new()]), None);
    }

    #[test]
    fn what_was_expected_is_scored_when_its_day_has_come() {
        let expected = |day: i64, at_least: [f64; CLASSES]| Expected {
            day,
            index: 0,
            week: 2,
            issue_time: Timestamp(5),
            at_least,
            class_now: Some(1),
        };
        let mut all = Expectations::default();
        all.expect(expected(7, [0.9, 0.5, 0.0, 0.0, 0.0]));
        all.expect(expected(14, [1.0; CLASSES]));
        assert_eq!(all.come(6, &[Some(15.0)]), []);
        let mut columns = ColumnsBuilder::new(["a"]);
        Expectations::store(&[&all], &mut columns);
        let columns = columns.finish().unwrap();
        let mut again = Expectations::default();
        again.restore(&columns.keyed(["a"]), 0);
        assert_eq!(again, all);
        let scored = again.come(7, &[Some(15.0)]);
        let [of_outlook, of_persistence, of_climatology] = scored[0].rps;
        assert!((of_outlook - (0.01 + 0.25)).abs() < 1e-12 && of_persistence == 0.0);
        assert!((of_climatology - (0.49 + 0.64 + 0.01 + 0.0025 + 0.0004)).abs() < 1e-12);
        assert_eq!(again.come(14, &[None]), [], "nothing is known of that day");
        assert_eq!(again, Expectations::default());
    }
}
