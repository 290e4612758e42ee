//! Every package of the zoo loads, verifies and reproduces its golden vectors; damaged ones are refused with a reason.

#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use nilometer_runtime::{Model, Package, Provider, Runtime, RuntimeError, check_golden};

fn zoo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../zoo")
}

fn packages() -> Vec<PathBuf> {
    let mut all: Vec<_> =
        fs::read_dir(zoo()).unwrap().map(|e| e.unwrap().path()).filter(|p| p.join("card.toml").exists()).collect();
    all.sort();
    assert!(!all.is_empty());
    all
}

fn runtime() -> Runtime {
    Runtime::open(None, &[Provider::Cpu]).unwrap()
}

/// A copy of a package in which one file is changed.
fn changed(file: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> (tempfile::TempDir, Result<Package, RuntimeError>) {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(zoo().join("hybrid-cance")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let path = folder.path().join(file);
    fs::write(&path, change(fs::read(&path).unwrap())).unwrap();
    let package = Package::load(folder.path());
    (folder, package)
}

#[test]
fn golden_vectors_are_reproduced() {
    for folder in packages() {
        let package = Package::load(&folder).unwrap();
        for difference in check_golden(&runtime(), &package).unwrap() {
            // float32 arithmetic on stores of some hundred mm: 1e-5 is 2^-17, seven bits above the rounding.
            assert!(difference.relative < 1e-5, "{}: {difference:?}", package.card().name);
        }
    }
}

#[test]
fn water_balance_closes_in_every_step() {
    for folder in packages() {
        let package = Package::load(&folder).unwrap();
        let every: Vec<usize> = (0..package.card().catchments.len()).collect();
        let (c, m) = (every.len(), 2);
        let mut model = Model::new(&runtime(), &package, &every, m, 1).unwrap();
        let mut state = model.initial_state();
        for step in 0..200_u16 {
            let rain = if step % 17 < 5 { f32::from(step % 7) } else { 0.0 };
            let before = state[..c * m].to_vec();
            model.forcing_mut()[..c * m].fill(rain);
            model.forcing_mut()[c * m..].fill(0.05);
            let fluxes = model.step(&mut state).unwrap();
            let (evaporated, outflow) = (fluxes.evapotranspiration_mm.to_vec(), fluxes.outflow_mm.to_vec());
            for i in 0..c * m {
                let error = state[i] - before[i] - (rain - evaporated[i] - outflow[i]);
                assert!(error.abs() < 2e-4, "step {step}, entry {i}: {error} mm");
            }
        }
    }
}

#[test]
fn a_member_does_not_feel_the_others() {
    let package = Package::load(&zoo().join("hybrid-cance")).unwrap();
    let one = |members: usize| {
        let mut model = Model::new(&runtime(), &package, &[0, 2], members, 1).unwrap();
        let mut state = model.initial_state();
        model.forcing_mut()[..2 * members].fill(3.0);
        let q = model.step(&mut state).unwrap().discharge_mm.to_vec();
        (q[0], q[members])
    };
    let (alone, among) = (one(1), one(32));
    assert!((alone.0 - among.0).abs() < 1e-5 && (alone.1 - among.1).abs() < 1e-5, "{alone:?} {among:?}");
}

#[test]
fn damage_is_refused_with_file_and_remedy() {
    let flip = |mut bytes: Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        bytes
    };
    let (_kept, package) = changed("weights.safetensors", flip);
    let error = package.unwrap_err().to_string();
    assert!(error.contains("weights.safetensors has SHA-256") && error.contains("the card says"), "{error}");

    let (_kept, package) = changed("card.toml", |text| [b"surprise = 1\n".to_vec(), text].concat());
    let error = package.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(error.to_string().contains("card.toml") && cause.contains("surprise"), "{error}: {cause}");

    let (_kept, package) = changed("card.toml", |text| {
        String::from_utf8(text).unwrap().replace("shape = [3, 4, 10]", "shape = [3, 4, 11]").into_bytes()
    });
    let error = package.unwrap_err().to_string();
    assert!(error.contains("has shape [3, 4, 10], the card says [3, 4, 11]"), "{error}");

    let (_kept, package) = changed("step.onnx", |bytes| bytes[..bytes.len() / 2].to_vec());
    assert!(package.unwrap_err().to_string().contains("step.onnx has SHA-256"));

    let package = Package::load(&zoo().join("hybrid-cance")).unwrap();
    let error = package.select(&["V9999999"]).unwrap_err().to_string();
    assert!(error.contains("V9999999") && error.contains("V3524010"), "{error}");
}

#[test]
fn a_provider_that_is_missing_is_an_error_not_a_fall_back() {
    let cuda = Runtime::open(None, &[Provider::Cuda]).unwrap();
    let package = Package::load(&zoo().join("exphydro-cance")).unwrap();
    match Model::new(&cuda, &package, &[0], 1, 1) {
        Ok(_) => eprintln!("this machine has CUDA"),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("execution provider cuda is not available"), "{text}");
        }
    }
}
