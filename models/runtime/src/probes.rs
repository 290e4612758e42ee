//! Physics probes: what every hydrological model should do, asked of a package with weather made for the question.
//!
//! Catchments are those of the package's golden vectors. Members are the variants that a question compares.

use std::f64::consts::TAU;

use nilometer_packages::{Package, Selection};

use crate::{
    Model, Runtime, RuntimeError,
    golden::{golden_catchments, golden_vectors},
};

/// The answer to one question.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// the question
    pub name: &'static str,
    /// whether it holds; none where it cannot be asked
    pub holds: Option<bool>,
    /// what was found
    pub found: String,
}

/// The questions, by the names that a card's `known_failures` use.
pub const PROBES: [&str; 7] = [
    "water balance closes",
    "no water from nothing",
    "stores and flow are not negative",
    "more rain never less flow",
    "dry-down is monotone",
    "warmer winter melts earlier",
    "doubled area leaves mm unchanged",
];

/// The attribute that is a catchment's area.
const AREA: &str = "area_gages2";
/// How much the depth of flow may change when the area doubles, as a share.
const AREA_SHARE: f64 = 0.01;
/// What may be lost or made in a step, mm; float32 stores of some hundred mm round by 3·10⁻⁵.
const BALANCE_MM: f64 = 1e-4;
/// Flow and stores may fall this far below 0, mm: smooth steps leave residues.
const NEGATIVE_MM: f64 = 1e-3;
/// Steps of a probe; the first third warms up.
const STEPS: usize = 1_095;
const WARM: usize = STEPS / 3;

/// A time step's weather beyond its season.
#[derive(Debug, Clone, Copy, Default)]
struct Weather {
    rain_mm: f64,
    warmer_degc: f64,
}

/// A package bound to its golden catchments.
struct Ground<'a> {
    runtime: &'a Runtime,
    package: &'a Package,
    catchments: Selection,
    /// water that a unit of each row of the state holds, mm
    storage: Vec<f64>,
}

/// What a run gave: discharge and storage `[T, C, M]`, and its worst moments.
struct Trace {
    members: usize,
    columns: usize,
    discharge_mm: Vec<f64>,
    storage_mm: Vec<f64>,
    imbalance_mm: f64,
    lowest_store_mm: f64,
}

/// Asks every question of a package.
///
/// # Errors
/// [`RuntimeError`] when the package cannot be run at all.
pub fn probe(runtime: &Runtime, package: &Package) -> Result<Vec<Probe>, RuntimeError> {
    let golden = golden_vectors(package)?;
    let count = golden.get("step.state").and_then(|t| t.shape.get(1)).copied().unwrap_or_default();
    let storage = package.card().state_row_blocks().map(|b| b.storage.map_or(0.0, f64::from)).collect();
    let ground = Ground { runtime, package, catchments: golden_catchments(package, &golden, count)?, storage };
    let ordinary = ground
        .run(2, |t, member| Weather { rain_mm: showers(t) * (1.0 + 2.0 * member as f64), ..Weather::default() })?;
    Ok(vec![
        ground.balance(&ordinary),
        ground.nothing_from_nothing()?,
        not_negative(&ordinary, ground.holds_water()),
        ground.more_rain_more_flow()?,
        ground.dry_down()?,
        ground.warmer_melts_earlier()?,
        ground.doubled_area(&ordinary)?,
    ])
}

impl Ground<'_> {
    fn holds_water(&self) -> bool {
        self.storage.iter().any(|share| *share > 0.0)
    }

    fn steps_a_year(&self) -> f64 {
        365.0 * 86_400.0 / self.package.card().time_step_s as f64
    }

    /// Runs [`STEPS`] steps from the card's initial state.
    fn run(&self, members: usize, weather: impl Fn(usize, usize) -> Weather) -> Result<Trace, RuntimeError> {
        self.run_for(STEPS, &self.catchments, members, weather)
    }

    fn run_for(
        &self,
        steps: usize,
        catchments: &Selection,
        members: usize,
        weather: impl Fn(usize, usize) -> Weather,
    ) -> Result<Trace, RuntimeError> {
        let mut model = Model::new(self.runtime, self.package, catchments, members, 1)?;
        let mut state = model.initial_state();
        let columns = self.catchments.len() * members;
        let mut trace = Trace {
            members,
            columns,
            discharge_mm: Vec::with_capacity(steps * columns),
            storage_mm: Vec::with_capacity(steps * columns),
            imbalance_mm: 0.0,
            lowest_store_mm: f64::INFINITY,
        };
        for t in 0..steps {
            let before = self.stored(&state, columns);
            let now: Vec<Weather> = (0..members).map(|member| weather(t, member)).collect();
            for (input, row) in self.package.card().inputs.iter().zip(model.forcing_mut().chunks_mut(columns)) {
                for (column, value) in row.iter_mut().enumerate() {
                    *value = self.forcing(&input.name, t, now[column % members]) as f32;
                }
            }
            let fluxes = model.step(&mut state)?;
            trace.discharge_mm.extend(fluxes.discharge_mm.iter().map(|q| f64::from(*q)));
            let after = self.stored(&state, columns);
            trace.lowest_store_mm = trace.lowest_store_mm.min(self.lowest_store(&state, columns));
            if let (Some(evaporated), Some(outflow)) = (fluxes.evapotranspiration_mm, fluxes.outflow_mm) {
                for column in 0..columns {
                    let lost = f64::from(evaporated[column]) + f64::from(outflow[column]);
                    let error = after[column] - before[column] - (now[column % members].rain_mm - lost);
                    trace.imbalance_mm = trace.imbalance_mm.max(error.abs());
                }
            }
            trace.storage_mm.extend(after);
        }
        Ok(trace)
    }

    /// Water in the stores, mm, a column each.
    fn stored(&self, state: &[f32], columns: usize) -> Vec<f64> {
        let mut total = vec![0.0; columns];
        for (row, share) in state.chunks(columns).zip(&self.storage) {
            for (total, value) in total.iter_mut().zip(row) {
                *total += share * f64::from(*value);
            }
        }
        total
    }

    /// The lowest value of any store, mm.
    fn lowest_store(&self, state: &[f32], columns: usize) -> f64 {
        let stores = state.chunks(columns).zip(&self.storage).filter(|(_, share)| **share > 0.0);
        stores.flat_map(|(row, _)| row).map(|value| f64::from(*value)).fold(f64::INFINITY, f64::min)
    }

    /// A row of forcing in a temperate year that begins in winter.
    fn forcing(&self, input: &str, t: usize, weather: Weather) -> f64 {
        let winter = (TAU * t as f64 / self.steps_a_year()).cos();
        let days = self.package.card().time_step_s as f64 / 86_400.0;
        match input {
            "precipitation" => weather.rain_mm,
            "potential_evapotranspiration" => (2.0 - 1.6 * winter) * days,
            "air_temperature" => 9.0 - 13.0 * winter + weather.warmer_degc,
            "minimum_air_temperature" => 4.0 - 13.0 * winter + weather.warmer_degc,
            "maximum_air_temperature" => 14.0 - 13.0 * winter + weather.warmer_degc,
            "day_length" => 0.5 - 0.15 * winter,
            "shortwave_radiation" => 200.0 - 120.0 * winter,
            "vapour_pressure" => 900.0 - 500.0 * winter,
            // Nothing was observed.
            "discharge_before_missing" => 1.0,
            _ => 0.0,
        }
    }

    fn balance(&self, trace: &Trace) -> Probe {
        let balances = self.holds_water() && self.package.card().gives("outflow");
        Probe {
            name: PROBES[0],
            holds: balances.then_some(trace.imbalance_mm <= BALANCE_MM),
            found: if balances {
                format!("largest error {:.1e} mm a step", trace.imbalance_mm)
            } else {
                "keeps no account of water".to_owned()
            },
        }
    }

    /// Without rain a model gives no more than it held.
    fn nothing_from_nothing(&self) -> Result<Probe, RuntimeError> {
        let trace = self.run(1, |_, _| Weather::default())?;
        let (mut given, mut held) = (0.0_f64, 0.0_f64);
        for column in 0..trace.columns {
            // What is under way at the beginning is not in the stores; it is gone after the warm-up.
            given = given.max(trace.series(column).skip(WARM).sum());
            held = held.max(trace.storage_mm[(WARM - 1) * trace.columns + column]);
        }
        Ok(Probe {
            name: PROBES[1],
            holds: Some(given <= held + 1.0),
            found: format!("{given:.2} mm in {} dry steps, {held:.2} mm held before", STEPS - WARM),
        })
    }

    /// More rain in one event never gives less water over it.
    fn more_rain_more_flow(&self) -> Result<Probe, RuntimeError> {
        const VARIANTS: usize = 6;
        let event = WARM..WARM + 3;
        let trace = self.run(VARIANTS, |t, member| {
            let extra = if event.contains(&t) { 8.0 * member as f64 } else { 0.0 };
            Weather { rain_mm: showers(t) + extra, ..Weather::default() }
        })?;
        let mut least = f64::INFINITY;
        for catchment in 0..trace.columns / VARIANTS {
            let volume = |member: usize| trace.series(catchment * VARIANTS + member).skip(WARM).take(60).sum::<f64>();
            for member in 1..VARIANTS {
                least = least.min(volume(member) - volume(member - 1));
            }
        }
        Ok(Probe {
            name: PROBES[3],
            holds: Some(least >= -1e-3),
            found: format!("24 mm more rain bring at least {least:.2} mm in 60 steps"),
        })
    }

    /// When rain ends, flow falls.
    fn dry_down(&self) -> Result<Probe, RuntimeError> {
        /// Steps after the rain in which water is still under way.
        const ROUTED: usize = 16;
        // The rain ends in high summer, when no snow is left that could melt.
        let year = self.steps_a_year() as usize;
        let end = year / 2 + if year / 2 < WARM { year } else { 0 };
        let until_end = |t, _| Weather { rain_mm: if t < end { showers(t) } else { 0.0 }, ..Weather::default() };
        let trace = self.run_for(STEPS.max(end + 90), &self.catchments, 1, until_end)?;
        let mut rise = 0.0_f64;
        for column in 0..trace.columns {
            let flow: Vec<f64> = trace.series(column).skip(end + ROUTED).take(60).collect();
            rise = flow.windows(2).map(|w| w[1] - w[0]).fold(rise, f64::max);
        }
        Ok(Probe {
            name: PROBES[4],
            holds: Some(rise <= 1e-3),
            found: format!("largest rise {rise:.1e} mm a step without rain"),
        })
    }

    /// A warmer winter brings its melt earlier.
    fn warmer_melts_earlier(&self) -> Result<Probe, RuntimeError> {
        const NAME: &str = PROBES[5];
        if !self.package.card().inputs.iter().any(|i| i.name.ends_with("air_temperature")) {
            return Ok(Probe { name: NAME, holds: None, found: "sees no temperature".to_owned() });
        }
        let year = self.steps_a_year() as usize;
        // From one midsummer to the next, after half a year.
        let warmer = |t, member| Weather { rain_mm: showers(t), warmer_degc: 4.0 * member as f64 };
        let trace = self.run_for(STEPS.max(year / 2 + 2 * year), &self.catchments, 2, warmer)?;
        let mut later = f64::NEG_INFINITY;
        for catchment in 0..trace.columns / 2 {
            // Centre of mass of the flow between two midsummers.
            let centre = |member: usize| {
                let flow: Vec<f64> = trace.series(catchment * 2 + member).skip(year + year / 2).take(year).collect();
                flow.iter().enumerate().map(|(t, q)| t as f64 * q).sum::<f64>() / flow.iter().sum::<f64>().max(1e-9)
            };
            later = later.max(centre(1) - centre(0));
        }
        Ok(Probe {
            name: NAME,
            holds: Some(later <= 0.0),
            found: format!("with 4 °C more the centre of flow moves by {later:+.1} steps at most"),
        })
    }

    /// A catchment of twice the area gives the same depth of water.
    fn doubled_area(&self, ordinary: &Trace) -> Result<Probe, RuntimeError> {
        const NAME: &str = PROBES[6];
        let Some(area) = self.package.card().attributes.iter().position(|a| a.name == AREA) else {
            return Ok(Probe { name: NAME, holds: Some(true), found: "does not use the area".to_owned() });
        };
        let mut doubled = self.catchments.clone();
        let count = doubled.len();
        for value in &mut doubled.attributes_mut()[area * count..][..count] {
            *value *= 2.0;
        }
        let trace = self.run_for(STEPS, &doubled, ordinary.members, |t, member| Weather {
            rain_mm: showers(t) * (1.0 + 2.0 * member as f64),
            ..Weather::default()
        })?;
        let change = |column: usize| {
            let volume = |of: &Trace| of.series(column).skip(WARM).sum::<f64>();
            (volume(&trace) / volume(ordinary).max(1e-9) - 1.0).abs()
        };
        let largest = (0..trace.columns).map(change).fold(0.0, f64::max);
        Ok(Probe {
            name: NAME,
            holds: Some(largest <= AREA_SHARE),
            found: format!("twice the area changes the depth of flow by {:.1} % at most", 100.0 * largest),
        })
    }
}

impl Trace {
    fn series(&self, column: usize) -> impl Iterator<Item = f64> {
        debug_assert_eq!(self.columns % self.members, 0, "columns are catchments times members");
        self.discharge_mm.iter().skip(column).step_by(self.columns).copied()
    }
}

fn not_negative(trace: &Trace, stores: bool) -> Probe {
    let flow = trace.discharge_mm.iter().copied().fold(f64::INFINITY, f64::min);
    let lowest = if stores { trace.lowest_store_mm } else { 0.0 };
    Probe {
        name: PROBES[2],
        holds: Some(flow >= -NEGATIVE_MM && lowest >= -NEGATIVE_MM),
        found: format!("lowest flow {flow:.1e} mm, lowest store {lowest:.1e} mm"),
    }
}

/// Rain of a step: five wet ones in seventeen.
fn showers(t: usize) -> f64 {
    if t % 17 < 5 { 2.0 * (t % 7) as f64 } else { 0.0 }
}
