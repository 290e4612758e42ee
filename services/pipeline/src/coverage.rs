//! Sources that give no row in the window of a replay: known when they are opened, and said before the first row, with what they hold instead.

use anyhow::{Result, bail};
use nilometer_connectors::{Source, Window};
use nilometer_definitions::{Pipeline, Problem, SourceDefinition};

use crate::intake::Mode;

/// A warning for each source of a replay without a row in the window, and in operations for each table whose file is not there yet.
pub fn without_rows(pipeline: &Pipeline, mode: Mode, opened: &[Box<dyn Source>]) -> Vec<Problem> {
    let warn = |name: &str, message: String| Problem { path: format!("source.{name}"), message };
    if mode == Mode::Live {
        let awaited = pipeline
            .sources
            .iter()
            .filter_map(|(name, source)| Some((name, source.connector.awaited(&pipeline.data)?)));
        return awaited.map(|(name, message)| warn(name, message)).collect();
    }
    let empty = opened.iter().filter(|source| source.last_arrival().is_none());
    let with_definition = empty.filter_map(|opened| Some((opened.name(), pipeline.sources.get(opened.name())?)));
    with_definition
        .map(|(name, source)| {
            let time = &pipeline.time;
            let window = Window { from: time.from, until: time.to };
            let holdings = source.connector.holdings(name, &pipeline.data, window);
            warn(name, format!("gives no row in the window from {} to {}: {holdings}", time.from, time.to))
        })
        .collect()
}

/// A replay needs weather: some row of some source of it, those that come again every year left out.
///
/// # Errors
/// What each source holds, where none gives a row of the window.
pub fn require_weather(pipeline: &Pipeline, mode: Mode, opened: &[Box<dyn Source>]) -> Result<()> {
    let weather = |name: &str| pipeline.sources.get(name).is_some_and(is_weather);
    let mut of_weather = opened.iter().filter(|source| weather(source.name()));
    if mode == Mode::Live
        || !opened.iter().any(|source| weather(source.name()))
        || of_weather.any(|source| source.last_arrival().is_some())
    {
        return Ok(());
    }
    let warnings = without_rows(pipeline, mode, opened);
    let lines: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    bail!("no source gives weather in the window; accepted is a window that has some:\n  {}", lines.join("\n  "))
}

fn is_weather(source: &SourceDefinition) -> bool {
    source.variable().is_forcing() && !source.is_forecast() && !source.connector.recurs()
}
