//! How far an observation's quality widens its error.

use nilometer_schemas::Flag;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::{AssimilationError, require};

/// How many times the error standard deviation of an observation is multiplied for each cause of doubt, 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ErrorFactorOptions {
    /// A check or the agency suspects the value.
    pub suspect: f64,
    /// The agency estimated the value.
    pub estimated: f64,
    /// The agency has not approved the value yet.
    pub provisional: f64,
    /// Ice or backwater disturbs the relation of stage and discharge.
    pub ice: f64,
    /// The stage lies outside the stages at which the rating was measured.
    pub extrapolated: f64,
    /// Largest product of the factors.
    pub maximum: f64,
}

impl Default for ErrorFactorOptions {
    fn default() -> Self {
        Self { suspect: 2.0, estimated: 2.0, provisional: 1.2, ice: 4.0, extrapolated: 2.0, maximum: 10.0 }
    }
}

/// A cause of doubt. It counts once, however often flag and qualifier name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    Suspect,
    Estimated,
    Provisional,
    Ice,
    Extrapolated,
}

/// The words that [`ErrorFactors`] documents.
const WORDS: [(&str, Option<Doubt>); 20] = [
    ("A", None),
    ("Approved", None),
    ("R", None),
    ("Revised", None),
    ("D", None),
    ("S", None),
    ("Good", None),
    ("e", Some(Doubt::Estimated)),
    ("E", Some(Doubt::Estimated)),
    ("Est", Some(Doubt::Estimated)),
    ("Estimated", Some(Doubt::Estimated)),
    ("P", Some(Doubt::Provisional)),
    ("Provisional", Some(Doubt::Provisional)),
    ("Unchecked", Some(Doubt::Provisional)),
    ("Suspect", Some(Doubt::Suspect)),
    ("B", Some(Doubt::Ice)),
    ("Ice", Some(Doubt::Ice)),
    ("Bkw", Some(Doubt::Ice)),
    ("Backwater", Some(Doubt::Ice)),
    ("Extrapolated", Some(Doubt::Extrapolated)),
];

/// How many times the error standard deviation of an observation is multiplied for its quality; its variance is
/// multiplied by the square.
///
/// A qualifier is the agency's own text, split at `,` `;` `:` `[` `]` and spaces. Agencies use one letter for different
/// things and tell upper from lower case, so words of up to two letters are compared exactly and longer ones in any
/// case:
///
/// | words | agency | meaning | factor |
/// |---|---|---|---|
/// | `A`, `Approved` | USGS | approved (Canada's `A`: part of a day) | 1 |
/// | `R`, `Revised` | USGS, Canada | revised | 1 |
/// | `D`, `S` | Canada | dry; sampled that day | 1 |
/// | `Good` | England, Ireland | checked | 1 |
/// | `e`, `E`, `Est`, `Estimated` | USGS; Canada; England, Ireland | estimated | `estimated` |
/// | `P`, `Provisional` | USGS | not approved yet | `provisional` |
/// | `Unchecked` | England, Ireland | not checked yet | `provisional` |
/// | `Suspect` | England, Ireland | suspect | `suspect` |
/// | `B`, `Ice` | Canada; USGS | ice | `ice` |
/// | `Bkw`, `Backwater` | USGS | backwater, which disturbs a rating as ice does | `ice` |
/// | `Extrapolated` | several | beyond the measured range of the rating | `extrapolated` |
///
/// Sources: USGS Water Data for the Nation, qualification codes; Water Survey of Canada, data symbols (A partial day,
/// B ice conditions, D dry, E estimated, S sampled); quality of the Environment Agency's Hydrology API and of Ireland's
/// EPA HydroNet (Good, Estimated, Suspect, Unchecked).
///
/// ```
/// use nilometer_assimilation::{ErrorFactorOptions, ErrorFactors, unknown_words};
/// use nilometer_schemas::Flag;
///
/// let factors = ErrorFactors::new(ErrorFactorOptions::default())?;
/// assert_eq!(factors.factor(Flag::Pass, Some("A"), false), Some(1.0));
/// assert_eq!(factors.factor(Flag::Suspect, Some("P,e"), false), Some(2.0 * 2.0 * 1.2));
/// assert_eq!(factors.factor(Flag::Fail, None, false), None);
/// assert_eq!(unknown_words("P, Eqp").collect::<Vec<_>>(), ["Eqp"]);
/// # Ok::<(), nilometer_assimilation::AssimilationError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ErrorFactors(ErrorFactorOptions);

impl ErrorFactors {
    /// Checked factors.
    ///
    /// # Errors
    /// [`AssimilationError::Value`] where a factor is outside 1 to 100.
    pub fn new(options: ErrorFactorOptions) -> Result<Self, AssimilationError> {
        let accepts = |v: f64| (1.0..=100.0).contains(&v);
        require("error factor of suspect values", options.suspect, "1 to 100", accepts)?;
        require("error factor of estimated values", options.estimated, "1 to 100", accepts)?;
        require("error factor of provisional values", options.provisional, "1 to 100", accepts)?;
        require("error factor of ice", options.ice, "1 to 100", accepts)?;
        require("error factor of an extrapolated rating", options.extrapolated, "1 to 100", accepts)?;
        require("largest error factor", options.maximum, "1 to 100", accepts)?;
        Ok(Self(options))
    }

    /// The product of the factors of every cause of doubt, each counted once, at most the maximum; none where the value
    /// failed a check or is missing, which is not used. `extrapolated` is what the rating says
    /// ([`crate::Rated::extrapolated`]). A word that is not known weighs 1.
    #[must_use]
    pub fn factor(&self, flag: Flag, qualifier: Option<&str>, extrapolated: bool) -> Option<f64> {
        let suspect = match flag {
            Flag::Pass | Flag::NotEvaluated => false,
            Flag::Suspect => true,
            Flag::Fail | Flag::Missing => return None,
        };
        let says = |doubt| words(qualifier.unwrap_or_default()).any(|word| meaning(word) == Some(Some(doubt)));
        let causes = [
            (suspect || says(Doubt::Suspect), self.0.suspect),
            (says(Doubt::Estimated), self.0.estimated),
            (says(Doubt::Provisional), self.0.provisional),
            (says(Doubt::Ice), self.0.ice),
            (extrapolated || says(Doubt::Extrapolated), self.0.extrapolated),
        ];
        let product: f64 = causes.iter().filter(|(applies, _)| *applies).map(|(_, factor)| factor).product();
        Some(product.min(self.0.maximum))
    }
}

/// How the word begins that the qualifier of a discharge from a stage has; behind it stands the rating's version. It is no doubt.
pub const RATED: &str = "rating=";

/// The words of a qualifier that [`ErrorFactors`] does not know, for a caller to count and to report.
pub fn unknown_words(qualifier: &str) -> impl Iterator<Item = &str> {
    words(qualifier).filter(|word| meaning(word).is_none())
}

fn words(qualifier: &str) -> impl Iterator<Item = &str> {
    qualifier.split([',', ';', ':', '[', ']', ' ']).filter(|word| !word.is_empty())
}

/// What a word says: a cause of doubt or none; nothing where it is not known.
fn meaning(word: &str) -> Option<Option<Doubt>> {
    if word.starts_with(RATED) {
        return Some(None);
    }
    let same = |known: &str| known == word || (word.len() > 2 && known.eq_ignore_ascii_case(word));
    WORDS.iter().find(|(known, _)| same(known)).map(|(_, doubt)| *doubt)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use super::*;

    fn factor(flag: Flag, qualifier: &str, extrapolated: bool) -> Option<f64> {
        ErrorFactors::new(ErrorFactorOptions::default()).unwrap().factor(flag, Some(qualifier), extrapolated)
    }

    #[test]
    fn agencies_words_weigh_what_the_table_says() {
        for (qualifier, expected) in [
            ("", 1.0),
            ("A", 1.0),
            ("A,e", 2.0),
            ("A:e", 2.0),
            ("P", 1.2),
            ("P,Ice", 1.2 * 4.0),
            ("P Bkw", 1.2 * 4.0),
            ("P [e]", 1.2 * 2.0),
            ("E", 2.0),
            ("B", 4.0),
            ("Good", 1.0),
            ("Estimated", 2.0),
            ("ESTIMATED; ICE", 8.0),
            ("Suspect", 2.0),
            ("Unchecked", 1.2),
            ("Extrapolated", 2.0),
            ("P, rating=22.0", 1.2),
        ] {
            assert_eq!(factor(Flag::Pass, qualifier, false), Some(expected), "{qualifier}");
            assert_eq!(unknown_words(qualifier).count(), 0, "{qualifier}");
        }
    }

    #[test]
    fn letters_are_compared_exactly_and_unknown_words_weigh_one() {
        assert_eq!(factor(Flag::Pass, "p,b,a Eqp", false), Some(1.0));
        assert_eq!(unknown_words("p,b,a Eqp").collect::<Vec<_>>(), ["p", "b", "a", "Eqp"]);
        assert_eq!(unknown_words("vereist é").collect::<Vec<_>>(), ["vereist", "é"]);
    }

    #[test]
    fn a_cause_counts_once_and_the_product_is_bounded() {
        assert_eq!(factor(Flag::Suspect, "Suspect", false), Some(2.0));
        assert_eq!(factor(Flag::NotEvaluated, "e E Estimated", false), Some(2.0));
        assert_eq!(factor(Flag::NotEvaluated, "Extrapolated", true), Some(2.0));
        assert_eq!(factor(Flag::Suspect, "P,Ice,e", true), Some(10.0));
        assert_eq!(factor(Flag::Fail, "A", false), None);
        assert_eq!(factor(Flag::Missing, "A", false), None);
    }

    #[test]
    fn options_have_defaults_and_are_checked() {
        let options: ErrorFactorOptions = toml::from_str("ice = 3.0").unwrap();
        assert_eq!(options, ErrorFactorOptions { ice: 3.0, ..Default::default() });
        assert!(toml::from_str::<ErrorFactorOptions>("frost = 3.0").is_err());
        for maximum in [0.5, f64::NAN, 101.0] {
            assert!(ErrorFactors::new(ErrorFactorOptions { maximum, ..options }).is_err());
        }
        let message = ErrorFactors::new(ErrorFactorOptions { ice: 0.5, ..options }).unwrap_err().to_string();
        assert_eq!(message, "error factor of ice is 0.5; accepted: 1 to 100");
    }
}
