//! The log on a real Apache Kafka: it passes the suite that the embedded one passes, and keeps its promises through faults.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use nilometer_engine::{
    Appended, Bounds, Broker, Chain, EmbeddedLog, Entry, KafkaLog, KafkaOptions, Log, LogError, Message, Metrics,
    Partition, SharedLog as _,
    conformance::{self, dead_letters},
};
use nilometer_needs::needs;
use nilometer_schemas::{Contract, Timestamp};
use object_store::local::LocalFileSystem;
use rdkafka::{
    ClientConfig,
    producer::{FutureProducer, FutureRecord},
};

const DEAD_LETTERS: Partition = Partition::new(Contract::DeadLetter, 0);

/// One node for all tests that do not harm it.
fn address() -> String {
    static SHARED: OnceLock<Broker> = OnceLock::new();
    SHARED.get_or_init(|| Broker::start(1)).address()
}

fn options(brokers: &str, prefix: &str) -> KafkaOptions {
    KafkaOptions { max_message_bytes: 1 << 20, ..KafkaOptions::new(brokers, &format!("{prefix}.")) }
}

fn open(options: &KafkaOptions) -> KafkaLog {
    KafkaLog::new(options, &Metrics::unregistered()).unwrap()
}

fn message(producer: &str, sequence: u64) -> Message<'_> {
    Message { time: Timestamp(0), producer, sequence: sequence.cast_signed(), batch: dead_letters(producer, 1) }
}

#[needs(kafka)]
#[tokio::test(flavor = "multi_thread")]
async fn passes_the_suite() {
    let address = address();
    let options = options(&address, "suite");
    open(&options).create_topics(2).await.unwrap();
    conformance::run(|| async { open(&options) }).await.unwrap();
}

#[needs(kafka)]
#[tokio::test(flavor = "multi_thread")]
async fn two_owners_of_one_partition_append_every_message_once() {
    let address = address();
    let options = options(&address, "owners");
    let (ours, theirs) = (open(&options), open(&options));
    ours.create_topics(1).await.unwrap();
    // Both are the same producer: a zombie and its successor.
    for sequence in 1..=6 {
        let (one, other) = tokio::join!(
            ours.append(DEAD_LETTERS, message("p", sequence)),
            theirs.append(DEAD_LETTERS, message("p", sequence))
        );
        let appended = [one.unwrap(), other.unwrap()];
        assert!(
            appended.contains(&Appended::At(sequence - 1)) && appended.contains(&Appended::Already),
            "{appended:?}"
        );
    }
    assert_eq!(theirs.bounds(DEAD_LETTERS).await.unwrap().end, 6);
    assert_eq!(ours.bounds(DEAD_LETTERS).await.unwrap().end, 6);
    for position in 0..6 {
        let Some(Entry::Record(record)) = ours.read(DEAD_LETTERS, position).await.unwrap() else {
            panic!("{position}")
        };
        assert_eq!((record.position, record.rows_before), (position, position));
    }
}

#[needs(kafka)]
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_in_one_process_hears_of_what_another_appends() {
    let address = address();
    let options = options(&address, "waits");
    let (ours, theirs) = (open(&options), open(&options));
    ours.create_topics(1).await.unwrap();
    assert!(ours.read(DEAD_LETTERS, 0).await.unwrap().is_none());
    let mut waiting = ours.wait(DEAD_LETTERS, 0);
    assert!(futures::poll!(&mut waiting).is_pending());
    let (waited, appended) = tokio::join!(waiting, theirs.append(DEAD_LETTERS, message("p", 1)));
    assert_eq!((waited.unwrap(), appended.unwrap()), ((), Appended::At(0)));
    assert!(matches!(ours.read(DEAD_LETTERS, 0).await.unwrap(), Some(Entry::Record(_))));
}

#[needs(kafka)]
#[tokio::test(flavor = "multi_thread")]
async fn topics_are_checked_before_they_are_used() {
    let address = address();
    let options = options(&address, "topics");
    let log = open(&options);
    let problems = log.check_topics(2).await.unwrap();
    assert_eq!(problems.len(), Contract::ALL.len());
    assert!(problems.iter().all(|p| p.problem.contains("absent") && p.problem.contains("accepted")), "{problems:?}");
    assert_eq!(log.create_topics(2).await.unwrap().len(), Contract::ALL.len());
    assert_eq!(log.create_topics(2).await.unwrap(), [""; 0], "nothing is made twice");
    assert_eq!(log.check_topics(2).await.unwrap(), []);
    let larger = open(&KafkaOptions { max_message_bytes: 2 << 20, ..options });
    let problems = larger.check_topics(3).await.unwrap();
    assert!(problems.iter().any(|p| p.problem.contains("has 2 partitions")), "{problems:?}");
    let problems = larger.check_topics(2).await.unwrap();
    assert!(problems.iter().all(|p| p.problem.contains("max.message.bytes = 1048576")), "{problems:?}");
}

#[needs(kafka)]
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_appended_is_refused_with_its_reason() {
    let address = address();
    let options = options(&address, "refused");
    let log = open(&options);
    let absent = log.append(DEAD_LETTERS, message("p", 1)).await.unwrap_err();
    assert!(!absent.is_retryable(), "{absent}");
    let absent = log.read(DEAD_LETTERS, 0).await.unwrap_err().to_string();
    assert!(absent.contains("nilometer topics create"), "{absent}");
    log.create_topics(1).await.unwrap();
    let batch = dead_letters(&random_text(2 << 20), 1);
    let large = Message { time: Timestamp(0), producer: "p", sequence: 1, batch };
    let refused = log.append(DEAD_LETTERS, large).await.unwrap_err();
    assert!(matches!(refused, LogError::TooLarge { accepted, .. } if accepted == 1 << 20), "{refused}");
    assert_eq!(log.append(DEAD_LETTERS, message("p", 1)).await.unwrap(), Appended::At(0), "the next is taken");
}

#[needs(kafka)]
#[tokio::test(flavor = "multi_thread")]
async fn behind_a_message_that_the_cluster_refuses_none_is_appended() {
    let address = address();
    let accepted = options(&address, "torn");
    open(&accepted).create_topics(1).await.unwrap();
    // Believes that the topic takes more than it does.
    let log = open(&KafkaOptions { max_message_bytes: 8 << 20, ..accepted });
    let chain = Chain::default();
    let mut appending = Vec::new();
    for sequence in 1..=40 {
        let text = if sequence == 20 { random_text(2 << 20) } else { "small".to_owned() };
        let message = Message { batch: dead_letters(&text, 1), ..message("owner", sequence) };
        appending.push(log.hand_over(DEAD_LETTERS, message, &chain).await.unwrap());
    }
    let heard = futures::future::join_all(appending).await;
    let failed = heard.iter().position(Result::is_err).unwrap();
    assert!(failed < 20 && heard[failed..].iter().all(Result::is_err), "{heard:?}");
    let last = log.last_sequence(DEAD_LETTERS, "owner").await.unwrap().unwrap_or(0).cast_unsigned();
    assert_eq!(last, failed as u64, "a hole could not be filled any more");
    assert_eq!(log.append(DEAD_LETTERS, message("owner", last + 1)).await.unwrap(), Appended::At(last));
}

#[needs(kafka)]
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_released_while_messages_are_on_their_way_loses_none() {
    const EACH: u64 = 200;
    let address = address();
    let log = open(&options(&address, "released"));
    log.create_topics(1).await.unwrap();
    let (chain, mut appending) = (Chain::default(), Vec::new());
    for sequence in 1..=4 * EACH {
        appending.push(log.hand_over(DEAD_LETTERS, message("owner", sequence), &chain).await.unwrap());
        if sequence.is_multiple_of(EACH) {
            log.release(DEAD_LETTERS.number);
        }
    }
    let appended = futures::future::try_join_all(appending).await.unwrap();
    assert_eq!(appended, (0..4 * EACH).map(Appended::At).collect::<Vec<_>>());
}

#[needs(kafka)]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_copied_keeps_its_position_and_its_damage() {
    let address = address();
    let options = options(&address, "copied");
    let folder = tempfile::tempdir().unwrap();
    let store = std::sync::Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
    let embedded = EmbeddedLog::new(store, "log", &Metrics::unregistered());
    for sequence in 1..=6 {
        embedded.append(DEAD_LETTERS, message("p", sequence)).await.unwrap();
    }
    embedded.trim(DEAD_LETTERS, 2).await.unwrap();
    std::fs::write(folder.path().join("log/dead_letter.v1/0/00000000000000000003.arrow"), b"torn").unwrap();
    let log = open(&options);
    log.create_topics(1).await.unwrap();
    assert_eq!(log.copy_from(&embedded, DEAD_LETTERS).await.unwrap(), 4);
    assert_eq!(log.copy_from(&embedded, DEAD_LETTERS).await.unwrap(), 0, "a second copy finds everything");
    assert_eq!(log.bounds(DEAD_LETTERS).await.unwrap(), Bounds { start: 2, end: 6 });
    for position in [2, 4, 5] {
        let Some(Entry::Record(record)) = log.read(DEAD_LETTERS, position).await.unwrap() else { panic!("{position}") };
        assert_eq!((record.position, record.rows_before), (position, position));
    }
    let Some(Entry::Damaged(damage)) = log.read(DEAD_LETTERS, 3).await.unwrap() else { panic!("3 is damaged") };
    assert_eq!(&damage.bytes[..], b"torn");
    assert_eq!(log.append(DEAD_LETTERS, message("p", 6)).await.unwrap(), Appended::Already);
    assert_eq!(log.append(DEAD_LETTERS, message("p", 7)).await.unwrap(), Appended::At(6));
    let foreign = log.copy_from(&embedded, DEAD_LETTERS).await.unwrap_err();
    assert!(foreign.to_string().contains("2 to 7") && foreign.to_string().contains("2 to 6"), "{foreign}");
}

/// Text that does not compress.
fn random_text(bytes: usize) -> String {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(33 + ((state >> 33) % 90) as u8)
    };
    (0..bytes).map(|_| next()).collect()
}

/// What happens to a broker; each is met by a log that is at work.
type Fault = Box<dyn FnOnce(&mut Broker) + Send>;

/// Meets a broker's faults while the log is written to and read: what was written is there, once and in order.
async fn write_and_read_through(options: &KafkaOptions, mut broker: Broker, faults: Vec<Fault>) {
    let log = open(options);
    log.create_topics(1).await.unwrap();
    let (written, mut progress) = tokio::sync::watch::channel(0);
    let over = AtomicBool::new(false);
    let writing = async {
        // One more behind the last fault, so that a reader that waits for it sees the end.
        loop {
            let last = over.load(Ordering::Relaxed);
            let sequence = *written.borrow() + 1;
            log.append(DEAD_LETTERS, message("p", sequence)).await.unwrap();
            written.send_replace(sequence);
            if last {
                break sequence;
            }
        }
    };
    let reading = async {
        let mut position = 0;
        while !over.load(Ordering::Relaxed) {
            log.wait(DEAD_LETTERS, position).await.unwrap();
            let Some(Entry::Record(record)) = log.read(DEAD_LETTERS, position).await.unwrap() else {
                panic!("{position}")
            };
            assert_eq!((record.position, record.rows_before), (position, position));
            position += 1;
        }
    };
    let faulting = async {
        for fault in faults {
            more(&mut progress).await;
            let happened = tokio::task::spawn_blocking(move || {
                fault(&mut broker);
                broker
            });
            broker = happened.await.unwrap();
        }
        more(&mut progress).await;
        over.store(true, Ordering::Relaxed);
        broker
    };
    let (written, (), _broker) = tokio::join!(writing, reading, faulting);
    assert_eq!(open(options).bounds(DEAD_LETTERS).await.unwrap(), Bounds { start: 0, end: written });
}

/// Twenty messages more: a fault meets a log that is at work, and the log gets over it.
async fn more(progress: &mut tokio::sync::watch::Receiver<u64>) {
    let enough = *progress.borrow() + 20;
    progress.wait_for(|&written| written >= enough).await.unwrap();
}

/// A power cut of a node that comes back.
fn power_cut(node: usize) -> Fault {
    Box::new(move |broker| {
        broker.kill(node);
        broker.revive(node);
    })
}

/// A wire that is cut for so long.
fn wire_cut(seconds: u64) -> Fault {
    Box::new(move |broker| {
        broker.cut(true);
        std::thread::sleep(Duration::from_secs(seconds));
        broker.cut(false);
    })
}

#[needs(kafka)]
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_and_comes_back_costs_a_pause_and_no_message() {
    let broker = Broker::start(1);
    let options = options(&broker.address(), "killed");
    write_and_read_through(&options, broker, vec![power_cut(0), power_cut(0)]).await;
}

#[needs(kafka)]
#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_lose_one_after_the_other_and_no_message() {
    let broker = Broker::start(3);
    let options = KafkaOptions { replication: 3, ..options(&broker.address(), "three") };
    // Whichever node leads: its turn comes, and two are always there.
    write_and_read_through(&options, broker, (0..3).map(power_cut).collect()).await;
}

#[needs(kafka)]
#[tokio::test(flavor = "multi_thread")]
async fn a_wire_that_is_cut_and_mended_costs_a_pause_and_no_message() {
    let broker = Broker::start_behind_a_wire();
    let options = options(&broker.address(), "wire");
    write_and_read_through(&options, broker, vec![wire_cut(0), wire_cut(3), wire_cut(0)]).await;
}

#[needs(kafka)]
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_another_log_is_refused() {
    let address = address();
    let options = options(&address, "beyond");
    let log = open(&options);
    log.create_topics(1).await.unwrap();
    log.append(DEAD_LETTERS, message("p", 1)).await.unwrap();
    assert!(log.read(DEAD_LETTERS, 1).await.unwrap().is_none(), "the end may be waited at");
    for refused in [log.read(DEAD_LETTERS, 2).await.unwrap_err(), log.wait(DEAD_LETTERS, 7).await.unwrap_err()] {
        assert!(refused.to_string().contains("ends at 1") && refused.to_string().contains("log copy"), "{refused}");
    }
}

#[needs(kafka)]
#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_another_program_is_passed_over_wherever_it_stands() {
    let address = address();
    let options = options(&address, "poison");
    let log = open(&options);
    log.create_topics(1).await.unwrap();
    let mut config = ClientConfig::new();
    let other: FutureProducer = config.set("bootstrap.servers", &address).create().unwrap();
    for sequence in 1..=3 {
        let record = FutureRecord::<(), str>::to("poison.dead_letter.v1").partition(0).payload("not ours");
        other.send(record, Duration::from_secs(30)).await.unwrap();
        assert_eq!(log.append(DEAD_LETTERS, message("p", sequence)).await.unwrap(), Appended::At(sequence - 1));
    }
    let record = FutureRecord::<(), str>::to("poison.dead_letter.v1").partition(0).payload("at the end");
    other.send(record, Duration::from_secs(30)).await.unwrap();
    // A new client finds its way as well.
    for log in [log, open(&options)] {
        assert_eq!(log.bounds(DEAD_LETTERS).await.unwrap(), Bounds { start: 0, end: 3 });
        assert_eq!(log.last_sequence(DEAD_LETTERS, "p").await.unwrap(), Some(3));
        for position in [2, 0, 1] {
            let Some(Entry::Record(record)) = log.read(DEAD_LETTERS, position).await.unwrap() else {
                panic!("{position}")
            };
            assert_eq!((record.position, record.rows_before), (position, position));
        }
    }
}
