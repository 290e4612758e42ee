//! Part: which times, and which station, a query is about.

use nilometer_definitions::Catchment;
use nilometer_schemas::Timestamp;

use crate::{Site, api::rows, problem::Problem};

/// How far from a station a position may lie, km.
const REACH_KM: f64 = 25.0;

/// An instant, or an interval whose ends may be open.
pub(super) fn interval(text: &str) -> Result<(Timestamp, Timestamp), Problem> {
    let Some((from, to)) = text.split_once('/') else {
        let at = rows::instant("datetime", text)?;
        return Ok((at, at));
    };
    let end =
        |text: &str, open| if text == ".." || text.is_empty() { Ok(open) } else { rows::instant("datetime", text) };
    let (from, to) = (end(from, Timestamp::MIN)?, end(to, Timestamp(i64::MAX))?);
    if from > to {
        return Err(Problem::bad_request(format!("datetime is {text}; accepted is begin/end, in this order")));
    }
    Ok((from, to))
}

/// The station nearest to a point.
pub(super) fn nearest<'a>(site: &'a Site, coords: Option<&str>) -> Result<&'a str, Problem> {
    let refused =
        || Problem::bad_request("coords is missing or no point; accepted is POINT(longitude latitude) in degrees");
    let inside =
        coords.map(str::trim).and_then(|text| text.strip_prefix("POINT")?.trim().strip_prefix('(')?.strip_suffix(')'));
    let numbers: Vec<f64> = inside
        .ok_or_else(refused)?
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(|_| refused())?;
    let [x, y] = <[f64; 2]>::try_from(numbers).map_err(|_| refused())?;
    if !(-180.0..=180.0).contains(&x) || !(-90.0..=90.0).contains(&y) {
        return Err(refused());
    }
    let distance_km = |catchment: &Catchment| {
        let (east, north) = catchment.longitude.zip(catchment.latitude)?;
        let across = (east - x) * y.to_radians().cos();
        Some(111.2 * across.hypot(north - y))
    };
    let near = site.pipeline().catchments.iter().filter_map(|catchment| Some((distance_km(catchment)?, catchment)));
    match near.min_by(|(a, _), (b, _)| a.total_cmp(b)) {
        Some((distance_km, catchment)) if distance_km <= REACH_KM => Ok(&catchment.id),
        _ => Err(Problem::not_found(format!("no station lies within {REACH_KM} km of {x} {y}; locations has all"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use super::*;

    #[test]
    fn intervals_may_be_open_at_either_end() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(interval("2014-11-04").unwrap(), (at("2014-11-04"), at("2014-11-04")));
        assert_eq!(interval("2014-11-04/..").unwrap(), (at("2014-11-04"), Timestamp(i64::MAX)));
        assert_eq!(interval("/2014-11-04").unwrap(), (Timestamp::MIN, at("2014-11-04")));
        assert!(interval("2014-11-05/2014-11-04").is_err() && interval("x/..").is_err());
    }
}
