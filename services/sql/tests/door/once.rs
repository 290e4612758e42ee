//! Each row is counted once, wherever it lies and whatever becomes of it meanwhile.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use arrow::{array::AsArray as _, util::pretty::pretty_format_batches};
use nilometer_sql::{Engine, Limits, Source};

use crate::world::{LEADS, World, at, number, rows};

const COUNT: &str = "SELECT count(*) FROM forecast";
const DISTINCT: &str = "SELECT count(DISTINCT (catchment, issue_time, lead_time_s)) FROM forecast";

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_counted_once_in_memory_in_objects_and_in_a_file() {
    let world = World::new(3, &["serve.memory=36h"]);
    let engine = world.engine();
    assert_eq!(number(&engine, COUNT).await, 0);
    let of_hour = i64::try_from(world.stations).unwrap() * LEADS;
    // Two days and a half: the first day leaves memory, is compacted, and the rest goes on beside it.
    for hour in 0..60 {
        world.append(hour).await;
        let expected = (hour + 1) * of_hour;
        if hour > 20 {
            // The archive is a little behind.
            world.publish(hour - 3).await;
        } else if hour == 20 {
            for hour in 0..=17 {
                world.publish(hour).await;
            }
        }
        assert_eq!(number(&engine, COUNT).await, expected, "hour {hour}");
        if hour % 13 == 0 {
            world.compact().await;
            assert_eq!(number(&engine, COUNT).await, expected, "hour {hour}, compacted");
            assert_eq!(number(&engine, DISTINCT).await, expected, "hour {hour}");
        }
    }
    // What the archive has already, but memory does not have yet, is of no view.
    world.publish(60).await;
    assert_eq!(number(&engine, COUNT).await, 60 * of_hour);
    world.append(60).await;
    assert_eq!(number(&engine, COUNT).await, 61 * of_hour);
    let newest = rows(&engine, "SELECT DISTINCT issue_time FROM forecast_latest").await.unwrap();
    let time = newest[0].column(0).as_primitive::<arrow::datatypes::TimestampMicrosecondType>().value(0);
    assert_eq!(time, at(60).0);
    assert_eq!(number(&engine, "SELECT count(*) FROM forecast_latest").await, of_hour);
    // The archive by itself has what was published.
    let source = Source { site: None, archive: world.archive.clone(), catchments: Vec::new() };
    let limits = Limits { memory_mib: 64, time: std::time::Duration::from_secs(30), rows: 1_000 };
    let alone = Engine::new(source, limits).unwrap();
    assert_eq!(number(&alone, COUNT).await, 58 * of_hour);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_counted_once_while_the_archive_is_written_and_compacted() {
    let world = Arc::new(World::new(2, &["serve.memory=36h"]));
    let engine = world.engine();
    for hour in 0..30 {
        world.append(hour).await;
    }
    let of_hour = i64::try_from(world.stations).unwrap() * LEADS;
    let asked = Arc::new(AtomicUsize::new(0));
    let writing = {
        let (world, asked) = (world.clone(), asked.clone());
        tokio::spawn(async move {
            for hour in 0..30 {
                world.publish(hour).await;
                if hour % 3 == 2 {
                    world.compact().await;
                    // Queries go on beside, and none is left behind by ten compactions.
                    while asked.load(Ordering::Relaxed) < usize::try_from(hour).unwrap() {
                        tokio::task::yield_now().await;
                    }
                }
            }
        })
    };
    while !writing.is_finished() {
        assert_eq!(number(&engine, COUNT).await, 30 * of_hour);
        // One query sees one view, also where it looks twice.
        let twice = "SELECT (SELECT count(*) FROM forecast) - (SELECT count(mean) FROM forecast)";
        assert_eq!(number(&engine, twice).await, 0);
        asked.fetch_add(2, Ordering::Relaxed);
    }
    writing.await.unwrap();
    assert_eq!(number(&engine, DISTINCT).await, 30 * of_hour);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_match_is_not_read_and_all_that_matches_is() {
    let world = World::new(2, &["serve.memory=6h"]);
    for hour in 0..72 {
        world.append(hour).await;
        world.publish(hour).await;
    }
    let engine = world.engine();
    for compacted in [false, true] {
        if compacted {
            world.compact().await;
        }
        for (predicate, expected) in [
            ("issue_time = '2014-11-04T05:00:00Z'", 2 * LEADS),
            ("issue_time >= '2014-11-05T20:00:00Z'", 4 * 2 * LEADS),
            ("issue_time < TIMESTAMP '2014-11-03 02:00:00'", 2 * 2 * LEADS),
            ("issue_time BETWEEN '2014-11-03T23:00:00Z' AND '2014-11-04T00:00:00Z'", 2 * 2 * LEADS),
            ("valid_time = '2014-11-04T00:00:00Z'", 2 * LEADS),
            ("catchment = 'S00001' AND issue_time = '2014-11-04T05:00:00Z'", LEADS),
            ("catchment = 'nix'", 0),
            (
                "issue_time = '2014-11-04T05:00:00Z' OR catchment = 'S00000' AND valid_time = '2014-11-05T00:00:00Z'",
                3 * LEADS,
            ),
            ("issue_time > now() - INTERVAL '2 days'", 0),
            ("date_trunc('day', issue_time) = '2014-11-04T00:00:00Z'", 24 * 2 * LEADS),
            ("mean > 10 AND lead_time_s = 3600 AND catchment = 'S00000'", 62),
        ] {
            let text = format!("SELECT count(*) FROM forecast WHERE {predicate}");
            assert_eq!(number(&engine, &text).await, expected, "{predicate}, compacted: {compacted}");
        }
    }
    let plan = "EXPLAIN SELECT q50 FROM forecast WHERE catchment = 'S00001' AND issue_time = '2014-11-04T05:00:00Z'";
    let plan = pretty_format_batches(&rows(&engine, plan).await.unwrap()).unwrap().to_string();
    assert!(plan.matches("compacted-1-").count() == 1 && plan.contains("date=2014-11-04"), "{plan}");
}
