//! Drought outlooks: how likely each class of drought is in each of the weeks ahead.

use super::{contract, drought::CLASS_WORDS, refuse};
use crate::{
    Contract, SchemaError,
    columns::{Float64, Int32, IssueTime, OptionalFloat64, OptionalText, PeriodEnd, Text},
};

contract! {
    /// How likely each class of drought is in each of the weeks ahead: a row for each catchment, index and week.
    DroughtOutlooks,
    /// One week of one catchment's drought outlook, borrowing its words.
    DroughtOutlookRow, DroughtOutlooksBuilder: Contract::DroughtOutlook, checked by check;
    beside {
        /// probability of each class or worse in the week
        at_least: [f64; 5],
        /// probability that each class or worse has been there in one of the weeks up to this one
        reached: [f64; 5],
        /// percentiles of the season that 5, 50 and 95 % of the trajectories lie below
        percentiles: [f64; 3],
    }
    columns of row {
        /// catchment identifier
        catchment: Text,
        /// the station
        station: Text,
        /// streamflow or root_zone
        index: Text,
        /// the outlook's reference time
        issue_time: IssueTime,
        /// number of the week, from 1
        week: Int32,
        /// end of the week
        valid_time: PeriodEnd,
        /// probability of D0 or worse in the week; climatology gives 0.30
        at_least_d0: Float64 ["unit": "1"] = row.at_least[0],
        /// the same of D1; climatology gives 0.20
        at_least_d1: Float64 ["unit": "1"] = row.at_least[1],
        /// the same of D2; climatology gives 0.10
        at_least_d2: Float64 ["unit": "1"] = row.at_least[2],
        /// the same of D3; climatology gives 0.05
        at_least_d3: Float64 ["unit": "1"] = row.at_least[3],
        /// the same of D4; climatology gives 0.02
        at_least_d4: Float64 ["unit": "1"] = row.at_least[4],
        /// probability that D0 or worse has been there in one of the weeks up to this one
        reached_d0: Float64 ["unit": "1"] = row.reached[0],
        /// the same of D1
        reached_d1: Float64 ["unit": "1"] = row.reached[1],
        /// the same of D2
        reached_d2: Float64 ["unit": "1"] = row.reached[2],
        /// the same of D3
        reached_d3: Float64 ["unit": "1"] = row.reached[3],
        /// the same of D4
        reached_d4: Float64 ["unit": "1"] = row.reached[4],
        /// percentile of the season that 5 % of the trajectories lie below
        percentile_q05: Float64 ["unit": "%"] = row.percentiles[0],
        /// the same of 50 %
        percentile_q50: Float64 ["unit": "%"] = row.percentiles[1],
        /// the same of 95 %
        percentile_q95: Float64 ["unit": "%"] = row.percentiles[2],
        /// percentile of the newest day that was known; null where there is none
        percentile_now: OptionalFloat64 ["unit": "%"],
        /// its class, which persistence gives to every week; null where it has none
        class_now: OptionalText,
        /// trajectories behind the probabilities
        trajectories: Int32,
        /// years that they are held against
        years: Int32,
        /// past_years, or members where the first weeks have weather forecasts of members
        scenario: Text,
        /// model package
        model: Text,
        /// its version
        model_version: Text,
        /// SHA-256 of the weights file, hexadecimal
        weights_sha256: Text,
    }
}

impl DroughtOutlooks {
    /// Probabilities of each class or worse in the week of a row.
    #[must_use]
    pub fn at_least(&self, row: usize) -> [f64; 5] {
        [self.at_least_d0(), self.at_least_d1(), self.at_least_d2(), self.at_least_d3(), self.at_least_d4()]
            .map(|column| column.value(row))
    }
}

fn check(rows: &DroughtOutlooks) -> Result<(), SchemaError> {
    use arrow::array::Array as _;
    for row in 0..rows.len() {
        let at_least = rows.at_least(row);
        let falls = at_least.windows(2).all(|pair| pair[1] <= pair[0]);
        if !falls || at_least.iter().any(|probability| !(0.0..=1.0).contains(probability)) {
            let found = format!("{at_least:?}");
            return Err(refuse(Contract::DroughtOutlook, "at_least_d0", row, found, "0 to 1, worse ones less likely"));
        }
        let class = rows.class_now();
        if class.is_valid(row) && !CLASS_WORDS.contains(&class.value(row)) {
            return Err(refuse(Contract::DroughtOutlook, "class_now", row, class.value(row), "D0 to D4"));
        }
    }
    Ok(())
}
