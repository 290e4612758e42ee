//! What the log costs on Kafka, beside a plain producer and consumer of the same bytes on the same broker.
//!
//! `ops/bench kafka` runs it in the release profile, with one node of Apache Kafka on this machine.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails where it cannot go on")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::array::RecordBatch;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use nilometer_engine::{Broker, Entry, KafkaLog, KafkaOptions, Log, Message, Metrics, Outbox, Partition, to_ipc};
use nilometer_schemas::{Contract, Flag, ObservationRow, ObservationsBuilder, Timestamp, Variable};
use rdkafka::{
    ClientConfig, Message as _,
    consumer::{BaseConsumer, Consumer},
    producer::{FutureProducer, FutureRecord, Producer as _},
    topic_partition_list::{Offset, TopicPartitionList},
};

const OBSERVATIONS: Partition = Partition::new(Contract::Observation, 0);
/// Messages on their way, where they are not waited for one by one: as many as a role's.
const AHEAD: usize = 256;
/// As many for the plain producer, which does better with one or the other.
const FEWER: usize = 32;
const PATIENCE: Duration = Duration::from_secs(60);
const RUNS: usize = 4;

fn main() {
    let broker = Broker::start(1);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        throughput(&broker).await;
        latency(&broker).await;
    });
}

fn open(broker: &Broker, prefix: &str) -> Arc<KafkaLog> {
    let options = KafkaOptions::new(&broker.address(), &format!("{prefix}."));
    Arc::new(KafkaLog::new(&options, &Metrics::unregistered()).unwrap())
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
    Message { time: Timestamp(sequence as i64), producer: "bench", sequence: sequence as i64, batch: batch.clone() }
}

async fn throughput(broker: &Broker) {
    println!("\nobservations into a partition and out of it again, one broker: fastest of {RUNS}");
    println!(
        "  {:<14}{:>10}{:>12}{:>14}{:>9}{:>15}{:>9}{:>18}{:>9}",
        "rows/message",
        "messages",
        "on the way",
        "ours, rows/s",
        "MB/s",
        "plain, rows/s",
        "ratio",
        "in transactions",
        "ratio"
    );
    for (rows, messages, ahead) in [
        (500, 400, 1),
        (10_000, 200, 1),
        (100_000, 60, 1),
        (500, 8_000, AHEAD),
        (10_000, 600, AHEAD),
        (100_000, 60, AHEAD),
    ] {
        let batch = observations(rows);
        let bytes = to_ipc(&batch, &[]).unwrap().len();
        let mut fastest = [Duration::MAX; 3];
        // In turn, so that whatever else the machine does is shared.
        for run in 0..RUNS {
            let name = |of: &str| format!("{of}{rows}x{ahead}r{run}");
            let times = [
                ours(&open(broker, &name("ours")), &batch, messages, ahead).await,
                // More on the way is not always faster for it.
                plain(broker, &name("plain"), &batch, messages, ahead, false)
                    .await
                    .min(plain(broker, &name("fewer"), &batch, messages, ahead.min(FEWER), false).await),
                plain(broker, &name("transactions"), &batch, messages, ahead, true).await,
            ];
            fastest.iter_mut().zip(times).for_each(|(fastest, time)| *fastest = time.min(*fastest));
        }
        let [ours, plain, transactions] = fastest.map(|time| messages as f64 / time.as_secs_f64());
        println!(
            "  {rows:<14}{messages:>10}{ahead:>12}{:>14.0}{:>9.1}{:>15.0}{:>9.2}{:>18.0}{:>9.2}",
            ours * rows as f64,
            ours * bytes as f64 / 1e6,
            plain * rows as f64,
            plain / ours,
            transactions * rows as f64,
            transactions / ours
        );
    }
}

/// Encoded, appended and read back: each message waited for, or handed over as roles do.
async fn ours(log: &Arc<KafkaLog>, batch: &RecordBatch, messages: u64, ahead: usize) -> Duration {
    log.create_topics(1).await.unwrap();
    log.append(OBSERVATIONS, message(batch, 1)).await.unwrap();
    let begin = Instant::now();
    let mut outbox = Outbox::new(log.clone());
    for sequence in 2..=messages + 1 {
        outbox.hand_over([(OBSERVATIONS, message(batch, sequence))], |_| ()).await.unwrap();
        if ahead == 1 {
            outbox.settle().await.unwrap();
        }
    }
    outbox.settle().await.unwrap();
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

/// The same rows, encoded and decoded the same way, through an idempotent producer and a consumer and nothing else; with a transaction around
/// as many messages as may be on their way, or without.
async fn plain(
    broker: &Broker,
    name: &str,
    batch: &RecordBatch,
    messages: u64,
    ahead: usize,
    transactions: bool,
) -> Duration {
    let log = open(broker, name);
    log.create_topics(1).await.unwrap();
    let topic = format!("{name}.observation.v1");
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.address()).set("message.max.bytes", (64 << 20).to_string());
    let mut producing = config.clone();
    producing.set("enable.idempotence", "true").set("acks", "all").set("linger.ms", "0");
    if transactions {
        producing.set("transactional.id", name);
    }
    let producer: FutureProducer = producing.create().unwrap();
    let send = async |bytes: Vec<u8>| {
        let record = FutureRecord::<(), [u8]>::to(&topic).partition(0).payload(&bytes);
        producer.send(record, PATIENCE).await.map_err(|(error, _)| error)
    };
    if transactions {
        producer.init_transactions(PATIENCE).unwrap();
    } else {
        send(to_ipc(batch, &[]).unwrap()).await.unwrap();
    }
    let begin = Instant::now();
    if transactions {
        for from in (0..messages).step_by(ahead) {
            producer.begin_transaction().unwrap();
            let sends = (from..messages.min(from + ahead as u64)).map(|_| send(to_ipc(batch, &[]).unwrap()));
            stream::iter(sends).buffered(ahead).try_for_each(async |_| Ok(())).await.unwrap();
            producer.commit_transaction(PATIENCE).unwrap();
        }
    } else {
        let sends = stream::iter(0..messages).map(|_| send(to_ipc(batch, &[]).unwrap()));
        sends.buffered(ahead).try_for_each(async |_| Ok(())).await.unwrap();
    }
    let consumer: BaseConsumer = config.set("group.id", "plain").set("enable.auto.commit", "false").create().unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(&topic, 0, Offset::Offset(i64::from(!transactions))).unwrap();
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
    let write = async {
        let mut outbox = Outbox::new(writing.clone());
        for position in 1..=MESSAGES {
            outbox.meanwhile(tokio::time::sleep_until(due(position).into())).await?;
            outbox.hand_over([(OBSERVATIONS, message(&batch, position + 1))], |_| ()).await?;
        }
        outbox.settle().await
    };
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
