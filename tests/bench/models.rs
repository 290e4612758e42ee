//! What a model costs beside the same model in PyTorch (eager) and NumPy: rollouts, streaming steps, a training step.
//!
//! `ops/bench models` runs it in the release profile. Every implementation computes the same catchments, weather and weights on one
//! thread; their mean discharge must agree before a time is printed. Figures are medians.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails where it cannot go on")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use nilometer_packages::{Package, Provider, Selection};
use nilometer_runtime::{Batch, Model, Runtime, TrainStep};

/// Regional packages: a learned one, whose recurrence PyTorch has as one fused operator, and one with physics in the loop.
const PACKAGES: [&str; 2] = ["lstm", "hybrid-regional"];
/// Steps and catchments.
const ROLLOUTS: [(usize, usize); 2] = [(365, 500), (3_650, 475)];
/// Catchments and members.
const STEPS: [(usize, usize); 4] = [(1, 1), (25, 20), (500, 20), (3_125, 32)];
const TRAINING: (usize, usize) = (365, 500);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Weather of day `t` in catchment `c`: the same numbers as in `peers.py`.
fn weather(t: usize, c: usize) -> [f32; 6] {
    let wave = |speed: f64, phase: f64| (speed * t as f64 + phase * c as f64).sin();
    let season = wave(std::f64::consts::TAU / 365.0, 0.01);
    [
        (14.0 * wave(0.9, 0.7) - 6.0).max(0.0),
        2.0 - 9.0 * season,
        12.0 - 9.0 * season,
        0.5 - 0.1 * season,
        180.0 - 90.0 * season,
        900.0 - 400.0 * season,
    ]
    .map(|v| v as f32)
}

/// `[F, C, M]`, the same in every member.
fn fill(forcing: &mut [f32], t: usize, catchments: usize, members: usize) {
    for c in 0..catchments {
        for (f, value) in weather(t, c).into_iter().enumerate() {
            forcing[(f * catchments + c) * members..][..members].fill(value);
        }
    }
}

/// The catchments of the golden vectors, over and over.
fn catchments(package: &Package, count: usize) -> Selection {
    let bytes = package.bytes("golden.safetensors").to_vec();
    let golden = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let attributes = golden.tensor("attributes").unwrap();
    let (rows, known) = (attributes.shape()[0], attributes.shape()[1]);
    let values: Vec<f32> = attributes.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let repeated =
        (0..rows).flat_map(|a| (0..count).map(move |c| a * known + c % known)).map(|at| values[at]).collect();
    package.describe(count, repeated).unwrap()
}

/// Median seconds of `runs` runs after one that warms up.
fn seconds(runs: usize, mut work: impl FnMut()) -> f64 {
    work();
    let mut all: Vec<f64> = (0..runs)
        .map(|_| {
            let begin = Instant::now();
            work();
            begin.elapsed().as_secs_f64()
        })
        .collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn mean(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64
}

/// Seconds and mean discharge (of training: the loss) by case.
type Measured = BTreeMap<String, (f64, f64)>;

fn ours(runtime: &Runtime, package: &Package) -> Measured {
    let mut measured = Measured::new();
    for (steps, count) in ROLLOUTS {
        let mut model = Model::new(runtime, package, &catchments(package, count), 1, steps).unwrap();
        let length = model.forcing_len();
        for (t, forcing) in model.rollout_forcing_mut().chunks_mut(length).enumerate() {
            fill(forcing, t, count, 1);
        }
        let state = model.initial_state();
        let time = seconds(3, || {
            model.rollout(&state).unwrap();
        });
        measured.insert(format!("rollout {steps} × {count}"), (time, mean(model.rollout_discharge())));
    }
    for (count, members) in STEPS {
        let mut model = Model::new(runtime, package, &catchments(package, count), members, 1).unwrap();
        let mut state = model.initial_state();
        fill(model.forcing_mut(), 3, count, members);
        let discharge = mean(model.step(&mut state).unwrap().discharge_mm);
        let time = seconds(if count > 1_000 { 10 } else { 100 }, || {
            model.step(&mut state).unwrap();
        });
        measured.insert(format!("step {}", count * members), (time, discharge));
    }
    let (steps, count) = TRAINING;
    let selection = catchments(package, count);
    let mut train = TrainStep::new(runtime, package, &selection, 1, steps).unwrap();
    let state = Model::new(runtime, package, &selection, 1, 1).unwrap().initial_state();
    let inputs = package.card().inputs.len();
    let mut forcing = vec![0.0; steps * inputs * count];
    forcing.chunks_mut(inputs * count).enumerate().for_each(|(t, f)| fill(f, t, count, 1));
    let (observed, weight, scale) = (vec![1.0; steps * count], vec![1.0; steps * count], vec![1.0; count]);
    let batch = Batch { state: &state, forcing: &forcing, observed: &observed, weight: &weight, scale: &scale };
    let loss = train.step(&batch, 0.0).unwrap();
    let time = seconds(3, || {
        train.step(&batch, 0.0).unwrap();
    });
    measured.insert(format!("train_step {steps} × {count}"), (time, f64::from(loss)));
    measured
}

/// What `peers.py` says: a line a library and case.
fn peers(package: &str) -> BTreeMap<String, Measured> {
    let python = std::env::var("NILOMETER_BENCH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = Command::new(&python)
        .arg(root().join("tests/bench/peers.py"))
        .arg(root().join("models/zoo").join(package))
        .output()
        .unwrap();
    assert!(output.status.success(), "no peers: {python} says {}", String::from_utf8_lossy(&output.stderr));
    let mut found: BTreeMap<String, Measured> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let [library, case, time, value] = line.split('\t').collect::<Vec<_>>()[..] else { continue };
        let numbers = (time.parse().unwrap(), value.parse().unwrap());
        found.entry(library.to_owned()).or_default().insert(case.to_owned(), numbers);
    }
    found
}

fn main() {
    let runtime = Runtime::open(None, &[Provider::Cpu]).unwrap();
    for name in PACKAGES {
        let package = Package::load(&root().join("models/zoo").join(name)).unwrap();
        let (ours, peers) = (ours(&runtime, &package), peers(name));
        println!("\n{name}: one thread each, ms");
        print!("  {:<24}{:>12}", "case", "nilometer");
        peers.keys().for_each(|library| print!("{library:>20}{:>9}", "ratio"));
        println!();
        for (case, (time, value)) in &ours {
            print!("  {case:<24}{:>12.3}", time * 1e3);
            for measured in peers.values() {
                match measured.get(case) {
                    Some((theirs, same)) => {
                        assert!((same - value).abs() < 1e-3 * value.abs(), "{name}, {case}: {value} and {same}");
                        print!("{:>20.3}{:>9.1}", theirs * 1e3, theirs / time);
                    }
                    None => print!("{:>20}{:>9}", "-", "-"),
                }
            }
            println!();
        }
    }
}
