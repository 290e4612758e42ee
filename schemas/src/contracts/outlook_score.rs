//! Scores of drought outlooks, once the week that they were about is over.

use super::{contract, finite};
use crate::{
    Contract, SchemaError,
    columns::{Float64, Int32, IssueTime, OptionalText, PeriodEnd, Text, Time},
};

contract! {
    /// How good each drought outlook was, beside persistence and climatology: a row for each catchment, index and week.
    OutlookScores,
    /// How good one week of one outlook was, borrowing its words.
    OutlookScoreRow, OutlookScoresBuilder: Contract::OutlookScore, checked by check;
    beside {
        /// probability that it gave to each class or worse
        at_least: [f64; 5],
    }
    columns of row {
        /// catchment identifier
        catchment: Text,
        /// streamflow or root_zone
        index: Text,
        /// the outlook's reference time
        issue_time: IssueTime,
        /// number of the week, from 1
        week: Int32,
        /// end of the week
        valid_time: PeriodEnd,
        /// the tick at which the week was judged
        score_time: Time,
        /// percentile of the season that came
        percentile: Float64 ["unit": "%"],
        /// its class; null where it was none
        class: OptionalText,
        /// the class that persistence gave; null where that was none
        class_persistence: OptionalText,
        /// probability that the outlook gave to D0 or worse
        at_least_d0: Float64 ["unit": "1"] = row.at_least[0],
        /// the same of D1
        at_least_d1: Float64 ["unit": "1"] = row.at_least[1],
        /// the same of D2
        at_least_d2: Float64 ["unit": "1"] = row.at_least[2],
        /// the same of D3
        at_least_d3: Float64 ["unit": "1"] = row.at_least[3],
        /// the same of D4
        at_least_d4: Float64 ["unit": "1"] = row.at_least[4],
        /// ranked probability score over the classes, 0 to 5
        rps: Float64 ["unit": "1"],
        /// the same of persistence
        rps_persistence: Float64 ["unit": "1"],
        /// the same of climatology, which gives 30, 20, 10, 5 and 2 %
        rps_climatology: Float64 ["unit": "1"],
        /// past_years or members
        scenario: Text,
        /// model package
        model: Text,
        /// SHA-256 of its weights
        weights_sha256: Text,
    }
}

impl OutlookScores {
    /// Probabilities that the outlook of a row gave to each class or worse.
    #[must_use]
    pub fn at_least(&self, row: usize) -> [f64; 5] {
        [self.at_least_d0(), self.at_least_d1(), self.at_least_d2(), self.at_least_d3(), self.at_least_d4()]
            .map(|column| column.value(row))
    }
}

fn check(s: &OutlookScores) -> Result<(), SchemaError> {
    let columns = [
        ("percentile", s.percentile()),
        ("rps", s.rps()),
        ("rps_persistence", s.rps_persistence()),
        ("rps_climatology", s.rps_climatology()),
    ];
    finite(Contract::OutlookScore, &columns)
}
