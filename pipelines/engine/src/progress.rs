//! Progress of long work. What is done is an event; how it is shown is the program's business.

use std::{fmt::Write as _, time::Duration};

/// The target of the events.
pub const PROGRESS: &str = "progress";

/// Says how far a piece of work has come: `done` of `total` units, and whatever else is worth a word.
pub fn progress(work: &str, done: u64, total: u64, unit: &str, detail: &str) {
    tracing::info!(target: PROGRESS, work, done, total, unit, detail);
}

/// What [`progress`] said.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// what is being done
    pub work: String,
    /// units that are done
    pub done: u64,
    /// units that there are
    pub total: u64,
    /// what is counted
    pub unit: String,
    /// whatever else is worth a word
    pub detail: String,
}

impl Progress {
    /// A line of it, where it stood at `from` so long ago.
    #[must_use]
    pub fn line(&self, from: u64, passed: Duration) -> String {
        let Self { work, done, total, unit, detail } = self;
        let share = 100.0 * *done as f64 / (*total).max(1) as f64;
        let mut text = format!("{work} {share:3.0} %  {done} of {total} {unit}");
        let rate = done.saturating_sub(from) as f64 / passed.as_secs_f64().max(1e-3);
        if rate > 0.0 {
            let left = total.saturating_sub(*done) as f64 / rate;
            let _ = write!(text, "  {}/s  {} left", rounded(rate), length(left));
        }
        if !detail.is_empty() {
            let _ = write!(text, "  {detail}");
        }
        text
    }
}

fn rounded(rate: f64) -> String {
    if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

fn length(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_rate_and_time_left() {
        let said = Progress {
            work: "forecasts".to_owned(),
            done: 1_480,
            total: 2_928,
            unit: "h".to_owned(),
            detail: "3 dead letters".to_owned(),
        };
        let line = said.line(1_000, Duration::from_secs(4));
        assert_eq!(line, "forecasts  51 %  1480 of 2928 h  120/s  12 s left  3 dead letters");
        assert_eq!(length(7_322.0), "2 h 2 min");
        assert!(!said.line(1_480, Duration::from_secs(4)).contains("left"), "nothing is known of the rate yet");
    }
}
