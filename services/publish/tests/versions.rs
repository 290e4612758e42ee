//! Messages of other versions and other contracts in a topic: what can be read is published, the rest becomes a dead letter.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where it cannot go on")]

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch},
    datatypes::{DataType, Field, Schema},
    ipc::reader::StreamReader,
};
use futures::TryStreamExt as _;
use nilometer_engine::{EmbeddedLog, Entry, Lifecycle, Log, Message, Metrics, Partition, Snapshots};
use nilometer_publish::Dependencies;
use nilometer_schemas::{
    Contract, DeadLetters, ForecastRow, ForecastsBuilder, Observations, QUANTILE_LEVELS, Reason, Timestamp, Variable,
};
use object_store::{ObjectStore, memory::InMemory};

const FORECASTS: Partition = Partition::new(Contract::Forecast, 0);

fn forecast(hour: i64) -> RecordBatch {
    let issue_time = Timestamp(0).plus_s(hour * 3_600);
    let mut rows = ForecastsBuilder::new();
    rows.push(ForecastRow {
        catchment: "V1",
        variable: Variable::Discharge,
        issue_time,
        valid_time: issue_time.plus_s(3_600),
        mean: 1.0,
        quantiles: &[1.0; QUANTILE_LEVELS.len()],
        tails: None,
        simulated: None,
        members: 1,
        scenario: "zero",
        state_time: issue_time,
        filled_steps: 0,
        model: "m",
        model_version: "1",
        weights_sha256: "00",
        observation_position: 0,
        forcing_position: 0,
        supersedes: None,
        reason: None,
        stage: None,
        member_values: None,
        shadow: false,
    });
    rows.finish().unwrap().into_batch()
}

/// The same rows from a producer that is one version ahead.
fn newer(batch: &RecordBatch) -> RecordBatch {
    let fields = batch
        .schema()
        .fields()
        .iter()
        .cloned()
        .chain([Arc::new(Field::new("crowd", DataType::Int64, true))])
        .collect::<Vec<_>>();
    let metadata = HashMap::from([("nilometer.contract".to_owned(), "forecast.v9".to_owned())]);
    let columns = batch.columns().iter().cloned().chain([Arc::new(Int64Array::from(vec![7])) as ArrayRef]).collect();
    RecordBatch::try_new(Arc::new(Schema::new_with_metadata(fields, metadata)), columns).unwrap()
}

#[tokio::test]
async fn a_later_version_is_published_and_another_contract_becomes_a_dead_letter_with_its_bytes() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let metrics = Metrics::unregistered();
    let log = Arc::new(EmbeddedLog::new(store.clone(), "log", &metrics));
    let foreign = Observations::empty().into_batch();
    for (hour, batch) in [(0, forecast(0)), (1, newer(&forecast(1))), (2, foreign.clone()), (3, forecast(3))] {
        let time = Timestamp(0).plus_s(hour * 3_600);
        log.append(FORECASTS, Message { time, producer: "p", sequence: hour + 1, batch }).await.unwrap();
    }
    // A second start finds the dead letter where the first has left it.
    for _ in 0..2 {
        let mut lifecycle = Lifecycle::new();
        let stop = lifecycle.next_role();
        lifecycle.stop();
        let dependencies = Dependencies {
            log: log.clone(),
            snapshots: Snapshots::new(Arc::new(InMemory::new()), "snapshots", "publish", 2),
            archive: store.clone(),
            metrics: metrics.role("publish_forecast"),
            partition: FORECASTS,
            refuses_as: Some("publish_forecast"),
            snapshot_every: 1,
        };
        let balance = nilometer_publish::run(dependencies, stop).await.unwrap();
        assert_eq!((balance.received, balance.used), (3, 3), "the foreign message had no rows");
    }
    let prefix = object_store::path::Path::from("forecast.v1");
    let archived: Vec<_> = store.list(Some(&prefix)).try_collect().await.unwrap();
    assert_eq!(archived.len(), 3);
    let dead_letters = Partition::new(Contract::DeadLetter, 0);
    assert_eq!(log.bounds(dead_letters).await.unwrap().end, 1);
    let Some(Entry::Record(record)) = log.read(dead_letters, 0).await.unwrap() else { panic!("a dead letter") };
    let dead_letters = DeadLetters::try_from(record.batch).unwrap();
    assert_eq!(
        (dead_letters.reason().value(0), dead_letters.locator().value(0)),
        (Reason::BrokenContract.name(), "forecast.v1/0@2")
    );
    let bytes = StreamReader::try_new(dead_letters.bytes().value(0), None).unwrap();
    assert_eq!(bytes.schema().fields(), foreign.schema().fields());
}
