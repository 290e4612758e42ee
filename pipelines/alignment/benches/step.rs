//! A tick of 475 catchments: three forcing rows and a discharge of each, aligned to a step.

#![allow(missing_docs, reason = "a benchmark")]

use divan::{Bencher, counter::ItemsCount};
use nilometer_alignment::{Fate, Observation, PeriodForcing, StepAlignment, Waiting};
use nilometer_schemas::{Flag, Timestamp, Variable};

const CATCHMENTS: usize = 475;
const STEP_S: i64 = 3_600;
const VARIABLES: [Variable; 3] =
    [Variable::Precipitation, Variable::PotentialEvapotranspiration, Variable::AirTemperature];

fn main() {
    divan::main();
}

#[divan::bench]
fn align_tick(bencher: Bencher) {
    let mut reached = Timestamp(0);
    let mut alignment = StepAlignment::new(STEP_S, &VARIABLES, CATCHMENTS);
    bencher.counter(ItemsCount::new((VARIABLES.len() + 1) * CATCHMENTS)).bench_local(|| {
        let valid_time = reached.plus_s(STEP_S);
        let waiting = Waiting { reached, limit: valid_time };
        for catchment in 0..CATCHMENTS {
            for variable in VARIABLES {
                let forcing = PeriodForcing { variable, catchment, valid_time, period_s: STEP_S, value: 0.6 };
                assert_eq!(alignment.add_forcing(forcing, waiting), Fate::Pending);
            }
            let observation = Observation {
                catchment,
                variable: Variable::Discharge,
                valid_time,
                value: 2.0,
                flag: Flag::Pass,
                error_factor: 1.0,
            };
            assert_eq!(alignment.add_observation(observation, waiting), Fate::Pending);
        }
        assert!(alignment.is_complete(valid_time));
        reached = valid_time;
        (alignment.take_step(valid_time), alignment.take_observations(valid_time))
    });
}
