//! Levels: what operators make of thresholds from a tick on. Who may be wrong about one hears of it from the role alert.

use nilometer_schemas::{LevelChange, Timestamp};

use super::PartitionState;
use crate::{ForecastError, tick::Received};

impl PartitionState {
    /// Puts the levels of a message in force; its other rows are no matter of forecasts.
    pub(super) fn take_levels(
        &mut self,
        message: &Received<Option<LevelChange>>,
        tick: Timestamp,
    ) -> Result<(), ForecastError> {
        if let Err(error) = &message.rows {
            return self.refuse_message(message, error, tick);
        }
        self.levels.forget(tick);
        for (_, change) in message.rows() {
            self.accounts.balance.received += 1;
            self.accounts.balance.used += 1;
            if let Some(change) = change {
                self.levels.set(change.clone(), self.setting.pipeline.thresholds_of(&change.station));
            }
        }
        Ok(())
    }
}
