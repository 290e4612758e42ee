//! How a message lies in Kafka: an Arrow IPC stream, and headers for what the log adds.

use std::{collections::BTreeMap, io::Cursor};

use arrow::ipc::reader::StreamReader;
use bytes::Bytes;
use nilometer_schemas::Timestamp;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};

use crate::{Damage, Entry, EnvelopeError, Message, Partition, Record, to_ipc};

const POSITION: &str = "nilometer.position";
const TIME: &str = "nilometer.time";
const ROWS_BEFORE: &str = "nilometer.rows_before";
const ROWS: &str = "nilometer.rows";
const PRODUCERS: &str = "nilometer.producers";
/// What a body is, for subscribers that know neither us nor Arrow.
const CONTENT_TYPE: &str = "application/vnd.apache.arrow.stream";

/// What an append must know of a partition: the newest message says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) end: u64,
    rows: u64,
    pub(super) producers: BTreeMap<String, u64>,
}

/// A message ready to be produced.
pub(super) struct Sealed {
    pub(super) producer: String,
    pub(super) sequence: u64,
    pub(super) time: Timestamp,
    rows: u64,
    pub(super) body: Vec<u8>,
}

impl Sealed {
    pub(super) fn new(message: &Message<'_>) -> Result<Self, EnvelopeError> {
        Ok(Self {
            producer: message.producer.to_owned(),
            sequence: message.sequence,
            time: message.time,
            rows: message.batch.num_rows() as u64,
            body: to_ipc(&message.batch, &[])?,
        })
    }
}

impl Tail {
    /// Whether the producer has appended this before.
    pub(super) fn has(&self, message: &Sealed) -> bool {
        self.producers.get(&message.producer).is_some_and(|last| message.sequence <= *last)
    }

    /// The tail behind a message, and that message's headers.
    pub(super) fn with(&self, partition: Partition, message: &Sealed) -> (Self, OwnedHeaders) {
        let mut behind = self.clone();
        behind.producers.insert(message.producer.clone(), message.sequence);
        behind.end += 1;
        behind.rows += message.rows;
        let texts = [
            ("content-type", CONTENT_TYPE.to_owned()),
            ("schema", partition.contract.topic().to_owned()),
            (POSITION, self.end.to_string()),
            (TIME, message.time.0.to_string()),
            (ROWS_BEFORE, self.rows.to_string()),
            (ROWS, message.rows.to_string()),
            (PRODUCERS, serde_json::to_string(&behind.producers).unwrap_or_default()),
        ];
        let headers = texts.iter().fold(OwnedHeaders::new_with_capacity(texts.len()), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        (behind, headers)
    }
}

/// A message as it was found: what its headers say, and what lies there.
pub(super) struct Found {
    pub(super) position: u64,
    pub(super) offset: i64,
    /// the partition's tail if this is its newest message
    pub(super) tail: Tail,
    time: Timestamp,
    rows_before: u64,
}

impl Found {
    /// `None` for a message that is not of this log: it has no position.
    pub(super) fn new(message: &BorrowedMessage<'_>) -> Option<Self> {
        let headers = message.headers()?;
        let text = |key: &str| {
            let header = headers.iter().find(|header| header.key == key)?;
            std::str::from_utf8(header.value?).ok()
        };
        let number = |key: &str| text(key)?.parse::<u64>().ok();
        let (position, rows_before) = (number(POSITION)?, number(ROWS_BEFORE)?);
        let tail = Tail {
            end: position + 1,
            rows: rows_before + number(ROWS)?,
            producers: serde_json::from_str(text(PRODUCERS)?).ok()?,
        };
        let time = Timestamp(text(TIME)?.parse().ok()?);
        Some(Self { position, offset: message.offset(), tail, time, rows_before })
    }

    /// What lies there, read.
    pub(super) fn entry(self, body: &[u8]) -> Entry {
        let read = || {
            let batch = StreamReader::try_new(Cursor::new(body), None)?.next();
            batch.ok_or(EnvelopeError::Torn { bytes: body.len() })?.map_err(EnvelopeError::from)
        };
        match read() {
            Ok(batch) => {
                let Self { position, time, rows_before, .. } = self;
                Entry::Record(Record { position, time, rows_before, batch })
            }
            Err(error) => Entry::Damaged(Damage {
                position: self.position,
                detail: format!("offset {} is {error}", self.offset),
                bytes: Bytes::copy_from_slice(body),
            }),
        }
    }
}
