//! What every source is, and when its rows arrive.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use nilometer_schemas::Timestamp;
use nilometer_transforms::{RawBatch, Span};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::Value;

/// A place from which rows come. Synchronous: run it on a thread that may block.
///
/// A source MUST give the same rows for the same cursor, look and files, MUST give them in order of arrival, and MUST NOT
/// drop what it cannot read.
pub trait Source: Send {
    /// Name in the pipeline definition.
    fn name(&self) -> &str;

    /// What counts in the tick of `look` and was not delivered before, and the cursor behind it.
    ///
    /// # Errors
    /// [`SourceError`] when the data cannot be reached; [`SourceError::is_retryable`] says whether to try again.
    fn read(&mut self, cursor: &Cursor, look: Look) -> Result<(Vec<RawBatch>, Cursor), SourceError>;

    /// What an earlier reading from `cursor` gave, which ended at `planned`: no more than that where more has come since, and less where some
    /// of it is not there any more; the cursor then says so, and the next reading begins there.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn read_again(
        &mut self,
        cursor: &Cursor,
        planned: &Cursor,
        look: Look,
    ) -> Result<(Vec<RawBatch>, Cursor), SourceError> {
        let (batches, _) = self.read(cursor, look)?;
        Ok((batches, planned.clone()))
    }

    /// The cursor with which operations go on from a replay that ended at `cursor`: it knows what the replay has delivered.
    ///
    /// # Errors
    /// [`SourceError::Position`] where the cursor is none of this source.
    fn handed_over(&mut self, cursor: &Cursor) -> Result<Cursor, SourceError> {
        Ok(cursor.clone())
    }

    /// When the last row of the window arrives; none while more may come, and when there is no row at all.
    fn last_arrival(&self) -> Option<Timestamp>;

    /// Whether it gives a message once, as a request or a message of a broker is given: then its messages, each whole, are in `raw.v1` before they
    /// are decoded, and a replay takes them from there.
    fn gives_once(&self) -> bool {
        false
    }

    /// What it gave last is in `raw.v1`: it may let go of it. Until then the next reading gives it again.
    fn landed(&mut self) {}
}

/// One look at a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Look {
    /// the tick that is read for
    pub tick: Timestamp,
    /// when the source is looked at: in operations what it gives arrives then
    pub now: Timestamp,
    /// whether a later tick is due already, after an outage: then only what would have arrived by this one counts in it
    pub catching_up: bool,
}

impl Look {
    /// A look in a replay, where nothing is known of the time behind the tick.
    #[must_use]
    pub const fn at(tick: Timestamp) -> Self {
        Self { tick, now: tick, catching_up: false }
    }

    /// Whether what is known from `origin` on (its valid time, or the issue time of a forecast) counts in this tick, in operations. It does from
    /// the tick on in which it arrives, but never before it can be known; while catching up not before `delay_s` has passed, as in a replay.
    #[must_use]
    pub fn counts(&self, origin: Timestamp, delay_s: i64) -> bool {
        let delay_s = if self.catching_up { delay_s } else { delay_s.min(0) };
        origin.plus_s(delay_s) <= self.tick
    }
}

/// How far a source has been read, as the source itself writes it; no other part reads it. The default is its beginning.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cursor(Arc<Value>);

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|value| Self(Arc::new(value)))
    }
}

impl Cursor {
    /// A position as a cursor.
    fn of(source: &str, position: &impl Serialize) -> Result<Self, SourceError> {
        let value = serde_json::to_value(position).map_err(|error| SourceError::position(source, error))?;
        Ok(Self(Arc::new(value)))
    }

    /// The position that a source has written.
    fn position<P: DeserializeOwned + Default>(&self, source: &str) -> Result<P, SourceError> {
        match &*self.0 {
            Value::Null => Ok(P::default()),
            value => P::deserialize(value).map_err(|error| SourceError::position(source, error)),
        }
    }
}

/// A source with the type of its position. It is a [`Source`], whose cursors hold the position.
pub trait PositionedSource: Send {
    /// how far it has been read; the default is its beginning
    type Position: Serialize + DeserializeOwned + Default + Clone;

    /// Name in the pipeline definition.
    fn name(&self) -> &str;

    /// As [`Source::read`].
    ///
    /// # Errors
    /// As [`Source::read`].
    fn read(&mut self, position: &Self::Position, look: Look) -> Result<(Vec<RawBatch>, Self::Position), SourceError>;

    /// As [`Source::read_again`].
    ///
    /// # Errors
    /// As [`Source::read`].
    fn read_again(
        &mut self,
        position: &Self::Position,
        planned: &Self::Position,
        look: Look,
    ) -> Result<(Vec<RawBatch>, Self::Position), SourceError> {
        Ok((self.read(position, look)?.0, planned.clone()))
    }

    /// As [`Source::handed_over`].
    fn handed_over(&mut self, position: &Self::Position) -> Self::Position {
        position.clone()
    }

    /// As [`Source::last_arrival`].
    fn last_arrival(&self) -> Option<Timestamp>;

    /// As [`Source::gives_once`].
    fn gives_once(&self) -> bool {
        false
    }

    /// As [`Source::landed`].
    fn landed(&mut self) {}
}

impl<S: PositionedSource> Source for S {
    fn name(&self) -> &str {
        PositionedSource::name(self)
    }

    fn read(&mut self, cursor: &Cursor, look: Look) -> Result<(Vec<RawBatch>, Cursor), SourceError> {
        let position = cursor.position(PositionedSource::name(self))?;
        let (batches, position) = PositionedSource::read(self, &position, look)?;
        Ok((batches, Cursor::of(PositionedSource::name(self), &position)?))
    }

    fn read_again(
        &mut self,
        cursor: &Cursor,
        planned: &Cursor,
        look: Look,
    ) -> Result<(Vec<RawBatch>, Cursor), SourceError> {
        let name = PositionedSource::name(self);
        let (position, planned) = (cursor.position(name)?, planned.position(name)?);
        let (batches, position) = PositionedSource::read_again(self, &position, &planned, look)?;
        Ok((batches, Cursor::of(PositionedSource::name(self), &position)?))
    }

    fn handed_over(&mut self, cursor: &Cursor) -> Result<Cursor, SourceError> {
        let position = cursor.position(PositionedSource::name(self))?;
        let position = PositionedSource::handed_over(self, &position);
        Cursor::of(PositionedSource::name(self), &position)
    }

    fn last_arrival(&self) -> Option<Timestamp> {
        PositionedSource::last_arrival(self)
    }

    fn gives_once(&self) -> bool {
        PositionedSource::gives_once(self)
    }

    fn landed(&mut self) {
        PositionedSource::landed(self);
    }
}

/// The position of a source that knows its rows by their arrival: everything that arrived up to a time was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Arrived {
    pub(crate) arrival: Option<Timestamp>,
}

impl Arrived {
    /// Whether what arrived at `arrival` lies behind this and up to `until`.
    pub(crate) fn is_due(self, arrival: Timestamp, until: Timestamp) -> bool {
        self.arrival < Some(arrival) && arrival <= until
    }

    /// The position after a reading; never behind this one.
    pub(crate) fn moved_to(self, until: Timestamp) -> Self {
        Self { arrival: self.arrival.max(Some(until)) }
    }
}

/// When rows reach us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Arrival {
    /// Replay and hindcast: this long after their valid time, or after the issue time of a weather forecast; negative for rain that is
    /// known beforehand.
    Delay {
        /// time between that and arrival
        delay: Span,
    },
    /// Operations: when a look finds them.
    WhenSeen {
        /// how long after its valid time a row usually arrives: what was missed in an outage counts as if it had; negative for rain that is
        /// known beforehand
        delay: Span,
        /// what lies further ahead of the look is wrong: it is not waited for but given at once, to be refused
        ahead: Span,
    },
}

impl Arrival {
    /// The delay in seconds.
    #[must_use]
    pub const fn delay_s(self) -> i64 {
        let (Self::Delay { delay } | Self::WhenSeen { delay, .. }) = self;
        delay.seconds()
    }
}

/// Which rows a source gives: those valid at or after `from` that arrive by `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// earliest valid time, of a weather forecast issue time; rows without a readable time arrive here
    pub from: Timestamp,
    /// latest arrival
    pub until: Timestamp,
}

impl Window {
    /// All there is.
    pub const ALL: Self = Self { from: Timestamp::MIN, until: Timestamp(i64::MAX) };

    /// Whether a row valid at `valid_time` that arrives at `arrival` is in the window.
    #[must_use]
    pub fn contains(&self, valid_time: Timestamp, arrival: Timestamp) -> bool {
        valid_time >= self.from && arrival <= self.until
    }
}

/// Why a source cannot be opened or read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum SourceError {
    /// A file or folder cannot be read.
    #[error("source {name}: cannot read {}", path.display())]
    Io {
        name: String,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// A columnar file cannot be read yet: it is replaced whole, and its end may not be there.
    #[error("source {name}: {} is no readable Parquet file (if it is being written, rename it into place)", path.display())]
    Parquet {
        name: String,
        path: PathBuf,
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// A cursor that is none of this source.
    #[error(
        "source {name}: the position in the snapshot of role ingest cannot be read; accepted is what this kind of source writes: give a source of another kind another name"
    )]
    Position {
        name: String,
        #[source]
        source: serde_json::Error,
    },
    /// Options that [`problems`](crate::Connector::problems) would have refused.
    #[error("source {name}: {key} {problem}")]
    Options { name: String, key: String, problem: String },
}

impl SourceError {
    /// Whether the same read may succeed later without a change of the definition.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Io { .. } | Self::Parquet { .. } => true,
            Self::Position { .. } | Self::Options { .. } => false,
        }
    }

    fn position(name: &str, source: serde_json::Error) -> Self {
        Self::Position { name: name.to_owned(), source }
    }

    pub(crate) fn io(name: &str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { name: name.to_owned(), path: path.to_owned(), source }
    }
}

/// The first problem as an error: options are opened only after all were shown.
pub(crate) fn refuse_problems(name: &str, problems: Vec<(String, String)>) -> Result<(), SourceError> {
    match problems.into_iter().next() {
        Some((key, problem)) => Err(SourceError::Options { name: name.to_owned(), key, problem }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_missed_counts_when_it_would_have_come_and_what_lies_ahead_not_before() {
        let hour = |h: i64| Timestamp(0).plus_s(h * 3_600);
        let missed = Look { tick: hour(3), now: hour(8), catching_up: true };
        assert!(missed.counts(hour(3), 0) && !missed.counts(hour(4), 0));
        assert!(missed.counts(hour(2), 3_600) && !missed.counts(hour(3), 3_600), "it would have come an hour later");
        assert!(missed.counts(hour(5), -2 * 3_600) && !missed.counts(hour(6), -2 * 3_600));
        let newest = Look { tick: hour(8), now: hour(8), catching_up: false };
        assert!(newest.counts(hour(8), 3_600), "it is there, sooner than usual");
        assert!(!newest.counts(hour(9), 0), "it is about what has not been yet");
    }

    #[test]
    fn a_position_begins_before_everything_and_never_moves_back() {
        let old: Timestamp = "1900-01-01".parse().unwrap();
        assert!(Arrived::default().is_due(old, old));
        let position = Arrived::default().moved_to(old);
        assert!(!position.is_due(old, old));
        assert_eq!(position.moved_to(old.plus_s(-1)), position);
    }

    #[test]
    fn a_cursor_is_what_its_source_writes_and_those_of_earlier_builds_are_read() {
        let position = Arrived { arrival: Some(Timestamp(7)) };
        let text = serde_json::to_string(&Cursor::of("gauge", &position).unwrap()).unwrap();
        let read = |text: &str| serde_json::from_str::<Cursor>(text).unwrap().position::<Arrived>("gauge");
        assert_eq!(read(&text).unwrap(), position);
        let earlier = r#"{"arrival":"1970-01-01T00:00:00.000007Z","delivered":null}"#;
        assert_eq!(read(earlier).unwrap(), position);
        assert_eq!(Cursor::default().position::<Arrived>("gauge").unwrap(), Arrived::default());
        let error = read("\"of another kind\"").unwrap_err();
        assert!(!error.is_retryable() && error.to_string().contains("source gauge: the position"), "{error}");
    }
}
