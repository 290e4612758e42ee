//! The contracts, a file each. One list of columns gives the Arrow schema, the batch type with a typed column a name, the row and the builder.
//!
//! A contract that is added has a file here, a line in [`contracts!`], and its rendering in `schemas/frozen`.

mod alert;
mod analysis;
mod dead_letter;
mod drought;
mod drought_outlook;
mod event;
mod forcing;
mod forecast;
mod grid;
mod model;
mod observation;
mod operator;
mod outlook;
mod outlook_score;
mod raw;
mod score;
mod state;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
};

use arrow::{
    array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt8Array},
    datatypes::{Field, Schema, SchemaRef},
};
use serde_json::{Value, json};

use crate::{
    Flag, SchemaError, Variable,
    evolution::{CONTRACT, columns_of},
};

pub use self::{
    alert::{AlertChange, AlertKind, AlertRow, AlertState, Alerts, AlertsBuilder, GaugeData},
    analysis::{Analyses, AnalysesBuilder, AnalysisRow},
    dead_letter::{DeadLetterRow, DeadLetters, DeadLettersBuilder, Reason},
    drought::{CLASS_WORDS, DroughtRow, Droughts, DroughtsBuilder},
    drought_outlook::{DroughtOutlookRow, DroughtOutlooks, DroughtOutlooksBuilder},
    event::{EventRow, Events, EventsBuilder, LeadProbability},
    forcing::{ForcingRow, Forcings, ForcingsBuilder},
    forecast::{
        ForecastRow, Forecasts, ForecastsBuilder, QUANTILE_LEVELS, STAGE_LEVELS, StageForecast, TAIL_LEVELS,
        quantile_column, stage_column,
    },
    grid::{GridField, Grids, GridsBuilder},
    model::{ModelRow, Models, ModelsBuilder},
    observation::{ObservationRow, Observations, ObservationsBuilder},
    operator::{ActionKind, ActionRow, Actions, ActionsBuilder, Level, LevelChange},
    outlook::{OutlookRow, Outlooks, OutlooksBuilder},
    outlook_score::{OutlookScoreRow, OutlookScores, OutlookScoresBuilder},
    raw::{RawMessageRow, RawMessages, RawMessagesBuilder},
    score::{ScoreRow, Scores, ScoresBuilder, ThresholdScore},
    state::{Held, STATE_LEVELS, StateRow, States, StatesBuilder},
};

/// Metadata key that says which instant of its period a value is labelled with. Always `end` here.
pub const TIME_LABEL: &str = "time_label";

/// Lists the contracts: the topic, the version of the columns, and the batch type.
macro_rules! contracts {
    ($($(#[$doc:meta])* $contract:ident = $topic:literal, $version:literal, $rows:ident;)*) => {
        /// A named, versioned schema. The name and version are in the Arrow schema's own metadata too, so that a message explains itself.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Contract { $($(#[$doc])* $contract,)* }

        impl Contract {
            /// Every contract.
            pub const ALL: [Self; [$($topic),*].len()] = [$(Self::$contract),*];

            /// Topic name: the contract's name and major version, as `observation.v1`.
            #[must_use]
            pub const fn topic(self) -> &'static str {
                match self { $(Self::$contract => $topic,)* }
            }

            /// Name and version of the columns, as the Arrow schema's metadata says it. A later version than the topic's only has more columns
            /// that may be null, so both are read from one topic.
            #[must_use]
            pub const fn version(self) -> &'static str {
                match self { $(Self::$contract => $version,)* }
            }

            /// The rows, if they keep the contract in this version, a later or an earlier one.
            ///
            /// # Errors
            /// [`SchemaError`] says what does not.
            pub fn accept(self, batch: RecordBatch) -> Result<RecordBatch, SchemaError> {
                match self { $(Self::$contract => $rows::try_from(batch).map($rows::into_batch),)* }
            }

            fn fields(self) -> Vec<Field> {
                match self { $(Self::$contract => $rows::fields(),)* }
            }
        }
    };
}

contracts! {
    /// gauge rows
    Observation = "observation.v1", "observation.v1", Observations;
    /// satellite, radar or model fields
    Grid = "grid.v1", "grid.v1", Grids;
    /// what drives a catchment's model
    Forcing = "forcing.v1", "forcing.v1", Forcings;
    /// which weights forecasts are made with
    Model = "model.v1", "model.v1", Models;
    /// what we say will happen
    Forecast = "forecast.v1", "forecast.v4", Forecasts;
    /// forecasts of a model that runs beside the one in force
    ShadowForecast = "shadow_forecast.v1", "forecast.v4", Forecasts;
    /// what forecasts say of thresholds
    Event = "event.v1", "event.v1", Events;
    /// what deserves somebody's attention
    Alert = "alert.v1", "alert.v1", Alerts;
    /// what operators do about it
    Operator = "operator.v1", "operator.v2", Actions;
    /// how rare what there is is for its season
    Drought = "drought.v1", "drought.v1", Droughts;
    /// how likely each class of drought is in the weeks ahead
    DroughtOutlook = "drought_outlook.v1", "drought_outlook.v1", DroughtOutlooks;
    /// what the stores of a model hold
    State = "state.v1", "state.v1", States;
    /// what the weeks ahead may bring
    Outlook = "outlook.v1", "outlook.v1", Outlooks;
    /// what each observation did to the state
    Analysis = "analysis.v1", "analysis.v1", Analyses;
    /// how good each forecast was
    Score = "score.v1", "score.v3", Scores;
    /// how good each drought outlook was
    OutlookScore = "outlook_score.v1", "outlook_score.v1", OutlookScores;
    /// what sources give once, as it came
    Raw = "raw.v1", "raw.v1", RawMessages;
    /// what could not be used, with the bytes and the reason
    DeadLetter = "dead_letter.v1", "dead_letter.v1", DeadLetters;
}

impl Contract {
    /// The Arrow schema.
    #[must_use]
    pub fn schema(self) -> SchemaRef {
        static SCHEMAS: OnceLock<Vec<SchemaRef>> = OnceLock::new();
        let all = SCHEMAS.get_or_init(|| {
            let schema = |contract: &Self| {
                let metadata = HashMap::from([(CONTRACT.to_owned(), contract.version().to_owned())]);
                Arc::new(Schema::new_with_metadata(contract.fields(), metadata))
            };
            Self::ALL.iter().map(schema).collect()
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

    fn assemble(self, columns: Vec<ArrayRef>) -> Result<RecordBatch, SchemaError> {
        RecordBatch::try_new(self.schema(), columns)
            .map_err(|source| SchemaError::Arrow { contract: self.topic().to_owned(), source })
    }
}

impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.topic())
    }
}

/// Declares a contract by its columns, in order: `name: Kind`, with `[metadata]` where the field has more than its kind, and `= expression` of `row`
/// where the value follows from the rest of the row and is no field of it. `beside` names fields of the row that are no column by themselves.
macro_rules! contract {
    (
        $(#[$doc:meta])*
        $rows:ident, $(#[$row_doc:meta])* $row_type:ident, $builder:ident: $contract:expr, checked by $check:path;
        beside { $($(#[$beside_doc:meta])* $beside:ident: $beside_type:ty),* $(,)? }
        columns of $row:ident {
            $($(#[$column_doc:meta])* $column:ident: $kind:ident $([$($key:literal: $value:literal),*])? $(= $derived:expr)?,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $rows(arrow::array::RecordBatch);

        impl $rows {
            /// The contract that these rows keep.
            pub const CONTRACT: crate::Contract = $contract;

            /// Number of rows.
            #[must_use]
            pub fn len(&self) -> usize {
                self.0.num_rows()
            }

            /// Whether there are no rows.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// No rows at all.
            #[must_use]
            pub fn empty() -> Self {
                Self(arrow::array::RecordBatch::new_empty($contract.schema()))
            }

            /// The batch itself.
            #[must_use]
            pub const fn batch(&self) -> &arrow::array::RecordBatch {
                &self.0
            }

            /// The batch itself, taken.
            #[must_use]
            pub fn into_batch(self) -> arrow::array::RecordBatch {
                self.0
            }

            $(
                $(#[$column_doc])*
                #[must_use]
                pub fn $column(&self) -> <$kind as crate::columns::Column>::View<'_> {
                    <$kind as crate::columns::Column>::view(&self.0, stringify!($column))
                }
            )*

            pub(super) fn fields() -> Vec<arrow::datatypes::Field> {
                let mut fields = Vec::new();
                $(
                    let of_column = <$kind as crate::columns::Column>::fields(stringify!($column)).into_iter();
                    $( let of_column = of_column.map(|field| crate::columns::described(field, &[$(($key, $value)),*])); )?
                    fields.extend(of_column);
                )*
                fields
            }
        }

        impl TryFrom<arrow::array::RecordBatch> for $rows {
            type Error = crate::SchemaError;

            fn try_from(batch: arrow::array::RecordBatch) -> Result<Self, Self::Error> {
                // The contract's own metadata, without the headers that a message came with.
                let rows = Self($contract.assemble($contract.columns_of(&batch)?)?);
                $check(&rows)?;
                Ok(rows)
            }
        }

        contract!(@row $(#[$row_doc])* $row_type [$($(#[$beside_doc])* pub $beside: $beside_type,)*] {
            $($(#[$column_doc])* $column: $kind $(= $derived)?,)*
        });

        #[doc = concat!("Builds [`", stringify!($rows), "`] row by row.")]
        #[derive(Debug)]
        pub struct $builder {
            $($column: <$kind as crate::columns::Column>::Builder,)*
        }

        impl Default for $builder {
            fn default() -> Self {
                Self::new()
            }
        }

        impl $builder {
            /// No rows yet.
            #[must_use]
            pub fn new() -> Self {
                Self { $($column: crate::columns::Collects::none(),)* }
            }

            /// Adds a row.
            pub fn push(&mut self, $row: $row_type<'_>) {
                $( $kind::append(&mut self.$column, contract!(@value $row $column $($derived)?)); )*
            }

            /// The rows so far; the builder is empty afterwards.
            ///
            /// # Errors
            /// [`crate::SchemaError`] when a row breaks the contract.
            pub fn finish(&mut self) -> Result<$rows, crate::SchemaError> {
                let mut columns = Vec::new();
                $( <$kind as crate::columns::Column>::finish(&mut self.$column, &mut columns); )*
                $contract.assemble(columns)?.try_into()
            }
        }
    };
    (@value $row:ident $column:ident) => { $row.$column };
    (@value $row:ident $column:ident $derived:expr) => { $derived };
    (@row $(#[$doc:meta])* $row_type:ident [$($fields:tt)*] {}) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        #[allow(clippy::extra_unused_lifetimes, reason = "the same of every row")]
        pub struct $row_type<'a> { $($fields)* }
    };
    (@row $(#[$doc:meta])* $row_type:ident [$($fields:tt)*] {
        $(#[$column_doc:meta])* $column:ident: $kind:ident = $derived:expr, $($rest:tt)*
    }) => {
        contract!(@row $(#[$doc])* $row_type [$($fields)*] { $($rest)* });
    };
    (@row $(#[$doc:meta])* $row_type:ident [$($fields:tt)*] {
        $(#[$column_doc:meta])* $column:ident: $kind:ident, $($rest:tt)*
    }) => {
        contract!(@row $(#[$doc])* $row_type [
            $($fields)*
            $(#[$column_doc])*
            pub $column: <$kind as crate::columns::Column>::Value<'a>,
        ] { $($rest)* });
    };
}
use contract;

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
    use arrow::array::Array as _;
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

fn finite(contract: Contract, columns: &[(&'static str, &Float64Array)]) -> Result<(), SchemaError> {
    for (name, column) in columns {
        if let Some(row) = column.iter().position(|value| value.is_some_and(|v| !v.is_finite())) {
            return Err(refuse(contract, name, row, column.value(row), "a finite number"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
