//! A fortnight of operations on a virtual clock: files come hour by hour, the services are away for an hour, six, three days or ten. What they
//! forecast in the end, and what they would have forecast meanwhile, is that of services that were never away, to the last bit.

use crate::support::operations::{Left, Operation, World, operate, operate_on};
use crate::support::worlds::{HOUR_S, begin, days, grids, tables};
use nilometer_engine::{Broker, CatchUp, KafkaOptions};
use nilometer_needs::needs;
use nilometer_schemas::Timestamp;

/// Holds what lives with outages leave to what an undisturbed one does.
fn compare(world: &World, outages: &[Operation]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let undisturbed = operate(world, &Operation::away(&[])).await;
        let ticks = undisturbed.observations.len();
        let issued = undisturbed.forecasts.len();
        assert!(issued + 2 >= ticks && issued > 0, "{issued} forecasts in {ticks} ticks");
        assert_eq!(undisturbed.dead_letters, [""; 0]);
        for operation in outages {
            let disturbed = operate(world, operation).await;
            let away = &operation.away;
            assert_eq!(disturbed.dead_letters, [""; 0], "away in {away:?}");
            assert_eq!(disturbed.observations.len(), ticks, "away in {away:?}");
            for ((time, expected), (at, found)) in undisturbed.forecasts.iter().zip(&disturbed.forecasts) {
                assert_eq!(time, at, "away in {away:?}");
                assert!(expected.batch() == found.batch(), "away in {away:?}: the forecast of {time} is another");
            }
            assert_eq!(disturbed.forecasts.len(), issued, "away in {away:?}");
            let (from, tick_s) = (world.pipeline.time.from, world.pipeline.time.tick_s());
            for (time, rows) in &disturbed.observations {
                let tick = time.seconds_since(from) / tick_s;
                let back = away.iter().find(|away| away.contains(&tick)).map_or(tick, |away| away.end);
                let arrived = from.plus_s(back * tick_s);
                assert!(rows.ingest_time().values().iter().all(|t| Timestamp(*t) == arrived), "arrival of {time}");
            }
        }
    });
}

#[needs(onnxruntime, cance)]
#[test]
fn radar_and_first_line_tables_after_an_outage_are_as_if_there_had_been_none() {
    let world = grids(6);
    compare(&world, &[Operation::away(&[(20, 21), (31, 37), (60, 132)])]);
}

#[needs(onnxruntime)]
#[test]
fn daily_tables_after_an_outage_are_as_if_there_had_been_none() {
    compare(&days(60), &[Operation::away(&[(20, 21), (30, 33), (40, 50)])]);
}

#[needs(onnxruntime)]
#[test]
fn hourly_tables_after_an_outage_are_as_if_there_had_been_none() {
    let world = tables(14);
    let outages = [
        Operation::away(&[(30, 31), (61, 67), (100, 172)]),
        Operation::away(&[(40, 280)]),
        Operation { ingest_only: true, ..Operation::away(&[(61, 67), (120, 192)]) },
    ];
    compare(&world, &outages);
}

#[needs(onnxruntime, kafka)]
#[test]
fn over_kafka_an_outage_of_ingest_leaves_no_trace() {
    let broker = Broker::start(1);
    let world = tables(3);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let options = |prefix: &str| Some(KafkaOptions::new(&broker.address(), prefix));
        let undisturbed = operate(&world, &Operation::away(&[])).await;
        let operation = Operation { ingest_only: true, ..Operation::away(&[(20, 21), (31, 37), (50, 62)]) };
        let disturbed = operate_on(&world, &operation, options("away.")).await;
        assert_eq!(disturbed.dead_letters, [""; 0]);
        assert_eq!(disturbed.forecasts.len(), undisturbed.forecasts.len());
        for ((time, expected), (_, found)) in undisturbed.forecasts.iter().zip(&disturbed.forecasts) {
            assert!(expected.batch() == found.batch(), "the forecast of {time} is another");
        }
    });
}

#[needs(onnxruntime)]
#[test]
fn in_latest_the_newest_forecast_knows_all_that_has_come() {
    let world = tables(4);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let operation = Operation { catch_up: CatchUp::Latest, ..Operation::away(&[(30, 54)]) };
        let left = operate(&world, &operation).await;
        assert_eq!(left.dead_letters, [""; 0]);
        let hour = |h: i64| begin().plus_s(h * HOUR_S);
        let issued: Vec<Timestamp> = left.forecasts.iter().map(|(time, _)| *time).collect();
        assert!(issued.contains(&hour(29)) && issued.contains(&hour(54)), "{issued:?}");
        assert!(!issued.iter().any(|time| (hour(30)..hour(54)).contains(time)), "{issued:?}");
        let (_, next) = left.forecasts.iter().find(|(time, _)| *time == hour(54)).unwrap();
        let not_made = "forecasts of 2014-10-09T06:00:00Z to 2014-10-10T05:00:00Z were not made";
        assert!(next.reason().value(0).ends_with(not_made), "{}", next.reason().value(0));
        // Every reading counts: the state is that of an operation without an outage.
        let undisturbed = operate(&world, &Operation::away(&[])).await;
        let read = |left: &Left| left.observations.iter().map(|(_, rows)| rows.len()).sum::<usize>();
        assert_eq!(read(&left), read(&undisturbed));
    });
}
