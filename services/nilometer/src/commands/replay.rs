//! `nilometer replay`.

use anyhow::Result;
use nilometer_engine::Clock;
use nilometer_pipeline::{Mode, Opening, Run, begin_where_forcing_does};

use super::{definition::Definition, run::Start};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    definition: Definition,
    /// event seconds a real second; as fast as possible when absent
    #[arg(long)]
    speed: Option<f64>,
    /// keep /metrics and /health up after the end of the window, until SIGTERM
    #[arg(long)]
    serve: bool,
    #[command(flatten)]
    start: Start,
}

pub async fn run(Arguments { definition, speed, serve, start }: Arguments) -> Result<()> {
    let mut pipeline = definition.load_to_run(Vec::new())?;
    begin_where_forcing_does(&mut pipeline)?;
    let time = &pipeline.time;
    let clock = Clock::Replay { from: time.from, to: time.to, every_s: time.tick_s(), speed };
    let opening = Opening::of(&pipeline, "replay", start.accept()).await?;
    Run::new(opening, pipeline, clock, Mode::Replay, &start.roles()).await?.until_the_end(serve).await
}
