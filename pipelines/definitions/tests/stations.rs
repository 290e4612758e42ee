//! Names, places and thresholds of stations, in a definition and from an agency's table.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where it cannot go on")]

use std::fs;

use nilometer_definitions::{Pipeline, ThresholdKind};
use nilometer_testing::{Definition, toml};

/// A pipeline of two gauges.
struct Case {
    folder: tempfile::TempDir,
    definition: Definition,
}

impl Case {
    fn new(gauges: [&str; 2]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for file in ["weather.csv", "flow.csv"] {
            fs::write(folder.path().join(file), "gauge,time,rain,pet,flow\n").unwrap();
        }
        let definition = Definition::new("stations", "1h", "2014-10-25T00:00:00Z", "2014-11-06T00:00:00Z")
            .catchments(gauges.map(|gauge| (gauge, 107.0)))
            .weather_and_flow("0s")
            .model("hybrid-cance")
            .section("assimilation", toml! { method = "etkf" members = 4 seed = 1 })
            .section("forecast", toml! { horizon = "24h" scenario = "zero" wait = "3h" });
        Self { folder, definition }
    }

    /// With `[stations]` of an agency that writes -9999 for none.
    fn table(mut self, rows: &str) -> Self {
        let header = "lid,usgs,name,lat,lon,action,flood,moderate,major\n";
        fs::write(self.folder.path().join("nws.csv"), format!("{header}{rows}")).unwrap();
        let section = toml! {
            path = "nws.csv"
            station = "usgs"
            name = "name"
            latitude = "lat"
            longitude = "lon"
            missing = [-9999.0]
            thresholds = [
                { id = "action", column = "action", unit = "ft", kind = "stage", source = "NWS" },
                { id = "minor", name = "Minor flood", column = "flood", unit = "ft", kind = "stage" },
                { id = "moderate", column = "moderate", unit = "ft", kind = "stage" },
                { id = "major", column = "major", unit = "ft", kind = "stage" },
            ]
        };
        self.definition = self.definition.section("stations", section);
        self
    }

    fn load(&self, set: &[&str]) -> Result<Pipeline, String> {
        let file = self.definition.write(self.folder.path());
        let set: Vec<String> = set.iter().map(|set| (*set).to_owned()).collect();
        // Most gauges here are none of the model's; what is said of that is not asked.
        Pipeline::load(&file, &set).map_err(|error| {
            let problems = error.problems.iter().filter(|problem| problem.path != "model.package");
            problems.map(|problem| format!("{}: {}\n", problem.path, problem.message)).collect()
        })
    }
}

const USUAL: &str = "BARG1,1000001,Creek at Town,45.5,-84.25,8,8,10,12.5\nNONE1,01000002,River,45,-84,-9999,,,\n";

#[test]
fn a_table_names_places_and_thresholds_and_the_definition_counts_first() {
    let gauges = ["V3524010", "V3515010"];
    let mut case = Case::new(gauges).table(&USUAL.replace("1000001", gauges[0]).replace("01000002", gauges[1]));
    let own = toml! {
        id = "V3524010"
        area_km2 = 107.0
        name = "Our name"
        timezone = "America/Detroit"
    };
    let other = toml! {
        id = "V3515010"
        area_km2 = 107.0
        flood_thresholds_m3_s = [300, 150.5]
    };
    case.definition = case.definition.set("catchment", vec![own, other]);
    let pipeline = case.load(&[]).unwrap_or_else(|problems| panic!("{problems}"));
    let [first, second] = pipeline.catchments.as_slice() else { panic!("two catchments") };
    assert_eq!((first.name(), second.name()), ("Our name", "River"));
    assert_eq!((first.latitude, first.longitude), (Some(45.5), Some(-84.25)));
    let stages = |id: &str| first.thresholds.iter().find(|t| t.id == id).unwrap();
    assert!((stages("minor").canonical() - 8.0 * 0.3048).abs() < 1e-12 && stages("minor").name() == "Minor flood");
    assert_eq!((stages("major").kind, first.thresholds.len()), (ThresholdKind::Stage, 4));
    assert_eq!(stages("action").source.as_deref(), Some("NWS"));
    assert_eq!(first.flood_flows_m3_s(), [0.0; 0]);
    assert_eq!(second.flood_flows_m3_s(), [150.5, 300.0], "as earlier builds spelled them");
    let warning = pipeline.warnings.iter().find(|warning| warning.path.ends_with("thresholds")).unwrap();
    assert!(warning.message.contains("no [[rating.V3524010]]"), "{}", warning.message);
}

/// Two rows as the National Weather Service publishes them: in the first the moderate stage has lost its point, in the second action lies above flood.
#[test]
fn thresholds_out_of_order_are_refused_by_the_name_of_their_station() {
    let rows = "CNGK1,03320500,Green River,37.6,-86.9,1280,1289,12950,1321\n\
                PTZM7,07074250,Black River,36.2,-91.2,18,10,,\n";
    let error = Case::new(["03320500", "07074250"]).table(rows).load(&[]).unwrap_err();
    assert!(
        error.contains("moderate at 12950 ft, then major at 1321 ft") && error.contains("station 03320500"),
        "{error}"
    );
    assert!(error.contains("action at 18 ft, then minor at 10 ft") && error.contains("station 07074250"), "{error}");
}

#[test]
fn what_is_no_level_is_refused_with_what_is_accepted() {
    let gauges = ["01000001", "01000002"];
    let refused = |rows: &str, set: &[&str]| Case::new(gauges).table(rows).load(set).unwrap_err();
    let missing = refused(USUAL, &["stations.missing=[]"]);
    assert!(missing.contains("action at -9999 ft") && missing.contains("stations.missing"), "{missing}");
    assert!(missing.contains("station 01000002"), "{missing}");
    let text = refused("X,1000001,a,1,2,high,,,\n", &[]);
    assert!(text.contains("row 1, station 01000001: column action has \"high\""), "{text}");
    let twice = refused(&format!("{USUAL}X,001000001,again,1,2,3,,,\n"), &[]);
    assert!(twice.contains("station 01000001 in rows 1 and 3"), "{twice}");
    let column = refused(USUAL, &["stations.river=\"stream\""]);
    assert!(column.contains("has no column \"stream\"; its columns are lid, usgs"), "{column}");
    let place = refused("X,1000001,a,95,2,,,,\n", &[]);
    assert!(place.contains("latitude: is 95; accepted is −90 to 90"), "{place}");
    assert!(refused(USUAL, &["stations.path=\"absent.csv\""]).contains("cannot be read"));

    let thresholds = |thresholds: &str| {
        let mut case = Case::new(gauges);
        let text =
            format!("id = \"01000001\"\narea_km2 = 1.0\ntimezone = \"Europe/Parris\"\nthresholds = [{thresholds}]");
        let first = text.parse::<toml::Table>().unwrap();
        let second = toml! { id = "01000002" area_km2 = 1.0 };
        case.definition = case.definition.set("catchment", vec![first, second]);
        case.load(&[]).unwrap_err()
    };
    let flow = |id: &str, value: &str, unit: &str| {
        format!("{{ id = \"{id}\", value = {value}, unit = \"{unit}\", kind = \"flow\" }}")
    };
    let all = thresholds(
        &[
            flow("a", "5", "m"),
            flow("b", "0", "m3 s-1"),
            flow("c", "1", "mm d-1"),
            flow("A b", "9", "m3 s-1"),
            flow("d", "nan", "m3 s-1"),
        ]
        .join(","),
    );
    for said in [
        "a, whose unit \"m\" does not measure discharge; accepted is",
        "b at 0 m3 s-1; accepted are flows above 0",
        "c, whose \"mm d-1\" is a depth",
        "the id \"A b\"; accepted are a to z",
        "d at NaN m3 s-1",
        "timezone: is \"Europe/Parris\"; accepted is a name of the IANA database",
    ] {
        assert!(all.contains(said), "{said} is not in\n{all}");
    }
    let twice = thresholds(&[flow("a", "5", "m3 s-1"), flow("a", "6", "m3 s-1")].join(","));
    assert!(twice.contains("has a twice; accepted is each id once"), "{twice}");
    let dry = "{ id = \"dry\", value = -1, unit = \"m3 s-1\", kind = \"flow\", below = true }";
    assert!(thresholds(dry).contains("dry at -1 m3 s-1; accepted are flows of 0 or more"));
    let low = "{ id = \"q7q2\", value = 3, unit = \"m3 s-1\", kind = \"flow\", below = true }, \
               { id = \"q7q10\", value = 4, unit = \"m3 s-1\", kind = \"flow\", below = true }";
    assert!(thresholds(low).contains("q7q2 at 3 m3 s-1, then q7q10 at 4 m3 s-1"), "a lower one is reached later");
}
