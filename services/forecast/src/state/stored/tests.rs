//! Frozen snapshots, of every version that there has been: each is read by this build, or refused with a sentence that says what to do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where it cannot go on")]

use std::{fs, path::Path, sync::Arc};

use nilometer_definitions::Pipeline;
use nilometer_engine::{Snapshot, Snapshots};
use nilometer_needs::needs;
use nilometer_packages::Provider;
use nilometer_runtime::Runtime;
use nilometer_schemas::Timestamp;
use object_store::{ObjectStore, ObjectStoreExt as _, memory::InMemory};

use super::*;
use crate::setting::Setting;

fn frozen() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("frozen")
}

fn state(set: &[&str]) -> PartitionState {
    let set: Vec<String> = set.iter().map(|set| (*set).to_owned()).collect();
    let pipeline =
        Pipeline::load(&frozen().join("definition.toml"), &set).unwrap_or_else(|problems| panic!("{problems}"));
    let models = pipeline.models.clone();
    let setting = Arc::new(Setting::new(Arc::new(pipeline), 0).unwrap());
    PartitionState::new(setting, &Runtime::open(None, &[Provider::Cpu]).unwrap(), models).unwrap()
}

/// The snapshot of a version, as the role reads it.
async fn snapshot(version: u32) -> Snapshot<Stored> {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let bytes = fs::read(frozen().join(format!("state-{version}.arrow"))).unwrap();
    store.put(&"snapshots/forecast/00000000000000000007.arrow".into(), bytes.into()).await.unwrap();
    Snapshots::new(store, "snapshots", "forecast", 2).newest().await.unwrap().unwrap()
}

#[tokio::test]
async fn version_2_is_read_and_begins_model_v1_at_its_start() {
    let stored = current(snapshot(2).await.content).unwrap();
    assert_eq!(stored.progress.positions.model, Default::default());
    assert!(stored.package_sha256.is_none());
    let (two, three) = (snapshot(2).await, snapshot(3).await);
    assert_eq!(two.columns.names().collect::<Vec<_>>(), three.columns.names().collect::<Vec<_>>());
    assert_eq!(current(three.content).unwrap().progress.tick, stored.progress.tick);
}

/// The weights of the shadow that the snapshot of version 4 has.
fn shadow() -> Mixture {
    nilometer_testing::scaled("exphydro-local", 1.25)
}

#[tokio::test]
async fn version_3_is_read_and_has_no_shadow() {
    let (three, four) = (snapshot(3).await, snapshot(4).await);
    let stored = current(three.content).unwrap();
    assert!(stored.shadow.is_none());
    let names = |columns: &Columns| columns.names().map(str::to_owned).collect::<Vec<_>>();
    let in_force: Vec<String> = names(&four.columns).into_iter().filter(|name| !name.starts_with(SHADOW)).collect();
    assert_eq!(names(&three.columns), in_force);
}

#[needs(onnxruntime)]
#[tokio::test]
async fn version_4_is_read_and_its_calibrators_go_on_as_those_of_some_lead_times() {
    let Snapshot { content, columns, .. } = snapshot(4).await;
    let mut state = restored(*current(content).unwrap(), &columns);
    let (_, again) = state.store().unwrap();
    let old = ["calibration.learned", "calibration.issued"];
    for name in columns.names().filter(|name| !old.iter().any(|old| name.contains(old))) {
        assert_eq!(of_rows(&again, name), of_rows(&columns, name), "{name}");
    }
    let rows = again.keyed(["g0"]);
    assert_eq!(rows.f32("exphydro-local.error_scale", 0), Some(&[1.0, 1.0][..]), "nothing is known of errors yet");
    let before = columns.keyed(["g0"]).f32("calibration.learned", 0).unwrap()[..7].to_vec();
    assert_eq!(rows.f32("calibration.of_knots", 0).unwrap()[1..8], before, "one step ahead");
    let waiting = |columns: &Columns, name: &str| columns.keyed(["g0"]).i64(name, 0).map(<[i64]>::to_vec);
    assert_eq!(
        waiting(&again, "calibration.distributions.valid_time"),
        waiting(&columns, "calibration.issued.valid_time")
    );
}

/// A state that goes on from a stored one with a shadow.
fn restored(stored: StoredState, columns: &Columns) -> PartitionState {
    let mut state = state(&[]);
    let in_force = state.in_force.models.clone();
    state.go_on_with(in_force, Some(Ok(shadow()))).unwrap();
    state.restore(stored, columns).unwrap();
    state
}

/// What a column says of both gauges.
fn of_rows(columns: &Columns, name: &str) -> [String; 2] {
    let rows = columns.keyed(["g0", "g1"]);
    [0, 1].map(|row| format!("{:?} {:?} {:?}", rows.f32(name, row), rows.f64(name, row), rows.i64(name, row)))
}

#[needs(onnxruntime)]
#[tokio::test]
async fn version_5_is_read_and_knows_of_no_gauge_when_it_read_last() {
    let Snapshot { content, columns, .. } = snapshot(5).await;
    let mut state = restored(*current(content).unwrap(), &columns);
    let (_, again) = state.store().unwrap();
    for name in columns.names() {
        assert_eq!(of_rows(&again, name), of_rows(&columns, name), "{name}");
    }
    let new: Vec<&str> = again.names().filter(|name| !columns.names().any(|old| old == *name)).collect();
    assert_eq!(new, ["calibration.newest", "shadow.calibration.newest"]);
}

#[needs(onnxruntime)]
#[tokio::test]
async fn version_6_is_read_and_has_no_levels() {
    let Snapshot { content, columns, .. } = snapshot(6).await;
    let stored = current(content).unwrap();
    assert_eq!((stored.progress.positions.operator, &stored.levels), (Default::default(), &Levels::default()));
    let mut state = restored(*stored, &columns);
    let (stored, again) = state.store().unwrap();
    if std::env::var_os("NILOMETER_FREEZE").is_some() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        Snapshots::new(store.clone(), "snapshots", "forecast", 2).save(7, &stored, &again).await.unwrap();
        let key = "snapshots/forecast/00000000000000000007.arrow".into();
        let bytes = store.get(&key).await.unwrap().bytes().await.unwrap();
        fs::write(frozen().join("state-7.arrow"), bytes).unwrap();
    }
}

#[needs(onnxruntime)]
#[tokio::test]
async fn version_7_is_read_and_written_as_it_is() {
    let Snapshot { content, columns, .. } = snapshot(7).await;
    let stored = current(content).unwrap();
    let json = |stored: &Stored| serde_json::to_value(stored).unwrap();
    let before = json(&Versioned::Current(stored.clone()));
    let mut state = restored(*stored, &columns);
    assert_eq!(state.progress.tick, "2013-10-21".parse::<Timestamp>().unwrap());
    let (again, columns_again) = state.store().unwrap();
    assert_eq!(json(&again), before);
    assert_eq!(columns_again.names().collect::<Vec<_>>(), columns.names().collect::<Vec<_>>());
    for name in columns.names() {
        assert_eq!(of_rows(&columns_again, name), of_rows(&columns, name), "{name}");
    }
}

#[needs(onnxruntime)]
#[tokio::test]
async fn a_gauge_that_is_gone_leaves_what_waited_in_a_dead_letter_and_the_balance_closes() {
    let Snapshot { content, columns, .. } = snapshot(2).await;
    let mut stored = current(content).unwrap();
    let waiting = nilometer_alignment::PeriodForcing {
        variable: nilometer_schemas::Variable::Precipitation,
        catchment: 1,
        valid_time: stored.progress.state_time.plus_s(86_400),
        period_s: 86_400,
        value: 3.0,
    };
    let limit = waiting.valid_time;
    let reached = stored.progress.state_time;
    stored.alignment.add_forcing(waiting, nilometer_alignment::Waiting { reached, limit });
    (stored.balance.received, stored.balance.pending) = (stored.balance.received + 1, stored.balance.pending + 1);
    stored.catchments[1] = "gone".to_owned();
    let mut state = state(&[]);
    state.restore(*stored, &columns).unwrap();
    let dead_letters = state.accounts.take_dead_letters();
    assert_eq!(dead_letters.len(), 1);
    let dead_letter = &dead_letters[0].dead_letter;
    assert_eq!(
        (dead_letter.rows, dead_letter.reason, dead_letter.locator.as_str()),
        (1, Reason::UnknownStation, "gone")
    );
    state.balance().check(&nilometer_engine::Metrics::unregistered().role("test")).unwrap();
    assert_eq!(state.alignment.pending_forcings(), 0);
    assert!(dead_letters[0].is_new_at(Timestamp(7)), "it goes out with whatever tick comes next");
}

#[needs(onnxruntime)]
#[tokio::test]
async fn what_a_state_cannot_go_on_over_is_named_with_what_may_begin_anew() {
    let stored = current(snapshot(2).await.content).unwrap();
    let misfits = state(&["assimilation.members=6"]).identity().misfits(&stored.identity);
    let found: Vec<_> = misfits.iter().map(|m| (m.key, m.part, m.found.as_str(), m.expected.as_str())).collect();
    assert_eq!(found, [("assimilation.members", Some(ENSEMBLE), "4", "6")]);
    // A blend that has lost a member fits what its other members left, and takes up no weights of the blend.
    let mut blend = stored.identity.clone();
    blend.models.push(StoredModel { name: "another".to_owned(), step_sha256: "00".to_owned() });
    let left = state(&[]).identity().clone();
    assert!(left.misfits(&blend).is_empty() && !left.has_models_of(&blend) && left.has_models_of(&stored.identity));
    let horizon = state(&["forecast.horizon=5d", "forecast.leads=[1,5]"]).identity().misfits(&stored.identity);
    assert!(horizon.is_empty(), "horizon and lead times may change");
}

#[needs(onnxruntime)]
#[tokio::test]
async fn an_ensemble_of_other_members_begins_anew_with_its_water_and_calibration_stays() {
    let Snapshot { content, columns, .. } = snapshot(2).await;
    let stored = *current(content).unwrap();
    let (time, steps) = (stored.progress.state_time, stored.progress.steps);
    let mut state = state(&["assimilation.members=6"]);
    state.restore(stored, &columns).unwrap();
    let (residual_mm, tolerance_mm) = state.budget_residual_mm();
    assert!(residual_mm < tolerance_mm, "the water of the ensemble before is not counted: {residual_mm} mm");
    let (again, numbers) = state.store().unwrap();
    let (rows, before) = (numbers.keyed(["g0"]), columns.keyed(["g0"]));
    let first_lead = &before.f32("calibration.learned", 0).unwrap()[..7];
    assert_eq!(&rows.f32("calibration.of_knots", 0).unwrap()[1..8], first_lead);
    assert_eq!(rows.i64("exphydro-local.predicted.time", 0), Some(&[][..]), "nothing is predicted by six members yet");
    assert_eq!(rows.f64("exphydro-local.water_budget.precipitation_mm", 0), Some(&[0.0][..]));
    let again = current(again).unwrap();
    assert_eq!((again.progress.state_time, again.progress.steps), (time, steps));
}

#[needs(onnxruntime)]
#[tokio::test]
async fn an_ensemble_of_another_graph_of_the_same_name_begins_anew() {
    let Snapshot { content, columns, .. } = snapshot(2).await;
    let mut stored = *current(content).unwrap();
    stored.identity.models[0].step_sha256 = "of another graph".to_owned();
    let mut state = state(&[]);
    assert_eq!(state.identity().misfits(&stored.identity)[0].key, "model.package");
    state.restore(stored, &columns).unwrap();
    let (_, numbers) = state.store().unwrap();
    let soil = |columns: &Columns| columns.keyed(["g0"]).f32("exphydro-local.soil_store", 0).unwrap().to_vec();
    assert_ne!(soil(&numbers), soil(&columns));
}

#[tokio::test]
async fn version_1_is_refused_with_what_to_do_and_a_later_one_with_what_is_accepted() {
    let error = current(snapshot(1).await.content).unwrap_err().to_string();
    assert!(error.contains("of version 1") && error.contains("remove the folder snapshots/forecast"), "{error}");
    let later = current(Versioned::Other(VERSION + 1)).unwrap_err().to_string();
    assert!(later.contains("version 8") && later.contains("accepted are versions 2 to 7"), "{later}");
}
