//! Trajectories: values of members over all lead times that agree with the distribution of each.
//!
//! Marginal distributions cannot say how likely an event is that lasts: when a threshold is crossed, how much water passes, how low the lowest week
//! is. A trajectory can. Its values at each lead time are quantiles of that lead's distribution; which of them go together is the ensemble's order,
//! and of a model that runs once that of errors that last until one takes another's place, as often as its past errors did. Gaussian errors of
//! the same correlation change a little at each step: over many steps too many of them pass a low flow, which in a river takes an event.

use nilometer_assimilation::Purpose;
use nilometer_statistics::{Distribution, couple, scores_of_members};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, StandardNormal, StandardUniform};

/// The noise of trajectories.
pub(crate) const TRAJECTORIES: Purpose = Purpose::Custom(9);

/// Trajectories of a model that runs once, or of several models that have not the same members.
const OF_ONE: usize = 50;

/// Draws trajectories; holds what all catchments have in common.
pub(crate) struct Trajectories {
    members: usize,
    /// normal scores of the members, ascending
    scores: Vec<f64>,
    ties: Vec<f64>,
    order: Vec<usize>,
}

impl Trajectories {
    /// Of an ensemble of so many members.
    pub(crate) fn new(members: usize) -> Self {
        Self { members, scores: Vec::new(), ties: Vec::new(), order: Vec::new() }
    }

    /// Gives `members`, `[M]` for each of the distributions and their leads, the values of trajectories. Where there are none, errors
    /// make some that stay from one lead to the next with the probability of its `correlation`, and are drawn anew otherwise.
    pub(crate) fn draw<'a>(
        &mut self,
        distributions: impl Iterator<Item = (usize, &'a Distribution)>,
        members: &mut [Vec<f64>],
        correlation: impl Fn(usize) -> f64,
        stream: &mut ChaCha8Rng,
    ) {
        let run_once = members.iter().all(Vec::is_empty);
        self.resize(if run_once { OF_ONE } else { self.members });
        self.ties = normal(stream, self.scores.len());
        let mut errors: Vec<f64> = if run_once { normal(stream, OF_ONE) } else { Vec::new() };
        for (at, ((lead, distribution), members)) in distributions.zip(members).enumerate() {
            if run_once {
                if at > 0 {
                    let stays = correlation(lead);
                    let noise = normal(stream, OF_ONE);
                    for (error, fresh) in errors.iter_mut().zip(noise) {
                        let lot: f64 = StandardUniform.sample(stream);
                        if lot >= stays {
                            *error = fresh;
                        }
                    }
                }
                members.clone_from(&errors);
            }
            couple(distribution, members, &self.ties, &self.scores, &mut self.order);
        }
    }

    fn resize(&mut self, members: usize) {
        if self.scores.len() != members {
            self.scores = scores_of_members(members);
        }
    }
}

fn normal(stream: &mut ChaCha8Rng, count: usize) -> Vec<f64> {
    StandardNormal.sample_iter(stream).take(count).collect()
}

#[cfg(test)]
mod tests {
    use nilometer_assimilation::stream;
    use nilometer_statistics::Calibrator;

    use super::*;

    fn distributions(leads: usize) -> Vec<Distribution> {
        let quantiles = |lead: usize| std::array::from_fn(|level| (lead + 1) as f64 * (1.0 + level as f64));
        let of = |lead| Calibrator::correct(&[(1.0, &Calibrator::default())], &quantiles(lead), 0.01);
        (0..leads)
            .map(|lead| of(lead).map(|(distribution, _)| distribution).unwrap_or_else(|e| panic!("{e}")))
            .collect()
    }

    fn drawn(members: usize, of_leads: &mut [Vec<f64>], correlation: f64) {
        let distributions = distributions(of_leads.len());
        let mut trajectories = Trajectories::new(members);
        let mut noise = stream(1, TRAJECTORIES, 0);
        trajectories.draw(distributions.iter().enumerate(), of_leads, |_| correlation, &mut noise);
        for (distribution, values) in distributions.iter().zip(of_leads) {
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let expected: Vec<f64> =
                scores_of_members(values.len()).iter().map(|score| distribution.at_score(*score)).collect();
            assert_eq!(sorted, expected, "each lead has its distribution's values");
        }
    }

    #[test]
    fn an_ensemble_keeps_its_order_and_equal_members_keep_theirs_from_lead_to_lead() {
        let mut of_leads = vec![vec![3.0, 1.0, 2.0, 4.0], vec![0.0, 0.0, 0.0, 0.0], vec![0.0, 0.0, 0.0, 0.0]];
        drawn(4, &mut of_leads, 0.0);
        let places = |values: &[f64]| {
            let mut order: Vec<usize> = (0..values.len()).collect();
            order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
            order
        };
        assert_eq!(places(&of_leads[0]), [1, 2, 0, 3]);
        assert_eq!(places(&of_leads[1]), places(&of_leads[2]));
    }

    #[test]
    fn a_model_that_runs_once_has_trajectories_that_last_as_its_errors_do() {
        let changes = |correlation: f64| {
            let mut of_leads = vec![Vec::new(); 8];
            drawn(1, &mut of_leads, correlation);
            let scaled = |lead: usize, member: usize| of_leads[lead][member] / (lead + 1) as f64;
            (0..50).map(|member| (scaled(7, member) - scaled(6, member)).abs()).sum::<f64>()
        };
        assert!(changes(0.99) < 0.3 * changes(0.0));
    }

    #[test]
    fn a_level_of_the_lowest_tenth_is_passed_by_a_trajectory_once_for_each_error_that_it_has() {
        let (leads, stays) = (10, 0.85);
        let (mut trajectories, distributions) = (Trajectories::new(1), distributions(leads));
        let mut passed = 0;
        for issue in 0..200 {
            let mut of_leads = vec![Vec::new(); leads];
            let mut noise = stream(1, TRAJECTORIES, issue);
            trajectories.draw(distributions.iter().enumerate(), &mut of_leads, |_| stays, &mut noise);
            let is_low = |lead: usize, member: usize| of_leads[lead][member] <= distributions[lead].quantiles()[1];
            passed += (0..50).filter(|member| (0..leads).any(|lead| is_low(lead, *member))).count();
        }
        // Nine times an error is drawn anew with the probability 0.15; what falls below by its rank moving a little is the rest.
        let expected = 1.0 - 0.9 * (1.0 - 0.15 * 0.1_f64).powi(9);
        let share = passed as f64 / (200.0 * 50.0);
        assert!((share - expected).abs() < 0.04, "{share}, {expected}");
    }
}
