//! Asked: what was asked of the pipeline, as the rows of a tick: which models are to be in force, and what operators do.

use nilometer_schemas::{Actions, ActionsBuilder, Models, ModelsBuilder, Timestamp};

use crate::{Action, Announcement, IngestError, due::Due};

/// What was asked and is still to be taken.
pub(crate) struct Asked {
    pub(crate) models: Due<Announcement>,
    pub(crate) actions: Due<Action>,
}

/// What a tick takes of it.
pub(crate) struct AskedRows {
    pub(crate) models: Models,
    pub(crate) actions: Actions,
}

impl Asked {
    /// The rows of a tick.
    pub(crate) async fn rows(&mut self, tick: Timestamp) -> Result<AskedRows, IngestError> {
        let (mut models, mut actions) = (ModelsBuilder::new(), ActionsBuilder::new());
        for (number, announcement) in self.models.at(tick).await? {
            announcement.push(&mut models, number, tick);
        }
        for (number, action) in self.actions.at(tick).await? {
            action.push(&mut actions, number, tick);
        }
        Ok(AskedRows { models: models.finish()?, actions: actions.finish()? })
    }
}
