//! From a definition to sources, and how what they give is decoded, checked and averaged.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use anyhow::{Context, Result, anyhow};
use nilometer_connectors::{Arrival, FolderSeries, Source, Window};
use nilometer_definitions::{NetworkOptions, Pipeline, SourceDefinition};
use nilometer_ingest::Lines;
use nilometer_schemas::Variable;
use nilometer_transforms::{
    AverageOptions, Averager, Catchment, Decode, FlowDirections, Gauge, Span, TraceOptions,
    check::CheckRules,
    decode::{self, MAX_CELLS, Station},
};

/// Whether sources deliver what happens or what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// rows arrive when they are seen
    Live,
    /// rows arrive when the definition says that they would have
    Replay,
}

/// The sources and how they are decoded, checked and averaged.
pub fn intake(pipeline: &Pipeline, mode: Mode) -> Result<(Vec<Box<dyn Source>>, Lines)> {
    let mut sources = Vec::new();
    let mut decoders = BTreeMap::new();
    for (name, definition) in &pipeline.sources {
        let (source, decoding) =
            open(pipeline, name, definition, mode).with_context(|| format!("source.{name} cannot be opened"))?;
        sources.push(source);
        decoders.insert(name.clone(), decoding);
    }
    // What a gauge measures comes by its station's name, what is of a catchment by that of the catchment.
    let names = pipeline.catchments.iter().flat_map(|c| [c.station().to_owned(), c.id.clone()]);
    let stations = names.collect::<BTreeSet<_>>().into_iter();
    let rules = CheckRules::new(
        &pipeline.checks,
        stations.map(|station| (station.clone(), pipeline.station_checks.get(&station).cloned().unwrap_or_default())),
    );
    let mut options = AverageOptions::default();
    let mut traced = Vec::new();
    if let Some(network) = &pipeline.network {
        options.min_valid_fraction = network.minimum_valid_fraction as f32;
        traced = trace(pipeline, network)?;
    }
    let averager = Averager::new(traced, options);
    Ok((sources, Lines { decoders, ratings: pipeline.ratings.clone(), rules, averager }))
}

fn open(
    pipeline: &Pipeline,
    name: &str,
    definition: &SourceDefinition,
    mode: Mode,
) -> Result<(Box<dyn Source>, Box<dyn Decode>)> {
    let (arrival, window) = match mode {
        Mode::Live => {
            let ahead = Span::from_seconds(ahead_s(pipeline, definition.variable()));
            (
                Arrival::WhenSeen { delay: definition.delay, ahead },
                Window { from: pipeline.time.from, until: Window::ALL.until },
            )
        }
        Mode::Replay => {
            (Arrival::Delay { delay: definition.delay }, Window { from: pipeline.time.from, until: pipeline.time.to })
        }
    };
    let connector = &definition.connector;
    let source = connector.open(name, arrival, &pipeline.data, window)?;
    let decoder = connector.decoder(stations(pipeline, definition.variable()));
    Ok((source, decoder.map_err(|(key, problem)| anyhow!("{key} {problem}"))?))
}

/// How far ahead of its arrival a row of a variable is believed, seconds: as far as for the most patient of the stations.
fn ahead_s(pipeline: &Pipeline, variable: Variable) -> i64 {
    let stations = pipeline.station_checks.values().map(|over| pipeline.checks.overridden_by(over).ahead_s(variable));
    stations.fold(pipeline.checks.ahead_s(variable), i64::max)
}

/// The stations of a pipeline by their names. What a gauge measures gets its station's name, what is of a catchment the catchment's.
fn stations(pipeline: &Pipeline, variable: Variable) -> BTreeMap<String, Station> {
    let mut by_name = BTreeMap::new();
    let mut insert = |name: &str, catchment: &nilometer_definitions::Catchment, known_as: &str| {
        let station = Station { name: known_as.to_owned(), area_km2: catchment.area_km2 };
        by_name.entry(name.to_owned()).or_insert(station);
    };
    for catchment in &pipeline.catchments {
        insert(&catchment.id, catchment, &catchment.id);
    }
    for catchment in &pipeline.catchments {
        insert(catchment.station(), catchment, catchment.station());
        let known_as = if variable.is_forcing() { &catchment.id } else { catchment.station() };
        catchment.formerly.iter().for_each(|name| insert(name, catchment, known_as));
    }
    by_name
}

/// The rows of the definition's folder of many catchments, if it names one: all that a forecast of the window can know.
pub fn folder(pipeline: &Pipeline) -> Result<Option<FolderSeries>> {
    let Some(options) = pipeline.sources.values().find_map(|source| source.connector.folder()) else { return Ok(None) };
    let until = pipeline.time.to.plus_s(pipeline.forecast.horizon.seconds());
    let begin = pipeline.time.from.plus_s(-pipeline.time.step.seconds());
    Ok(Some(FolderSeries::load(options, begin, until)?))
}

/// The catchments, traced upstream from their gauges.
fn trace(pipeline: &Pipeline, network: &NetworkOptions) -> Result<Vec<Catchment>> {
    let (_, catchments) = traced(pipeline, network)?;
    for catchment in &catchments {
        tracing::info!(catchment = %catchment.id, cells = catchment.cells.len(), "traced");
    }
    Ok(catchments)
}

/// The grid of flow directions, and the catchments on it.
pub fn traced(pipeline: &Pipeline, network: &NetworkOptions) -> Result<(FlowDirections, Vec<Catchment>)> {
    let path = &network.flow_directions;
    let bytes =
        fs::read(path).with_context(|| format!("network.flow_directions: {} cannot be read", path.display()))?;
    let raster =
        decode::raster(&bytes, MAX_CELLS).with_context(|| format!("network.flow_directions: {}", path.display()))?;
    let directions =
        FlowDirections::new(&raster).with_context(|| format!("network.flow_directions: {}", path.display()))?;
    let options = TraceOptions { snap_radius_cells: network.snap_cells, area_tolerance: network.area_tolerance };
    let mut catchments = Vec::new();
    let outlet = |metres: Option<f64>| metres.context("a catchment without outlet cannot be traced");
    for catchment in &pipeline.catchments {
        let gauge = Gauge {
            id: catchment.id.clone(),
            x: outlet(catchment.outlet_x_m)?,
            y: outlet(catchment.outlet_y_m)?,
            area_km2: catchment.area_km2,
        };
        let traced = directions
            .trace(&gauge, &options)
            .with_context(|| format!("catchment {} cannot be traced", catchment.id))?;
        catchments.push(traced);
    }
    Ok((directions, catchments))
}
