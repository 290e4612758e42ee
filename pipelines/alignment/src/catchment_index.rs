//! The catchments of a pipeline: which of them a row of the log is about, and how much it counts.

use std::collections::HashMap;

use arrow::array::{Array, RecordBatch};
use nilometer_assimilation::{AssimilationError, DischargeOperator, ErrorFactors, RATED, Ratings, StageOperator};
use nilometer_definitions::{Catchment, Pipeline};
use nilometer_schemas::{Flag, Forcings, Observations, Reason, SchemaError, Timestamp, Variable};

use crate::{ForcingContent, Observation, ObservationContent, PeriodForcing, Subject};

/// The `flag_source` of a value that was taken back.
const WITHDRAWN: &str = "withdrawn";

/// What a definition says of its catchments, by their place on the catchment axis.
#[derive(Debug)]
pub struct CatchmentIndex {
    catchments: Vec<String>,
    stations: Vec<String>,
    /// hash maps, never iterated: their order would reach the output
    place_of_catchment: HashMap<String, usize>,
    places_of_station: HashMap<String, Vec<usize>>,
    /// of each catchment whose gauge is rated
    ratings: Vec<Option<Rated>>,
    error_factors: ErrorFactors,
    /// variables that are assimilated
    assimilated: Vec<Variable>,
}

/// A gauge that reports stage.
#[derive(Debug)]
struct Rated {
    ratings: Ratings,
    operator: StageOperator,
}

impl CatchmentIndex {
    /// Of a checked definition.
    ///
    /// # Errors
    /// [`AssimilationError::Value`] where an error parameter is outside its range, which the definition's checks refuse.
    pub fn new(pipeline: &Pipeline) -> Result<Self, AssimilationError> {
        let options = &pipeline.assimilation;
        let operators = discharge_operators(pipeline)?;
        let rated = |(catchment, operator): (&Catchment, &DischargeOperator)| {
            let Some(ratings) = pipeline.ratings.get(catchment.station()) else { return Ok(None) };
            let operator = StageOperator::new(*operator, options.stage_error_m)?;
            Ok(Some(Rated { ratings: ratings.clone(), operator }))
        };
        let mut places_of_station: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, catchment) in pipeline.catchments.iter().enumerate() {
            places_of_station.entry(catchment.station().to_owned()).or_default().push(place);
        }
        let given = options.store_sections().into_iter().filter(|section| section.given.is_some());
        let stores = given.map(|section| section.variable);
        Ok(Self {
            catchments: pipeline.catchments.iter().map(|c| c.id.clone()).collect(),
            stations: pipeline.catchments.iter().map(|c| c.station().to_owned()).collect(),
            place_of_catchment: pipeline.catchments.iter().enumerate().map(|(i, c)| (c.id.clone(), i)).collect(),
            places_of_station,
            ratings: pipeline.catchments.iter().zip(&operators).map(rated).collect::<Result<_, AssimilationError>>()?,
            error_factors: ErrorFactors::new(options.error_factors)?,
            assimilated: std::iter::once(Variable::Discharge).chain(stores).collect(),
        })
    }

    /// How many catchments there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.catchments.len()
    }

    /// Whether there are none, which no definition has.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.catchments.is_empty()
    }

    /// Identifier of a catchment.
    #[must_use]
    pub fn catchment(&self, place: usize) -> &str {
        &self.catchments[place]
    }

    /// Identifiers of the catchments, in the order of the catchment axis.
    #[must_use]
    pub fn catchments(&self) -> &[String] {
        &self.catchments
    }

    /// Station that gauges a catchment.
    #[must_use]
    pub fn station(&self, place: usize) -> &str {
        &self.stations[place]
    }

    /// Where a catchment lies on the catchment axis.
    #[must_use]
    pub fn place_of_catchment(&self, catchment: &str) -> Option<usize> {
        self.place_of_catchment.get(catchment).copied()
    }

    /// The catchments that a station gauges.
    #[must_use]
    pub fn places_of_station(&self, station: &str) -> &[usize] {
        self.places_of_station.get(station).map_or(&[], Vec::as_slice)
    }

    /// What each row of a batch of `forcing.v1` says.
    ///
    /// # Errors
    /// [`SchemaError`] where the batch breaks its contract.
    pub fn forcings(&self, batch: &RecordBatch) -> Result<Vec<ForcingContent>, SchemaError> {
        let rows = Forcings::try_from(batch.clone())?;
        let (catchment, variable, valid_time) = (rows.catchment(), rows.variable(), rows.valid_time());
        let (period_s, value, flag) = (rows.period_s(), rows.value(), rows.flag());
        let (issue_time, member) = (rows.issue_time(), rows.member());
        let content = |row: usize| {
            if Flag::try_from(flag.value(row))? == Flag::Missing {
                return Ok(ForcingContent::Missing);
            }
            let variable: Variable = variable.value(row).parse()?;
            let Some(catchment) = self.place_of_catchment(catchment.value(row)) else {
                return Ok(ForcingContent::Rejected(Reason::UnknownStation));
            };
            let forcing = PeriodForcing {
                variable,
                catchment,
                valid_time: Timestamp(valid_time.value(row)),
                period_s: period_s.value(row),
                value: value.value(row),
            };
            if issue_time.is_null(row) {
                return Ok(ForcingContent::Observed(forcing));
            }
            let issue_time = Timestamp(issue_time.value(row));
            Ok(ForcingContent::Forecast {
                forcing,
                issue_time,
                member: member.is_valid(row).then(|| member.value(row)),
            })
        };
        (0..rows.len()).map(content).collect()
    }

    /// What each row of a batch of `observation.v1` says. Of several catchments with one station the first is observed.
    ///
    /// # Errors
    /// [`SchemaError`] where the batch breaks its contract.
    pub fn observations(&self, batch: &RecordBatch) -> Result<Vec<ObservationContent>, SchemaError> {
        let rows = Observations::try_from(batch.clone())?;
        let (station, variable, valid_time) = (rows.station(), rows.variable(), rows.valid_time());
        let (value, flag, flag_source, qualifier) = (rows.value(), rows.flag(), rows.flag_source(), rows.qualifier());
        let content = |row: usize| {
            let flag = Flag::try_from(flag.value(row))?;
            let subject = self.subject(station.value(row), variable.value(row), Timestamp(valid_time.value(row)));
            if flag == Flag::Missing {
                let withdrawn = subject.filter(|_| flag_source.value(row) == WITHDRAWN);
                return Ok(withdrawn.map_or(ObservationContent::Missing, ObservationContent::Withdrawal));
            }
            let Some(subject) = subject else {
                return Ok(ObservationContent::Rejected(Reason::UnknownStation));
            };
            let qualifier = qualifier.is_valid(row).then(|| qualifier.value(row));
            Ok(match self.error_factor(&subject, value.value(row), flag, qualifier) {
                None => ObservationContent::Rejected(Reason::GrossRange),
                Some(error_factor) => ObservationContent::Value(Observation {
                    catchment: subject.catchment,
                    variable: subject.variable,
                    valid_time: subject.valid_time,
                    value: value.value(row),
                    flag,
                    error_factor,
                }),
            })
        };
        (0..rows.len()).map(content).collect()
    }

    /// What a row is about, where that is something that this pipeline observes. Snow and soil are of a catchment, discharge is of a station.
    fn subject(&self, station: &str, variable: &str, valid_time: Timestamp) -> Option<Subject> {
        let variable = variable.parse().ok().filter(|variable| self.assimilated.contains(variable))?;
        let of_catchment = self.place_of_catchment(station).filter(|_| variable != Variable::Discharge);
        let catchment = of_catchment.or_else(|| self.places_of_station(station).first().copied())?;
        Some(Subject { catchment, variable, valid_time })
    }

    /// How many times the standard error of a value is that of one without a doubt; none where it is no value.
    fn error_factor(&self, subject: &Subject, value: f64, flag: Flag, qualifier: Option<&str>) -> Option<f64> {
        let factor = self.error_factors.factor(flag, qualifier, false).filter(|_| value >= 0.0)?;
        let rated = qualifier.is_some_and(|words| words.contains(RATED));
        Some(factor * if rated { self.rating_factor(subject, value) } else { 1.0 })
    }

    /// How many times the standard error of a discharge that was measured is that of one that a rating curve gave.
    fn rating_factor(&self, subject: &Subject, discharge_m3_s: f64) -> f64 {
        let Some(Rated { ratings, operator }) = &self.ratings[subject.catchment] else { return 1.0 };
        let Some(curve) = ratings.at(subject.valid_time) else { return 1.0 };
        let rated = operator.observe(curve, curve.stage_m(discharge_m3_s));
        let measured = operator.discharge().observe(discharge_m3_s);
        let variances = rated.ok().zip(measured.ok());
        variances.map_or(1.0, |(rated, measured)| (rated.log_discharge.error_variance / measured.error_variance).sqrt())
    }
}

/// What compares discharges in the logarithm, of each catchment of a checked definition.
///
/// # Errors
/// [`AssimilationError::Value`] where an error parameter is outside its range, which the definition's checks refuse.
pub fn discharge_operators(pipeline: &Pipeline) -> Result<Vec<DischargeOperator>, AssimilationError> {
    let (options, step_s) = (&pipeline.assimilation, pipeline.time.step.seconds());
    let operator = |catchment: &Catchment| {
        let m3_s_per_mm = catchment.m3_s_per_mm(step_s);
        DischargeOperator::new(
            options.discharge_epsilon_mm * m3_s_per_mm,
            options.discharge_relative_error,
            options.discharge_absolute_error_mm * m3_s_per_mm,
        )
    };
    pipeline.catchments.iter().map(operator).collect()
}
