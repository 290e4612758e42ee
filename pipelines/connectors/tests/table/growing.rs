//! A table in operations, whose file grows or is replaced.

use std::{fs, io::Write};

use nilometer_connectors::{Arrival, Cursor, Look, TableOptions, Window};
use nilometer_schemas::Reason;
use nilometer_transforms::{Payload, RawBatch};

use crate::{FLOW, delay, folder, hour, open, options, rows, seen};

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
    let (found, dead_letters) = rows(&flow, &batches);
    assert_eq!(
        found,
        [(3, hour(2), hour(11), Some(3.5)), (4, hour(3), hour(11), Some(4.0))],
        "corrected and rolled on"
    );
    assert!(dead_letters.is_empty());
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
    let (mut cursor, mut delivered) = (Cursor::default(), Vec::new());
    for tick in 1..=3 {
        let look = Look { tick: hour(tick), now: hour(3).plus_s(1), catching_up: tick < 3 };
        let (batches, next) = source.read(&cursor, look).unwrap();
        let (found, dead_letters) = rows(&flow, &batches);
        delivered.push((found.iter().map(|row| row.1).collect::<Vec<_>>(), dead_letters.len()));
        assert!(found.iter().all(|row| row.2 == look.now), "the time of arrival is the true one");
        assert_eq!(source.read_again(&cursor, &next, look).unwrap(), (batches, next.clone()), "a redo gives the same");
        cursor = next;
    }
    let expected = [(vec![hour(10)], 1), (vec![hour(1)], 0), (vec![hour(2), hour(3)], 0)];
    assert_eq!(delivered, expected, "what is wrong at once; hour 3 with the newest tick, for it is there");
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
    let handed_over = replay.handed_over(&ended).unwrap();
    let corrected = "site,time,code,flow\na,0,,0\na,3600,,1\na,3600,,1\na,7200,,2.5\na,10800,,3\n";
    let read = |cursor: &Cursor| {
        let mut source = open(&flow, seen(), &root, Window { from: hour(1), until: Window::ALL.until });
        rows(&flow, &source.read(cursor, Look::at(hour(3))).unwrap().0).0
    };
    let newest = (6, hour(3), hour(3), Some(3.0));
    assert_eq!(read(&handed_over), [newest]);
    assert_eq!(read(&ended), [newest], "a replay that was cut off has delivered what had arrived");
    fs::write(root.path().join("flow.csv"), corrected).unwrap();
    assert_eq!(read(&handed_over), [(5, hour(2), hour(3), Some(2.5)), newest], "what was corrected meanwhile");
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
