//! Weather change: precipitation that a sandbox takes in place of what is known or forecast.

use std::collections::BTreeMap;

use nilometer_schemas::{Timestamp, Variable};

/// Other precipitation on one catchment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WeatherChange {
    /// place of the catchment
    pub(crate) catchment: usize,
    /// steps that end behind it are changed
    pub(crate) since: Timestamp,
    /// what their precipitation is multiplied by
    pub(crate) factor: f32,
    /// precipitation of steps, by their end, mm, in place of any other
    pub(crate) series_mm: BTreeMap<Timestamp, f32>,
}

/// What becomes of the precipitation of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Changed {
    /// it is multiplied
    By(f32),
    /// it is this, mm
    To(f32),
}

impl WeatherChange {
    /// What becomes of a variable of a catchment in the step that ends at `valid_time`; none where it stays.
    pub(crate) fn of(&self, variable: Variable, catchment: usize, valid_time: Timestamp) -> Option<Changed> {
        if variable != Variable::Precipitation || catchment != self.catchment || valid_time <= self.since {
            return None;
        }
        Some(self.series_mm.get(&valid_time).map_or(Changed::By(self.factor), |mm| Changed::To(*mm)))
    }

    /// Changes the forcing `[F, C]` of a step.
    pub(crate) fn apply(&self, variables: &[Variable], valid_time: Timestamp, forcing: &mut [f32]) {
        let catchments = forcing.len() / variables.len().max(1);
        for (input, variable) in variables.iter().enumerate() {
            let value = &mut forcing[input * catchments + self.catchment];
            match self.of(*variable, self.catchment, valid_time) {
                Some(Changed::By(factor)) => *value *= factor,
                Some(Changed::To(mm)) => *value = mm,
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precipitation_of_one_catchment_changes_behind_a_time_and_nothing_else() {
        let at = |hour: i64| Timestamp(0).plus_s(hour * 3_600);
        let change =
            WeatherChange { catchment: 1, since: at(2), factor: 1.5, series_mm: BTreeMap::from([(at(4), 7.0)]) };
        let variables = [Variable::Precipitation, Variable::PotentialEvapotranspiration];
        let changed = |hour: i64| {
            let mut forcing = [2.0, 2.0, 2.0, 2.0];
            change.apply(&variables, at(hour), &mut forcing);
            forcing
        };
        assert_eq!(changed(2), [2.0; 4], "not behind it yet");
        assert_eq!(changed(3), [2.0, 3.0, 2.0, 2.0]);
        assert_eq!(changed(4), [2.0, 7.0, 2.0, 2.0]);
    }
}
