//! A table in a replay, whose rows arrive by their times.

use nilometer_connectors::{Cursor, Look, Window};
use nilometer_schemas::Reason;
use nilometer_transforms::Payload;
use proptest::prelude::*;

use crate::{FLOW, delay, folder, hour, open, options, rows};

#[test]
fn rows_arrive_in_order_of_time_however_the_file_is_ordered() {
    let root = folder("site,time,code,flow\na,7200,,3\na,0,,1\n\na,when,,9\na,3600,,-99\na,90000,,5\n");
    let flow = options(FLOW);
    let window = Window { from: hour(0), until: hour(10) };
    let mut source = open(&flow, delay("1h"), &root, window);
    assert_eq!(source.last_arrival(), Some(hour(3)), "hour 25 is after the window");
    let (batches, next) = source.read(&Cursor::default(), Look::at(hour(2))).unwrap();
    let (found, dead_letters) = rows(&flow, &batches);
    assert_eq!(found, [(3, hour(0), hour(1), Some(1.0)), (6, hour(1), hour(2), None)]);
    assert_eq!((dead_letters[0].reason, dead_letters[0].locator.as_str()), (Reason::BadTime, "flow.csv:5"));
    assert_eq!(dead_letters[0].bytes, b"a,when,,9");
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
    let (found, dead_letters) = rows(&flow, &batches);
    assert_eq!(
        found,
        [(2, hour(0), hour(0), Some(1.5)), (3, hour(1), hour(1), None), (5, hour(3), hour(3), Some(2.5))]
    );
    assert_eq!((dead_letters[0].reason, dead_letters[0].ingest_time), (Reason::NotFinite, hour(2)));
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
    let (none, before) = source.read(&Cursor::default(), Look::at(hour(4))).unwrap();
    assert!(none.is_empty());
    let (batches, next) = source.read(&before, Look::at(hour(6))).unwrap();
    let Payload::Unreadable { reason, detail, bytes, rows } = &batches[0].payload else { panic!("{batches:?}") };
    assert_eq!((batches.len(), *reason, *rows, bytes.len()), (1, Reason::HeaderChanged, 2, 41));
    assert!(detail.contains("\"flow\" is absent") && detail.contains("flow_cfs"), "{detail}");
    assert!(source.read(&next, Look::at(hour(9))).unwrap().0.is_empty());
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
