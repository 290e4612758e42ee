//! Fuzz targets: a function for each decoder of bytes from outside. A target must not panic and asserts what its decoder promises.
//!
//! ```text
//! seeds/TARGET/* ──┬─▶ cargo test          the seeds, and a fixed number of mutations of them
//!                  └─▶ cargo fuzz TARGET   libFuzzer, on nightly (fuzz/)
//! ```

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a target fails where a promise is broken")]

mod announcement;
mod blend;
mod card;
mod contract;
mod definition;
mod folder;
mod graph;
mod grid;
mod message;
mod parquet;
mod segment;
mod snapshot;
mod table;
mod table_columns;
mod table_file;
mod time;
mod weights;

mod delivery;
mod layouts;
#[cfg(test)]
mod mutation;
mod package_files;
mod sealed;

/// Lists the targets, each with the number of mutations that `cargo test` runs.
macro_rules! targets {
    ($($name:ident, $mutations:literal;)*) => {
        /// Every target by its name.
        pub const TARGETS: [(&str, fn(&[u8])); [$($mutations),*].len()] = [$((stringify!($name), $name::$name)),*];

        #[cfg(test)]
        mod smoke {
            $(
                #[test]
                fn $name() {
                    crate::mutation::smoke(stringify!($name), crate::$name::$name, $mutations);
                }
            )*
        }
    };
}

targets! {
    announcement, 2_000;
    blend, 500;
    card, 500;
    contract, 2_000;
    definition, 150;
    folder, 500;
    graph, 500;
    grid, 2_000;
    message, 3_000;
    parquet, 1_000;
    segment, 600;
    snapshot, 2_000;
    table, 1_500;
    table_columns, 1_500;
    table_file, 500;
    time, 5_000;
    weights, 2_000;
}

/// Runs the target of this name.
///
/// # Panics
/// Where there is no such target, or the target fails.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(target, _)| *target == name).expect("the name is one of TARGETS");
    target(bytes);
}

/// An error whose message says something.
fn assert_described(error: &dyn std::error::Error) {
    assert!(!error.to_string().trim().is_empty(), "an error without a message: {error:?}");
}

/// Waits for what an object store in memory does.
fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

#[cfg(test)]
mod tests {
    use super::TARGETS;

    /// `fuzz/Cargo.toml` names a binary for each target, as cargo-fuzz needs.
    #[test]
    fn every_target_has_its_binary_and_a_seed() {
        let manifest: toml::Table = include_str!("../fuzz/Cargo.toml").parse().unwrap();
        let binaries: Vec<&str> =
            manifest["bin"].as_array().unwrap().iter().map(|binary| binary["name"].as_str().unwrap()).collect();
        let targets: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        assert_eq!(binaries, targets, "tests/fuzz/fuzz/Cargo.toml and tests/fuzz/src/lib.rs have the same list");
        for name in targets {
            assert!(!crate::mutation::seeds(name).is_empty(), "tests/fuzz/seeds/{name} holds a file");
        }
    }
}
