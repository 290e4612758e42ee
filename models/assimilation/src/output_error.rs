//! The error of a model's output, wide while it rains and narrow while the river recedes.

use rand_chacha::ChaCha8Rng;

use crate::{
    Ar1,
    error::{AssimilationError, require},
};

/// A regime of the output error: how large it is and how long it lasts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ErrorRegime {
    /// stationary standard deviation of the logarithm of discharge
    pub sigma: f64,
    /// correlation time, s
    pub tau_s: f64,
}

/// A log-multiplicative output error b, `q = model · exp(b)`, that follows a first-order autoregression whose spread and
/// memory depend on recent rain.
///
/// Most of a model's error is made while water enters the catchment: a recession is smooth, a rising limb is not. With
/// recent rain `R' = R exp(−dt/τ_R) + P` and wetness `w = min(1, R / R₀)`, a step draws
/// `b' = ρ b + σ sqrt(1 − ρ²) η` with `σ = σ_dry + w (σ_wet − σ_dry)`, `ρ = ρ_dry + w (ρ_wet − ρ_dry)` and
/// `ρ_x = exp(−dt/τ_x)`. With equal regimes this is [`Ar1`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OutputError {
    dry: ErrorRegime,
    wet: ErrorRegime,
    rain_memory_s: f64,
    full_wetness_mm: f64,
}

impl OutputError {
    /// An error between two regimes. `rain_memory_s` is τ_R, `full_wetness_mm` is R₀.
    ///
    /// # Errors
    /// [`AssimilationError::Value`] where a parameter is outside its range.
    pub fn new(
        dry: ErrorRegime,
        wet: ErrorRegime,
        rain_memory_s: f64,
        full_wetness_mm: f64,
    ) -> Result<Self, AssimilationError> {
        for regime in [dry, wet] {
            Ar1::new(regime.sigma, regime.tau_s)?;
        }
        let positive = |v: f64| v > 0.0 && v.is_finite();
        require("rain memory in s", rain_memory_s, "finite and positive", positive)?;
        require("rain of full wetness in mm", full_wetness_mm, "finite and positive", positive)?;
        Ok(Self { dry, wet, rain_memory_s, full_wetness_mm })
    }

    /// First values of a row `[C, M]`: the dry regime.
    pub fn initialise(&self, row: &mut [f32], rng: &mut ChaCha8Rng) -> Result<(), AssimilationError> {
        Ar1::new(self.dry.sigma, self.dry.tau_s)?.initialise(row, rng);
        Ok(())
    }

    /// Recent rain R in mm after a step of `dt_s` seconds with `rain_mm` of rain.
    #[must_use]
    pub fn recent_rain_mm(&self, before_mm: f64, rain_mm: f64, dt_s: f64) -> f64 {
        before_mm * (-dt_s / self.rain_memory_s).exp() + rain_mm
    }

    /// Mean rain of a step of `dt_s` seconds, mm, that keeps the recent rain R where it is: `R (1 − exp(−dt/τ_R))`.
    #[must_use]
    pub fn mean_rain_mm(&self, recent_rain_mm: f64, dt_s: f64) -> f64 {
        recent_rain_mm * -(-dt_s / self.rain_memory_s).exp_m1()
    }

    /// Stationary standard deviation of b with this recent rain.
    #[must_use]
    pub fn sigma(&self, recent_rain_mm: f64) -> f64 {
        self.dry.sigma + self.wetness(recent_rain_mm) * (self.wet.sigma - self.dry.sigma)
    }

    /// How far a catchment with this recent rain is from the dry regime, 0, to the wet one, 1.
    #[must_use]
    pub fn wetness(&self, recent_rain_mm: f64) -> f64 {
        (recent_rain_mm / self.full_wetness_mm).clamp(0.0, 1.0)
    }

    /// Correlation of b with itself after `dt_s` seconds with this recent rain.
    #[must_use]
    pub fn correlation(&self, recent_rain_mm: f64, dt_s: f64) -> f64 {
        let (dry, wet) = ((-dt_s / self.dry.tau_s).exp(), (-dt_s / self.wet.tau_s).exp());
        dry + self.wetness(recent_rain_mm) * (wet - dry)
    }

    /// Advances the members `[M]` of one catchment by `dt_s` seconds, given its recent rain after the step, by standard normal
    /// `noise`, a number for each member, in a spread that is `scale` times that of the regimes.
    ///
    /// # Errors
    /// [`AssimilationError::Value`] where the step is not positive or not finite; nothing is written then.
    pub fn advance(
        &self,
        members: &mut [f32],
        recent_rain_mm: f64,
        dt_s: f64,
        scale: f64,
        noise: impl IntoIterator<Item = f64>,
    ) -> Result<(), AssimilationError> {
        require("time step in s", dt_s, "finite and positive", |v| v > 0.0 && v.is_finite())?;
        let rho = self.correlation(recent_rain_mm, dt_s);
        let now = Ar1::new(scale * self.sigma(recent_rain_mm), -dt_s / rho.max(f64::MIN_POSITIVE).ln())?;
        now.advance_by(members, dt_s, noise)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::{Purpose, stream};

    const HOUR: f64 = 3_600.0;
    const DRY: ErrorRegime = ErrorRegime { sigma: 0.1, tau_s: 33.0 * HOUR };
    const WET: ErrorRegime = ErrorRegime { sigma: 0.3, tau_s: 4.5 * HOUR };

    fn normal(time_us: i64) -> impl Iterator<Item = f64> {
        StandardNormal.sample_iter(stream(1, Purpose::OutputError, time_us))
    }

    fn spread(row: &[f32]) -> f64 {
        (row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / row.len() as f64).sqrt()
    }

    #[test]
    fn the_spread_settles_at_each_regimes_own() {
        let error = OutputError::new(DRY, WET, 6.0 * HOUR, 2.0).unwrap();
        let mut row = vec![0.0_f32; 20_000];
        for (rain_mm, expected) in [(0.0, 0.1), (2.0, 0.3), (9.0, 0.3), (1.0, 0.2)] {
            for step in 0..200 {
                error.advance(&mut row, rain_mm, HOUR, 1.0, normal(step)).unwrap();
            }
            assert!((spread(&row) - expected).abs() < 0.01, "{rain_mm} mm: {} is not {expected}", spread(&row));
        }
    }

    #[test]
    fn equal_regimes_are_the_plain_autoregression() {
        let error = OutputError::new(WET, WET, 6.0 * HOUR, 2.0).unwrap();
        let plain = Ar1::new(WET.sigma, WET.tau_s).unwrap();
        let (mut ours, mut theirs) = (vec![0.4_f32; 64], vec![0.4_f32; 64]);
        error.advance(&mut ours, 0.7, HOUR, 1.0, normal(9)).unwrap();
        plain.advance(&mut theirs, HOUR, &mut stream(1, Purpose::OutputError, 9)).unwrap();
        assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn rain_is_forgotten_at_its_rate_and_bad_parameters_are_refused() {
        let error = OutputError::new(DRY, WET, 6.0 * HOUR, 2.0).unwrap();
        assert!((error.recent_rain_mm(2.0, 1.0, 6.0 * HOUR) - (2.0 / std::f64::consts::E + 1.0)).abs() < 1e-12);
        let steady = (0..99).fold(0.0, |recent, _| error.recent_rain_mm(recent, 3.0, HOUR));
        assert!((error.mean_rain_mm(steady, HOUR) - 3.0).abs() < 1e-6);
        assert!(OutputError::new(DRY, WET, 0.0, 2.0).is_err());
        assert!(OutputError::new(DRY, WET, 1.0, f64::NAN).is_err());
        assert!(OutputError::new(ErrorRegime { sigma: -0.1, tau_s: 1.0 }, WET, 1.0, 1.0).is_err());
    }
}
