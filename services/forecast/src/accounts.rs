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

/// A dead letter and its cause.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// the tick whose rows cause it, which cause it again when the tick is taken again; none of a change of the definition, which goes out once
    pub(crate) caused: Option<Timestamp>,
    pub(crate) dead_letter: DeadLetterRow,
}

impl Refusal {
    /// Whether it goes out at a tick, unlike those that went out before.
    pub(crate) fn is_new_at(&self, tick: Timestamp) -> bool {
        self.caused.is_none_or(|caused| caused == tick)
    }
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
        self.dead_letters.push(Refusal { caused: Some(caused), dead_letter: dead_letter(reason)? });
        Ok(())
    }

    /// Rows that are refused together.
    pub(crate) fn refuse(&mut self, caused: Option<Timestamp>, dead_letter: DeadLetterRow) {
        self.balance.reject(dead_letter.reason, dead_letter.rows);
        self.dead_letters.push(Refusal { caused, dead_letter });
    }

    /// The dead letters since the last call.
    pub(crate) fn take_dead_letters(&mut self) -> Vec<Refusal> {
        std::mem::take(&mut self.dead_letters)
    }

    /// Goes on with dead letters that are still to go out, instead of those that taking up an older state has caused again.
    pub(crate) fn put_back(&mut self, dead_letters: Vec<Refusal>) {
        self.dead_letters = dead_letters;
    }
}
