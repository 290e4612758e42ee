//! Every package of the zoo loads, verifies and reproduces its golden vectors; damaged ones are refused with a reason.

#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use nilometer_needs::needs;
use nilometer_packages::{Mixture, Package, PackageError, Provider};
use nilometer_runtime::{Batch, Model, Runtime, TrainStep, check_golden, probe};

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
fn changed(file: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> (tempfile::TempDir, Result<Package, PackageError>) {
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

#[needs(onnxruntime)]
#[test]
fn golden_vectors_are_reproduced() {
    for folder in packages() {
        let package = Package::load(&folder).unwrap();
        for difference in check_golden(&runtime(), &package).unwrap() {
            assert!(difference.relative < difference.limit, "{}: {difference:?}", package.card().name);
        }
    }
}

#[test]
fn blends_are_of_the_weights_that_they_were_fitted_for() {
    let blends = fs::read_dir(zoo()).unwrap().map(|e| e.unwrap().path()).filter(|p| p.join("blend.toml").exists());
    for folder in blends {
        let blend = Mixture::load(&folder).unwrap();
        assert!(blend.members().len() > 1 && blend.members().iter().all(|m| m.weight > 0.0), "{}", blend.name());
    }
}

#[needs(onnxruntime)]
#[test]
fn physics_holds_or_the_card_says_that_it_does_not() {
    for folder in packages() {
        let package = Package::load(&folder).unwrap();
        let owned = &package.card().known_failures;
        let answers = probe(&runtime(), &package).unwrap();
        let failed: Vec<&str> = answers.iter().filter(|p| p.holds == Some(false)).map(|p| p.name).collect();
        assert_eq!(
            failed,
            owned.iter().map(String::as_str).collect::<Vec<_>>(),
            "{}: {answers:#?}",
            package.card().name
        );
        // What keeps stores must account for them.
        let stores = package.card().states.iter().any(|s| s.storage.is_some());
        assert_eq!(answers[0].holds.is_some(), stores, "{}", package.card().name);
    }
}

#[test]
fn attributes_that_do_not_fit_are_refused() {
    let package = Package::load(&zoo().join("lstm")).unwrap();
    let wanted = package.card().attributes.len();
    for (given, word) in
        [(vec![0.0; wanted - 1], "26 numbers for 1"), (vec![f32::NAN; wanted], "p_mean of catchment 0 is NaN")]
    {
        let error = package.describe(1, given).unwrap_err().to_string();
        assert!(error.contains(word) && error.contains("geol_permeability"), "{error}");
    }
    assert!(package.select(&["01013500"]).unwrap_err().to_string().contains("none are given"));
    let local = Package::load(&zoo().join("hybrid-cance")).unwrap();
    assert!(local.describe(1, vec![1.0]).is_err());
}

#[needs(onnxruntime)]
#[test]
fn a_member_does_not_feel_the_others() {
    let package = Package::load(&zoo().join("hybrid-cance")).unwrap();
    let one = |members: usize| {
        let mut model =
            Model::new(&runtime(), &package, &package.select(&["V3524010", "V3517010"]).unwrap(), members, 1).unwrap();
        let mut state = model.initial_state();
        model.forcing_mut()[..2 * members].fill(3.0);
        let q = model.step(&mut state).unwrap().discharge_mm.to_vec();
        (q[0], q[members])
    };
    let (alone, among) = (one(1), one(32));
    assert!((alone.0 - among.0).abs() < 1e-5 && (alone.1 - among.1).abs() < 1e-5, "{alone:?} {among:?}");
}

/// `hybrid-cance` trained on: every weight a little larger, the card's hash made to fit.
fn trained_on() -> (tempfile::TempDir, Package) {
    use sha2::{Digest, Sha256};
    let (folder, _) = changed("weights.safetensors", |bytes| {
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let scaled =
            bytes[header..].as_chunks::<4>().0.iter().flat_map(|b| (f32::from_le_bytes(*b) * 1.01).to_le_bytes());
        bytes[..header].iter().copied().chain(scaled).collect()
    });
    let hex = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let [old, new] = [zoo().join("hybrid-cance"), folder.path().to_owned()]
        .map(|at| hex(&fs::read(at.join("weights.safetensors")).unwrap()));
    let card = folder.path().join("card.toml");
    fs::write(&card, fs::read_to_string(&card).unwrap().replace(&old, &new)).unwrap();
    let package = Package::load(folder.path()).unwrap();
    (folder, package)
}

#[needs(onnxruntime)]
#[test]
fn swapped_weights_act_from_the_next_step_on_and_leave_the_state_alone() {
    let old = Package::load(&zoo().join("hybrid-cance")).unwrap();
    let (_kept, new) = trained_on();
    let catchments = old.select(&["V3524010", "V3517010"]).unwrap();
    let model = |package: &Package| Model::new(&runtime(), package, &catchments, 4, 3).unwrap();
    let step = |model: &mut Model, state: &mut [f32]| {
        model.forcing_mut().fill(2.0);
        model.step(state).unwrap().discharge_mm.to_vec()
    };
    let mut running = model(&old);
    let mut state = running.initial_state();
    step(&mut running, &mut state);
    let (mut by_old, mut by_new) = (state.clone(), state.clone());
    running.swap_weights(&new, &catchments).unwrap();
    let swapped = step(&mut running, &mut state);
    assert_eq!(swapped, step(&mut model(&new), &mut by_new), "as a model that began with the new weights");
    assert_eq!(state, by_new);
    assert_ne!(swapped, step(&mut model(&old), &mut by_old));
    running.rollout_forcing_mut().fill(2.0);
    let mut fresh = model(&new);
    fresh.rollout_forcing_mut().fill(2.0);
    assert_eq!(running.rollout(&state).unwrap(), fresh.rollout(&state).unwrap(), "in the rollout too");

    let other = Package::load(&zoo().join("exphydro-cance")).unwrap();
    let error =
        running.swap_weights(&other, &other.select(&["V3524010", "V3517010"]).unwrap()).unwrap_err().to_string();
    assert!(error.contains("step.onnx") && error.contains("hybrid-cance"), "{error}");
    assert_eq!(step(&mut running, &mut state.clone()), step(&mut fresh, &mut state), "and nothing was replaced");
}

#[needs(onnxruntime)]
#[test]
fn training_steps_lower_the_loss_and_an_absurd_one_is_not_taken() {
    let package = Package::load(&zoo().join("hybrid-cance")).unwrap();
    let catchments = package.select(&["V3524010"]).unwrap();
    let (steps, rows) = (48, package.card().state_rows());
    let mut train = TrainStep::new(&runtime(), &package, &catchments, 1, steps).unwrap();
    let state = Model::new(&runtime(), &package, &catchments, 1, 1).unwrap().initial_state();
    assert_eq!(state.len(), rows);
    let forcing: Vec<f32> = (0..2 * steps).map(|i| if i % 2 == 0 && i % 14 < 6 { 3.0 } else { 0.1 }).collect();
    let observed: Vec<f32> = (0..steps).map(|t| 0.3 + 0.02 * t as f32).collect();
    let weight = vec![1.0; steps];
    let batch = Batch { state: &state, forcing: &forcing, observed: &observed, weight: &weight, scale: &[0.5] };
    let losses: Vec<f32> = (0..30).map(|_| train.step(&batch, 1e-3).unwrap()).collect();
    assert!(losses[29] < 0.9 * losses[0], "{losses:?}");
    let before = train.weights().clone();
    let error = train.step(&batch, f32::INFINITY).unwrap_err().to_string();
    assert!(error.contains("rate inf") && error.contains("as before"), "{error}");
    assert_eq!(*train.weights(), before);
    assert!(train.step(&Batch { scale: &[], ..batch }, 1e-3).unwrap_err().to_string().contains("scale has 0"));
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

#[needs(onnxruntime)]
#[test]
fn a_provider_that_is_missing_is_an_error_not_a_fall_back() {
    let cuda = Runtime::open(None, &[Provider::Cuda]).unwrap();
    let package = Package::load(&zoo().join("exphydro-cance")).unwrap();
    match Model::new(&cuda, &package, &package.select(&["V3524010"]).unwrap(), 1, 1) {
        Ok(_) => eprintln!("this machine has CUDA"),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("execution provider cuda is not available"), "{text}");
        }
    }
}

/// The card of `hybrid-cance` with one text in the place of another, and why it is refused.
fn refused(text: &str, other: &str) -> String {
    let (_kept, package) = changed("card.toml", |card| {
        let card = String::from_utf8(card).unwrap();
        assert!(card.contains(text), "{text}");
        card.replacen(text, other, 1).into_bytes()
    });
    package.unwrap_err().to_string()
}

#[test]
fn a_card_whose_rows_are_not_those_of_the_graph_is_refused_before_anything_is_allocated() {
    for (text, other, expected) in [
        ("rows = 9", "rows = 10", "state has 19 rows in the graph, the card has 20 rows of its [[state]] blocks"),
        ("rows = 9", "rows = 1000000000", "the [[state]] blocks have 1000000010 rows, accepted are at most 100000"),
        ("rows = 9", "rows = 9223372036854775807", "accepted are at most 100000"),
        (
            "[[output]]",
            "[[input]]\nname = \"air_temperature\"\nunit = \"degC\"\nstandard_name = \"air_temperature\"\n\n[[output]]",
            "forcing has 2 rows in the graph, the card has 3 [[input]] rows",
        ),
        ("time_step_s = 3600", "time_step_s = 9223372036854775807", "accepted is 1 to 31622400"),
    ] {
        let error = refused(text, other);
        assert!(error.contains(expected), "{other}: {error}");
    }
}

#[test]
fn files_that_are_none_or_no_graph_are_refused() {
    let sha256 = "[sha256]";
    let error = refused(sha256, "[sha256]\n\"/dev/zero\" = \"00\"");
    assert!(error.contains("/dev/zero is on the card but cannot be read: not a regular file"), "{error}");
    let page = b"<html>";
    let hash = {
        use sha2::{Digest, Sha256};
        Sha256::digest(page).iter().map(|b| format!("{b:02x}")).collect::<String>()
    };
    let (folder, _) = changed("gradient.onnx", |_| page.to_vec());
    let card = folder.path().join("card.toml");
    let text = fs::read_to_string(&card).unwrap();
    let line = text.lines().find(|line| line.contains("gradient.onnx")).unwrap();
    fs::write(&card, text.replace(line, &format!("\"gradient.onnx\" = \"{hash}\""))).unwrap();
    let error = Package::load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("gradient.onnx is no ONNX graph"), "{error}");
}
