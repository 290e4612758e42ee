//! Tables of every layout, with rows that cannot be used.
#![allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Float32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray},
    datatypes::DataType,
};
use bytes::Bytes;
use nilometer_schemas::{Flag, Reason, Timestamp, Unit, Variable};
use nilometer_transforms::{
    Columns, Conversion, Format, Lines, Payload, RawBatch, TableLayout, Whole,
    check::{CheckOptions, CheckRules, CheckState, check},
    decode::{QualifierFlag, Station, StationLayout, Stations, TextLayout, TimeFormat, TimeLayout, table},
};
use proptest::prelude::*;

fn layout() -> TableLayout {
    let station = StationLayout::Column("site".to_owned());
    let time = TimeLayout::Column { name: "time".to_owned(), format: TimeFormat::Rfc3339, zone: None };
    let conversion = Conversion::new(Unit::LitrePerSecond, Variable::Discharge, 0).unwrap().scaled(10.0);
    TableLayout {
        qualifier: Some("code".to_owned()),
        missing: vec![-99.0, -999.0],
        text: TextLayout { delimiter: b';', ..TextLayout::default() },
        ..TableLayout::new(station, time, "flow", conversion)
    }
}

fn batch(payload: Payload) -> RawBatch {
    RawBatch { source: "hydrometry".into(), locator: "q.csv".to_owned(), arrival: Timestamp(i64::MAX), payload }
}

fn lines(header: &str, lines: impl Into<Bytes>, delay_s: Option<i64>) -> RawBatch {
    let header = (!header.is_empty()).then(|| Bytes::copy_from_slice(header.as_bytes()));
    batch(Payload::Lines(Lines {
        header,
        lines: lines.into(),
        first_line: 2,
        start: Some(Timestamp(0)),
        times: None,
        delay_s,
    }))
}

fn message(text: &'static str) -> RawBatch {
    batch(Payload::Whole(Whole { format: Format::CSV, bytes: Bytes::from_static(text.as_bytes()), period: None }))
}

#[test]
fn a_message_is_read_as_the_lines_behind_its_header() {
    let layout = layout();
    let text = "site;time;code;flow\nP;1970-01-01T00:00:00Z;a;150\nP;soon;;1\n";
    let decoded = table(&message(text), &layout);
    let by_lines = table(&lines("site;time;code;flow", &text.as_bytes()[20..], None), &layout);
    assert_eq!((&decoded.rows.value, &decoded.rows.line), (&vec![Some(1.5)], &vec![2]));
    assert_eq!((decoded.rows.value, decoded.dead_letters), (by_lines.rows.value, by_lines.dead_letters));
    assert_eq!(decoded.received, 2);
    let unknown = table(&message("name;time;code;flow\nP;1970-01-01T00:00:00Z;a;150\n"), &layout);
    assert_eq!((unknown.dead_letters[0].reason, unknown.received), (Reason::HeaderChanged, 2));
}

#[test]
fn every_unusable_row_becomes_a_dead_letter_with_its_bytes() {
    let text = "P;1970-01-01T00:00:00Z;a;150\nP;1970-01-01T01:00:00Z;;\n\"P\";1970-01-01T02:00:00Z;\"b;c\";-999\n\
                ;yesterday;;1\nP;1970-01-01T03:00:00Z;;Ice\nP;1970-01-01T04:00:00Z;;NaN\nP;1970-01-01T05:00:00Z\n\
                P;1970-01-01T06:00:00Z;;inf\n";
    let decoded = table(&lines("site;time;code;flow", text, Some(60)), &layout());
    let rows = &decoded.rows;
    assert_eq!(rows.value, [Some(1.5), None, None]);
    assert_eq!(rows.qualifier.iter().collect::<Vec<_>>(), [Some("a"), None, Some("b;c")]);
    assert_eq!(rows.station.iter().flatten().collect::<Vec<_>>(), ["P", "P", "P"]);
    assert_eq!(rows.ingest_time, [60, 3660, 7260].map(|s| Timestamp(s * 1_000_000)));
    let dead_letters: Vec<_> = decoded.dead_letters.iter().map(|l| (l.reason, l.locator.as_str())).collect();
    assert_eq!(
        dead_letters,
        [
            (Reason::BadTime, "q.csv:5"),
            (Reason::NotFinite, "q.csv:6"),
            (Reason::NotFinite, "q.csv:7"),
            (Reason::Undecodable, "q.csv:8"),
            (Reason::NotFinite, "q.csv:9"),
        ]
    );
    assert_eq!(decoded.dead_letters[1].bytes, b"P;1970-01-01T03:00:00Z;;Ice");
    assert!(decoded.dead_letters[1].detail.contains("\"Ice\""), "{}", decoded.dead_letters[1].detail);
    assert_eq!(decoded.received, 8);
}

#[test]
fn a_table_without_header_counts_its_times_from_line_1() {
    let layout = TableLayout {
        station: StationLayout::Constant("V3524010".to_owned()),
        time: TimeLayout::FirstLine { format: TimeFormat::new("%Y%m%d%H%M").unwrap(), step_s: 3600 },
        qualifier: None,
        forecast: None,
        conversion: Conversion::new(Unit::CubicMetrePerSecond, Variable::Discharge, 0).unwrap(),
        ..layout()
    };
    let decoded = table(&lines("", "1.5\n-99.000\n\n2\r\n", None), &layout);
    assert_eq!(decoded.rows.value, [Some(1.5), None, None, Some(2.0)]);
    assert_eq!(decoded.rows.time, [0, 1, 2, 3].map(|h| Timestamp(h * 3_600_000_000)));
    assert!(decoded.rows.ingest_time.iter().all(|t| *t == Timestamp(i64::MAX)));
}

#[test]
fn another_header_refuses_the_whole_batch() {
    let decoded = table(&lines("site;time;code;flow_cfs", "P;1970-01-01T00:00:00Z;a;150\n", None), &layout());
    assert_eq!((decoded.rows.len(), decoded.received, decoded.dead_letters.len()), (0, 1, 1));
    let dead_letter = &decoded.dead_letters[0];
    assert!(
        dead_letter.reason == Reason::HeaderChanged && dead_letter.detail.contains("flow_cfs"),
        "{}",
        dead_letter.detail
    );
    let twice = table(&lines("site;time;code;flow;flow", "", None), &layout());
    assert!(twice.dead_letters[0].detail.contains("twice"));
}

#[test]
fn columns_of_any_type_are_read() {
    let times: [ArrayRef; 2] = [
        Arc::new(TimestampMillisecondArray::from(vec![Some(0), None, Some(7_200_000)])),
        Arc::new(StringArray::from(vec![Some("1970-01-01T00:00:00Z"), Some("?"), Some("1970-01-01T02:00:00Z")])),
    ];
    for time in times {
        let rows = RecordBatch::try_from_iter([
            ("flow", Arc::new(Float32Array::from(vec![Some(150.0), Some(1.0), None])) as ArrayRef),
            ("code", Arc::new(StringArray::from(vec![Some("A"), None, None]))),
            ("time", time),
            ("site", Arc::new(StringArray::from(vec!["P", "P", "Q"]))),
        ])
        .unwrap();
        let decoded =
            table(&batch(Payload::Columns(Columns { rows, first_row: 1, times: None, delay_s: Some(0) })), &layout());
        assert_eq!(decoded.rows.value, [Some(1.5), None]);
        assert_eq!(decoded.rows.time, [0, 7200].map(|s| Timestamp(s * 1_000_000)));
        assert_eq!(
            (decoded.dead_letters[0].reason, decoded.dead_letters[0].locator.as_str()),
            (Reason::BadTime, "q.csv:2")
        );
        let dead_letter = decoded.rows.dead_letter(1, Reason::Duplicate, String::new());
        assert_eq!((dead_letter.locator.as_str(), dead_letter.bytes.ends_with(b",Q")), ("q.csv:3", true));
    }
    let local = TableLayout { zone: jiff::tz::TimeZone::fixed(jiff::tz::offset(1)), ..layout() };
    let rows = RecordBatch::try_from_iter([
        ("flow", Arc::new(Int64Array::from(vec![1])) as ArrayRef),
        ("code", arrow::array::new_null_array(&DataType::Utf8, 1)),
        ("time", Arc::new(TimestampMillisecondArray::from(vec![7_200_000]))),
        ("site", Arc::new(StringArray::from(vec!["P"]))),
    ])
    .unwrap();
    let decoded = table(&batch(Payload::Columns(Columns { rows, first_row: 1, times: None, delay_s: None })), &local);
    assert_eq!(decoded.rows.time, [Timestamp(3_600_000_000)]);
}

#[test]
fn a_field_where_a_table_was_expected_and_an_unreadable_file_are_dead_letters() {
    let grid =
        batch(Payload::Whole(Whole { format: Format::GEOTIFF, bytes: Bytes::from_static(b"II*"), period: None }));
    assert_eq!(table(&grid, &layout()).dead_letters[0].bytes, b"II*");
    let detail = "columns changed".to_owned();
    let bytes = Bytes::from_static(b"x\ny\n");
    let unreadable = batch(Payload::Unreadable { reason: Reason::HeaderChanged, detail, bytes, rows: 2 });
    let decoded = table(&unreadable, &layout());
    assert_eq!(
        (decoded.received, decoded.dead_letters[0].rows, decoded.dead_letters[0].reason),
        (2, 2, Reason::HeaderChanged)
    );
}

proptest! {
    #[test]
    fn any_bytes_decode_and_nothing_is_lost(text in proptest::collection::vec(prop_oneof![
        Just(b'\n'), Just(b';'), Just(b'"'), Just(b'1'), Just(b'-'), any::<u8>()], 0..300)) {
        let decoded = table(&lines("site;time;code;flow", text, None), &layout());
        prop_assert_eq!(decoded.received, (decoded.rows.len() + decoded.dead_letters.len()) as u64);
    }
}

/// A table with a header line `time,q` of one station, in m³/s.
fn plain(time: TimeLayout) -> TableLayout {
    let conversion = Conversion::new(Unit::CubicMetrePerSecond, Variable::Discharge, 0).unwrap();
    TableLayout::new(StationLayout::Constant("P".to_owned()), time, "q", conversion)
}

fn column(format: &str) -> TimeLayout {
    TimeLayout::Column { name: "time".to_owned(), format: TimeFormat::new(format).unwrap(), zone: None }
}

/// A time column with a zone.
fn local(format: &str, zone: &str) -> TableLayout {
    TableLayout { zone: jiff::tz::TimeZone::get(zone).unwrap(), ..plain(column(format)) }
}

fn shown(times: &[Timestamp]) -> Vec<String> {
    times.iter().map(Timestamp::to_string).collect()
}

#[test]
fn the_doubled_hour_follows_from_the_order_of_rows_or_a_zone_column() {
    let layout = local("%Y-%m-%d %H:%M", "America/New_York");
    let rows = "2014-11-02 00:00,1\n2014-11-02 01:00,2\n2014-11-02 01:00,3\n2014-11-02 02:00,4\n2014-11-02 01:00,5\n";
    let decoded = table(&lines("time,q", rows, None), &layout);
    let expected = ["2014-11-02T04:00:00Z", "2014-11-02T05:00:00Z", "2014-11-02T06:00:00Z", "2014-11-02T07:00:00Z"];
    assert_eq!(shown(&decoded.rows.time), expected);
    assert_eq!(decoded.dead_letters[0].bytes, b"2014-11-02 01:00,5", "out of order it may be either");
    let skipped = table(&lines("time,q", "2014-03-09 02:30,1\n", None), &layout);
    assert_eq!(skipped.dead_letters[0].reason, Reason::BadTime);
    assert!(skipped.dead_letters[0].detail.contains("skip in spring"), "{}", skipped.dead_letters[0].detail);
    let alone = table(&lines("time,q", "2014-11-02 01:00,1\n", None), &layout);
    assert!(alone.dead_letters[0].detail.contains("occurs twice"), "{}", alone.dead_letters[0].detail);

    let time = TimeLayout::Column {
        name: "time".to_owned(),
        format: TimeFormat::new("%Y-%m-%d %H:%M").unwrap(),
        zone: Some("tz_cd".to_owned()),
    };
    let coded = TableLayout { time, ..layout };
    let rows = "2014-11-02 01:00,EST,3\n2014-11-02 01:00,EDT,2\n2014-11-02 01:00,-07:00,5\n2014-11-02 01:00,?,6\n";
    let decoded = table(&lines("time,tz_cd,q", rows, None), &coded);
    assert_eq!(shown(&decoded.rows.time), ["2014-11-02T06:00:00Z", "2014-11-02T05:00:00Z", "2014-11-02T08:00:00Z"]);
    assert!(decoded.dead_letters[0].detail.contains("\"2014-11-02 01:00 ?\""), "{}", decoded.dead_letters[0].detail);
}

#[test]
fn wall_clock_columns_are_distinguished_as_lines_are() {
    let layout = local("rfc3339", "Europe/Paris");
    let wall_ms = [1, 2, 2, 3].map(|hour| Some(1_414_281_600_000 + hour * 3_600_000));
    let rows = RecordBatch::try_from_iter([
        ("time", Arc::new(TimestampMillisecondArray::from(wall_ms.to_vec())) as ArrayRef),
        ("q", Arc::new(Int64Array::from(vec![1, 2, 3, 4]))),
    ])
    .unwrap();
    let decoded = table(&batch(Payload::Columns(Columns { rows, first_row: 1, times: None, delay_s: None })), &layout);
    let expected = ["2014-10-25T23:00:00Z", "2014-10-26T00:00:00Z", "2014-10-26T01:00:00Z", "2014-10-26T02:00:00Z"];
    assert_eq!(shown(&decoded.rows.time), expected);
}

#[test]
fn dates_decimals_and_integers_are_columns_like_any_other() {
    let paris = local("rfc3339", "Europe/Paris");
    let day = TableLayout { label_offset_s: 86_400, ..paris };
    let decimals = arrow::array::Decimal128Array::from(vec![Some(1_250), None]).with_precision_and_scale(9, 2).unwrap();
    let rows = RecordBatch::try_from_iter([
        ("time", Arc::new(arrow::array::Date32Array::from(vec![16_253, 16_254])) as ArrayRef),
        ("q", Arc::new(decimals)),
    ])
    .unwrap();
    let decoded = table(&batch(Payload::Columns(Columns { rows, first_row: 1, times: None, delay_s: None })), &day);
    assert_eq!(shown(&decoded.rows.time), ["2014-07-02T22:00:00Z", "2014-07-03T22:00:00Z"], "the ends of two days");
    assert_eq!(decoded.rows.value, [Some(12.5), None]);

    let rows = RecordBatch::try_from_iter([
        ("time", Arc::new(Int64Array::from(vec![20_140_702, 20_141_399])) as ArrayRef),
        ("q", Arc::new(StringArray::from(vec!["2.5", "Ice"]))),
    ])
    .unwrap();
    let decoded = table(
        &batch(Payload::Columns(Columns { rows, first_row: 1, times: None, delay_s: None })),
        &plain(column("%Y%m%d")),
    );
    assert_eq!(
        (shown(&decoded.rows.time), decoded.rows.value),
        (vec!["2014-07-02T00:00:00Z".to_owned()], vec![Some(2.5)])
    );
    assert_eq!(decoded.dead_letters[0].bytes, b"20141399,Ice", "text that is no number is no null");
}

#[test]
fn a_columnar_dead_letter_shows_its_instant() {
    let times = TimestampMillisecondArray::from(vec![0, 1]).with_timezone("UTC");
    let rows = RecordBatch::try_from_iter([
        ("time", Arc::new(times) as ArrayRef),
        ("q", Arc::new(Float32Array::from(vec![f32::NAN, f32::INFINITY]))),
    ])
    .unwrap();
    let decoded = table(
        &batch(Payload::Columns(Columns { rows, first_row: 1, times: None, delay_s: None })),
        &plain(column("rfc3339")),
    );
    let shown: Vec<_> = decoded.dead_letters.iter().map(|l| String::from_utf8_lossy(&l.bytes).into_owned()).collect();
    assert_eq!(shown, ["1970-01-01T00:00:00Z,NaN", "1970-01-01T00:00:00.001Z,inf"]);
}

#[test]
fn words_and_qualifiers_withhold_values_or_make_them_suspect() {
    let codes = [("Ice", QualifierFlag::Suspect), ("Eqp", QualifierFlag::Missing), ("P", QualifierFlag::Pass)];
    let layout = TableLayout {
        qualifier: Some("cd".to_owned()),
        qualifier_flags: codes.map(|(code, flag)| (code.to_owned(), flag)).into(),
        missing_words: ["***", "Ssn", "Eqp"].map(str::to_owned).into(),
        ..plain(column("unix_s"))
    };
    let rows =
        "0,45,P Ice\n3600,45,P Eqp\n7200,***,\n10800,Ssn,P\n14400,45,P\n18000,45,unheard-of\n21600,--,\n25200,Eqp,\n";
    let decoded = table(&lines("time,q,cd", rows, None), &layout);
    let read = &decoded.rows;
    assert_eq!(read.value, [Some(45.0), None, None, None, Some(45.0), Some(45.0), None]);
    let qualifiers: Vec<_> = read.qualifier.iter().collect();
    assert_eq!(qualifiers[..4], [Some("P Ice"), Some("P Eqp"), Some("***"), Some("P")]);
    assert_eq!(read.qualifier_flag[0], Some(Flag::Suspect));
    assert_eq!(read.qualifier_flag[5], None);
    assert_eq!((decoded.dead_letters.len(), decoded.dead_letters[0].reason), (1, Reason::NotFinite));

    let rules = CheckRules::new(&CheckOptions::default(), [("P".to_owned(), CheckOptions::default())]);
    let checked = check(read, &rules, &mut CheckState::default()).unwrap().observations;
    let flags: Vec<(Flag, &str)> = (0..5).map(|row| (checked.flag_of(row), checked.flag_source().value(row))).collect();
    assert_eq!(flags[0], (Flag::Suspect, "qualifier"));
    assert_eq!(flags[1], (Flag::Missing, "missing_value"));
    assert_eq!(flags[4], (Flag::Pass, "pass"));
}

#[test]
fn a_line_with_more_cells_than_columns_is_no_row() {
    let decoded = table(&lines("time,q", "0,1,964\n1,2.5,\n2,3\n", None), &plain(column("unix_s")));
    assert_eq!(decoded.rows.value, [Some(2.5), Some(3.0)], "an empty cell at the end is none");
    assert_eq!((decoded.dead_letters.len(), decoded.dead_letters[0].reason), (1, Reason::Undecodable));
    assert!(decoded.dead_letters[0].detail.contains("3 cells; accepted are 2"), "{}", decoded.dead_letters[0].detail);
}

#[test]
fn a_line_of_separators_is_read_in_one_pass() {
    let separators = format!("0,1{}\n", ",".repeat(900_000));
    let decoded = table(&lines("time,q", separators, None), &plain(column("unix_s")));
    assert_eq!(decoded.rows.value, [Some(1.0)]);
    let header = format!("time,q{}", ",".repeat(900_000));
    assert_eq!(table(&lines(&header, "0,1\n", None), &plain(column("unix_s"))).rows.value, [Some(1.0)]);
}

#[test]
fn a_long_header_is_shown_in_part() {
    let header = "wrong column ".repeat(10_000);
    let decoded = table(&lines(&header, "0,1\n", None), &plain(column("unix_s")));
    assert!(decoded.dead_letters[0].detail.len() < 1_000);
}

#[test]
fn a_decimal_comma_is_read_and_separators_of_thousands_are_refused() {
    let text = TextLayout { delimiter: b';', decimal: b',', ..TextLayout::default() };
    let layout = TableLayout { text, ..plain(column("unix_s")) };
    let decoded = table(&lines("time;q", "0;1,5\n1;-0,25\n2;1.234,5\n3;1.234\n4;7\n5;1,234,5\n", None), &layout);
    assert_eq!(decoded.rows.value, [Some(1.5), Some(-0.25), Some(7.0)]);
    assert_eq!(decoded.dead_letters.len(), 3);
    assert!(decoded.dead_letters[0].detail.contains("thousands"), "{}", decoded.dead_letters[0].detail);
    let point = table(&lines("time,q", "0,\"1,234.5\"\n", None), &plain(column("unix_s")));
    assert!(point.dead_letters[0].detail.contains("thousands"), "{}", point.dead_letters[0].detail);
}

#[test]
fn stations_are_known_by_earlier_names_and_others_are_passed_over() {
    let station = |name: &str| Station { name: name.to_owned(), area_km2: 86.4 };
    let names = [("new".to_owned(), station("new")), ("old".to_owned(), station("new"))];
    let layout = |skip| TableLayout {
        station: StationLayout::Column("site".to_owned()),
        stations: Stations::new(names.clone().into(), skip),
        conversion: Conversion::new(Unit::MillimetrePerDay, Variable::Discharge, 0).unwrap(),
        ..plain(column("unix_s"))
    };
    let text = "old,0,1\nnew,1,2\nother,2,3\nother,never,3\n";
    let skipping = table(&lines("site,time,q", text, None), &layout(true));
    assert_eq!(skipping.rows.station.iter().flatten().collect::<Vec<_>>(), ["new", "new"]);
    assert_eq!(skipping.rows.value, [Some(1.0), Some(2.0)], "1 mm a day over 86.4 km² is 1 m³/s");
    assert_eq!((skipping.received, skipping.skipped, skipping.dead_letters.len()), (4, 2, 0));
    let refusing = table(&lines("site,time,q", text, None), &layout(false));
    assert_eq!((refusing.received, refusing.skipped), (4, 0));
    assert_eq!(refusing.dead_letters[0].reason, Reason::UnknownStation);
    assert!(refusing.dead_letters[0].detail.contains("\"other\""), "{}", refusing.dead_letters[0].detail);
}

#[test]
fn a_period_labelled_by_its_start_is_valid_at_its_end() {
    let layout = TableLayout { label_offset_s: 3_600, ..plain(column("unix_s")) };
    assert_eq!(table(&lines("time,q", "0,1\n", None), &layout).rows.time, [Timestamp(3_600_000_000)]);
}

#[test]
fn a_line_without_end_is_refused_with_its_first_bytes() {
    let mut text = "0,1\n1,".to_owned();
    text.push_str(&"9".repeat(3 << 20));
    text.push_str("\n2,3\n");
    let decoded = table(&lines("time,q", text, None), &plain(column("unix_s")));
    assert_eq!(decoded.rows.value, [Some(1.0), Some(3.0)]);
    let dead_letter = &decoded.dead_letters[0];
    assert_eq!((dead_letter.reason, dead_letter.bytes.len()), (Reason::Undecodable, 1 << 20));
    assert!(dead_letter.detail.contains("1048576"), "{}", dead_letter.detail);
}
