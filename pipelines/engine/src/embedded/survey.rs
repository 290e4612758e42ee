//! What a partition of the embedded log holds and lacks: every segment is opened, and what snapshots say of its end is held against it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Range,
};

use nilometer_schemas::Timestamp;

use crate::Extent;

/// One segment, or what became of it.
#[derive(Debug, Clone)]
pub(super) enum Segment {
    /// as it was sealed
    Intact(Intact),
    /// there, but not as it was sealed; says how
    Damaged(String),
}

/// What a segment's headers say.
#[derive(Debug, Clone)]
pub(super) struct Intact {
    pub(super) time: Timestamp,
    pub(super) rows_before: u64,
    /// rows that it holds, or that those had whose place it took
    pub(super) rows: u64,
    /// who appended it; earlier versions did not say
    pub(super) producer: Option<String>,
    /// last sequence of each producer behind it
    pub(super) producers: BTreeMap<String, i64>,
    /// that it stands for a message which was given up
    pub(super) given_up: bool,
}

/// Positions whose messages are lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// those that are still lost
    pub positions: Range<u64>,
    /// rows that they held together; none when nothing behind them says it
    pub rows: Option<u64>,
    /// what is wrong with the first
    pub detail: String,
    /// rows of the partition before them
    pub(super) rows_before: u64,
    /// watermark of the message before them
    pub(super) time: Timestamp,
    /// last sequences before them; none when no message before them can be read
    pub after: Option<BTreeMap<String, i64>>,
    /// last sequences behind them, if that is known
    pub(super) until: Option<BTreeMap<String, i64>>,
    /// who appended the message before them
    pub(super) previous: Option<String>,
    /// who appended the message behind them, whose sequence is its own
    next: Option<String>,
}

impl Hole {
    /// How many positions are lost.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.positions.end - self.positions.start
    }

    /// Whether nothing is lost any more.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Who appended the lost messages, each at least one; none when that cannot be said.
    #[must_use]
    pub fn producers(&self) -> BTreeSet<&str> {
        let (Some(after), Some(until)) = (&self.after, &self.until) else { return BTreeSet::new() };
        let moved = |(name, last): &(&String, &i64)| after.get(*name).is_none_or(|before| before < last);
        let moved = until.iter().filter(moved).map(|(name, _)| name.as_str());
        let others: BTreeSet<&str> = moved.filter(|name| self.next.as_deref() != Some(*name)).collect();
        // The producer of the next message has a sequence there in any case.
        let own = self.next.as_deref().filter(|_| (others.len() as u64) < self.len());
        others.into_iter().chain(own).collect()
    }

    /// Whether a producer's message with this sequence is one of the lost.
    #[must_use]
    pub fn awaits(&self, producer: &str, sequence: i64) -> bool {
        let Some(after) = &self.after else { return false };
        let behind = after.get(producer).is_none_or(|before| sequence > *before);
        let own = self.next.as_deref() == Some(producer);
        let ahead = self.until.as_ref().is_none_or(|until| {
            until.get(producer).is_some_and(|last| if own { sequence < *last } else { sequence <= *last })
        });
        behind && ahead
    }

    /// The next lost message has been appended again.
    pub(super) fn fill(&mut self, producer: &str, sequence: i64, time: Timestamp, rows: u64) {
        self.positions.start += 1;
        self.rows_before += rows;
        self.rows = self.rows.map(|lost| lost.saturating_sub(rows));
        self.time = time;
        self.previous = None;
        self.after.get_or_insert_default().insert(producer.to_owned(), sequence);
    }
}

impl fmt::Display for Hole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len() {
            1 => write!(f, "position {}", self.positions.start)?,
            _ => write!(f, "positions {} to {}", self.positions.start, self.positions.end.saturating_sub(1))?,
        }
        match self.rows {
            Some(rows) => write!(f, " ({rows} rows): {}", self.detail),
            None => write!(f, " (rows unknown): {}", self.detail),
        }
    }
}

/// What a partition holds and lacks.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// positions, rows and producers, with what is lost
    pub extent: Extent,
    /// watermarks of the first and the last message that can be read
    pub times: Option<(Timestamp, Timestamp)>,
    /// what is lost, in order
    pub holes: Vec<Hole>,
    /// positions of messages that were given up
    pub given_up: Vec<u64>,
    /// segments behind the end that are no messages: of appends that were cut off, which no reader has seen
    pub torn: Vec<u64>,
}

impl Survey {
    /// Of the segments there are, by position; `known` is what has been there for certain.
    pub(super) fn of(segments: &BTreeMap<u64, Segment>, known: &Extent) -> Self {
        let intact = |segment: &Segment| match segment {
            Segment::Intact(intact) => Some(intact.clone()),
            Segment::Damaged(_) => None,
        };
        let last = segments.iter().rev().find_map(|(position, segment)| Some((*position, intact(segment)?)));
        let readable_end = last.as_ref().map_or(0, |(position, _)| position + 1);
        let end = readable_end.max(known.end);
        // What is missing before the first segment retention has removed.
        let first = segments.keys().next().copied();
        let start = first.filter(|first| *first < end).unwrap_or(known.start);
        let mut survey =
            Self { torn: segments.range(end..).map(|(position, _)| *position).collect(), ..Self::default() };
        let (mut before, mut open): (Option<Intact>, Option<Hole>) = (None, None);
        for position in start..end {
            match segments.get(&position) {
                Some(Segment::Intact(found)) => {
                    if let Some(mut hole) = open.take() {
                        hole.rows = found.rows_before.checked_sub(hole.rows_before);
                        hole.until = Some(found.producers.clone());
                        hole.next = found.producer.clone().or_else(|| only(&found.producers));
                        survey.holes.push(hole);
                    }
                    if found.given_up {
                        survey.given_up.push(position);
                    }
                    survey.times = Some((survey.times.map_or(found.time, |(first, _)| first), found.time));
                    before = Some(found.clone());
                }
                lost => {
                    let detail = match lost {
                        Some(Segment::Damaged(detail)) => detail.clone(),
                        _ => "missing".to_owned(),
                    };
                    let hole = open.get_or_insert_with(|| hole_behind(before.as_ref(), position, detail));
                    hole.positions.end = position + 1;
                }
            }
        }
        survey.extent = match (&open, last) {
            (None, Some((_, last))) => {
                Extent { start, end, rows: last.rows_before + last.rows, producers: last.producers }
            }
            _ => Extent { start, end, ..known.clone() },
        };
        if let Some(mut hole) = open {
            hole.rows = known.rows.checked_sub(hole.rows_before);
            // A reader knows how far it has read, but not who had appended that.
            hole.until = Some(known.producers.clone()).filter(|producers| !producers.is_empty());
            if hole.until.is_none() {
                survey.extent.producers = before.map(|before| before.producers).unwrap_or_default();
            }
            survey.holes.push(hole);
        }
        survey
    }

    /// How many positions are lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.holes.iter().map(Hole::len).sum()
    }
}

impl Intact {
    fn none() -> Self {
        Self {
            time: Timestamp(0),
            rows_before: 0,
            rows: 0,
            producer: None,
            producers: BTreeMap::new(),
            given_up: false,
        }
    }
}

/// A hole that begins behind a message, or with the partition.
fn hole_behind(before: Option<&Intact>, position: u64, detail: String) -> Hole {
    let first = Intact::none();
    let after = before.or((position == 0).then_some(&first));
    Hole {
        positions: position..position + 1,
        rows: None,
        detail,
        rows_before: before.map_or(0, |before| before.rows_before + before.rows),
        time: before.map_or(Timestamp(0), |before| before.time),
        after: after.map(|after| after.producers.clone()),
        until: None,
        previous: before.and_then(|before| before.producer.clone().or_else(|| only(&before.producers))),
        next: None,
    }
}

/// The only producer, where there is one.
fn only(producers: &BTreeMap<String, i64>) -> Option<String> {
    let mut names = producers.keys();
    names.next().filter(|_| names.next().is_none()).cloned()
}
