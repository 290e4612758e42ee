//! What the spine costs: a model step, an analysis, a row through the log, and the way from an observation to a forecast.
//!
//! `ops/bench` runs it in the release profile. Figures are medians unless they say otherwise.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails where it cannot go on")]

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use nilometer_assimilation::{
    AnalysisReport, Bounds, CatchmentObservation, EnsembleMut, EnsembleShape, Filter, FilterOptions, Purpose,
    UpdatableRow, stream,
};
use nilometer_definitions::Pipeline;
use nilometer_engine::{EmbeddedLog, Entry, Lifecycle, Log, Message, Metrics, Partition, Snapshots};
use nilometer_packages::{Package, Provider};
use nilometer_runtime::{Model, Runtime};
use nilometer_schemas::{
    Contract, Flag, ForcingRow, ForcingsBuilder, ObservationRow, ObservationsBuilder, Timestamp, Variable,
};
use object_store::local::LocalFileSystem;

const HOUR: i64 = 3_600;
const GAUGES: [&str; 3] = ["V3524010", "V3515010", "V3517010"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Median, and the 99th percentile, of `runs` runs after one that warms up.
fn times(runs: usize, mut work: impl FnMut()) -> (Duration, Duration) {
    work();
    let mut all: Vec<Duration> = (0..runs)
        .map(|_| {
            let begin = Instant::now();
            work();
            begin.elapsed()
        })
        .collect();
    percentiles(&mut all)
}

fn percentiles(all: &mut [Duration]) -> (Duration, Duration) {
    all.sort_unstable();
    (all[all.len() / 2], all[(all.len() * 99 / 100).min(all.len() - 1)])
}

fn main() {
    steps();
    analyses();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(rows_through_the_log());
    runtime.block_on(observation_to_forecast());
}

fn steps() {
    println!("\nmodel step, one ONNX Runtime call on one thread");
    println!(
        "  {:<18}{:>20}{:>14}{:>22}{:>16}",
        "package", "catchments×members", "call, µs", "catchment-member, ns", "million/s"
    );
    let runtime = Runtime::open(None, &[Provider::Cpu]).unwrap();
    for name in ["exphydro-cance", "hybrid-cance"] {
        let package = Package::load(&root().join("models/zoo").join(name)).unwrap();
        for (catchments, members) in [(1, 1), (25, 20), (500, 20), (3_125, 32)] {
            let names: Vec<&str> = GAUGES.iter().copied().cycle().take(catchments).collect();
            let chosen = package.select(&names).unwrap();
            let mut model = Model::new(&runtime, &package, &chosen, members, 1).unwrap();
            let mut state = model.initial_state();
            model.forcing_mut().fill(0.5);
            let (median, _) = times(if catchments > 1_000 { 50 } else { 500 }, || {
                model.step(&mut state).unwrap();
            });
            let each = median.as_secs_f64() / (catchments * members) as f64;
            println!(
                "  {name:<18}{:>20}{:>14.1}{:>22.1}{:>16.2}",
                format!("{catchments}×{members} = {}", catchments * members),
                median.as_secs_f64() * 1e6,
                each * 1e9,
                1e-6 / each
            );
        }
    }
}

fn analyses() {
    println!("\nETKF analysis, one discharge a catchment, 32 members, 12 updated rows (ours beside the textbook form)");
    println!(
        "  {:<18}{:>14}{:>18}{:>26}{:>10}",
        "catchments", "batch, µs", "catchment, µs", "textbook M×M, µs", "ratio"
    );
    const MEMBERS: usize = 32;
    const ROWS: usize = 12;
    let textbook = textbook_etkf(MEMBERS, ROWS);
    for catchments in [1, 500, 10_000] {
        let shape = EnsembleShape { states: ROWS, catchments, members: MEMBERS };
        let mut values: Vec<f32> = (0..ROWS * catchments * MEMBERS).map(|i| 100.0 + (i as f32 * 0.37).sin()).collect();
        let rows: Vec<UpdatableRow> =
            (0..ROWS).map(|state| UpdatableRow { state, bounds: Bounds::NON_NEGATIVE }).collect();
        let predicted: Vec<f64> = (0..catchments * MEMBERS).map(|i| (i as f64 * 0.61).sin()).collect();
        let batch: Vec<CatchmentObservation<'_>> = (0..catchments)
            .map(|catchment| CatchmentObservation {
                catchment,
                predicted: &predicted[catchment * MEMBERS..][..MEMBERS],
                observed: &[0.1],
                error_variance: &[0.01],
                inflation: 1.0,
                rows: &rows,
            })
            .collect();
        let mut filter = Filter::new(FilterOptions::default()).unwrap();
        let (mut report, mut rng) = (AnalysisReport::default(), stream(1, Purpose::ObservationPerturbation, 0));
        let (median, _) = times(20, || {
            let mut ensemble = EnsembleMut::new(&mut values, shape).unwrap();
            filter.assimilate(&mut ensemble, &batch, &mut rng, &mut report).unwrap();
        });
        let each = median.as_secs_f64() / catchments as f64;
        println!(
            "  {catchments:<18}{:>14.1}{:>18.3}{:>26.3}{:>10.1}",
            median.as_secs_f64() * 1e6,
            each * 1e6,
            textbook * 1e6,
            textbook / each
        );
    }
}

/// Seconds of one analysis in the form of the papers: eigenvalues of an M×M matrix, T·A for every row.
fn textbook_etkf(members: usize, rows: usize) -> f64 {
    use nalgebra::{DMatrix, DVector, SymmetricEigen};
    let y = DVector::from_fn(members, |i, _| (i as f64 * 0.61).sin());
    let y = y.add_scalar(-y.mean());
    let anomalies = DMatrix::from_fn(members, rows, |i, j| (i as f64 * 0.37 + j as f64).sin());
    let (median, _) = times(200, || {
        let matrix = (&y * y.transpose()) / 0.01 + DMatrix::identity(members, members) * (members as f64 - 1.0);
        let eigen = SymmetricEigen::new(matrix);
        let root = eigen.eigenvalues.map(|d| ((members as f64 - 1.0) / d).sqrt());
        let transform = &eigen.eigenvectors * DMatrix::from_diagonal(&root) * eigen.eigenvectors.transpose();
        std::hint::black_box(transform * &anomalies);
    });
    median.as_secs_f64()
}

fn observations(time: Timestamp, rows: usize) -> arrow::array::RecordBatch {
    let mut builder = ObservationsBuilder::new();
    for row in 0..rows {
        builder.push(ObservationRow {
            station: GAUGES[row % GAUGES.len()],
            variable: Variable::Discharge,
            valid_time: time.plus_s(-(row as i64)),
            period_s: 0,
            value: Some(10.0 + row as f64 * 0.01),
            flag: Flag::Pass,
            flag_source: "pass",
            qualifier: None,
            source: "bench",
            ingest_time: time,
        });
    }
    builder.finish().unwrap().into_batch()
}

async fn rows_through_the_log() {
    println!("\nembedded log on disk, append and read back (beside the same bytes written and read as plain files)");
    println!(
        "  {:<16}{:>12}{:>16}{:>16}{:>18}{:>10}",
        "rows a message", "messages", "rows/s", "messages/s", "plain files, /s", "ratio"
    );
    for (rows, messages) in [(3_usize, 2_000_u64), (1_000, 500), (50_000, 40)] {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
        let log = EmbeddedLog::new(store, "log", &Metrics::unregistered());
        let partition = Partition::new(Contract::Observation, 0);
        let batch = observations(Timestamp(0), rows);
        let begin = Instant::now();
        for sequence in 1..=messages {
            let message = Message {
                time: Timestamp(sequence as i64),
                producer: "bench",
                sequence: sequence as i64,
                batch: batch.clone(),
            };
            log.append(partition, message).await.unwrap();
        }
        let mut read = 0;
        for position in 0..messages {
            let Some(Entry::Record(record)) = log.read(partition, position).await.unwrap() else {
                unreachable!("just appended")
            };
            read += record.batch.num_rows();
        }
        let ours = begin.elapsed().as_secs_f64();
        assert_eq!(read as u64, messages * rows as u64);

        let bytes = nilometer_engine::to_ipc(&batch, &[]).unwrap();
        let begin = Instant::now();
        for message in 0..messages {
            fs::write(folder.path().join(format!("plain-{message}")), &bytes).unwrap();
        }
        for message in 0..messages {
            std::hint::black_box(fs::read(folder.path().join(format!("plain-{message}"))).unwrap());
        }
        let plain = begin.elapsed().as_secs_f64();
        println!(
            "  {rows:<16}{messages:>12}{:>16.0}{:>16.0}{:>18.0}{:>10.1}",
            read as f64 / ours,
            messages as f64 / ours,
            messages as f64 / plain,
            ours / plain
        );
    }
}

/// A definition with `count` catchments that share the parameters of the Cance's.
fn replicated(folder: &Path, count: usize) -> Pipeline {
    let text = fs::read_to_string(root().join("pipelines/definitions/cance.toml")).unwrap();
    let text = text.replace("../../", &format!("{}/", root().display()));
    let (before, rest) = text.split_once("[[catchment]]").unwrap();
    let (_, after) = rest.split_once("[network]").unwrap();
    // One table has all gauges: its rows are appended here, none is read.
    let (network, gauges) = after.split_once("[source.discharge_V3524010]").unwrap();
    let (_, after) = gauges.split_once("# A weather forecast").unwrap();
    let after = format!(
        "{network}[source.discharge]\nkind = \"table\"\npath = \"qobs/V3524010.csv\"\nstation = {{ column = \"gauge\" }}\n\
         time = {{ column = {{ name = \"time\", format = \"rfc3339\" }} }}\nvalue = \"discharge\"\nvariable = \"discharge\"\n\
         unit = \"m3 s-1\"\n# A weather forecast{after}"
    );
    let after: String = after.replace("[station_checks.V3517010]", "[station_checks.C0]");
    let mut all = before.to_owned();
    for index in 0..count {
        let parameters = GAUGES[index % GAUGES.len()];
        write!(
            all,
            "[[catchment]]\nid = \"C{index}\"\nparameters = \"{parameters}\"\narea_km2 = 100.0\noutlet_x_m = 0.0\noutlet_y_m = 0.0\n"
        )
        .unwrap();
    }
    write!(all, "[network]{after}").unwrap();
    let file = folder.join("replicated.toml");
    fs::write(&file, all).unwrap();
    // What is perfectly known ends with the rain that was appended: then no forecast would go out.
    let set = [format!("log.store={}", folder.join("store").display()), "forecast.scenario=zero".to_owned()];
    Pipeline::load(&file, &set).unwrap()
}

async fn observation_to_forecast() {
    const CATCHMENTS: usize = 500;
    const TICKS: i64 = 200;
    let folder = tempfile::tempdir().unwrap();
    let pipeline = Arc::new(replicated(folder.path(), CATCHMENTS));
    let members = pipeline.assimilation.members;
    let store = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
    let metrics = Metrics::unregistered();
    let log = Arc::new(EmbeddedLog::new(store.clone(), "log", &metrics));
    let mut lifecycle = Lifecycle::new();
    let stop = lifecycle.next_role();
    let dependencies = nilometer_forecast::Dependencies {
        log: log.clone(),
        snapshots: Snapshots::new(store.clone(), "snapshots", "forecast", 2),
        runtime: Runtime::open(None, &[Provider::Cpu]).unwrap(),
        packages: nilometer_forecast::Packages::new(
            nilometer_packages::PackageStore::new(store.clone()),
            &pipeline.models,
        ),
        models: pipeline.models.clone(),
        metrics: nilometer_forecast::ForecastMetrics::new(metrics.role("forecast"), metrics.registry()).unwrap(),
        partition: 0,
        accept_state_loss: Vec::new(),
    };
    let mut role = tokio::spawn(nilometer_forecast::run(pipeline.clone(), dependencies, stop));
    let mut latencies = Vec::new();
    for tick in 0..TICKS {
        let time = pipeline.time.from.plus_s(tick * HOUR);
        let (mut forcings, mut rows) = (ForcingsBuilder::new(), ObservationsBuilder::new());
        for catchment in &pipeline.catchments {
            for (variable, value) in [(Variable::Precipitation, 0.6), (Variable::PotentialEvapotranspiration, 0.05)] {
                forcings.push(ForcingRow {
                    catchment: &catchment.id,
                    variable,
                    valid_time: time,
                    period_s: HOUR,
                    value: Some(value),
                    valid_weight_fraction: 1.0,
                    flag: Flag::Pass,
                    flag_source: "pass",
                    member: None,
                    issue_time: None,
                    source: "bench",
                    ingest_time: time,
                });
            }
            rows.push(ObservationRow {
                station: &catchment.id,
                variable: Variable::Discharge,
                valid_time: time,
                period_s: 0,
                value: Some(2.0 + 0.01 * tick as f64),
                flag: Flag::Pass,
                flag_source: "pass",
                qualifier: None,
                source: "bench",
                ingest_time: time,
            });
        }
        let append = async |contract, batch| {
            let message = Message { time, producer: "ingest", sequence: tick + 1, batch };
            log.append(Partition::new(contract, 0), message).await.unwrap();
        };
        append(Contract::Forcing, forcings.finish().unwrap().into_batch()).await;
        let batch = rows.finish().unwrap().into_batch();
        let begin = Instant::now();
        append(Contract::Observation, batch).await;
        tokio::select! {
            waited = log.wait(Partition::new(Contract::Forecast, 0), tick as u64) => waited.unwrap(),
            ended = &mut role => unreachable!("the role ended: {:?}", ended.unwrap()),
        }
        if tick > 10 {
            latencies.push(begin.elapsed());
        }
    }
    lifecycle.stop();
    role.await.unwrap().unwrap();
    let (median, late) = percentiles(&mut latencies);
    println!(
        "\nfrom an observation's append to its forecast's append: {CATCHMENTS} catchments × {members} members, 24 lead times, {} rows",
        CATCHMENTS * 24
    );
    println!("  p50 {:.1} ms   p99 {:.1} ms", median.as_secs_f64() * 1e3, late.as_secs_f64() * 1e3);
}
