//! The row balance: received = used + rejected + late + pending, always.

use std::collections::BTreeMap;

use nilometer_schemas::Reason;
use serde::{Deserialize, Serialize};

use crate::RoleMetrics;

/// Where every row that a role received has gone. It lies in the role's snapshot, so that it covers the role's life,
/// not only the life of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Balance {
    /// rows that came in
    pub received: u64,
    /// rows that did what they came for
    pub used: u64,
    /// rows that could not be used, by reason; each is in a dead letter, but for suspect readings, which the ledger keeps
    pub rejected: BTreeMap<Reason, u64>,
    /// rows that came after their time had passed; each is in a dead letter
    pub late: u64,
    /// rows that say "no value here" and therefore change nothing
    pub missing: u64,
    /// rows that wait for their time
    pub pending: u64,
    /// rows of stations that a source passes over; not among the received
    #[serde(default)]
    pub skipped: u64,
}

/// The balance does not close: a defect of the role, never of the data.
#[derive(Debug, thiserror::Error)]
#[error("row balance of {role} does not close: received {} but accounted for {accounted} (used {}, rejected {}, late {}, missing {}, pending {}); this is a defect, please report it", balance.received, balance.used, balance.rejected_rows(), balance.late, balance.missing, balance.pending)]
pub struct BalanceError {
    /// whose balance
    pub role: String,
    /// used + rejected + late + missing + pending
    pub accounted: u64,
    /// all of it
    pub balance: Balance,
}

impl Balance {
    /// Counts rows as rejected.
    pub fn reject(&mut self, reason: Reason, rows: u64) {
        *self.rejected.entry(reason).or_default() += rows;
    }

    /// Rejected rows of all reasons.
    #[must_use]
    pub fn rejected_rows(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Holds the balance to its law and shows it as metrics.
    ///
    /// # Errors
    /// [`BalanceError`] when a row is unaccounted for or counted twice.
    pub fn check(&self, role: &RoleMetrics) -> Result<(), BalanceError> {
        role.show(self);
        let accounted = self.used + self.rejected_rows() + self.late + self.missing + self.pending;
        if accounted == self.received {
            return Ok(());
        }
        Err(BalanceError { role: role.name().to_owned(), accounted, balance: self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metrics;

    #[test]
    fn a_lost_row_is_noticed() {
        let role = Metrics::unregistered().role("test");
        let mut balance = Balance { received: 5, used: 2, late: 1, pending: 1, ..Balance::default() };
        let error = balance.check(&role).unwrap_err().to_string();
        assert!(error.contains("received 5 but accounted for 4"), "{error}");
        balance.reject(Reason::NotFinite, 1);
        balance.check(&role).unwrap();
    }
}
