//! Seasons of the year.

use nilometer_schemas::Timestamp;
use serde::{Deserialize, Serialize};

/// Three months, by their initials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Season {
    Djf,
    Mam,
    Jja,
    Son,
}

impl Season {
    /// The year.
    pub(crate) const ALL: [Self; 4] = [Self::Djf, Self::Mam, Self::Jja, Self::Son];

    /// The season of an instant's month, UTC.
    pub(crate) fn of(time: Timestamp) -> Self {
        const DAY_US: i64 = 86_400_000_000;
        // Days since 0000-03-01 within a cycle of 400 years, then within a year that begins in March, where the months
        // follow a line (Hinnant, chrono-compatible low-level date algorithms, civil_from_days).
        let day_of_era = (time.0.div_euclid(DAY_US) + 719_468).rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let months_since_march = (5 * day_of_year + 2) / 153;
        match months_since_march {
            0..=2 => Self::Mam,
            3..=5 => Self::Jja,
            6..=8 => Self::Son,
            _ => Self::Djf,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use super::*;

    #[test]
    fn seasons_follow_the_calendar() {
        for (time, season) in [
            ("2019-12-01T00:00:00Z", Season::Djf),
            ("2020-02-29T23:59:59Z", Season::Djf),
            ("2020-03-01T00:00:00Z", Season::Mam),
            ("2021-05-31T23:59:59Z", Season::Mam),
            ("2021-06-01T00:00:00Z", Season::Jja),
            ("1969-08-31T23:59:59Z", Season::Jja),
            ("1900-09-01T00:00:00Z", Season::Son),
            ("2000-11-30T23:59:59Z", Season::Son),
        ] {
            assert_eq!(Season::of(time.parse().unwrap()), season, "{time}");
        }
    }
}
