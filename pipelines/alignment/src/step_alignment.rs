//! StepAlignment: rows wait here until their step is due. Pure.

use std::collections::BTreeMap;

use nilometer_schemas::{Reason, Timestamp, Variable};
use serde::{Deserialize, Serialize};

use crate::{Observation, Subject, observation::place_in};

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// it waits for its step
    Pending,
    /// its time has passed
    Late,
    /// it cannot be used
    Rejected(Reason),
}

/// One forcing row about the period `(valid_time − period_s, valid_time]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeriodForcing {
    /// what the value is about
    pub variable: Variable,
    /// catchment index
    pub catchment: usize,
    /// end of the period
    pub valid_time: Timestamp,
    /// length of the period, seconds
    pub period_s: i64,
    /// depth of the period, or mean over it, in the variable's canonical unit
    pub value: f64,
}

/// The times between which a row can wait.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Waiting {
    /// what is not after it is late: the state has passed it
    pub reached: Timestamp,
    /// what is after it is refused: a clock is wrong
    pub limit: Timestamp,
}

/// The forcing of one step `[F, C]` as far as it is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepForcing {
    /// depth in the step, or mean over it, of each variable and catchment
    values: Vec<f32>,
    /// how much of the step the values cover, seconds
    covered_s: Vec<f32>,
}

/// Rows that wait, by the step that they belong to. What is beyond the horizon is refused, so it is bounded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepAlignment {
    step_s: i64,
    variables: Vec<Variable>,
    catchments: usize,
    /// newest complete value of each variable and catchment, `[F, C]`; 0 before the first
    newest: Vec<f32>,
    steps: BTreeMap<Timestamp, StepForcing>,
    /// of each catchment whether a step waits for its forcing: one that was added later is not waited for before its first complete step
    awaited: Vec<bool>,
    /// end of the newest rain; none before the first
    rain_until: Option<Timestamp>,
    /// forcing rows of each catchment that wait, by valid time
    rows: BTreeMap<Timestamp, Vec<u32>>,
    observations: BTreeMap<Timestamp, Vec<Observation>>,
}

impl StepAlignment {
    /// Nothing waits yet. `variables` are the model's inputs in order.
    #[must_use]
    pub fn new(step_s: i64, variables: &[Variable], catchments: usize) -> Self {
        Self {
            step_s,
            variables: variables.to_vec(),
            catchments,
            newest: vec![0.0; variables.len() * catchments],
            steps: BTreeMap::new(),
            awaited: vec![true; catchments],
            rain_until: None,
            rows: BTreeMap::new(),
            observations: BTreeMap::new(),
        }
    }

    /// Takes one forcing row, as far as its period is still to come. A depth is spread evenly over the steps that its
    /// period covers.
    pub fn add_forcing(&mut self, row: PeriodForcing, waiting: Waiting) -> Fate {
        let PeriodForcing { variable, catchment, valid_time, period_s, value } = row;
        let Some(input) = self.variables.iter().position(|v| *v == variable) else {
            return Fate::Rejected(Reason::UnknownStation);
        };
        if valid_time <= waiting.reached {
            return Fate::Late;
        }
        if valid_time > waiting.limit {
            return Fate::Rejected(Reason::BadTime);
        }
        let at = input * self.catchments + catchment;
        let begin = valid_time.plus_s(-period_s);
        let first = begin.plus_s(1).ceil_s(self.step_s).max(waiting.reached.plus_s(self.step_s));
        let steps = std::iter::successors(Some(first), |s| Some(s.plus_s(self.step_s)))
            .take_while(|s| s.plus_s(-self.step_s) < valid_time);
        let overlap = |step: Timestamp| {
            let (from, to) = (begin.max(step.plus_s(-self.step_s)), valid_time.min(step));
            to.seconds_since(from) as f32
        };
        // Rain counted twice would be a flood that is none.
        let full = self.step_s as f32 + 0.5;
        if steps.clone().any(|s| self.steps.get(&s).is_some_and(|f| f.covered_s[at] + overlap(s) > full)) {
            return Fate::Rejected(Reason::Duplicate);
        }
        let whole = if variable.accumulates() { period_s } else { self.step_s } as f64;
        let numbers = self.newest.len();
        for step in steps {
            let forcing = self
                .steps
                .entry(step)
                .or_insert_with(|| StepForcing { values: vec![0.0; numbers], covered_s: vec![0.0; numbers] });
            forcing.values[at] += (value * f64::from(overlap(step)) / whole) as f32;
            forcing.covered_s[at] += overlap(step);
        }
        if variable == Variable::Precipitation {
            self.rain_until = self.rain_until.max(Some(valid_time));
        }
        self.rows.entry(valid_time).or_insert_with(|| vec![0; self.catchments])[catchment] += 1;
        Fate::Pending
    }

    /// Takes one observation.
    pub fn add_observation(&mut self, observation: Observation, waiting: Waiting) -> Fate {
        if observation.valid_time <= waiting.reached {
            return Fate::Late;
        }
        if observation.valid_time > waiting.limit {
            return Fate::Rejected(Reason::BadTime);
        }
        self.observations.entry(observation.valid_time.ceil_s(self.step_s)).or_default().push(observation);
        Fate::Pending
    }

    /// The model's inputs in order.
    #[must_use]
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// Whether anything of a forcing's period waits already.
    #[must_use]
    pub fn holds_forcing(&self, row: &PeriodForcing) -> bool {
        let Some(input) = self.variables.iter().position(|v| *v == row.variable) else { return false };
        let at = input * self.catchments + row.catchment;
        let begin = row.valid_time.plus_s(-row.period_s);
        self.steps
            .range(Timestamp(begin.0 + 1)..=row.valid_time.ceil_s(self.step_s))
            .any(|(_, forcing)| forcing.covered_s[at] > 0.0)
    }

    /// Whether an observation about the same waits already.
    #[must_use]
    pub fn holds_observation(&self, about: &Subject) -> bool {
        let waiting = self.observations.get(&about.valid_time.ceil_s(self.step_s));
        waiting.is_some_and(|of_step| of_step.iter().any(|o| o.subject() == *about))
    }

    /// Takes an observation out again that still waits for its step.
    pub fn take_waiting(&mut self, about: &Subject) -> Option<Observation> {
        let waiting = self.observations.get_mut(&about.valid_time.ceil_s(self.step_s))?;
        let at = waiting.iter().position(|o| o.subject() == *about)?;
        Some(waiting.remove(at))
    }

    /// Whether every variable of every catchment that is waited for is known over the whole step that ends at `step`.
    #[must_use]
    pub fn is_complete(&self, step: Timestamp) -> bool {
        self.unknown(step).next().is_none()
    }

    /// What the step that ends at `step` waits for: variable and catchment.
    pub fn unknown(&self, step: Timestamp) -> impl Iterator<Item = (Variable, usize)> + '_ {
        let full = self.step_s as f32 - 0.5;
        let covered = self.steps.get(&step).map(|forcing| &forcing.covered_s);
        let known = move |at: usize| covered.is_some_and(|covered| covered[at] >= full);
        (0..self.newest.len())
            .filter(move |at| self.awaited[at % self.catchments] && !known(*at))
            .map(|at| (self.variables[at / self.catchments], at % self.catchments))
    }

    /// Takes the step's forcing `[F, C]` out, filled where it is not known (rain: none; the rest: the newest value), and
    /// the forcing rows that are thereby used.
    pub fn take_step(&mut self, step: Timestamp) -> (Vec<f32>, u64) {
        let values = self.forcing(step, |_, _| 0.0);
        for catchment in 0..self.catchments {
            let known = (0..self.variables.len()).all(|input| self.known(step, input, catchment).is_some());
            self.awaited[catchment] |= known;
        }
        self.steps = self.steps.split_off(&step.plus_s(self.step_s));
        self.newest.copy_from_slice(&values);
        let waiting = self.rows.split_off(&Timestamp(step.0 + 1));
        let used = std::mem::replace(&mut self.rows, waiting).into_values().flatten().map(u64::from).sum();
        (values, used)
    }

    /// The observations of the step that ends at `step`, by catchment, then valid time; they go on waiting.
    #[must_use]
    pub fn observations_of(&self, step: Timestamp) -> Vec<Observation> {
        let mut of_step = self.observations.get(&step).cloned().unwrap_or_default();
        of_step.sort_by_key(|o| (o.catchment, o.valid_time));
        of_step
    }

    /// Shows `stays` the observations of the step that ends at `step`, by catchment, then valid time, to change them while they wait, and takes
    /// out those that it does not let stay.
    pub fn sift_observations(
        &mut self,
        step: Timestamp,
        mut stays: impl FnMut(&mut Observation) -> bool,
    ) -> Vec<Observation> {
        let Some(of_step) = self.observations.get_mut(&step) else { return Vec::new() };
        of_step.sort_by_key(|o| (o.catchment, o.valid_time));
        of_step.extract_if(.., |observation| !stays(observation)).collect()
    }

    /// Takes all observations up to `step` out, by catchment, then valid time.
    pub fn take_observations(&mut self, step: Timestamp) -> Vec<Observation> {
        let later = self.observations.split_off(&Timestamp(step.0 + 1));
        let mut due: Vec<_> = std::mem::replace(&mut self.observations, later).into_values().flatten().collect();
        due.sort_by_key(|o| (o.catchment, o.valid_time));
        due
    }

    /// The forcing `[F, C]` of a step as far as it is known. What is not covered: rain comes from `rain` (given the
    /// catchment and the newest known rain), the rest from the newest value.
    pub fn forcing(&self, step: Timestamp, rain: impl Fn(usize, f32) -> f32) -> Vec<f32> {
        let known = self.steps.get(&step);
        let mut values = Vec::with_capacity(self.newest.len());
        for (input, variable) in self.variables.iter().enumerate() {
            for catchment in 0..self.catchments {
                let at = input * self.catchments + catchment;
                let (value, covered_s) = known.map_or((0.0, 0.0), |f| (f.values[at], f.covered_s[at]));
                let open = 1.0 - (covered_s / self.step_s as f32).min(1.0);
                let fill = match variable {
                    // A gap is not rain; a forecast's scenario says otherwise by itself.
                    Variable::Precipitation if known.is_some() && open < 1.0 => 0.0,
                    Variable::Precipitation => rain(catchment, self.newest[at]),
                    _ => self.newest[at],
                };
                values.push(if open > 0.0 { value + fill * open } else { value });
            }
        }
        values
    }

    /// What is known of a variable (by its place) and catchment over the whole step that ends at `step`.
    #[must_use]
    pub fn known(&self, step: Timestamp, input: usize, catchment: usize) -> Option<f32> {
        let (forcing, at) = (self.steps.get(&step)?, input * self.catchments + catchment);
        (forcing.covered_s[at] >= self.step_s as f32 - 0.5).then(|| forcing.values[at])
    }

    /// Whether anything of a forcing waits.
    #[must_use]
    pub fn has_forcing(&self) -> bool {
        !self.steps.is_empty()
    }

    /// Forgets all forcing of a catchment.
    pub fn clear(&mut self, catchment: usize) {
        for forcing in self.steps.values_mut() {
            let StepForcing { values, covered_s } = forcing;
            for at in (catchment..values.len()).step_by(self.catchments) {
                (values[at], covered_s[at]) = (0.0, 0.0);
            }
        }
    }

    /// Forgets the steps up to `time`, and the rows that ended by then.
    pub fn forget(&mut self, time: Timestamp) {
        let behind = Timestamp(time.0 + 1);
        self.steps = self.steps.split_off(&behind);
        self.rows = self.rows.split_off(&behind);
    }

    /// How far rain is known, if any is: behind it even a perfect forecast of the weather knows nothing.
    #[must_use]
    pub const fn rain_until(&self) -> Option<Timestamp> {
        self.rain_until
    }

    /// Newest rain known of a catchment, mm a step.
    #[must_use]
    pub fn newest_rain(&self, catchment: usize) -> f32 {
        let input = self.variables.iter().position(|v| *v == Variable::Precipitation);
        input.map_or(0.0, |i| self.newest[i * self.catchments + catchment])
    }

    /// Rows of a catchment that wait: of forcing, and observations.
    #[must_use]
    pub fn pending_of(&self, catchment: usize) -> u64 {
        let forcings: u64 = self.rows.values().map(|of_catchments| u64::from(of_catchments[catchment])).sum();
        forcings + self.observations.values().flatten().filter(|o| o.catchment == catchment).count() as u64
    }

    /// The same of other catchments: each has what waits at its place `from` in this one, and nothing where it is new.
    #[must_use]
    pub fn select(&self, from: &[Option<usize>]) -> Self {
        let of_inputs = |values: &[f32]| -> Vec<f32> {
            let old = |at: usize| Some(at / from.len() * self.catchments + from[at % from.len()]?);
            (0..self.variables.len() * from.len()).map(|at| old(at).map_or(0.0, |old| values[old])).collect()
        };
        let forcing = |(time, f): (&Timestamp, &StepForcing)| {
            (*time, StepForcing { values: of_inputs(&f.values), covered_s: of_inputs(&f.covered_s) })
        };
        let rows = |(time, rows): (&Timestamp, &Vec<u32>)| {
            (*time, from.iter().map(|old| old.map_or(0, |old| rows[old])).collect())
        };
        let all_new = from.iter().all(Option::is_none);
        let observations = |(time, of_step): (&Timestamp, &Vec<Observation>)| {
            let moved = |o: &Observation| Some(Observation { catchment: place_in(from, o.catchment)?, ..*o });
            (*time, of_step.iter().filter_map(moved).collect())
        };
        Self {
            step_s: self.step_s,
            variables: self.variables.clone(),
            catchments: from.len(),
            newest: of_inputs(&self.newest),
            steps: self.steps.iter().map(forcing).collect(),
            awaited: from.iter().map(|old| old.map_or(all_new, |old| self.awaited[old])).collect(),
            rain_until: self.rain_until,
            rows: self.rows.iter().map(rows).collect(),
            observations: self.observations.iter().map(observations).collect(),
        }
    }

    /// Forcing rows that wait.
    #[must_use]
    pub fn pending_forcings(&self) -> u64 {
        self.rows.values().flatten().copied().map(u64::from).sum()
    }

    /// Observations that wait.
    #[must_use]
    pub fn pending_observations(&self) -> u64 {
        self.observations.values().map(|o| o.len() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600;
    const FAR: Timestamp = Timestamp(i64::MAX);

    fn add(
        align: &mut StepAlignment,
        variable: Variable,
        valid_time: Timestamp,
        period_s: i64,
        value: f64,
        reached: Timestamp,
        limit: Timestamp,
    ) -> Fate {
        align.add_forcing(
            PeriodForcing { variable, catchment: 0, valid_time, period_s, value },
            Waiting { reached, limit },
        )
    }
    fn rain_of(valid_time: Timestamp, value: f64) -> PeriodForcing {
        PeriodForcing { variable: RAIN, catchment: 0, valid_time, period_s: HOUR, value }
    }

    const RAIN: Variable = Variable::Precipitation;
    const PET: Variable = Variable::PotentialEvapotranspiration;

    fn hour(n: i64) -> Timestamp {
        Timestamp(0).plus_s(n * HOUR)
    }

    #[test]
    fn a_daily_depth_is_spread_over_its_hours_and_used_with_the_last() {
        let mut align = StepAlignment::new(HOUR, &[RAIN, PET], 1);
        assert_eq!(add(&mut align, PET, hour(24), 24 * HOUR, 2.4, hour(0), FAR), Fate::Pending);
        for h in 1..=24 {
            assert!(!align.is_complete(hour(h)), "rain is not known");
            assert_eq!(add(&mut align, RAIN, hour(h), HOUR, 1.0, hour(h - 1), FAR), Fate::Pending);
            assert!(align.is_complete(hour(h)));
            let (values, used) = align.take_step(hour(h));
            assert!((values[0] - 1.0).abs() < 1e-6 && (values[1] - 0.1).abs() < 1e-6);
            assert_eq!(used, if h == 24 { 2 } else { 1 }, "hour {h}");
        }
        assert_eq!(align.pending_forcings(), 0);
    }

    #[test]
    fn a_gap_is_filled_without_rain_and_with_the_last_evapotranspiration() {
        let mut align = StepAlignment::new(HOUR, &[RAIN, PET], 1);
        add(&mut align, RAIN, hour(1), HOUR, 5.0, hour(0), FAR);
        add(&mut align, PET, hour(1), HOUR, 0.2, hour(0), FAR);
        align.take_step(hour(1));
        assert_eq!(align.forcing(hour(2), |_, _| 0.0), [0.0, 0.2]);
        assert_eq!(align.forcing(hour(2), |_, newest| newest), [5.0, 0.2], "persistence is the caller's choice");
    }

    #[test]
    fn an_added_catchment_is_waited_for_from_its_first_complete_step_on() {
        let mut align = StepAlignment::new(HOUR, &[RAIN], 1);
        add(&mut align, RAIN, hour(1), HOUR, 5.0, hour(0), FAR);
        let mut two = align.select(&[None, Some(0)]);
        assert!(two.is_complete(hour(1)), "nothing of the first catchment has come yet");
        assert_eq!(two.take_step(hour(1)), (vec![0.0, 5.0], 1));
        add(&mut two, RAIN, hour(2), HOUR, 1.0, hour(1), FAR);
        assert!(!two.is_complete(hour(2)), "the other one is still waited for");
        let of_second = PeriodForcing { catchment: 1, ..rain_of(hour(2), 2.0) };
        two.add_forcing(of_second, Waiting { reached: hour(1), limit: FAR });
        assert_eq!(two.take_step(hour(2)), (vec![1.0, 2.0], 2));
        two.add_forcing(PeriodForcing { valid_time: hour(3), ..of_second }, Waiting { reached: hour(2), limit: FAR });
        assert!(!two.is_complete(hour(3)), "now both are waited for");
        assert_eq!((two.pending_of(0), two.pending_of(1)), (0, 1));
        let removed = two.select(&[Some(0)]);
        assert_eq!((removed.pending_forcings(), removed.forcing(hour(3), |_, newest| newest)), (0, vec![1.0]));
    }

    #[test]
    fn rain_twice_late_or_from_the_future_is_not_taken() {
        let mut align = StepAlignment::new(HOUR, &[RAIN], 1);
        assert_eq!(add(&mut align, RAIN, hour(2), HOUR, 5.0, hour(0), FAR), Fate::Pending);
        assert_eq!(add(&mut align, RAIN, hour(2), HOUR, 5.0, hour(0), FAR), Fate::Rejected(Reason::Duplicate));
        assert_eq!(add(&mut align, RAIN, hour(1), HOUR, 5.0, hour(1), FAR), Fate::Late);
        assert_eq!(add(&mut align, RAIN, hour(9), HOUR, 5.0, hour(1), hour(8)), Fate::Rejected(Reason::BadTime));
        assert_eq!(add(&mut align, PET, hour(3), HOUR, 5.0, hour(1), FAR), Fate::Rejected(Reason::UnknownStation));
    }

    proptest! {
        #[test]
        fn no_rain_is_lost_or_made_whatever_the_periods(cuts in proptest::collection::vec(1_i64..7_200, 1..40)) {
            let mut align = StepAlignment::new(HOUR, &[RAIN], 1);
            let (mut end, mut total) = (hour(0), 0.0);
            for period_s in cuts {
                end = end.plus_s(period_s);
                total += 1.5;
                prop_assert_eq!(add(&mut align, RAIN, end, period_s, 1.5, hour(0), FAR), Fate::Pending);
            }
            let (mut taken, mut used, mut h) = (0.0, 0, 1);
            while used < (total / 1.5_f64).round() as u64 {
                let (values, rows) = align.take_step(hour(h));
                taken += f64::from(values[0]);
                used += rows;
                h += 1;
            }
            prop_assert!((taken - total).abs() < 1e-3 * total.max(1.0), "{taken} of {total}");
            prop_assert_eq!(align.pending_forcings(), 0);
        }
    }
}
