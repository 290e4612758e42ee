//! Tables in temporary folders.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where its input is refused")]

use std::{fs, io::Write, sync::Arc};

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use nilometer_connectors::{Arrival, Cursor, Look, Source, TableOptions, Window};
use nilometer_schemas::{DeadLetterRow, Reason, Timestamp};
use nilometer_transforms::{Payload, RawBatch, decode};
use parquet::{
    arrow::ArrowWriter,
    basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel},
    file::properties::WriterProperties,
};
use proptest::prelude::*;
use tempfile::TempDir;

const FLOW: &str = r#"
    path = "flow.csv"
    station = { column = "site" }
    time = { column = { name = "time", format = "unix_s" } }
    value = "flow"
    qualifier = "code"
    variable = "discharge"
    unit = "m3 s-1"
    missing = [-99.0]
"#;

fn options(text: &str) -> TableOptions {
    toml::from_str(text).unwrap()
}

fn folder(content: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("flow.csv"), content).unwrap();
    root
}

fn open(options: &TableOptions, arrival: Arrival, root: &TempDir, window: Window) -> Box<dyn Source> {
    assert_eq!(options.problems(root.path()), []);
    options.open("hydrometry", arrival, root.path(), window).unwrap()
}

fn delay(text: &str) -> Arrival {
    Arrival::Delay { delay: text.parse().unwrap() }
}

fn seen() -> Arrival {
    Arrival::WhenSeen { delay: "0s".parse().unwrap(), ahead: "10min".parse().unwrap() }
}

fn hour(h: i64) -> Timestamp {
    Timestamp(h * 3_600_000_000)
}

/// `(line, time, arrival, value)`.
type Row = (u64, Timestamp, Timestamp, Option<f64>);

/// What the batches say once decoded: the rows and the dead letters.
fn rows(options: &TableOptions, batches: &[RawBatch]) -> (Vec<Row>, Vec<DeadLetterRow>) {
    let (mut rows, mut letters) = (Vec::new(), Vec::new());
    for batch in batches {
        let decoded = decode::table(batch, &options.layout().unwrap());
        let r = &decoded.rows;
        rows.extend((0..r.len()).map(|i| (r.line[i], r.time[i], r.ingest_time[i], r.value[i])));
        letters.extend(decoded.dead_letters);
    }
    (rows, letters)
}

#[test]
fn rows_arrive_in_order_of_time_however_the_file_is_ordered() {
    let root = folder("site,time,code,flow\na,7200,,3\na,0,,1\n\na,when,,9\na,3600,,-99\na,90000,,5\n");
    let flow = options(FLOW);
    let window = Window { from: hour(0), until: hour(10) };
    let mut source = open(&flow, delay("1h"), &root, window);
    assert_eq!(source.last_arrival(), Some(hour(3)), "hour 25 is after the window");
    let (batches, next) = source.read(&Cursor::default(), Look::at(hour(2))).unwrap();
    let (found, letters) = rows(&flow, &batches);
    assert_eq!(found, [(3, hour(0), hour(1), Some(1.0)), (6, hour(1), hour(2), None)]);
    assert_eq!((letters[0].reason, letters[0].locator.as_str()), (Reason::BadTime, "flow.csv:5"));
    assert_eq!(letters[0].bytes, b"a,when,,9");
    let (batches, _) = source.read(&next, Look::at(hour(24))).unwrap();
    assert_eq!(rows(&flow, &batches).0, [(2, hour(2), hour(3), Some(3.0))]);
}

#[test]
fn one_run_of_lines_is_one_batch() {
    let lines: String = (0..100).map(|h| format!("a,{},,1\n", h * 3600)).collect();
    let root = folder(&format!("site,time,code,flow\n{lines}"));
    let mut source = open(&options(FLOW), delay("0s"), &root, Window::ALL);
    let (batches, _) = source.read(&Cursor::default(), Look::at(hour(1000))).unwrap();
    assert_eq!((batches.len(), batches[0].rows(), batches[0].arrival), (1, 100, hour(99)));
}

#[test]
fn the_first_line_may_hold_the_time_of_the_first_value() {
    let text = r#"
        path = "flow.csv"
        station = { constant = "V3524010" }
        time = { first_line = { format = "%Y%m%d%H%M", step = "1h" } }
        time_zone = "+01:00"
        variable = "discharge"
        unit = "m3 s-1"
        missing = [-99.0]
    "#;
    let flow = options(text);
    let root = folder("197001010100\n1.5\n-99.000\nbroken\n2.5");
    let mut source = open(&flow, delay("0s"), &root, Window::ALL);
    let (batches, _) = source.read(&Cursor::default(), Look::at(hour(9))).unwrap();
    let (found, letters) = rows(&flow, &batches);
    assert_eq!(
        found,
        [(2, hour(0), hour(0), Some(1.5)), (3, hour(1), hour(1), None), (5, hour(3), hour(3), Some(2.5))]
    );
    assert_eq!((letters[0].reason, letters[0].ingest_time), (Reason::NotFinite, hour(2)));
    let root = folder("discharge\n1.5\n");
    let mut source = open(&flow, delay("0s"), &root, Window::ALL);
    let (batches, _) = source.read(&Cursor::default(), Look::at(hour(9))).unwrap();
    assert!(matches!(&batches[0].payload, Payload::Unreadable { reason: Reason::HeaderChanged, rows: 1, .. }));
}

#[test]
fn another_header_delivers_the_whole_file_once() {
    let root = folder("site,time,code,flow_cfs\na,0,,1\na,3600,,2\n");
    let window = Window { from: hour(5), until: hour(9) };
    let mut source = open(&options(FLOW), delay("0s"), &root, window);
    assert!(source.read(&Cursor::default(), Look::at(hour(4))).unwrap().0.is_empty());
    let (batches, next) = source.read(&Cursor::at(hour(4)), Look::at(hour(6))).unwrap();
    let Payload::Unreadable { reason, detail, bytes, rows } = &batches[0].payload else { panic!("{batches:?}") };
    assert_eq!((batches.len(), *reason, *rows, bytes.len()), (1, Reason::HeaderChanged, 2, 41));
    assert!(detail.contains("\"flow\" is absent") && detail.contains("flow_cfs"), "{detail}");
    assert!(source.read(&next, Look::at(hour(9))).unwrap().0.is_empty());
}

#[test]
fn a_growing_file_gives_its_new_whole_lines() {
    let root = folder("site,time,code,flow\na,0,,1\na,3600,,2");
    let append = |text: &str| {
        let mut file = fs::File::options().append(true).open(root.path().join("flow.csv")).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    let flow = options(FLOW);
    let mut source = open(&flow, seen(), &root, Window::ALL);
    let (batches, first) = source.read(&Cursor::default(), Look::at(hour(10))).unwrap();
    assert_eq!(rows(&flow, &batches).0, [(2, hour(0), hour(10), Some(1.0))], "line 3 is half written");
    append("5\na,7200,,3\n");
    let (batches, next) = source.read(&first, Look::at(hour(11))).unwrap();
    assert_eq!(rows(&flow, &batches).0, [(3, hour(1), hour(11), Some(25.0)), (4, hour(2), hour(11), Some(3.0))]);
    assert_eq!(source.read(&first, Look::at(hour(11))).unwrap(), (batches, next.clone()), "a redo gives the same");
    assert!(first != next && source.read(&next, Look::at(hour(12))).unwrap().0.is_empty());

    fs::write(root.path().join("flow.csv"), "site,time,code,flow\na,10800,,4\n").unwrap();
    let (batches, after) = source.read(&next, Look::at(hour(13))).unwrap();
    assert_eq!(rows(&flow, &batches).0, [(2, hour(3), hour(13), Some(4.0))], "a shorter file was replaced");

    fs::write(root.path().join("flow.csv"), "site,when,code,flow\na,10800,,4\na,14400,,5\n").unwrap();
    let (batches, last) = source.read(&after, Look::at(hour(14))).unwrap();
    assert!(
        matches!(&batches[0].payload, Payload::Unreadable { reason: Reason::HeaderChanged, rows: 2, .. }),
        "{batches:?}"
    );
    assert!(source.read(&last, Look::at(hour(15))).unwrap().0.is_empty());

    fs::remove_file(root.path().join("flow.csv")).unwrap();
    assert!(source.read(&last, Look::at(hour(16))).unwrap().0.is_empty(), "it may come back");
}

#[test]
fn a_file_that_is_replaced_gives_what_the_one_before_did_not_have() {
    let root = folder("site,time,code,flow\na,0,,1\na,3600,,2\na,7200,,3\n");
    let replace = |text: &str| fs::write(root.path().join("flow.csv"), format!("site,time,code,flow\n{text}")).unwrap();
    let flow = options(FLOW);
    let mut source = open(&flow, seen(), &root, Window::ALL);
    let (_, cursor) = source.read(&Cursor::default(), Look::at(hour(10))).unwrap();
    replace("a,3600,,2\na,7200,,3.5\na,10800,,4\n");
    let (batches, rolled) = source.read(&cursor, Look::at(hour(11))).unwrap();
    let (found, letters) = rows(&flow, &batches);
    assert_eq!(
        found,
        [(3, hour(2), hour(11), Some(3.5)), (4, hour(3), hour(11), Some(4.0))],
        "corrected and rolled on"
    );
    assert!(letters.is_empty());
    let mut restarted = open(&flow, seen(), &root, Window::ALL);
    assert_eq!(
        restarted.read(&cursor, Look::at(hour(11))).unwrap(),
        (batches, rolled.clone()),
        "what was delivered is in the cursor"
    );
    replace("a,3600,,2\n");
    let (batches, cut) = source.read(&rolled, Look::at(hour(12))).unwrap();
    assert!(batches.is_empty(), "a file that is being written is waited for");
    replace("a,3600,,2\na,7200,,3.5\na,10800,,4\na,14400,,5\n");
    assert_eq!(rows(&flow, &source.read(&cut, Look::at(hour(13))).unwrap().0).0, [(5, hour(4), hour(13), Some(5.0))]);
}

#[test]
fn a_row_without_a_time_of_its_own_is_known_by_its_place() {
    let text = r#"
        path = "flow.csv"
        station = { constant = "V3524010" }
        time = { first_line = { format = "unix_s", step = "1h" } }
        variable = "discharge"
        unit = "m3 s-1"
    "#;
    let flow = options(text);
    let root = folder("0\n1\n2\n");
    let mut source = open(&flow, seen(), &root, Window::ALL);
    let (_, cursor) = source.read(&Cursor::default(), Look::at(hour(10))).unwrap();
    fs::write(root.path().join("flow.csv"), "3600\n2\n1\n").unwrap();
    let (batches, _) = source.read(&cursor, Look::at(hour(11))).unwrap();
    assert_eq!(rows(&flow, &batches).0, [(3, hour(2), hour(11), Some(1.0))], "hour 1 is as it was");
}

#[test]
fn a_window_of_any_size_that_rolls_on_gives_its_new_rows_only() {
    let line = |h: i64| format!("a,{},,{}\n", h * 3_600, h % 100);
    let window = |hours: std::ops::Range<i64>| format!("site,time,code,flow\n{}", hours.map(line).collect::<String>());
    let root = folder(&window(0..50_000));
    let flow = options(FLOW);
    let mut source = open(&flow, seen(), &root, Window::ALL);
    let (batches, cursor) = source.read(&Cursor::default(), Look::at(hour(50_000))).unwrap();
    assert_eq!(batches.iter().map(RawBatch::rows).sum::<u64>(), 50_000);
    fs::write(root.path().join("flow.csv"), window(24..50_024)).unwrap();
    let (batches, cursor) = source.read(&cursor, Look::at(hour(50_024))).unwrap();
    assert_eq!(batches.iter().map(RawBatch::rows).sum::<u64>(), 24);
    let mut restarted = open(&flow, seen(), &root, Window::ALL);
    let text = serde_json::to_string(&cursor).unwrap();
    let cursor = serde_json::from_str(&text).unwrap();
    assert!(restarted.read(&cursor, Look::at(hour(50_025))).unwrap().0.is_empty());
}

#[test]
fn missed_ticks_get_the_rows_that_they_would_have_had() {
    let root = folder("site,time,code,flow\na,0,,0\na,10800,,3\na,7200,,2\na,3600,,1\na,soon,,9\na,36000,,7\n");
    let flow = options(FLOW);
    let at_once = Arrival::WhenSeen { delay: "30min".parse().unwrap(), ahead: "10min".parse().unwrap() };
    let mut source = open(&flow, at_once, &root, Window { from: hour(1), until: Window::ALL.until });
    let (mut cursor, mut told) = (Cursor::default(), Vec::new());
    for tick in 1..=3 {
        let look = Look { tick: hour(tick), now: hour(3).plus_s(1), catching_up: tick < 3 };
        let (batches, next) = source.read(&cursor, look).unwrap();
        let (found, letters) = rows(&flow, &batches);
        told.push((found.iter().map(|row| row.1).collect::<Vec<_>>(), letters.len()));
        assert!(found.iter().all(|row| row.2 == look.now), "the time of arrival is the true one");
        assert_eq!(source.read_again(&cursor, &next, look).unwrap(), (batches, next.clone()), "a redo gives the same");
        cursor = next;
    }
    let expected = [(vec![hour(10)], 1), (vec![hour(1)], 0), (vec![hour(2), hour(3)], 0)];
    assert_eq!(told, expected, "what is wrong at once; hour 3 with the newest tick, for it is there");
}

#[test]
fn what_lies_ahead_waits_for_its_time() {
    let root = folder("site,time,code,flow\na,3600,,1\na,3900,,2\n");
    let flow = options(FLOW);
    let mut source = open(&flow, seen(), &root, Window::ALL);
    let look = Look { tick: hour(1), now: hour(1).plus_s(2), catching_up: false };
    let (batches, next) = source.read(&Cursor::default(), look).unwrap();
    assert_eq!(rows(&flow, &batches).0.len(), 1);
    let found = rows(&flow, &source.read(&next, Look::at(hour(2))).unwrap().0).0;
    assert_eq!(found, [(3, hour(1).plus_s(300), hour(2), Some(2.0))]);
}

#[test]
fn operations_go_on_where_a_replay_ended() {
    let root = folder("site,time,code,flow\na,0,,0\na,3600,,1\na,3600,,1\na,7200,,2\na,10800,,3\n");
    let flow = options(FLOW);
    let window = Window { from: hour(1), until: hour(2) };
    let mut replay = open(&flow, delay("0s"), &root, window);
    let (_, ended) = replay.read(&Cursor::default(), Look::at(hour(2))).unwrap();
    let told = replay.handed_over(&ended);
    let corrected = "site,time,code,flow\na,0,,0\na,3600,,1\na,3600,,1\na,7200,,2.5\na,10800,,3\n";
    let read = |cursor: &Cursor| {
        let mut source = open(&flow, seen(), &root, Window { from: hour(1), until: Window::ALL.until });
        rows(&flow, &source.read(cursor, Look::at(hour(3))).unwrap().0).0
    };
    let newest = (6, hour(3), hour(3), Some(3.0));
    assert_eq!(read(&told), [newest]);
    assert_eq!(read(&ended), [newest], "a replay that was cut off has delivered what had arrived");
    fs::write(root.path().join("flow.csv"), corrected).unwrap();
    assert_eq!(read(&told), [(5, hour(2), hour(3), Some(2.5)), newest], "what was corrected meanwhile");
}

#[test]
fn a_file_that_comes_back_behind_an_error_page_has_no_news() {
    let good = "site,time,code,flow\na,0,,1\na,3600,,2\n";
    let root = folder(good);
    let flow = options(FLOW);
    let mut source = open(&flow, seen(), &root, Window::ALL);
    let (_, cursor) = source.read(&Cursor::default(), Look::at(hour(1))).unwrap();
    fs::write(root.path().join("flow.csv"), "<html>\n<body>Service Unavailable</body>\n</html>\n").unwrap();
    let (batches, cursor) = source.read(&cursor, Look::at(hour(2))).unwrap();
    assert!(matches!(&batches[0].payload, Payload::Unreadable { reason: Reason::HeaderChanged, .. }));
    fs::write(root.path().join("flow.csv"), format!("{good}a,10800,,3\n")).unwrap();
    let (batches, _) = source.read(&cursor, Look::at(hour(3))).unwrap();
    assert_eq!(rows(&flow, &batches).0, [(4, hour(3), hour(3), Some(3.0))]);
}

#[test]
fn what_lies_at_the_path_ends_no_run() {
    let root = folder("");
    let at = root.path().join("flow.csv");
    let flow = options(FLOW);
    let mut source = open(&flow, seen(), &root, Window::ALL);
    let (none, cursor) = source.read(&Cursor::default(), Look::at(hour(1))).unwrap();
    assert!(none.is_empty(), "an empty file may be about to be written");
    fs::remove_file(&at).unwrap();
    fs::create_dir(&at).unwrap();
    let error = source.read(&cursor, Look::at(hour(2))).unwrap_err();
    assert!(error.is_retryable(), "{error}");
    let mut replay = TableOptions { path: "flow.csv".into(), ..flow.clone() };
    replay.format = None;
    fs::remove_dir(&at).unwrap();
    std::os::unix::fs::symlink(&at, &at).unwrap();
    let mut replay = open(&replay, delay("0s"), &root, Window { from: hour(0), until: hour(9) });
    let (batches, _) = replay.read(&Cursor::default(), Look::at(hour(9))).unwrap();
    assert!(matches!(&batches[0].payload, Payload::Unreadable { reason: Reason::Undecodable, rows: 1, .. }));
    fs::remove_file(&at).unwrap();
    fs::write(&at, "site,time,code,flow\na,3600,,1\n").unwrap();
    assert_eq!(source.read(&cursor, Look::at(hour(3))).unwrap().0.len(), 1, "it is tried again");
}

#[test]
fn a_planned_reading_is_done_again_as_it_was() {
    let root = folder("site,time,code,flow\na,0,,1\n");
    let write = |text: &str| fs::write(root.path().join("flow.csv"), format!("site,time,code,flow\n{text}")).unwrap();
    let flow = options(FLOW);
    let mut source = open(&flow, seen(), &root, Window::ALL);
    let (_, before) = source.read(&Cursor::default(), Look::at(hour(1))).unwrap();
    write("a,3600,,2\n");
    let (batches, planned) = source.read(&before, Look::at(hour(2))).unwrap();
    assert_eq!(batches.len(), 1);
    write("a,3600,,2\na,7200,,3\n");
    let again = source.read_again(&before, &planned, Look::at(hour(2))).unwrap();
    assert_eq!(again, (batches, planned.clone()), "what has come since is left to the next reading");

    write("a,7200,,3\na,10800,,4\n");
    let (none, cursor) = source.read_again(&before, &planned, Look::at(hour(2))).unwrap();
    assert!(none.is_empty(), "what was planned is not there any more");
    let found = rows(&flow, &source.read(&cursor, Look::at(hour(3))).unwrap().0).0;
    assert_eq!(found, [(2, hour(2), hour(3), Some(3.0)), (3, hour(3), hour(3), Some(4.0))]);
    let nothing_planned = source.read_again(&before, &before, Look::at(hour(2))).unwrap();
    assert_eq!(nothing_planned, (Vec::new(), before));
}

fn parquet(root: &TempDir, times: Vec<Option<&str>>, flow: Vec<Option<f64>>) {
    let batch = RecordBatch::try_from_iter([
        ("site", Arc::new(StringArray::from(vec!["a"; times.len()])) as ArrayRef),
        ("time", Arc::new(StringArray::from(times))),
        ("flow", Arc::new(Float64Array::from(flow))),
    ])
    .unwrap();
    let file = fs::File::create(root.path().join("flow.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn parquet_rows_arrive_like_lines() {
    let flow = options(
        r#"
        path = "flow.parquet"
        station = { column = "site" }
        time = { column = { name = "time", format = "rfc3339" } }
        value = "flow"
        variable = "discharge"
        unit = "m3 s-1"
    "#,
    );
    let root = tempfile::tempdir().unwrap();
    let times = vec![Some("1970-01-01T02:00:00Z"), Some("1970-01-01T00:00:00Z"), None, Some("1970-01-01T01:00:00Z")];
    parquet(&root, times.clone(), vec![Some(3.0), Some(1.0), Some(9.0), None]);
    let mut source = open(&flow, delay("1h"), &root, Window { from: hour(0), until: hour(99) });
    let (batches, next) = source.read(&Cursor::default(), Look::at(hour(2))).unwrap();
    let (found, letters) = rows(&flow, &batches);
    assert_eq!(found, [(2, hour(0), hour(1), Some(1.0)), (4, hour(1), hour(2), None)]);
    assert_eq!((letters.len(), letters[0].reason, letters[0].locator.as_str()), (1, Reason::BadTime, "flow.parquet:3"));
    assert_eq!(rows(&flow, &source.read(&next, Look::at(hour(9))).unwrap().0).0, [(1, hour(2), hour(3), Some(3.0))]);

    let mut growing = open(&flow, seen(), &root, Window::ALL);
    let (_, next) = growing.read(&Cursor::default(), Look::at(hour(5))).unwrap();
    parquet(
        &root,
        [times, vec![Some("1970-01-01T03:00:00Z")]].concat(),
        vec![Some(3.0), Some(1.0), Some(9.0), None, Some(4.0)],
    );
    assert_eq!(rows(&flow, &growing.read(&next, Look::at(hour(6))).unwrap().0).0, [(5, hour(3), hour(6), Some(4.0))]);

    parquet(&root, vec![Some("1970-01-01T01:00:00Z"), Some("1970-01-01T00:00:00Z")], vec![None, Some(1.5)]);
    let replaced = growing.read(&next, Look::at(hour(6))).unwrap().0;
    assert_eq!(
        rows(&flow, &replaced).0,
        [(2, hour(0), hour(6), Some(1.5))],
        "the row that the file before did not have"
    );

    fs::write(root.path().join("flow.parquet"), b"PAR1 half").unwrap();
    let (batches, after) = growing.read(&next, Look::at(hour(7))).unwrap();
    assert!(matches!(&batches[0].payload, Payload::Unreadable { reason: Reason::Undecodable, rows: 1, .. }));
    assert!(growing.read(&after, Look::at(hour(8))).unwrap().0.is_empty(), "each content is a dead letter once");
    let mut replay = open(&flow, delay("0s"), &root, Window { from: hour(0), until: hour(9) });
    let (batches, _) = replay.read(&Cursor::default(), Look::at(hour(0))).unwrap();
    assert!(matches!(&batches[0].payload, Payload::Unreadable { reason: Reason::Undecodable, rows: 1, .. }));
}

/// A table of one station with local times.
const LOCAL: &str = r#"
    path = "flow.csv"
    station = { constant = "a" }
    time = { column = { name = "time", format = "%Y-%m-%d %H:%M" } }
    time_zone = "America/New_York"
    value = "flow"
    variable = "discharge"
    unit = "m3 s-1"
"#;

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
        let (found, letters) = rows(&flow, &batches);
        assert!(letters.is_empty(), "{letters:?}");
        hourly.extend(found);
        cursor = next;
    }
    assert_eq!(said(hourly), expected, "a batch of the second 01:00 alone is told by the file around it");

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
fn a_file_larger_than_allowed_is_told_once_and_not_loaded() {
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

fn flow_parquet() -> TableOptions {
    options(&FLOW.replace("flow.csv", "flow.parquet").replace("qualifier = \"code\"", ""))
}

/// A file of these times (s) and flows, written with a codec.
fn write_parquet(root: &TempDir, times: Vec<i64>, codec: Compression) {
    let rows = times.len();
    let batch = RecordBatch::try_from_iter([
        ("site", Arc::new(StringArray::from(vec!["a"; rows])) as ArrayRef),
        ("time", Arc::new(Int64Array::from(times))),
        ("flow", Arc::new(Float64Array::from(vec![1.5; rows]))),
    ])
    .unwrap();
    let file = fs::File::create(root.path().join("flow.parquet")).unwrap();
    let properties = WriterProperties::builder().set_compression(codec).build();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn every_codec_of_parquet_is_read() {
    let flow = flow_parquet();
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ];
    for codec in codecs {
        let root = tempfile::tempdir().unwrap();
        write_parquet(&root, (0..200).map(|h| h * 3600).collect(), codec);
        let mut source = open(&flow, delay("0s"), &root, Window::ALL);
        let (batches, _) = source.read(&Cursor::default(), Look::at(hour(999))).unwrap();
        assert_eq!(rows(&flow, &batches).0.len(), 200, "{codec:?}");
    }
}

#[test]
fn options_that_cannot_work_together_are_refused() {
    let root = folder("");
    for (text, key) in [
        ("qualifier_flags = { Ice = \"suspect\" }", "qualifier_flags"),
        ("time_label = \"start\"", "time_label"),
        ("other_stations = \"skip\"", "other_stations"),
        ("decimal = \",\"", "decimal"),
        ("comment = \" \"", "comment"),
        ("format = \"parquet\"\ncomment = \"#\"", "format"),
    ] {
        let problems = options(&format!("{LOCAL}\n{text}")).problems(root.path());
        assert_eq!(problems.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), [key], "{text}");
        assert!(problems[0].1.contains("accepted"), "{problems:?}");
    }
    let error = toml::from_str::<TableOptions>(&format!("{LOCAL}\nmissing = [true]")).unwrap_err().to_string();
    assert!(error.contains("accepted is a number or a word"), "{error}");
    let error = toml::from_str::<TableOptions>(&format!("{LOCAL}\nqualifier_flags = {{ a = \"bad\" }}"));
    assert!(error.unwrap_err().to_string().contains("suspect"));
}

#[test]
fn every_problem_is_told_at_once() {
    let text = r#"
        path = "nowhere/flow.csv"
        station = { column = "" }
        time = { first_line = { format = "iso", step = "0s" } }
        time_zone = "+1"
        value = "flow"
        variable = "discharge"
        unit = "mm"
        scale = nan
        period = "-1h"
        delimiter = "é"
    "#;
    let root = tempfile::tempdir().unwrap();
    let problems = options(text).problems(root.path());
    let keys: Vec<&str> = problems.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "path",
            "station",
            "time.first_line.format",
            "time.first_line.step",
            "value",
            "station",
            "time_zone",
            "period",
            "unit",
            "scale",
            "delimiter",
        ]
    );
    assert!(problems.iter().all(|(_, problem)| problem.contains("accepted")), "{problems:?}");
    assert!(toml::from_str::<TableOptions>(&format!("{FLOW}\nfoo = 1")).is_err());
    let error = options(text).open("q", delay("0s"), root.path(), Window::ALL).err().unwrap();
    assert!(!error.is_retryable() && error.to_string().contains("source q: path"), "{error}");
    let absent = options(FLOW).open("q", delay("0s"), root.path(), Window::ALL).err().unwrap();
    assert!(absent.is_retryable(), "{absent}");
}

/// A file of random lines: times in any order, repeated, unreadable, blank.
fn random_file() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        8 => (0_i64..40, -1.0..9.0_f64).prop_map(|(h, v)| format!("a,{},,{v:.2}", h * 3600)),
        1 => Just("a,soon,,1".to_owned()),
        1 => (0_i64..40).prop_map(|h| format!("b,{},,Ice", h * 3600)),
        1 => Just(String::new()),
    ];
    (proptest::collection::vec(line, 0..40), any::<bool>()).prop_map(|(lines, ended)| {
        let text = format!("site,time,code,flow\n{}", lines.join("\n"));
        if ended { format!("{text}\n") } else { text }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn how_time_is_cut_does_not_matter(
        content in random_file(),
        cuts in proptest::collection::btree_set(-3_i64..60, 0..8),
        shift in prop_oneof![Just("0s"), Just("-5h"), Just("90min")],
        from in 0_i64..20,
    ) {
        let root = folder(&content);
        let flow = options(FLOW);
        let window = Window { from: hour(from), until: hour(35) };
        let mut source = open(&flow, delay(shift), &root, window);
        let (whole, _) = source.read(&Cursor::default(), Look::at(hour(100))).unwrap();
        let (mut parts, mut cursor) = (Vec::new(), Cursor::default());
        for until in cuts.into_iter().chain([100]).map(hour) {
            let (batches, next) = source.read(&cursor, Look::at(until)).unwrap();
            let mut again = open(&flow, delay(shift), &root, window);
            prop_assert_eq!(&again.read(&cursor, Look::at(until)).unwrap(), &(batches.clone(), next.clone()));
            parts.extend(batches);
            cursor = next;
        }
        prop_assert_eq!(rows(&flow, &whole), rows(&flow, &parts));
        prop_assert!(whole.is_sorted_by_key(|b| b.arrival));
    }
}
