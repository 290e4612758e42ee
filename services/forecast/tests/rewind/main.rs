//! What comes late ends where it would have ended on time: shuffled, delayed, repeated, corrected and withdrawn rows, with crashes on the way.

#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod models;
mod run;

use std::{path::Path, sync::Arc};

use arrow::{
    array::{Array as _, AsArray as _},
    datatypes::Float64Type,
};

use nilometer_definitions::{Pipeline, Threshold, ThresholdKind};
use nilometer_engine::{Entry, Log as _, Message, Metrics, Partition};
use nilometer_needs::needs;
use nilometer_packages::Mixture;
use nilometer_schemas::{Contract, Flag, Forecasts, ObservationRow, ObservationsBuilder, Unit, Variable};
use nilometer_statistics::{Distribution, scores_of_members};
use object_store::{ObjectStore, memory::InMemory};
use proptest::prelude::*;
use tokio::runtime::Runtime as Tokio;

use self::run::{
    GAUGES, Gauged, HOUR, Left, Numbers, Rain, Run, TICKS, dead_letters_of, live, live_with, numbers_since, on_time,
    open_log, pipeline, reading, since, start, write, wrong,
};

#[needs(cance)]
#[test]
fn rows_carry_trajectories_of_their_distribution_where_the_definition_asks_for_them() {
    let (without, with) = (pipeline(&[]), pipeline(&["forecast.member_values=true"]));
    let (without, with) = (live(&without, &on_time(), None, &[]), live(&with, &on_time(), None, &[]));
    assert!(without.member_values.iter().all(Vec::is_empty));
    assert_eq!(with.forecasts, without.forecasts, "nothing else changes");
    assert_eq!(with.forecasts.len(), with.member_values.len());
    // Eight members are the quantiles of their row's distribution from 1/16 to 15/16.
    let sorted: Vec<Vec<f32>> = with.member_values.iter().map(|members| sorted(members)).collect();
    for numbers in with.forecasts.values() {
        let numbers: Vec<f64> = numbers.iter().map(|bits| f64::from_bits(*bits)).collect();
        let quantiles: [f64; 19] = numbers[1..20].try_into().unwrap();
        let ends = [quantiles[0], quantiles[0], quantiles[18], quantiles[18]];
        let distribution = Distribution::new(&quantiles, &ends).unwrap();
        let expected: Vec<f32> =
            scores_of_members(8).iter().map(|score| distribution.at_score(*score) as f32).collect();
        assert!(sorted.contains(&expected), "{numbers:?}");
    }
}

#[needs(cance)]
#[test]
fn each_forecast_says_of_each_threshold_whether_when_and_how_far_it_is_reached() {
    let threshold = |id: &str, name: Option<&str>, value: f64, below: bool| Threshold {
        id: id.to_owned(),
        name: name.map(str::to_owned),
        value,
        unit: Unit::CubicMetrePerSecond,
        kind: ThresholdKind::Flow,
        below,
        source: None,
    };
    let mut without = Pipeline::clone(&pipeline(&[]));
    without.catchments.iter_mut().for_each(|catchment| catchment.thresholds.clear());
    let mut with = without.clone();
    with.catchments[0].thresholds = vec![
        threshold("low", None, 3.0, true),
        threshold("minor", Some("Minor flood"), 9.0, false),
        threshold("major", None, 20.0, false),
    ];
    let [without, with] = [without, with].map(|pipeline| live(&Arc::new(pipeline), &on_time(), None, &[]));
    assert_eq!(with.forecasts, without.forecasts, "thresholds change no forecast");
    assert!(without.events.iter().all(nilometer_schemas::Events::is_empty), "a message a tick, without rows");
    let issues: std::collections::BTreeSet<i64> = with.forecasts.keys().map(|(issued, ..)| *issued).collect();
    let with_rows: Vec<_> = with.events.iter().filter(|events| !events.is_empty()).collect();
    assert_eq!(with_rows.len(), issues.len(), "rows of each issue");
    assert_eq!(with.events.len(), without.events.len());
    let (mut certain, mut impossible) = (0, 0);
    for events in with_rows {
        assert_eq!((0..3).map(|row| events.threshold().value(row)).collect::<Vec<_>>(), ["low", "minor", "major"]);
        let probability = events.probability().values();
        assert!(probability[1] >= probability[2], "a higher level is reached no more often");
        assert_eq!((events.threshold_name().value(1), events.below().value(0)), ("Minor flood", true));
        for row in 0..3 {
            let by_lead = events.probability_by_lead().value(row);
            let by_lead = by_lead.as_primitive::<Float64Type>().values();
            let largest = by_lead.iter().copied().fold(0.0, f64::max);
            assert!(probability[row] >= largest, "a horizon is no less likely than an hour of it");
            assert_eq!(events.crossing_q50().is_valid(row), events.duration_s_q50().is_valid(row));
            if events.crossing_q50().is_valid(row) {
                let times = [events.crossing_q10(), events.crossing_q50(), events.crossing_q90()].map(|c| c.value(row));
                assert!(times.is_sorted() && times[0] > events.issue_time().value(row), "{times:?}");
                assert!(times[2] <= events.until().value(row));
            }
            let peak = [events.peak_q05(), events.peak_q50(), events.peak_q95()].map(|c| c.value(row));
            assert!(peak.is_sorted(), "{peak:?}");
            certain += usize::from(probability[row] > 0.9);
            impossible += usize::from(probability[row] < 0.1);
        }
    }
    assert!(certain > 3 && impossible > 3, "{certain} certain, {impossible} impossible");
}

#[needs(cance)]
#[test]
fn what_stores_hold_is_said_once_a_step_also_where_steps_are_taken_again() {
    let mut rows = on_time();
    rows.iter_mut().find(|r| r.hour == 30 && r.catchment == 1).unwrap().arrives = 35;
    let hourly = live(&pipeline(&[]), &rows, None, &[40, 200]);
    let steps: std::collections::BTreeSet<i64> = hourly.states.iter().map(|(time, ..)| *time).collect();
    let each: std::collections::BTreeSet<_> = hourly.states.iter().collect();
    assert_eq!(each.len(), hourly.states.len(), "none twice");
    let stores: std::collections::BTreeSet<&str> = hourly.states.iter().map(|(.., store)| store.as_str()).collect();
    assert_eq!(hourly.states.len(), steps.len() * 3 * stores.len());
    assert!(stores.contains("soil_store") && steps.len() > 48, "{stores:?} in {} steps", steps.len());
    let six_hourly = live(&pipeline(&["forecast.state_every=6h"]), &rows, None, &[]);
    let every_sixth = steps.iter().filter(|time| **time % (6 * 3_600 * 1_000_000) == 0).count();
    assert_eq!(six_hourly.states.len(), every_sixth * 3 * stores.len());
    assert_eq!(six_hourly.forecasts, hourly.forecasts);
}

fn sorted(members: &[f32]) -> Vec<f32> {
    let mut members = members.to_vec();
    members.sort_by(f32::total_cmp);
    members
}

#[needs(cance)]
#[test]
fn a_late_reading_is_given_its_place_and_the_forecast_says_so() {
    let pipeline = pipeline(&[]);
    let mut rows = on_time();
    let late = rows.iter_mut().find(|r| r.hour == 30 && r.catchment == 1).unwrap();
    late.arrives = 35;
    let (punctual, late) = (live(&pipeline, &on_time(), None, &[]), live(&pipeline, &rows, None, &[]));
    assert_ne!(
        since(&late, &pipeline, 30)[..18],
        since(&punctual, &pipeline, 30)[..18],
        "it was missed for five hours"
    );
    assert_eq!(since(&late, &pipeline, 35), since(&punctual, &pipeline, 35), "and then it was as if it had been there");
    let at = |hour: i64| pipeline.time.from.plus_s(hour * HOUR);
    assert_eq!(late.superseding, [(at(35).0, at(34).0, format!("late observation of V3515010, {}", at(30)))]);
    let entries: Vec<_> = late.ledger.iter().filter(|(s, valid, _)| s == GAUGES[1] && *valid == at(30).0).collect();
    assert_eq!(entries, [&(GAUGES[1].to_owned(), at(30).0, at(35).0)], "entered once, when it came");
    assert_eq!(late.ledger.len(), punctual.ledger.len());
    assert_eq!((late.dead_letters, punctual.dead_letters), (vec![], vec![]));
    assert_eq!((late.balance.late, late.balance.used), (0, punctual.balance.used));
}

#[needs(cance)]
#[test]
fn what_is_later_than_allowed_stays_out_and_is_kept_as_a_dead_letter() {
    let pipeline = pipeline(&[]);
    let mut rows = on_time();
    rows.iter_mut().find(|r| r.hour == 30 && r.catchment == 1).unwrap().arrives = 43;
    let late = live(&pipeline, &rows, None, &[]);
    assert_eq!((dead_letters_of(&late, "late"), late.balance.late), (1, 1));
    assert!(late.superseding.is_empty());
}

#[needs(cance)]
#[test]
fn corrected_and_withdrawn_readings_take_back_what_they_did() {
    let pipeline = pipeline(&[]);
    let corrected = live(&pipeline, &wrong(30, 33, Some(reading(30, 0))), None, &[]);
    let punctual = live(&pipeline, &on_time(), None, &[]);
    assert_eq!(since(&corrected, &pipeline, 33), since(&punctual, &pipeline, 33));
    assert_eq!(dead_letters_of(&corrected, "superseded"), 1, "the wrong one is kept with its reason");

    let mut without = on_time();
    without.retain(|r| !(r.hour == 30 && r.catchment == 0));
    let never = live(&pipeline, &without, None, &[]);
    let withdrawn = live(&pipeline, &wrong(30, 33, None), None, &[]);
    assert_eq!(since(&withdrawn, &pipeline, 33), since(&never, &pipeline, 33));
    assert!(withdrawn.superseding[0].2.starts_with("late withdrawal of the observation of V3524010"));
}

#[needs(cance)]
#[test]
fn a_reading_that_is_corrected_before_its_step_is_taken_counts_once() {
    // Rain comes two hours late, so that the state waits, and readings wait with it.
    let pipeline = pipeline(&[]);
    let mut rows = on_time();
    let row = rows.iter_mut().find(|r| r.hour == 35 && r.catchment == 2).unwrap();
    let right = Gauged { arrives: 36, ..*row };
    row.value = Some(30.0);
    rows.push(right);
    let corrected = live(&pipeline, &rows, Some(Rain::late(35, 37)), &[]);
    let punctual = live(&pipeline, &on_time(), Some(Rain::late(35, 37)), &[]);
    assert_eq!(since(&corrected, &pipeline, 36), since(&punctual, &pipeline, 36));
    assert_eq!((dead_letters_of(&corrected, "superseded"), corrected.superseding.len()), (1, 0));
}

#[needs(cance)]
#[test]
fn rain_that_comes_after_its_step_was_filled_in_falls_where_it_fell() {
    let pipeline = pipeline(&[]);
    let punctual = live(&pipeline, &on_time(), None, &[]);
    let late = live(&pipeline, &on_time(), Some(Rain::late(35, 41)), &[]);
    assert_ne!(since(&late, &pipeline, 39)[..18], since(&punctual, &pipeline, 39)[..18], "filled in without rain");
    assert_eq!(since(&late, &pipeline, 41), since(&punctual, &pipeline, 41));
    assert_eq!(late.balance.used, punctual.balance.used);
}

#[needs(cance)]
#[test]
fn late_rain_that_cannot_be_distinguished_from_what_fell_is_kept_as_a_dead_letter() {
    let pipeline = pipeline(&[]);
    let (punctual, of_hour) = (live(&pipeline, &on_time(), None, &[]), Rain { repeats: true, ..Rain::late(35, 41) });
    // The same hour again takes the place of the first; two hours at once would count one of them twice.
    let again = live(&pipeline, &on_time(), Some(of_hour), &[]);
    assert_eq!((dead_letters_of(&again, "superseded"), dead_letters_of(&again, "duplicate")), (3, 0));
    let of_two = live(&pipeline, &on_time(), Some(Rain { period_s: 2 * HOUR, ..of_hour }), &[]);
    assert_eq!((dead_letters_of(&of_two, "superseded"), dead_letters_of(&of_two, "duplicate")), (0, 3));
    for late in [again, of_two] {
        assert_eq!(since(&late, &pipeline, 41), since(&punctual, &pipeline, 41));
        assert_eq!((late.balance.rejected_rows(), late.balance.received), (3, punctual.balance.received + 3));
    }
}

#[needs(cance)]
#[test]
fn a_role_that_remembers_years_says_the_same_after_a_kill() {
    let pipeline = pipeline(&["forecast.scenario=past_years", "forecast.years=1"]);
    let dry = self::pipeline(&[]);
    let whole = live(&pipeline, &on_time(), None, &[]);
    let killed = live(&pipeline, &on_time(), None, &[60, 90]);
    assert_eq!(since(&killed, &pipeline, 0), since(&whole, &pipeline, 0));
    // No past year is known after two days: then no more rain is assumed.
    assert_eq!(since(&whole, &pipeline, 0), since(&live(&dry, &on_time(), None, &[]), &dry, 0));
}

#[needs(cance)]
#[test]
fn what_a_filter_has_learned_survives_kills_and_late_readings() {
    // A snapshot lies between two analyses, two hours behind the first.
    let set = [
        "log.snapshot_every=5",
        "assimilation.every=3h",
        "assimilation.adaptive_inflation.rate=0.05",
        "assimilation.adaptive_inflation.maximum=1.2",
        "assimilation.river.half_width_km=20",
        "assimilation.river.correlation=0.5",
    ];
    let pipeline = pipeline(&set);
    let mut rows = on_time();
    let late = rows.iter_mut().find(|r| r.hour == 30 && r.catchment == 0).unwrap();
    late.arrives = 35;
    let punctual = live(&pipeline, &on_time(), None, &[]);
    let late = live(&pipeline, &rows, None, &[40, 90, 200, 300]);
    assert_eq!(since(&late, &pipeline, 35), since(&punctual, &pipeline, 35));
    assert_eq!(late.ledger.len(), punctual.ledger.len());
    assert_eq!(late.balance.used, punctual.balance.used);
    // Three gauges' readings a step; the lowest one moves three catchments. What came since the last analysis waits.
    assert_eq!(punctual.ledger.len(), 57 * (3 + 2));
    assert_eq!(punctual.balance.pending, 2 * 3);
}

#[needs(cance)]
#[test]
fn a_second_value_that_comes_after_its_step_takes_nothing_from_the_first() {
    // Readings wait for the analysis of hour 36; a correction of hour 34 comes when nothing is given its place any more.
    let pipeline = pipeline(&["assimilation.every=6h", "forecast.lateness=0s"]);
    let mut rows = on_time();
    let first = *rows.iter().find(|r| r.hour == 34 && r.catchment == 1).unwrap();
    rows.push(Gauged { value: Some(77.0), arrives: 35, ..first });
    let (punctual, corrected) = (live(&pipeline, &on_time(), None, &[]), live(&pipeline, &rows, None, &[]));
    assert_eq!(since(&corrected, &pipeline, 0), since(&punctual, &pipeline, 0));
    assert_eq!((dead_letters_of(&corrected, "late"), dead_letters_of(&corrected, "superseded")), (1, 0));
    assert_eq!(corrected.ledger, punctual.ledger);
}

#[needs(cance)]
#[test]
fn corrected_and_withdrawn_readings_take_back_what_they_did_while_they_wait() {
    let pipeline = pipeline(&["assimilation.every=6h", "log.snapshot_every=5"]);
    let punctual = live(&pipeline, &on_time(), None, &[]);
    let corrected = live(&pipeline, &wrong(34, 35, Some(reading(34, 0))), None, &[60, 150]);
    assert_eq!(since(&corrected, &pipeline, 35), since(&punctual, &pipeline, 35));
    let mut without = on_time();
    without.retain(|r| !(r.hour == 34 && r.catchment == 0));
    let (never, withdrawn) = (live(&pipeline, &without, None, &[]), live(&pipeline, &wrong(34, 35, None), None, &[]));
    assert_eq!(since(&withdrawn, &pipeline, 35), since(&never, &pipeline, 35));
}

#[needs(cance)]
#[test]
fn a_window_survives_kills_and_late_readings() {
    let pipeline = pipeline(&["assimilation.method=variational", "assimilation.members=1"]);
    let mut rows = on_time();
    rows.iter_mut().find(|r| r.hour == 30 && r.catchment == 1).unwrap().arrives = 35;
    let punctual = live(&pipeline, &on_time(), None, &[]);
    let late = live(&pipeline, &rows, None, &[50, 120]);
    assert_eq!(since(&late, &pipeline, 35), since(&punctual, &pipeline, 35));
    assert!(late.ledger.contains(&(
        GAUGES[1].to_owned(),
        pipeline.time.from.plus_s(30 * HOUR).0,
        pipeline.time.from.plus_s(35 * HOUR).0
    )));
}

#[needs(cance)]
#[test]
fn nothing_from_the_future_is_used() {
    let pipeline = pipeline(&[]);
    Tokio::new().unwrap().block_on(async {
        let forecasts = async |planted: bool| {
            let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let log = open_log(&store);
            let from = pipeline.time.from;
            if planted {
                // In the first message: a reading of an hour that has not been yet.
                let mut row = ObservationsBuilder::new();
                row.push(ObservationRow {
                    station: GAUGES[0],
                    variable: Variable::Discharge,
                    valid_time: from.plus_s(HOUR),
                    period_s: 0,
                    value: Some(400.0),
                    flag: Flag::Pass,
                    flag_source: "pass",
                    qualifier: None,
                    source: "test",
                    ingest_time: from,
                });
                let batch = row.finish().unwrap().into_batch();
                let message = Message { time: from, producer: "planted", sequence: 1, batch };
                log.append(Partition::new(Contract::Observation, 0), message).await.unwrap();
            }
            write(&log, from, &on_time(), None).await;
            let balance = start(&pipeline, &store, Arc::new(open_log(&store)), &Metrics::unregistered()).await.unwrap();
            let Some(Entry::Record(first)) = log.read(Partition::new(Contract::Forecast, 0), 0).await.unwrap() else {
                panic!("no forecast")
            };
            (Forecasts::try_from(first.batch).unwrap().mean().values().to_vec(), balance)
        };
        let ((clean, _), (planted, balance)) = (forecasts(false).await, forecasts(true).await);
        assert_eq!(clean, planted);
        assert_eq!(balance.rejected_rows(), 1);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[needs(cance)]
    #[test]
    fn shuffled_delayed_and_repeated_rows_end_in_the_state_of_ordered_ones(
        delays in proptest::collection::vec(prop_oneof![3 => Just(0_i64), 1 => 1_i64..11], 3 * (TICKS as usize - 1)),
        // Rain that comes while its step still waits for it is not late, and forecasts until then knew less.
        rain in proptest::option::of((20_i64..48, 4_i64..11)),
        corrected in proptest::collection::vec((0_usize..3 * (TICKS as usize - 13), 1_i64..11, 0.0_f64..60.0), 0..4),
        kills in proptest::collection::vec(1_usize..400, 0..4),
    ) {
        let pipeline = pipeline(&[]);
        let mut rows = on_time();
        for (row, delay) in rows.iter_mut().zip(&delays) {
            row.arrives = (row.hour + delay).min(TICKS - 1);
        }
        for (at, later, wrong) in corrected {
            // The right value comes later than the wrong one.
            let right = Gauged { arrives: rows[at].arrives.max(rows[at].hour) + later, ..rows[at] };
            if right.value.is_some() && right.arrives < TICKS && right.arrives - right.hour < 12 {
                rows[at].value = Some(wrong);
                rows.push(Gauged { value: Some(reading(right.hour, right.catchment)), ..right });
            }
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.catchment));
        let rain = rain.map(|(hour, delay)| Rain::late(hour, hour + delay));
        let last = rows.iter().filter(|row| row.arrives > row.hour).map(|row| row.arrives).chain(rain.map(|r| r.arrives)).max();
        let last = last.unwrap_or(0);
        let (punctual, late) = (live(&pipeline, &on_time(), None, &[]), live(&pipeline, &rows, rain, &kills));
        prop_assert_eq!(since(&late, &pipeline, last), since(&punctual, &pipeline, last));
        prop_assert_eq!(late.balance.used, punctual.balance.used);
        prop_assert_eq!(dead_letters_of(&late, "late"), 0);
        prop_assert!(late.dead_letters.iter().all(|(reason, _)| reason == "superseded"), "{:?}", late.dead_letters);
    }
}
