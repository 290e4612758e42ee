//! How times are written, and when the rows of a table are valid.

use std::ops::Range;

use jiff::{
    civil::DateTime,
    fmt::strtime::{self, BrokenDownTime},
    tz::{AmbiguousOffset, Offset, TimeZone},
};
use nilometer_schemas::Timestamp;

/// How a time is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeFormat {
    /// RFC 3339 with an offset or `Z`
    Rfc3339,
    /// seconds since 1970-01-01T00:00:00Z
    UnixS,
    /// a strftime pattern
    Strftime(String),
    /// a strftime pattern and behind it a zone code, as in `2014-11-02 01:00 EST`
    ZoneCode(String),
}

/// What a text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written<'a> {
    Instant(Timestamp),
    /// wall-clock time, with the zone code behind it where there is one
    Local(DateTime, Option<&'a str>),
}

impl Written<'_> {
    /// Its instant, by itself: without the order of the rows. `code` is for a time that has none behind it.
    pub(super) fn alone(self, code: Option<&str>, zone: &TimeZone) -> ReadTime {
        match self {
            Self::Instant(time) => Ok(time),
            Self::Local(wall, behind) => match occurrences(wall, behind.or(code), zone)? {
                Occurrences::Once(time) => Ok(time),
                Occurrences::Twice(..) => Err(BadTime::Repeated),
            },
        }
    }
}

/// Why the time of a row cannot be determined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadTime {
    /// the layout's format does not read it
    Unreadable,
    /// the clocks were put forward over this local time
    Skipped,
    /// the clocks were put back to this local time, and nothing says which of its two occurrences is meant
    Repeated,
    /// neither an offset nor a known zone code
    UnknownZone,
}

impl BadTime {
    /// Behind `time is "…"`: what is wrong, what is accepted, what to do.
    #[must_use]
    pub const fn problem(self) -> &'static str {
        match self {
            Self::Unreadable => "which the layout's format does not read",
            Self::Skipped => {
                "a local time that the clocks skip in spring; accepted are times of the zone (time_zone = \"+01:00\" where the clocks never change)"
            }
            Self::Repeated => {
                "a local time that occurs twice, and neither the order of the rows, an offset nor a zone code says which is meant; accepted are times with one of these (time.column.zone)"
            }
            Self::UnknownZone => {
                "whose zone code is neither an offset as -05:00 nor one of the time zone's own abbreviations or of EST, EDT and the like"
            }
        }
    }
}

/// A time that was read, or why it cannot be determined.
pub type ReadTime = Result<Timestamp, BadTime>;

/// Times of the rows of a table, in the order of its lines; a line that is no row has [`BadTime::Unreadable`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Times {
    /// end of the period of each value, or its instant
    valid: Vec<ReadTime>,
    /// when each row's weather forecast was made; absent of what was observed
    issued: Option<Vec<ReadTime>>,
}

impl Times {
    pub(super) fn new(valid: Vec<ReadTime>, issued: Option<Vec<ReadTime>>) -> Self {
        Self { valid, issued }
    }

    /// Number of lines.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.valid.len()
    }

    /// Whether there is no line.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.valid.is_empty()
    }

    /// When a row is valid.
    ///
    /// # Errors
    /// Why that cannot be determined.
    pub fn valid(&self, row: usize) -> ReadTime {
        self.valid.get(row).copied().unwrap_or(Err(BadTime::Unreadable))
    }

    /// When a row's weather forecast was made; none of what was observed.
    #[must_use]
    pub fn issued(&self, row: usize) -> Option<ReadTime> {
        self.issued.as_ref().map(|issued| issued.get(row).copied().unwrap_or(Err(BadTime::Unreadable)))
    }

    /// From when on a row is known, but for its source's delay: a forecast from when it was made, anything else from its own time.
    #[must_use]
    pub fn origin(&self, row: usize) -> Option<Timestamp> {
        self.issued(row).unwrap_or_else(|| self.valid(row)).ok()
    }

    /// The times of some of the rows.
    #[must_use]
    pub fn slice(&self, rows: Range<usize>) -> Self {
        Self { valid: self.valid[rows.clone()].to_vec(), issued: self.issued.as_ref().map(|all| all[rows].to_vec()) }
    }
}

impl TimeFormat {
    /// The format that a definition names: `rfc3339`, `unix_s` or a strftime pattern, whose end may be `%Z`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the pattern.
    pub fn new(text: &str) -> Result<Self, String> {
        match text {
            "rfc3339" => Ok(Self::Rfc3339),
            "unix_s" => Ok(Self::UnixS),
            pattern if pattern.contains('%') => {
                let (pattern, code) = match pattern.strip_suffix("%Z") {
                    Some(before) => (before.trim_end(), true),
                    None => (pattern, false),
                };
                if pattern.contains("%Z") {
                    return Err("has %Z before its end".to_owned());
                }
                let written = strtime::format(pattern, &jiff::Zoned::new(jiff::Timestamp::UNIX_EPOCH, TimeZone::UTC));
                let plain = Self::Strftime(pattern.to_owned());
                let back = written.map_err(|e| e.to_string())?;
                plain.written(&back).ok_or_else(|| "does not give a date".to_owned())?;
                Ok(if code { Self::ZoneCode(pattern.to_owned()) } else { plain })
            }
            _ => Err("is neither rfc3339, unix_s nor a strftime pattern".to_owned()),
        }
    }

    /// The instant that `text` names by itself; `zone` is for times written without an offset.
    ///
    /// # Errors
    /// Why it cannot be determined: one text has no order that would tell the two occurrences of a local time apart.
    pub fn read(&self, text: &str, zone: &TimeZone) -> ReadTime {
        self.written(text).ok_or(BadTime::Unreadable)?.alone(None, zone)
    }

    /// What `text` says.
    pub(super) fn written<'a>(&self, text: &'a str) -> Option<Written<'a>> {
        let text = text.trim();
        let instant = |time: jiff::Timestamp| Written::Instant(Timestamp(time.as_microsecond()));
        match self {
            Self::Rfc3339 => text.parse().ok().map(instant),
            Self::UnixS => jiff::Timestamp::from_second(text.parse().ok()?).ok().map(instant),
            Self::Strftime(pattern) => {
                let parts = BrokenDownTime::parse(pattern, text).ok()?;
                match parts.to_timestamp() {
                    Ok(time) => Some(instant(time)),
                    Err(_) => Some(Written::Local(parts.to_datetime().ok()?, None)),
                }
            }
            Self::ZoneCode(pattern) => {
                let (wall, code) = text.rsplit_once(' ')?;
                let parts = BrokenDownTime::parse(pattern, wall.trim_end()).ok()?;
                Some(Written::Local(parts.to_datetime().ok()?, Some(code)))
            }
        }
    }
}

/// The instants that a local time may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occurrences {
    Once(Timestamp),
    /// before and after the clocks were put back
    Twice(Timestamp, Timestamp),
}

/// When a wall clock shows `wall`: with a zone code at its offset, else in `zone`.
pub(super) fn occurrences(wall: DateTime, code: Option<&str>, zone: &TimeZone) -> Result<Occurrences, BadTime> {
    let at = |offset: Offset| {
        let time = offset.to_timestamp(wall).map_err(|_| BadTime::Unreadable)?;
        Ok(Timestamp(time.as_microsecond()))
    };
    if let Some(code) = code {
        return Ok(Occurrences::Once(at(offset_of(code, wall, zone).ok_or(BadTime::UnknownZone)?)?));
    }
    match zone.to_ambiguous_timestamp(wall).offset() {
        AmbiguousOffset::Unambiguous { offset } => Ok(Occurrences::Once(at(offset)?)),
        AmbiguousOffset::Gap { .. } => Err(BadTime::Skipped),
        AmbiguousOffset::Fold { before, after } => Ok(Occurrences::Twice(at(before)?, at(after)?)),
    }
}

/// Zone codes of one meaning, with their hours from UTC. Source: RFC 5322 section 4.3; the codes of USGS for Alaska, Hawaii and the
/// Atlantic and those of Europe are the tz database's.
const ZONE_CODES: [(&str, i8); 25] = [
    ("UTC", 0),
    ("GMT", 0),
    ("UT", 0),
    ("Z", 0),
    ("EST", -5),
    ("EDT", -4),
    ("CST", -6),
    ("CDT", -5),
    ("MST", -7),
    ("MDT", -6),
    ("PST", -8),
    ("PDT", -7),
    ("AKST", -9),
    ("AKDT", -8),
    ("HST", -10),
    ("HDT", -9),
    ("AST", -4),
    ("ADT", -3),
    ("WET", 0),
    ("WEST", 1),
    ("CET", 1),
    ("CEST", 2),
    ("MEZ", 1),
    ("MESZ", 2),
    ("EET", 2),
];

/// The offset that a zone code means at a local time: an offset, an abbreviation that `zone` has within half a year, or one of
/// [`ZONE_CODES`].
fn offset_of(code: &str, wall: DateTime, zone: &TimeZone) -> Option<Offset> {
    let code = code.trim();
    if let Some(offset) = numeric_offset(code) {
        return Some(offset);
    }
    let near = Offset::UTC.to_timestamp(wall).ok()?;
    for days in [0, -183, 183] {
        let info = zone.to_offset_info(near.checked_add(jiff::SignedDuration::from_hours(24 * days)).ok()?);
        if info.abbreviation() == code {
            return Some(info.offset());
        }
    }
    ZONE_CODES.iter().find(|(name, _)| *name == code).map(|(_, hours)| jiff::tz::offset(*hours))
}

/// `+01:00`, `-0500`, `+1` and the same behind `UTC` or `GMT`.
fn numeric_offset(code: &str) -> Option<Offset> {
    let code = code.strip_prefix("UTC").or_else(|| code.strip_prefix("GMT")).unwrap_or(code);
    let (sign, clock) = match code.strip_prefix('+') {
        Some(clock) => (1, clock),
        None => (-1, code.strip_prefix('-')?),
    };
    let (hours, minutes) = match clock.split_once(':') {
        Some(parts) => parts,
        None if clock.len() == 4 => clock.split_at_checked(2)?,
        None => (clock, "0"),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i32>().ok()).flatten();
    let (hours, minutes) = (digits(hours)?, digits(minutes).filter(|m| *m < 60)?);
    Offset::from_seconds(sign * (hours * 3_600 + minutes * 60)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn times_are_read_in_their_format_and_zone() {
        let read = |format: &str, text: &str, zone: &TimeZone| TimeFormat::new(format).unwrap().read(text, zone);
        let paris = TimeZone::fixed(jiff::tz::offset(1));
        assert_eq!(read("%Y%m%d%H%M", "201411042000", &TimeZone::UTC), Ok(at("2014-11-04T20:00:00Z")));
        assert_eq!(read("%Y%m%d%H%M", "201411042000", &paris), Ok(at("2014-11-04T19:00:00Z")));
        assert_eq!(read("%Y-%m-%d", "2014-11-04", &TimeZone::UTC), Ok(at("2014-11-04")));
        assert_eq!(
            read("%Y-%m-%d %H:%M:%S%z", "2014-11-04 20:00:00+0100", &TimeZone::UTC),
            Ok(at("2014-11-04T19:00:00Z"))
        );
        assert_eq!(read("rfc3339", " 2014-11-04T20:00:00+01:00", &paris), Ok(at("2014-11-04T19:00:00Z")));
        assert_eq!(read("unix_s", "1415131200", &paris), Ok(at("2014-11-04T20:00:00Z")));
        for (format, text) in
            [("rfc3339", "2014-11-04T20:00:00"), ("unix_s", "9e99"), ("%Y%m%d", "2014"), ("%Y%m%d", "20141399")]
        {
            assert_eq!(read(format, text, &TimeZone::UTC), Err(BadTime::Unreadable), "{text}");
        }
    }

    #[test]
    fn a_zone_code_tells_the_two_occurrences_of_a_local_time_apart() {
        let new_york = TimeZone::get("America/New_York").unwrap();
        let read = |text: &str| TimeFormat::new("%Y-%m-%d %H:%M %Z").unwrap().read(text, &new_york);
        assert_eq!(read("2014-11-02 01:00 EDT"), Ok(at("2014-11-02T05:00:00Z")));
        assert_eq!(read("2014-11-02 01:00 EST"), Ok(at("2014-11-02T06:00:00Z")));
        // A logger that keeps standard time says so.
        assert_eq!(read("2014-07-01 12:00 EST"), Ok(at("2014-07-01T17:00:00Z")));
        assert_eq!(read("2014-11-02 01:00 PST"), Ok(at("2014-11-02T09:00:00Z")));
        assert_eq!(read("2014-11-02 01:00 -0330"), Ok(at("2014-11-02T04:30:00Z")));
        assert_eq!(read("2014-11-02 01:00 UTC+1"), Ok(at("2014-11-02T00:00:00Z")));
        assert_eq!(read("2014-11-02 01:00 XYZ"), Err(BadTime::UnknownZone));
        assert_eq!(read("2014-11-02 01:00"), Err(BadTime::Unreadable));
        let plain = TimeFormat::new("%Y-%m-%d %H:%M").unwrap();
        assert_eq!(plain.read("2014-11-02 01:00", &new_york), Err(BadTime::Repeated));
        assert_eq!(plain.read("2014-03-09 02:30", &new_york), Err(BadTime::Skipped));
        // China's abbreviation is Chicago's.
        let shanghai = TimeZone::get("Asia/Shanghai").unwrap();
        let format = TimeFormat::new("%Y-%m-%d %H:%M %Z").unwrap();
        assert_eq!(format.read("2014-11-02 09:00 CST", &shanghai), Ok(at("2014-11-02T01:00:00Z")));
    }

    #[test]
    fn a_pattern_without_a_date_is_refused() {
        assert!(TimeFormat::new("%H:%M").is_err());
        assert!(TimeFormat::new("%Q!").is_err());
        assert!(TimeFormat::new("%Z %Y-%m-%d").unwrap_err().contains("%Z"));
        assert!(TimeFormat::new("iso").unwrap_err().contains("rfc3339"));
    }
}
