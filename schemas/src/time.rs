//! UTC microseconds, the only time that travels.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::SchemaError;

/// An instant: microseconds since 1970-01-01T00:00:00Z. Displays and parses as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Before every instant that data can carry (year −9999 is the calendar's own limit).
    pub const MIN: Self = Self(i64::MIN);

    /// The instant `seconds` later (earlier when negative); saturates at the ends of time.
    #[must_use]
    pub const fn plus_s(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000_000)))
    }

    /// Whole seconds from `earlier` to `self`, negative when `earlier` is later.
    #[must_use]
    pub const fn seconds_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0).div_euclid(1_000_000)
    }

    /// Whether the instant is a whole multiple of `seconds` since 1970.
    #[must_use]
    pub const fn is_multiple_of_s(self, seconds: i64) -> bool {
        self.0.rem_euclid(seconds * 1_000_000) == 0
    }

    /// The first whole multiple of `seconds` at or after this instant.
    #[must_use]
    pub const fn ceil_s(self, seconds: i64) -> Self {
        let step = seconds * 1_000_000;
        Self(self.0.saturating_add((step - self.0.rem_euclid(step)) % step))
    }

    /// The last whole multiple of `seconds` at or before this instant.
    #[must_use]
    pub const fn floor_s(self, seconds: i64) -> Self {
        Self(self.0.saturating_sub(self.0.rem_euclid(seconds * 1_000_000)))
    }

    /// `YYYYmmddTHHMMSSZ`, for object keys.
    #[must_use]
    pub fn compact(self) -> String {
        self.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect()
    }

    /// `YYYY-mm-dd`, for object keys; what no calendar has sorts before or behind every date.
    #[must_use]
    pub fn date(self) -> String {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => time.to_string().chars().take_while(|c| *c != 'T').collect(),
            Err(_) if self.0 < 0 => String::new(),
            Err(_) => "~".to_owned(),
        }
    }
}

/// Microseconds of a span of whole seconds.
#[must_use]
pub const fn duration_us(seconds: i64) -> i64 {
    seconds * 1_000_000
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(t) => write!(f, "{t}"),
            // No calendar has these: they stand for the ends of time.
            Err(_) if self.0 < 0 => f.write_str("the beginning"),
            Err(_) => f.write_str("the end"),
        }
    }
}

impl FromStr for Timestamp {
    type Err = SchemaError;
    /// RFC 3339 with a zone (`2014-11-04T20:00:00Z`), or a UTC date (`2014-11-04`) meaning its first instant.
    fn from_str(s: &str) -> Result<Self, SchemaError> {
        let refuse = || SchemaError::Word {
            kind: "time",
            value: s.to_owned(),
            accepted: "RFC 3339 with a zone as 2014-11-04T20:00:00Z, or a date as 2014-11-04".to_owned(),
        };
        let instant = if s.len() == 10 {
            s.parse::<jiff::civil::Date>().and_then(|d| d.to_zoned(jiff::tz::TimeZone::UTC)).map(|z| z.timestamp())
        } else {
            s.parse::<jiff::Timestamp>()
        };
        instant.map(|t| Self(t.as_microsecond())).map_err(|_| refuse())
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "title": "time" })
    }
}

impl TryFrom<String> for Timestamp {
    type Error = SchemaError;
    fn try_from(s: String) -> Result<Self, SchemaError> {
        s.parse()
    }
}

impl From<Timestamp> for String {
    fn from(t: Timestamp) -> Self {
        t.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_dates_and_instants_and_refuses_local_time() {
        let noon: Timestamp = "2014-11-04T12:00:00Z".parse().unwrap();
        assert_eq!("2014-11-04T13:00:00+01:00".parse::<Timestamp>().unwrap(), noon);
        assert_eq!("2014-11-04".parse::<Timestamp>().unwrap(), noon.plus_s(-12 * 3600));
        assert_eq!(noon.to_string(), "2014-11-04T12:00:00Z");
        assert_eq!(noon.compact(), "20141104T120000Z");
        assert_eq!(noon.date(), "2014-11-04");
        assert!(Timestamp::MIN.date() < noon.date() && noon.date() < Timestamp(i64::MAX).date());
        assert_eq!(format!("{} to {}", Timestamp::MIN, Timestamp(i64::MAX)), "the beginning to the end");
        let error = "2014-11-04T12:00:00".parse::<Timestamp>().unwrap_err().to_string();
        assert!(error.contains("2014-11-04T12:00:00") && error.contains("zone"), "{error}");
    }

    #[test]
    fn rounds_up_to_whole_steps_also_before_1970() {
        assert_eq!(Timestamp(1).ceil_s(3600), Timestamp(duration_us(3600)));
        assert_eq!(Timestamp(-1).ceil_s(3600), Timestamp(0));
        assert_eq!(Timestamp(0).ceil_s(3600), Timestamp(0));
        assert!(Timestamp(duration_us(-7200)).is_multiple_of_s(3600));
    }
}
