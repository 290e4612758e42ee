//! The files of a series: by their arrival in a replay and where their names recur, in operations those that are new.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use jiff::tz::TimeZone;
use nilometer_schemas::{Reason, Timestamp};
use nilometer_transforms::{Format, Payload, Period, RawBatch, Whole};
use serde::{Deserialize, Serialize};

use super::{Recurring, TimeLabel};
use crate::{
    Arrival, Look, PositionedSource, SourceError, Template, Window,
    delivered::{DeliveredFiles, SeenFile, hash},
    file::{self, Found},
    source::Arrived,
    template::NameTime,
};

/// How far a series has been read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct SeriesPosition {
    #[serde(flatten)]
    arrived: Arrived,
    /// files that were delivered, in operations; none where a replay has not said it
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<DeliveredFiles>,
}

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
    /// files that could not be read at the last look: each is said once
    pub(super) unreadable: BTreeSet<PathBuf>,
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
        self.fields = names.iter().filter_map(|(time, path)| self.field(*time, path, 0)).collect();
        self.fields.sort_unstable();
        Ok(())
    }

    /// The field of a file, if its name is a time of the window. `year` is for names without one.
    fn field(&self, time: NameTime, path: &Path, year: i16) -> Option<Field> {
        let instant = time.in_year(year).and_then(|wall| self.zone.to_ambiguous_zoned(wall).compatible().ok());
        let named = instant.map(|z| Timestamp(z.timestamp().as_microsecond()))?;
        let (start, valid_time) = match self.time_label {
            TimeLabel::Start => (named, named.plus_s(self.period_s)),
            TimeLabel::End => (named.plus_s(-self.period_s), named),
        };
        let known_from = if self.recurring.is_some() { start } else { valid_time };
        let arrival = known_from.plus_s(self.arrival.delay_s());
        self.window.contains(valid_time, arrival).then(|| Field { arrival, valid_time, path: path.to_owned() })
    }

    /// What arrived in `(since, until]`, in order.
    fn due(&self, since: Arrived, until: Timestamp) -> Vec<Field> {
        if self.recurring.is_none() {
            let first = self.fields.partition_point(|f| since.arrival >= Some(f.arrival));
            let end = self.fields.partition_point(|f| f.arrival <= until);
            return self.fields[first.min(end)..end].to_vec();
        }
        // A day more than the delay covers every time zone and period label.
        let slack_s = self.period_s + self.arrival.delay_s().abs() + 86_400;
        let earliest = since.arrival.max(Some(self.window.from)).unwrap_or(self.window.from);
        let latest = until.min(self.window.until);
        let mut due = Vec::new();
        for year in year_of(earliest.plus_s(-slack_s))..=year_of(latest.plus_s(slack_s)) {
            let of_year = self.names.iter().filter_map(|(time, path)| self.field(*time, path, year));
            due.extend(of_year.filter(|f| since.is_due(f.arrival, until)));
        }
        due.sort_unstable();
        due
    }

    /// A field with its bytes. A file that cannot be read becomes a dead letter: in a replay it is not looked at again.
    fn load(&self, field: Field) -> RawBatch {
        match file::read(&self.root.join(&field.path)) {
            Ok(found) => self.batch(&field, field.arrival, found),
            Err(error) => {
                let detail = format!("the file cannot be read: {error}");
                let bytes = Bytes::new();
                self.with_payload(
                    &field,
                    field.arrival,
                    Payload::Unreadable { reason: Reason::Undecodable, detail, bytes, rows: 1 },
                )
            }
        }
    }

    fn batch(&self, field: &Field, arrival: Timestamp, found: Found) -> RawBatch {
        let Found { bytes, too_large, .. } = found;
        let payload = match too_large {
            Some(detail) => Payload::Unreadable { reason: Reason::Undecodable, detail, bytes, rows: 1 },
            None => Payload::Whole(Whole {
                format: Format::GEOTIFF,
                bytes,
                period: Some(Period { valid_time: field.valid_time, period_s: self.period_s }),
            }),
        };
        self.with_payload(field, arrival, payload)
    }

    fn with_payload(&self, field: &Field, arrival: Timestamp, payload: Payload) -> RawBatch {
        RawBatch { source: self.name.clone(), locator: field.path.to_string_lossy().into_owned(), arrival, payload }
    }

    /// Files that are new, or another than before, and that count by now.
    fn read_new(
        &mut self,
        position: &SeriesPosition,
        look: Look,
    ) -> Result<(Vec<RawBatch>, SeriesPosition), SourceError> {
        self.list()?;
        let before = self.delivered(position);
        let (mut batches, mut files, mut unreadable) = (Vec::new(), before.clone(), BTreeSet::new());
        for field in &self.fields {
            if !look.counts(self.origin(field), self.arrival.delay_s()) {
                continue;
            }
            match self.changed(field, &before) {
                Ok(Some((found, seen))) => {
                    if before.get(seen.path).is_none_or(|known| known.content != seen.content) {
                        batches.push(self.batch(field, look.now, found));
                    }
                    files.insert(seen);
                }
                Ok(None) => {}
                // Deleted since it was listed, or before.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    if !self.unreadable.contains(&field.path) {
                        let (source, locator) = (&*self.name, field.path.display());
                        tracing::warn!(source, %locator, %error, "a file cannot be read; it is tried again at every tick");
                    }
                    unreadable.insert(field.path.clone());
                }
            }
        }
        self.unreadable = unreadable;
        Ok((batches, SeriesPosition { arrived: position.arrived.moved_to(look.tick), files: Some(files) }))
    }

    /// A file that is not as it was delivered, by its stamp.
    fn changed(&self, field: &Field, before: &DeliveredFiles) -> io::Result<Option<(Found, SeenFile)>> {
        let at = self.root.join(&field.path);
        let (path, stamp) = (hash(field.path.as_os_str().as_encoded_bytes()), file::stamp(&at)?.hash());
        if before.get(path).is_some_and(|known| known.stamp == stamp) {
            return Ok(None);
        }
        let found = file::read(&at)?;
        let seen = SeenFile { path, stamp: found.stamp.hash(), content: hash(&found.bytes) };
        Ok(Some((found, seen)))
    }

    /// When a field is known but for the delay.
    fn origin(&self, field: &Field) -> Timestamp {
        field.arrival.plus_s(-self.arrival.delay_s())
    }

    /// What was delivered by what the position says; after a replay what had arrived by then.
    fn delivered(&self, position: &SeriesPosition) -> DeliveredFiles {
        if let Some(files) = &position.files {
            return files.clone();
        }
        let mut files = DeliveredFiles::default();
        for field in self.fields.iter().filter(|field| position.arrived.arrival >= Some(field.arrival)) {
            let found = file::read(&self.root.join(&field.path));
            let path = hash(field.path.as_os_str().as_encoded_bytes());
            let seen = found.map(|found| SeenFile { path, stamp: found.stamp.hash(), content: hash(&found.bytes) });
            // One that is unreadable has gone as a dead letter; repaired it is new.
            seen.into_iter().for_each(|seen| files.insert(seen));
        }
        files
    }
}

impl PositionedSource for GeotiffSeries {
    type Position = SeriesPosition;

    fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self, position: &SeriesPosition, look: Look) -> Result<(Vec<RawBatch>, SeriesPosition), SourceError> {
        if matches!(self.arrival, Arrival::WhenSeen { .. }) && self.recurring.is_none() {
            return self.read_new(position, look);
        }
        let batches = self.due(position.arrived, look.tick).into_iter().map(|field| self.load(field)).collect();
        Ok((batches, SeriesPosition { arrived: position.arrived.moved_to(look.tick), ..position.clone() }))
    }

    fn read_again(
        &mut self,
        position: &SeriesPosition,
        planned: &SeriesPosition,
        look: Look,
    ) -> Result<(Vec<RawBatch>, SeriesPosition), SourceError> {
        let Some(after) = planned.files.as_ref() else {
            return Ok((self.read(position, look)?.0, planned.clone()));
        };
        self.list()?;
        let before = self.delivered(position);
        let (mut batches, mut files) = (Vec::new(), before.clone());
        for field in &self.fields {
            let path = hash(field.path.as_os_str().as_encoded_bytes());
            let (then, known) = (after.get(path), before.get(path));
            let Some(then) = then.filter(|then| known != Some(*then)) else { continue };
            match file::read(&self.root.join(&field.path)) {
                Ok(found) if hash(&found.bytes) == then.content => {
                    if known.is_none_or(|known| known.content != then.content) {
                        batches.push(self.batch(field, look.now, found));
                    }
                    files.insert(then);
                }
                // Another content is new at the next look.
                Ok(_) | Err(_) => tracing::warn!(
                    source = &*self.name,
                    locator = %field.path.display(),
                    "a file changed while the tick that read it was being written; the next tick reads it"
                ),
            }
        }
        Ok((batches, SeriesPosition { arrived: position.arrived.moved_to(look.tick), files: Some(files) }))
    }

    fn handed_over(&mut self, position: &SeriesPosition) -> SeriesPosition {
        let operations = self.recurring.is_none() && matches!(self.arrival, Arrival::Delay { .. });
        let of_replay = SeriesPosition { files: None, ..position.clone() };
        SeriesPosition { files: operations.then(|| self.delivered(&of_replay)), ..of_replay }
    }

    fn last_arrival(&self) -> Option<Timestamp> {
        match (self.arrival, self.recurring) {
            (Arrival::WhenSeen { .. }, _) => None,
            (Arrival::Delay { .. }, None) => self.fields.last().map(|f| f.arrival),
            (Arrival::Delay { .. }, Some(_)) if self.window.until == Window::ALL.until => None,
            (Arrival::Delay { .. }, Some(_)) => {
                let year_before = Arrived::default().moved_to(self.window.until.plus_s(-366 * 86_400));
                self.due(year_before, self.window.until).last().map(|f| f.arrival)
            }
        }
    }
}

/// The UTC year of an instant, within the calendar.
fn year_of(time: Timestamp) -> i16 {
    jiff::Timestamp::from_microsecond(time.0).map_or(9999, |t| TimeZone::UTC.to_datetime(t).year())
}
