//! Lengths of time as people write them in a definition.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A signed length of time in whole seconds. Reads `1h`, `-24h`, `1h30min`, `1d`; a unit is always needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(i64);

/// Units, longest first, with their seconds.
const UNITS: [(&str, i64); 5] = [("w", 604_800), ("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];

/// A word that is no [`Span`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a length of time; accepted is a number with a unit of w, d, h, min, s, as 1h, 1h30min or -24h")]
pub struct SpanError(pub String);

impl Span {
    /// A span of `seconds`.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Its length in seconds, negative when it points to the past.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0
    }
}

impl FromStr for Span {
    type Err = SpanError;
    fn from_str(text: &str) -> Result<Self, SpanError> {
        let refuse = || SpanError(text.to_owned());
        let (sign, mut rest) = match text.trim().strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.trim().trim_start_matches('+')),
        };
        if rest.is_empty() {
            return Err(refuse());
        }
        let mut seconds = 0_i64;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: i64 = rest[..digits].parse().map_err(|_| refuse())?;
            let after = rest[digits..].trim_start();
            let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (_, unit_s) = UNITS.iter().find(|(name, _)| *name == &after[..letters]).ok_or_else(refuse)?;
            seconds = number.checked_mul(*unit_s).and_then(|s| seconds.checked_add(s)).ok_or_else(refuse)?;
            rest = after[letters..].trim_start();
        }
        Ok(Self(sign * seconds))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit_s) = UNITS.iter().find(|(_, s)| self.0 != 0 && self.0 % s == 0).unwrap_or(&("s", 1));
        write!(f, "{}{name}", self.0 / unit_s)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "title": "length of time" })
    }
}

impl TryFrom<String> for Span {
    type Error = SpanError;
    fn try_from(text: String) -> Result<Self, SpanError> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_signs_and_units_and_writes_them_back() {
        for (text, seconds, shown) in [
            ("1h", 3600, "1h"),
            ("-24h", -86_400, "-1d"),
            ("1h30min", 5400, "90min"),
            ("1 d", 86_400, "1d"),
            ("0s", 0, "0s"),
            ("+90s", 90, "90s"),
            ("2w", 1_209_600, "2w"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.seconds(), seconds, "{text}");
            assert_eq!(span.to_string(), shown);
            assert_eq!(shown.parse::<Span>().unwrap(), span);
        }
    }

    #[test]
    fn a_number_without_a_unit_is_refused() {
        for text in ["", "-", "24", "h", "1x", "1h5", "--1h", "1.5h", "99999999999999999999s", "9999999999999999w"] {
            let error = text.parse::<Span>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("1h30min"), "{error}");
        }
    }
}
