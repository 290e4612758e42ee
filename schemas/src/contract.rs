//! The contracts: one frozen Arrow schema each.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
};

use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
};
use serde_json::{Value, json};

use crate::{
    SchemaError, Variable,
    evolution::{CONTRACT, columns_of},
};

/// Quantile levels of a forecast, in column order.
pub const QUANTILE_LEVELS: [f64; 19] =
    [0.05, 0.10, 0.15, 0.20, 0.25, 0.30, 0.35, 0.40, 0.45, 0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95];

/// Levels of [`QUANTILE_LEVELS`] whose stage a forecast of a rated gauge says, in column order: the median, the 50 % and the 90 % interval.
pub const STAGE_LEVELS: [f64; 5] = [0.05, 0.25, 0.50, 0.75, 0.95];

/// The column that holds the stage of a level of [`STAGE_LEVELS`]: `stage_q05`, `stage_q50`, ….
#[must_use]
pub fn stage_column(level: f64) -> String {
    format!("stage_{}", quantile_column(level))
}

/// The column that holds the quantile of a level: `q05`, `q50`, ….
#[must_use]
pub fn quantile_column(level: f64) -> String {
    format!("q{:02}", (level * 100.0).round())
}

/// Metadata key that says which instant of its period a value is labelled with. Always `end` here.
pub const TIME_LABEL: &str = "time_label";

/// A named, versioned schema. The name and version are in the Arrow schema's own metadata too, so that a message
/// explains itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Contract {
    /// gauge rows
    Observation,
    /// satellite, radar or model fields
    Grid,
    /// what drives a catchment's model
    Forcing,
    /// what we say will happen
    Forecast,
    /// what each observation did to the state
    Analysis,
    /// how good each forecast was
    Score,
    /// what could not be used, with the bytes and the reason
    DeadLetter,
}

impl Contract {
    /// Every contract.
    pub const ALL: [Self; 7] =
        [Self::Observation, Self::Grid, Self::Forcing, Self::Forecast, Self::Analysis, Self::Score, Self::DeadLetter];

    /// Topic name: the contract's name and major version, as `observation.v1`.
    #[must_use]
    pub const fn topic(self) -> &'static str {
        match self {
            Self::Observation => "observation.v1",
            Self::Grid => "grid.v1",
            Self::Forcing => "forcing.v1",
            Self::Forecast => "forecast.v1",
            Self::Analysis => "analysis.v1",
            Self::Score => "score.v1",
            Self::DeadLetter => "dead_letter.v1",
        }
    }

    /// Name and version of the columns, as the Arrow schema's metadata says it. A later version than the topic's only has more columns that may be
    /// null, so both are read from one topic.
    #[must_use]
    pub const fn version(self) -> &'static str {
        match self {
            Self::Forecast => "forecast.v2",
            other => other.topic(),
        }
    }

    /// The Arrow schema.
    #[must_use]
    pub fn schema(self) -> SchemaRef {
        static SCHEMAS: OnceLock<[SchemaRef; 7]> = OnceLock::new();
        let all = SCHEMAS.get_or_init(|| {
            Self::ALL.map(|c| {
                let metadata = HashMap::from([(CONTRACT.to_owned(), c.version().to_owned())]);
                Arc::new(Schema::new_with_metadata(c.fields(), metadata))
            })
        });
        all[self as usize].clone()
    }

    /// The rendering that is kept under `schemas/frozen/`: fields in order, with type, nullability and metadata.
    #[must_use]
    pub fn render(self) -> Value {
        let fields: Vec<Value> = self
            .schema()
            .fields()
            .iter()
            .map(|f| {
                let metadata: std::collections::BTreeMap<_, _> = f.metadata().iter().collect();
                json!({"name": f.name(), "type": f.data_type().to_string(), "nullable": f.is_nullable(), "metadata": metadata})
            })
            .collect();
        json!({"contract": self.version(), "fields": fields})
    }

    /// The columns of this contract in a batch of it, of a later version or of an earlier one.
    ///
    /// # Errors
    /// [`SchemaError::Column`] names the first column that is not as accepted.
    pub fn columns_of(self, batch: &RecordBatch) -> Result<Vec<ArrayRef>, SchemaError> {
        columns_of(batch, &self.schema())
    }

    fn fields(self) -> Vec<Field> {
        match self {
            Self::Observation => vec![
                text("station"),
                text("variable"),
                valid_time(),
                period_s(),
                Field::new("value", DataType::Float64, true),
                text("unit"),
                flag(),
                text("flag_source"),
                optional_text("qualifier"),
                text("source"),
                ingest_time(),
            ],
            Self::Grid => vec![
                text("variable"),
                valid_time(),
                period_s(),
                text("unit"),
                text("crs"),
                Field::new("width", DataType::Int32, false),
                Field::new("height", DataType::Int32, false),
                with_unit(Field::new("west", DataType::Float64, false), "m", "projection_x_coordinate"),
                with_unit(Field::new("north", DataType::Float64, false), "m", "projection_y_coordinate"),
                with_unit(Field::new("cell_width", DataType::Float64, false), "m", "projection_x_coordinate"),
                with_unit(Field::new("cell_height", DataType::Float64, false), "m", "projection_y_coordinate"),
                Field::new("values", DataType::List(Arc::new(Field::new_list_field(DataType::Float32, true))), false),
                text("source"),
                ingest_time(),
            ],
            Self::Forcing => vec![
                text("catchment"),
                text("variable"),
                valid_time(),
                period_s(),
                Field::new("value", DataType::Float64, true),
                text("unit"),
                with_unit(Field::new("valid_weight_fraction", DataType::Float32, false), "1", "area_fraction"),
                flag(),
                text("flag_source"),
                Field::new("member", DataType::Int32, true),
                time("issue_time", "forecast_reference_time", true),
                text("source"),
                ingest_time(),
            ],
            Self::Forecast => forecast_fields(),
            Self::Analysis => analysis_fields(),
            Self::Score => score_fields(),
            Self::DeadLetter => vec![
                text("source"),
                text("locator"),
                text("reason"),
                text("detail"),
                Field::new("rows", DataType::UInt64, false),
                text("content_type"),
                Field::new("bytes", DataType::Binary, false),
                ingest_time(),
            ],
        }
    }
}

impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.topic())
    }
}

fn forecast_fields() -> Vec<Field> {
    let discharge = |name: &str| {
        with_unit(
            Field::new(name, DataType::Float64, false),
            Variable::Discharge.unit().name(),
            Variable::Discharge.standard_name(),
        )
    };
    let mut fields = vec![
        text("catchment"),
        text("variable"),
        time("issue_time", "forecast_reference_time", false),
        valid_time(),
        with_unit(Field::new("lead_time_s", DataType::Int64, false), "s", "forecast_period"),
        discharge("mean"),
    ];
    fields.extend(QUANTILE_LEVELS.iter().map(|level| discharge(&quantile_column(*level))));
    fields.extend([
        text("unit"),
        Field::new("members", DataType::Int32, false),
        text("scenario"),
        time("state_time", "time", false),
        Field::new("filled_steps", DataType::Int32, false),
        text("model"),
        text("model_version"),
        text("weights_sha256"),
        Field::new("observation_position", DataType::UInt64, false),
        Field::new("forcing_position", DataType::UInt64, false),
        time("supersedes", "forecast_reference_time", true),
        optional_text("reason"),
    ]);
    let stage = |name: &str| {
        let field = Field::new(name, DataType::Float64, true);
        with_unit(field, Variable::Stage.unit().name(), Variable::Stage.standard_name())
    };
    fields.extend(STAGE_LEVELS.iter().map(|level| stage(&stage_column(*level))));
    fields.extend([optional_text("rating_version"), Field::new("rating_extrapolated", DataType::Boolean, true)]);
    fields
}

fn analysis_fields() -> Vec<Field> {
    vec![
        text("catchment"),
        text("station"),
        text("variable"),
        text("unit"),
        valid_time(),
        time("analysis_time", "time", false),
        // In `unit`, and behind them in it or, of discharge, in its logarithm.
        Field::new("observed", DataType::Float64, false),
        Field::new("predicted", DataType::Float64, false),
        Field::new("innovation", DataType::Float64, false),
        Field::new("spread", DataType::Float64, true),
        Field::new("error_std", DataType::Float64, false),
        flag(),
        text("method"),
        list("store", DataType::Utf8),
        list("increment_mm", DataType::Float64),
        number("output_error_increment", "1", true),
        text("model"),
        text("weights_sha256"),
    ]
}

fn score_fields() -> Vec<Field> {
    vec![
        text("catchment"),
        text("variable"),
        time("issue_time", "forecast_reference_time", false),
        valid_time(),
        with_unit(Field::new("lead_time_s", DataType::Int64, false), "s", "forecast_period"),
        time("score_time", "time", false),
        number("observed", "m3 s-1", false),
        flag(),
        number("mean", "m3 s-1", false),
        number("crps", "m3 s-1", false),
        number("pinball_05", "m3 s-1", false),
        number("pinball_50", "m3 s-1", false),
        number("pinball_95", "m3 s-1", false),
        number("pit", "1", false),
        number("width_90", "m3 s-1", false),
        Field::new("covered_90", DataType::Boolean, false),
        number("crps_persistence", "m3 s-1", true),
        number("crps_climatology", "m3 s-1", true),
        list("threshold", DataType::Float64),
        list("exceedance", DataType::Float64),
        list("brier", DataType::Float64),
        list("flood_hits", DataType::UInt64),
        list("flood_misses", DataType::UInt64),
        list("flood_false_alarms", DataType::UInt64),
        Field::new("peaks", DataType::UInt64, false),
        number("peak_timing_steps", "1", true),
        Field::new("pairs", DataType::UInt64, false),
        number("nse", "1", true),
        number("kge", "1", true),
        text("scenario"),
        text("model"),
        text("weights_sha256"),
    ]
}

fn number(name: &str, unit: &str, nullable: bool) -> Field {
    let field = Field::new(name, DataType::Float64, nullable);
    field.with_metadata(HashMap::from([("unit".to_owned(), unit.to_owned())]))
}

fn list(name: &str, of: DataType) -> Field {
    Field::new(name, DataType::List(Arc::new(Field::new_list_field(of, false))), false)
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, false)
}

fn optional_text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

fn with_unit(field: Field, unit: &str, standard_name: &str) -> Field {
    field.with_metadata(HashMap::from([
        ("unit".to_owned(), unit.to_owned()),
        ("standard_name".to_owned(), standard_name.to_owned()),
    ]))
}

fn time(name: &str, standard_name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), nullable)
        .with_metadata(HashMap::from([("standard_name".to_owned(), standard_name.to_owned())]))
}

fn valid_time() -> Field {
    let field = time("valid_time", "time", false);
    let mut metadata = field.metadata().clone();
    metadata.insert(TIME_LABEL.to_owned(), "end".to_owned());
    field.with_metadata(metadata)
}

fn ingest_time() -> Field {
    time("ingest_time", "time", false)
}

fn period_s() -> Field {
    with_unit(Field::new("period_s", DataType::Int64, false), "s", "time")
}

fn flag() -> Field {
    Field::new("flag", DataType::UInt8, false)
        .with_metadata(HashMap::from([("standard_name".to_owned(), "aggregate_quality_flag".to_owned())]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contracts_are_frozen() {
        for contract in Contract::ALL {
            let path = format!("{}/frozen/{}.json", env!("CARGO_MANIFEST_DIR"), contract.version());
            let now = format!("{:#}\n", contract.render());
            let frozen = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                frozen == now,
                "{contract} changed. A published contract is never edited: add a new version. \
                 If it was never published, write this to {path}:\n{now}"
            );
        }
    }

    #[test]
    fn what_was_frozen_before_is_where_later_versions_begin() {
        for contract in Contract::ALL {
            let path = format!("{}/frozen/{}.json", env!("CARGO_MANIFEST_DIR"), contract.topic());
            let frozen: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
            let (first, now) = (frozen["fields"].as_array().unwrap().clone(), contract.render());
            let now = now["fields"].as_array().unwrap();
            assert_eq!(now[..first.len()], first, "{contract}");
            assert!(now[first.len()..].iter().all(|field| field["nullable"] == true), "{contract}");
        }
    }

    #[test]
    fn quantile_columns_read_as_percent() {
        assert_eq!(quantile_column(0.05), "q05");
        assert_eq!(quantile_column(0.95), "q95");
    }
}
