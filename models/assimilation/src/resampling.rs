//! Ancestors of the members of one catchment: the particle filter.
//!
//! Every analysis starts from equal weights and ends with them: `log w_i = -½ Σ_j (d_j - Y_ji)²`, then systematic
//! resampling (Kitagawa 1996, J. Comput. Graph. Stat. 5, 1), whatever the effective number of members. So the members
//! are the whole state of the filter, and a snapshot needs no weights. Resampling costs little where it is not needed:
//! a member has between `floor(M w)` and `ceil(M w)` children, and with equal weights each is its own child.
//!
//! A row with prior values `x`, anomalies `a` and ancestors `k(i)` becomes
//!
//! ```text
//! x_i' = m + s (x_k(i) - m) + h a_π(i)       m = mean of x_k,   s² = 1 - h² var(a) / var(x_k), at least 0
//! ```
//!
//! the kernel with shrinkage of Liu & West (2001): the jitter h keeps children of one ancestor apart and s takes back
//! the variance that it adds. The kernel has the shape of the prior ensemble itself: π is a random permutation, one for
//! all rows, so the jitter has mean zero to rounding and the covariance between rows that the prior had. The mean of
//! the resampled members is kept, and their variance is, up to sampling, where it exceeds `h² var(a)`: no weight makes
//! an ensemble narrower than a share h of what it was. Cost O(p M) per catchment and O(M) per row.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::moments::{count, dot};
use crate::whitened::Whitened;

/// Buffers `[M]` that keep their size between catchments.
#[derive(Debug)]
pub(crate) struct Resampling {
    jitter: f64,
    weights: Vec<f64>,
    children: Vec<usize>,
    ancestors: Vec<usize>,
    donors: Vec<usize>,
    effective_members: f64,
}

impl Resampling {
    /// A resampling with jitter h in 0 to 1.
    pub(crate) fn new(jitter: f64) -> Self {
        Self {
            jitter,
            weights: Vec::new(),
            children: Vec::new(),
            ancestors: Vec::new(),
            donors: Vec::new(),
            effective_members: 0.0,
        }
    }

    /// Draws one uniform number and one permutation.
    pub(crate) fn fill(&mut self, whitened: &Whitened, rng: &mut ChaCha8Rng) {
        self.weigh(whitened);
        self.multiply(rng.random());
        self.place();
        self.donors.clear();
        self.donors.extend(0..whitened.members());
        self.donors.shuffle(rng);
    }

    /// `1 / Σ w²` of the normalised weights, 1 to M.
    pub(crate) fn effective_members(&self) -> f64 {
        self.effective_members
    }

    /// The children of the prior `x` `[M]` with anomalies `a` `[M]`.
    pub(crate) fn correct(&self, prior: &[f64], anomalies: &[f64], analysis: &mut Vec<f64>) {
        let members = count(self.ancestors.len());
        let shift = self.ancestors.iter().map(|&k| anomalies[k]).sum::<f64>() / members;
        let squares: f64 = self.ancestors.iter().map(|&k| (anomalies[k] - shift).powi(2)).sum();
        let added = self.jitter * self.jitter * dot(anomalies, anomalies);
        let shrinkage = if added > 0.0 { (1.0 - added / squares).max(0.0).sqrt() } else { 1.0 };
        analysis.clear();
        analysis.extend(self.ancestors.iter().zip(&self.donors).map(|(&ancestor, &donor)| {
            prior[ancestor] + (shrinkage - 1.0) * (anomalies[ancestor] - shift) + self.jitter * anomalies[donor]
        }));
    }

    /// Weights relative to the largest, so that no likelihood is too small for a number.
    fn weigh(&mut self, whitened: &Whitened) {
        self.weights.clear();
        self.weights.resize(whitened.members(), 0.0);
        for (anomalies, departure) in whitened.anomalies().zip(whitened.departures()) {
            for (log_weight, y) in self.weights.iter_mut().zip(anomalies) {
                *log_weight -= 0.5 * (departure - y).powi(2);
            }
        }
        let largest = self.weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for weight in &mut self.weights {
            *weight = (*weight - largest).exp();
        }
        self.effective_members = self.weights.iter().sum::<f64>().powi(2) / dot(&self.weights, &self.weights);
    }

    /// Children of each member: how many of the positions `(n + uniform) / M` lie in its share of the weights.
    fn multiply(&mut self, uniform: f64) {
        let members = self.weights.len();
        let total: f64 = self.weights.iter().sum();
        self.children.clear();
        let (mut cumulative, mut born) = (0.0, 0);
        for weight in &self.weights {
            cumulative += weight;
            let before = born;
            while born < members && (count(born) + uniform) * total < cumulative * count(members) {
                born += 1;
            }
            self.children.push(born - before);
        }
    }

    /// A member with children is its own first child, so that a survivor still fits the rows that are not resampled;
    /// the places of the others are taken by second and further children.
    fn place(&mut self) {
        let further =
            |(ancestor, &children): (usize, &usize)| std::iter::repeat_n(ancestor, children.saturating_sub(1));
        let mut further = self.children.iter().enumerate().flat_map(further);
        self.ancestors.clear();
        self.ancestors.extend(
            self.children.iter().enumerate().map(
                |(member, &children)| {
                    if children > 0 { member } else { further.next().unwrap_or(member) }
                },
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{Purpose, stream};

    fn resampling(weights: &[f64], uniform: f64) -> Resampling {
        let mut resampling = Resampling { weights: weights.to_vec(), ..Resampling::new(0.0) };
        resampling.multiply(uniform);
        resampling.place();
        resampling
    }

    #[test]
    fn positions_a_share_of_one_apart_choose_the_ancestors() {
        // Cumulative shares 0.1, 0.4, 0.5, 1.0: positions 0.125 + n / 4 fall on members 1, 1, 3, 3.
        let four = resampling(&[0.2, 0.6, 0.2, 1.0], 0.5);
        assert_eq!(four.children, [0, 2, 0, 2]);
        assert_eq!(four.ancestors, [1, 1, 3, 3]);
        // Positions 0.05 + n / 4 fall on members 0, 1, 3, 3.
        assert_eq!(resampling(&[0.2, 0.6, 0.2, 1.0], 0.2).ancestors, [0, 1, 3, 3]);
    }

    #[test]
    fn equal_weights_leave_each_member_in_its_place() {
        for uniform in [0.0, 0.3, 0.999_999] {
            assert_eq!(resampling(&[1.0; 7], uniform).ancestors, [0, 1, 2, 3, 4, 5, 6]);
        }
    }

    #[test]
    fn one_member_may_be_the_ancestor_of_all() {
        assert_eq!(resampling(&[0.0, 0.0, 1.0], 0.999).ancestors, [2, 2, 2]);
    }

    #[test]
    fn the_jitter_keeps_the_mean_and_a_floor_of_the_spread() {
        let mut degenerate = Resampling { jitter: 0.25, ..resampling(&[0.0, 1.0, 0.0, 0.0], 0.5) };
        degenerate.donors.extend(0..4);
        degenerate.donors.shuffle(&mut stream(1, Purpose::ObservationPerturbation, 0));
        let (prior, anomalies) = ([1.0, 2.0, 3.0, 4.0], [-1.5, -0.5, 0.5, 1.5]);
        let mut analysis = Vec::new();
        degenerate.correct(&prior, &anomalies, &mut analysis);
        analysis.sort_by(f64::total_cmp);
        for (value, expected) in analysis.iter().zip([1.625, 1.875, 2.125, 2.375]) {
            assert!((value - expected).abs() < 1e-15, "{value} is not {expected}");
        }
    }
}
