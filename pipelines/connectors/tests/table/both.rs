//! What a replay and operations find alike.

use std::fs;

use nilometer_connectors::{Cursor, Look, Window};
use nilometer_schemas::{Reason, Timestamp};
use nilometer_transforms::Payload;

use crate::{FLOW, LOCAL, Row, delay, folder, hour, open, options, rows, seen};

#[test]
fn the_doubled_hour_has_the_same_instants_in_a_replay_and_as_the_file_grows() {
    let lines = ["2014-11-02 00:00,1", "2014-11-02 01:00,2", "2014-11-02 01:00,3", "2014-11-02 02:00,4"];
    let expected: Vec<(Timestamp, Option<f64>)> = ["04", "05", "06", "07"]
        .map(|hour| format!("2014-11-02T{hour}:00:00Z").parse().unwrap())
        .into_iter()
        .zip([1.0, 2.0, 3.0, 4.0].map(Some))
        .collect();
    let said = |found: Vec<Row>| found.into_iter().map(|(_, time, _, value)| (time, value)).collect::<Vec<_>>();
    let flow = options(LOCAL);
    let root = folder(&format!("time,flow\n{}\n", lines.join("\n")));
    let mut replay = open(&flow, delay("0s"), &root, Window::ALL);
    let mut cursor = Cursor::default();
    let mut hourly = Vec::new();
    for (time, _) in &expected {
        let (batches, next) = replay.read(&cursor, Look::at(*time)).unwrap();
        let (found, dead_letters) = rows(&flow, &batches);
        assert!(dead_letters.is_empty(), "{dead_letters:?}");
        hourly.extend(found);
        cursor = next;
    }
    assert_eq!(said(hourly), expected, "the file around it says which 01:00 a batch of one holds");

    let root = folder("time,flow\n");
    let mut growing = open(&flow, seen(), &root, Window::ALL);
    let (mut cursor, mut seen) = (Cursor::default(), Vec::new());
    for (count, (time, _)) in expected.iter().enumerate() {
        fs::write(root.path().join("flow.csv"), format!("time,flow\n{}\n", lines[..=count].join("\n"))).unwrap();
        let (batches, next) = growing.read(&cursor, Look::at(*time)).unwrap();
        seen.extend(rows(&flow, &batches).0);
        cursor = next;
    }
    assert_eq!(said(seen), expected);
    // A window that has rolled on into the doubled hour, and a new row.
    fs::write(root.path().join("flow.csv"), format!("time,flow\n{}\n2014-11-02 03:00,5\n", lines[2..].join("\n")))
        .unwrap();
    let (batches, _) = growing.read(&cursor, Look::at("2014-11-02T09:00:00Z".parse().unwrap())).unwrap();
    assert_eq!(said(rows(&flow, &batches).0), [("2014-11-02T08:00:00Z".parse().unwrap(), Some(5.0))]);
}

#[test]
fn what_stands_around_the_rows_of_an_rdb_file_is_passed_over() {
    let flow = options(&format!(
        "{}\n    comment = \"#\"\n    skip_lines = 1\n    skip_after_header = 1\n    delimiter = \"\\t\"",
        LOCAL.replace("America/New_York", "UTC")
    ));
    let rdb = |retrieved: &str, rows: &str| {
        format!("National service, retrieved {retrieved}\n# by anyone\ntime\tflow\n20d\t14n\n# first\n{rows}")
    };
    let rows_before = "1970-01-01 00:00\t1\n# a remark\n1970-01-01 01:00\t2\n";
    let root = folder(&rdb("today", rows_before));
    let expected = [(6, hour(0), hour(0), Some(1.0)), (8, hour(1), hour(1), Some(2.0))];
    let mut replay = open(&flow, delay("0s"), &root, Window::ALL);
    let (batches, _) = replay.read(&Cursor::default(), Look::at(hour(9))).unwrap();
    assert_eq!(rows(&flow, &batches).0, expected);
    assert!(rows(&flow, &batches).1.is_empty());

    let mut growing = open(&flow, seen(), &root, Window::ALL);
    let (batches, cursor) = growing.read(&Cursor::default(), Look::at(hour(9))).unwrap();
    let found: Vec<_> = rows(&flow, &batches).0.into_iter().map(|(line, time, _, value)| (line, time, value)).collect();
    assert_eq!(found, [(6, hour(0), Some(1.0)), (8, hour(1), Some(2.0))]);
    let later = rdb("tomorrow", &format!("{rows_before}1970-01-01 02:00\t3\n"));
    fs::write(root.path().join("flow.csv"), later).unwrap();
    let (batches, _) = growing.read(&cursor, Look::at(hour(10))).unwrap();
    assert_eq!(rows(&flow, &batches).0, [(9, hour(2), hour(10), Some(3.0))], "another day of retrieval is no news");

    let root = folder("by anyone\ntime\tflow\n1970-01-01 00:00\t1\n1970-01-01 01:00\t2\n");
    let mut replay = open(&flow, delay("0s"), &root, Window::ALL);
    let (batches, _) = replay.read(&Cursor::default(), Look::at(hour(9))).unwrap();
    let Payload::Unreadable { reason: Reason::HeaderChanged, detail, .. } = &batches[0].payload else {
        panic!("{batches:?}")
    };
    assert!(detail.contains("skip_after_header = 1"), "a row is not passed over: {detail}");
}

#[test]
fn a_file_larger_than_allowed_is_one_dead_letter_and_not_loaded() {
    let root = folder("site,time,code,flow\na,0,,1\n");
    let file = fs::File::options().write(true).open(root.path().join("flow.csv")).unwrap();
    file.set_len((1 << 30) + 1).unwrap();
    let window = Window { from: hour(0), until: hour(9) };
    let flow = options(FLOW);
    let (batches, _) = open(&flow, delay("0s"), &root, window).read(&Cursor::default(), Look::at(hour(0))).unwrap();
    let Payload::Unreadable { detail, bytes, rows: 1, .. } = &batches[0].payload else { panic!("it was loaded") };
    assert!(bytes.len() == 1 << 20 && detail.contains("at most 1073741824"), "{detail}");
    let mut growing = open(&flow, seen(), &root, window);
    let (batches, cursor) = growing.read(&Cursor::default(), Look::at(hour(1))).unwrap();
    assert_eq!(batches.len(), 1);
    file.set_len((1 << 30) + 2).unwrap();
    assert!(growing.read(&cursor, Look::at(hour(2))).unwrap().0.is_empty());
}
