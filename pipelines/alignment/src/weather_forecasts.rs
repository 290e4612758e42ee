//! Weather forecasts: the newest weather forecast of each variable, a series of steps for each of its members.

use std::collections::BTreeMap;

use nilometer_schemas::{Reason, Timestamp, Variable};
use serde::{Deserialize, Serialize};

use crate::{Fate, PeriodForcing, StepAlignment, Waiting};

/// What weather services say of the steps to come.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeatherForecasts {
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
    /// of each catchment; none before the first
    issue_times: Vec<Option<Timestamp>>,
    members: BTreeMap<i32, StepAlignment>,
}

impl WeatherForecasts {
    /// None yet of `variables`, the model's inputs.
    pub fn new(step_s: i64, variables: &[Variable], catchments: usize) -> Self {
        let issue_times = vec![None; catchments];
        let product = |variable: &Variable| Product {
            variable: *variable,
            issue_times: issue_times.clone(),
            members: BTreeMap::new(),
        };
        Self { step_s, catchments, products: variables.iter().map(product).collect() }
    }

    /// Takes one row of a forecast made at `issue_time`. What an earlier forecast said of its variable and catchment is forgotten, and what
    /// comes from an older forecast is superseded. Rows of steps that are over, or lie beyond what is looked at, are of no use, which is no
    /// fault of theirs.
    pub fn add(&mut self, row: PeriodForcing, issue_time: Timestamp, member: Option<i32>, waiting: Waiting) -> Fate {
        let Some(product) = self.products.iter_mut().find(|product| product.variable == row.variable) else {
            return Fate::Rejected(Reason::UnknownStation);
        };
        let newest = &mut product.issue_times[row.catchment];
        if newest.is_some_and(|newest| issue_time < newest) {
            return Fate::Rejected(Reason::Superseded);
        }
        if row.valid_time <= waiting.reached || row.valid_time > waiting.limit {
            return Fate::Pending;
        }
        if newest.replace(issue_time).is_some_and(|newest| newest < issue_time) {
            product.members.values_mut().for_each(|align| align.clear(row.catchment));
        }
        let of_member = product.members.entry(member.unwrap_or(0));
        of_member
            .or_insert_with(|| StepAlignment::new(self.step_s, &[row.variable], self.catchments))
            .add_forcing(row, waiting)
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.products.iter().all(|product| product.members.is_empty())
    }

    /// Forgets the steps up to `time`.
    pub fn forget(&mut self, time: Timestamp) {
        for product in &mut self.products {
            product.members.values_mut().for_each(|align| align.forget(time));
            product.members.retain(|_, align| align.has_forcing());
        }
    }

    /// The same of other catchments: each has what waits at its place `from` in this one, and nothing where it is new.
    #[must_use]
    pub fn select(&self, from: &[Option<usize>]) -> Self {
        let products = self.products.iter().map(|product| Product {
            variable: product.variable,
            issue_times: from.iter().map(|old| old.and_then(|old| product.issue_times[old])).collect(),
            members: product.members.iter().map(|(member, align)| (*member, align.select(from))).collect(),
        });
        Self { step_s: self.step_s, catchments: from.len(), products: products.collect() }
    }

    /// The series of each input as the `number`-th member has them, members taken in turn. One that is alone in its variable speaks for all;
    /// so does another one for one that is missing.
    pub fn in_turn(&self, number: usize) -> Vec<Option<&StepAlignment>> {
        let most = self.products.iter().map(|product| &product.members).max_by_key(|members| members.len());
        let name = most.and_then(|members| members.keys().nth(number.checked_rem(members.len())?));
        self.products.iter().map(|product| product.series(name.copied(), number)).collect()
    }
}

impl Product {
    /// The series of the member of this name, or of another one in turn.
    fn series(&self, name: Option<i32>, number: usize) -> Option<&StepAlignment> {
        let other = || self.members.values().nth(number.checked_rem(self.members.len())?);
        name.and_then(|name| self.members.get(&name)).or_else(other)
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

    fn known(forecasts: &WeatherForecasts, number: usize, step: i64, input: usize, catchment: usize) -> Option<f32> {
        forecasts.in_turn(number)[input]?.known(hour(step), 0, catchment)
    }

    fn of(forecasts: &WeatherForecasts, number: usize, step: i64) -> Option<f32> {
        known(forecasts, number, step, 0, 1)
    }

    #[test]
    fn members_take_turns_and_say_nothing_of_what_they_do_not_know() {
        let mut forecasts = WeatherForecasts::new(HOUR, &[RAIN, PET], 2);
        let waiting = Waiting { reached: hour(0), limit: hour(48) };
        assert!(forecasts.is_empty());
        assert_eq!(forecasts.add(rain(3, 3, 6.0), hour(0), Some(4), waiting), Fate::Pending);
        assert_eq!(forecasts.add(rain(3, 3, 9.0), hour(0), Some(7), waiting), Fate::Pending);
        assert_eq!([0, 1, 2].map(|number| of(&forecasts, number, 2)), [Some(2.0), Some(3.0), Some(2.0)]);
        assert_eq!(of(&forecasts, 0, 4), None, "beyond its last step");
        assert_eq!(known(&forecasts, 0, 2, 0, 0), None, "of another catchment");
        assert_eq!(known(&forecasts, 0, 2, 1, 1), None, "of another variable");
        // A single forecast of it speaks for every member, and a second one belongs to the member of its number.
        let pet = PeriodForcing { variable: PET, value: 0.3, ..rain(3, 3, 0.0) };
        forecasts.add(pet, hour(0), None, waiting);
        assert_eq!([0, 1].map(|number| known(&forecasts, number, 2, 1, 1)), [Some(0.1), Some(0.1)]);
        forecasts.add(PeriodForcing { value: 0.6, ..pet }, hour(0), Some(7), waiting);
        assert_eq!(known(&forecasts, 1, 2, 1, 1), Some(0.2));
        assert_eq!(forecasts.add(rain(3, 3, 9.0), hour(0), Some(7), waiting), Fate::Rejected(Reason::Duplicate));
        forecasts.forget(hour(2));
        assert_eq!((of(&forecasts, 0, 2), of(&forecasts, 0, 3)), (None, Some(2.0)));
        forecasts.forget(hour(3));
        assert!(forecasts.is_empty(), "what is over is no forecast");
    }

    #[test]
    fn a_newer_forecast_takes_the_place_of_the_older_one_of_its_catchment() {
        let mut forecasts = WeatherForecasts::new(HOUR, &[RAIN], 2);
        let waiting = Waiting { reached: hour(0), limit: hour(48) };
        forecasts.add(rain(8, 1, 6.0), hour(0), None, waiting);
        forecasts.add(PeriodForcing { catchment: 0, ..rain(8, 1, 5.0) }, hour(0), None, waiting);
        // Its first hours have passed when it comes, and its last days are beyond the limit: so far it says nothing.
        assert_eq!(forecasts.add(rain(0, 1, 6.0), hour(6), None, waiting), Fate::Pending);
        assert_eq!(forecasts.add(rain(480, 1, 6.0), hour(6), None, waiting), Fate::Pending);
        assert_eq!(of(&forecasts, 0, 8), Some(6.0));
        forecasts.add(rain(7, 1, 1.0), hour(6), None, waiting);
        assert_eq!((of(&forecasts, 0, 8), of(&forecasts, 0, 7)), (None, Some(1.0)));
        assert_eq!(known(&forecasts, 0, 8, 0, 0), Some(5.0), "the other catchment waits for its own");
        assert_eq!(forecasts.add(rain(9, 1, 6.0), hour(0), None, waiting), Fate::Rejected(Reason::Superseded));
    }
}
