//! `nilometer run`, and what it shares with `replay`.

use anyhow::Result;
use nilometer_engine::{Clock, Exercise};
use nilometer_pipeline::{Accept, Mode, Opening, RoleKind, Run};

use super::definition::Definition;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    definition: Definition,
    #[command(flatten)]
    start: Start,
}

/// How a pipeline is started.
#[derive(clap::Args)]
pub struct Start {
    /// go on without what the log has lost for good
    #[arg(long)]
    accept_loss: bool,
    /// begin this part of the state anew where the definition no longer fits it: ensemble, after another model or number of members
    #[arg(long, value_name = "PART", value_delimiter = ',', value_parser = [nilometer_forecast::ENSEMBLE])]
    accept_state_loss: Vec<String>,
    /// only these, by commas, where others run as processes of their own (needs log.kafka); all when absent
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',', value_parser = RoleKind::ALL.map(RoleKind::name))]
    roles: Vec<String>,
}

impl Start {
    pub fn accept(&self) -> Accept {
        Accept { loss: self.accept_loss, state_loss: self.accept_state_loss.clone() }
    }

    pub fn roles(&self) -> Vec<RoleKind> {
        RoleKind::ALL.into_iter().filter(|role| self.roles.iter().any(|name| name == role.name())).collect()
    }
}

pub async fn run(Arguments { definition, start }: Arguments) -> Result<()> {
    let pipeline = definition.load_to_run(Vec::new())?;
    let opening = Opening::of(&pipeline, "run", start.accept()).await?;
    let operations = pipeline.operations;
    if let Some(Exercise { at, shows, speed }) = operations.exercise {
        tracing::warn!(%at, %shows, speed, "an exercise: the time is that of operations.exercise, not the system's");
    }
    let clock = Clock::wall(pipeline.time.tick_s(), operations.catch_up, operations.exercise);
    Run::new(opening, pipeline, clock, Mode::Live, &start.roles()).await?.until_the_end(true).await
}
