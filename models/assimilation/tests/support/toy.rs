//! Two linear reservoirs in a row, their adjoint, and a truth to be found again.

use nilometer_assimilation::{Ar1, PrecipitationPerturbation, Purpose, stream};
use rand_distr::{Distribution, Exp1, StandardNormal};

/// Upper and lower store, mm.
pub const STORES: usize = 2;
pub const STEPS: usize = 240;
pub const ERROR_STD_MM: f64 = 0.2;
/// Standard deviation of the first stores of the truth and of each member.
pub const START_MM: [f64; STORES] = [15.0, 30.0];
pub const START_STD_MM: [f64; STORES] = [5.0, 8.0];

/// Shares of a store that leave it in a step: quick flow and percolation of the upper, base flow of the lower.
const QUICK: f64 = 0.08;
const PERCOLATION: f64 = 0.04;
const BASE: f64 = 0.02;
/// Log standard deviation of the true rain around the forcing; its correlation lasts three steps.
const RAIN_SIGMA: f64 = 0.5;
const HOUR_S: f64 = 3_600.0;

/// One step of stores `[2, N]` under rain `[N]`.
pub fn step(stores: &mut [f32], rain_mm: &[f32]) {
    let (uppers, lowers) = stores.split_at_mut(rain_mm.len());
    for ((upper, lower), rain) in uppers.iter_mut().zip(lowers).zip(rain_mm) {
        let (before, below) = (f64::from(*upper), f64::from(*lower));
        *upper = ((1.0 - QUICK - PERCOLATION) * before + f64::from(*rain)) as f32;
        *lower = (PERCOLATION * before + (1.0 - BASE) * below) as f32;
    }
}

/// Discharge in mm a step of the stores after it.
pub fn discharge_mm(upper_mm: f32, lower_mm: f32) -> f64 {
    QUICK * f64::from(upper_mm) + BASE * f64::from(lower_mm)
}

/// Misfit `½ Σ (q - y)² / r` of one catchment over a window with these departures `q - y`, and its gradient by the two
/// stores at the begin of the window, through the adjoint of [`step`].
pub fn misfit(departures_mm: &[f64], error_variance: f64) -> (f64, [f64; STORES]) {
    let (mut loss, mut adjoint) = (0.0, [0.0; STORES]);
    for departure in departures_mm.iter().rev() {
        loss += 0.5 * departure * departure / error_variance;
        let upper = adjoint[0] + QUICK * departure / error_variance;
        let lower = adjoint[1] + BASE * departure / error_variance;
        adjoint = [(1.0 - QUICK - PERCOLATION) * upper + PERCOLATION * lower, (1.0 - BASE) * lower];
    }
    (loss, adjoint)
}

/// Rain `[N]` of each member of each catchment, from the forcing `[C]` and the row of the multiplier `[N]`.
pub struct Rain {
    multiplier: Ar1,
    perturbation: PrecipitationPerturbation,
}

impl Rain {
    /// As uncertain as the truth times `share`.
    pub fn new(share: f64) -> Self {
        Self {
            multiplier: Ar1::new(1.0, 3.0 * HOUR_S).unwrap(),
            perturbation: PrecipitationPerturbation::new(share * RAIN_SIGMA, 0.0, 0.0, 0.0).unwrap(),
        }
    }

    pub fn begin(&self, row: &mut [f32], seed: u64) {
        self.multiplier.initialise(row, &mut stream(seed, Purpose::InitialState, 0));
    }

    pub fn fall(&self, forcing_mm: &[f32], row: &mut [f32], seed: u64, step: usize) -> Vec<f32> {
        let mut rain_mm = vec![0.0; row.len()];
        let rng = |purpose| stream(seed, purpose, i64::try_from(step).unwrap());
        self.multiplier.advance(row, HOUR_S, &mut rng(Purpose::PrecipitationMultiplier)).unwrap();
        let mut none = rng(Purpose::PrecipitationOccurrence);
        self.perturbation.apply(forcing_mm, row, &mut rain_mm, &mut none).unwrap();
        rain_mm
    }
}

/// First stores `[2, N]`.
pub fn first_stores(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = stream(seed, Purpose::Custom(7), 0);
    let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
    let rows = START_MM.iter().zip(START_STD_MM);
    rows.flat_map(|(mean, std)| (0..count).map(|_| (mean + std * normal()).max(0.0) as f32).collect::<Vec<_>>())
        .collect()
}

/// What happened in C catchments, and what was known of it.
pub struct Truth {
    /// Stores `[STEPS][2, C]` after each step.
    pub stores_mm: Vec<Vec<f32>>,
    /// Forcing `[STEPS][C]`.
    pub forcing_mm: Vec<Vec<f32>>,
    /// Observed discharge `[STEPS][C]`, mm a step.
    pub observed_mm: Vec<Vec<f64>>,
}

impl Truth {
    pub fn new(catchments: usize) -> Self {
        const SEED: u64 = 99;
        let mut rng = stream(SEED, Purpose::Custom(8), 0);
        let rain = Rain::new(1.0);
        let mut row = vec![0.0; catchments];
        rain.begin(&mut row, SEED);
        let mut stores = first_stores(catchments, SEED);
        let mut truth = Self { stores_mm: Vec::new(), forcing_mm: Vec::new(), observed_mm: Vec::new() };
        for step_number in 0..STEPS {
            let forcing: Vec<f32> = (0..catchments)
                .map(|_| {
                    let amount: f64 = Exp1.sample(&mut rng);
                    let weather: f64 = StandardNormal.sample(&mut rng);
                    if weather > 0.5 { (6.0 * amount) as f32 } else { 0.0 }
                })
                .collect();
            step(&mut stores, &rain.fall(&forcing, &mut row, SEED, step_number));
            let observed = (0..catchments).map(|catchment| {
                let noise: f64 = StandardNormal.sample(&mut rng);
                discharge_mm(stores[catchment], stores[catchments + catchment]) + ERROR_STD_MM * noise
            });
            truth.observed_mm.push(observed.collect());
            truth.stores_mm.push(stores.clone());
            truth.forcing_mm.push(forcing);
        }
        truth
    }
}
