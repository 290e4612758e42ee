//! What is seen of the snow moves the model's snow, and with it the flood of its melt.

#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod support;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use arrow::{
    array::{Array, AsArray},
    datatypes::Float64Type,
};
use nilometer_schemas::Analyses;
use support::{archived, folder, means, nilometer, refused, root, succeed};

const DAYS: i64 = 100;
/// Frost until then.
const THAW: i64 = 75;

/// A definition of one catchment with daily weather, discharge and, on a few days, the water of its snow.
fn snowy(folder: &Path) -> PathBuf {
    let begin = "2001-01-01".parse::<nilometer_schemas::Timestamp>().unwrap();
    let day = |n: i64| begin.plus_s(n * 86_400).to_string();
    let (mut weather, mut flow) = ("end,prcp,tmin,tmax,dayl,srad,vp\n".to_owned(), "end,flow\n".to_owned());
    for n in 1..=DAYS {
        let (cold, warm) = if n < THAW { (-9.0, -3.0) } else { (4.0, 12.0) };
        writeln!(weather, "{},{},{cold},{warm},0.45,150,500", day(n), if n % 3 == 0 { 12.0 } else { 0.0 }).unwrap();
        writeln!(flow, "{},3.0", day(n)).unwrap();
    }
    fs::write(folder.join("weather.csv"), weather).unwrap();
    fs::write(folder.join("flow.csv"), flow).unwrap();
    // Twice as much as fell, on three days of February; on a day of March nobody could see it.
    let seen = format!("end,swe\n{},400\n{},450\n{},480\n{},\n", day(50), day(57), day(64), day(71));
    fs::write(folder.join("snow.csv"), seen).unwrap();

    let table = |name: &str, file: &str, column: &str, variable: &str, unit: &str, more: &str| {
        format!(
            "[source.{name}]\nkind = \"table\"\npath = \"{file}.csv\"\nstation = {{ constant = \"hill\" }}\n\
             time = {{ column = {{ name = \"end\", format = \"rfc3339\" }} }}\nvalue = \"{column}\"\n\
             variable = \"{variable}\"\nunit = \"{unit}\"\n{more}\n"
        )
    };
    let mut sources = table("discharge", "flow", "flow", "discharge", "m3 s-1", "");
    sources += &table("snow", "snow", "swe", "snow_water_equivalent", "mm", "");
    for (column, variable, unit) in [
        ("prcp", "precipitation", "mm"),
        ("tmin", "minimum_air_temperature", "degC"),
        ("tmax", "maximum_air_temperature", "degC"),
        ("dayl", "day_length", "d"),
        ("srad", "shortwave_radiation", "W m-2"),
        ("vp", "vapour_pressure", "Pa"),
    ] {
        sources += &table(column, "weather", column, variable, unit, "period = \"1d\"\ndelay = \"-10d\"");
    }
    let attributes: Vec<String> =
        folder::middling_attributes().into_iter().map(|(name, value)| format!("{name} = {value:?}")).collect();
    let camels = fs::read_to_string(root().join("pipelines/definitions/camels-daily.toml")).unwrap();
    let model_and_errors =
        camels[camels.find("[model]").unwrap()..].replace("../../", &format!("{}/", root().display()));
    let text = format!(
        "name = \"snowy\"\ndata = \".\"\n[time]\nstep = \"1d\"\nfrom = \"2001-01-01T00:00:00Z\"\nto = \"{}\"\n\
         [[catchment]]\nid = \"hill\"\narea_km2 = 864.0\nattributes = {{ {} }}\n{sources}{model_and_errors}",
        day(DAYS),
        attributes.join(", ")
    );
    let definition = folder.join("snowy.toml");
    fs::write(&definition, text).unwrap();
    definition
}

#[test]
fn snow_that_was_seen_is_there_when_it_melts() {
    let folder = tempfile::tempdir().unwrap();
    let definition = snowy(folder.path());
    let filter = [
        format!("model.package={}", root().join("models/zoo/dhbv").display()),
        "assimilation.method=etkf".to_owned(),
        "assimilation.members=24".to_owned(),
        "forecast.horizon=3d".to_owned(),
    ];
    let run = |relative_error: &str| {
        let store = tempfile::tempdir().unwrap();
        let mut set = filter.to_vec();
        set.push(format!("assimilation.snow={{ relative_error = {relative_error}, absolute_error_mm = 5.0 }}"));
        let mut hindcast = nilometer("hindcast", &definition, &set);
        hindcast.arg("--out").arg(store.path());
        succeed(hindcast);
        store
    };
    let (seen, doubted) = (run("0.01"), run("10.0"));

    // Water, mm, by store, of the rows about snow.
    let mut told = 0;
    for batch in archived(seen.path(), "analysis.v1") {
        let rows = Analyses::try_from(batch).unwrap();
        for row in (0..rows.len()).filter(|row| rows.variable().value(*row) == "snow_water_equivalent") {
            told += 1;
            assert_eq!((rows.unit().value(row), rows.station().value(row)), ("mm", "hill"));
            assert!(rows.innovation().value(row) > 0.0, "more was seen than the model had");
            let innovation = rows.observed().value(row) - rows.predicted().value(row);
            assert!((innovation - rows.innovation().value(row)).abs() < 1e-9);
            let (stores, gained) = (rows.store().value(row), rows.increment_mm().value(row));
            let (stores, gained) = (stores.as_string::<i32>(), gained.as_primitive::<Float64Type>());
            for at in 0..stores.len() {
                let of_snow = ["snow_store", "melt_water_store"].contains(&stores.value(at));
                assert!(of_snow || gained.value(at) == 0.0, "{} gained {} mm", stores.value(at), gained.value(at));
                assert!(stores.value(at) != "snow_store" || gained.value(at) > 1.0);
            }
        }
    }
    assert_eq!(told, 3, "the row without a value is none");

    // The day-ahead forecasts of the thaw.
    let melt = |store: &Path| {
        let series = means(store).remove(&("hill".to_owned(), 86_400)).unwrap();
        let thaw = "2001-01-01".parse::<nilometer_schemas::Timestamp>().unwrap().plus_s((THAW + 5) * 86_400);
        series.iter().filter(|(time, _)| **time > thaw).map(|(_, mean)| mean).sum::<f64>()
    };
    let (with, without) = (melt(seen.path()), melt(doubted.path()));
    assert!(with > 1.2 * without, "{with} and {without} m3/s over the thaw");

    let unused = nilometer("validate", &definition, &filter).output().unwrap();
    refused(&unused, &["source.snow.variable", "nothing uses", "[assimilation.snow]"]);
    let mut elsewhere = filter.to_vec();
    elsewhere.push(
        "assimilation.snow={ relative_error = 0.1, absolute_error_mm = 5.0, stores = [\"snowpack\"] }".to_owned(),
    );
    let unknown = nilometer("validate", &definition, &elsewhere).output().unwrap();
    refused(&unknown, &["assimilation.snow.stores", "snowpack", "snow_store"]);
}
