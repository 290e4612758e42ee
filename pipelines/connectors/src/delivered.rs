//! What was delivered of a file that grows or is replaced by another, or of a folder of files.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use twox_hash::XxHash64;

/// Digits of a hash in a snapshot.
const DIGITS: usize = 16;

/// What was delivered, each row by the hash of its content, as often as it was delivered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delivered {
    /// ascending
    hashes: Arc<Vec<u64>>,
}

impl Delivered {
    /// Rows with these hashes were delivered.
    #[must_use]
    pub fn of(mut hashes: Vec<u64>) -> Self {
        hashes.sort_unstable();
        Self { hashes: Arc::new(hashes) }
    }

    /// Of rows with these hashes, in the order of their file, which were not delivered before: of equal rows those behind as many as were.
    #[must_use]
    pub fn news(&self, rows: &[u64]) -> Vec<bool> {
        matched(rows, &self.hashes).into_iter().map(|known| !known).collect()
    }

    /// What has been delivered when those of `rows` that `now` says are delivered too. What is not in the file any more is forgotten, but for a
    /// file that has nothing new: it may just be written again.
    #[must_use]
    pub fn with(&self, rows: &[u64], now: &[bool]) -> Self {
        if !now.contains(&true) {
            return self.clone();
        }
        let known = matched(rows, &self.hashes);
        let kept = rows.iter().zip(known.iter().zip(now)).filter(|(_, (known, now))| **known || **now);
        Self::of(kept.map(|(hash, _)| *hash).collect())
    }

    /// What has been delivered when those of `rows` that `now` says are delivered too, and nothing is forgotten: what stands in place of the file may
    /// be an error page, and the file come back.
    #[must_use]
    pub fn and(&self, rows: &[u64], now: &[bool]) -> Self {
        let more = rows.iter().zip(now).filter(|(_, now)| **now).map(|(hash, _)| *hash);
        Self::of(self.hashes.iter().copied().chain(more).collect())
    }

    /// Of rows with these hashes those that `later` has beyond what this has: what was delivered between the two.
    #[must_use]
    pub fn between(&self, later: &Self, rows: &[u64]) -> Vec<bool> {
        let known = matched(&later.hashes, &self.hashes);
        let added: Vec<u64> =
            later.hashes.iter().zip(known).filter(|(_, known)| !known).map(|(hash, _)| *hash).collect();
        // Of equal rows the last ones were added.
        let mut backwards: Vec<u64> = rows.to_vec();
        backwards.reverse();
        let mut found = matched(&backwards, &added);
        found.reverse();
        found
    }

    /// How many rows this has beyond what `before` has.
    #[must_use]
    pub fn added_to(&self, before: &Self) -> usize {
        matched(&self.hashes, &before.hashes).into_iter().filter(|known| !known).count()
    }
}

/// A file as it was delivered, each part by its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SeenFile {
    pub(crate) path: u64,
    /// size and time of modification
    pub(crate) stamp: u64,
    pub(crate) content: u64,
}

/// What was delivered of a folder of files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveredFiles {
    /// by path
    files: Arc<BTreeMap<u64, (u64, u64)>>,
}

impl DeliveredFiles {
    pub(crate) fn get(&self, path: u64) -> Option<SeenFile> {
        self.files.get(&path).map(|&(stamp, content)| SeenFile { path, stamp, content })
    }

    pub(crate) fn insert(&mut self, file: SeenFile) {
        Arc::make_mut(&mut self.files).insert(file.path, (file.stamp, file.content));
    }
}

/// Of `rows` those that `known` (ascending) has; of equal rows the first, as many as it has.
fn matched(rows: &[u64], known: &[u64]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|row| rows[*row]);
    let (mut found, mut at) = (vec![false; rows.len()], 0);
    for row in order {
        at += known[at..].partition_point(|hash| *hash < rows[row]);
        if known.get(at) == Some(&rows[row]) {
            found[row] = true;
            at += 1;
        }
    }
    found
}

/// The hash of a content.
pub(crate) fn hash(content: &[u8]) -> u64 {
    XxHash64::oneshot(0, content)
}

/// The hash of a content that means something else behind another `head`.
pub(crate) fn hash_behind(head: u64, content: &[u8]) -> u64 {
    XxHash64::oneshot(head, content)
}

impl Serialize for Delivered {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hexadecimal(self.hashes.iter().copied()))
    }
}

impl<'de> Deserialize<'de> for Delivered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        hashes(&String::deserialize(deserializer)?).map(Self::of).ok_or_else(|| de::Error::custom(ACCEPTED))
    }
}

impl Serialize for DeliveredFiles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let parts = self.files.iter().flat_map(|(path, (stamp, content))| [*path, *stamp, *content]);
        serializer.serialize_str(&hexadecimal(parts))
    }
}

impl<'de> Deserialize<'de> for DeliveredFiles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = hashes(&String::deserialize(deserializer)?).filter(|parts| parts.len() % 3 == 0);
        let parts = parts.ok_or_else(|| de::Error::custom(ACCEPTED))?;
        let files = parts.chunks_exact(3).map(|of_file| (of_file[0], (of_file[1], of_file[2])));
        Ok(Self { files: Arc::new(files.collect()) })
    }
}

const ACCEPTED: &str = "is no list of hashes; accepted are 16 hexadecimal digits each";

fn hexadecimal(hashes: impl Iterator<Item = u64>) -> String {
    let mut text = String::with_capacity(hashes.size_hint().0 * DIGITS);
    hashes.for_each(|hash| write!(text, "{hash:016x}").expect("text takes all"));
    text
}

fn hashes(text: &str) -> Option<Vec<u64>> {
    let whole = text.is_ascii() && text.len().is_multiple_of(DIGITS);
    let read = |at: usize| u64::from_str_radix(&text[at..at + DIGITS], 16).ok();
    if whole { (0..text.len()).step_by(DIGITS).map(read).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Places that are new in `after` when `before` had been delivered.
    fn news(before: &[u64], after: &[u64]) -> Vec<usize> {
        let new = Delivered::of(before.to_vec()).news(after);
        (0..after.len()).filter(|row| new[*row]).collect()
    }

    #[test]
    fn what_grew_rolled_or_was_corrected_is_new_and_nothing_else() {
        assert_eq!(news(&[], &[1, 2, 3]), [0, 1, 2]);
        assert_eq!(news(&[1, 2, 3], &[1, 2, 3, 4]), [3], "grown");
        assert_eq!(news(&[1, 2, 3, 4], &[1, 3, 4, 5]), [3], "rolled on");
        assert_eq!(news(&[1, 2, 3, 4], &[1, 2, 9, 4, 5]), [2, 4], "corrected and grown");
        assert_eq!(news(&[1, 2, 3, 4], &[4, 3, 2, 1]), [0; 0], "another order");
        assert_eq!(news(&[1, 2], &[1, 2, 2, 1]), [2, 3], "each repetition is a row of its own");
    }

    #[test]
    fn a_file_that_is_being_written_again_forgets_nothing() {
        let before = Delivered::of(vec![1, 2, 3, 4]);
        assert_eq!(before.with(&[1, 2], &[false, false]), before);
        assert_eq!(before.with(&[3, 4, 5], &[false, false, true]), Delivered::of(vec![3, 4, 5]), "rolled on");
        assert_eq!(before.with(&[1, 5, 6], &[false, true, false]), Delivered::of(vec![1, 5]), "row 6 is still to come");
    }

    #[test]
    fn a_value_that_changed_back_is_new() {
        let corrected = Delivered::of(vec![1, 2, 3]).with(&[1, 2, 4], &[false, false, true]);
        assert_eq!(corrected.news(&[1, 2, 3]), [false, false, true]);
    }

    proptest! {
        #[test]
        fn what_was_delivered_between_is_found_again_in_a_file_that_has_grown(
            before in proptest::collection::vec(0_u64..9, 0..20),
            more in proptest::collection::vec(0_u64..9, 1..20),
            later in proptest::collection::vec(20_u64..29, 0..5),
        ) {
            let delivered = Delivered::of(before.clone());
            let file = [before.clone(), more.clone()].concat();
            let new = delivered.news(&file);
            let planned = delivered.with(&file, &new);
            prop_assert_eq!(new.iter().filter(|new| **new).count(), more.len());
            prop_assert!(planned.news(&file).iter().all(|new| !new));
            let grown = [file, later.clone()].concat();
            let again = delivered.between(&planned, &grown);
            prop_assert_eq!(again.iter().filter(|again| **again).count(), more.len());
            prop_assert!(again[again.len() - later.len()..].iter().all(|again| !again));
            let text = serde_json::to_string(&planned).unwrap();
            prop_assert_eq!(serde_json::from_str::<Delivered>(&text).unwrap(), planned);
        }
    }
}
