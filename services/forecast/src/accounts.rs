//! Accounts: where the rows that a partition has received have gone, and the dead letters of those that could not be used.

use nilometer_alignment::Fate;
use nilometer_engine::Balance;
use nilometer_schemas::{DeadLetterRow, Reason, Timestamp};

use crate::ForecastError;

/// The row balance, and what a tick adds to the dead letters.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    pub(crate) balance: Balance,
    dead_letters: Vec<Refusal>,
}

/// A dead letter, and the tick whose rows are the cause of it. A tick that is taken again causes the same ones again.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) caused: Timestamp,
    pub(crate) dead_letter: DeadLetterRow,
}

impl Accounts {
    /// A row that has been received is settled: it waits, or a dead letter says why it was of no use.
    pub(crate) fn settle(
        &mut self,
        fate: Fate,
        caused: Timestamp,
        dead_letter: impl FnOnce(Reason) -> Result<DeadLetterRow, ForecastError>,
    ) -> Result<(), ForecastError> {
        let reason = match fate {
            Fate::Pending => return Ok(()),
            Fate::Late => {
                self.balance.late += 1;
                Reason::Late
            }
            Fate::Rejected(reason) => {
                self.balance.reject(reason, 1);
                reason
            }
        };
        self.dead_letters.push(Refusal { caused, dead_letter: dead_letter(reason)? });
        Ok(())
    }

    /// Rows that are refused together.
    pub(crate) fn refuse(&mut self, caused: Timestamp, dead_letter: DeadLetterRow) {
        self.balance.reject(dead_letter.reason, dead_letter.rows);
        self.dead_letters.push(Refusal { caused, dead_letter });
    }

    /// The dead letters since the last call.
    pub(crate) fn take_dead_letters(&mut self) -> Vec<Refusal> {
        std::mem::take(&mut self.dead_letters)
    }
}
