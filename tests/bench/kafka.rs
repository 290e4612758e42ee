//! What the log costs on Kafka, beside a plain producer and consumer of the same bytes on the same broker.
//!
//! `ops/bench kafka` runs it in the release profile, with one node of Apache Kafka on this machine.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails where it cannot go on")]

use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use nilometer_engine::{Broker, Entry, KafkaLog, KafkaOptions, Log, Message, Metrics, Partition, to_ipc};
use nilometer_schemas::{Contract, Flag, ObservationRow, ObservationsBuilder, Timestamp, Variable};
use rdkafka::{
    ClientConfig, Message as _,
    consumer::{BaseConsumer, Consumer},
    producer::{FutureProducer, FutureRecord},
    topic_partition_list::{Offset, TopicPartitionList},
};

const OBSERVATIONS: Partition = Partition::new(Contract::Observation, 0);
/// Appends on their way at once, where several are.
const AT_ONCE: usize = 16;
const RUNS: usize = 3;

fn main() {
    let Some(broker) = Broker::start(1) else { return };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        throughput(&broker).await;
        latency(&broker).await;
    });
}

fn open(broker: &Broker, prefix: &str) -> KafkaLog {
    let options = KafkaOptions::new(&broker.address(), &format!("{prefix}."));
    KafkaLog::new(&options, &Metrics::unregistered()).unwrap()
}

fn observations(rows: usize) -> RecordBatch {
    let mut builder = ObservationsBuilder::new();
    for row in 0..rows {
        builder.push(ObservationRow {
            station: &format!("gauge-{:05}", row % 5_000),
            variable: Variable::Discharge,
            valid_time: Timestamp(row as i64 * 1_000_000),
            period_s: 0,
            value: Some(100.0 + 37.0 * (row as f64).sin()),
            flag: Flag::Pass,
            flag_source: "pass",
            qualifier: None,
            source: "bench",
            ingest_time: Timestamp(0),
        });
    }
    builder.finish().unwrap().into_batch()
}

fn message(batch: &RecordBatch, sequence: u64) -> Message<'static> {
    Message { time: Timestamp(sequence as i64), producer: "bench", sequence, batch: batch.clone() }
}

/// The fastest of some runs, each on topics of its own.
async fn fastest<T: PartialOrd>(mut run: impl AsyncFnMut(usize) -> T) -> T {
    let mut best = run(0).await;
    for at in 1..RUNS {
        let again = run(at).await;
        if again < best {
            best = again;
        }
    }
    best
}

async fn throughput(broker: &Broker) {
    println!("\nobservations into a partition and out of it again, one broker: fastest of {RUNS}");
    println!(
        "  {:<14}{:>10}{:>12}{:>14}{:>12}{:>14}{:>12}{:>9}",
        "rows/message", "messages", "at once", "ours, rows/s", "MB/s", "plain, rows/s", "MB/s", "ratio"
    );
    for (rows, messages, at_once) in [
        (500, 1_000, 1),
        (500, 1_000, AT_ONCE),
        (10_000, 300, 1),
        (10_000, 300, AT_ONCE),
        (100_000, 60, 1),
        (100_000, 60, AT_ONCE),
    ] {
        let batch = observations(rows);
        let bytes = to_ipc(&batch, &[]).unwrap();
        let ours = fastest(async |run| {
            ours(&open(broker, &format!("ours{rows}x{at_once}r{run}")), &batch, messages, at_once).await
        })
        .await;
        let plain = fastest(async |run| {
            plain(broker, &format!("plain{rows}x{at_once}r{run}"), &batch, messages, at_once).await
        })
        .await;
        let speed = |time: Duration| {
            let all = messages as f64 / time.as_secs_f64();
            (all * rows as f64, all * bytes.len() as f64 / 1e6)
        };
        let ((our_rows, our_mb), (plain_rows, plain_mb)) = (speed(ours), speed(plain));
        println!(
            "  {rows:<14}{messages:>10}{at_once:>12}{our_rows:>14.0}{our_mb:>12.1}{plain_rows:>14.0}{plain_mb:>12.1}{:>9.2}",
            ours.as_secs_f64() / plain.as_secs_f64()
        );
    }
}

/// Encoded, appended and read back.
async fn ours(log: &KafkaLog, batch: &RecordBatch, messages: u64, at_once: usize) -> Duration {
    log.create_topics(1).await.unwrap();
    log.append(OBSERVATIONS, message(batch, 1)).await.unwrap();
    let begin = Instant::now();
    let appends = stream::iter(2..=messages + 1).map(|sequence| log.append(OBSERVATIONS, message(batch, sequence)));
    appends.buffered(at_once).try_for_each(async |_| Ok(())).await.unwrap();
    let mut read = 0;
    for position in 1..=messages {
        let Some(Entry::Record(record)) = log.read(OBSERVATIONS, position).await.unwrap() else {
            unreachable!("just appended")
        };
        read += record.batch.num_rows();
    }
    assert_eq!(read as u64, messages * batch.num_rows() as u64);
    begin.elapsed()
}

/// The same rows, encoded and decoded the same way, through a plain idempotent producer and a consumer.
async fn plain(broker: &Broker, name: &str, batch: &RecordBatch, messages: u64, at_once: usize) -> Duration {
    let log = open(broker, name);
    log.create_topics(1).await.unwrap();
    let topic = format!("{name}.observation.v1");
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.address()).set("message.max.bytes", (64 << 20).to_string());
    let producer: FutureProducer =
        config.clone().set("enable.idempotence", "true").set("acks", "all").set("linger.ms", "0").create().unwrap();
    let send = async |bytes: Vec<u8>| {
        let record = FutureRecord::<(), [u8]>::to(&topic).partition(0).payload(&bytes);
        producer.send(record, Duration::from_secs(60)).await.map_err(|(error, _)| error)
    };
    send(to_ipc(batch, &[]).unwrap()).await.unwrap();
    let begin = Instant::now();
    let sends = stream::iter(0..messages).map(|_| send(to_ipc(batch, &[]).unwrap()));
    sends.buffered(at_once).try_for_each(async |_| Ok(())).await.unwrap();
    let consumer: BaseConsumer = config.set("group.id", "plain").set("enable.auto.commit", "false").create().unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(&topic, 0, Offset::Offset(1)).unwrap();
    consumer.assign(&from).unwrap();
    let (mut read, mut rows) = (0, 0);
    while read < messages {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let message = message.unwrap();
            let bytes = std::io::Cursor::new(message.payload().unwrap());
            let mut reader = arrow::ipc::reader::StreamReader::try_new(bytes, None).unwrap();
            rows += reader.next().unwrap().unwrap().num_rows();
            read += 1;
        }
    }
    assert_eq!(rows as u64, messages * batch.num_rows() as u64);
    begin.elapsed()
}

/// From the moment at which rows are there to be appended until another process's log has read them, on schedule whatever the log does.
async fn latency(broker: &Broker) {
    const ROWS: usize = 500;
    const EVERY: Duration = Duration::from_millis(50);
    const MESSAGES: u64 = 600;
    let (writing, reading) = (open(broker, "latency"), open(broker, "latency"));
    writing.create_topics(1).await.unwrap();
    let batch = observations(ROWS);
    writing.append(OBSERVATIONS, message(&batch, 1)).await.unwrap();
    let begin = Instant::now() + EVERY;
    let due = |position: u64| begin + EVERY * u32::try_from(position).unwrap();
    let write = stream::iter(1..=MESSAGES)
        .then(async |position| {
            tokio::time::sleep_until(due(position).into()).await;
            position
        })
        .map(|position| writing.append(OBSERVATIONS, message(&batch, position + 1)))
        .buffered(AT_ONCE)
        .try_for_each(async |_| Ok(()));
    let read = async {
        let mut latencies = Vec::new();
        for position in 1..=MESSAGES {
            reading.wait(OBSERVATIONS, position).await.unwrap();
            let Some(Entry::Record(_)) = reading.read(OBSERVATIONS, position).await.unwrap() else {
                unreachable!("waited for")
            };
            latencies.push(due(position).elapsed());
        }
        latencies
    };
    let (written, mut latencies) = tokio::join!(write, read);
    written.unwrap();
    latencies.sort_unstable();
    let at = |share: f64| latencies[(latencies.len() as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "\nfrom rows at hand to rows read by another, {} rows/s in messages of {ROWS}, one broker",
        ROWS as u128 * 1_000 / EVERY.as_millis()
    );
    println!("  p50 {:.1} ms   p99 {:.1} ms   of {MESSAGES}", at(0.5), at(0.99));
}
