use bytes::Bytes;
use nilometer_schemas::{Unit, Variable};
use proptest::prelude::*;

use super::*;
use crate::{
    Conversion, Lines, Payload, Range, RawBatch, Span,
    decode::{StationLayout, TableLayout, TimeFormat, TimeLayout, table},
};

/// When all rows arrive.
const ARRIVAL_HOUR: i64 = 10_000;

/// Rows from `(station, hour, cell)` lines.
fn rows(lines: &[(&str, i64, &str)]) -> RawRows {
    let station = StationLayout::Column("station".to_owned());
    let time = TimeLayout::Column { name: "time".to_owned(), format: TimeFormat::UnixS, zone: None };
    let conversion = Conversion::new(Unit::CubicMetrePerSecond, Variable::Discharge, 0).unwrap();
    let layout = TableLayout { missing: vec![-99.0], ..TableLayout::new(station, time, "value", conversion) };
    let text: String =
        lines.iter().map(|(station, hour, cell)| format!("{station},{},{cell}\n", hour * 3600)).collect();
    let batch = RawBatch {
        source: "hydrometry".into(),
        locator: "q.csv".to_owned(),
        arrival: Timestamp(0).plus_s(ARRIVAL_HOUR * 3_600),
        payload: Payload::Lines(Lines {
            header: Some(Bytes::from_static(b"station,time,value")),
            lines: text.into(),
            first_line: 2,
            start: None,
            times: None,
            delay_s: None,
        }),
    };
    let decoded = table(&batch, &layout);
    assert!(decoded.dead_letters.is_empty(), "{:?}", decoded.dead_letters);
    decoded.rows
}

fn options() -> CheckOptions {
    CheckOptions {
        gross_range: Some(Range { min: 0.0, max: 100.0 }),
        spike: Some(SpikeOptions { threshold: 20.0 }),
        rate: Some(RateOptions { max_per_hour: 30.0 }),
        flat_line: Some(FlatLineOptions { count: 3, tolerance: 0.01 }),
        gap: Some(GapOptions { step: Span::from_seconds(3600), max_rows: 5 }),
        ..CheckOptions::default()
    }
}

fn rules() -> CheckRules {
    CheckRules::new(&options(), ["a", "b"].map(|s| (s.to_owned(), CheckOptions::default())))
}

/// `(hour, value, flag, flag source)` of every row that came out.
fn out(checked: &Checked) -> Vec<(i64, Option<f64>, u8, String)> {
    let o = &checked.observations;
    (0..o.len())
        .map(|i| {
            let value = o.value().iter().nth(i).flatten();
            (o.valid_time().value(i) / 3_600_000_000, value, o.flag().value(i), o.flag_source().value(i).to_owned())
        })
        .collect()
}

fn run(lines: &[(&str, i64, &str)], state: &mut CheckState) -> Checked {
    check(&rows(lines), &rules(), state).unwrap()
}

#[test]
fn a_reading_of_what_has_not_been_is_a_dead_letter_and_leaves_no_trace() {
    let (mut state, mut untouched) = (CheckState::default(), CheckState::default());
    for hour in [ARRIVAL_HOUR + 1, ARRIVAL_HOUR + 700_000] {
        let checked = check(&rows(&[("a", 1, "5"), ("a", hour, "6")]), &rules(), &mut state).unwrap();
        checked.counts.assert_balance(&checked);
        assert_eq!(checked.counts.rejected, [(Reason::BadTime, 1)].into());
        assert_eq!(checked.counts.gap_rows, 0, "no gap before an hour that has not been");
        let detail = &checked.dead_letters[0].detail;
        assert!(detail.contains("accepted is up to 10m") && detail.contains("checks.future_tolerance"), "{detail}");
        check(&rows(&[("a", 1, "5")]), &rules(), &mut untouched).unwrap();
        assert_eq!(state, untouched);
        (state, untouched) = Default::default();
    }
    let patient = CheckOptions { future_tolerance: Some(Span::from_seconds(7_200)), ..options() };
    let rules = CheckRules::new(&patient, [("a".to_owned(), CheckOptions::default())]);
    let checked = check(&rows(&[("a", ARRIVAL_HOUR + 1, "6")]), &rules, &mut state).unwrap();
    assert_eq!(checked.counts.accepted, 1);
}

#[test]
fn a_hole_becomes_rows_and_a_late_row_fills_it() {
    let mut state = CheckState::default();
    let checked = run(&[("a", 1, "1"), ("a", 4, "2"), ("b", 9, "5")], &mut state);
    let gap = |hour| (hour, None, 9, "gap".to_owned());
    assert_eq!(out(&checked)[1..3], [gap(2), gap(3)]);
    assert_eq!((checked.counts.gap_rows, checked.counts.missing_steps, checked.counts.accepted), (2, 2, 3));

    let late = run(&[("a", 3, "1.5")], &mut state);
    assert_eq!(out(&late), [(3, Some(1.5), 1, "pass".to_owned())]);
    assert_eq!((late.counts.out_of_order, late.counts.gap_rows), (1, 0));

    let long = run(&[("a", 104, "2")], &mut state);
    assert_eq!((long.counts.missing_steps, long.counts.gap_rows), (99, 5), "the newest five of them");
    assert_eq!(out(&long)[0].0, 99);
}

#[test]
fn missing_values_are_flag_9_and_a_value_may_replace_them() {
    let mut state = CheckState::default();
    let checked = run(&[("a", 1, "-99"), ("a", 2, "")], &mut state);
    assert_eq!(out(&checked), [1, 2].map(|h| (h, None, 9, "missing_value".to_owned())));
    assert_eq!(checked.counts.missing_values, 2);
    let later = run(&[("a", 1, "3"), ("a", 2, "-99")], &mut state);
    assert_eq!((later.counts.accepted, later.counts.rejected[&Reason::Duplicate]), (1, 1));
}

#[test]
fn repeated_rows_become_dead_letters_with_their_line() {
    let mut state = CheckState::default();
    let checked = run(&[("a", 1, "1"), ("a", 1, "1"), ("a", 1, "2"), ("x", 1, "1"), ("b", 1, "-3")], &mut state);
    let dead_letters: Vec<_> =
        checked.dead_letters.iter().map(|l| (l.reason, l.locator.as_str(), l.bytes.as_slice())).collect();
    assert_eq!(
        dead_letters,
        [
            (Reason::Duplicate, "q.csv:3", &b"a,3600,1"[..]),
            (Reason::ConflictingDuplicate, "q.csv:4", b"a,3600,2"),
            (Reason::UnknownStation, "q.csv:5", b"x,3600,1"),
            (Reason::GrossRange, "q.csv:6", b"b,3600,-3"),
        ]
    );
    assert!(checked.dead_letters[1].detail.contains("the value 1"), "{}", checked.dead_letters[1].detail);
    assert!(
        checked.dead_letters[3].detail.contains("-3 m3 s-1; accepted is 0 to 100"),
        "{}",
        checked.dead_letters[3].detail
    );
}

#[test]
fn jumps_and_flat_lines_are_suspect_and_say_why() {
    let checked = run(
        &[
            ("a", 1, "10"),
            ("a", 2, "11"),
            ("a", 3, "35"),
            ("a", 4, "80"),
            ("a", 5, "80"),
            ("a", 6, "80"),
            ("a", 7, "79"),
        ],
        &mut CheckState::default(),
    );
    let flags: Vec<(u8, String)> = out(&checked).into_iter().map(|(_, _, flag, source)| (flag, source)).collect();
    let expected =
        [(1, "pass"), (1, "pass"), (3, "spike"), (3, "spike+rate"), (3, "spike"), (3, "flat_line"), (1, "pass")];
    assert_eq!(flags, expected.map(|(f, s)| (f, s.to_owned())));
    assert_eq!((checked.counts.suspect, checked.counts.rejected_rows()), (4, 0), "a jump never fails a row");
}

#[test]
fn values_before_a_long_hole_are_no_neighbours() {
    let checked = run(&[("a", 1, "10"), ("a", 2, "11"), ("a", 20, "90")], &mut CheckState::default());
    assert_eq!(out(&checked).last().unwrap().3, "pass");
}

#[test]
fn stations_override_options_and_the_default_range_is_what_earth_allows() {
    let own = CheckOptions { gross_range: Some(Range { min: 0.0, max: 500.0 }), ..CheckOptions::default() };
    let rules = CheckRules::new(&options(), [("a".to_owned(), own), ("b".to_owned(), CheckOptions::default())]);
    let checked = check(&rows(&[("a", 1, "400"), ("b", 1, "400")]), &rules, &mut CheckState::default()).unwrap();
    assert_eq!((checked.counts.accepted, checked.counts.rejected_rows()), (1, 1));
    let bare = CheckRules::new(&CheckOptions::default(), [("a".to_owned(), CheckOptions::default())]);
    let checked = check(&rows(&[("a", 1, "499999"), ("a", 2, "500001")]), &bare, &mut CheckState::default()).unwrap();
    assert_eq!((checked.counts.accepted, checked.counts.rejected_rows()), (1, 1));
}

#[test]
fn limits_of_a_gauge_are_none_of_the_weather() {
    let mut frost = rows(&[("a", 1, "-12.5"), ("a", 3, "-40")]);
    frost.variable = Variable::AirTemperature;
    let checked = check(&frost, &rules(), &mut CheckState::default()).unwrap();
    assert_eq!(out(&checked).iter().map(|row| row.2).collect::<Vec<_>>(), [1, 9, 1], "a gap is one in any series");
    frost.value[1] = Some(-140.0);
    let checked = check(&frost, &rules(), &mut CheckState::default()).unwrap();
    assert_eq!(checked.counts.rejected_rows(), 1, "what cannot be on Earth");
}

#[test]
fn every_problem_is_reported_at_once_and_unknown_keys_are_refused() {
    let text = "gross_range = { min = 5.0, max = 1.0 }\nspike = { threshold = 0.0 }\nrate = { max_per_hour = -1.0 }\n\
                flat_line = { count = 1, tolerance = 0.0 }\ngap = { step = \"0s\" }";
    let wrong: CheckOptions = toml::from_str(text).unwrap();
    let keys: Vec<String> = wrong.problems().into_iter().map(|(key, _)| key).collect();
    assert_eq!(
        keys,
        ["gross_range", "spike.threshold", "rate.max_per_hour", "flat_line.count", "flat_line.tolerance", "gap.step"]
    );
    assert!(toml::from_str::<CheckOptions>("spikes = 1").is_err());
    assert_eq!(options().problems(), []);
}

/// Lines of random rows: few hours, so that rows repeat, come late and leave holes.
fn random_lines() -> impl Strategy<Value = Vec<(&'static str, i64, String)>> {
    let station = prop_oneof![4 => Just("a"), 2 => Just("b"), 1 => Just("nowhere")];
    let cell = prop_oneof![8 => (-20.0..120.0_f64).prop_map(|v| format!("{v:.1}")), 1 => Just("-99".to_owned())];
    proptest::collection::vec((station, 0_i64..90, cell), 0..120)
}

proptest! {
    #[test]
    fn the_balance_closes_and_the_state_survives_a_snapshot(first in random_lines(), second in random_lines()) {
        let borrowed = |lines: &[(&'static str, i64, String)]| -> RawRows {
            rows(&lines.iter().map(|(s, h, c)| (*s, *h, c.as_str())).collect::<Vec<_>>())
        };
        let mut state = CheckState::default();
        let checked = check(&borrowed(&first), &rules(), &mut state).unwrap();
        checked.counts.assert_balance(&checked);
        prop_assert_eq!(checked.counts.received, first.len() as u64);
        prop_assert!(state.len() <= 2);

        let mut restored: CheckState = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
        prop_assert_eq!(&restored, &state);
        let (a, b) = (check(&borrowed(&second), &rules(), &mut state), check(&borrowed(&second), &rules(), &mut restored));
        let (a, b) = (a.unwrap(), b.unwrap());
        prop_assert_eq!(a.observations, b.observations);
        prop_assert_eq!(a.dead_letters, b.dead_letters);
    }

    #[test]
    fn how_sorted_rows_are_cut_into_batches_does_not_matter(mut lines in random_lines(), cut in 0_usize..120) {
        lines.sort_by_key(|(_, hour, _)| *hour);
        let lines: Vec<(&str, i64, &str)> = lines.iter().map(|(s, h, c)| (*s, *h, c.as_str())).collect();
        let whole = out(&run(&lines, &mut CheckState::default()));
        let (head, tail) = lines.split_at(cut.min(lines.len()));
        let mut state = CheckState::default();
        let parts = [out(&run(head, &mut state)), out(&run(tail, &mut state))].concat();
        prop_assert_eq!(whole, parts);
    }
}
