//! What is seen of a store moves the model's: snow, and with it the flood of its melt; soil, once its climate has been learned.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use crate::support::{archived, folder, means, nilometer, refused, root, succeed};
use arrow::{
    array::{Array, AsArray},
    datatypes::Float64Type,
};
use nilometer_needs::needs;
use nilometer_schemas::{Analyses, Contract, Observations, Timestamp};
use nilometer_testing::{Definition, TableSource, toml};
use toml::Table;

const DAYS: i64 = 100;

fn day(n: i64) -> String {
    "2001-01-01".parse::<Timestamp>().unwrap().plus_s(n * 86_400).to_string()
}

/// A definition of one catchment with daily weather, frost until the thaw, discharge, and what was `seen` of a store: day and value.
fn definition(folder: &Path, thaw: i64, (variable, unit): (&str, &str), seen: &[(i64, Option<f64>)]) -> PathBuf {
    let (mut weather, mut flow) = ("end,prcp,tmin,tmax,dayl,srad,vp\n".to_owned(), "end,flow\n".to_owned());
    for n in 1..=DAYS {
        let (cold, warm) = if n < thaw { (-9.0, -3.0) } else { (4.0, 12.0) };
        let rain = if n % 3 == 0 && n % 40 < 25 { 12.0 } else { 0.0 };
        writeln!(weather, "{},{rain},{cold},{warm},0.45,150,500", day(n)).unwrap();
        writeln!(flow, "{},3.0", day(n)).unwrap();
    }
    fs::write(folder.join("weather.csv"), weather).unwrap();
    fs::write(folder.join("flow.csv"), flow).unwrap();
    let mut rows = "end,value\n".to_owned();
    for (n, value) in seen {
        writeln!(rows, "{},{}", day(*n), value.map_or_else(String::new, |value| value.to_string())).unwrap();
    }
    fs::write(folder.join("seen.csv"), rows).unwrap();

    let table = |file: &str, column: &str, variable: &str, unit: &str| {
        let time = toml! { column = { name = "end", format = "rfc3339" } };
        TableSource::new(file, column, variable, unit).station("hill").set("time", time)
    };
    let camels = fs::read_to_string(root().join("pipelines/definitions/camels-daily.toml")).unwrap();
    let mut camels: Table = camels.parse().unwrap();
    let attributes = folder::middling_attributes().into_iter().map(|(name, value)| (name, f64::from(value).into()));
    let keys = Table::from_iter([("attributes".to_owned(), attributes.collect::<Table>().into())]);
    let mut definition = Definition::new("snowy", "1d", "2001-01-01T00:00:00Z", day(DAYS))
        .model("dhbv")
        .catchment("hill", 864.0, keys)
        .source("discharge", table("flow.csv", "flow", "discharge", "m3 s-1"))
        .source("seen", table("seen.csv", "value", variable, unit));
    for (column, variable, unit) in [
        ("prcp", "precipitation", "mm"),
        ("tmin", "minimum_air_temperature", "degC"),
        ("tmax", "maximum_air_temperature", "degC"),
        ("dayl", "day_length", "d"),
        ("srad", "shortwave_radiation", "W m-2"),
        ("vp", "vapour_pressure", "Pa"),
    ] {
        let source = table("weather.csv", column, variable, unit).period("1d").delay("-10d");
        definition = definition.source(column, source);
    }
    for section in ["assimilation", "forecast", "log"] {
        definition = definition.set(section, camels.remove(section).unwrap());
    }
    definition.write(folder)
}

fn filter() -> Vec<String> {
    vec![
        format!("model.package={}", root().join("models/zoo/dhbv").display()),
        "assimilation.method=etkf".to_owned(),
        "assimilation.members=24".to_owned(),
        "forecast.horizon=3d".to_owned(),
    ]
}

/// The store of a hindcast with these settings.
fn hindcast(definition: &Path, set: Vec<String>) -> tempfile::TempDir {
    let store = tempfile::tempdir().unwrap();
    let mut hindcast = nilometer("hindcast", definition, &set);
    hindcast.arg("--out").arg(store.path());
    succeed(hindcast);
    store
}

/// A row of the ledger: observed, predicted and innovation, and what each store gained, mm.
type LedgerRow = ([f64; 3], Vec<(String, f64)>);

/// The ledger's rows about a variable.
fn ledger(store: &Path, variable: &str) -> Vec<LedgerRow> {
    let of_batch = |batch| {
        let rows = Analyses::try_from(batch).unwrap();
        let row = |row: usize| {
            assert_eq!(rows.station().value(row), "hill");
            let numbers = [rows.observed(), rows.predicted(), rows.innovation()].map(|column| column.value(row));
            let (stores, gained) = (rows.store().value(row), rows.increment_mm().value(row));
            let (stores, gained) = (stores.as_string::<i32>(), gained.as_primitive::<Float64Type>());
            (numbers, (0..stores.len()).map(|at| (stores.value(at).to_owned(), gained.value(at))).collect())
        };
        (0..rows.len()).filter(|row| rows.variable().value(*row) == variable).map(row).collect::<Vec<_>>()
    };
    archived(store, "analysis.v1").into_iter().flat_map(of_batch).collect()
}

/// The day that ends the frost.
const THAW: i64 = 75;

/// The day-ahead forecasts of the thaw, summed, m³/s.
fn melt(store: &Path) -> f64 {
    let series = means(store).remove(&("hill".to_owned(), 86_400)).unwrap();
    let thaw: Timestamp = day(THAW + 5).parse().unwrap();
    series.iter().filter(|(time, _)| **time > thaw).map(|(_, mean)| mean).sum()
}

#[needs(onnxruntime)]
#[test]
fn snow_that_was_seen_is_there_when_it_melts() {
    let folder = tempfile::tempdir().unwrap();
    // More than fell, on three days of February and March; on another day it could not be seen.
    let seen = [(50, Some(400.0)), (57, Some(450.0)), (64, Some(480.0)), (71, None)];
    let definition = definition(folder.path(), THAW, ("snow_water_equivalent", "mm"), &seen);
    let filter = filter();
    let run = |error: &str| {
        let snow = format!("assimilation.snow={{ relative_error = {error}, absolute_error_mm = 5.0 }}");
        hindcast(&definition, [filter.clone(), vec![snow]].concat())
    };
    let (seen, doubted) = (run("0.01"), run("10.0"));

    let rows = ledger(seen.path(), "snow_water_equivalent");
    assert_eq!(rows.len(), 3, "the row without a value is none");
    for ([observed, predicted, innovation], gained) in rows {
        assert!(innovation > 0.0, "more was seen than the model had");
        assert!((innovation - (observed - predicted)).abs() < 1e-9, "in mm");
        for (name, mm) in gained {
            let of_snow = ["snow_store", "melt_water_store"].contains(&name.as_str());
            assert!(of_snow || mm == 0.0, "{name} gained {mm} mm");
            assert!(name != "snow_store" || mm > 1.0, "{name} gained {mm} mm");
        }
    }

    let (with, without) = (melt(seen.path()), melt(doubted.path()));
    assert!(with > 1.2 * without, "{with} and {without} m3/s over the thaw");

    let unused = nilometer("validate", &definition, &filter).output().unwrap();
    refused(&unused, &["source.seen.variable", "nothing uses", "[assimilation.snow]"]);
    let mut elsewhere = filter.clone();
    elsewhere.push(
        "assimilation.snow={ relative_error = 0.1, absolute_error_mm = 5.0, stores = [\"snowpack\"] }".to_owned(),
    );
    let unknown = nilometer("validate", &definition, &elsewhere).output().unwrap();
    refused(&unknown, &["assimilation.snow.stores", "snowpack", "snow_store"]);
}

#[needs(onnxruntime)]
#[test]
fn ground_that_was_seen_between_the_snow_has_less_to_melt() {
    let folder = tempfile::tempdir().unwrap();
    // Three days of February and March on which a fifth was white; on another there were clouds.
    let seen = [(50, Some(20.0)), (57, Some(20.0)), (64, Some(20.0)), (71, None)];
    let definition = definition(folder.path(), THAW, ("snow_covered_fraction", "%"), &seen);
    let filter = filter();
    let run = |error: &str| {
        let cover = format!("assimilation.snow_cover={{ sigma_mm = 200.0, error = {error} }}");
        hindcast(&definition, [filter.clone(), vec![cover]].concat())
    };
    let (seen, doubted) = (run("0.02"), run("1.0"));

    let rows = ledger(seen.path(), "snow_covered_fraction");
    assert_eq!(rows.len(), 3, "the row without a value is none");
    for ([observed, predicted, innovation], gained) in rows {
        assert!((observed - 0.2).abs() < 1e-12 && predicted <= 1.0 && innovation < 0.0, "{observed} {predicted}");
        for (name, mm) in gained {
            let of_snow = ["snow_store", "melt_water_store"].contains(&name.as_str());
            assert!(of_snow || mm == 0.0, "{name} gained {mm} mm");
            assert!(name != "snow_store" || mm < -1.0, "{name} gained {mm} mm");
        }
    }
    let (with, without) = (melt(seen.path()), melt(doubted.path()));
    assert!(with < 0.8 * without, "{with} and {without} m3/s over the thaw");

    let unused = nilometer("validate", &definition, &filter).output().unwrap();
    refused(&unused, &["source.seen.variable", "nothing uses", "[assimilation.snow_cover]"]);
    let mut flat = filter.clone();
    flat.push("assimilation.snow_cover={ sigma_mm = 0.0 }".to_owned());
    let flat = nilometer("validate", &definition, &flat).output().unwrap();
    refused(&flat, &["assimilation.snow_cover.sigma_mm", "0.001"]);
}

#[needs(onnxruntime)]
#[test]
fn soil_that_was_seen_corrects_once_its_climate_is_known() {
    let folder = tempfile::tempdir().unwrap();
    // A bucket that fills with the rain and leaks, seen every day; behind the training it is said to be as wet as it ever was.
    let mut bucket = 0.5_f64;
    let seen: Vec<(i64, Option<f64>)> = (1..=DAYS)
        .map(|n| {
            bucket = bucket * 0.95 + if n % 3 == 0 && n % 40 < 25 { 0.1 } else { 0.0 };
            (n, Some(if n > 70 { 0.45 } else { 0.1 + 0.25 * bucket }))
        })
        .collect();
    let definition = definition(folder.path(), 0, ("soil_moisture", "m3 m-3"), &seen);
    let run = |days: &[i64]| {
        let store = tempfile::tempdir().unwrap();
        for to in days {
            let mut set = filter();
            set.extend([
                "assimilation.soil_moisture={ from = \"2001-01-11T00:00:00Z\", to = \"2001-03-12T00:00:00Z\" }"
                    .to_owned(),
                format!("log.store={}", store.path().display()),
                format!("time.to={}", day(*to)),
                "log.snapshot_every=9".to_owned(),
            ]);
            succeed(nilometer("replay", &definition, &set));
        }
        store
    };
    let (whole, twice) = (run(&[DAYS]), run(&[65, DAYS]));
    let rows = ledger(whole.path(), "soil_moisture");
    // Days 70 to the last; those before only taught.
    assert_eq!(rows.len() as i64, DAYS - 69);
    for ([observed, predicted, innovation], gained) in &rows[1..4] {
        assert!((observed - 0.45).abs() < 1e-12 && *predicted < 0.45 && *innovation > 0.0, "{observed} {predicted}");
        assert!((innovation - (observed - predicted)).abs() < 1e-9, "in m3 m-3");
        for (name, mm) in gained {
            assert_eq!(*mm > 0.0, name == "soil_store", "{name} gained {mm} mm");
        }
    }
    assert_eq!(ledger(twice.path(), "soil_moisture"), rows, "what was learned stands in the snapshot");
    assert_eq!(means(twice.path()), means(whole.path()));
}

#[needs(onnxruntime)]
#[test]
fn what_a_folder_lacks_comes_from_a_source_beside_it() {
    let (folder, out) = (folder::Folder::new(folder::weather), tempfile::tempdir().unwrap());
    let rows: String = (1..=9).fold("basin,time,swe\n".to_owned(), |mut rows, day| {
        writeln!(rows, "{},1990-02-0{day},{day}.5", folder::BASINS[0]).unwrap();
        rows
    });
    fs::write(folder.path().join("snow.csv"), rows).unwrap();
    let source = "source.snow={ kind = \"table\", path = \"snow.csv\", station = { column = \"basin\" }, \
        time = { column = { name = \"time\", format = \"%Y-%m-%d\" } }, value = \"swe\", \
        variable = \"snow_water_equivalent\", unit = \"mm\" }";
    let data = format!("data={}", folder.path().display());
    let snow = "assimilation.snow={ relative_error = 0.1, absolute_error_mm = 5.0 }";
    let set = [
        format!("source.path={}", folder.path().display()),
        format!("model={}", root().join("models/zoo/dhbv").display()),
        data,
        source.to_owned(),
        snow.to_owned(),
        "assimilation.method=etkf".to_owned(),
        "assimilation.members=4".to_owned(),
        "time.from=1990-01-01T00:00:00Z".to_owned(),
        "time.to=1990-02-20T00:00:00Z".to_owned(),
    ];
    let mut command = nilometer("hindcast", &root().join("pipelines/definitions/camels-daily.toml"), &set);
    command.arg("--out").arg(out.path());
    succeed(command);
    let mut read = Vec::new();
    for batch in archived(out.path(), Contract::Observation.topic()) {
        let rows = Observations::try_from(batch).unwrap();
        let of_snow = (0..rows.len()).filter(|row| rows.variable().value(*row) == "snow_water_equivalent");
        read.extend(of_snow.map(|row| (rows.station().value(row).to_owned(), rows.value().value(row))));
    }
    let expected: Vec<_> = (1..=9).map(|day| (folder::BASINS[0].to_owned(), f64::from(day) + 0.5)).collect();
    assert_eq!(read, expected);

    let taken = set.map(|key| key.replace("source.snow=", "source.discharge="));
    let mut validate = nilometer("validate", &root().join("pipelines/definitions/camels-daily.toml"), &taken);
    refused(&validate.output().unwrap(), &["source.discharge: has the name of a source of the folder"]);
}
