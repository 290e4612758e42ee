//! Times, the log and what runs the model.

use std::collections::BTreeSet;

use crate::{
    DroughtOptions, ForecastOptions, LogOptions, ModelOptions, OperationsOptions, Problem, ServeOptions, TimeOptions,
};

/// More would be more threads and connections than a machine takes.
const MOST_PARTITIONS: u32 = 256;

const WEEK_S: i64 = 7 * 86_400;
/// A season is that of values half a year old at least.
const MOST_WEEKS: u32 = 26;

pub(crate) fn time(
    time: &TimeOptions,
    forecast: Option<&ForecastOptions>,
    drought: Option<&DroughtOptions>,
    problems: &mut Vec<Problem>,
) {
    let mut say = |path: &str, message: String| problems.push(Problem { path: path.to_owned(), message });
    let step = time.step.seconds();
    if step <= 0 {
        return say("time.step", format!("is {}, accepted is above 0", time.step));
    }
    if time.from >= time.to {
        say("time.from", format!("is {}, accepted is before time.to = {}", time.from, time.to));
    }
    let tick = time.tick_s();
    if tick <= 0 || step % tick != 0 {
        say("time.tick", format!("is {tick} s, accepted is a divisor of time.step = {}", time.step));
        return;
    }
    if let Some(drought) = drought.filter(|drought| drought.outlook_weeks > 0) {
        if drought.outlook_weeks > MOST_WEEKS {
            say("drought.outlook_weeks", format!("is {}, accepted is 0 to {MOST_WEEKS}", drought.outlook_weeks));
        }
        let every = drought.outlook_every;
        if every.seconds() < WEEK_S || every.seconds() % WEEK_S != 0 {
            say("drought.outlook_every", format!("is {every}, accepted are whole weeks"));
        }
        if WEEK_S % step != 0 {
            let message = "is no part of a week; outlooks need one, or accepted is drought.outlook_weeks = 0";
            say("time.step", format!("of {} {message}", time.step));
        }
    }
    let Some(forecast) = forecast else { return };
    if !(0.0..=1.0).contains(&forecast.calibration_rate) {
        say("forecast.calibration_rate", format!("is {}, accepted is 0 to 1", forecast.calibration_rate));
    }
    if !(1..=100).contains(&forecast.years) {
        say("forecast.years", format!("is {}, accepted is 1 to 100", forecast.years));
    }
    let steps = u32::try_from(forecast.horizon.seconds() / step).unwrap_or(u32::MAX);
    if forecast.leads.iter().any(|lead| *lead == 0 || *lead > steps) {
        say(
            "forecast.leads",
            format!("is {:?}, accepted are steps from 1 to forecast.horizon = {steps}", forecast.leads),
        );
    }
    let distinct: BTreeSet<u32> = forecast.leads.iter().copied().collect();
    if distinct.len() < forecast.leads.len() {
        say("forecast.leads", format!("is {:?}, which has a lead time twice; accepted is each once", forecast.leads));
    }
    // What is issued at the last tick looks as far as the horizon.
    let end = time.to.plus_s(forecast.horizon.seconds());
    if let Some(from) = forecast.from.filter(|from| *from >= end) {
        say("forecast.from", format!("is {from}, behind which nothing is forecast; accepted is before {end}"));
    }
    if let Some(until) = forecast.until.filter(|until| *until <= forecast.from.unwrap_or(time.from).max(time.from)) {
        let from = forecast.from.unwrap_or(time.from).max(time.from);
        say("forecast.until", format!("is {until}, before which nothing is forecast; accepted is after {from}"));
    }
    for (path, span, smallest, unit) in [
        ("forecast.horizon", forecast.horizon, step, step),
        ("forecast.every", forecast.every, tick, tick),
        ("forecast.state_every", forecast.state_every, step, step),
        ("forecast.wait", forecast.wait, 0, step),
        ("forecast.lateness", forecast.lateness, 0, 1),
    ] {
        if span.seconds() < smallest || span.seconds() % unit != 0 {
            say(path, format!("is {span}, accepted is a multiple of {unit} s and at least {smallest} s"));
        }
    }
}

pub(crate) fn operations(operations: &OperationsOptions, problems: &mut Vec<Problem>) {
    let Some(exercise) = operations.exercise else { return };
    // Beyond it, a tick of an hour is due more often than a thousand times a second.
    if !(exercise.speed > 0.0 && exercise.speed <= 3.6e6) {
        let message = format!("is {}; accepted is more than 0 and at most 3600000", exercise.speed);
        problems.push(Problem { path: "operations.exercise.speed".to_owned(), message });
    }
}

/// How long an SQL query may ever take.
const LONGEST_QUERY_S: i64 = 3_600;

pub(crate) fn serve(serve: &ServeOptions, problems: &mut Vec<Problem>) {
    let mut say = |key: &str, message: String| problems.push(Problem { path: format!("serve.{key}"), message });
    match (&serve.certificate, &serve.key) {
        (Some(_), None) => {
            say("key", "is missing beside the certificate; accepted is the file of its private key".to_owned())
        }
        (None, Some(_)) => {
            say("certificate", "is missing beside the key; accepted is the file of certificates".to_owned())
        }
        _ => {}
    }
    for (key, file) in [("certificate", &serve.certificate), ("key", &serve.key)] {
        if let Some(file) = file.as_ref().filter(|file| !file.is_file()) {
            say(key, format!("is {}, which is no file; accepted is one in PEM", file.display()));
        }
    }
    if serve.memory.seconds() <= 0 {
        say("memory", format!("is {}; accepted is above 0s", serve.memory));
    }
    if !(16..=1 << 20).contains(&serve.memory_mib) {
        say("memory_mib", format!("is {}; accepted is 16 to {}", serve.memory_mib, 1 << 20));
    }
    if !(1..=1 << 20).contains(&serve.sql_memory_mib) {
        say("sql_memory_mib", format!("is {}; accepted is 1 to {}", serve.sql_memory_mib, 1 << 20));
    }
    if !(1..=LONGEST_QUERY_S).contains(&serve.sql_time.seconds()) {
        say("sql_time", format!("is {}; accepted is 1s to 1h", serve.sql_time));
    }
    if serve.sql_rows == 0 {
        say("sql_rows", "is 0; accepted is 1 or more".to_owned());
    }
    for (key, address) in [("postgres", serve.postgres), ("flight", serve.flight)] {
        if serve.address.is_none() && address.is_some() {
            say(key, "is there without serve.address, which has the service; accepted is both, or neither".to_owned());
        }
    }
}

pub(crate) fn log(log: &LogOptions, problems: &mut Vec<Problem>) {
    let mut say = |key: &str, message: String| problems.push(Problem { path: format!("log.{key}"), message });
    if !(1..=MOST_PARTITIONS).contains(&log.partitions) {
        say("partitions", format!("is {}; accepted is 1 to {MOST_PARTITIONS}", log.partitions));
    }
    if log.store.is_empty() {
        say("store", "is empty; accepted is a folder, file:///folder or s3://bucket/prefix".to_owned());
    }
    if log.snapshot_every == 0 {
        say("snapshot_every", "is 0; accepted is 1 tick or more".to_owned());
    }
    if log.retention.seconds() <= 0 {
        say("retention", format!("is {}; accepted is above 0s", log.retention));
    }
    if let Some(after) = log.compact_after.filter(|after| after.seconds() < 0) {
        say("compact_after", format!("is {after}; accepted is 0s or more"));
    }
    for (key, message) in log.kafka.iter().flat_map(|kafka| kafka.problems()) {
        say(&format!("kafka.{key}"), message);
    }
}

pub(crate) fn model(model: &ModelOptions, problems: &mut Vec<Problem>) {
    if model.providers.is_empty() {
        let message = "is empty; accepted is cpu or cuda".to_owned();
        problems.push(Problem { path: "model.providers".to_owned(), message });
    }
}
