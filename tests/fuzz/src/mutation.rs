//! Mutations: a bounded run of a target on stable Rust, the same in every run.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// No input of this size takes as long in a debug build.
const LONGEST: Duration = Duration::from_secs(10);
/// Longer inputs are cut.
const LONGEST_INPUT_BYTES: usize = 1 << 16;

/// What decoders treat apart: delimiters, ends of numbers and of time, words that are numbers, marks of other encodings.
const TOKENS: [&[u8]; 32] = [
    b"",
    b"\n",
    b"\r\n",
    b"\"",
    b",",
    b";",
    b"=",
    b".",
    b"-",
    b"\0",
    b"[",
    b"]",
    b"{",
    b"}",
    b"0",
    b"-1",
    b"NaN",
    b"inf",
    b"1e309",
    b"1e-320",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"18446744073709551615",
    b"9999999999999d",
    b"9999-12-31T23:59:59Z",
    b"-009999-01-02T00:00:00Z",
    b"2014-10-26 02:30",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\x1f\x8b",
    "é".as_bytes(),
    b"\xff",
];

/// Integers at which lengths, offsets and counts overflow.
const INTEGERS: [i64; 12] =
    [0, 1, -1, 7, 255, 65_536, i32::MAX as i64, i32::MIN as i64, u32::MAX as i64, 1 << 40, i64::MAX, i64::MIN];

/// The seeds of a target, sorted by file name.
pub(crate) fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name);
    let mut files: Vec<_> = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Runs a target over its seeds and over `mutations` of them.
pub(crate) fn smoke(name: &str, target: fn(&[u8]), mutations: usize) {
    let seeds = seeds(name);
    let mut random = ChaCha8Rng::seed_from_u64(20_141_104);
    for seed in &seeds {
        observed(name, target, seed);
    }
    for _ in 0..mutations {
        observed(name, target, &mutated(&seeds, &mut random));
    }
}

/// Runs a target once. The input lies in a file meanwhile, and stays there where the target fails, ends the process or takes too long.
fn observed(name: &str, target: fn(&[u8]), bytes: &[u8]) {
    let file = std::env::temp_dir().join(format!("nilometer-fuzz-{name}"));
    fs::write(&file, bytes).unwrap();
    let begin = Instant::now();
    let ended = catch_unwind(AssertUnwindSafe(|| target(bytes)));
    let elapsed = begin.elapsed();
    if let Err(panic) = ended {
        eprintln!(
            "{name} fails on {}: once that is fixed, the file is a new seed in tests/fuzz/seeds/{name}",
            file.display()
        );
        resume_unwind(panic);
    }
    assert!(elapsed < LONGEST, "{name} takes {elapsed:?} for {}", file.display());
    fs::remove_file(&file).unwrap();
}

/// A seed with one to four changes.
fn mutated(seeds: &[Vec<u8>], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = seeds[random.random_range(0..seeds.len())].clone();
    for _ in 0..random.random_range(1..=4) {
        change(&mut bytes, seeds, random);
    }
    bytes.truncate(LONGEST_INPUT_BYTES);
    bytes
}

fn change(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut ChaCha8Rng) {
    let at = random.random_range(0..=bytes.len());
    let end = (at + random.random_range(1..=16)).min(bytes.len());
    let token = TOKENS[random.random_range(0..TOKENS.len())];
    match random.random_range(0..9) {
        0 => bytes.truncate(at),
        1 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
        2 if at < bytes.len() => bytes[at] = random.random(),
        3 => drop(bytes.splice(at..at, token.iter().copied())),
        4 => drop(bytes.splice(at..end, token.iter().copied())),
        // The digits of a number, or a word.
        5 | 6 => {
            let same = |a: &u8, b: &u8| a.is_ascii_digit() == b.is_ascii_digit() && b.is_ascii_alphanumeric();
            let run = bytes[at..].chunk_by(same).next().map_or(0, <[u8]>::len);
            drop(bytes.splice(at..at + run, token.iter().copied()));
        }
        7 => {
            let number = INTEGERS[random.random_range(0..INTEGERS.len())].to_le_bytes();
            let width = [1, 2, 4, 8][random.random_range(0..4)].min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&number[..width]);
        }
        _ => {
            let other = &seeds[random.random_range(0..seeds.len())];
            let (from, length) = (random.random_range(0..=other.len()), random.random_range(0..=other.len()));
            drop(bytes.splice(at..end, other[from..].iter().take(length).copied()));
        }
    }
}
