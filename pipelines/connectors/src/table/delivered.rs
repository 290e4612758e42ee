//! What was delivered of a file that grows, or that is replaced by another.

use std::{collections::HashSet, iter::once, ops::Range};

use serde::{Deserialize, Serialize};
use twox_hash::XxHash64;

/// Rows of a file that are remembered one by one. Of a longer file only all together: replaced, it is delivered anew.
const KNOWN_ROWS: usize = 1 << 14;

/// What was delivered of a file: its head (the first line, the columns) and its rows, each by its hash.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivered {
    /// how many, the head among them
    count: usize,
    /// of all of them, in their order
    hash: u64,
    /// each of them; nothing where there are too many
    known: Vec<u64>,
}

impl Delivered {
    pub(crate) fn of(hashes: &[u64]) -> Self {
        let known = if hashes.len() <= KNOWN_ROWS { hashes.to_vec() } else { Vec::new() };
        Self { count: hashes.len(), hash: hash_of_all(hashes), known }
    }

    /// Of a file whose head and rows have these hashes now: those that stand for what was delivered, if they are still there.
    pub(super) fn still_in<'a>(&self, hashes: &'a [u64]) -> Option<&'a [u64]> {
        hashes.get(..self.count).filter(|first| hash_of_all(first) == self.hash)
    }

    /// Places of the head and rows that were not delivered yet, in runs, and what has been delivered after them.
    ///
    /// Rows behind those that were delivered are new. Where those are not there any more the file was replaced: then rows that the one
    /// before did not have are new, or all, where the head is another, where rows mean something by their place
    /// (`by_place`), or where the file before was too long to be remembered. A file that is a part of what was delivered is just
    /// being written.
    pub(super) fn news(&self, hashes: &[u64], by_place: bool) -> (Vec<Range<usize>>, Self) {
        if self.still_in(hashes).is_some() {
            let new = (self.count < hashes.len()).then_some(self.count..hashes.len());
            return (new.into_iter().collect(), Self::of(hashes));
        }
        if hashes.is_empty() || self.known.starts_with(hashes) {
            return (Vec::new(), self.clone());
        }
        if by_place || self.known.first() != hashes.first() {
            return (once(0..hashes.len()).collect(), Self::of(hashes));
        }
        let known: HashSet<u64> = self.known.iter().copied().collect();
        let is_new = |hash: &u64| !known.contains(hash);
        let mut runs = Vec::new();
        let mut at = 0;
        for run in hashes.chunk_by(|a, b| is_new(a) == is_new(b)) {
            if is_new(&run[0]) {
                runs.push(at..at + run.len());
            }
            at += run.len();
        }
        (runs, Self::of(hashes))
    }
}

/// The hash of a row.
pub(super) fn hash(row: &[u8]) -> u64 {
    XxHash64::oneshot(0, row)
}

fn hash_of_all(hashes: &[u64]) -> u64 {
    hashes.iter().fold(0, |all, one| XxHash64::oneshot(all, &one.to_le_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places that are new in `after` when `before` had been delivered.
    fn news(before: &[u64], after: &[u64]) -> Vec<usize> {
        Delivered::of(before).news(after, false).0.into_iter().flatten().collect()
    }

    #[test]
    fn what_grew_rolled_or_was_corrected_is_new_and_nothing_else() {
        assert_eq!(news(&[], &[1, 2, 3]), [0, 1, 2]);
        assert_eq!(news(&[1, 2, 3], &[1, 2, 3, 4]), [3], "grown");
        assert_eq!(news(&[1, 2, 3, 4], &[1, 3, 4, 5]), [3], "rolled on: as many rows as before");
        assert_eq!(news(&[1, 2, 3, 4], &[1, 2, 9, 4, 5]), [2, 4], "corrected and grown");
        assert_eq!(news(&[1, 2, 3, 4], &[1, 2]), [0; 0], "being written");
        assert_eq!(news(&[1, 2, 3, 4], &[]), [0; 0]);
        assert_eq!(news(&[1, 2, 3], &[7, 2, 3]), [0, 1, 2], "another head gives the rows another meaning");
        let (_, waiting) = Delivered::of(&[1, 2, 3, 4]).news(&[1, 2], false);
        assert_eq!(waiting, Delivered::of(&[1, 2, 3, 4]), "written to its end it is what it was");
        let by_place = Delivered::of(&[1, 2, 3]).news(&[1, 9, 3], true).0;
        assert_eq!(by_place.into_iter().flatten().count(), 3);
    }

    #[test]
    fn a_value_that_changed_back_is_new() {
        let (_, corrected) = Delivered::of(&[1, 2, 3]).news(&[1, 2, 4], false);
        assert_eq!(corrected.news(&[1, 2, 3], false).0.into_iter().flatten().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_long_file_is_known_while_it_grows_and_read_anew_when_replaced() {
        let long: Vec<u64> = (0..=KNOWN_ROWS as u64).collect();
        let delivered = Delivered::of(&long);
        assert!(delivered.known.is_empty());
        assert_eq!(delivered.count, long.len());
        let grown = [long.clone(), vec![1 << 40]].concat();
        assert_eq!(news(&long, &grown), [long.len()]);
        assert!(news(&long, &long).is_empty());
        let replaced = [vec![0, 1 << 40], long[2..].to_vec()].concat();
        assert_eq!(news(&long, &replaced).len(), long.len());
    }
}
