//! The game day: each thing that an alert is about is broken on purpose in a running demonstration. Exactly its alert has to fire on a real Prometheus,
//! reach a real Alertmanager, and clear when the thing is mended. `ops/gameday` runs it and shows the table.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a drill ends where it cannot go on")]

#[path = "../support/mod.rs"]
mod support;

mod feed;
mod house;
mod monitor;
mod one_process;
mod over_kafka;
mod receiver;
mod scaled;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use house::House;

/// A thing that is broken.
pub struct Fault {
    /// those that have to fire and clear
    pub alerts: &'static [&'static str],
    /// what is done
    pub what: &'static str,
    /// those that may fire too, as they say the same from another side
    pub beside: &'static [&'static str],
    pub breaks: fn(&mut House),
    /// what goes on while it is broken, four times a second
    pub keeps: fn(&mut House),
    pub mends: fn(&mut House),
}

/// How long an alert may take, to fire and to clear. Windows of a day are minutes here.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long nothing is to be the matter before something is broken.
const CALM: Duration = Duration::from_secs(8);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What one alert did.
struct Row {
    alert: &'static str,
    what: &'static str,
    receiver: String,
    fired: Option<Duration>,
    cleared: Option<Duration>,
    beside: BTreeSet<String>,
    unexpected: BTreeSet<String>,
}

impl Row {
    fn holds(&self) -> bool {
        self.fired.is_some() && self.cleared.is_some() && self.unexpected.is_empty()
    }
}

fn main() {
    let only: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let wanted = |faults: &'static [Fault]| -> Vec<&'static Fault> {
        let is_wanted =
            |fault: &&Fault| only.is_empty() || fault.alerts.iter().any(|alert| only.iter().any(|o| o == alert));
        faults.iter().filter(is_wanted).collect()
    };
    let mut rows = Vec::new();
    for (open, faults) in [
        (one_process::open as fn() -> House, one_process::FAULTS),
        (one_process::open_judged, one_process::JUDGED),
        (over_kafka::open, over_kafka::SLOWLY),
        (over_kafka::open_fast, over_kafka::FAST),
    ] {
        let faults = wanted(faults);
        if faults.is_empty() {
            continue;
        }
        let mut house = open();
        for fault in faults {
            rows.extend(drill(&mut house, fault));
        }
    }
    let held = table(&rows);
    println!("\n{held} of {} alerts have fired, alone, and cleared", rows.len());
    std::process::exit(i32::from(held < rows.len()));
}

fn drill(house: &mut House, fault: &Fault) -> Vec<Row> {
    println!("\n{}", fault.what);
    calm(house);
    let mut rows: Vec<Row> = fault
        .alerts
        .iter()
        .map(|alert| Row {
            alert,
            what: fault.what,
            receiver: String::new(),
            fired: None,
            cleared: None,
            beside: BTreeSet::new(),
            unexpected: BTreeSet::new(),
        })
        .collect();
    (fault.breaks)(house);
    let begun = Instant::now();
    while rows.iter().any(|row| row.fired.is_none()) && begun.elapsed() < PATIENCE {
        std::thread::sleep(LOOK_EVERY);
        (fault.keeps)(house);
        let active = house.active();
        note(&mut rows, fault, &active);
        for row in rows.iter_mut().filter(|row| row.fired.is_none()) {
            if let Some(found) = active.iter().find(|found| found.name == row.alert) {
                (row.fired, row.receiver) = (Some(begun.elapsed()), found.receiver.clone());
                println!("  {} fired after {:.0} s", row.alert, begun.elapsed().as_secs_f64());
            }
        }
    }
    (fault.mends)(house);
    let (begun, mut since) = (Instant::now(), Instant::now());
    // What is away for a moment, as a process that starts again, has not cleared.
    while since.elapsed() < CALM && begun.elapsed() < PATIENCE {
        let active = house.active();
        note(&mut rows, fault, &active);
        if !active.is_empty() {
            since = Instant::now();
        }
        for row in rows.iter_mut().filter(|row| row.fired.is_some()) {
            let is_active = active.iter().any(|found| found.name == row.alert);
            row.cleared = if is_active { None } else { row.cleared.or(Some(begun.elapsed())) };
        }
        std::thread::sleep(LOOK_EVERY);
    }
    for row in &rows {
        println!("  {} cleared after {}", row.alert, seconds(row.cleared));
    }
    for row in rows.iter().filter(|row| !row.holds()) {
        println!(
            "  {} DOES NOT HOLD: fired {:?}, cleared {:?}, also {:?}",
            row.alert, row.fired, row.cleared, row.unexpected
        );
        println!("{}", house.said());
    }
    rows
}

/// Waits until nothing has been the matter for a while, so that the last fault is over also where no alert looks.
fn calm(house: &House) {
    let (begun, mut since) = (Instant::now(), Instant::now());
    let mut loud = BTreeSet::new();
    while since.elapsed() < CALM {
        let active: BTreeSet<String> = house.active().into_iter().map(|alert| alert.name).collect();
        if !active.is_empty() {
            (since, loud) = (Instant::now(), active);
        }
        if begun.elapsed() > PATIENCE {
            println!("  it was not calm before: {loud:?}");
            return;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn note(rows: &mut [Row], fault: &Fault, active: &[monitor::Active]) {
    for name in active.iter().map(|found| &found.name).filter(|name| !fault.alerts.contains(&name.as_str())) {
        let is_beside = fault.beside.contains(&name.as_str());
        for row in &mut *rows {
            if if is_beside { &mut row.beside } else { &mut row.unexpected }.insert(name.clone()) && !is_beside {
                println!("  {name} fired too");
            }
        }
    }
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or("never".to_owned(), |time| format!("{:.0} s", time.as_secs_f64()))
}

/// Prints what each did; gives how many held.
fn table(rows: &[Row]) -> usize {
    println!("\n| what was broken | alert | to | fired after | cleared after | beside it |\n|---|---|---|---|---|---|");
    for row in rows {
        let beside: Vec<String> =
            row.beside.iter().cloned().chain(row.unexpected.iter().map(|name| format!("**{name}**"))).collect();
        println!(
            "| {} | {} | {} | {} | {} | {} |",
            row.what,
            row.alert,
            row.receiver,
            seconds(row.fired),
            seconds(row.cleared),
            beside.join(", ")
        );
    }
    rows.iter().filter(|row| row.holds()).count()
}
