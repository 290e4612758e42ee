//! The flood night: the Cance on 2014-11-04 as sixty stations on five rivers. The main gauge dies two hours before the peak, 40 % of the stations
//! go silent, and it rains twice as much as was forecast. `ops/flood-night` runs it and shows what it prints.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{
    archived,
    hours::{GAUGES, Hours},
    nilometer, succeed,
};
use nilometer_needs::needs;
use nilometer_schemas::{AlertState, Alerts, Contract, Forecasts, GaugeData, Timestamp};
use nilometer_testing::{Definition, TableSource, toml};

const RIVERS: usize = 5;
const STATIONS: usize = 60;
const HOUR: i64 = 3_600;
const FROM: &str = "2014-11-02T12:00:00Z";
const TO: &str = "2014-11-05T00:00:00Z";
/// Weather forecasts are issued every twelve hours and reach as far as this.
const AHEAD: i64 = 42;
/// Share of the highest flow that each threshold is.
const THRESHOLDS: [(&str, &str, f64); 4] = [
    ("action", "Action stage", 0.15),
    ("minor", "Minor flood", 0.35),
    ("moderate", "Moderate flood", 0.6),
    ("major", "Major flood", 0.85),
];

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A station: a gauge of the Cance on a river of another size.
struct Station {
    id: String,
    name: String,
    river: String,
    gauge: usize,
    /// area and flow beside those of the gauge
    scale: f64,
}

fn stations() -> Vec<Station> {
    let station = |number: usize| Station {
        id: format!("S{number:02}"),
        name: format!("Station {number} of River {}", number % RIVERS + 1),
        river: format!("River {}", number % RIVERS + 1),
        gauge: number % GAUGES.len(),
        scale: 1.0 + (number / GAUGES.len()) as f64 * 0.05,
    };
    (0..STATIONS).map(station).collect()
}

impl Hours {
    fn peak(&self, gauge: usize) -> (Timestamp, f64) {
        let of_gauge = self.flow.iter().filter(|((of, _), _)| *of == gauge).map(|((_, at), flow)| (*at, *flow));
        of_gauge.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
    }

    /// The last hour that each silent station reads: the main one two hours before its peak, the others up to four hours earlier.
    fn silent_from(&self) -> BTreeMap<usize, Timestamp> {
        let dies = self.peak(0).0.plus_s(-2 * HOUR);
        let silent = (0..STATIONS).filter(|number| number % 5 == 0 || number % 5 == 3);
        silent.map(|number| (number, dies.plus_s(-((number % 5 + number / 15) as i64 % 5) * HOUR))).collect()
    }

    /// The tables of sixty stations; `silent` stations stop.
    fn write(&self, folder: &Path, silent: &BTreeMap<usize, Timestamp>) {
        let (mut weather, mut flow, mut forecast) =
            ("gauge,time,rain,pet\n".to_owned(), "gauge,time,flow\n".to_owned(), "gauge,time,issued,mm\n".to_owned());
        for (number, station) in stations().iter().enumerate() {
            let of_gauge = |(gauge, _): &(usize, Timestamp)| *gauge == station.gauge;
            for ((_, at), [rain, pet]) in self.weather.iter().filter(|(key, _)| of_gauge(key)) {
                if *at > time(FROM) && *at <= time(TO) {
                    writeln!(weather, "{},{at},{rain},{pet}", station.id).unwrap();
                }
            }
            for ((_, at), read) in self.flow.iter().filter(|(key, _)| of_gauge(key)) {
                if silent.get(&number).is_none_or(|last| at <= last) {
                    writeln!(flow, "{},{at},{}", station.id, read * station.scale).unwrap();
                }
            }
            let mut issued = time(FROM);
            while issued < time(TO) {
                for hour in 1..=AHEAD {
                    let at = issued.plus_s(hour * HOUR);
                    // Half of what falls: it rains twice as much as was forecast.
                    let mm = self.weather.get(&(station.gauge, at)).map_or(0.0, |[rain, _]| rain / 2.0);
                    writeln!(forecast, "{},{at},{issued},{mm}", station.id).unwrap();
                }
                issued = issued.plus_s(12 * HOUR);
            }
        }
        fs::write(folder.join("weather.csv"), weather).unwrap();
        fs::write(folder.join("flow.csv"), flow).unwrap();
        fs::write(folder.join("nwp.csv"), forecast).unwrap();
    }

    fn definition(&self, folder: &Path) -> PathBuf {
        let sixty = Definition::new("flood-night", "1h", FROM, TO)
            .set("time.tick", "10min")
            .model("exphydro-cance")
            .section_of_cance("assimilation")
            .section_of_cance("forecast")
            .set("assimilation.members", 16)
            .set("forecast.every", "1h")
            .set("forecast.state_every", "6h")
            .set("forecast.scenario", "members")
            .set("forecast.score", false)
            .set("log.snapshot_every", 72)
            .weather_and_flow("10min")
            .source(
                "nwp",
                TableSource::new("nwp.csv", "mm", "precipitation", "mm")
                    .period("1h")
                    .set("forecast", toml! { issue_time = "issued" }),
            );
        let add = |definition: Definition, station: &Station| {
            let (gauge, area_km2) = GAUGES[station.gauge];
            let peak = self.peak(station.gauge).1 * station.scale;
            let threshold = |(id, name, share): (&str, &str, f64)| {
                let value = (peak * share * 10.0).round() / 10.0;
                toml::Value::Table(toml! { id = id
                name = name
                value = value
                unit = "m3 s-1"
                kind = "flow" })
            };
            let mut keys = toml! { timezone = "Europe/Paris" };
            keys.insert("parameters".to_owned(), gauge.into());
            keys.insert("name".to_owned(), station.name.clone().into());
            keys.insert("river".to_owned(), station.river.clone().into());
            keys.insert("thresholds".to_owned(), THRESHOLDS.map(threshold).to_vec().into());
            definition.catchment(&station.id, area_km2 * station.scale, keys)
        };
        stations().iter().fold(sixty, add).write(folder)
    }
}

/// What the archive says of alerts, in order.
fn alerts(store: &Path) -> Vec<Alerts> {
    archived(store, Contract::Alert.topic()).into_iter().map(|batch| Alerts::try_from(batch).unwrap()).collect()
}

/// Width of the 90 % interval over the median, by station, issue time and lead time.
fn widths(store: &Path) -> BTreeMap<(String, Timestamp, i64), f64> {
    let mut widths = BTreeMap::new();
    for batch in archived(store, Contract::Forecast.topic()) {
        let rows = Forecasts::try_from(batch).unwrap();
        for row in 0..rows.len() {
            let key = (
                rows.catchment().value(row).to_owned(),
                Timestamp(rows.issue_time().value(row)),
                rows.lead_time_s().value(row),
            );
            widths.insert(
                key,
                (rows.quantile(0.95).value(row) - rows.quantile(0.05).value(row)) / rows.quantile(0.5).value(row),
            );
        }
    }
    widths
}

#[needs(cance)]
#[test]
fn a_night_in_which_everything_fails_at_once_ends_with_a_short_list_and_no_alert_lost() {
    let folder = tempfile::tempdir().unwrap();
    let night = Hours::of_the_cance(folder.path(), FROM, TO);
    let (silent, peak) = (night.silent_from(), night.peak(0).0);
    let run = |name: &str, silent: &BTreeMap<usize, Timestamp>| {
        let data = folder.path().join(name);
        fs::create_dir(&data).unwrap();
        night.write(&data, silent);
        (night.definition(&data), data.join("store"))
    };
    let replay = |definition: &Path, store: &Path, to: Timestamp| {
        succeed(nilometer("replay", definition, &[format!("log.store={}", store.display()), format!("time.to={to}")]));
    };
    let (well, whole) = run("well", &BTreeMap::new());
    replay(&well, &whole, time(TO));
    let (dark, store) = run("dark", &silent);
    // Somebody is called, and takes note twenty minutes after the main gauge has died.
    replay(&dark, &store, silent[&0].plus_s(1_200));
    let mut acknowledge = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    acknowledge
        .args(["alerts", "acknowledge", "S00", "--by", "ana", "--note", "crew at the bridge", "--store"])
        .arg(&store);
    succeed(acknowledge);
    replay(&dark, &store, time(TO));

    // Forecasts go on, hour after hour, and are less sure where the gauge says nothing.
    let (with, without) = (widths(&whole), widths(&store));
    assert!(with.keys().eq(without.keys()), "no forecast is missing");
    let issued = peak.plus_s(2 * HOUR);
    let wider = |lead: i64| {
        let of_station = |number: &usize| {
            let key = (stations()[*number].id.clone(), issued, lead * HOUR);
            without[&key] / with[&key]
        };
        let mut ratios: Vec<f64> = silent.keys().map(of_station).collect();
        ratios.sort_by(f64::total_cmp);
        println!(
            "90 % bands of {} silent stations over their medians, {lead} h ahead: {:.2} times as wide (median), {:.2} to {:.2}",
            ratios.len(),
            ratios[ratios.len() / 2],
            ratios[0],
            ratios[ratios.len() - 1]
        );
        ratios
    };
    let [one, three, six] = [1, 3, 6].map(wider);
    assert!(one[0] > 1.0, "{one:?}");
    assert!(three[three.len() / 2] > 1.1 && six[six.len() / 2] > 1.1, "{three:?}, {six:?}");

    // No alert of a silent gauge falls.
    let mut raised = BTreeSet::new();
    let (mut warned, mut acknowledged) = (None, None);
    let ids: Vec<String> = stations().into_iter().map(|station| station.id).collect();
    let mut silent_alerts = 0;
    for rows in alerts(&store) {
        for row in 0..rows.len() {
            let (change, data) = (rows.change().value(row), rows.data().value(row));
            let (station, threshold) = (rows.station().value(row).to_owned(), rows.threshold().value(row).to_owned());
            let at = Timestamp(rows.time().value(row));
            if matches!(change, "lowered" | "cleared") {
                assert_eq!(data, GaugeData::Ok.name(), "{station} {threshold} at {at}");
            }
            silent_alerts += usize::from(data == "silent" && rows.state().value(row) == AlertState::Warning.name());
            if change == "raised" {
                raised.insert((station.clone(), threshold.clone()));
                let text = rows.text().value(row);
                let says = |what: &str| assert!(text.contains(what), "{text} says nothing of {what}");
                says(rows.station_name().value(row));
                says(rows.threshold_name().value(row));
                says("m³/s");
                says(if rows.reached().value(row) { "since " } else { " % chance of " });
                says(" to ");
            }
            // What the main gauge's last reading has led to.
            if station == "S00" && at > silent[&0] && at <= silent[&0].plus_s(3 * HOUR) {
                warned = warned.or(Some((at, rows.text().value(row).to_owned())));
                if change == "acknowledged" {
                    acknowledged = acknowledged.or(Some(at));
                }
            }
        }
    }
    assert!(silent_alerts > 0);
    println!(
        "{} thresholds of {} stations were crossed or expected to be",
        raised.len(),
        raised.iter().map(|(s, _)| s).collect::<BTreeSet<_>>().len()
    );
    assert!((100..=240).contains(&raised.len()), "{}", raised.len());

    let mut list = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    list.args(["alerts", "list", "--at", &peak.to_string()]).arg(&store);
    let listed = String::from_utf8(succeed(list).stdout).unwrap();
    println!("{listed}");
    let rivers = listed.lines().filter(|line| line.starts_with("River ") && line.contains(" warned of")).count();
    assert_eq!(rivers, RIVERS, "{listed}");
    assert!(listed.lines().count() <= 40, "a handful:\n{listed}");

    let ((at, text), acknowledged) = (warned.unwrap(), acknowledged.unwrap());
    let minutes = |at: Timestamp| at.seconds_since(silent[&0]) / 60;
    println!("last reading of the main gauge at {}; {} minutes to its alert: {text}", silent[&0], minutes(at));
    println!("{} minutes to its acknowledgement", minutes(acknowledged));
    assert!(minutes(at) <= 10 && minutes(acknowledged) <= 30);
    // The other stations' numbers are those of the night in which nothing fails.
    let reading = ids.iter().enumerate().filter(|(number, _)| !silent.contains_key(number)).map(|(_, id)| id);
    for id in reading {
        let key = (id.clone(), issued, 6 * HOUR);
        assert_eq!(with[&key].to_bits(), without[&key].to_bits(), "{id}");
    }
}
