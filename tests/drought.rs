//! Floods and droughts of one pipeline, from the same rows: classes, indices of months, and the alerts that follow.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use crate::support::{archived, files, nilometer, root, same, succeed};
use arrow::array::Array as _;
use nilometer_needs::needs;
use nilometer_schemas::{Alerts, Contract, DroughtOutlooks, Droughts, OutlookScores, Outlooks, Timestamp};

const FROM: &str = "1982-10-01T00:00:00Z";
const TO: &str = "1988-06-01T00:00:00Z";

fn camels() -> PathBuf {
    let given = std::env::var_os("NILOMETER_CAMELS").map(PathBuf::from);
    given.unwrap_or_else(|| root().join("../shared/data/camels_us"))
}

/// Two basins with floods of an agency's table, in ft³/s.
fn set(folder: &Path, to: &str) -> Vec<String> {
    let table = folder.join("thresholds.csv");
    fs::write(&table, "gauge,minor\n01022500,2500\n11264500,3000\n").unwrap();
    vec![
        format!("source.path={}", camels().display()),
        "source.only=[\"01022500\", \"11264500\"]".to_owned(),
        format!("model.package={}", root().join("models/zoo/hybrid-regional").display()),
        format!(
            "stations={{ path = \"{}\", station = \"gauge\", thresholds = [{{ id = \"minor\", column = \"minor\", unit = \"ft3 s-1\", kind = \"flow\" }}] }}",
            table.display()
        ),
        format!("time.from={FROM}"),
        format!("time.to={to}"),
        "drought.years=3".to_owned(),
        "forecast.every=5d".to_owned(),
    ]
}

fn hindcast(folder: &Path, name: &str) -> PathBuf {
    let store = folder.join(name);
    let mut command = nilometer("hindcast", &root().join("pipelines/definitions/camels-daily.toml"), &set(folder, TO));
    command.arg("--out").arg(&store);
    succeed(command);
    store
}

/// Each Thursday, from three years on: thirteen weeks of trajectories, their odds beside the season, and what came of them.
fn outlooks_are_there_and_scored(store: &Path) {
    let mut issues = BTreeMap::<(String, String, i64), Vec<(i32, usize)>>::new();
    for batch in archived(store, Contract::Outlook.topic()) {
        let rows = Outlooks::try_from(batch).unwrap();
        for row in 0..rows.len() {
            let (catchment, index) = (rows.catchment().value(row).to_owned(), rows.index().value(row).to_owned());
            let issued = issues.entry((catchment, index, rows.issue_time().value(row))).or_default();
            issued.push((rows.week().value(row), rows.values(row).len()));
            assert!((3..=10).contains(&rows.years().value(row)) && rows.scenario().value(row) == "past_years");
        }
    }
    let thursdays = |index: &str| issues.keys().filter(|(_, of, _)| of == index).count();
    assert!(thursdays("streamflow") > 2 * 80 && thursdays("root_zone") > 2 * 80, "{}", thursdays("streamflow"));
    for ((_, index, issue_time), weeks) in &issues {
        let trajectories = if index == "streamflow" { 50 } else { 10 };
        let expected: Vec<(i32, usize)> = (1..=13).map(|week| (week, trajectories)).collect();
        assert_eq!((weeks, issue_time % (7 * 86_400_000_000)), (&expected, 0), "{index}");
    }
    let (mut said, mut scored) = (0, Vec::new());
    for batch in archived(store, Contract::DroughtOutlook.topic()) {
        let rows = DroughtOutlooks::try_from(batch).unwrap();
        said += rows.len();
        for row in 0..rows.len() {
            assert!(rows.reached_d1().value(row) >= rows.at_least_d1().value(row));
            assert!(rows.percentile_q05().value(row) <= rows.percentile_q95().value(row));
        }
    }
    for batch in archived(store, Contract::OutlookScore.topic()) {
        let rows = OutlookScores::try_from(batch).unwrap();
        let columns = [rows.rps(), rows.rps_persistence(), rows.rps_climatology()];
        let first =
            (0..rows.len()).filter(|row| rows.week().value(*row) == 1 && rows.index().value(*row) == "root_zone");
        scored.extend(first.map(|row| columns.map(|column| column.value(row))));
    }
    assert!(said > 13 * 80 && scored.len() > 80, "{said} weeks, {} scored", scored.len());
    let [outlook, persistence, climatology] = [0, 1, 2].map(|of| scored.iter().map(|rps| rps[of]).sum::<f64>());
    assert!(outlook < persistence && outlook < climatology, "{outlook} {persistence} {climatology}");
}

#[needs(camels, onnxruntime)]
#[test]
fn one_run_gives_alerts_of_floods_and_of_droughts_and_a_restart_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let whole = hindcast(folder.path(), "whole");
    let (mut kinds, mut droughts) = (BTreeMap::<String, BTreeSet<String>>::new(), BTreeMap::new());
    for batch in archived(&whole, Contract::Alert.topic()) {
        let rows = Alerts::try_from(batch).unwrap();
        for row in 0..rows.len() {
            let (kind, change) = (rows.kind().value(row).to_owned(), rows.change().value(row).to_owned());
            if kind == "drought" {
                let text = rows.text().value(row).to_owned();
                droughts.insert(rows.time().value(row), (rows.station().value(row).to_owned(), change.clone(), text));
            }
            kinds.entry(kind).or_default().insert(change);
        }
    }
    for kind in ["flood", "drought"] {
        let changes = &kinds[kind];
        assert!(changes.contains("raised") && changes.contains("cleared"), "{kind}: {changes:?}");
    }
    // California's drought of 1987 on the Merced at Happy Isles, which lasted until 1992.
    let begins: Timestamp = "1987-01-01T00:00:00Z".parse().unwrap();
    let merced = |(at, (station, change, text)): (&i64, &(String, String, String))| {
        *at > begins.0 && station == "11264500" && change == "raised" && text.contains("drought, severe (D2)")
    };
    assert!(droughts.iter().any(merced), "{droughts:?}");

    let (mut months, mut lowest, mut days) = (BTreeSet::new(), f64::INFINITY, 0);
    for batch in archived(&whole, Contract::Drought.topic()) {
        let rows = Droughts::try_from(batch).unwrap();
        for row in 0..rows.len() {
            let index = rows.index().value(row);
            if index.contains('_') && index != "root_zone" {
                months.insert(index.to_owned());
                assert!(rows.score().value(row).abs() <= 3.09 && rows.class().is_null(row));
                continue;
            }
            days += 1;
            assert_eq!(rows.percentile().is_valid(row), rows.score().is_valid(row));
            if rows.lowest_flow_m3_s().is_valid(row) {
                assert!(rows.duration_days().value(row) > 0 && rows.deficit_m3().value(row) >= 0.0);
                lowest = lowest.min(rows.lowest_flow_m3_s().value(row));
            }
        }
    }
    // No evapotranspiration is measured here, so there is no SPEI.
    let expected: BTreeSet<String> =
        ["spi", "ssi", "ssmi"].iter().flat_map(|name| [1, 3, 6, 12].map(|n| format!("{name}_{n}"))).collect();
    assert_eq!(months, expected);
    assert!(lowest < 1.0 && days > 2 * 4 * 2_000, "{lowest} in {days} days");

    outlooks_are_there_and_scored(&whole);

    // In two parts the same: what a season has had, and what outlooks have learned and expect, is in the snapshots.
    let parts = folder.path().join("parts");
    for to in ["1986-03-08T00:00:00Z", TO] {
        let mut replayed = set(folder.path(), to);
        replayed.extend([format!("log.store={}", parts.display()), "serve.address=127.0.0.1:0".to_owned()]);
        succeed(nilometer("replay", &root().join("pipelines/definitions/camels-daily.toml"), &replayed));
    }
    for topic in ["drought.v1", "alert.v1", "outlook.v1", "drought_outlook.v1", "outlook_score.v1"] {
        same(&files(&whole.join("archive").join(topic)), &files(&parts.join("archive").join(topic)));
    }
}
