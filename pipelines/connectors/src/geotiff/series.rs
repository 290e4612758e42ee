//! The files of a series by their arrival.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use jiff::tz::TimeZone;
use nilometer_schemas::{Reason, Timestamp};
use nilometer_transforms::{Payload, RawBatch};

use super::{Recurring, TimeLabel};
use crate::{Arrival, Cursor, Source, SourceError, Template, Window, template::NameTime};

/// A larger file is not loaded; its first bytes become a dead letter.
const MAX_FILE_BYTES: u64 = 512 << 20;
/// Bytes of a file that is too large that go into its dead letter.
const SHOWN_BYTES: u64 = 1 << 20;

/// One file and when it counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Field {
    arrival: Timestamp,
    valid_time: Timestamp,
    path: PathBuf,
}

/// A series of files, open.
pub(super) struct GeotiffSeries {
    pub(super) name: Arc<str>,
    pub(super) root: PathBuf,
    pub(super) template: Template,
    pub(super) zone: TimeZone,
    pub(super) period_s: i64,
    pub(super) time_label: TimeLabel,
    pub(super) recurring: Option<Recurring>,
    pub(super) arrival: Arrival,
    pub(super) window: Window,
    /// files of a recurring series, which stand for many fields
    pub(super) names: Vec<(NameTime, PathBuf)>,
    /// fields of the window in order of arrival, unless recurring
    pub(super) fields: Vec<Field>,
}

impl GeotiffSeries {
    /// The series with its files listed.
    pub(super) fn listed(mut self) -> Result<Self, SourceError> {
        self.list()?;
        Ok(self)
    }

    fn list(&mut self) -> Result<(), SourceError> {
        let mut names = self.template.list(&self.root).map_err(|(path, e)| SourceError::io(&self.name, &path, e))?;
        if self.recurring.is_some() {
            names.sort_by(|(_, a), (_, b)| a.cmp(b));
            self.names = names;
            return Ok(());
        }
        self.fields =
            names.iter().filter_map(|(time, path)| self.field(*time, path, 0).transpose()).collect::<Result<_, _>>()?;
        self.fields.sort_unstable();
        Ok(())
    }

    /// The field of a file, if its name is a time of the window. `year` is for names without one.
    fn field(&self, time: NameTime, path: &Path, year: i16) -> Result<Option<Field>, SourceError> {
        let instant = time.in_year(year).and_then(|wall| self.zone.to_ambiguous_zoned(wall).compatible().ok());
        let Some(named) = instant.map(|z| Timestamp(z.timestamp().as_microsecond())) else { return Ok(None) };
        let (start, valid_time) = match self.time_label {
            TimeLabel::Start => (named, named.plus_s(self.period_s)),
            TimeLabel::End => (named.plus_s(-self.period_s), named),
        };
        let known_from = if self.recurring.is_some() { start } else { valid_time };
        let arrival = match self.arrival {
            Arrival::Delay { delay } => known_from.plus_s(delay.seconds()),
            Arrival::WhenSeen if self.recurring.is_some() => start,
            Arrival::WhenSeen => match modified(&self.root.join(path)) {
                Ok(modified) => modified,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(SourceError::io(&self.name, path, error)),
            },
        };
        Ok(self.window.contains(valid_time, arrival).then(|| Field { arrival, valid_time, path: path.to_owned() }))
    }

    /// What arrived in `(cursor, until]`, in order.
    fn due(&self, cursor: &Cursor, until: Timestamp) -> Result<Vec<Field>, SourceError> {
        if self.recurring.is_none() {
            let first = self.fields.partition_point(|f| cursor.arrival >= Some(f.arrival));
            let end = self.fields.partition_point(|f| f.arrival <= until);
            return Ok(self.fields[first.min(end)..end].to_vec());
        }
        let delay_s = match self.arrival {
            Arrival::Delay { delay } => delay.seconds(),
            Arrival::WhenSeen => 0,
        };
        // A day more than the delay covers every time zone and period label.
        let slack_s = self.period_s + delay_s.abs() + 86_400;
        let earliest = cursor.arrival.max(Some(self.window.from)).unwrap_or(self.window.from);
        let latest = until.min(self.window.until);
        let mut due = Vec::new();
        for year in year_of(earliest.plus_s(-slack_s))..=year_of(latest.plus_s(slack_s)) {
            for (time, path) in &self.names {
                due.extend(self.field(*time, path, year)?.filter(|f| cursor.is_due(f.arrival, until)));
            }
        }
        due.sort_unstable();
        Ok(due)
    }

    fn load(&self, field: Field) -> Result<RawBatch, SourceError> {
        let at = self.root.join(&field.path);
        let load = || -> io::Result<(Bytes, u64)> {
            let file = fs::File::open(&at)?;
            let size = file.metadata()?.len();
            let mut bytes = Vec::new();
            file.take(if size > MAX_FILE_BYTES { SHOWN_BYTES } else { MAX_FILE_BYTES }).read_to_end(&mut bytes)?;
            Ok((bytes.into(), size))
        };
        let (bytes, size) = load().map_err(|error| SourceError::io(&self.name, &at, error))?;
        let payload = if size > MAX_FILE_BYTES {
            let detail =
                format!("file has {size} bytes; accepted are at most {MAX_FILE_BYTES}; its first bytes are kept here");
            Payload::Unreadable { reason: Reason::Undecodable, detail, bytes, rows: 1 }
        } else {
            Payload::Grid { valid_time: field.valid_time, period_s: self.period_s, bytes }
        };
        let locator = field.path.to_string_lossy().into_owned();
        Ok(RawBatch { source: self.name.clone(), locator, arrival: field.arrival, payload })
    }
}

impl Source for GeotiffSeries {
    fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self, cursor: &Cursor, until: Timestamp) -> Result<(Vec<RawBatch>, Cursor), SourceError> {
        if self.arrival == Arrival::WhenSeen {
            self.list()?;
        }
        let batches = self.due(cursor, until)?.into_iter().map(|f| self.load(f)).collect::<Result<_, _>>()?;
        Ok((batches, cursor.moved_to(until)))
    }

    fn last_arrival(&self) -> Option<Timestamp> {
        match (self.arrival, self.recurring) {
            (Arrival::WhenSeen, _) => None,
            (Arrival::Delay { .. }, None) => self.fields.last().map(|f| f.arrival),
            (Arrival::Delay { .. }, Some(_)) if self.window.until == Window::ALL.until => None,
            (Arrival::Delay { .. }, Some(_)) => {
                let year_before = Cursor::at(self.window.until.plus_s(-366 * 86_400));
                self.due(&year_before, self.window.until).ok()?.last().map(|f| f.arrival)
            }
        }
    }
}

/// When a file was written or moved to where it is, whichever is later: a rename keeps the one and sets the other.
fn modified(path: &Path) -> io::Result<Timestamp> {
    let metadata = fs::metadata(path)?;
    let modified = metadata.mtime() * 1_000_000 + metadata.mtime_nsec() / 1_000;
    let changed = metadata.ctime() * 1_000_000 + metadata.ctime_nsec() / 1_000;
    Ok(Timestamp(modified.max(changed)))
}

/// The UTC year of an instant, within the calendar.
fn year_of(time: Timestamp) -> i16 {
    jiff::Timestamp::from_microsecond(time.0).map_or(9999, |t| TimeZone::UTC.to_datetime(t).year())
}
