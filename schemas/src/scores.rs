//! The scores' rows, column by column.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, StringBuilder,
        TimestampMicrosecondBuilder, UInt8Builder, UInt64Builder,
    },
    datatypes::{DataType, Field},
};

use crate::{Contract, Flag, SchemaError, Scores, Timestamp, Variable, builders::assemble};

/// How good one forecast was, borrowing its words. Columns are described at [`Scores`].
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct ScoreRow<'a> {
    pub catchment: &'a str,
    pub variable: Variable,
    pub issue_time: Timestamp,
    pub valid_time: Timestamp,
    /// of two rows about one forecast that with the later one counts: its observation was corrected
    pub score_time: Timestamp,
    pub observed: f64,
    pub flag: Flag,
    pub mean: f64,
    pub crps: f64,
    /// of the levels 0.05, 0.50 and 0.95
    pub pinball: [f64; 3],
    pub pit: f64,
    pub width_90: f64,
    pub covered_90: bool,
    pub crps_persistence: Option<f64>,
    pub crps_climatology: Option<f64>,
    pub thresholds: &'a [ThresholdScore],
    pub peaks: u64,
    pub peak_timing_steps: Option<f64>,
    pub pairs: u64,
    pub nse: Option<f64>,
    pub kge: Option<f64>,
    pub scenario: &'a str,
    pub model: &'a str,
    pub weights_sha256: &'a str,
}

/// What a forecast said of one flood threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ThresholdScore {
    /// the threshold, m³ s⁻¹
    pub threshold: f64,
    /// the probability of reaching it
    pub exceedance: f64,
    /// its Brier score
    pub brier: f64,
    /// hits, misses and false alarms so far
    pub floods: [u64; 3],
}

/// Builds [`Scores`] row by row.
#[derive(Debug)]
pub struct ScoresBuilder {
    /// catchment, variable, scenario, model, weights
    words: [StringBuilder; 5],
    /// issue, valid, score
    times: [TimestampMicrosecondBuilder; 3],
    lead_time_s: Int64Builder,
    flag: UInt8Builder,
    /// observed, mean, CRPS, three pinball losses, PIT, width, CRPS of persistence and climatology, peak timing, NSE, KGE
    numbers: [Float64Builder; 13],
    covered_90: BooleanBuilder,
    /// threshold, exceedance, Brier score
    thresholds: [ListBuilder<Float64Builder>; 3],
    /// hits, misses, false alarms
    floods: [ListBuilder<UInt64Builder>; 3],
    /// peaks, pairs
    counts: [UInt64Builder; 2],
}

impl Default for ScoresBuilder {
    fn default() -> Self {
        let of = |kind| Arc::new(Field::new_list_field(kind, false));
        Self {
            words: std::array::from_fn(|_| StringBuilder::new()),
            times: std::array::from_fn(|_| TimestampMicrosecondBuilder::new()),
            lead_time_s: Int64Builder::new(),
            flag: UInt8Builder::new(),
            numbers: std::array::from_fn(|_| Float64Builder::new()),
            covered_90: BooleanBuilder::new(),
            thresholds: std::array::from_fn(|_| {
                ListBuilder::new(Float64Builder::new()).with_field(of(DataType::Float64))
            }),
            floods: std::array::from_fn(|_| ListBuilder::new(UInt64Builder::new()).with_field(of(DataType::UInt64))),
            counts: std::array::from_fn(|_| UInt64Builder::new()),
        }
    }
}

impl ScoresBuilder {
    /// Adds a row.
    pub fn push(&mut self, row: ScoreRow<'_>) {
        let words = [row.catchment, row.variable.name(), row.scenario, row.model, row.weights_sha256];
        self.words.iter_mut().zip(words).for_each(|(column, word)| column.append_value(word));
        let times = [row.issue_time, row.valid_time, row.score_time];
        self.times.iter_mut().zip(times).for_each(|(column, time)| column.append_value(time.0));
        self.lead_time_s.append_value(row.valid_time.seconds_since(row.issue_time));
        self.flag.append_value(row.flag as u8);
        let [low, middle, high] = row.pinball;
        let known = [row.observed, row.mean, row.crps, low, middle, high, row.pit, row.width_90].map(Some);
        let values = known.into_iter().chain([
            row.crps_persistence,
            row.crps_climatology,
            row.peak_timing_steps,
            row.nse,
            row.kge,
        ]);
        self.numbers.iter_mut().zip(values).for_each(|(column, value)| column.append_option(value));
        self.covered_90.append_value(row.covered_90);
        for of in row.thresholds {
            let values = [of.threshold, of.exceedance, of.brier];
            self.thresholds.iter_mut().zip(values).for_each(|(column, value)| column.values().append_value(value));
            self.floods.iter_mut().zip(of.floods).for_each(|(column, count)| column.values().append_value(count));
        }
        self.thresholds.iter_mut().for_each(|column| column.append(true));
        self.floods.iter_mut().for_each(|column| column.append(true));
        self.counts.iter_mut().zip([row.peaks, row.pairs]).for_each(|(column, count)| column.append_value(count));
    }

    /// The rows so far; the builder is empty afterwards.
    ///
    /// # Errors
    /// [`SchemaError`] when a number is not finite.
    pub fn finish(&mut self) -> Result<Scores, SchemaError> {
        let [catchment, variable, scenario, model, weights] =
            self.words.each_mut().map(|column| Arc::new(column.finish()) as ArrayRef);
        let [issue, valid, score] =
            self.times.each_mut().map(|column| Arc::new(column.finish().with_timezone("UTC")) as ArrayRef);
        let [observed, mean, crps, low, middle, high, pit, width, persistence, climatology, timing, nse, kge] =
            self.numbers.each_mut().map(|column| Arc::new(column.finish()) as ArrayRef);
        let [threshold, exceedance, brier] =
            self.thresholds.each_mut().map(|column| Arc::new(column.finish()) as ArrayRef);
        let lead_time_s = Arc::new(self.lead_time_s.finish());
        let (flag, covered_90) = (Arc::new(self.flag.finish()), Arc::new(self.covered_90.finish()));
        let [hits, misses, false_alarms] = self.floods.each_mut().map(|column| Arc::new(column.finish()) as ArrayRef);
        let [peaks, pairs] = self.counts.each_mut().map(|column| Arc::new(column.finish()) as ArrayRef);
        #[rustfmt::skip]
        let columns: Vec<ArrayRef> = vec![
            catchment, variable, issue, valid, lead_time_s, score, observed, flag, mean, crps, low, middle, high, pit,
            width, covered_90, persistence, climatology, threshold, exceedance, brier, hits, misses, false_alarms,
            peaks, timing, pairs, nse, kge, scenario, model, weights,
        ];
        assemble(Contract::Score, columns)?.try_into()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;

    use super::*;

    #[test]
    fn a_row_says_everything_of_one_forecast_and_a_number_that_is_none_is_refused() {
        let thresholds = [ThresholdScore { threshold: 100.0, exceedance: 0.2, brier: 0.04, floods: [3, 1, 2] }];
        let row = ScoreRow {
            catchment: "V1",
            variable: Variable::Discharge,
            issue_time: Timestamp(0),
            valid_time: Timestamp(3_600_000_000),
            score_time: Timestamp(7_200_000_000),
            observed: 12.0,
            flag: Flag::Pass,
            mean: 11.0,
            crps: 0.5,
            pinball: [0.1, 0.5, 0.2],
            pit: 0.8,
            width_90: 4.0,
            covered_90: true,
            crps_persistence: Some(2.0),
            crps_climatology: None,
            thresholds: &thresholds,
            peaks: 4,
            peak_timing_steps: Some(0.5),
            pairs: 1,
            nse: None,
            kge: None,
            scenario: "zero",
            model: "exphydro",
            weights_sha256: "00",
        };
        let mut builder = ScoresBuilder::default();
        builder.push(row);
        builder.push(ScoreRow { thresholds: &[], ..row });
        let scores = builder.finish().unwrap();
        assert_eq!((scores.len(), scores.lead_time_s().value(0)), (2, 3_600));
        assert_eq!((scores.brier().value(0).len(), scores.brier().value(1).len()), (1, 0));
        assert_eq!((scores.flood_misses().value(0).len(), scores.flood_misses().value(1).len()), (1, 0));
        assert!(scores.covered_90().value(0) && scores.crps_climatology().is_null(0) && scores.nse().is_null(1));
        builder.push(ScoreRow { crps: f64::NAN, ..row });
        assert!(builder.finish().unwrap_err().to_string().contains("crps"));
    }
}
