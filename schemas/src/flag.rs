//! QARTOD quality flags.

use serde::{Deserialize, Serialize};

use crate::SchemaError;

/// Quality of one value, with QARTOD's numbers (IOOS manual for real-time quality control of water level, v2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Flag {
    /// 1: passed every test that was run
    Pass = 1,
    /// 2: no test was run
    NotEvaluated = 2,
    /// 3: usable with care
    Suspect = 3,
    /// 4: not usable
    Fail = 4,
    /// 9: no value
    Missing = 9,
}

impl Flag {
    /// The worse of two flags, in the order fail > suspect > pass > not evaluated > missing.
    #[must_use]
    pub const fn worst(self, other: Self) -> Self {
        if other.severity() > self.severity() { other } else { self }
    }

    const fn severity(self) -> u8 {
        match self {
            Self::Missing => 0,
            Self::NotEvaluated => 1,
            Self::Pass => 2,
            Self::Suspect => 3,
            Self::Fail => 4,
        }
    }
}

impl TryFrom<u8> for Flag {
    type Error = SchemaError;
    fn try_from(number: u8) -> Result<Self, SchemaError> {
        Ok(match number {
            1 => Self::Pass,
            2 => Self::NotEvaluated,
            3 => Self::Suspect,
            4 => Self::Fail,
            9 => Self::Missing,
            other => {
                return Err(SchemaError::Word {
                    kind: "quality flag",
                    value: other.to_string(),
                    accepted: "1, 2, 3, 4 or 9".to_owned(),
                });
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_wins_in_qartod_order() {
        let ordered = [Flag::Missing, Flag::NotEvaluated, Flag::Pass, Flag::Suspect, Flag::Fail];
        for (i, a) in ordered.iter().enumerate() {
            for (j, b) in ordered.iter().enumerate() {
                assert_eq!(a.worst(*b), ordered[i.max(j)]);
            }
        }
        assert!(Flag::try_from(5).is_err());
        assert_eq!(Flag::try_from(9).unwrap(), Flag::Missing);
    }
}
