//! Dead letters in the process's log: a line a source and minute, with the rows of each reason and the first of them in full. Each row keeps
//! its own detail in `dead_letter.v1`.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use nilometer_schemas::{DeadLetterRow, Reason};

/// Between two lines of one source.
const EVERY: Duration = Duration::from_secs(60);

/// What a role says of its dead letters. What has not been said yet is said when it is dropped.
#[derive(Debug)]
pub struct DeadLetterLog {
    role: &'static str,
    sources: BTreeMap<String, Unreported>,
}

/// Dead letters of one source since its last line.
#[derive(Debug, Default)]
struct Unreported {
    /// when its last line was written
    reported: Option<Instant>,
    reasons: BTreeMap<Reason, Rows>,
}

/// Rows of one reason.
#[derive(Debug)]
struct Rows {
    rows: u64,
    /// place and detail of the first
    first: String,
}

impl DeadLetterLog {
    /// Nothing said yet.
    #[must_use]
    pub const fn new(role: &'static str) -> Self {
        Self { role, sources: BTreeMap::new() }
    }

    /// Writes the lines that are due. For each tick, also where it has no dead letter.
    pub fn tick(&mut self) {
        self.write(Some(Instant::now()));
    }

    /// Counts dead letters that were appended.
    pub fn count(&mut self, dead_letters: &[DeadLetterRow]) {
        for dead_letter in dead_letters {
            let of_source = self.sources.entry(dead_letter.source.clone()).or_default();
            let first = || Rows { rows: 0, first: format!("{}: {}", dead_letter.locator, dead_letter.detail) };
            of_source.reasons.entry(dead_letter.reason).or_insert_with(first).rows += dead_letter.rows;
        }
    }

    /// Writes the lines that are due at `now`, or all.
    fn write(&mut self, now: Option<Instant>) {
        for (source, line) in self.lines(now) {
            tracing::warn!(role = self.role, source, "dead letters: {line}");
        }
    }

    /// Source and line of those that are due at `now`, or of all; they are counted from 0 again.
    fn lines(&mut self, now: Option<Instant>) -> Vec<(String, String)> {
        let due = |of: &Unreported| match (now, of.reported) {
            (Some(now), Some(reported)) => now.saturating_duration_since(reported) >= EVERY,
            _ => true,
        };
        let waiting = self.sources.iter_mut().filter(|(_, of)| !of.reasons.is_empty() && due(of));
        waiting
            .map(|(source, of)| {
                of.reported = now;
                (source.clone(), line(&std::mem::take(&mut of.reasons)))
            })
            .collect()
    }
}

impl Drop for DeadLetterLog {
    fn drop(&mut self) {
        self.write(None);
    }
}

fn line(reasons: &BTreeMap<Reason, Rows>) -> String {
    let of_reason = |(reason, Rows { rows, first }): (&Reason, &Rows)| match rows {
        1 => format!("{reason} 1 row ({first})"),
        _ => format!("{reason} {rows} rows (first: {first})"),
    };
    reasons.iter().map(of_reason).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use nilometer_schemas::Timestamp;

    use super::*;

    fn dead_letter(source: &str, reason: Reason, line: u64) -> DeadLetterRow {
        DeadLetterRow {
            source: source.to_owned(),
            locator: format!("{source}.csv:{line}"),
            reason,
            detail: "value is -1 m3 s-1".to_owned(),
            rows: 1,
            content_type: "text/csv",
            bytes: Vec::new(),
            ingest_time: Timestamp(0),
        }
    }

    #[test]
    fn a_source_has_a_line_a_minute_with_every_row_counted() {
        let (mut log, begin) = (DeadLetterLog::new("ingest"), Instant::now());
        log.count(&[dead_letter("q", Reason::GrossRange, 2)]);
        assert_eq!(
            log.lines(Some(begin)),
            [("q".to_owned(), "gross_range 1 row (q.csv:2: value is -1 m3 s-1)".to_owned())],
            "the first is said at once"
        );
        let burst: Vec<_> = (3..1_003).map(|line| dead_letter("q", Reason::GrossRange, line)).collect();
        log.count(&burst);
        log.count(&[dead_letter("q", Reason::Duplicate, 9), dead_letter("rain", Reason::BadTime, 1)]);
        let soon: Vec<String> = log.lines(Some(begin + EVERY / 2)).into_iter().map(|(source, _)| source).collect();
        assert_eq!(soon, ["rain"], "that of q waits for its minute");
        assert_eq!(
            log.lines(Some(begin + EVERY)),
            [(
                "q".to_owned(),
                "gross_range 1000 rows (first: q.csv:3: value is -1 m3 s-1); duplicate 1 row (q.csv:9: value is -1 m3 s-1)"
                    .to_owned()
            )]
        );
        assert!(log.lines(None).is_empty(), "nothing is said twice");
        log.count(&[dead_letter("q", Reason::Late, 4)]);
        assert_eq!(log.lines(None).len(), 1, "what waits is said at the end");
    }
}
