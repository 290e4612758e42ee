//! A weather forecast's members drive the forecast's, from when it has come until its end; it is not known before.

use std::{fmt::Write as _, fs, path::Path};

use crate::support::{archived, cance, data_beside, definition, nilometer, refused, succeed, window};
use nilometer_needs::needs;
use nilometer_schemas::{DeadLetters, Forecasts, Timestamp};

const HOUR: i64 = 3_600;
const ISSUED: &str = "2014-09-20T00:00:00Z";

/// Two members in a table: one stays dry, of the other it rains 8 mm an hour on all three catchments from 08 to 14 h. Some rows are wrong.
fn product(data: &Path) {
    let issued: Timestamp = ISSUED.parse().unwrap();
    let mut text = "gauge,valid,issued,member,mm\n".to_owned();
    for (member, rain) in [(1, 0.0), (2, 8.0)] {
        for hour in 1..=30 {
            for gauge in ["V3524010", "V3515010", "V3517010"] {
                let mm = if (9..=14).contains(&hour) { rain } else { 0.0 };
                writeln!(text, "{gauge},{},{ISSUED},{member},{mm}", issued.plus_s(hour * HOUR)).unwrap();
            }
        }
    }
    writeln!(text, "V3524010,{},{ISSUED},two,1.0", issued.plus_s(HOUR)).unwrap();
    writeln!(text, "V3524010,{},{ISSUED},2,-4.0", issued.plus_s(40 * HOUR)).unwrap();
    // The one before says nothing of the hours that are looked at, and nothing at all once this one has come.
    writeln!(text, "V3524010,{},{},2,50.0", issued.plus_s(20 * HOUR), issued.plus_s(-6 * HOUR)).unwrap();
    fs::write(data.join("nwp.csv"), text).unwrap();
}

/// Mean and 0.95 quantile of the river at Sarras 14 hours behind the product, by issue time.
fn said(store: &Path) -> Vec<(Timestamp, String, [f64; 2])> {
    let at = ISSUED.parse::<Timestamp>().unwrap().plus_s(15 * HOUR);
    let of_batch = |batch| {
        let rows = Forecasts::try_from(batch).unwrap();
        let wanted = |row: &usize| rows.catchment().value(*row) == "V3524010" && rows.valid_time().value(*row) == at.0;
        let numbers = |row| [rows.mean().value(row), rows.quantile(0.95).value(row)];
        (0..rows.len())
            .filter(wanted)
            .map(|row| {
                let scenario = rows.scenario().value(row).to_owned();
                (Timestamp(rows.issue_time().value(row)), scenario, numbers(row))
            })
            .collect::<Vec<_>>()
    };
    archived(store, "forecast.v1").into_iter().flat_map(of_batch).collect()
}

#[needs(cance)]
#[test]
fn members_of_a_weather_forecast_count_from_when_it_has_come() {
    let cance = cance();
    let data = data_beside(&cance);
    product(data.path());
    let mut said_so = String::new();
    let mut run = |scenario: &str, replay: &[&str]| {
        let store = tempfile::tempdir().unwrap();
        for to in replay {
            let mut set = window(store.path(), "2014-09-19T00:00:00Z", to);
            set.extend([
                format!("data={}", data.path().display()),
                format!("forecast.scenario={scenario}"),
                "source.rain.delay=0s".to_owned(),
                "source.nwp={ kind = \"table\", path = \"nwp.csv\", station = { column = \"gauge\" }, value = \"mm\", \
                 time = { column = { name = \"valid\", format = \"rfc3339\" } }, \
                 forecast = { issue_time = \"issued\", member = \"member\" }, \
                 variable = \"precipitation\", unit = \"mm\", period = \"1h\", delay = \"5h\" }"
                    .to_owned(),
                "forecast.calibration_rate=0".to_owned(),
            ]);
            said_so.push_str(&String::from_utf8_lossy(&succeed(nilometer("replay", &definition(), &set)).stderr));
        }
        store
    };
    let end = "2014-09-20T08:00:00Z";
    let (members, zero) = (run("members", &[end]), run("zero", &[end]));
    let came: Timestamp = ISSUED.parse::<Timestamp>().unwrap().plus_s(5 * HOUR);
    let (with, without) = (said(members.path()), said(zero.path()));
    assert_eq!(with.len(), without.len());
    for ((issued, scenario, [mean, high]), (_, _, [dry, dry_high])) in with.iter().zip(&without) {
        assert_eq!(scenario, if *issued < came.plus_s(-6 * HOUR) { "zero" } else { "members" }, "{issued}");
        if *issued < came {
            assert_eq!((mean, high), (dry, dry_high), "{issued}: it is not known yet");
        } else {
            // Half of the members meet 48 mm of rain.
            assert!(*mean > 1.5 * dry && *high > 2.0 * dry_high, "{issued}: {mean} [{high}] and {dry} [{dry_high}]");
        }
    }
    assert!(with.iter().any(|(issued, ..)| *issued >= came) && with.iter().any(|(issued, ..)| *issued < came));

    // In the snapshot: a restart says the same.
    let twice = run("members", &["2014-09-20T06:00:00Z", end]);
    assert_eq!(said(twice.path()), with);
    for words in ["ask for is not there: no more rain is assumed", "ask for is there"] {
        assert!(said_so.contains(words), "{words:?} is not in:\n{said_so}");
    }

    let reasons: Vec<String> = archived(members.path(), "dead_letter.v1")
        .into_iter()
        .flat_map(|batch| {
            let rows = DeadLetters::try_from(batch).unwrap();
            (0..rows.len()).map(|row| rows.reason().value(row).to_owned()).collect::<Vec<_>>()
        })
        .collect();
    for reason in ["undecodable", "gross_range"] {
        assert_eq!(reasons.iter().filter(|r| *r == reason).count(), 1, "{reason} in {reasons:?}");
    }
}

#[needs(cance)]
#[test]
fn a_weather_forecast_says_nothing_of_what_was_measured() {
    let cance = cance();
    let data = data_beside(&cance);
    let issued: Timestamp = ISSUED.parse().unwrap();
    // A flood's rain in the hours before it comes, which the radar saw dry; its evapotranspiration is not known yet, so the state waits.
    let mut text = "gauge,valid,issued,mm\n".to_owned();
    for (gauge, hour) in ["V3524010", "V3515010", "V3517010"].into_iter().flat_map(|g| (1..=5).map(move |h| (g, h))) {
        writeln!(text, "{gauge},{},{ISSUED},30", issued.plus_s(hour * HOUR)).unwrap();
    }
    fs::write(data.path().join("nwp.csv"), text).unwrap();
    let run = |scenario: &str| {
        let store = tempfile::tempdir().unwrap();
        let mut set = window(store.path(), "2014-09-19T00:00:00Z", "2014-09-20T06:00:00Z");
        set.extend([
            format!("data={}", data.path().display()),
            format!("forecast.scenario={scenario}"),
            "forecast.wait=12h".to_owned(),
            "source.rain.delay=0s".to_owned(),
            "source.evapotranspiration.delay=20h".to_owned(),
            "source.nwp={ kind = \"table\", path = \"nwp.csv\", station = { column = \"gauge\" }, value = \"mm\", \
             time = { column = { name = \"valid\", format = \"rfc3339\" } }, forecast = { issue_time = \"issued\" }, \
             variable = \"precipitation\", unit = \"mm\", period = \"1h\", delay = \"5h\" }"
                .to_owned(),
        ]);
        succeed(nilometer("replay", &definition(), &set));
        said(store.path())
    };
    let numbers =
        |said: Vec<(Timestamp, String, [f64; 2])>| -> Vec<[f64; 2]> { said.into_iter().map(|s| s.2).collect() };
    let members = run("members");
    assert!(members.iter().any(|(_, scenario, _)| scenario == "members"));
    assert_eq!(numbers(members), numbers(run("zero")));
}

#[needs(cance)]
#[test]
fn members_without_a_weather_forecast_are_refused() {
    let output = nilometer("validate", &definition(), &["forecast.scenario=members".to_owned()]).output().unwrap();
    refused(&output, &["forecast.scenario", "no source delivers a weather forecast", "issue_time"]);
    let set = ["source.discharge_V3524010.forecast={ issue_time = \"t\" }".to_owned()];
    let output = nilometer("validate", &definition(), &set).output().unwrap();
    refused(&output, &["source.discharge_V3524010.forecast", "weather whose time is a column"]);
}
