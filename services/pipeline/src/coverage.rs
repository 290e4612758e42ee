//! Sources that give no row in the window of a replay: known when they are opened, and said before the first row, with what they hold instead.

use anyhow::{Result, bail};
use nilometer_connectors::{Arrival, Cursor, Look, Source, TableOptions, Window};
use nilometer_definitions::{Pipeline, Problem, SourceDefinition, SourceKind};
use nilometer_schemas::Timestamp;
use nilometer_transforms::{RawBatch, Span, decode};

use crate::intake::Mode;

/// How far before the window a series of files is looked for; those of every year need a first one.
const CENTURY_S: i64 = 100 * 366 * 86_400;

/// A warning for each source of a replay without a row in the window, and in operations for each table whose file is not there yet.
pub fn without_rows(pipeline: &Pipeline, mode: Mode, opened: &[Box<dyn Source>]) -> Vec<Problem> {
    let warn = |name: &str, message: String| Problem { path: format!("source.{name}"), message };
    if mode == Mode::Live {
        let awaited = pipeline.sources.iter().filter_map(|(name, source)| Some((name, awaited(pipeline, source)?)));
        return awaited.map(|(name, message)| warn(name, message)).collect();
    }
    let empty = opened.iter().filter(|source| source.last_arrival().is_none());
    let with_definition = empty.filter_map(|opened| Some((opened.name(), pipeline.sources.get(opened.name())?)));
    with_definition
        .map(|(name, source)| {
            let (time, held) = (&pipeline.time, held(pipeline, name, source));
            warn(name, format!("gives no row in the window from {} to {}: {held}", time.from, time.to))
        })
        .collect()
}

/// That a table's file is not there, where it is not.
fn awaited(pipeline: &Pipeline, source: &SourceDefinition) -> Option<String> {
    let SourceKind::Table(options) = &source.kind else { return None };
    let at = pipeline.data.join(&options.path);
    (!at.exists()).then(|| format!("{} is not there yet; it is looked for at each tick", at.display()))
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
    let recurs = matches!(&source.kind, SourceKind::Geotiff(options) if options.recurring.is_some());
    source.variable().is_forcing() && !source.is_forecast() && !recurs
}

/// What a source without a row in the window holds, in words.
fn held(pipeline: &Pipeline, name: &str, source: &SourceDefinition) -> String {
    let everything = Arrival::Delay { delay: Span::default() };
    match &source.kind {
        SourceKind::Table(options) => {
            let at = pipeline.data.join(&options.path);
            match std::fs::metadata(&at) {
                Err(error) => format!("{} cannot be read: {error}", at.display()),
                Ok(file) if file.len() == 0 => format!("{} is empty", at.display()),
                Ok(_) => match first_and_last(pipeline, name, options) {
                    Some((first, last)) => format!("{} holds rows from {first} to {last}", at.display()),
                    None => format!("{} holds no row", at.display()),
                },
            }
        }
        SourceKind::Geotiff(options) => {
            let window = Window { from: pipeline.time.from.plus_s(-CENTURY_S), ..Window::ALL };
            let opened = options.open(name, everything, &pipeline.data, window);
            match opened.ok().and_then(|series| series.last_arrival()) {
                Some(last) => format!("the newest file of {} is of {last}", options.path),
                None => format!("no file is named as {}", options.path),
            }
        }
        SourceKind::Folder(options, column) => {
            format!("{} has no {} of the window", options.path.display(), column.name)
        }
    }
}

/// Times of a table's first and last row.
fn first_and_last(pipeline: &Pipeline, name: &str, options: &TableOptions) -> Option<(Timestamp, Timestamp)> {
    let arrival = Arrival::Delay { delay: Span::default() };
    let layout = options.layout().ok()?;
    let mut table = options.open(name, arrival, &pipeline.data, Window::ALL).ok()?;
    let (batches, _) = table.read(&Cursor::default(), Look::at(Window::ALL.until)).ok()?;
    let times = |batch: &RawBatch| decode::table(batch, &layout).rows.time;
    let times: Vec<Timestamp> = batches.iter().flat_map(times).collect();
    Some((*times.iter().min()?, *times.iter().max()?))
}
