//! The ensemble on the Cance's model: water is balanced, observations help, the same seed gives the same numbers.

#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::io::Write as _;
use std::path::Path;

use nilometer_definitions::Pipeline;
use nilometer_forecast::{EnsembleState, GaugeObservation};
use nilometer_runtime::{Package, Provider, Runtime};
use nilometer_schemas::{Flag, Timestamp};

const HOURS: usize = 240;

fn pipeline(set: &[&str]) -> Option<Pipeline> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if !root.join(".cache/cance/.complete").exists() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: the Cance data are absent; run ops/setup");
        return None;
    }
    let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
    Some(Pipeline::load(&root.join("pipelines/definitions/cance.toml"), &set).unwrap())
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
fn observe(flow: &[f64; 3], time: Timestamp) -> Vec<GaugeObservation> {
    (0..3)
        .map(|catchment| GaugeObservation {
            catchment,
            valid_time: time,
            discharge_m3_s: 1.6 * flow[catchment],
            flag: Flag::Pass,
            error_factor: 1.0,
        })
        .collect()
}

#[test]
fn every_millimetre_has_a_name_with_noise_and_observations() {
    for (method, members) in [("etkf", 32), ("enkf", 32), ("variational", 1)] {
        let set = [format!("assimilation.method={method}"), format!("assimilation.members={members}")];
        let Some(pipeline) = pipeline(&set.each_ref().map(String::as_str)) else { return };
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

#[test]
fn observations_bring_the_ensemble_to_the_river() {
    brought_to_the_river(&[], 0.5);
}

#[test]
fn a_window_brings_the_model_by_itself_to_the_river() {
    // Stores alone: what is wrong with the flow itself, as an output error is for a filter, stays.
    brought_to_the_river(&["assimilation.method=variational", "assimilation.members=1"], 0.7);
}

#[test]
fn a_gauge_moves_the_window_of_no_other_catchment() {
    let Some(pipeline) = pipeline(&["assimilation.method=variational", "assimilation.members=1"]) else { return };
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

fn brought_to_the_river(set: &[&str], share: f64) {
    let Some(pipeline) = pipeline(set) else { return };
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

#[test]
fn the_same_seed_gives_the_same_numbers_and_another_seed_others() {
    let run = |seed: &str| {
        let pipeline = pipeline(&[seed])?;
        let mut state = state(&pipeline);
        for hour in 0..50 {
            state.advance(&forcing(hour)).unwrap();
            state.assimilate(&observe(&[5.0, 2.0, 0.5], state.time())).unwrap();
        }
        Some(state.mean_discharge_m3_s())
    };
    let Some(once) = run("assimilation.seed=7") else { return };
    assert_eq!(once, run("assimilation.seed=7").unwrap());
    assert_ne!(once, run("assimilation.seed=8").unwrap());
}
