//! Foreseen: the newest weather forecast of each variable, a series of steps for each of its members.

use std::collections::BTreeMap;

use nilometer_schemas::{Reason, Timestamp, Variable};
use serde::{Deserialize, Serialize};

use crate::{Align, Fate, PeriodForcing, Waiting};

/// What weather services say of the steps to come.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Foreseen {
    step_s: i64,
    catchments: usize,
    /// one for each of the model's inputs, in their order
    products: Vec<Product>,
}

/// The newest forecast of one variable.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Product {
    variable: Variable,
    /// none before the first
    issue_time: Option<Timestamp>,
    members: BTreeMap<i32, Align>,
}

impl Foreseen {
    /// Nothing is foreseen yet of `variables`, the model's inputs.
    pub(crate) fn new(step_s: i64, variables: &[Variable], catchments: usize) -> Self {
        let product = |variable: &Variable| Product { variable: *variable, issue_time: None, members: BTreeMap::new() };
        Self { step_s, catchments, products: variables.iter().map(product).collect() }
    }

    /// Takes one row of a forecast made at `issue_time`; what was foreseen of its variable before that is forgotten, and what comes from an
    /// older forecast is too late. Rows of steps that are over, or lie beyond `until`, are of no use to a forecast, which is no fault of theirs.
    pub(crate) fn add(
        &mut self,
        row: PeriodForcing,
        issue_time: Timestamp,
        member: Option<i32>,
        waiting: Waiting,
    ) -> Fate {
        let Some(product) = self.products.iter_mut().find(|product| product.variable == row.variable) else {
            return Fate::Rejected(Reason::UnknownStation);
        };
        if product.issue_time.is_some_and(|newest| issue_time < newest) {
            return Fate::Rejected(Reason::Superseded);
        }
        if product.issue_time != Some(issue_time) {
            (product.issue_time, product.members) = (Some(issue_time), BTreeMap::new());
        }
        if row.valid_time <= waiting.reached || row.valid_time > waiting.limit {
            return Fate::Pending;
        }
        let of_member = product.members.entry(member.unwrap_or(0));
        of_member.or_insert_with(|| Align::new(self.step_s, &[row.variable], self.catchments)).add_forcing(row, waiting)
    }

    /// Whether nothing at all is foreseen.
    pub(crate) fn is_empty(&self) -> bool {
        self.products.iter().all(|product| product.members.is_empty())
    }

    /// Forgets the steps up to `time`.
    pub(crate) fn forget(&mut self, time: Timestamp) {
        self.products.iter_mut().flat_map(|product| product.members.values_mut()).for_each(|align| align.forget(time));
    }

    /// The forcing `[F, C]` of the step that ends at `step` as the `number`-th member has it, members taken in turn; `otherwise` where it
    /// says nothing of a variable.
    pub(crate) fn of_member(&self, number: usize, step: Timestamp, otherwise: &[f32]) -> Vec<f32> {
        let mut forcing = otherwise.to_vec();
        for (product, values) in self.products.iter().zip(forcing.chunks_exact_mut(self.catchments)) {
            let Some(turn) = number.checked_rem(product.members.len()) else { continue };
            let Some(align) = product.members.values().nth(turn) else { continue };
            for (catchment, value) in values.iter_mut().enumerate() {
                *value = align.known(step, 0, catchment).unwrap_or(*value);
            }
        }
        forcing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;
    const RAIN: Variable = Variable::Precipitation;
    const PET: Variable = Variable::PotentialEvapotranspiration;

    fn hour(n: i64) -> Timestamp {
        Timestamp(0).plus_s(n * HOUR)
    }

    fn rain(valid: i64, period: i64, value: f64) -> PeriodForcing {
        PeriodForcing { variable: RAIN, catchment: 1, valid_time: hour(valid), period_s: period * HOUR, value }
    }

    #[test]
    fn members_take_turns_and_say_nothing_of_what_they_do_not_know() {
        let mut foreseen = Foreseen::new(HOUR, &[RAIN, PET], 2);
        let waiting = Waiting { reached: hour(0), limit: hour(48) };
        assert!(foreseen.is_empty());
        assert_eq!(foreseen.add(rain(3, 3, 6.0), hour(0), Some(4), waiting), Fate::Pending);
        assert_eq!(foreseen.add(rain(3, 3, 9.0), hour(0), Some(7), waiting), Fate::Pending);
        let otherwise = [0.0, 0.0, 0.1, 0.2];
        let said = [0, 1, 2].map(|number| foreseen.of_member(number, hour(2), &otherwise));
        assert_eq!(said, [[0.0, 2.0, 0.1, 0.2], [0.0, 3.0, 0.1, 0.2], [0.0, 2.0, 0.1, 0.2]]);
        assert_eq!(foreseen.of_member(0, hour(4), &otherwise), otherwise, "beyond its last step");
        assert_eq!(foreseen.add(rain(3, 3, 9.0), hour(0), Some(7), waiting), Fate::Rejected(Reason::Duplicate));
        foreseen.forget(hour(2));
        assert_eq!(foreseen.of_member(0, hour(2), &otherwise), otherwise);
        assert_eq!(foreseen.of_member(0, hour(3), &otherwise)[1], 2.0);
    }

    #[test]
    fn a_newer_forecast_takes_the_place_of_the_older_one() {
        let mut foreseen = Foreseen::new(HOUR, &[RAIN], 2);
        let waiting = Waiting { reached: hour(0), limit: hour(48) };
        foreseen.add(rain(8, 1, 6.0), hour(0), None, waiting);
        foreseen.add(rain(7, 1, 1.0), hour(6), None, waiting);
        assert_eq!(foreseen.of_member(0, hour(8), &[0.0, 0.0]), [0.0, 0.0]);
        assert_eq!(foreseen.of_member(0, hour(7), &[0.0, 0.0]), [0.0, 1.0]);
        assert_eq!(foreseen.add(rain(9, 1, 6.0), hour(0), None, waiting), Fate::Rejected(Reason::Superseded));
        // Its first hours have passed when it comes, and its last days nobody looks at.
        assert_eq!(foreseen.add(rain(0, 1, 6.0), hour(6), None, waiting), Fate::Pending);
        assert_eq!(foreseen.add(rain(480, 1, 6.0), hour(6), None, waiting), Fate::Pending);
    }
}
