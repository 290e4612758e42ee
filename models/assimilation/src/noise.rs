//! Noise without generator state: a stream per (seed, purpose, time), and rows that remember their noise.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::error::{AssimilationError, require};
use crate::moments::to_storage;

/// What a stream is for. Streams of different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// First values of stores or rows.
    InitialState,
    /// The AR(1) row behind the precipitation multiplier.
    PrecipitationMultiplier,
    /// Precipitation where the product has none.
    PrecipitationOccurrence,
    /// The AR(1) row of the output error.
    OutputError,
    /// Perturbed observations of the stochastic EnKF.
    ObservationPerturbation,
    /// Anything else, numbered by the caller; never equal to a named purpose.
    Custom(u64),
}

impl Purpose {
    /// Two key words: the family of the purpose and its number. They are part of the reproducibility contract.
    fn key_words(self) -> [u64; 2] {
        match self {
            Self::InitialState => [0, 0],
            Self::PrecipitationMultiplier => [0, 1],
            Self::PrecipitationOccurrence => [0, 2],
            Self::OutputError => [0, 3],
            Self::ObservationPerturbation => [0, 4],
            Self::Custom(number) => [1, number],
        }
    }
}

/// The random stream of a (seed, purpose, time), time in microseconds since the epoch.
///
/// The 32-byte key is `seed ‖ family ‖ number ‖ time`, little endian: distinct inputs have distinct keys, and `ChaCha`
/// (Bernstein 2008) decorrelates keys that differ in a bit. The same input gives the same stream on every machine, so a
/// snapshot needs no generator state. Each catchment has a stream of its own under the key: [`catchment_streams`].
#[must_use]
pub fn stream(seed: u64, purpose: Purpose, time_us: i64) -> ChaCha8Rng {
    let [family, number] = purpose.key_words();
    let words = [seed.to_le_bytes(), family.to_le_bytes(), number.to_le_bytes(), time_us.to_le_bytes()];
    let mut key = [0; 32];
    for (target, byte) in key.iter_mut().zip(words.as_flattened()) {
        *target = *byte;
    }
    ChaCha8Rng::from_seed(key)
}

/// The number of a catchment's stream: FNV-1a (Fowler, Noll & Vo; RFC 9923), 64 bits, of its identifier. It is part of the reproducibility contract.
#[must_use]
pub fn stream_number(catchment: &str) -> u64 {
    catchment
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The random streams of a (seed, purpose, time), one for each catchment by its [`stream_number`]: what a catchment draws does not depend on which others
/// there are.
#[must_use]
pub fn catchment_streams(seed: u64, purpose: Purpose, time_us: i64, numbers: &[u64]) -> Vec<ChaCha8Rng> {
    let of_catchment = |number: &u64| {
        let mut rng = stream(seed, purpose, time_us);
        rng.set_stream(*number);
        rng
    };
    numbers.iter().map(of_catchment).collect()
}

/// Where a filter's noise comes from.
pub trait NoiseSource {
    /// The stream that a catchment draws from, once an analysis.
    fn of_catchment(&mut self, catchment: usize) -> &mut ChaCha8Rng;
}

/// One stream, from which the catchments draw one after the other.
impl NoiseSource for ChaCha8Rng {
    fn of_catchment(&mut self, _: usize) -> &mut ChaCha8Rng {
        self
    }
}

/// A stream for each catchment.
impl NoiseSource for Vec<ChaCha8Rng> {
    fn of_catchment(&mut self, catchment: usize) -> &mut ChaCha8Rng {
        &mut self[catchment]
    }
}

/// A first-order autoregressive row, `z' = rho z + sigma sqrt(1 - rho^2) eta`, `rho = exp(-dt / tau)`, `eta ~ N(0, 1)`:
/// mean 0 and standard deviation sigma at every step, whatever the length of the step (Gillespie 1996, Phys. Rev. E 54,
/// 2084).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ar1 {
    sigma_stationary: f64,
    tau_s: f64,
}

impl Ar1 {
    /// A process with stationary standard deviation `sigma_stationary` >= 0 in the unit of the row (log discharge for
    /// the output error, 1 for a precipitation row), and correlation time `tau_s` > 0 in seconds.
    ///
    /// # Errors
    /// [`AssimilationError::Value`] where a parameter is outside its range.
    pub fn new(sigma_stationary: f64, tau_s: f64) -> Result<Self, AssimilationError> {
        require("stationary standard deviation", sigma_stationary, "0 to 1e6", |v| (0.0..=1e6).contains(&v))?;
        require("correlation time in s", tau_s, "finite and positive", |v| v > 0.0 && v.is_finite())?;
        Ok(Self { sigma_stationary, tau_s })
    }

    /// Draws a row `[C, M]` from the stationary distribution: one normal per value, catchment by catchment, then member
    /// by member.
    pub fn initialise(&self, row: &mut [f32], rng: &mut ChaCha8Rng) {
        for value in row {
            let eta: f64 = StandardNormal.sample(rng);
            *value = to_storage(self.sigma_stationary * eta);
        }
    }

    /// Advances a row `[C, M]` by `dt_s` seconds: one normal per value, catchment by catchment, then member by member.
    ///
    /// # Errors
    /// [`AssimilationError::Value`] where the step is negative, NaN or infinite; the row is not touched then.
    pub fn advance(&self, row: &mut [f32], dt_s: f64, rng: &mut ChaCha8Rng) -> Result<(), AssimilationError> {
        self.advance_by(row, dt_s, std::iter::repeat_with(|| StandardNormal.sample(rng)))
    }

    /// As [`Ar1::advance`], by `noise` that the caller has drawn: standard normal numbers, one for each value in order. Rows whose noise
    /// is correlated stay so.
    ///
    /// # Errors
    /// As [`Ar1::advance`].
    pub fn advance_by(
        &self,
        row: &mut [f32],
        dt_s: f64,
        noise: impl IntoIterator<Item = f64>,
    ) -> Result<(), AssimilationError> {
        require("time step in s", dt_s, "finite and at least 0", |v| v >= 0.0 && v.is_finite())?;
        let rho = (-dt_s / self.tau_s).exp();
        let step_std = self.sigma_stationary * (-(-2.0 * dt_s / self.tau_s).exp_m1()).sqrt();
        for (value, eta) in row.iter_mut().zip(noise) {
            *value = to_storage(rho * f64::from(*value) + step_std * eta);
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn a_stream_is_a_function_of_seed_purpose_and_time() {
        let first = |seed, purpose, time_us| stream(seed, purpose, time_us).next_u64();
        let reference = first(7, Purpose::OutputError, 100);
        assert_eq!(reference, first(7, Purpose::OutputError, 100));
        for other in [
            first(8, Purpose::OutputError, 100),
            first(7, Purpose::InitialState, 100),
            first(7, Purpose::Custom(3), 100),
            first(7, Purpose::OutputError, -100),
        ] {
            assert_ne!(reference, other);
        }
    }

    #[test]
    fn a_catchment_draws_the_same_whatever_others_there_are() {
        let [upper, lower] = ["upper", "lower"].map(stream_number);
        let draw = |numbers: &[u64]| -> Vec<u64> {
            let streams = catchment_streams(7, Purpose::OutputError, 100, numbers);
            streams.into_iter().map(|mut stream| stream.next_u64()).collect()
        };
        let both = draw(&[upper, lower]);
        assert_ne!(both[0], both[1]);
        assert_eq!((draw(&[lower]), draw(&[lower, upper])), (vec![both[1]], vec![both[1], both[0]]));
        // Published vectors of FNV-1a.
        assert_eq!([stream_number(""), stream_number("foobar")], [0xcbf2_9ce4_8422_2325, 0x8594_4171_f739_67e8]);
    }

    /// Words of an independent ChaCha8 (RFC 8439 layout, 8 rounds) under the key that [`stream`] documents.
    #[test]
    fn a_stream_is_chacha8_under_the_documented_key() {
        let mut rng = stream(0x0123_4567_89ab_cdef, Purpose::Custom(42), 1_700_000_000_000_000);
        assert_eq!([rng.next_u64(), rng.next_u64()], [0xd9f2_279c_fd24_09c5, 0xd078_832a_571f_bf51]);
    }

    #[test]
    fn a_step_of_zero_keeps_the_row_and_a_bad_step_is_refused() {
        let process = Ar1::new(0.4, 86_400.0).unwrap();
        let mut rng = stream(1, Purpose::OutputError, 0);
        let mut row = [0.25_f32, -1.5];
        process.advance(&mut row, 0.0, &mut rng).unwrap();
        assert_eq!(row, [0.25, -1.5]);
        for dt_s in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(process.advance(&mut row, dt_s, &mut rng).is_err());
        }
        assert!(Ar1::new(-1.0, 1.0).is_err());
        assert!(Ar1::new(1.0, 0.0).is_err());
    }
}
