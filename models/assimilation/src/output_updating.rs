//! Output updating: what a forecast's error owes to the error that the gauge has just shown (WMO 1992; Refsgaard 1997, Nord. Hydrol.
//! 28, 65: updating of state, parameters or output).

use nalgebra::{Matrix3, Vector3};

/// What the error of a forecast is explained by, all in the unit of discharge: the newest known error carried to the forecast's
/// flow, its change since the step before, and the forecast itself, whose share is the bias.
pub type Explanation = [f64; 3];

/// The weight of "no share" against what was learned, in steps of usual flow: the error that lasts is expected, what its change and the
/// flow itself tell has to be shown for longer.
const RIDGE: Explanation = [20.0, 200.0, 200.0];

/// How large a share of an explanation's size a correction may reach.
const LARGEST_SHARE: f64 = 1.0;

/// What is larger than this many usual flows counts as that: no flood, and no model that is still warming up, outweighs years.
const LARGEST: f64 = 10.0;

/// The share of what was learned that a step leaves: ten thousand steps are remembered.
const KEPT: f64 = 0.9999;

/// The newest error `error_m3_s` of a river at `now_m3_s`, carried to a flow of `then_m3_s`: by the root of the ratio, half way
/// between an error that stays as it is and one that grows with the river. At most threefold. `epsilon_m3_s` keeps a dry river
/// finite.
#[must_use]
pub fn carried_error(error_m3_s: f64, now_m3_s: f64, then_m3_s: f64, epsilon_m3_s: f64) -> f64 {
    let ratio = (then_m3_s.max(0.0) + epsilon_m3_s) / (now_m3_s.max(0.0) + epsilon_m3_s);
    error_m3_s * ratio.clamp(0.0, 9.0).sqrt()
}

/// A recursive least-squares regression of one gauge's errors at one lead time: its normal equations, as float32 that go into a
/// snapshot as they are.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ErrorRegression {
    /// upper triangle of Σ x xᵀ by rows, then Σ x y; x and y over the usual flow
    sums: [f32; Self::NUMBERS],
}

impl ErrorRegression {
    /// Numbers of one regression.
    pub const NUMBERS: usize = 9;

    /// From what [`ErrorRegression::numbers`] gave.
    #[must_use]
    pub const fn from_numbers(sums: [f32; Self::NUMBERS]) -> Self {
        Self { sums }
    }

    /// For a snapshot.
    #[must_use]
    pub const fn numbers(&self) -> [f32; Self::NUMBERS] {
        self.sums
    }

    /// Learns that a forecast with this explanation was wrong by `error`; both are measured in `usual_flow` > 0, so that no flood
    /// outweighs years. What is not finite teaches nothing.
    pub fn learn(&mut self, explanation: Explanation, error: f64, usual_flow: f64) {
        let over_usual = |x: f64| (x / usual_flow).clamp(-LARGEST, LARGEST);
        let ([a, b, c], y) = (explanation.map(over_usual), over_usual(error));
        let added = [a * a, a * b, a * c, b * b, b * c, c * c, a * y, b * y, c * y];
        if added.iter().all(|x| x.is_finite()) {
            for (sum, x) in self.sums.iter_mut().zip(added) {
                *sum = (KEPT * f64::from(*sum) + x) as f32;
            }
        }
    }

    /// The shares of an explanation that are the error's: zero before anything was learned.
    #[must_use]
    pub fn shares(&self) -> Explanation {
        let [aa, ab, ac, bb, bc, cc, ay, by, cy] = self.sums.map(f64::from);
        let normal = Matrix3::new(aa + RIDGE[0], ab, ac, ab, bb + RIDGE[1], bc, ac, bc, cc + RIDGE[2]);
        let shares = normal.cholesky().map_or_else(Vector3::zeros, |c| c.solve(&Vector3::new(ay, by, cy)));
        [shares[0], shares[1], shares[2]].map(|share| share.clamp(-LARGEST_SHARE, LARGEST_SHARE))
    }

    /// The error that is expected of a forecast with this explanation, in its unit.
    #[must_use]
    pub fn expected_error(&self, explanation: Explanation) -> f64 {
        self.shares().iter().zip(explanation).map(|(share, x)| share * x).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_untaught_gauge_is_left_alone() {
        assert_eq!(ErrorRegression::default().expected_error([5.0, 1.0, 20.0]), 0.0);
    }

    #[test]
    fn an_error_grows_with_the_root_of_the_river() {
        assert!((carried_error(2.0, 10.0, 40.0, 0.0) - 4.0).abs() < 1e-12);
        assert!((carried_error(2.0, 10.0, 10.0, 0.1) - 2.0).abs() < 1e-12);
        assert!((carried_error(2.0, 0.0, 1e9, 0.1) - 6.0).abs() < 1e-12, "threefold at most");
        assert_eq!(carried_error(2.0, 10.0, 0.0, 0.0), 0.0);
    }

    proptest! {
        #[test]
        fn shares_are_found_again_whatever_the_unit(unit in 1e-3_f64..1e4, seed in 0_u32..1_000) {
            // Explanations of a small linear congruence; the ridge pulls shares towards zero.
            let mut regression = ErrorRegression::default();
            let mut x = seed;
            let mut draw = || { x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223); f64::from(x >> 8) / f64::from(1 << 23) - 1.0 };
            for _ in 0..9_000 {
                let explanation = [draw(), draw(), draw()].map(|x| x * unit);
                let error = 0.5 * explanation[0] - 0.1 * explanation[1] + 0.05 * explanation[2];
                regression.learn(explanation, error, unit);
            }
            let shares = regression.shares();
            for (found, true_share) in shares.iter().zip([0.5, -0.1, 0.05]) {
                prop_assert!((found - true_share).abs() < 0.02, "{shares:?}");
            }
        }

        #[test]
        fn a_correction_is_never_larger_than_what_explains_it(
            numbers in proptest::array::uniform9(-1e6_f32..1e6), explanation in proptest::array::uniform3(-1e3_f64..1e3),
        ) {
            let expected = ErrorRegression::from_numbers(numbers).expected_error(explanation);
            prop_assert!(expected.abs() <= explanation.iter().map(|x| x.abs()).sum::<f64>() + 1e-9);
        }
    }
}
