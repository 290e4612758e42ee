//! Series: one number by time, which readings and the standards are made of.

use arrow::array::Array as _;
use nilometer_schemas::{
    Contract, Forecasts, Observations, QUANTILE_LEVELS, TAIL_LEVELS, Timestamp, Variable, quantile_column,
};

use crate::{
    Site,
    api::rows::{self, Look},
    problem::Problem,
};

/// Flag of a value that no check has looked at.
const NOT_EVALUATED: u8 = 2;

/// One number by time.
pub(crate) struct Series {
    /// what it is: `q50`, or none of readings
    pub(crate) level: Option<String>,
    /// of a forecast
    pub(crate) issue_time: Option<Timestamp>,
    pub(crate) times: Vec<Timestamp>,
    /// m³ s⁻¹; null where a reading is missing
    pub(crate) values: Vec<Option<f64>>,
    /// QARTOD flags
    pub(crate) flags: Vec<u8>,
}

/// Every level that a forecast has, in order.
pub(crate) fn levels() -> impl Iterator<Item = String> {
    let [first, second, third, fourth] = TAIL_LEVELS;
    [first, second].into_iter().chain(QUANTILE_LEVELS).chain([third, fourth]).map(quantile_column)
}

/// A forecast as one series a level, of those that are wanted and whose times lie in a window.
pub(crate) fn of_forecast(
    forecasts: &Forecasts,
    wanted: impl Fn(&str) -> bool,
    window: (Timestamp, Timestamp),
) -> Vec<Series> {
    let rows: Vec<usize> = (0..forecasts.len())
        .filter(|row| (window.0..=window.1).contains(&Timestamp(forecasts.valid_time().value(*row))))
        .collect();
    let of_level = |level: String| {
        let column = forecasts.batch().column_by_name(&level)?.as_any().downcast_ref::<arrow::array::Float64Array>()?;
        Some(Series {
            level: Some(level),
            issue_time: forecasts.issue_time().iter().flatten().next().map(Timestamp),
            times: rows.iter().map(|row| Timestamp(forecasts.valid_time().value(*row))).collect(),
            values: rows.iter().map(|row| column.is_valid(*row).then(|| column.value(*row))).collect(),
            flags: vec![NOT_EVALUATED; rows.len()],
        })
    };
    levels().filter(|level| wanted(level)).filter_map(of_level).collect()
}

/// What the gauge of a catchment read, the newest of each time.
pub(crate) async fn of_readings(
    site: &Site,
    catchment: &str,
    window: (Timestamp, Timestamp),
    how: Look,
) -> Result<Series, Problem> {
    let found = rows::between(site, Contract::Observation, catchment, window, how).await?;
    let found = Observations::try_from(found).map_err(|error| Problem::internal(&error))?;
    let mut series = Series { level: None, issue_time: None, times: Vec::new(), values: Vec::new(), flags: Vec::new() };
    for row in (0..found.len()).filter(|row| found.variable().value(*row) == Variable::Discharge.name()) {
        let time = Timestamp(found.valid_time().value(row));
        // A correction comes behind what it corrects.
        if series.times.last() == Some(&time) {
            series.values.pop();
            series.flags.pop();
        } else {
            series.times.push(time);
        }
        series.values.push(found.value().is_valid(row).then(|| found.value().value(row)));
        series.flags.push(found.flag().value(row));
    }
    Ok(series)
}
