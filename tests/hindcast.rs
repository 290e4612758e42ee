//! Many catchments from one folder: `hindcast` runs them all, `verify` scores them, and what is wrong with the folder or the model is
//! said before the first row.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use crate::support::{
    Means, archived,
    folder::{BASINS, COLUMNS, DAYS, FIRST_DAY, Folder, keys, weather, write},
    means, medians, refused, root, succeed,
};
use arrow::array::{Int32Array, RecordBatch};
use nilometer_needs::needs;
use nilometer_schemas::{Scores, Timestamp};
use nilometer_testing::camels;
use sha2::{Digest, Sha256};

fn hindcast(folder: &Path, package: &Path, out: &Path, more: &[&str]) -> Command {
    hindcast_to("1990-04-20", folder, package, out, more)
}

fn hindcast_to(day: &str, folder: &Path, package: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    command.current_dir(root()).arg("hindcast").arg("pipelines/definitions/camels-daily.toml");
    command.args(["--set", &format!("source.path={}", folder.display())]);
    command.args(["--set", &format!("model={}", package.display())]);
    command.args(["--warm-up-from", "1990-01-01", "--from", "1990-02-01", "--to", day]);
    command.args(["--leads", "1,3", "--assimilation", "none", "--out"]).arg(out).args(more);
    command
}

fn zoo(name: &str) -> PathBuf {
    root().join("models/zoo").join(name)
}

/// 1990-02-01 to 1990-04-20.
const FORECAST_DAYS: usize = 28 + 31 + 20;

#[needs(onnxruntime)]
#[test]
fn every_basin_is_forecast_for_the_same_days_at_every_lead_and_scored() {
    let (folder, out) = (Folder::new(weather), tempfile::tempdir().unwrap());
    let uncalibrated = ["--set", "forecast.calibration_rate=0"];
    let said = succeed(hindcast(folder.path(), &zoo("dhbv"), out.path(), &uncalibrated));
    let means = means(out.path());
    assert_eq!(
        means.len(),
        BASINS.len() * 2,
        "every basin at both lead times: {}",
        String::from_utf8_lossy(&said.stderr)
    );
    let first: Timestamp = "1990-02-02".parse().unwrap();
    for basin in BASINS {
        let [day, three] = [1, 3].map(|lead| &means[&(basin.to_owned(), lead * 86_400)]);
        assert_eq!((day.len(), three.len()), (FORECAST_DAYS, FORECAST_DAYS));
        assert_eq!((day.keys().next(), three.keys().next()), (Some(&first), Some(&first)), "a day is valid at its end");
        // Weather known beforehand and nothing assimilated: three days ahead says what one day ahead says.
        for (time, value) in day {
            assert!((value - three[time]).abs() < 1e-4 * value, "{basin} {time}: {value} and {}", three[time]);
        }
    }
    let parted = tempfile::tempdir().unwrap();
    let with_partitions = ["--set", "log.partitions=3", "--set", "forecast.calibration_rate=0"];
    succeed(hindcast(folder.path(), &zoo("dhbv"), parted.path(), &with_partitions));
    for (key, of_one) in &means {
        for (time, value) in &crate::support::means(parted.path())[key] {
            // To the rounding of float32, which another batch makes in another order.
            assert!((value - of_one[time]).abs() <= 1e-4 * value, "{key:?} {time}: {value} and {}", of_one[time]);
        }
    }
    let wet = |basin: &str| means[&(basin.to_owned(), 86_400)].values().sum::<f64>();
    assert!(wet(BASINS[2]) > wet(BASINS[0]), "more rain, more flow");

    let mut verify = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    verify.current_dir(root()).arg("verify").arg(out.path()).arg("--observations").arg(folder.path());
    let table = String::from_utf8(succeed(verify).stdout).unwrap();
    assert!(table.contains("NSE") && table.contains("1 d") && table.contains("3 d"), "{table}");
    let csv = fs::read_to_string(out.path().join("verification/scores.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + BASINS.len() * 2);
    let row = csv.lines().find(|l| l.starts_with(&format!("{},86400,", BASINS[0]))).unwrap();
    // The missing and the impossible day are no pairs.
    assert!(row.starts_with(&format!("{},86400,{},", BASINS[0], FORECAST_DAYS - 2)), "{row}");
    let nse: f64 = row.split(',').nth(3).unwrap().parse().unwrap();
    assert!((nse - own_nse(&means[&(BASINS[0].to_owned(), 86_400)])).abs() < 1e-9, "{nse}");
    assert!(out.path().join("verification/scores.parquet").exists());

    // The store's own observations are the same ones, but it has fewer days to make a climate of.
    let climatology = csv.lines().next().unwrap().split(',').position(|n| n.starts_with("crps_climatology")).unwrap();
    let other_than_climatology = |csv: &str| -> Vec<String> {
        let cells = |line: &str| {
            let mut cells: Vec<&str> = line.split(',').collect();
            cells.remove(climatology);
            cells.join(",")
        };
        csv.lines().map(cells).collect()
    };
    let mut own = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    own.arg("verify").arg(out.path()).arg("--out").arg(out.path().join("own"));
    succeed(own);
    let own = fs::read_to_string(out.path().join("own/scores.csv")).unwrap();
    assert_eq!(other_than_climatology(&own), other_than_climatology(&csv));
    let empty = tempfile::tempdir().unwrap();
    let mut nothing = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    nothing.arg("verify").arg(empty.path());
    refused(&nothing.output().unwrap(), &["has no archive: it holds nothing"]);
    let mut nowhere = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    nowhere.arg("verify").arg(empty.path().join("nowhere"));
    refused(&nowhere.output().unwrap(), &["nowhere is no folder"]);
    assert!(!empty.path().join("nowhere").exists(), "what only reads makes nothing");
}

#[needs(onnxruntime)]
#[test]
fn what_the_gauge_says_moves_the_forecast_and_stands_in_the_ledger() {
    let (folder, out) = (Folder::new(weather), tempfile::tempdir().unwrap());
    let none = tempfile::tempdir().unwrap();
    succeed(hindcast(folder.path(), &zoo("dhbv"), none.path(), &[]));
    let updated = ["--set", "assimilation.method=\"output\""];
    succeed(hindcast(folder.path(), &zoo("dhbv"), out.path(), &updated));
    let (alone, moved) = (means(none.path()), means(out.path()));
    let key = (BASINS[2].to_owned(), 86_400);
    let error = |of: &Means, days: std::ops::Range<i32>| -> f64 {
        let flow = |d: i32| (700.0 + 400.0 * f64::from(u8::from((d + 2) % 6 == 2))) * 0.028_316_846_592;
        days.map(|d| (of[&key][&Timestamp(0).plus_s(i64::from(FIRST_DAY + d + 1) * 86_400)] - flow(d)).abs()).sum()
    };
    let (moved, alone) = (error(&moved, 80..110), error(&alone, 80..110));
    assert!(moved < alone, "mean errors of the last month: {moved} and {alone}");
    let ledger: usize = archived(out.path(), "analysis.v1").iter().map(RecordBatch::num_rows).sum();
    // Every day has a row of every gauge but the missing and the impossible one.
    assert_eq!(ledger, BASINS.len() * (110 - 2));
    assert!(archived(none.path(), "analysis.v1").is_empty());
}

#[needs(onnxruntime)]
#[test]
fn scores_that_come_with_the_observations_are_those_of_the_archive() {
    let (folder, out) = (Folder::new(weather), tempfile::tempdir().unwrap());
    succeed(hindcast(folder.path(), &zoo("dhbv"), out.path(), &["--set", "forecast.score=true"]));
    let mut verify = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    succeed({
        verify.arg("verify").arg(out.path());
        verify
    });
    // Of each basin and lead time: CRPS, of persistence, how many, and the last word on the efficiency.
    let mut streamed: BTreeMap<(String, i64), (f64, f64, u64, f64)> = BTreeMap::new();
    for batch in archived(out.path(), "score.v1") {
        let rows = Scores::try_from(batch).unwrap();
        for row in 0..rows.len() {
            let key = (rows.catchment().value(row).to_owned(), rows.lead_time_s().value(row));
            let sums = streamed.entry(key).or_default();
            sums.0 += rows.crps().value(row);
            sums.1 += rows.crps_persistence().value(row);
            (sums.2, sums.3) = (rows.pairs().value(row), rows.nse().value(row));
        }
    }
    let csv = fs::read_to_string(out.path().join("verification/scores.csv")).unwrap();
    let names: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
    assert_eq!(streamed.len(), csv.lines().count() - 1);
    for line in csv.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let of = |name: &str| -> f64 { cells[names.iter().position(|n| *n == name).unwrap()].parse().unwrap() };
        let (crps, persistence, pairs, nse) = streamed[&(cells[0].to_owned(), of("lead_time_s") as i64)];
        assert_eq!(pairs as f64, of("pairs"));
        let mean_flow = of("crps_m3_s") / of("crps_over_mean");
        let archived = [of("crps_m3_s"), of("crps_persistence_over_mean") * mean_flow, of("nse")];
        for (streamed, archived) in [crps / pairs as f64, persistence / pairs as f64, nse].into_iter().zip(archived) {
            assert!((streamed - archived).abs() < 1e-5 * (1.0 + archived.abs()), "{line}: {streamed}");
        }
    }
}

/// Nash–Sutcliffe efficiency of the first basin, from its definition.
fn own_nse(means: &BTreeMap<Timestamp, f64>) -> f64 {
    let pairs: Vec<(f64, f64)> = (31..31 + FORECAST_DAYS as i32)
        .filter(|d| *d != 70 && *d != 71)
        .map(|d| {
            let cfs = 500.0 + 400.0 * f64::from(u8::from(d % 6 == 2));
            let time = Timestamp(0).plus_s(i64::from(FIRST_DAY + d + 1) * 86_400);
            (cfs * 0.028_316_846_592, means[&time])
        })
        .collect();
    let mean = pairs.iter().map(|(o, _)| o).sum::<f64>() / pairs.len() as f64;
    let error: f64 = pairs.iter().map(|(o, s)| (o - s).powi(2)).sum();
    1.0 - error / pairs.iter().map(|(o, _)| (o - mean).powi(2)).sum::<f64>()
}

#[needs(onnxruntime)]
#[test]
fn a_hindcast_without_warm_up_data_begins_where_its_forcing_does() {
    // Nothing before 1990-01-16: the warm-up is shorter, and says so.
    let folder = Folder::new(weather);
    let rows: Vec<(usize, i32)> = (0..3).flat_map(|b| (15..DAYS).map(move |d| (b, d))).collect();
    for file in ["huc01", "huc02"] {
        fs::remove_file(folder.path().join(format!("days/forcing_made_{file}.parquet"))).unwrap();
    }
    let mut columns = keys(&rows);
    for (at, name) in COLUMNS.iter().enumerate() {
        let values: Int32Array = rows.iter().map(|(b, d)| weather(*b, *d)[at]).collect();
        columns.push((*name, Arc::new(values)));
    }
    write(&folder.path().join("days/forcing_late.parquet"), columns);
    let out = tempfile::tempdir().unwrap();
    let output = succeed(hindcast(folder.path(), &zoo("dhbv"), out.path(), &[]));
    assert!(String::from_utf8_lossy(&output.stderr).contains("warm-up is shorter"));
    let means = means(out.path());
    assert_eq!(means.len(), BASINS.len() * 2);
    assert!(means.values().all(|series| series.len() == FORECAST_DAYS));
}

#[needs(camels)]
#[test]
fn a_model_that_sees_yesterdays_discharge_knows_more_of_tomorrow_than_of_later_days() {
    let folder = camels();
    let out = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    command.current_dir(root()).args(["hindcast", "pipelines/definitions/camels-daily.toml", "--set"]);
    command.arg(format!("source.path={}", folder.display())).args(["--set", "model=models/zoo/lstm-ar"]);
    command.args(["--set", "source.only=[\"01047000\", \"11532500\", \"12010000\"]"]);
    command.args(["--warm-up-from", "1980-01-01", "--from", "1980-10-01", "--to", "1982-09-30"]);
    succeed({
        command.args(["--leads", "1,4", "--assimilation", "none", "--out"]).arg(out.path());
        command
    });
    let mut verify = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    verify.arg("verify").arg(out.path()).arg("--observations").arg(&folder);
    succeed(verify);
    let csv = fs::read_to_string(out.path().join("verification/scores.csv")).unwrap();
    let nse: Vec<f64> = csv.lines().skip(1).map(|l| l.split(',').nth(3).unwrap().parse().unwrap()).collect();
    for [tomorrow, later] in nse.as_chunks::<2>().0 {
        assert!(tomorrow > later && *later > 0.7 && *tomorrow > 0.85, "{nse:?}");
    }
    assert_eq!(nse.len(), 6);
}

fn weights_of(name: &str) -> String {
    let bytes = fs::read(zoo(name).join("weights.safetensors")).unwrap();
    Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// A blend of packages of the zoo: name, share, hash of the weights that the share is for.
fn write_blend(folder: &Path, members: &[(&str, f64, &str)]) {
    let mut text = "name = \"some\"\nversion = \"1.0.0\"\nsummary = \"\"\nlicence = \"Apache-2.0\"\n".to_owned();
    for (name, share, sha256) in members {
        writeln!(
            text,
            "[[member]]\npackage = \"{}\"\nweight = {share}\nweights_sha256 = \"{sha256}\"",
            zoo(name).display()
        )
        .unwrap();
    }
    text.push_str("[training]\ndata = \"\"\nfrom = \"\"\nto = \"\"\nmethod = \"\"\n");
    fs::write(folder.join("blend.toml"), text).unwrap();
}

#[needs(onnxruntime)]
#[test]
fn a_model_that_is_fed_with_the_gauge_is_mixed_as_it_is_and_the_others_updated() {
    let (folder, blend) = (Folder::new(weather), tempfile::tempdir().unwrap());
    write_blend(blend.path(), &[("lstm-ar", 0.4, &weights_of("lstm-ar")), ("dhbv", 0.6, &weights_of("dhbv"))]);
    let run = |package: &Path| {
        let out = tempfile::tempdir().unwrap();
        let updated = ["--set", "assimilation.method=\"output\"", "--set", "forecast.calibration_rate=0"];
        succeed(hindcast(folder.path(), package, out.path(), &updated));
        medians(out.path())
    };
    let [both, fed, updated] = [blend.path().to_owned(), zoo("lstm-ar"), zoo("dhbv")].map(|p| run(&p));
    let none = tempfile::tempdir().unwrap();
    succeed(hindcast(folder.path(), &zoo("lstm-ar"), none.path(), &["--set", "forecast.calibration_rate=0"]));
    assert!(fed == medians(none.path()), "by itself it is left alone, too");
    for (key, series) in &both {
        for (time, value) in series {
            let expected = 0.4 * fed[key][time] + 0.6 * updated[key][time];
            assert!((value - expected).abs() < 1e-9 * (1.0 + expected), "{key:?} {time}: {value} and {expected}");
        }
    }
}

#[needs(onnxruntime)]
#[test]
fn a_blends_quantiles_are_the_weighted_means_of_its_members_quantiles() {
    let folder = Folder::new(weather);
    let blend = tempfile::tempdir().unwrap();
    let write = |share: f64, sha256: &str| {
        let other = weights_of("hybrid-regional");
        write_blend(blend.path(), &[("dhbv", share, sha256), ("hybrid-regional", 0.75, &other)]);
    };
    let run = |package: &Path| {
        let out = tempfile::tempdir().unwrap();
        succeed(hindcast(folder.path(), package, out.path(), &["--set", "forecast.calibration_rate=0"]));
        medians(out.path())
    };
    write(0.25, &weights_of("dhbv"));
    let [both, one, other] = [blend.path().to_owned(), zoo("dhbv"), zoo("hybrid-regional")].map(|p| run(&p));
    assert_eq!(both.len(), BASINS.len() * 2);
    for (key, series) in &both {
        assert_eq!(series.len(), FORECAST_DAYS);
        for (time, value) in series {
            let expected = 0.25 * one[key][time] + 0.75 * other[key][time];
            assert!((value - expected).abs() < 1e-9 * (1.0 + expected), "{key:?} {time}: {value} and {expected}");
        }
    }
    // Each member's state goes on where its snapshot stood.
    let replayed = |days: &[&str]| {
        let out = tempfile::tempdir().unwrap();
        for day in days {
            let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
            command.current_dir(root()).args(["replay", "pipelines/definitions/camels-daily.toml"]);
            for set in [
                format!("source.path={}", folder.path().display()),
                format!("model={}", blend.path().display()),
                format!("log.store={}", out.path().display()),
                "time.from=1990-01-01T00:00:00Z".to_owned(),
                format!("time.to={day}T00:00:00Z"),
                "forecast.horizon=2d".to_owned(),
            ] {
                command.args(["--set", &set]);
            }
            succeed(command);
        }
        means(out.path())
    };
    assert_eq!(replayed(&["1990-02-01", "1990-02-20"]), replayed(&["1990-02-20"]));

    let out = tempfile::tempdir().unwrap();
    write(0.5, "0123");
    let output = hindcast(folder.path(), blend.path(), out.path(), &[]).output().unwrap();
    refused(&output, &["blend.toml", "fitted for 0123", "sum to 1.25, accepted is 1"]);
}

#[needs(onnxruntime)]
#[test]
fn a_folder_that_cannot_be_run_is_refused_with_file_field_and_remedy() {
    let run = |folder: &Folder| {
        let out = tempfile::tempdir().unwrap();
        let output = hindcast(folder.path(), &zoo("dhbv"), out.path(), &[]).output().unwrap();
        assert!(!out.path().join("log").exists(), "nothing is written before the input is known to be good");
        output
    };
    let edit = |file: &str, change: &dyn Fn(String) -> String| {
        let folder = Folder::new(weather);
        let path = folder.path().join(file);
        fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
        run(&folder)
    };

    let output = edit("attributes/camels_clim.txt", &|text| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut cells: Vec<&str> = lines[2].split(';').collect();
        cells[1] = "NaN";
        lines[2] = cells.join(";");
        lines.join("\n")
    });
    refused(&output, &["attributes/camels_clim.txt", "p_mean", BASINS[1], "NaN", "finite number"]);

    let output = edit("basin_inventory.csv", &|text| text.replacen("864000000.0", "", 1));
    refused(&output, &["basin_inventory.csv", "area_m2", BASINS[0], "above 0", "leave_out"]);
    let output = edit("basin_inventory.csv", &|text| {
        text.lines().filter(|l| !l.starts_with(BASINS[2])).map(|l| format!("{l}\n")).collect()
    });
    refused(&output, &["basin_inventory.csv", BASINS[2], "no row"]);

    let gap = Folder::new(|basin, day| {
        let mut values = weather(basin, day);
        if basin == 1 && (50..53).contains(&day) {
            values[2] = None;
        }
        values
    });
    let output = run(&gap);
    refused(&output, &["forcing_made_huc01.parquet", "tmax_c_x100", BASINS[1], "3 day(s)", "1990-02-20", "leave_out"]);
    let out = tempfile::tempdir().unwrap();
    let left_out = format!("source.leave_out=[\"{}\"]", BASINS[1]);
    succeed(hindcast(gap.path(), &zoo("dhbv"), out.path(), &["--set", &left_out]));
    assert_eq!(means(out.path()).len(), 2 * 2, "the others run without it");

    // A day that no basin has: the history before it cannot warm up what comes after it.
    let folder = Folder::new(weather);
    for (file, basins) in [("huc01", &[0, 1][..]), ("huc02", &[2])] {
        let days = |basin: &usize| (0..DAYS).filter(|day| *day != 40).map(|day| (*basin, day)).collect::<Vec<_>>();
        let rows: Vec<(usize, i32)> = basins.iter().flat_map(days).collect();
        let mut columns = keys(&rows);
        for (at, name) in COLUMNS.iter().enumerate() {
            let values: Int32Array = rows.iter().map(|(basin, day)| weather(*basin, *day)[at]).collect();
            columns.push((*name, Arc::new(values)));
        }
        write(&folder.path().join(format!("days/forcing_made_{file}.parquet")), columns);
    }
    let words = ["forcing_made_huc01.parquet", "has no forcing of 1990-02-10", "--from = 1990-02-11T00:00:00Z"];
    refused(&run(&folder), &words);
    refused(&run(&folder), &BASINS);

    let folder = Folder::new(weather);
    folder.write_forcing("again", &[0]);
    refused(&run(&folder), &[BASINS[0], "two rows", "forcing_made_again.parquet", "forcing_made_huc01.parquet"]);

    let folder = Folder::new(weather);
    let rows: Vec<(usize, i32)> = (0..DAYS).map(|d| (2, d)).collect();
    write(&folder.path().join("days/forcing_made_huc02.parquet"), keys(&rows));
    refused(&run(&folder), &["forcing_made_huc02.parquet", "prcp_mm_x100", "absent"]);

    let out = tempfile::tempdir().unwrap();
    let folder = Folder::new(weather);
    let output = hindcast_to("1990-12-31", folder.path(), &zoo("dhbv"), out.path(), &[]).output().unwrap();
    refused(&output, &["1990-04-30", "--to"]);
    // What another program put there is not deleted.
    fs::create_dir_all(out.path().join("log")).unwrap();
    fs::write(out.path().join("log/thesis.txt"), "years of work").unwrap();
    refused(
        &hindcast(folder.path(), &zoo("dhbv"), out.path(), &[]).output().unwrap(),
        &["thesis.txt", "no part of a store"],
    );
    assert!(out.path().join("log/thesis.txt").exists());
    // Nor below the snapshots.
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir_all(elsewhere.path().join("snapshots/mine")).unwrap();
    fs::write(elsewhere.path().join("snapshots/mine/holiday.jpg"), "sea").unwrap();
    let output = hindcast(folder.path(), &zoo("dhbv"), elsewhere.path(), &[]).output().unwrap();
    refused(&output, &["holiday.jpg", "no part of a store"]);
    assert!(elsewhere.path().join("snapshots/mine/holiday.jpg").exists());
    for (set, words) in [
        ("forecast.horizon=20d", ["source.forcing_delay", "16 days"]),
        ("source.discharge_delay=1d", ["source.discharge_delay", "no step waits"]),
        ("source.forcing_delay=0s", ["source.forcing_delay", "known ahead"]),
        ("source.only=[\"1000001\"]", ["source.only", "1000001"]),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
        command.current_dir(root()).args(["validate", "pipelines/definitions/camels-daily.toml", "--set"]);
        command.arg(format!("source.path={}", folder.path().display())).args(["--set", set]);
        command.args(["--set", "time.from=1990-01-01T00:00:00Z", "--set", "time.to=1990-04-01T00:00:00Z"]);
        refused(&command.output().unwrap(), &words);
    }
    let turned = |from: &str, to: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
        command.current_dir(root()).args(["hindcast", "pipelines/definitions/camels-daily.toml", "--set"]);
        command.arg(format!("source.path={}", folder.path().display()));
        command.args(["--from", from, "--to", to, "--out"]).arg(out.path().join("turned")).output().unwrap()
    };
    refused(&turned("1990-03-01", "1990-02-01"), &["time.from", "before time.to"]);
    let output = hindcast(Path::new("/nowhere"), &zoo("dhbv"), out.path(), &[]).output().unwrap();
    refused(&output, &["source.path", "/nowhere", "CAMELS layout"]);
    let output = hindcast(folder.path(), &zoo("hybrid-local"), out.path(), &[]).output().unwrap();
    refused(&output, &["hybrid-local", "no parameters", BASINS[0], "2 more", "regional", "leave_out"]);
    let output = hindcast(folder.path(), &zoo("hybrid-cance"), out.path(), &[]).output().unwrap();
    refused(&output, &["hybrid-cance", "3600 s", "time.step is 1d", "potential_evapotranspiration", BASINS[0]]);
}

/// A copy of a package with a file changed, and its hash on the card made to fit.
fn changed(name: &str, file: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(zoo(name)).unwrap().flatten() {
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let path = folder.path().join(file);
    let old = fs::read(&path).unwrap();
    let hash = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let new = change(old.clone());
    fs::write(&path, &new).unwrap();
    let card = folder.path().join("card.toml");
    if file != "card.toml" {
        fs::write(&card, fs::read_to_string(&card).unwrap().replace(&hash(&old), &hash(&new))).unwrap();
    }
    folder
}

#[needs(onnxruntime)]
#[test]
fn a_package_that_does_not_fit_is_refused_before_the_first_row() {
    let folder = Folder::new(weather);
    let run = |package: &tempfile::TempDir| {
        let out = tempfile::tempdir().unwrap();
        hindcast(folder.path(), package.path(), out.path(), &[]).output().unwrap()
    };
    let truncated = changed("dhbv", "step.onnx", |mut bytes| {
        bytes.truncate(bytes.len() / 2);
        bytes
    });
    refused(&run(&truncated), &["step.onnx", "is no ONNX graph"]);
    let text =
        |change: fn(String) -> String| move |bytes: Vec<u8>| change(String::from_utf8(bytes).unwrap()).into_bytes();
    let unknown = changed("dhbv", "card.toml", text(|card| format!("colour = \"blue\"\n{card}")));
    refused(&run(&unknown), &["card.toml", "colour"]);
    let unit = changed("dhbv", "card.toml", text(|card| card.replacen("unit = \"mm\"", "unit = \"inch\"", 1)));
    refused(&run(&unit), &["precipitation", "inch", "mm"]);
    let shape = changed("dhbv", "card.toml", text(|card| card.replacen("shape = [6]", "shape = [7]", 1)));
    refused(&run(&shape), &["weights.safetensors", "forcing_mean", "[6]", "[7]"]);
}
