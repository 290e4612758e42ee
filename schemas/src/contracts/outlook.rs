//! Outlooks: what the weeks ahead may bring, in trajectories.

use super::{contract, refuse};
use crate::{
    Contract, SchemaError,
    columns::{Float64List, Int32, IssueTime, PeriodEnd, Text, Time, UInt64},
};

contract! {
    /// What each of the weeks ahead may bring under the weather of past years: a row for each catchment, index and week.
    Outlooks,
    /// One week of one catchment's outlook, borrowing its words.
    OutlookRow, OutlooksBuilder: Contract::Outlook, checked by check;
    beside {
        /// one value a trajectory
        values: &'a [f64],
    }
    columns of row {
        /// catchment identifier
        catchment: Text,
        /// the station
        station: Text,
        /// what it is of: streamflow, the mean flow of the week, or root_zone, what the soil stores hold at its end
        index: Text,
        /// the outlook's reference time
        issue_time: IssueTime,
        /// number of the week, from 1
        week: Int32,
        /// end of the week
        valid_time: PeriodEnd,
        /// unit of the trajectories
        unit: Text,
        /// one value a trajectory, in the same order in each week and index of an outlook; flows are quantiles of the calibrated distribution at (r − ½)/M
        trajectories: Float64List = row.values.iter().copied(),
        /// past_years, or members where the first weeks have weather forecasts of members
        scenario: Text,
        /// past years whose weather is met
        years: Int32,
        /// newest time that the model state had reached
        state_time: Time,
        /// model package
        model: Text,
        /// its version
        model_version: Text,
        /// SHA-256 of the weights file, hexadecimal
        weights_sha256: Text,
        /// log position of observation.v1 that this outlook had read up to (exclusive)
        observation_position: UInt64,
        /// log position of forcing.v1 that this outlook had read up to (exclusive)
        forcing_position: UInt64,
    }
}

impl Outlooks {
    /// The trajectories of a row.
    #[must_use]
    pub fn values(&self, row: usize) -> Vec<f64> {
        use arrow::array::AsArray as _;
        let values = self.trajectories().value(row);
        values.as_primitive::<arrow::datatypes::Float64Type>().values().to_vec()
    }
}

fn check(rows: &Outlooks) -> Result<(), SchemaError> {
    for row in 0..rows.len() {
        if rows.week().value(row) < 1 {
            return Err(refuse(Contract::Outlook, "week", row, rows.week().value(row), "1 or more"));
        }
        let values = rows.values(row);
        if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
            return Err(refuse(Contract::Outlook, "trajectories", row, "none or no numbers", "finite numbers"));
        }
    }
    Ok(())
}
