//! What a query may take: where it takes more it ends with what is accepted, and the next one is answered.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use nilometer_sql::{Limits, SqlError};

use crate::world::{World, number, rows};

const USUAL: Limits = Limits { memory_mib: 64, time: Duration::from_secs(20), rows: 1_000_000 };

async fn world() -> World {
    let world = World::new(50, &[]);
    for hour in 0..20 {
        world.append(hour).await;
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_time_and_memory_have_limits() {
    let world = world().await;
    let engine = world.limited(Limits { rows: 100, ..USUAL });
    assert!(matches!(rows(&engine, "SELECT * FROM forecast").await, Err(SqlError::Rows { limit: 100 })));
    assert_eq!(number(&engine, "SELECT count(*) FROM forecast").await, 6_000);
    assert_eq!(rows(&engine, "SELECT * FROM forecast LIMIT 100").await.unwrap().len(), 1);

    let engine = world.limited(Limits { time: Duration::from_millis(700), ..USUAL });
    let begun = Instant::now();
    let endless = "SELECT count(*) FROM forecast a, forecast b, forecast c WHERE a.mean + b.mean > c.mean";
    assert!(matches!(rows(&engine, endless).await, Err(SqlError::Time { .. })));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(number(&engine, "SELECT count(*) FROM forecast").await, 6_000);

    let engine = world.limited(Limits { memory_mib: 1, ..USUAL });
    let sorted =
        "SELECT a.*, b.mean FROM forecast a JOIN forecast b ON a.lead_time_s = b.lead_time_s ORDER BY a.mean + b.mean";
    let refused = rows(&engine, sorted).await;
    assert!(matches!(refused, Err(SqlError::Memory { limit_mib: 1 })), "{refused:?}");
    assert_eq!(number(&engine, "SELECT count(*) FROM forecast").await, 6_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_ends_with_its_client_and_a_place_is_free_again() {
    let world = world().await;
    let engine = world.limited(USUAL);
    // More of them than there are places, each of which would take minutes.
    for _ in 0..6 {
        let mut rows = engine
            .query("SELECT a.mean FROM forecast a, forecast b, forecast c WHERE a.mean + b.mean > c.mean")
            .await
            .unwrap();
        assert!(rows.next().await.unwrap().is_ok());
        drop(rows);
    }
    assert_eq!(number(&engine, "SELECT count(*) FROM forecast").await, 6_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_there_are_places_for_are_refused() {
    let world = world().await;
    let engine = world.limited(USUAL);
    let endless = "SELECT a.mean FROM forecast a, forecast b, forecast c WHERE a.mean + b.mean > c.mean";
    let mut running = Vec::new();
    for _ in 0..4 {
        running.push(engine.query(endless).await.unwrap());
    }
    assert!(matches!(engine.query("SELECT 1").await, Err(SqlError::Busy { places: 4 })));
    drop(running);
    assert_eq!(number(&engine, "SELECT 1").await, 1);
}
