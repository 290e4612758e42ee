//! The embedded log passes the suite, in memory and on disk, and recovers from damage.

#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::{path::PathBuf, sync::Arc};

use nilometer_engine::{
    Appended, EmbeddedLog, Entry, Log, Message, Metrics, Partition,
    conformance::{self, dead_letters},
};
use nilometer_schemas::{Contract, Timestamp};
use object_store::{ObjectStore, local::LocalFileSystem, memory::InMemory};

const DEAD_LETTERS: Partition = Partition::new(Contract::DeadLetter, 0);

fn on_disk(folder: &tempfile::TempDir) -> EmbeddedLog {
    let store = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
    EmbeddedLog::new(Arc::new(store), "log", &Metrics::unregistered())
}

fn segment(folder: &tempfile::TempDir, position: u64) -> PathBuf {
    folder.path().join(format!("log/dead_letter.v1/0/{position:020}.arrow"))
}

async fn append(log: &EmbeddedLog, sequence: i64) -> Appended {
    let message = Message { time: Timestamp(0), producer: "p", sequence, batch: dead_letters("p", 2) };
    log.append(DEAD_LETTERS, message).await.unwrap()
}

#[tokio::test]
async fn in_memory() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    conformance::run(|| async { EmbeddedLog::new(store.clone(), "log", &Metrics::unregistered()) }).await.unwrap();
}

#[tokio::test]
async fn on_disk_in_a_folder_with_spaces() {
    let folder = tempfile::Builder::new().prefix("a folder with spaces").tempdir().unwrap();
    conformance::run(|| async { on_disk(&folder) }).await.unwrap();
}

#[tokio::test]
async fn a_torn_last_segment_is_cut_kept_aside_and_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let log = on_disk(&folder);
    for sequence in 1..=3 {
        append(&log, sequence).await;
    }
    let whole = std::fs::read(segment(&folder, 2)).unwrap();
    for length in [0, 1, whole.len() / 2, whole.len() - 1] {
        std::fs::write(segment(&folder, 2), &whole[..length]).unwrap();
        let log = on_disk(&folder);
        assert_eq!(log.bounds(DEAD_LETTERS).await.unwrap().end, 2, "cut at {length} bytes");
        assert_eq!(log.last_sequence(DEAD_LETTERS, "p").await.unwrap(), Some(2));
        assert_eq!(append(&log, 3).await, Appended::At(2), "the producer appends it again");
        assert!(folder.path().join("log/torn/dead_letter.v1/0/00000000000000000002.arrow").exists());
    }
}

#[tokio::test]
async fn damage_in_the_middle_is_reported_with_its_bytes_and_its_row_count_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let log = on_disk(&folder);
    for sequence in 1..=3 {
        append(&log, sequence).await;
    }
    let mut bytes = std::fs::read(segment(&folder, 1)).unwrap();
    bytes[100] ^= 0x40;
    std::fs::write(segment(&folder, 1), &bytes).unwrap();
    let log = on_disk(&folder);
    let Some(Entry::Damaged(damage)) = log.read(DEAD_LETTERS, 1).await.unwrap() else {
        panic!("position 1 is damaged")
    };
    assert_eq!(damage.bytes, bytes);
    assert!(
        damage.detail.contains("00000000000000000001.arrow") && damage.detail.contains("checksum"),
        "{}",
        damage.detail
    );
    let Some(Entry::Record(behind)) = log.read(DEAD_LETTERS, 2).await.unwrap() else { panic!("position 2 is intact") };
    assert_eq!(behind.rows_before, 4, "the two rows of the damaged segment are still counted");

    std::fs::remove_file(segment(&folder, 1)).unwrap();
    assert!(
        matches!(log.read(DEAD_LETTERS, 1).await.unwrap(), Some(Entry::Damaged(_))),
        "a lost segment is damage too"
    );
}

#[tokio::test]
async fn two_logs_over_one_folder_never_take_one_position_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (on_disk(&folder), on_disk(&folder));
    assert_eq!(append(&ours, 1).await, Appended::At(0));
    let message = |sequence| Message { time: Timestamp(0), producer: "q", sequence, batch: dead_letters("q", 1) };
    assert_eq!(theirs.append(DEAD_LETTERS, message(1)).await.unwrap(), Appended::At(1));
    assert_eq!(append(&ours, 2).await, Appended::At(2));
    assert_eq!(theirs.append(DEAD_LETTERS, message(1)).await.unwrap(), Appended::Already);
}
