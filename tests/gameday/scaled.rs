//! The rules with shorter windows: an hour and less is a sixtieth. What is longer passes as fast as the exercise, an hour in a second, but is a minute at
//! least.

use std::{fs, path::Path};

/// A duration of Prometheus as it is here.
fn scaled(number: u64, unit: &str) -> String {
    let seconds = number
        * match unit {
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => 1,
        };
    format!("{}s", if seconds <= 3_600 { seconds.div_ceil(60) } else { (seconds / 3_600).max(60) })
}

/// A tenth of the messages, as they come with the ticks, of which an exercise has fewer.
const BEHIND: &str = "nilometer_lag_messages:max > 500";
const BEHIND_HERE: &str = "nilometer_lag_messages:max > 50";

/// What is tried again in real time, a minute apart at last, is waited for in real time.
const AS_THEY_ARE: [&str; 2] = ["NilometerDeliveryFailing", "NilometerTransactionsFailing"];

/// Copies rules, but those that `left_out` names, each `[15m]`, `offset 1d` and `for: 5m` scaled. What compares event time stays as it is: that is the time of the exercise.
pub fn copy(from: &Path, to: &Path, left_out: &[&str]) {
    let text = fs::read_to_string(from).unwrap();
    let (mut as_it_is, mut out) = (false, true);
    let mut scaled = String::new();
    for line in text.lines() {
        let begun = line.trim_start();
        if let Some(alert) = begun.strip_prefix("- alert: ") {
            (as_it_is, out) = (AS_THEY_ARE.contains(&alert), !left_out.contains(&alert));
        } else if begun.starts_with("- name: ") {
            out = true;
        }
        if out && !begun.starts_with("interval:") {
            let line = line.replace(BEHIND, BEHIND_HERE);
            scaled += &if as_it_is { line } else { shorter(&line) };
            scaled.push('\n');
        }
    }
    fs::write(to, scaled).unwrap();
}

/// A line with its durations scaled.
fn shorter(line: &str) -> String {
    let (mut out, mut rest) = (String::new(), line);
    while let Some(at) = ["[", "offset ", "for: "].iter().filter_map(|word| Some(rest.find(word)? + word.len())).min() {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let digits = rest.chars().take_while(char::is_ascii_digit).count();
        let unit = rest.get(digits..=digits).unwrap_or_default();
        if digits > 0 && ["s", "m", "h", "d"].contains(&unit) {
            out.push_str(&scaled(rest[..digits].parse().unwrap(), unit));
            rest = &rest[digits + 1..];
        }
    }
    out + rest
}
