//! What the embedded log does about segments that are lost: their positions are for their own rows, appended again, or they are given up.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where it cannot go on")]

use std::sync::Arc;

use nilometer_engine::{
    Appended, EmbeddedLog, Entry, Extent, Log, LogError, Message, Metrics, Partition,
    conformance::{Corruption, dead_letters},
};
use nilometer_schemas::{Contract, Timestamp};
use object_store::{ObjectStoreExt as _, memory::InMemory, path::Path};

const MESSAGES: u64 = 10;
const HERE: Partition = Partition::new(Contract::DeadLetter, 0);

fn message<'a>(producer: &'a str, sequence: u64, what: &str) -> Message<'a> {
    let time = Timestamp(i64::try_from(sequence).unwrap());
    Message { time, producer, sequence: sequence.cast_signed(), batch: dead_letters(what, (sequence % 3) as usize) }
}

fn open(store: &Arc<InMemory>) -> EmbeddedLog {
    EmbeddedLog::new(store.clone(), "log", &Metrics::unregistered())
}

async fn append_all(log: &EmbeddedLog, what: &str) -> Result<Vec<Appended>, LogError> {
    let mut appended = Vec::new();
    for sequence in 1..=MESSAGES {
        appended.push(log.append(HERE, message("a", sequence, what)).await?);
    }
    Ok(appended)
}

async fn damage(store: &InMemory, position: u64, how: Corruption) {
    let key = Path::from(format!("log/dead_letter.v1/0/{position:020}.arrow"));
    let bytes = store.get(&key).await.unwrap().bytes().await.unwrap();
    match how.of(bytes.to_vec()) {
        Some(left) => drop(store.put(&key, left.into()).await.unwrap()),
        None => store.delete(&key).await.unwrap(),
    }
}

/// A store with messages of which some are then damaged, and what it held before.
async fn damaged(positions: &[u64], how: Corruption) -> (Arc<InMemory>, Extent) {
    let store = Arc::new(InMemory::new());
    let log = open(&store);
    append_all(&log, "x").await.unwrap();
    for position in positions {
        damage(&store, *position, how).await;
    }
    (store, log.extent(HERE).await.unwrap().unwrap())
}

/// A log that goes on from what is there.
async fn gone_on(store: &Arc<InMemory>, known: &Extent) -> EmbeddedLog {
    let log = open(store);
    let survey = log.survey(HERE, known).await.unwrap();
    log.go_on(HERE, survey).await.unwrap();
    log
}

#[tokio::test]
async fn what_is_lost_is_appended_again_where_it_was() {
    let all: Vec<u64> = (0..MESSAGES).collect();
    for how in Corruption::ALL {
        for positions in [&[9][..], &[8, 9], &[4], &[3, 4, 5], &[0], &[0, 5, 9], &all] {
            // A first segment that is absent retention has removed.
            if matches!(how, Corruption::Deleted) && positions[0] == 0 && positions.len() < all.len() {
                continue;
            }
            let (store, known) = damaged(positions, how).await;
            let log = gone_on(&store, &known).await;
            let name = format!("{how:?} {positions:?}");
            assert_eq!(log.bounds(HERE).await.unwrap().end, MESSAGES, "{name}");
            assert!(log.read(HERE, positions[0]).await.unwrap().is_none(), "{name}: waited for");
            assert!(log.is_lost(HERE, positions[0]).await.unwrap(), "{name}");
            let b = log.append(HERE, message("b", 1, "x")).await.unwrap();
            assert_eq!(b, Appended::At(MESSAGES), "{name}: another message does not go there");
            let appended = append_all(&log, "x").await.unwrap();
            for (position, appended) in (0..MESSAGES).zip(appended) {
                let lost = positions.contains(&position);
                assert_eq!(appended, if lost { Appended::At(position) } else { Appended::Already }, "{name}");
            }
            let again = open(&store);
            let mut rows = 0;
            for position in 0..MESSAGES {
                let Some(Entry::Record(record)) = again.read(HERE, position).await.unwrap() else { panic!("{name}") };
                assert_eq!((record.rows_before, record.time.0), (rows, position as i64 + 1), "{name}");
                rows += record.batch.num_rows() as u64;
            }
            let survey = again.survey(HERE, &log.extent(HERE).await.unwrap().unwrap()).await.unwrap();
            assert!(survey.holes.is_empty() && survey.torn.is_empty(), "{name}: {survey:?}");
        }
    }
}

#[tokio::test]
async fn what_is_given_up_is_reported_with_its_rows_and_not_looked_for_again() {
    for how in Corruption::ALL {
        for positions in [&[9][..], &[8, 9], &[4], &[3, 4, 5]] {
            let (store, known) = damaged(positions, how).await;
            let log = open(&store);
            let survey = log.survey(HERE, &known).await.unwrap();
            assert_eq!(survey.lost(), positions.len() as u64);
            let rows: u64 = positions.iter().map(|position| (position + 1) % 3).sum();
            assert_eq!(survey.holes[0].rows, Some(rows));
            log.give_up(HERE, &survey.holes[0]).await.unwrap();
            let survey = open(&store).survey(HERE, &known).await.unwrap();
            assert_eq!((survey.given_up.as_slice(), survey.lost()), (positions, 0));
            let log = gone_on(&store, &known).await;
            append_all(&log, "x").await.unwrap();
            for position in positions {
                let Some(Entry::Damaged(found)) = log.read(HERE, *position).await.unwrap() else {
                    panic!("{position}")
                };
                assert_eq!(found.bytes.is_empty(), matches!(how, Corruption::Deleted | Corruption::Emptied), "{how:?}");
            }
            log.append(HERE, message("a", MESSAGES + 1, "x")).await.unwrap();
            let Some(Entry::Record(record)) = log.read(HERE, MESSAGES).await.unwrap() else {
                panic!("it was appended")
            };
            assert_eq!(record.rows_before, (1..=MESSAGES).map(|sequence| sequence % 3).sum::<u64>());
        }
    }
}

#[tokio::test]
async fn other_rows_do_not_take_the_place_of_the_lost() {
    for accept_loss in [false, true] {
        let (store, known) = damaged(&[4], Corruption::Deleted).await;
        let log = open(&store).accepting_loss(accept_loss);
        let survey = log.survey(HERE, &known).await.unwrap();
        log.go_on(HERE, survey).await.unwrap();
        let appended = append_all(&log, "y").await;
        if accept_loss {
            assert!(appended.unwrap().iter().all(|appended| *appended == Appended::Already));
            assert!(matches!(log.read(HERE, 4).await.unwrap(), Some(Entry::Damaged(_))));
        } else {
            let error = appended.unwrap_err().to_string();
            assert!(error.contains("dead_letter.v1/0: position 4") && error.contains("--accept-loss"), "{error}");
        }
    }
}

#[tokio::test]
async fn the_producer_of_a_lost_message_follows_from_those_around_it() {
    let store = Arc::new(InMemory::new());
    let log = open(&store);
    for (producer, sequence) in [("a", 1), ("b", 1), ("a", 2), ("a", 3), ("b", 2), ("b", 3), ("a", 4)] {
        log.append(HERE, message(producer, sequence, "x")).await.unwrap();
    }
    let known = log.extent(HERE).await.unwrap().unwrap();
    for (positions, producers) in [
        (vec![1], vec!["b"]),
        (vec![2], vec!["a"]),
        (vec![6], vec!["a"]),
        (vec![2, 3], vec!["a", "b"]),
        (vec![3, 4], vec!["a", "b"]),
    ] {
        let copy = Arc::new(store.fork());
        for position in &positions {
            damage(&copy, *position, Corruption::Deleted).await;
        }
        let survey = open(&copy).survey(HERE, &known).await.unwrap();
        assert_eq!(survey.holes[0].producers().into_iter().collect::<Vec<_>>(), producers, "{positions:?}");
    }
}

#[tokio::test]
async fn what_has_not_been_read_is_cut_from_the_end() {
    let (store, known) = damaged(&[8, 9], Corruption::Cut).await;
    let known = Extent { end: 8, producers: [("a".to_owned(), 8)].into(), ..known };
    let log = open(&store);
    let survey = log.survey(HERE, &known).await.unwrap();
    assert_eq!((survey.torn.as_slice(), survey.holes.len()), (&[8, 9][..], 0));
    log.go_on(HERE, survey).await.unwrap();
    assert_eq!(log.bounds(HERE).await.unwrap().end, 8);
    assert_eq!(log.append(HERE, message("a", 9, "x")).await.unwrap(), Appended::At(8));
}

#[tokio::test]
async fn what_a_reader_has_read_is_lost_although_its_producer_is_not_known() {
    let (store, known) = damaged(&[8, 9], Corruption::Deleted).await;
    let known = Extent { producers: Default::default(), ..known };
    let log = gone_on(&store, &known).await;
    assert!(log.is_lost(HERE, 9).await.unwrap());
    let appended = append_all(&log, "x").await.unwrap();
    assert_eq!(appended[8..], [Appended::At(8), Appended::At(9)]);
    assert_eq!(log.append(HERE, message("a", 11, "x")).await.unwrap(), Appended::At(10));
}
