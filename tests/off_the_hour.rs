//! Gauges that read between the hours: their readings are held against what was predicted for their time, forecasts are judged by what lies between
//! them, and intervals learn from it.

use std::{fs, path::Path};

use crate::support::{archived, cance, data_beside, definition, nilometer, refused, succeed, window};
use nilometer_needs::needs;
use nilometer_schemas::{Analyses, Scores};

const GAUGE: &str = "V3515010";
const HOUR: i64 = 3_600;

/// The data with the gauge's series labelled so many minutes after each hour.
fn minutes_after(cance: &Path, minutes: u32) -> tempfile::TempDir {
    let data = data_beside(cance);
    let path = data.path().join(format!("qobs/{GAUGE}.csv"));
    let text = fs::read_to_string(&path).unwrap();
    let (first, values) = text.split_once('\n').unwrap();
    fs::write(&path, format!("{}{minutes:02}\n{values}", first.trim().strip_suffix("00").unwrap())).unwrap();
    data
}

fn hindcast(data: &Path, set: &[&str]) -> tempfile::TempDir {
    let store = tempfile::tempdir().unwrap();
    let mut all = window(store.path(), "2014-10-20T00:00:00Z", "2014-11-05T00:00:00Z");
    all.push(format!("data={}", data.display()));
    // Of 32 members the draw alone moves an error by a tenth.
    all.push("assimilation.members=128".to_owned());
    all.extend(set.iter().map(|text| (*text).to_owned()));
    let mut command = nilometer("hindcast", &definition(), &all);
    command.arg("--out").arg(store.path());
    succeed(command);
    store
}

/// How many forecasts of a lead time were judged, their root mean square error and the share that the 90 % interval held.
fn judged(store: &Path, lead_h: i64) -> (usize, f64, f64) {
    let (mut count, mut squares, mut covered) = (0, 0.0, 0);
    for batch in archived(store, "score.v1") {
        let rows = Scores::try_from(batch).unwrap();
        let of_gauge =
            |row: &usize| rows.catchment().value(*row) == GAUGE && rows.lead_time_s().value(*row) == lead_h * HOUR;
        for row in (0..rows.len()).filter(of_gauge) {
            count += 1;
            squares += (rows.mean().value(row) - rows.observed().value(row)).powi(2);
            covered += usize::from(rows.covered_90().value(row));
        }
    }
    (count, (squares / count as f64).sqrt(), covered as f64 / count as f64)
}

#[needs(cance)]
#[test]
fn forecasts_of_a_gauge_that_reads_five_past_are_judged_and_as_good_as_its_newest_reading_is_new() {
    let cance = cance();
    let data = minutes_after(&cance, 5);
    let on_the_hour = hindcast(&cance, &[]);
    let interpolated = hindcast(data.path(), &[]);
    let nearest = hindcast(data.path(), &["time.align=nearest"]);
    for store in [&interpolated, &nearest] {
        for lead_h in [1, 6, 24] {
            let ((count, rmse, covered), (of_hours, ..)) =
                (judged(store.path(), lead_h), judged(on_the_hour.path(), lead_h));
            // The last hour's second reading has not come yet.
            assert!(count + 1 >= of_hours && count <= of_hours, "{count} of {of_hours}");
            // The newest reading is five minutes less than an hour older than one on the hour would be.
            let (_, later, as_often) = judged(on_the_hour.path(), lead_h + 1);
            let (_, sooner, _) = judged(on_the_hour.path(), lead_h);
            let worse = if lead_h == 24 { 1.1 * sooner } else { 1.1 * later };
            let as_often = if lead_h == 24 { judged(on_the_hour.path(), 24).2 } else { as_often };
            assert!(rmse < worse, "{lead_h} h: {rmse}, on the hour {sooner} and an hour later {later}");
            assert!((covered - as_often).abs() < 0.04, "{lead_h} h: {covered} of the intervals held, {as_often}");
        }
        let rows: Vec<Analyses> =
            archived(store.path(), "analysis.v1").into_iter().map(|batch| Analyses::try_from(batch).unwrap()).collect();
        let of_gauge = |rows: &Analyses| {
            let times = (0..rows.len()).filter(|row| rows.station().value(*row) == GAUGE);
            times.filter(|row| rows.valid_time().value(*row) % (HOUR * 1_000_000) == 300_000_000).count()
        };
        assert_eq!(rows.iter().map(of_gauge).sum::<usize>(), 16 * 24, "each reading was used, under its own time");
    }
    // What the roles said while the hindcast ran, `verify` says of its archive.
    let verify = |store: &Path, more: &[&str]| {
        let mut verify = std::process::Command::new(env!("CARGO_BIN_EXE_nilometer"));
        verify.arg("verify").arg(store).args(more);
        succeed(verify);
        let table = fs::read_to_string(store.join("verification/scores.csv")).unwrap();
        let line = table.lines().find(|line| line.starts_with(&format!("{GAUGE},3600,"))).unwrap();
        line.split(',').nth(2).unwrap().parse::<usize>().unwrap()
    };
    assert_eq!(verify(interpolated.path(), &[]), judged(interpolated.path(), 1).0);
    assert_eq!(verify(nearest.path(), &["--nearest"]), judged(nearest.path(), 1).0);
}

#[needs(cance)]
#[test]
fn a_mean_over_more_than_a_step_is_refused_before_the_first_row() {
    let source = |period: &str| [format!("source.discharge_{GAUGE}.period={period}")];
    let validate = |period| nilometer("validate", &definition(), &source(period)).output().unwrap();
    refused(
        &validate("1d"),
        &["source.discharge_V3515010.period: is 1d, time.step is 1h", "accepted is 0s (an instant)", "at most 1h"],
    );
    refused(&validate("61min"), &["source.discharge_V3515010.period: is 61min"]);
    for period in ["0s", "15min", "1h"] {
        assert!(validate(period).status.success(), "{period}");
    }
}
