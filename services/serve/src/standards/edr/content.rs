//! Content: what a collection says of one station.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::Float32Type;
use nilometer_schemas::{Contract, Droughts, Events, Forecasts, Timestamp};

use super::collection::{Collection, MEMBER, drought_parameter, event_parameter};
use crate::{
    Site,
    api::{
        forecast,
        rows::{self, Look},
    },
    problem::Problem,
    series::{of_forecast, of_readings},
    standards::covjson::{Coverage, Parameter},
};

const DAY_S: i64 = 86_400;
type Window = (Timestamp, Timestamp);

/// Values of parameters by time.
type Values = BTreeMap<Timestamp, BTreeMap<String, f64>>;

/// What a collection says of a station: of the wanted parameters, at the times of a window where one is named. Several coverages are members.
pub(super) async fn of_station(
    site: &Site,
    collection: Collection,
    issue: Option<Timestamp>,
    id: &str,
    wanted: Option<&BTreeSet<String>>,
    window: Option<Window>,
) -> Result<Vec<Coverage>, Problem> {
    let newest = site.time().unwrap_or_default();
    let known = |back_s: i64| -> Result<Window, Problem> {
        let (from, to) = window.unwrap_or((newest.plus_s(-back_s), newest));
        let (from, to) = (from.max(site.pipeline().time.from.min(to)), to.min(newest.plus_s(366 * DAY_S)));
        rows::ordered(from, to)?;
        Ok((from, to))
    };
    match collection {
        Collection::Forecast => {
            let forecasts: Forecasts = match issue {
                Some(issue) => forecast::issued(site, id, issue).await?,
                None => {
                    forecast::newest(site, id).ok_or_else(|| Problem::not_found(format!("no forecast of {id} yet")))?
                }
            };
            of_issue(id, &forecasts, wanted, window.unwrap_or((Timestamp::MIN, Timestamp(i64::MAX))))
        }
        Collection::Observation => {
            let series = of_readings(site, id, known(2 * DAY_S)?, Look::Everywhere).await?;
            let ranges = vec![(Parameter::of_level(None), series.values)];
            Ok(vec![Coverage { id: format!("observation/{id}"), times: series.times, ranges }])
        }
        Collection::Event => {
            let rows = rows::between(site, Contract::Event, id, known(2 * DAY_S)?, Look::Everywhere).await?;
            let rows = Events::try_from(rows).map_err(|error| Problem::internal(&error))?;
            let mut values = Values::new();
            for row in 0..rows.len() {
                let at = values.entry(Timestamp(rows.issue_time().value(row))).or_default();
                at.insert(event_parameter(rows.threshold().value(row)), rows.probability().value(row));
            }
            Ok(vec![by_time(format!("event/{id}"), collection.parameters(site), wanted, &values)])
        }
        Collection::Drought => {
            let rows = rows::between(site, Contract::Drought, id, known(60 * DAY_S)?, Look::Everywhere).await?;
            let rows = Droughts::try_from(rows).map_err(|error| Problem::internal(&error))?;
            let mut values = Values::new();
            for row in (0..rows.len()).filter(|row| rows.percentile().is_valid(*row)) {
                let at = values.entry(Timestamp(rows.valid_time().value(row))).or_default();
                at.insert(drought_parameter(rows.index().value(row)), rows.percentile().value(row));
            }
            Ok(vec![by_time(format!("drought/{id}"), collection.parameters(site), wanted, &values)])
        }
    }
}

/// A forecast: its levels, or its members where they are asked for by name.
fn of_issue(
    id: &str,
    forecasts: &Forecasts,
    wanted: Option<&BTreeSet<String>>,
    window: Window,
) -> Result<Vec<Coverage>, Problem> {
    let name = format!("forecast/{id}/{}", Timestamp(forecasts.issue_time().value(0)));
    if wanted.is_some_and(|wanted| wanted.contains(MEMBER)) {
        return members(&name, forecasts, window);
    }
    let is_wanted = |level: &str| wanted.is_none_or(|wanted| wanted.contains(&Parameter::of_level(Some(level)).name));
    let series = of_forecast(forecasts, is_wanted, window);
    let times = series.first().map_or_else(Vec::new, |of| of.times.clone());
    let ranges = series.into_iter().map(|of| (Parameter::of_level(of.level.as_deref()), of.values)).collect();
    Ok(vec![Coverage { id: name, times, ranges }])
}

fn members(name: &str, forecasts: &Forecasts, (from, to): Window) -> Result<Vec<Coverage>, Problem> {
    let within = |row: &usize| (from..=to).contains(&Timestamp(forecasts.valid_time().value(*row)));
    let rows: Vec<usize> = (0..forecasts.len()).filter(within).collect();
    let carried = rows.iter().all(|row| forecasts.member_values().is_valid(*row));
    if !carried || rows.is_empty() {
        return Err(Problem::not_found(
            "the forecast carries no members; accepted is a definition with forecast.member_values = true",
        ));
    }
    let values: Vec<_> = rows.iter().map(|row| forecasts.member_values().value(*row)).collect();
    let count = values.iter().map(arrow::array::Array::len).min().unwrap_or(0);
    let times: Vec<Timestamp> = rows.iter().map(|row| Timestamp(forecasts.valid_time().value(*row))).collect();
    let member = |member: usize| {
        let value = |of: &arrow::array::ArrayRef| Some(f64::from(of.as_primitive::<Float32Type>().value(member)));
        Coverage {
            id: format!("{name}/{member}"),
            times: times.clone(),
            ranges: vec![(super::collection::member(), values.iter().map(value).collect())],
        }
    };
    Ok((0..count).map(member).collect())
}

/// Values by time as one coverage; what has none at a time is null there.
fn by_time(id: String, parameters: Vec<Parameter>, wanted: Option<&BTreeSet<String>>, values: &Values) -> Coverage {
    let of = |parameter: Parameter| {
        let of_time = |at: &BTreeMap<String, f64>| at.get(&parameter.name).copied();
        let numbers: Vec<Option<f64>> = values.values().map(of_time).collect();
        (parameter, numbers)
    };
    let is_wanted = |parameter: &Parameter| wanted.is_none_or(|wanted| wanted.contains(&parameter.name));
    let ranges = parameters
        .into_iter()
        .filter(is_wanted)
        .map(of)
        .filter(|(_, numbers)| wanted.is_some() || numbers.iter().any(Option::is_some));
    Coverage { id, times: values.keys().copied().collect(), ranges: ranges.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_value_at_a_time_is_null_and_what_has_none_at_all_is_left_out_unless_it_is_asked_for() {
        let parameter = |name: &str| Parameter {
            name: name.to_owned(),
            said: String::new(),
            unit: ("percent", "%"),
            observed: ("", "streamflow"),
        };
        let all = || ["streamflow", "snow", "root_zone"].map(parameter).to_vec();
        let at = |values: &[(&str, f64)]| values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        let values = Values::from([
            (Timestamp(1), at(&[("streamflow", 20.0)])),
            (Timestamp(2), at(&[("streamflow", 10.0), ("snow", 3.0)])),
        ]);
        let of = |wanted: Option<&BTreeSet<String>>| {
            let coverage = by_time("drought/a".to_owned(), all(), wanted, &values);
            assert_eq!(coverage.times, [Timestamp(1), Timestamp(2)]);
            coverage.ranges.into_iter().map(|(parameter, values)| (parameter.name, values)).collect::<Vec<_>>()
        };
        let expected = [("streamflow", vec![Some(20.0), Some(10.0)]), ("snow", vec![None, Some(3.0)])];
        assert_eq!(of(None), expected.map(|(name, values)| (name.to_owned(), values)));
        let wanted = BTreeSet::from(["root_zone".to_owned()]);
        assert_eq!(of(Some(&wanted)), [("root_zone".to_owned(), vec![None, None])]);
    }
}
