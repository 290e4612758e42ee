//! Versioned: the content of a snapshot, or of which other version it is.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, de::Error as _};
use serde_json::{Map, Value};

/// The key of the version beside the content's own.
const KEY: &str = "version";

/// Content that says its version: `V` is what a build writes, and it reads `OLDEST` to `V` as `T`, whose fields that came later have defaults. Content
/// of another version is no damage, so that the role that meets it can say what to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Versioned<T, const V: u64, const OLDEST: u64 = V> {
    /// content of a version that is read
    Current(T),
    /// content of another version; 1 where it says none
    Other(u64),
}

impl<T, const V: u64, const OLDEST: u64> Versioned<T, V, OLDEST> {
    /// The content, where it is of a version that is read.
    pub const fn current(&self) -> Option<&T> {
        match self {
            Self::Current(content) => Some(content),
            Self::Other(_) => None,
        }
    }

    /// The content, for the role whose state it is.
    ///
    /// # Errors
    /// [`VersionError`] where it is of a version that is not read.
    pub fn into_current(self, role: &'static str) -> Result<T, VersionError> {
        match self {
            Self::Current(content) => Ok(content),
            Self::Other(version) if version < OLDEST => {
                Err(VersionError::Earlier { role, version, oldest: OLDEST, newest: V })
            }
            Self::Other(version) => Err(VersionError::Later { role, version, oldest: OLDEST, newest: V }),
        }
    }
}

/// Why a role cannot go on from its snapshots.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// an earlier build wrote them
    #[error(
        "the snapshots of role {role} in log.store are of version {version}; accepted are versions {oldest} to {newest}: remove the folder snapshots/{role} and start again, and the state is made anew from what the log still has"
    )]
    Earlier {
        /// whose snapshots
        role: &'static str,
        /// of the snapshots
        version: u64,
        /// that this build reads
        oldest: u64,
        /// that this build writes
        newest: u64,
    },
    /// a later build wrote them
    #[error(
        "the snapshots of role {role} in log.store are of version {version}; accepted are versions {oldest} to {newest}: use the build that wrote them"
    )]
    Later {
        /// whose snapshots
        role: &'static str,
        /// of the snapshots
        version: u64,
        /// that this build reads
        oldest: u64,
        /// that this build writes
        newest: u64,
    },
}

impl<T: Serialize, const V: u64, const OLDEST: u64> Serialize for Versioned<T, V, OLDEST> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error as _;
        let (version, content) = match self {
            Self::Current(content) => (V, serde_json::to_value(content).map_err(S::Error::custom)?),
            Self::Other(version) => (*version, Value::Object(Map::new())),
        };
        let Value::Object(mut fields) = content else { return Err(S::Error::custom("versioned content has fields")) };
        fields.insert(KEY.to_owned(), version.into());
        fields.serialize(serializer)
    }
}

impl<'de, T: DeserializeOwned, const V: u64, const OLDEST: u64> Deserialize<'de> for Versioned<T, V, OLDEST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Map::deserialize(deserializer)?;
        let version = match fields.remove(KEY) {
            None => 1,
            Some(found) => found.as_u64().ok_or_else(|| D::Error::custom(format!("{KEY} is {found}, no number")))?,
        };
        if !(OLDEST..=V).contains(&version) {
            return Ok(Self::Other(version));
        }
        serde_json::from_value(Value::Object(fields)).map(Self::Current).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Content {
        flow: f64,
    }

    #[test]
    fn content_of_this_version_is_read_and_another_is_named() {
        let written = Versioned::<_, 2>::Current(Content { flow: 0.1 });
        let text = serde_json::to_string(&written).unwrap();
        assert_eq!(text, r#"{"flow":0.1,"version":2}"#);
        let read = |text: &str| serde_json::from_str::<Versioned<Content, 2>>(text);
        assert_eq!(read(&text).unwrap(), written);
        assert_eq!(read(r#"{"identity":"of a build before"}"#).unwrap(), Versioned::Other(1));
        assert_eq!(read(r#"{"version":3,"stage":1}"#).unwrap(), Versioned::Other(3));
        assert!(read(r#"{"version":2}"#).is_err(), "that is damage");
        let both = serde_json::from_str::<Versioned<Content, 3, 2>>(&text).unwrap();
        assert_eq!(both, Versioned::Current(Content { flow: 0.1 }));
        assert!(read(r#"{"version":"x"}"#).is_err());

        assert_eq!(read(&text).unwrap().into_current("score"), Ok(Content { flow: 0.1 }));
        let refusal =
            |version| Versioned::<Content, 3, 2>::Other(version).into_current("score").unwrap_err().to_string();
        let (earlier, later) = (refusal(1), refusal(4));
        assert!(earlier.contains("accepted are versions 2 to 3: remove the folder snapshots/score"), "{earlier}");
        assert!(later.contains("of version 4; accepted are versions 2 to 3: use the build that wrote them"), "{later}");
    }
}
