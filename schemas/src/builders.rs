//! Column builders: rows borrow their words, columns own them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float32Builder, Float64Builder, Int32Builder, Int64Builder, ListBuilder, RecordBatch,
    StringBuilder, TimestampMicrosecondBuilder, UInt8Builder, UInt64Builder,
};

use crate::{
    Contract, Flag, Forcings, Forecasts, Grids, Observations, QUANTILE_LEVELS, STAGE_LEVELS, SchemaError, Timestamp,
    Variable,
};

/// One gauge row, borrowing its words. Columns are described at [`Observations`].
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct ObservationRow<'a> {
    pub station: &'a str,
    pub variable: Variable,
    pub valid_time: Timestamp,
    pub period_s: i64,
    pub value: Option<f64>,
    pub flag: Flag,
    pub flag_source: &'a str,
    pub qualifier: Option<&'a str>,
    pub source: &'a str,
    pub ingest_time: Timestamp,
}

/// Builds [`Observations`] row by row.
#[derive(Debug, Default)]
pub struct ObservationsBuilder {
    station: StringBuilder,
    variable: StringBuilder,
    valid_time: TimestampMicrosecondBuilder,
    period_s: Int64Builder,
    value: Float64Builder,
    unit: StringBuilder,
    flag: UInt8Builder,
    flag_source: StringBuilder,
    qualifier: StringBuilder,
    source: StringBuilder,
    ingest_time: TimestampMicrosecondBuilder,
}

impl ObservationsBuilder {
    /// No rows yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a row; the unit is the variable's own.
    pub fn push(&mut self, row: ObservationRow<'_>) {
        self.station.append_value(row.station);
        self.variable.append_value(row.variable.name());
        self.valid_time.append_value(row.valid_time.0);
        self.period_s.append_value(row.period_s);
        self.value.append_option(row.value);
        self.unit.append_value(row.variable.unit().name());
        self.flag.append_value(row.flag as u8);
        self.flag_source.append_value(row.flag_source);
        self.qualifier.append_option(row.qualifier);
        self.source.append_value(row.source);
        self.ingest_time.append_value(row.ingest_time.0);
    }

    /// The rows so far; the builder is empty afterwards.
    ///
    /// # Errors
    /// [`SchemaError`] when a row breaks the contract (a value that is not finite, a missing one without flag 9).
    pub fn finish(&mut self) -> Result<Observations, SchemaError> {
        assemble(
            Contract::Observation,
            vec![
                Arc::new(self.station.finish()),
                Arc::new(self.variable.finish()),
                Arc::new(self.valid_time.finish().with_timezone("UTC")),
                Arc::new(self.period_s.finish()),
                Arc::new(self.value.finish()),
                Arc::new(self.unit.finish()),
                Arc::new(self.flag.finish()),
                Arc::new(self.flag_source.finish()),
                Arc::new(self.qualifier.finish()),
                Arc::new(self.source.finish()),
                Arc::new(self.ingest_time.finish().with_timezone("UTC")),
            ],
        )?
        .try_into()
    }
}

/// One forcing row, borrowing its words. Columns are described at [`Forcings`].
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct ForcingRow<'a> {
    pub catchment: &'a str,
    pub variable: Variable,
    pub valid_time: Timestamp,
    pub period_s: i64,
    pub value: Option<f64>,
    pub valid_weight_fraction: f32,
    pub flag: Flag,
    pub flag_source: &'a str,
    pub member: Option<i32>,
    pub issue_time: Option<Timestamp>,
    pub source: &'a str,
    pub ingest_time: Timestamp,
}

/// Builds [`Forcings`] row by row.
#[derive(Debug, Default)]
pub struct ForcingsBuilder {
    catchment: StringBuilder,
    variable: StringBuilder,
    valid_time: TimestampMicrosecondBuilder,
    period_s: Int64Builder,
    value: Float64Builder,
    unit: StringBuilder,
    valid_weight_fraction: Float32Builder,
    flag: UInt8Builder,
    flag_source: StringBuilder,
    member: Int32Builder,
    issue_time: TimestampMicrosecondBuilder,
    source: StringBuilder,
    ingest_time: TimestampMicrosecondBuilder,
}

impl ForcingsBuilder {
    /// No rows yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a row; the unit is the variable's own.
    pub fn push(&mut self, row: ForcingRow<'_>) {
        self.catchment.append_value(row.catchment);
        self.variable.append_value(row.variable.name());
        self.valid_time.append_value(row.valid_time.0);
        self.period_s.append_value(row.period_s);
        self.value.append_option(row.value);
        self.unit.append_value(row.variable.unit().name());
        self.valid_weight_fraction.append_value(row.valid_weight_fraction);
        self.flag.append_value(row.flag as u8);
        self.flag_source.append_value(row.flag_source);
        self.member.append_option(row.member);
        self.issue_time.append_option(row.issue_time.map(|t| t.0));
        self.source.append_value(row.source);
        self.ingest_time.append_value(row.ingest_time.0);
    }

    /// The rows so far; the builder is empty afterwards.
    ///
    /// # Errors
    /// [`SchemaError`] when a row breaks the contract.
    pub fn finish(&mut self) -> Result<Forcings, SchemaError> {
        assemble(
            Contract::Forcing,
            vec![
                Arc::new(self.catchment.finish()),
                Arc::new(self.variable.finish()),
                Arc::new(self.valid_time.finish().with_timezone("UTC")),
                Arc::new(self.period_s.finish()),
                Arc::new(self.value.finish()),
                Arc::new(self.unit.finish()),
                Arc::new(self.valid_weight_fraction.finish()),
                Arc::new(self.flag.finish()),
                Arc::new(self.flag_source.finish()),
                Arc::new(self.member.finish()),
                Arc::new(self.issue_time.finish().with_timezone("UTC")),
                Arc::new(self.source.finish()),
                Arc::new(self.ingest_time.finish().with_timezone("UTC")),
            ],
        )?
        .try_into()
    }
}

/// One field on a regular grid, borrowing its cells. Columns are described at [`Grids`].
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct GridField<'a> {
    pub variable: Variable,
    pub valid_time: Timestamp,
    pub period_s: i64,
    pub crs: &'a str,
    pub width: i32,
    pub height: i32,
    pub west: f64,
    pub north: f64,
    pub cell_width: f64,
    pub cell_height: f64,
    /// `height × width` cells from the north-west corner; not finite means missing
    pub values: &'a [f32],
    pub source: &'a str,
    pub ingest_time: Timestamp,
}

/// Builds [`Grids`] field by field.
#[derive(Debug, Default)]
pub struct GridsBuilder {
    variable: StringBuilder,
    valid_time: TimestampMicrosecondBuilder,
    period_s: Int64Builder,
    unit: StringBuilder,
    crs: StringBuilder,
    width: Int32Builder,
    height: Int32Builder,
    west: Float64Builder,
    north: Float64Builder,
    cell_width: Float64Builder,
    cell_height: Float64Builder,
    values: ListBuilder<Float32Builder>,
    source: StringBuilder,
    ingest_time: TimestampMicrosecondBuilder,
}

impl GridsBuilder {
    /// No fields yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field; the unit is the variable's own.
    pub fn push(&mut self, field: GridField<'_>) {
        self.variable.append_value(field.variable.name());
        self.valid_time.append_value(field.valid_time.0);
        self.period_s.append_value(field.period_s);
        self.unit.append_value(field.variable.unit().name());
        self.crs.append_value(field.crs);
        self.width.append_value(field.width);
        self.height.append_value(field.height);
        self.west.append_value(field.west);
        self.north.append_value(field.north);
        self.cell_width.append_value(field.cell_width);
        self.cell_height.append_value(field.cell_height);
        for value in field.values {
            self.values.values().append_option(value.is_finite().then_some(*value));
        }
        self.values.append(true);
        self.source.append_value(field.source);
        self.ingest_time.append_value(field.ingest_time.0);
    }

    /// The fields so far; the builder is empty afterwards.
    ///
    /// # Errors
    /// [`SchemaError`] when a field's cells are not `height × width`, or a cell has no size.
    pub fn finish(&mut self) -> Result<Grids, SchemaError> {
        assemble(
            Contract::Grid,
            vec![
                Arc::new(self.variable.finish()),
                Arc::new(self.valid_time.finish().with_timezone("UTC")),
                Arc::new(self.period_s.finish()),
                Arc::new(self.unit.finish()),
                Arc::new(self.crs.finish()),
                Arc::new(self.width.finish()),
                Arc::new(self.height.finish()),
                Arc::new(self.west.finish()),
                Arc::new(self.north.finish()),
                Arc::new(self.cell_width.finish()),
                Arc::new(self.cell_height.finish()),
                Arc::new(self.values.finish()),
                Arc::new(self.source.finish()),
                Arc::new(self.ingest_time.finish().with_timezone("UTC")),
            ],
        )?
        .try_into()
    }
}

/// One lead time of one forecast, borrowing its words. Columns are described at [`Forecasts`].
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct ForecastRow<'a> {
    pub catchment: &'a str,
    pub variable: Variable,
    pub issue_time: Timestamp,
    pub valid_time: Timestamp,
    pub mean: f64,
    /// one value a level of [`QUANTILE_LEVELS`], never crossing
    pub quantiles: &'a [f64; QUANTILE_LEVELS.len()],
    pub members: i32,
    pub scenario: &'a str,
    pub state_time: Timestamp,
    pub filled_steps: i32,
    pub model: &'a str,
    pub model_version: &'a str,
    pub weights_sha256: &'a str,
    pub observation_position: u64,
    pub forcing_position: u64,
    /// issue time of the forecast that this one takes the place of, because of what came late
    pub supersedes: Option<Timestamp>,
    /// what came late
    pub reason: Option<&'a str>,
    /// the same in stage, where the gauge has a rating
    pub stage: Option<StageForecast<'a>>,
}

/// What a rating makes of a forecast of discharge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StageForecast<'a> {
    /// the stage of the quantile of each level of [`STAGE_LEVELS`], m above the gauge's datum
    pub stage_m: [f64; STAGE_LEVELS.len()],
    /// the agency's name of the rating
    pub rating_version: &'a str,
    /// whether one of them lies outside the stages at which discharge was measured
    pub extrapolated: bool,
}

/// Builds [`Forecasts`] row by row.
#[derive(Debug, Default)]
pub struct ForecastsBuilder {
    catchment: StringBuilder,
    variable: StringBuilder,
    issue_time: TimestampMicrosecondBuilder,
    valid_time: TimestampMicrosecondBuilder,
    lead_time_s: Int64Builder,
    mean: Float64Builder,
    quantiles: [Float64Builder; QUANTILE_LEVELS.len()],
    unit: StringBuilder,
    members: Int32Builder,
    scenario: StringBuilder,
    state_time: TimestampMicrosecondBuilder,
    filled_steps: Int32Builder,
    model: StringBuilder,
    model_version: StringBuilder,
    weights_sha256: StringBuilder,
    observation_position: UInt64Builder,
    forcing_position: UInt64Builder,
    supersedes: TimestampMicrosecondBuilder,
    reason: StringBuilder,
    stage: [Float64Builder; STAGE_LEVELS.len()],
    rating_version: StringBuilder,
    rating_extrapolated: BooleanBuilder,
}

impl ForecastsBuilder {
    /// No rows yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a row; the lead time follows from its times, the unit from its variable.
    pub fn push(&mut self, row: ForecastRow<'_>) {
        self.catchment.append_value(row.catchment);
        self.variable.append_value(row.variable.name());
        self.issue_time.append_value(row.issue_time.0);
        self.valid_time.append_value(row.valid_time.0);
        self.lead_time_s.append_value(row.valid_time.seconds_since(row.issue_time));
        self.mean.append_value(row.mean);
        for (column, value) in self.quantiles.iter_mut().zip(row.quantiles) {
            column.append_value(*value);
        }
        self.unit.append_value(row.variable.unit().name());
        self.members.append_value(row.members);
        self.scenario.append_value(row.scenario);
        self.state_time.append_value(row.state_time.0);
        self.filled_steps.append_value(row.filled_steps);
        self.model.append_value(row.model);
        self.model_version.append_value(row.model_version);
        self.weights_sha256.append_value(row.weights_sha256);
        self.observation_position.append_value(row.observation_position);
        self.forcing_position.append_value(row.forcing_position);
        self.supersedes.append_option(row.supersedes.map(|time| time.0));
        self.reason.append_option(row.reason);
        for (level, column) in self.stage.iter_mut().enumerate() {
            column.append_option(row.stage.map(|stage| stage.stage_m[level]));
        }
        self.rating_version.append_option(row.stage.map(|stage| stage.rating_version));
        self.rating_extrapolated.append_option(row.stage.map(|stage| stage.extrapolated));
    }

    /// The rows so far; the builder is empty afterwards.
    ///
    /// # Errors
    /// [`SchemaError`] when quantiles cross or a value is not finite.
    pub fn finish(&mut self) -> Result<Forecasts, SchemaError> {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.catchment.finish()),
            Arc::new(self.variable.finish()),
            Arc::new(self.issue_time.finish().with_timezone("UTC")),
            Arc::new(self.valid_time.finish().with_timezone("UTC")),
            Arc::new(self.lead_time_s.finish()),
            Arc::new(self.mean.finish()),
        ];
        columns.extend(self.quantiles.iter_mut().map(|q| Arc::new(q.finish()) as ArrayRef));
        columns.extend([
            Arc::new(self.unit.finish()) as ArrayRef,
            Arc::new(self.members.finish()),
            Arc::new(self.scenario.finish()),
            Arc::new(self.state_time.finish().with_timezone("UTC")),
            Arc::new(self.filled_steps.finish()),
            Arc::new(self.model.finish()),
            Arc::new(self.model_version.finish()),
            Arc::new(self.weights_sha256.finish()),
            Arc::new(self.observation_position.finish()),
            Arc::new(self.forcing_position.finish()),
            Arc::new(self.supersedes.finish().with_timezone("UTC")),
            Arc::new(self.reason.finish()),
        ]);
        columns.extend(self.stage.iter_mut().map(|stage| Arc::new(stage.finish()) as ArrayRef));
        columns.push(Arc::new(self.rating_version.finish()));
        columns.push(Arc::new(self.rating_extrapolated.finish()));
        assemble(Contract::Forecast, columns)?.try_into()
    }
}

pub(crate) fn assemble(contract: Contract, columns: Vec<ArrayRef>) -> Result<RecordBatch, SchemaError> {
    RecordBatch::try_new(contract.schema(), columns)
        .map_err(|source| SchemaError::Arrow { contract: contract.topic().to_owned(), source })
}

#[cfg(test)]
mod tests;
