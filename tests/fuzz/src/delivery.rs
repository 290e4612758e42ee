//! What sources deliver and decoders make of it: no row is lost on the way.

use std::{fs, sync::LazyLock};

use arrow::array::Array as _;
use nilometer_connectors::{Arrival, Connector as _, Cursor, Look, TableOptions, Window};
use nilometer_schemas::{DeadLetterRow, Timestamp, Variable};
use nilometer_transforms::{
    RawBatch, Span, TableLayout,
    check::{CheckOptions, CheckRules, CheckState, check},
    decode::{self, DecodedTable},
};

/// Decodes a batch, asserts that each of its rows is a row, a dead letter or passed over, and checks the quality of what was observed.
pub(crate) fn decode(batch: &RawBatch, layout: &TableLayout) -> DecodedTable {
    let table = decode::table(batch, layout);
    let rows = &table.rows;
    let dead_letters: u64 = table.dead_letters.iter().map(|letter| letter.rows).sum();
    assert_eq!(rows.len() as u64 + dead_letters + table.skipped, table.received);
    assert!(table.received <= batch.rows());
    for columns in [rows.station.len(), rows.value.len(), rows.qualifier.len(), rows.ingest_time.len(), rows.line.len()]
    {
        assert_eq!(columns, rows.len());
    }
    assert!(rows.value.iter().flatten().all(|value| value.is_finite()));
    table.dead_letters.iter().for_each(assert_dead_letter);
    if rows.variable == Variable::Discharge {
        let checked = check(rows, &RULES, &mut CheckState::default()).unwrap();
        assert_eq!(checked.counts.received, rows.len() as u64);
        checked.counts.assert_balance(&checked);
        checked.dead_letters.iter().for_each(assert_dead_letter);
    }
    table
}

/// Every check of quality.
static RULES: LazyLock<CheckRules> = LazyLock::new(|| {
    let options: CheckOptions = toml::from_str(
        "gross_range = { min = 0.0, max = 2000.0 }\nspike = { threshold = 100.0 }\nrate = { max_per_hour = 150.0 }\n\
         flat_line = { count = 3, tolerance = 0.000001 }\ngap = { step = \"1h\" }",
    )
    .unwrap();
    CheckRules::new(&options, [("V3524010".to_owned(), CheckOptions::default())])
});

/// A dead letter that says what is wrong.
pub(crate) fn assert_dead_letter(letter: &DeadLetterRow) {
    assert!(!letter.detail.trim().is_empty() && !letter.locator.is_empty(), "{letter:?}");
}

/// Reads a file of these bytes as a source does in a replay and asserts that two readings give the rows of one.
pub(crate) fn read(bytes: &[u8], options: &TableOptions) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(&options.path), bytes).unwrap();
    let layout = options.layout().unwrap();
    let arrival = Arrival::Delay { delay: Span::from_seconds(600) };
    let mut source = options.open("fuzz", arrival, folder.path(), Window::ALL).unwrap();
    let mut read = |cursor: &Cursor, until: Timestamp| {
        let (batches, next) = source.read(cursor, Look::at(until)).unwrap();
        (batches.iter().map(|batch| decode(batch, &layout).received).sum::<u64>(), next)
    };
    let (whole, _) = read(&Cursor::default(), Timestamp(i64::MAX));
    let (first, next) = read(&Cursor::default(), Timestamp(1_415_131_200_000_000));
    let (rest, _) = read(&next, Timestamp(i64::MAX));
    assert_eq!(first + rest, whole, "a reading in two parts gives each row once");
}
