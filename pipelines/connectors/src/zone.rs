//! Time zones as a definition names them.

use jiff::tz::{Offset, TimeZone};

/// `UTC`, a fixed offset (`+01:00`) or an IANA name (`Europe/Paris`).
pub(crate) fn read_zone(text: &str) -> Result<TimeZone, String> {
    if text == "UTC" {
        return Ok(TimeZone::UTC);
    }
    let refuse = || {
        format!(
            "is {text:?}; accepted is UTC, an offset as +01:00, or an IANA name as Europe/Paris that this system knows"
        )
    };
    if let Some((sign, clock)) =
        text.strip_prefix('+').map(|c| (1, c)).or_else(|| text.strip_prefix('-').map(|c| (-1, c)))
    {
        let (hours, minutes) = clock.split_once(':').ok_or_else(refuse)?;
        let (hours, minutes): (i32, i32) =
            (hours.parse().map_err(|_| refuse())?, minutes.parse().map_err(|_| refuse())?);
        if !(0..=25).contains(&hours) || !(0..60).contains(&minutes) {
            return Err(refuse());
        }
        let offset = Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).map_err(|_| refuse())?;
        return Ok(TimeZone::fixed(offset));
    }
    TimeZone::get(text).map_err(|_| refuse())
}

/// A definition's zone when it says none.
pub(crate) fn utc() -> String {
    "UTC".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_with_their_sign() {
        let seconds = |text: &str| read_zone(text).unwrap().to_fixed_offset().unwrap().seconds();
        assert_eq!((seconds("UTC"), seconds("+01:00"), seconds("-03:30")), (0, 3600, -12_600));
        for text in ["+1", "+aa:00", "+99:00", "+01:-1", "Nowhere/Land", ""] {
            assert!(read_zone(text).unwrap_err().contains("+01:00"), "{text}");
        }
    }
}
