//! Models: the weights that the log puts in force from a tick on.

use nilometer_packages::Mixture;
use nilometer_schemas::{Reason, Timestamp};

use super::{PartitionState, admission::row_dead_letter};
use crate::{
    ForecastError, in_full,
    report::Swap,
    tick::{ModelContent, Received},
};

impl PartitionState {
    /// Goes on with the models that a message names, row by row. What cannot be gone on with becomes a dead letter, and the models stay.
    pub(super) fn take_models(
        &mut self,
        message: &Received<ModelContent>,
        tick: Timestamp,
    ) -> Result<(), ForecastError> {
        if let Err(error) = &message.rows {
            return self.refuse_message(message, error, tick);
        }
        for ((_, row), content) in message.rows() {
            self.accounts.balance.received += 1;
            let from = self.models.weights_sha256().to_owned();
            let refused = self.take_model(content)?.err();
            match &refused {
                None => self.accounts.balance.used += 1,
                Some(why) => {
                    let detail = format!("{} {}: {why}", content.name, content.version);
                    let dead_letter = row_dead_letter(message, row, Reason::UnusableModel, detail, tick)?;
                    self.accounts.refuse(Some(tick), dead_letter);
                }
            }
            if refused.is_some() || from != content.weights_sha256 {
                self.report.swaps.push(Swap { from, to: content.clone(), refused });
            }
        }
        Ok(())
    }

    fn take_model(&mut self, content: &ModelContent) -> Result<Result<(), String>, ForecastError> {
        match &content.models {
            Err(why) => Ok(Err(why.clone())),
            Ok(models) if models.content_sha256() == self.models.content_sha256() => Ok(Ok(())),
            Ok(_) if content.weight < 1.0 => {
                let accepted = "accepted is 1, with which it takes the place of the one before";
                Ok(Err(format!("it has weight {}; {accepted}", content.weight)))
            }
            Ok(models) => self.swap(models.clone()),
        }
    }

    /// Goes on with the models that were in force in a state of the same ones.
    pub(crate) fn go_on_with(&mut self, models: Mixture) -> Result<(), ForecastError> {
        if models.content_sha256() == self.models.content_sha256() {
            return Ok(());
        }
        let package_sha256 = models.content_sha256().to_owned();
        self.swap(models)?.map_err(|why| ForecastError::PackageGone { package_sha256, why })
    }

    /// Goes on with other weights of the same models; or says why not.
    fn swap(&mut self, models: Mixture) -> Result<Result<(), String>, ForecastError> {
        match self.ensembles.swap_weights(&models, &self.setting.pipeline) {
            Ok(()) => {
                self.models = models;
                Ok(Ok(()))
            }
            Err(error) if error.is_of_package() => Ok(Err(in_full(&error))),
            Err(error) => Err(error),
        }
    }
}
