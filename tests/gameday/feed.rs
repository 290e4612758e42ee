//! What delivers: rain, evapotranspiration, gauges and a weather forecast as they would come, hour by hour of the exercise, into tables that grow.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use nilometer_engine::{Exercise, now};
use nilometer_schemas::Timestamp;

use crate::support::hours::Hours;

const HOUR: i64 = 3_600;
/// A weather forecast comes every twelve hours and reaches as far as this.
const AHEAD: i64 = 38;
/// What is delivered, each into a table of its own, with its header.
pub const TABLES: [(&str, &str); 5] = [
    ("rain", "gauge,time,rain"),
    ("pet", "gauge,time,pet"),
    ("flow", "gauge,time,flow"),
    ("far", "gauge,time,flow"),
    ("nwp", "gauge,time,issued,mm"),
];

/// A station: a gauge of the Cance, its area and flow multiplied.
#[derive(Clone)]
pub struct Station {
    pub id: String,
    pub gauge: usize,
    pub scale: f64,
    /// whether its readings come by the table `far`
    pub far: bool,
}

/// What is wrong with what is delivered.
#[derive(Default)]
struct Wrong {
    held: BTreeSet<&'static str>,
    factors: BTreeMap<String, f64>,
}

pub struct Feed {
    wrong: Arc<Mutex<Wrong>>,
    ended: Arc<AtomicBool>,
    folder: PathBuf,
}

/// What time it is in an exercise.
pub fn time(exercise: Exercise) -> Timestamp {
    Timestamp(exercise.shows.0 + ((now().0 - exercise.at.0) as f64 * exercise.speed) as i64)
}

/// Appends to a table.
pub fn append(folder: &Path, table: &str, text: &str) {
    let file = OpenOptions::new().create(true).append(true).open(folder.join(format!("{table}.csv")));
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

struct Tables {
    folder: PathBuf,
    hours: Hours,
    stations: Vec<Station>,
    /// the next hour of each
    next: BTreeMap<&'static str, Timestamp>,
}

impl Tables {
    /// Writes what has come up to an hour and is not held back.
    fn write(&mut self, until: Timestamp, wrong: &Wrong) {
        for (table, _) in TABLES.iter().filter(|(table, _)| !wrong.held.contains(table)) {
            let mut text = String::new();
            let next = self.next.get_mut(table).unwrap();
            while *next <= until {
                for station in &self.stations {
                    row(&mut text, table, station, *next, &self.hours, wrong);
                }
                *next = next.plus_s(HOUR);
            }
            if !text.is_empty() {
                append(&self.folder, table, &text);
            }
        }
    }
}

fn row(text: &mut String, table: &str, station: &Station, at: Timestamp, hours: &Hours, wrong: &Wrong) {
    let id = &station.id;
    let weather = |at: Timestamp| hours.weather.get(&(station.gauge, at)).copied().unwrap_or_default();
    match table {
        "rain" => writeln!(text, "{id},{at},{}", weather(at)[0]).unwrap(),
        "pet" => writeln!(text, "{id},{at},{}", weather(at)[1]).unwrap(),
        "nwp" if at.is_multiple_of_s(12 * HOUR) => {
            for hour in 1..=AHEAD {
                let valid = at.plus_s(hour * HOUR);
                writeln!(text, "{id},{valid},{at},{}", weather(valid)[0]).unwrap();
            }
        }
        "flow" | "far" if station.far == (table == "far") => {
            if let Some(read) = hours.flow.get(&(station.gauge, at)) {
                let factor = station.scale * wrong.factors.get(id).unwrap_or(&1.0);
                writeln!(text, "{id},{at},{:.5}", read * factor).unwrap();
            }
        }
        _ => {}
    }
}

impl Feed {
    /// Writes the tables from one time to another; gives what goes on with them.
    pub fn begin(
        folder: &Path,
        hours: Hours,
        stations: Vec<Station>,
        from: Timestamp,
        to: Timestamp,
    ) -> impl FnOnce(Exercise) -> Self {
        for (table, header) in TABLES {
            append(folder, table, &format!("{header}\n"));
        }
        let next = TABLES.map(|(table, _)| (table, from)).into();
        let mut tables = Tables { folder: folder.to_owned(), hours, stations, next };
        tables.write(to, &Wrong::default());
        let folder = folder.to_owned();
        move |exercise| {
            let feed = Self { wrong: Arc::default(), ended: Arc::default(), folder };
            let (wrong, ended) = (feed.wrong.clone(), feed.ended.clone());
            std::thread::spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    tables.write(time(exercise).floor_s(HOUR), &wrong.lock().unwrap());
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
            feed
        }
    }

    /// Holds a table back, or lets it go on with what was held.
    pub fn hold(&self, table: &'static str, held: bool) {
        let mut wrong = self.wrong.lock().unwrap();
        if held {
            wrong.held.insert(table)
        } else {
            wrong.held.remove(table)
        };
    }

    /// Multiplies what a station reads from now on.
    pub fn multiply(&self, station: &str, factor: f64) {
        self.wrong.lock().unwrap().factors.insert(station.to_owned(), factor);
    }

    /// A line that is none.
    pub fn garbage(&self, table: &str) {
        append(&self.folder, table, "S00,tomorrow,high\n");
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}
