//! What an agency's qualifier says of a value.

use std::collections::BTreeMap;

use nilometer_schemas::Flag;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a code of a qualifier makes of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QualifierFlag {
    /// nothing: quality control goes on as without it
    Pass,
    /// the value is used with care
    Suspect,
    /// the value is withheld: its row says that there is none
    Missing,
}

impl QualifierFlag {
    /// As a quality flag.
    #[must_use]
    pub const fn flag(self) -> Flag {
        match self {
            Self::Pass => Flag::Pass,
            Self::Suspect => Flag::Suspect,
            Self::Missing => Flag::Missing,
        }
    }
}

/// The worst that the codes of a qualifier say: `P Ice`, `A:e` and `A,e` are two codes. A whole qualifier may be a code too. Nothing
/// where none of its codes is known.
pub(super) fn worst(codes: &BTreeMap<String, QualifierFlag>, qualifier: &str) -> Option<QualifierFlag> {
    if codes.is_empty() {
        return None;
    }
    let between = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | ':' | '/' | '|');
    let words = qualifier.split(between).chain([qualifier]);
    words.filter_map(|word| codes.get(word).copied()).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qualifier_of_several_codes_takes_the_worst() {
        let codes = [("P", QualifierFlag::Pass), ("Ice", QualifierFlag::Suspect), ("Eqp", QualifierFlag::Missing)];
        let codes = codes.map(|(code, flag)| (code.to_owned(), flag)).into();
        for (qualifier, expected) in [
            ("P", Some(QualifierFlag::Pass)),
            ("P Ice", Some(QualifierFlag::Suspect)),
            ("Ice,P", Some(QualifierFlag::Suspect)),
            ("Ice:Eqp", Some(QualifierFlag::Missing)),
            ("A", None),
            ("Iced", None),
            ("", None),
        ] {
            assert_eq!(worst(&codes, qualifier), expected, "{qualifier}");
        }
    }
}
