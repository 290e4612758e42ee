//! Places and thresholds of stations.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;

use crate::{Catchment, Problem, Threshold, ThresholdKind};

/// What tables write for none: a level of the kind is no level.
const LIKE_MISSING: f64 = -900.0;

/// Every catchment's place and thresholds can be used.
pub(crate) fn places_and_thresholds(catchments: &[Catchment], problems: &mut Vec<Problem>) {
    for (index, catchment) in catchments.iter().enumerate() {
        let mut say = |key: &str, message: String| {
            let message = format!("{message} (station {})", catchment.station());
            problems.push(Problem { path: format!("catchment[{index}].{key}"), message });
        };
        for (key, value, limit) in [("latitude", catchment.latitude, 90.0), ("longitude", catchment.longitude, 180.0)] {
            if let Some(value) = value.filter(|value| value.is_nan() || value.abs() > limit) {
                say(key, format!("is {value}; accepted is −{limit} to {limit}"));
            }
        }
        if catchment.latitude.is_some() != catchment.longitude.is_some() {
            say("latitude", "and longitude belong together; accepted are both or none".to_owned());
        }
        if let Some(zone) = catchment.timezone.as_deref().filter(|zone| TimeZone::get(zone).is_err()) {
            say("timezone", format!("is {zone:?}; accepted is a name of the IANA database, as Europe/Paris"));
        }
        thresholds(&catchment.thresholds, &mut |message| say("thresholds", message));
    }
}

/// A river can fall dry, and is never below that.
fn is_flow(threshold: &Threshold) -> bool {
    threshold.value > 0.0 || threshold.below && threshold.value == 0.0
}

fn thresholds(thresholds: &[Threshold], say: &mut dyn FnMut(String)) {
    let mut seen = BTreeSet::new();
    let mut sound = Vec::new();
    for threshold in thresholds {
        let id = &threshold.id;
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        if id.is_empty() || !id.bytes().all(fits) {
            say(format!("has the id {id:?}; accepted are a to z, digits, - and _"));
        }
        if !seen.insert(id) {
            say(format!("has {id} twice; accepted is each id once"));
        }
        if let Err(error) = threshold.conversion() {
            say(format!("has {id}, whose {error}"));
        } else if !threshold.value.is_finite() || threshold.value <= LIKE_MISSING {
            say(format!(
                "has {}, which stands for none; accepted are levels, and stations.missing names what stands for none",
                threshold.shown()
            ));
        } else if threshold.kind == ThresholdKind::Flow && !is_flow(threshold) {
            let accepted = if threshold.below { "of 0 or more" } else { "above 0" };
            say(format!("has {}; accepted are flows {accepted}", threshold.shown()));
        } else {
            sound.push(threshold);
        }
    }
    // A level that follows in the list is reached later: higher, or lower for those that are reached from above. Two may be equal.
    for (at, later) in sound.iter().enumerate() {
        let alike = |earlier: &&&Threshold| earlier.kind == later.kind && earlier.below == later.below;
        let Some(earlier) = sound[..at].iter().rev().find(alike) else { continue };
        let rises = later.canonical() >= earlier.canonical();
        let falls = later.canonical() <= earlier.canonical();
        if !(if later.below { falls } else { rises }) {
            let order = if later.below { "falls" } else { "rises" };
            say(format!(
                "is out of order: {}, then {}; accepted are levels in the order in which the river {order} past them",
                earlier.shown(),
                later.shown()
            ));
        }
    }
}
