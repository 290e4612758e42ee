//! Live scores, `verify` and `report` judge the same forecasts by the same rules: one name has one number.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use nilometer_schemas::{Scores, Timestamp};

use crate::support::{archived, definition, nilometer, root, succeed, window};
use nilometer_needs::needs;

const FROM: &str = "2014-10-08T00:00:00Z";
const TO: &str = "2014-10-12T23:00:00Z";

/// Of a catchment and lead time in seconds: CRPS of the forecast, CRPS of persistence and NSE.
type ByLead = BTreeMap<(String, i64), [f64; 3]>;

/// What `score.v1` says in the end.
fn live(store: &Path) -> ByLead {
    // Of two rows about one forecast that with the later score time counts.
    let mut last: BTreeMap<(String, i64, i64), (Timestamp, [f64; 2])> = BTreeMap::new();
    let mut running: BTreeMap<(String, i64), (u64, f64)> = BTreeMap::new();
    for batch in archived(store, "score.v1") {
        let rows = Scores::try_from(batch).unwrap();
        for row in 0..rows.len() {
            let (catchment, lead) = (rows.catchment().value(row).to_owned(), rows.lead_time_s().value(row));
            let scores = [rows.crps().value(row), rows.crps_persistence().value(row)];
            let score_time = Timestamp(rows.score_time().value(row));
            let key = (catchment.clone(), lead, rows.valid_time().value(row));
            let entry = last.entry(key).or_insert((score_time, scores));
            if score_time >= entry.0 {
                *entry = (score_time, scores);
            }
            let skill = running.entry((catchment, lead)).or_default();
            if rows.pairs().value(row) >= skill.0 {
                *skill = (rows.pairs().value(row), rows.nse().value(row));
            }
        }
    }
    let mut sums: BTreeMap<(String, i64), (f64, [f64; 2])> = BTreeMap::new();
    for ((catchment, lead, _), (_, [crps, persistence])) in last {
        let (count, [of_forecast, of_persistence]) = sums.entry((catchment, lead)).or_default();
        (*count, *of_forecast, *of_persistence) = (*count + 1.0, *of_forecast + crps, *of_persistence + persistence);
    }
    let mean = |(key, (count, [crps, persistence])): ((String, i64), (f64, [f64; 2]))| {
        let nse = running[&key].1;
        (key, [crps / count, persistence / count, nse])
    };
    sums.into_iter().map(mean).collect()
}

/// Columns of a CSV by catchment and lead time.
fn table(path: &Path, columns: &[&str]) -> BTreeMap<(String, i64), Vec<f64>> {
    let text = fs::read_to_string(path).unwrap();
    let header: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let place = |name: &&str| header.iter().position(|column| column == name).unwrap();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let values = columns.iter().map(|name| cells[place(name)].parse().unwrap_or(f64::NAN)).collect();
        ((cells[0].to_owned(), cells[1].parse().unwrap()), values)
    };
    text.lines().skip(1).map(row).collect()
}

fn close(one: f64, other: f64) -> bool {
    // Live scores wait as float32.
    (one - other).abs() <= 1e-5 * one.abs().max(1.0)
}

#[needs(cance)]
#[test]
fn live_scores_verify_and_report_give_the_same_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    succeed(nilometer("replay", &definition(), &window(&store, FROM, TO)));
    let mut verify = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    verify.current_dir(root()).arg("verify").arg(&store).arg("--out").arg(folder.path().join("verified"));
    succeed(verify);
    let mut report = nilometer("report", &definition(), &window(&store, FROM, TO));
    report.arg("--out").arg(folder.path().join("report"));
    succeed(report);
    let live = live(&store);
    let ratios = table(
        &folder.path().join("verified/scores.csv"),
        &["crps_m3_s", "crps_over_mean", "crps_persistence_over_mean", "nse"],
    );
    let reported = table(&folder.path().join("report/scores.csv"), &["crps_m3_s", "crps_persistence_m3_s", "nse"]);
    assert!(live.len() >= 3 * 24 && reported.len() >= 3 * 7, "{} and {}", live.len(), reported.len());
    for (key, [crps, persistence, nse]) in &live {
        let verified = &ratios[key];
        let mean_flow = verified[0] / verified[1];
        assert!(close(*crps, verified[0]), "CRPS of {key:?}: live {crps}, verify {}", verified[0]);
        let verified_persistence = verified[2] * mean_flow;
        assert!(
            close(*persistence, verified_persistence),
            "{key:?}: live {persistence}, verify {verified_persistence}"
        );
        assert!(close(*nse, verified[3]), "NSE of {key:?}: live {nse}, verify {}", verified[3]);
        if let Some(reported) = reported.get(key) {
            assert!(close(*crps, reported[0]), "CRPS of {key:?}: live {crps}, report {}", reported[0]);
            assert!(close(*persistence, reported[1]), "{key:?}: live {persistence}, report {}", reported[1]);
            assert!(close(*nse, reported[2]), "NSE of {key:?}: live {nse}, report {}", reported[2]);
        }
    }
}
