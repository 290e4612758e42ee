//! The ensemble on the Cance's model: water is balanced, observations help, the same seed gives the same numbers.

#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use nilometer_alignment::Observation;
use nilometer_definitions::Pipeline;
use nilometer_forecast::EnsembleState;
use nilometer_needs::needs;
use nilometer_packages::{Package, Provider};
use nilometer_runtime::Runtime;
use nilometer_schemas::{Flag, Timestamp, Variable};
use nilometer_testing::root;

const HOURS: usize = 240;

fn pipeline(set: &[&str]) -> Pipeline {
    let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
    Pipeline::load(&root().join("pipelines/definitions/cance.toml"), &set).unwrap()
}

fn state(pipeline: &Pipeline) -> EnsembleState {
    let runtime = Runtime::open(None, &[Provider::Cpu]).unwrap();
    let package = Package::load(&pipeline.model.package).unwrap();
    EnsembleState::new(&runtime, &package, pipeline, 1, pipeline.time.from).unwrap()
}

/// Forcing `[F, C]` of an hour: a storm every four days, a little evapotranspiration by day.
fn forcing(hour: usize) -> Vec<f32> {
    let rain = if hour % 96 < 10 { 4.0 } else { 0.0 };
    let evapotranspiration = if hour % 24 < 12 { 0.1 } else { 0.0 };
    [[rain; 3], [evapotranspiration; 3]].concat()
}

/// What a gauge reads, of a river that has 1.6 times the flow of the ensemble without observations.
fn observe(flow: &[f64; 3], time: Timestamp) -> Vec<Observation> {
    (0..3)
        .map(|catchment| Observation {
            catchment,
            valid_time: time,
            variable: Variable::Discharge,
            value: 1.6 * flow[catchment],
            flag: Flag::Pass,
            error_factor: 1.0,
        })
        .collect()
}

#[needs(cance)]
#[test]
fn every_millimetre_has_a_name_with_noise_and_observations() {
    for (method, members) in [("etkf", 32), ("enkf", 32), ("variational", 1)] {
        let set = [format!("assimilation.method={method}"), format!("assimilation.members={members}")];
        let pipeline = pipeline(&set.each_ref().map(String::as_str));
        let mut state = state(&pipeline);
        for hour in 0..HOURS {
            state.advance(&forcing(hour)).unwrap();
            let flow = state.mean_discharge_m3_s();
            state.assimilate(&observe(&[flow[0], flow[1], flow[2]], state.time())).unwrap();
            let residual_mm = state.budget_residual_mm();
            assert!(residual_mm < 1e-2, "{method}, hour {hour}: {residual_mm} mm unexplained");
        }
        assert!(
            state.budgets().iter().all(|b| b.increment_mm.abs() > 1.0),
            "observations moved water, and it is booked"
        );
    }
}

#[needs(cance)]
#[test]
fn observations_bring_the_ensemble_to_the_river() {
    brought_to_the_river(&[], 0.5);
}

#[needs(cance)]
#[test]
fn a_window_brings_the_model_by_itself_to_the_river() {
    // Stores alone: what is wrong with the flow itself, as an output error is for a filter, stays.
    brought_to_the_river(&["assimilation.method=variational", "assimilation.members=1"], 0.7);
}

#[needs(cance)]
#[test]
fn a_gauge_moves_the_window_of_no_other_catchment() {
    let pipeline = pipeline(&["assimilation.method=variational", "assimilation.members=1"]);
    let run = |of_others: bool| {
        let mut state = state(&pipeline);
        for hour in 0..60 {
            state.advance(&forcing(hour)).unwrap();
            // All read something in the first day and a half; then the first falls silent.
            let mut observations = observe(&[5.0, 2.0, 0.5], state.time());
            observations.retain(|o| hour < 36 || (of_others && o.catchment > 0));
            state.assimilate(&observations).unwrap();
        }
        (state.mean_discharge_m3_s(), state.storage_mm(0))
    };
    let ((alone, stored_alone), (beside, stored_beside)) = (run(false), run(true));
    assert_eq!((alone[0], stored_alone), (beside[0], stored_beside));
    assert_ne!(alone[1], beside[1]);
}

#[needs(cance)]
#[test]
fn a_gauge_informs_the_catchments_above_it_as_far_as_it_reaches() {
    let run = |half_width_km: &str| {
        let half_width = format!("assimilation.river.half_width_km={half_width_km}");
        let pipeline = pipeline(&["assimilation.river.correlation=0.6", &half_width]);
        let mut state = state(&pipeline);
        for hour in 0..100 {
            state.advance(&forcing(hour)).unwrap();
            let mut observations = observe(&[5.0, 2.0, 0.5], state.time());
            observations.truncate(1);
            state.assimilate(&observations).unwrap();
            assert_eq!(state.innovations().count(), 1, "one observation, however many it informs");
            assert!(state.budget_residual_mm() < 1e-2);
        }
        state.budgets().iter().map(|budget| budget.increment_mm.abs()).collect::<Vec<f64>>()
    };
    let far = run("20");
    assert!(far.iter().all(|moved| *moved > 0.1), "all of the river: {far:?} mm");
    let near = run("10");
    assert!(near[0] > 0.1 && near[1..] == [0.0, 0.0], "the next gauge lies 20.7 km above: {near:?} mm");
}

#[needs(cance)]
#[test]
fn all_that_a_gauge_read_since_the_last_analysis_counts_in_one_update() {
    let pipeline = pipeline(&["assimilation.every=6h"]);
    let (mut open, mut closed, mut oldest) = (state(&pipeline), state(&pipeline), state(&pipeline));
    let (mut waiting, mut errors) = (Vec::new(), [0.0; 3]);
    for hour in 0..HOURS {
        for state in [&mut open, &mut closed, &mut oldest] {
            state.advance(&forcing(hour)).unwrap();
        }
        let flow = open.mean_discharge_m3_s();
        if hour > 24 {
            for (error, state) in errors.iter_mut().zip([&open, &closed, &oldest]) {
                *error += (1.6 * flow[0] - state.mean_discharge_m3_s()[0]).abs();
            }
        }
        waiting.extend(observe(&[flow[0], flow[1], flow[2]], closed.time()));
        if hour % 6 == 5 {
            // Five hours ago each: held against what was predicted then.
            oldest.assimilate(&waiting[..3]).unwrap();
            assert_eq!(oldest.innovations().count(), 3);
            waiting.sort_by_key(|o| (o.catchment, o.valid_time));
            closed.assimilate(&waiting).unwrap();
            assert_eq!(closed.innovations().count(), 18);
            waiting.clear();
        } else {
            // What is predicted at each step is kept, whether or not an analysis is due.
            oldest.assimilate(&[]).unwrap();
            closed.assimilate(&[]).unwrap();
        }
        assert!(closed.budget_residual_mm() < 1e-2);
    }
    let [open, closed, oldest] = errors;
    assert!(closed < 0.7 * open, "{closed} against {open} without observations");
    assert!(oldest < 0.9 * open, "{oldest} against {open} without observations");
}

fn brought_to_the_river(set: &[&str], share: f64) {
    let pipeline = pipeline(set);
    let (mut open, mut closed) = (state(&pipeline), state(&pipeline));
    let (mut error_open, mut error_closed) = (0.0, 0.0);
    for hour in 0..HOURS {
        open.advance(&forcing(hour)).unwrap();
        closed.advance(&forcing(hour)).unwrap();
        let flow = open.mean_discharge_m3_s();
        let truth: Vec<f64> = flow.iter().map(|q| 1.6 * q).collect();
        // Judged before the observation of the hour is used.
        if hour > 24 {
            error_open += (truth[0] - flow[0]).abs();
            error_closed += (truth[0] - closed.mean_discharge_m3_s()[0]).abs();
        }
        closed.assimilate(&observe(&[flow[0], flow[1], flow[2]], closed.time())).unwrap();
    }
    assert!(error_closed < share * error_open, "{error_closed} against {error_open} without observations");
}

#[needs(cance)]
#[test]
fn the_same_seed_gives_the_same_numbers_and_another_seed_others() {
    let run = |seed: &str| {
        let pipeline = pipeline(&[seed]);
        let mut state = state(&pipeline);
        for hour in 0..50 {
            state.advance(&forcing(hour)).unwrap();
            state.assimilate(&observe(&[5.0, 2.0, 0.5], state.time())).unwrap();
        }
        state.mean_discharge_m3_s()
    };
    let once = run("assimilation.seed=7");
    assert_eq!(once, run("assimilation.seed=7"));
    assert_ne!(once, run("assimilation.seed=8"));
}

#[needs(cance)]
#[test]
fn a_reading_between_two_steps_is_held_against_what_was_predicted_between_them() {
    for (align, share) in [("interpolate", 11.0 / 12.0), ("nearest", 1.0)] {
        let pipeline = pipeline(&[&format!("time.align={align}")]);
        let risen = || {
            let mut state = state(&pipeline);
            for hour in 0..5 {
                if hour > 0 {
                    state.assimilate(&[]).unwrap();
                }
                state.advance(&forcing(hour)).unwrap();
            }
            state
        };
        // A reading at an hour, and one as high five minutes after the hour before, in two ensembles that are the same.
        let innovation = |state: &EnsembleState| state.innovations().next().unwrap().innovation;
        let (before_m3_s, begin) = (risen().mean_discharge_m3_s()[0], risen().time());
        let reading = |time| Observation { value: before_m3_s, ..observe(&[1.0; 3], time)[0] };
        let mut innovations = Vec::new();
        for after_s in [0, 300, 3_600] {
            let mut state = risen();
            if after_s > 0 {
                state.assimilate(&[]).unwrap();
                state.advance(&forcing(5)).unwrap();
            }
            state.assimilate(&[reading(begin.plus_s(after_s))]).unwrap();
            innovations.push(innovation(&state));
        }
        let expected = share * innovations[0] + (1.0 - share) * innovations[2];
        assert!((innovations[0] - innovations[2]).abs() > 1e-3, "the river rises: {innovations:?}");
        assert!((innovations[1] - expected).abs() < 1e-6, "{align}: {innovations:?}");
    }
}
