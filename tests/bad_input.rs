//! Bad input gets a dead letter with its bytes and a reason; the run goes on and every row is accounted for.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    path::{Path, PathBuf},
};

use crate::support::{archived, cance, definition, nilometer, root, succeed, window};
use nilometer_needs::needs;
use nilometer_schemas::{DeadLetters, Forecasts, Observations};
use tiff::{
    encoder::{TiffEncoder, colortype::Gray32},
    tags::Tag,
};

const FROM: &str = "2014-10-12T00:00:00Z";
const TO: &str = "2014-10-13T23:00:00Z";

/// The data of the window with faults, and a definition that reads them: V3524010 from a table with a header.
fn faulty_data(cance: &Path, folder: &Path) -> PathBuf {
    for day in ["12", "13", "14"] {
        let below = format!("prcp/2014/10/{day}");
        fs::create_dir_all(folder.join(&below)).unwrap();
        for entry in fs::read_dir(cance.join(&below)).unwrap().flatten() {
            fs::copy(entry.path(), folder.join(&below).join(entry.file_name())).unwrap();
        }
    }
    let rain =
        |hour: &str| folder.join(format!("prcp/2014/10/12/rain_precipitation_20141012{hour}00_20141012{hour}00.tif"));
    let whole = fs::read(rain("05")).unwrap();
    fs::write(rain("05"), &whole[..whole.len() / 2]).unwrap();
    write_grid(&rain("06"), 20);
    for name in ["pet", "qobs"] {
        fs::create_dir(folder.join(name)).unwrap();
        for entry in fs::read_dir(cance.join(name)).unwrap().flatten() {
            fs::copy(entry.path(), folder.join(name).join(entry.file_name())).unwrap();
        }
    }
    fs::write(folder.join("qobs/V3524010.csv"), faulty_table()).unwrap();
    fs::write(folder.join("qobs/V3515010.csv"), "date,debit\n2014-10-12T01:00:00Z,3\n2014-10-12T02:00:00Z,4\n")
        .unwrap();

    let text = fs::read_to_string(definition()).unwrap().replace("../../", &format!("{}/", root().display()));
    let implicit = "time = { first_line = { format = \"%Y%m%d%H%M\", step = \"1h\" } }";
    let explicit = "time = { column = { name = \"time\", format = \"rfc3339\" } }\nvalue = \"flow\"";
    let changed = folder.join("faulty.toml");
    // The first two gauges are read from tables with a header, the third as it is.
    fs::write(&changed, text.replacen(implicit, explicit, 2)).unwrap();
    changed
}

/// A grid that covers no catchment, in the same format.
fn write_grid(path: &Path, cells: u32) {
    let mut encoder = TiffEncoder::new(File::create(path).unwrap()).unwrap();
    let mut image = encoder.new_image::<Gray32>(cells, cells).unwrap();
    image.encoder().write_tag(Tag::ModelPixelScaleTag, &[1000.0_f64, 1000.0, 0.0][..]).unwrap();
    image.encoder().write_tag(Tag::ModelTiepointTag, &[0.0_f64, 0.0, 0.0, 207_000.0, 6_484_000.0, 0.0][..]).unwrap();
    image.write_data(&vec![1; (cells * cells) as usize]).unwrap();
}

fn faulty_table() -> String {
    let mut rows: Vec<String> = (0..48)
        .map(|hour| format!("2014-10-{}T{:02}:00:00Z,{}", 12 + hour / 24, hour % 24, 20.0 + f64::from(hour) * 0.5))
        .collect();
    rows[3] = rows[3].replace(",21.5", ",NaN");
    rows[4] = rows[4].replace(",22", ",-9999");
    rows[5] = rows[5].replace(",22.5", ",-5");
    rows[6] = rows[6].replace(",23", ",1000000000");
    rows[7] = rows[7].replace(",23.5", ",-99");
    rows[8] = "not a time,24".to_owned();
    rows.remove(20); // an hour that never comes
    rows.insert(12, rows[11].clone()); // the same hour twice
    rows.insert(14, rows[11].replace(",25.5", ",99.5")); // and once more, with another value
    rows.swap(30, 33); // out of order
    let mut text = String::from("time,flow\n");
    rows.iter().for_each(|row| writeln!(text, "{row}").unwrap());
    text
}

fn letters_by_reason(store: &Path) -> BTreeMap<String, (u64, Vec<Vec<u8>>)> {
    let mut found: BTreeMap<String, (u64, Vec<Vec<u8>>)> = BTreeMap::new();
    for batch in archived(store, "dead_letter.v1") {
        let dead_letters = DeadLetters::try_from(batch).unwrap();
        for row in 0..dead_letters.len() {
            let entry = found.entry(dead_letters.reason().value(row).to_owned()).or_default();
            entry.0 += dead_letters.rows().value(row);
            entry.1.push(dead_letters.bytes().value(row).to_vec());
            assert!(!dead_letters.detail().value(row).is_empty() && !dead_letters.locator().value(row).is_empty());
        }
    }
    found
}

#[needs(cance)]
#[test]
fn every_fault_gets_a_letter_and_forecasts_go_on() {
    let cance = cance();
    let folder = tempfile::tempdir().unwrap();
    let faulty = faulty_data(&cance, folder.path());
    let store = folder.path().join("store");
    let mut set = window(&store, FROM, TO);
    set.push(format!("data={}", folder.path().display()));
    // The run ends well only if every role's row balance closes.
    let output = succeed(nilometer("replay", &faulty, &set));
    let said = String::from_utf8_lossy(&output.stderr);

    let dead_letters = letters_by_reason(&store);
    let rows = |reason: &str| dead_letters.get(reason).map_or(0, |l| l.0);
    let bytes_of = |reason: &str| dead_letters[reason].1.concat();
    assert_eq!(rows("undecodable"), 1, "{dead_letters:?}");
    assert_eq!(rows("no_valid_cells"), 1);
    assert_eq!(rows("not_finite"), 1);
    assert_eq!(rows("gross_range"), 3, "-9999, -5 and 10⁹");
    assert_eq!(rows("bad_time"), 1);
    assert_eq!(rows("duplicate"), 1);
    assert_eq!(rows("conflicting_duplicate"), 1);
    assert_eq!(rows("header_changed"), 2, "both rows of the table");
    assert!(String::from_utf8_lossy(&bytes_of("gross_range")).contains("-9999"), "the bytes as they came");
    assert!(String::from_utf8_lossy(&bytes_of("header_changed")).contains("date,debit"));
    let truncated =
        fs::read(folder.path().join("prcp/2014/10/12/rain_precipitation_201410120500_201410120500.tif")).unwrap();
    assert_eq!(bytes_of("undecodable"), truncated);
    let lines = said.lines().filter(|line| line.contains("dead letters: ") && line.contains("discharge_V3524010"));
    let lines: Vec<&str> = lines.collect();
    assert!(lines.len() <= 2 && lines.concat().contains("gross_range"), "a line a source and minute: {said}");

    let forecasts: Vec<Forecasts> =
        archived(&store, "forecast.v1").into_iter().map(|b| b.try_into().unwrap()).collect();
    assert_eq!(forecasts.len(), 48, "a forecast every hour");
    assert!(forecasts.iter().all(|f| f.len() == 3 * 24), "of every gauge, to the last lead time");
    assert_eq!(forecasts[47].filled_steps().value(0), 2, "the two lost hours of rain were filled, and it says so");

    let mut missing = 0;
    for batch in archived(&store, "observation.v1") {
        let rows = Observations::try_from(batch).unwrap();
        missing +=
            (0..rows.len()).filter(|r| rows.station().value(*r) == "V3524010" && rows.flag().value(*r) == 9).count();
    }
    assert!(missing >= 2, "the agency's missing value and the hour that never came are visible: {missing}");
}

#[needs(cance)]
#[test]
fn a_damaged_log_segment_is_written_again_by_the_role_that_wrote_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let set = window(&store, FROM, TO);
    succeed(nilometer("replay", &definition(), &set));
    let segment = store.join("log/observation.v1/0/00000000000000000017.arrow");
    let forecasts = archived(&store, "forecast.v1");
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    fs::write(&segment, &bytes).unwrap();
    // The forecast role starts again from the beginning of the log and meets the damage.
    for gone in ["snapshots/forecast", "snapshots/publish_forecast", "log/forecast.v1", "archive"] {
        fs::remove_dir_all(store.join(gone)).unwrap();
    }
    succeed(nilometer("replay", &definition(), &set));
    assert!(letters_by_reason(&store).is_empty(), "nothing is lost: the files have it still");
    assert!(archived(&store, "forecast.v1") == forecasts && forecasts.len() == 48);
    assert_ne!(fs::read(&segment).unwrap(), bytes, "the segment is whole again");
}
