//! Batches: newtypes over a `RecordBatch` that hold what their contract promises.

use arrow::{
    array::{
        Array, BinaryArray, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch,
        StringArray, TimestampMicrosecondArray, UInt8Array, UInt64Array,
    },
    datatypes::DataType,
};

use crate::{Contract, Flag, SchemaError, Variable, builders::assemble, quantile_column, stage_column};

/// Declares a batch type: the newtype, its checked construction and its typed columns.
macro_rules! batch {
    ($(#[$doc:meta])* $name:ident, $contract:expr, $check:path, { $($(#[$cdoc:meta])* $column:ident: $array:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name(RecordBatch);

        impl $name {
            /// The contract that these rows keep.
            pub const CONTRACT: Contract = $contract;
            /// Number of rows.
            #[must_use]
            pub fn len(&self) -> usize { self.0.num_rows() }
            /// Whether there are no rows.
            #[must_use]
            pub fn is_empty(&self) -> bool { self.len() == 0 }
            /// No rows at all.
            #[must_use]
            pub fn empty() -> Self { Self(RecordBatch::new_empty($contract.schema())) }
            /// The batch itself.
            #[must_use]
            pub const fn batch(&self) -> &RecordBatch { &self.0 }
            /// The batch itself, taken.
            #[must_use]
            pub fn into_batch(self) -> RecordBatch { self.0 }
            $( $(#[$cdoc])* #[must_use] pub fn $column(&self) -> &$array { column(&self.0, stringify!($column)) } )*
        }

        impl TryFrom<RecordBatch> for $name {
            type Error = SchemaError;
            fn try_from(batch: RecordBatch) -> Result<Self, SchemaError> {
                // The contract's own metadata, without the headers that a message came with.
                let rows = Self(assemble($contract, $contract.columns_of(&batch)?)?);
                $check(&rows)?;
                Ok(rows)
            }
        }
    };
}

batch!(
    /// Gauge rows: one value of one variable at one station.
    Observations, Contract::Observation, check_observations, {
        /// station identifier
        station: StringArray,
        /// [`Variable`] name
        variable: StringArray,
        /// instant, or end of the period
        valid_time: TimestampMicrosecondArray,
        /// length of the period in seconds, 0 for an instant
        period_s: Int64Array,
        /// value in `unit`; null exactly when the flag is 9
        value: Float64Array,
        /// the variable's canonical unit
        unit: StringArray,
        /// QARTOD flag
        flag: UInt8Array,
        /// who set the flag
        flag_source: StringArray,
        /// the agency's own qualifier
        qualifier: StringArray,
        /// name of the source in the pipeline definition
        source: StringArray,
        /// when the row reached us
        ingest_time: TimestampMicrosecondArray,
    }
);
batch!(
    /// Fields on regular grids, one a row, cells row by row from the north-west corner; a null cell is missing.
    Grids, Contract::Grid, check_grids, {
        /// [`Variable`] name
        variable: StringArray,
        /// end of the period
        valid_time: TimestampMicrosecondArray,
        /// length of the period in seconds
        period_s: Int64Array,
        /// the variable's canonical unit
        unit: StringArray,
        /// coordinate reference system, as the file names it
        crs: StringArray,
        /// cells from west to east
        width: Int32Array,
        /// cells from north to south
        height: Int32Array,
        /// western edge of the first cell
        west: Float64Array,
        /// northern edge of the first cell
        north: Float64Array,
        /// cell size from west to east
        cell_width: Float64Array,
        /// cell size from north to south
        cell_height: Float64Array,
        /// `height × width` values
        values: ListArray,
        /// name of the source
        source: StringArray,
        /// when the field reached us
        ingest_time: TimestampMicrosecondArray,
    }
);
batch!(
    /// What drives a catchment's model: one value of one variable over one period.
    Forcings, Contract::Forcing, check_forcings, {
        /// catchment identifier
        catchment: StringArray,
        /// [`Variable`] name
        variable: StringArray,
        /// end of the period
        valid_time: TimestampMicrosecondArray,
        /// length of the period in seconds, above 0
        period_s: Int64Array,
        /// value in `unit`; null exactly when the flag is 9
        value: Float64Array,
        /// the variable's canonical unit
        unit: StringArray,
        /// share of the catchment's area with valid cells, 0 to 1
        valid_weight_fraction: Float32Array,
        /// QARTOD flag
        flag: UInt8Array,
        /// who set the flag
        flag_source: StringArray,
        /// ensemble member of the product, null when there is one
        member: Int32Array,
        /// reference time of the product, null for an observed one
        issue_time: TimestampMicrosecondArray,
        /// name of the source
        source: StringArray,
        /// when the row reached us
        ingest_time: TimestampMicrosecondArray,
    }
);
batch!(
    /// What we say will happen: one lead time of one forecast of one catchment.
    Forecasts, Contract::Forecast, check_forecasts, {
        /// catchment identifier
        catchment: StringArray,
        /// [`Variable`] name
        variable: StringArray,
        /// the forecast's reference time
        issue_time: TimestampMicrosecondArray,
        /// end of the period forecast
        valid_time: TimestampMicrosecondArray,
        /// `valid_time − issue_time` in seconds
        lead_time_s: Int64Array,
        /// mean of the members, m³ s⁻¹
        mean: Float64Array,
        /// the variable's canonical unit
        unit: StringArray,
        /// number of members behind the quantiles
        members: Int32Array,
        /// future-rain scenario
        scenario: StringArray,
        /// newest time that the model state had reached
        state_time: TimestampMicrosecondArray,
        /// steps since the state's start whose forcing had to be filled in
        filled_steps: Int32Array,
        /// model package
        model: StringArray,
        /// its version
        model_version: StringArray,
        /// SHA-256 of the weights file, hexadecimal
        weights_sha256: StringArray,
        /// log position of observation.v1 that this forecast had read up to (exclusive)
        observation_position: UInt64Array,
        /// log position of forcing.v1 that this forecast had read up to (exclusive)
        forcing_position: UInt64Array,
        /// issue time of the forecast that this one takes the place of, because of what came late; mostly null
        supersedes: TimestampMicrosecondArray,
        /// what came late; mostly null
        reason: StringArray,
        /// the agency's name of the rating by which the stages are those of the quantiles; null where the gauge has none
        rating_version: StringArray,
        /// whether one of the stages lies outside those at which discharge was measured; null where the gauge has no rating
        rating_extrapolated: BooleanArray,
    }
);
batch!(
    /// What each observation did to the state: the ledger of the assimilation.
    Analyses, Contract::Analysis, check_analyses, {
        /// catchment identifier
        catchment: StringArray,
        /// whose observation it was
        station: StringArray,
        /// [`Variable`] name
        variable: StringArray,
        /// the variable's canonical unit
        unit: StringArray,
        /// end of the period observed
        valid_time: TimestampMicrosecondArray,
        /// the tick at which it moved the state
        analysis_time: TimestampMicrosecondArray,
        /// what was observed, in `unit`
        observed: Float64Array,
        /// what the members expected on average, in `unit`
        predicted: Float64Array,
        /// observed minus predicted: of discharge in its logarithm, else in `unit`
        innovation: Float64Array,
        /// the members' standard deviation there; null for a single one
        spread: Float64Array,
        /// the observation's standard error there
        error_std: Float64Array,
        /// quality flag of the observation
        flag: UInt8Array,
        /// how it moved the state; `ignored` for a suspect reading that did not, `gauge_shift` for one of a shifted gauge
        method: StringArray,
        /// the stores that hold water
        store: ListArray,
        /// what each gained, mean over the members, mm over the catchment
        increment_mm: ListArray,
        /// what the output error gained, in the logarithm of discharge; null where there is none
        output_error_increment: Float64Array,
        /// model package
        model: StringArray,
        /// SHA-256 of its weights
        weights_sha256: StringArray,
    }
);
batch!(
    /// How good each forecast was, once what it was about had been observed.
    Scores, Contract::Score, check_scores, {
        /// catchment identifier
        catchment: StringArray,
        /// [`Variable`] name
        variable: StringArray,
        /// reference time of the forecast
        issue_time: TimestampMicrosecondArray,
        /// end of the period that it was about
        valid_time: TimestampMicrosecondArray,
        /// `valid_time − issue_time` in seconds
        lead_time_s: Int64Array,
        /// the tick that brought the observation
        score_time: TimestampMicrosecondArray,
        /// what was observed, m³ s⁻¹
        observed: Float64Array,
        /// quality flag of the observation
        flag: UInt8Array,
        /// what the forecast said on average, m³ s⁻¹
        mean: Float64Array,
        /// continuous ranked probability score, m³ s⁻¹
        crps: Float64Array,
        /// pinball losses of the levels 0.05, 0.50 and 0.95, m³ s⁻¹
        pinball_05: Float64Array,
        /// see `pinball_05`
        pinball_50: Float64Array,
        /// see `pinball_05`
        pinball_95: Float64Array,
        /// probability that the forecast gave to less than what was observed
        pit: Float64Array,
        /// width of the 90 % interval, m³ s⁻¹
        width_90: Float64Array,
        /// whether the observation lay in it
        covered_90: BooleanArray,
        /// score of persistence: the newest value that was known at the issue time; null where there was none
        crps_persistence: Float64Array,
        /// score of the climatology: the same time of the year in years before; null in a gauge's first year
        crps_climatology: Float64Array,
        /// the catchment's flood thresholds, m³ s⁻¹
        threshold: ListArray,
        /// the probability that the forecast gave to each being reached
        exceedance: ListArray,
        /// Brier score of each
        brier: ListArray,
        /// floods so far at each threshold that forecasts of this catchment and lead time saw to two steps
        flood_hits: ListArray,
        /// floods that they did not
        flood_misses: ListArray,
        /// floods that they saw and that did not come
        flood_false_alarms: ListArray,
        /// flood peaks so far that they can be compared with
        peaks: UInt64Array,
        /// mean distance of their peaks from these, steps; null before the first
        peak_timing_steps: Float64Array,
        /// forecasts of this catchment and lead time scored so far, this one included
        pairs: UInt64Array,
        /// Nash-Sutcliffe efficiency of their means; null while it is not defined
        nse: Float64Array,
        /// Kling-Gupta efficiency (2009) of their means; null while it is not defined
        kge: Float64Array,
        /// weather scenario
        scenario: StringArray,
        /// model package
        model: StringArray,
        /// SHA-256 of its weights
        weights_sha256: StringArray,
    }
);
batch!(
    /// What could not be used, with the bytes and the reason.
    DeadLetters, Contract::DeadLetter, accept_all, {
        /// source or role that gave up on it
        source: StringArray,
        /// where it was: file and line, topic and position
        locator: StringArray,
        /// machine-readable reason, see [`crate::Reason`]
        reason: StringArray,
        /// the sentence for people
        detail: StringArray,
        /// rows that the bytes stand for
        rows: UInt64Array,
        /// media type of the bytes
        content_type: StringArray,
        /// the bytes as they came
        bytes: BinaryArray,
        /// when it was given up
        ingest_time: TimestampMicrosecondArray,
    }
);

impl Forecasts {
    /// The column of one quantile level of [`crate::QUANTILE_LEVELS`], m³ s⁻¹.
    #[must_use]
    pub fn quantile(&self, level: f64) -> &Float64Array {
        column(&self.0, &quantile_column(level))
    }

    /// The column of the stage of one level of [`crate::STAGE_LEVELS`], m above the gauge's datum; null where the gauge has no rating.
    #[must_use]
    pub fn stage(&self, level: f64) -> &Float64Array {
        column(&self.0, &stage_column(level))
    }
}

impl Observations {
    /// Quality flag of a row.
    #[must_use]
    pub fn flag_of(&self, row: usize) -> Flag {
        Flag::try_from(self.flag().value(row)).unwrap_or(Flag::Fail)
    }
}

impl Grids {
    /// The cells of one field, `height × width` from the north-west corner; a null is a missing cell.
    #[must_use]
    pub fn cells(&self, row: usize) -> Float32Array {
        self.values()
            .value(row)
            .as_any()
            .downcast_ref::<Float32Array>()
            .cloned()
            .unwrap_or_else(|| Float32Array::new_null(0))
    }
}

/// A typed column of an accepted batch.
fn column<'a, A: Array + 'static>(batch: &'a RecordBatch, name: &str) -> &'a A {
    batch
        .column_by_name(name)
        .and_then(|a| a.as_any().downcast_ref::<A>())
        .expect("the contract was accepted, so the column is there with this type")
}

fn accept_all(_: &DeadLetters) -> Result<(), SchemaError> {
    Ok(())
}

fn refuse(
    contract: Contract,
    column: &'static str,
    row: usize,
    value: impl ToString,
    accepted: &'static str,
) -> SchemaError {
    SchemaError::Value { contract: contract.topic().to_owned(), column, row, value: value.to_string(), accepted }
}

/// Flag, unit and value agree: a known flag, the variable's own unit, a finite value unless the flag is 9.
fn check_values(
    contract: Contract,
    variable: &StringArray,
    unit: &StringArray,
    value: &Float64Array,
    flag: &UInt8Array,
) -> Result<(), SchemaError> {
    for row in 0..value.len() {
        let known: Variable = variable.value(row).parse()?;
        if unit.value(row) != known.unit().name() {
            return Err(refuse(contract, "unit", row, unit.value(row), "the variable's canonical unit"));
        }
        let missing = Flag::try_from(flag.value(row))? == Flag::Missing;
        if missing != value.is_null(row) {
            return Err(refuse(contract, "value", row, "null or not", "null exactly when the flag is 9"));
        }
        if !missing && !value.value(row).is_finite() {
            return Err(refuse(contract, "value", row, value.value(row), "a finite number"));
        }
    }
    Ok(())
}

fn check_observations(o: &Observations) -> Result<(), SchemaError> {
    check_values(Contract::Observation, o.variable(), o.unit(), o.value(), o.flag())
}

fn check_forcings(f: &Forcings) -> Result<(), SchemaError> {
    check_values(Contract::Forcing, f.variable(), f.unit(), f.value(), f.flag())?;
    match f.period_s().values().iter().position(|p| *p <= 0) {
        Some(row) => Err(refuse(Contract::Forcing, "period_s", row, f.period_s().value(row), "above 0")),
        None => Ok(()),
    }
}

fn check_grids(g: &Grids) -> Result<(), SchemaError> {
    for row in 0..g.len() {
        let cells = i64::from(g.width().value(row)) * i64::from(g.height().value(row));
        if i64::from(g.values().value_length(row)) != cells {
            return Err(refuse(Contract::Grid, "values", row, g.values().value_length(row), "height × width cells"));
        }
        if !matches!(g.values().value_type(), DataType::Float32)
            || g.cell_width().value(row) <= 0.0
            || g.cell_height().value(row) <= 0.0
        {
            return Err(refuse(Contract::Grid, "cell_width", row, g.cell_width().value(row), "above 0"));
        }
    }
    Ok(())
}

fn check_analyses(a: &Analyses) -> Result<(), SchemaError> {
    let columns = [
        ("observed", a.observed()),
        ("predicted", a.predicted()),
        ("innovation", a.innovation()),
        ("spread", a.spread()),
        ("error_std", a.error_std()),
        ("output_error_increment", a.output_error_increment()),
    ];
    finite(Contract::Analysis, &columns)
}

fn finite(contract: Contract, columns: &[(&'static str, &Float64Array)]) -> Result<(), SchemaError> {
    for (name, column) in columns {
        if let Some(row) = column.iter().position(|value| value.is_some_and(|v| !v.is_finite())) {
            return Err(refuse(contract, name, row, column.value(row), "a finite number"));
        }
    }
    Ok(())
}

fn check_scores(s: &Scores) -> Result<(), SchemaError> {
    let columns = [
        ("observed", s.observed()),
        ("mean", s.mean()),
        ("crps", s.crps()),
        ("pinball_05", s.pinball_05()),
        ("pinball_50", s.pinball_50()),
        ("pinball_95", s.pinball_95()),
        ("pit", s.pit()),
        ("width_90", s.width_90()),
        ("crps_persistence", s.crps_persistence()),
        ("crps_climatology", s.crps_climatology()),
        ("nse", s.nse()),
        ("kge", s.kge()),
    ];
    finite(Contract::Score, &columns)
}

fn check_forecasts(f: &Forecasts) -> Result<(), SchemaError> {
    let (issue, valid, lead) = (f.issue_time().values(), f.valid_time().values(), f.lead_time_s().values());
    for row in 0..f.len() {
        if valid[row] - issue[row] != lead[row] * 1_000_000 {
            return Err(refuse(Contract::Forecast, "lead_time_s", row, lead[row], "valid_time − issue_time"));
        }
        if !f.mean().value(row).is_finite() {
            return Err(refuse(Contract::Forecast, "mean", row, f.mean().value(row), "a finite number"));
        }
    }
    let mut lower = f.quantile(crate::QUANTILE_LEVELS[0]);
    for level in &crate::QUANTILE_LEVELS[1..] {
        let upper = f.quantile(*level);
        for row in 0..f.len() {
            let (low, high) = (lower.value(row), upper.value(row));
            if low.is_nan() || high.is_nan() || low > high {
                return Err(refuse(
                    Contract::Forecast,
                    "quantile",
                    row,
                    upper.value(row),
                    "quantiles that never cross",
                ));
            }
        }
        lower = upper;
    }
    Ok(())
}
