//! What SQL over the archive costs: a station's forecast as issued, what was said of an hour, the peaks of a month, over 10⁸ rows of `forecast.v1`.
//!
//! `ops/bench sql` runs it in the release profile. A peer beside it: DuckDB, which reads the same files in the same run and has to give the same
//! rows. Cold is the first question of an engine that knows nothing, when no page of the files is in memory; warm is one that was asked before.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a benchmark fails where it cannot go on"
)]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use futures::TryStreamExt as _;
use nilometer_archive::{compact, days, object_key, to_parquet};
use nilometer_engine::Partition;
use nilometer_schemas::{Contract, ForecastRow, ForecastsBuilder, Timestamp, Variable};
use nilometer_sql::{Engine, Limits, Source};
use object_store::{ObjectStore, ObjectStoreExt as _, local::LocalFileSystem, memory::InMemory};
use serde_json::{Value, json};

const STATIONS: i64 = 500;
const LEADS: i64 = 24;
const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 24 * HOUR_S;
const ROWS_A_DAY: i64 = 24 * STATIONS * LEADS;
/// 2014-01-01T00:00:00Z
const BEGIN: Timestamp = Timestamp(1_388_534_400_000_000);
const COLD_RUNS: usize = 5;
const WARM_RUNS: usize = 21;

fn main() {
    let folder = PathBuf::from(std::env::var_os("NILOMETER_BENCH_ARCHIVE").unwrap());
    let python = std::env::var_os("NILOMETER_BENCH_PYTHON").unwrap();
    let rows: i64 = std::env::var("NILOMETER_BENCH_ROWS").map_or(100_000_000, |rows| rows.parse().unwrap());
    let days = (rows as u64).div_ceil(ROWS_A_DAY as u64).max(31) as i64;
    generate(&folder, days);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/bench/sql.py");
    let peer = |what: &[&str], questions: &Value| {
        let mut run = Command::new(&python);
        run.arg(&script).args(what).arg(&folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut run = run.spawn().unwrap();
        run.stdin.take().unwrap().write_all(questions.to_string().as_bytes()).unwrap();
        let ended = run.wait_with_output().unwrap();
        assert!(ended.status.success(), "{what:?}");
        serde_json::from_slice::<Value>(&ended.stdout).unwrap()
    };
    let all = questions(days);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut ours = Vec::new();
    for (_, texts) in &all {
        let mut cold = Vec::new();
        for text in &texts[..COLD_RUNS] {
            peer(&["evict"], &json!([]));
            cold.push(runtime.block_on(ask(&engine(&folder), text)).0);
        }
        let engine = engine(&folder);
        let answers: Vec<Value> = texts.iter().map(|text| runtime.block_on(ask(&engine, text)).1).collect();
        let warm = texts.iter().map(|text| runtime.block_on(ask(&engine, text)).0).collect();
        ours.push((cold, warm, answers));
    }
    let asked: Vec<Value> = all.iter().map(|(_, texts)| json!({ "texts": texts, "cold": COLD_RUNS })).collect();
    let theirs = peer(&["ask"], &json!(asked));
    println!(
        "{} million rows of {STATIONS} stations in {days} files; ms, median (largest)\n",
        days * ROWS_A_DAY / 1_000_000
    );
    println!("| question | rows | cold | DuckDB cold | warm | DuckDB warm |\n|---|---:|---:|---:|---:|---:|");
    for (((name, _), (cold, warm, answers)), their) in all.iter().zip(ours).zip(theirs["answers"].as_array().unwrap()) {
        for (ours, theirs) in answers.iter().zip(their["answers"].as_array().unwrap()) {
            assert!(is_same(ours, theirs), "{name}: {ours} here, {theirs} there");
        }
        let times = |name: &str| their[name].as_array().unwrap().iter().map(|ms| ms.as_f64().unwrap()).collect();
        println!(
            "| {name} | {} | {} | {} | {} | {} |",
            answers[0]["rows"],
            of(cold),
            of(times("cold")),
            of(warm),
            of(times("warm"))
        );
    }
    let peak = |status: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
        line.split_whitespace().nth(1).map_or(0, |kib| kib.parse().unwrap_or(0)) / 1_024
    };
    let own = peak(&fs::read_to_string("/proc/self/status").unwrap_or_default());
    println!(
        "\nlargest resident memory: {own} MiB, DuckDB {} {} MiB",
        theirs["version"].as_str().unwrap(),
        theirs["peak_mib"]
    );
}

/// Median and largest.
fn of(mut times: Vec<f64>) -> String {
    times.sort_by(f64::total_cmp);
    format!("{:.0} ({:.0})", times[times.len() / 2], times[times.len() - 1])
}

/// The same number of rows, and the same sum but for the order of its terms.
fn is_same(a: &Value, b: &Value) -> bool {
    let sum = |of: &Value| of["sum"].as_f64().unwrap();
    a["rows"] == b["rows"] && (sum(a) - sum(b)).abs() <= 1e-9 * sum(a).abs()
}

/// Texts of each question, of other stations and times each.
fn questions(days: i64) -> Vec<(&'static str, Vec<String>)> {
    let number = |run: usize, of: i64| (hashed(run as i64 + 1) % of as u64) as i64;
    let station = |run: usize| name(number(run, STATIONS));
    // Of the last 30 days, as people ask; peaks also of the months before.
    let hour = |run: usize| BEGIN.plus_s((days - 2) * DAY_S - number(run + 100, 28 * 24) * HOUR_S);
    let texts = |text: &dyn Fn(usize) -> String| (0..WARM_RUNS).map(text).collect::<Vec<_>>();
    vec![
        (
            "a station's forecast as issued",
            texts(&|run| {
                format!(
                    "SELECT valid_time, q05, q25, q50, q75, q95 FROM forecast WHERE catchment = '{}' AND issue_time = '{}' ORDER BY valid_time",
                    station(run),
                    hour(run)
                )
            }),
        ),
        (
            "what each issue said of a station's hour",
            texts(&|run| {
                format!(
                    "SELECT issue_time, q05, q50, q95 FROM forecast WHERE catchment = '{}' AND valid_time = '{}' ORDER BY issue_time",
                    station(run),
                    hour(run)
                )
            }),
        ),
        (
            "all that was said of an hour, every station",
            texts(&|run| format!("SELECT catchment, issue_time, q50 FROM forecast WHERE valid_time = '{}'", hour(run))),
        ),
        (
            "peaks of all stations in 30 days",
            texts(&|run| {
                let first = BEGIN.plus_s(number(run + 200, days - 30) * DAY_S);
                format!(
                    "SELECT catchment, max(q50) AS peak FROM forecast WHERE issue_time >= '{first}' AND issue_time < '{}' GROUP BY catchment",
                    first.plus_s(30 * DAY_S)
                )
            }),
        ),
    ]
}

/// An engine over the archive that has read nothing yet.
fn engine(folder: &Path) -> Engine {
    let archive: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(folder).unwrap());
    let limits = Limits { memory_mib: 512, time: Duration::from_secs(60), rows: 1_000_000 };
    Engine::new(Source { site: None, archive, catchments: Vec::new() }, limits).unwrap()
}

/// Milliseconds until the last row, the number of rows, and the sum of all their numbers.
async fn ask(engine: &Engine, text: &str) -> (f64, Value) {
    let begun = Instant::now();
    let batches: Vec<_> = engine.query(text).await.unwrap().try_collect().await.unwrap();
    let took = begun.elapsed().as_secs_f64() * 1e3;
    let numbers = batches.iter().flat_map(arrow::array::RecordBatch::columns);
    let numbers = numbers.filter_map(|column| column.as_any().downcast_ref::<arrow::array::Float64Array>());
    let sum: f64 = numbers.flat_map(|column| column.values().iter()).sum();
    let rows: usize = batches.iter().map(arrow::array::RecordBatch::num_rows).sum();
    (took, json!({ "rows": rows, "sum": sum }))
}

fn name(station: i64) -> String {
    format!("S{station:05}")
}

/// Writes the days that are not there yet, on all processors.
fn generate(folder: &Path, number: i64) {
    fs::create_dir_all(folder).unwrap();
    let next = AtomicI64::new(0);
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        loop {
            let day = next.fetch_add(1, Ordering::Relaxed);
            if day >= number {
                return;
            }
            runtime.block_on(write_day(folder, BEGIN.plus_s(day * DAY_S)));
            if day % 30 == 29 {
                eprintln!("{} of {number} days written", day + 1);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(work);
        }
    });
}

/// A day of hourly issues as compaction leaves it. Its manifest is written last, so a day with one is whole.
async fn write_day(folder: &Path, begin: Timestamp) {
    let of_day = format!("{}/date={}", Contract::Forecast.topic(), begin.date());
    if folder.join(&of_day).join("_manifest-1.json").exists() {
        return;
    }
    let store = InMemory::new();
    for hour in 0..24 {
        let issue = begin.plus_s(hour * HOUR_S);
        let partition = Partition::new(Contract::Forecast, 0);
        let rows = issued(issue);
        let key = object_key(&"".into(), partition, issue, 0, &rows);
        store.put(&key, to_parquet(&rows).unwrap().into()).await.unwrap();
    }
    for day in days(&store, Contract::Forecast, None).await.unwrap() {
        compact(&store, &day).await.unwrap();
    }
    let mut objects: Vec<_> = store.list(None).try_collect().await.unwrap();
    // The file, then what says that it is one.
    objects.sort_by_key(|object: &object_store::ObjectMeta| {
        object.location.filename().is_some_and(|name| name.starts_with('_'))
    });
    for object in objects {
        let path = folder.join(object.location.as_ref());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, store.get(&object.location).await.unwrap().bytes().await.unwrap()).unwrap();
    }
}

/// Forecasts of an hour: a base of each station, a year, floods, and digits that no compression finds.
fn issued(issue: Timestamp) -> arrow::array::RecordBatch {
    let mut rows = ForecastsBuilder::new();
    let hour = issue.seconds_since(BEGIN) / HOUR_S;
    for station in 0..STATIONS {
        let id = name(station);
        let base = 1.0 + (hashed(station) % 1_000) as f64 / 7.0;
        for lead in 1..=LEADS {
            let at = (hour + lead) as f64;
            let season = 1.0 + 0.6 * (at / 8_766.0 * std::f64::consts::TAU).sin();
            let flood = 4.0 * (at / 97.0 + station as f64).sin().max(0.0).powi(24);
            let noise = (hashed(station << 40 ^ hour << 8 ^ lead) >> 11) as f64 / (1_u64 << 53) as f64;
            let median = base * (season + flood) * (0.9 + 0.2 * noise);
            let quantiles: [f64; 19] =
                std::array::from_fn(|level| median * (1.0 + (level as f64 - 9.0) * (0.01 + 0.001 * lead as f64)));
            rows.push(ForecastRow {
                catchment: &id,
                variable: Variable::Discharge,
                issue_time: issue,
                valid_time: issue.plus_s(lead * HOUR_S),
                mean: median * (1.0 + 0.01 * noise),
                quantiles: &quantiles,
                tails: None,
                simulated: Some(median * 0.97),
                members: 32,
                scenario: "perfect",
                state_time: issue,
                filled_steps: 0,
                model: "gr4h",
                model_version: "1",
                weights_sha256: "0000",
                observation_position: hour as u64,
                forcing_position: hour as u64,
                supersedes: None,
                reason: None,
                stage: None,
                member_values: None,
                shadow: false,
            });
        }
    }
    rows.finish().unwrap().into_batch()
}

/// `SplitMix64`.
const fn hashed(of: i64) -> u64 {
    let mut value = (of as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
