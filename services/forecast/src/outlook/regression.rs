//! Regression: how far a week is off what is usual, by what trajectories say of it and by how far the river is off now. Pure.
//!
//! Anomalies are in standard deviations of their season, so that what is usual of a season is no error of the model, and one regression serves all
//! seasons. It begins with what is usual of rivers and learns from each week that comes true (ridge regression about a prior, Hoerl & Kennard 1970,
//! Technometrics 12, 55).

/// What explains an anomaly: the mean of the trajectories' for that week, the gauge's now, and the model's own now.
pub(super) const PREDICTORS: usize = 3;
/// So many weeks the prior counts for.
const PRIOR_WEEKS: f64 = 40.0;

/// Sums over the weeks that have come true: of products of predictors, of predictors and what came, of what came squared.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Regression {
    products: [[f64; PREDICTORS]; PREDICTORS],
    with_outcome: [f64; PREDICTORS],
    squares: f64,
    weeks: f64,
}

/// Mean and standard deviation of an anomaly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Anomaly {
    pub(super) mean: f64,
    pub(super) deviation: f64,
}

/// What is usual of rivers `week` weeks ahead, from 0: weights of the predictors, and the variance that they leave; about those of 60 basins of CAMELS-US
/// from 1999 to 2008 together, with `hybrid-regional`.
fn prior(week: usize) -> ([f64; PREDICTORS], f64) {
    let ahead = week as f64;
    let weights = [0.38 + 0.13 * (-ahead).exp(), 0.13 + 0.36 * (-ahead / 4.0).exp(), -0.15 * (-ahead).exp()];
    (weights, 1.4 - 0.5 * (-ahead / 2.0).exp())
}

impl Regression {
    pub(super) const NUMBERS: usize = PREDICTORS * PREDICTORS + PREDICTORS + 2;

    /// Learns from a week that has come true.
    pub(super) fn learn(&mut self, predictors: [f64; PREDICTORS], outcome: f64) {
        for (row, x) in self.products.iter_mut().zip(predictors) {
            row.iter_mut().zip(predictors).for_each(|(sum, other)| *sum += x * other);
        }
        self.with_outcome.iter_mut().zip(predictors).for_each(|(sum, x)| *sum += x * outcome);
        self.squares += outcome * outcome;
        self.weeks += 1.0;
    }

    /// What is to be expected `week` weeks ahead, from 0.
    pub(super) fn expected(&self, week: usize, predictors: [f64; PREDICTORS]) -> Anomaly {
        let (prior, prior_variance) = prior(week);
        // Deviations from the prior are small where the data say nothing.
        let mut left = self.products;
        (0..PREDICTORS).for_each(|i| left[i][i] += PRIOR_WEEKS);
        let right: [f64; PREDICTORS] = std::array::from_fn(|i| self.with_outcome[i] - dot(&self.products[i], &prior));
        let change = solved(left, right);
        let weights: [f64; PREDICTORS] = std::array::from_fn(|i| prior[i] + change[i]);
        let explained = 2.0 * dot(&weights, &self.with_outcome)
            - (0..PREDICTORS).map(|i| weights[i] * dot(&self.products[i], &weights)).sum::<f64>();
        let left_over = (self.squares - explained).max(0.0);
        let variance = (left_over + PRIOR_WEEKS * prior_variance) / (self.weeks + PRIOR_WEEKS);
        Anomaly { mean: dot(&weights, &predictors), deviation: variance.sqrt() }
    }

    pub(super) fn numbers(&self) -> [f64; Self::NUMBERS] {
        let mut numbers = [0.0; Self::NUMBERS];
        let all = self.products.iter().flatten().chain(&self.with_outcome).chain([&self.squares, &self.weeks]);
        numbers.iter_mut().zip(all).for_each(|(number, own)| *number = *own);
        numbers
    }

    pub(super) fn from_numbers(numbers: &[f64; Self::NUMBERS]) -> Self {
        let (products, rest) = numbers.split_at(PREDICTORS * PREDICTORS);
        Self {
            products: std::array::from_fn(|i| std::array::from_fn(|j| products[i * PREDICTORS + j])),
            with_outcome: std::array::from_fn(|i| rest[i]),
            squares: rest[PREDICTORS],
            weeks: rest[PREDICTORS + 1],
        }
    }
}

fn dot(a: &[f64; PREDICTORS], b: &[f64; PREDICTORS]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The solution of a symmetric positive definite system, by elimination.
fn solved(mut left: [[f64; PREDICTORS]; PREDICTORS], mut right: [f64; PREDICTORS]) -> [f64; PREDICTORS] {
    for pivot in 0..PREDICTORS {
        for row in pivot + 1..PREDICTORS {
            let factor = left[row][pivot] / left[pivot][pivot];
            let of_pivot = left[pivot];
            left[row].iter_mut().zip(of_pivot).for_each(|(own, above)| *own -= factor * above);
            right[row] -= factor * right[pivot];
        }
    }
    let mut solution = [0.0; PREDICTORS];
    for row in (0..PREDICTORS).rev() {
        let known: f64 = (row + 1..PREDICTORS).map(|at| left[row][at] * solution[at]).sum();
        solution[row] = (right[row] - known) / left[row][row];
    }
    solution
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_come_true_takes_the_place_of_the_prior() {
        let mut regression = Regression::default();
        let before = regression.expected(3, [1.0, 0.0, 0.0]);
        assert_eq!((before.mean, before.deviation), (prior(3).0[0], prior(3).1.sqrt()));
        let wave = |n: i32, speed: f64| (f64::from(n) * speed).sin();
        for n in 0..40_000 {
            let x = [wave(n, 0.7), wave(n, 1.3), wave(n, 2.1)];
            let noise = 0.2 * std::f64::consts::SQRT_2 * wave(n, 0.37);
            regression.learn(x, 0.9 * x[0] - 0.1 * x[1] + 0.3 * x[2] + noise);
        }
        let after = regression.expected(3, [1.0, 0.0, 0.0]);
        assert!((after.mean - 0.9).abs() < 0.02 && (after.deviation - 0.2).abs() < 0.02, "{after:?}");
        assert!((regression.expected(3, [0.0, 1.0, 1.0]).mean - 0.2).abs() < 0.03);
        assert_eq!(Regression::from_numbers(&regression.numbers()), regression);
    }
}
