//! The ledger's rows, column by column.

use std::sync::Arc;

use arrow::{
    array::{Float64Builder, ListBuilder, StringBuilder, TimestampMicrosecondBuilder, UInt8Builder},
    datatypes::{DataType, Field},
};

use crate::{Analyses, Contract, Flag, SchemaError, Timestamp, Variable, builders::assemble};

/// What one observation did to one model's state, borrowing its words. Columns are described at [`Analyses`].
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct AnalysisRow<'a> {
    pub catchment: &'a str,
    pub station: &'a str,
    pub variable: Variable,
    pub valid_time: Timestamp,
    pub analysis_time: Timestamp,
    pub observed: f64,
    pub predicted: f64,
    pub innovation: f64,
    pub spread: Option<f64>,
    pub error_std: f64,
    pub flag: Flag,
    pub method: &'a str,
    /// store and what it gained, mm
    pub increments: &'a [(&'a str, f64)],
    pub output_error_increment: Option<f64>,
    pub model: &'a str,
    pub weights_sha256: &'a str,
}

/// Builds [`Analyses`] row by row.
#[derive(Debug)]
pub struct AnalysesBuilder {
    catchment: StringBuilder,
    station: StringBuilder,
    variable: StringBuilder,
    unit: StringBuilder,
    valid_time: TimestampMicrosecondBuilder,
    analysis_time: TimestampMicrosecondBuilder,
    /// observed, predicted, innovation, spread, error, and the output error's increment behind the lists
    numbers: [Float64Builder; 6],
    flag: UInt8Builder,
    method: StringBuilder,
    store: ListBuilder<StringBuilder>,
    increment_mm: ListBuilder<Float64Builder>,
    model: StringBuilder,
    weights_sha256: StringBuilder,
}

impl Default for AnalysesBuilder {
    fn default() -> Self {
        let of = |kind| Arc::new(Field::new_list_field(kind, false));
        Self {
            catchment: StringBuilder::new(),
            station: StringBuilder::new(),
            variable: StringBuilder::new(),
            unit: StringBuilder::new(),
            valid_time: TimestampMicrosecondBuilder::new(),
            analysis_time: TimestampMicrosecondBuilder::new(),
            numbers: std::array::from_fn(|_| Float64Builder::new()),
            flag: UInt8Builder::new(),
            method: StringBuilder::new(),
            store: ListBuilder::new(StringBuilder::new()).with_field(of(DataType::Utf8)),
            increment_mm: ListBuilder::new(Float64Builder::new()).with_field(of(DataType::Float64)),
            model: StringBuilder::new(),
            weights_sha256: StringBuilder::new(),
        }
    }
}

impl AnalysesBuilder {
    /// Adds a row.
    pub fn push(&mut self, row: AnalysisRow<'_>) {
        self.catchment.append_value(row.catchment);
        self.station.append_value(row.station);
        self.variable.append_value(row.variable.name());
        self.unit.append_value(row.variable.unit().name());
        self.valid_time.append_value(row.valid_time.0);
        self.analysis_time.append_value(row.analysis_time.0);
        let known = [row.observed, row.predicted, row.innovation].map(Some);
        let values = known.into_iter().chain([row.spread, Some(row.error_std), row.output_error_increment]);
        for (column, value) in self.numbers.iter_mut().zip(values) {
            column.append_option(value);
        }
        self.flag.append_value(row.flag as u8);
        self.method.append_value(row.method);
        for (store, increment_mm) in row.increments {
            self.store.values().append_value(store);
            self.increment_mm.values().append_value(*increment_mm);
        }
        self.store.append(true);
        self.increment_mm.append(true);
        self.model.append_value(row.model);
        self.weights_sha256.append_value(row.weights_sha256);
    }

    /// The rows so far; the builder is empty afterwards.
    ///
    /// # Errors
    /// [`SchemaError`] when a number is not finite.
    pub fn finish(&mut self) -> Result<Analyses, SchemaError> {
        let [observed, predicted, innovation, spread, error_std, output_error_increment] =
            self.numbers.each_mut().map(|column| Arc::new(column.finish()));
        assemble(
            Contract::Analysis,
            vec![
                Arc::new(self.catchment.finish()),
                Arc::new(self.station.finish()),
                Arc::new(self.variable.finish()),
                Arc::new(self.unit.finish()),
                Arc::new(self.valid_time.finish().with_timezone("UTC")),
                Arc::new(self.analysis_time.finish().with_timezone("UTC")),
                observed,
                predicted,
                innovation,
                spread,
                error_std,
                Arc::new(self.flag.finish()),
                Arc::new(self.method.finish()),
                Arc::new(self.store.finish()),
                Arc::new(self.increment_mm.finish()),
                output_error_increment,
                Arc::new(self.model.finish()),
                Arc::new(self.weights_sha256.finish()),
            ],
        )?
        .try_into()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;

    use super::*;

    fn row<'a>(increments: &'a [(&'a str, f64)]) -> AnalysisRow<'a> {
        AnalysisRow {
            catchment: "V1",
            station: "V1",
            variable: Variable::Discharge,
            valid_time: Timestamp(3_600_000_000),
            analysis_time: Timestamp(7_200_000_000),
            observed: 12.0,
            predicted: 10.0,
            innovation: 0.18,
            spread: Some(0.1),
            error_std: 0.05,
            flag: Flag::Pass,
            method: "etkf",
            increments,
            output_error_increment: None,
            model: "exphydro",
            weights_sha256: "00",
        }
    }

    #[test]
    fn each_row_has_its_own_stores() {
        let mut builder = AnalysesBuilder::default();
        builder.push(row(&[("snow_store", 0.5), ("soil_store", -2.0)]));
        builder.push(row(&[]));
        let rows = builder.finish().unwrap();
        assert_eq!((rows.len(), rows.store().value(0).len(), rows.store().value(1).len()), (2, 2, 0));
        assert!(rows.output_error_increment().is_null(0));
        builder.push(AnalysisRow { predicted: f64::NAN, ..row(&[]) });
        assert!(builder.finish().unwrap_err().to_string().contains("predicted"));
    }
}
