//! Models: the weights that the log puts in force from a tick on.

use nilometer_packages::Mixture;
use nilometer_schemas::{Reason, Timestamp};

use super::{PartitionState, admission::row_dead_letter};
use crate::{
    ForecastError,
    forecaster::Forecaster,
    in_full,
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
            let (from, shadow) = self.weights();
            let refused = self.take_model(content)?.err();
            match &refused {
                None => self.accounts.balance.used += 1,
                Some(why) => {
                    let detail = format!("{} {}: {why}", content.name, content.version);
                    let dead_letter = row_dead_letter(message, row, Reason::UnusableModel, detail, tick)?;
                    self.accounts.refuse(Some(tick), dead_letter);
                }
            }
            let (now, shadow_now) = self.weights();
            if refused.is_some() || from != now {
                self.report.swaps.push(Swap { from, to: content.clone(), refused });
            }
            if shadow != shadow_now {
                self.report.shadows.push(shadow_now);
            }
        }
        Ok(())
    }

    /// SHA-256 of the weights in force, and of the shadow's.
    fn weights(&self) -> (String, Option<String>) {
        let sha256 = |forecaster: &Forecaster| forecaster.models.weights_sha256().to_owned();
        (sha256(&self.in_force), self.shadow.as_ref().map(sha256))
    }

    /// Takes up the package of a row, by its weight: 1 puts it in force, and the shadow stays, or becomes what was in force where the two change
    /// places; 0 makes it the shadow, and the one in force as its own shadow ends the shadow. Or says why not.
    fn take_model(&mut self, content: &ModelContent) -> Result<Result<(), String>, ForecastError> {
        let models = match &content.models {
            Err(why) => return Ok(Err(why.clone())),
            Ok(models) => models,
        };
        let is_in_force = models.content_sha256() == self.in_force.models.content_sha256();
        let is_shadow = self.is_shadow(models);
        let setting = self.setting.clone();
        if content.weight == 1.0 {
            if is_in_force {
                return Ok(Ok(()));
            }
            if is_shadow && self.in_force.is_of_the_graphs_of(models, &setting) {
                self.shadow.iter_mut().for_each(|shadow| std::mem::swap(shadow, &mut self.in_force));
                return Ok(Ok(()));
            }
            return refusal(self.in_force.swap_weights(models.clone(), &setting));
        }
        if content.weight > 0.0 {
            let accepted = "accepted are 1, with which it is in force, and 0, with which it is a shadow";
            return Ok(Err(format!("it has weight {}; {accepted}", content.weight)));
        }
        if is_in_force {
            self.shadow = None;
        } else if !is_shadow {
            return self.begin_shadow(models.clone());
        }
        Ok(Ok(()))
    }

    fn begin_shadow(&mut self, models: Mixture) -> Result<Result<(), String>, ForecastError> {
        if !models.first().card().weather().eq(self.in_force.models.first().card().weather()) {
            let weather: Vec<&str> = self.alignment.variables().iter().map(|variable| variable.name()).collect();
            return Ok(Err(format!("it takes other weather; accepted is {}", weather.join(", "))));
        }
        let setting = self.setting.clone();
        refusal(self.in_force.beside(&setting, &self.runtime, models).map(|shadow| self.shadow = Some(shadow)))
    }

    pub(crate) const fn has_shadow(&self) -> bool {
        self.shadow.is_some()
    }

    /// Goes on with the models that were in force in a state of the same ones, and with those of its shadow, unless these are of no use.
    pub(crate) fn go_on_with(
        &mut self,
        in_force: Mixture,
        shadow: Option<Result<Mixture, String>>,
    ) -> Result<(), ForecastError> {
        let setting = self.setting.clone();
        if in_force.content_sha256() != self.in_force.models.content_sha256() {
            let package_sha256 = in_force.content_sha256().to_owned();
            refusal(self.in_force.swap_weights(in_force, &setting))?
                .map_err(|why| ForecastError::PackageGone { package_sha256, why })?;
        }
        let begun = match shadow {
            None => {
                self.shadow = None;
                return Ok(());
            }
            Some(Ok(models)) if self.is_shadow(&models) => return Ok(()),
            Some(Ok(models)) => {
                let name = models.name().to_owned();
                self.begin_shadow(models)?.map_err(|why| format!("{name}: {why}"))
            }
            Some(Err(why)) => Err(why),
        };
        if let Err(why) = begun {
            self.shadow = None;
            self.report.failed_shadow = Some(why);
        }
        Ok(())
    }

    fn is_shadow(&self, models: &Mixture) -> bool {
        self.shadow.as_ref().is_some_and(|shadow| shadow.models.content_sha256() == models.content_sha256())
    }

    /// What a shadow has done, or nothing: one that fails ends, and the models in force go on.
    pub(super) fn or_without_shadow<T>(&mut self, done: Result<Option<T>, ForecastError>) -> Option<T> {
        done.unwrap_or_else(|error| {
            if let Some(shadow) = self.shadow.take() {
                let (model, weights_sha256) = (shadow.models.name(), shadow.models.weights_sha256());
                self.report.failed_shadow = Some(format!("{model} with weights {weights_sha256}: {}", in_full(&error)));
            }
            None
        })
    }
}

/// Whether a package was taken up, or why it is of no use.
fn refusal(taken: Result<(), ForecastError>) -> Result<Result<(), String>, ForecastError> {
    match taken {
        Ok(()) => Ok(Ok(())),
        Err(error) if error.is_of_package() => Ok(Err(in_full(&error))),
        Err(error) => Err(error),
    }
}
