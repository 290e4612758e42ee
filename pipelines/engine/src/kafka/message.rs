//! How a message lies in Kafka: an Arrow IPC stream, and headers for what the log adds.

use std::collections::BTreeMap;

use bytes::Bytes;
use nilometer_schemas::Timestamp;
use rdkafka::message::{BorrowedMessage, Header, Headers, Message as _, OwnedHeaders};

use crate::{Damage, Entry, EnvelopeError, Message, Partition, Record, from_ipc, to_ipc};

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
    pub(super) producers: BTreeMap<String, i64>,
}

/// A message ready to be produced.
pub(super) struct Sealed {
    place: Place,
    pub(super) time: Timestamp,
    rows: u64,
    pub(super) body: Vec<u8>,
}

/// Where a message goes.
enum Place {
    /// behind the newest, unless the producer's sequence has been appended before
    Next { producer: String, sequence: i64 },
    /// where it was in another log, behind so many rows; what is known of the producers then
    Same { position: u64, rows_before: u64, producers: BTreeMap<String, i64> },
}

impl Sealed {
    pub(super) fn new(message: &Message<'_>) -> Result<Self, EnvelopeError> {
        Ok(Self {
            place: Place::Next { producer: message.producer.to_owned(), sequence: message.sequence },
            time: message.time,
            rows: message.batch.num_rows() as u64,
            body: to_ipc(&message.batch, &[])?,
        })
    }

    /// A message of another log.
    pub(super) fn of(record: &Record, producers: BTreeMap<String, i64>) -> Result<Self, EnvelopeError> {
        let Record { position, time, rows_before, ref batch } = *record;
        let place = Place::Same { position, rows_before, producers };
        Ok(Self { place, time, rows: batch.num_rows() as u64, body: to_ipc(batch, &[])? })
    }

    /// What could not be read in another log: its bytes stay what they are. The message behind it tells how many rows it held.
    pub(super) fn of_damage(damage: &Damage, before: &Tail) -> Self {
        let place =
            Place::Same { position: damage.position, rows_before: before.rows, producers: before.producers.clone() };
        Self { place, time: Timestamp(0), rows: 0, body: damage.bytes.to_vec() }
    }

    /// The tail behind this message, where that is known without the log.
    pub(super) fn tail(&self) -> Option<Tail> {
        match &self.place {
            Place::Next { .. } => None,
            Place::Same { position, rows_before, producers } => {
                Some(Tail { end: position + 1, rows: rows_before + self.rows, producers: producers.clone() })
            }
        }
    }
}

impl Tail {
    /// Whether this has been appended before.
    pub(super) fn has(&self, message: &Sealed) -> bool {
        match &message.place {
            Place::Next { producer, sequence } => self.producers.get(producer).is_some_and(|last| sequence <= last),
            Place::Same { position, .. } => *position < self.end,
        }
    }

    /// The tail behind a message, and that message's headers.
    pub(super) fn with(&self, partition: Partition, message: &Sealed) -> (Self, OwnedHeaders) {
        let behind = message.tail().unwrap_or_else(|| {
            let mut behind = self.clone();
            if let Place::Next { producer, sequence } = &message.place {
                behind.producers.insert(producer.clone(), *sequence);
            }
            behind.end += 1;
            behind.rows += message.rows;
            behind
        });
        let texts = [
            ("content-type", CONTENT_TYPE.to_owned()),
            ("schema", partition.contract.topic().to_owned()),
            (POSITION, (behind.end - 1).to_string()),
            (TIME, message.time.0.to_string()),
            (ROWS_BEFORE, (behind.rows - message.rows).to_string()),
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
    pub(super) time: Timestamp,
    rows_before: u64,
}

impl Found {
    /// `None` for a message that is not of this log: it has no position.
    pub(super) fn new(message: &BorrowedMessage<'_>) -> Option<Self> {
        Self::of(message.headers()?, message.offset())
    }

    fn of(headers: &impl Headers, offset: i64) -> Option<Self> {
        let text = |key: &str| {
            let header = headers.iter().find(|header| header.key == key)?;
            std::str::from_utf8(header.value?).ok()
        };
        let number = |key: &str| text(key)?.parse::<u64>().ok();
        let (position, rows_before) = (number(POSITION)?, number(ROWS_BEFORE)?);
        let tail = Tail {
            end: position.checked_add(1)?,
            rows: rows_before.checked_add(number(ROWS)?)?,
            producers: serde_json::from_str(text(PRODUCERS)?).ok()?,
        };
        let time = Timestamp(text(TIME)?.parse().ok()?);
        Some(Self { position, offset, tail, time, rows_before })
    }

    /// What lies there, read.
    pub(super) fn entry(self, body: &[u8]) -> Entry {
        match from_ipc(body) {
            Ok((batch, _)) => {
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

#[cfg(test)]
mod tests {
    use nilometer_schemas::Contract;

    use super::*;

    #[test]
    fn a_count_that_overflows_is_not_of_this_log() {
        let message = Sealed {
            place: Place::Next { producer: "a".to_owned(), sequence: 1 },
            time: Timestamp(7),
            rows: 3,
            body: Vec::new(),
        };
        let (_, headers) = Tail::default().with(Partition::new(Contract::Observation, 0), &message);
        assert_eq!(Found::of(&headers, 5).unwrap().tail.rows, 3);
        for key in [POSITION, ROWS_BEFORE, ROWS] {
            let replaced = headers.iter().fold(OwnedHeaders::new(), |all, header| {
                let most = u64::MAX.to_string();
                let value = if header.key == key { most.as_bytes() } else { header.value.unwrap_or_default() };
                all.insert(Header { key: header.key, value: Some(value) })
            });
            // Behind no rows at all the most that there can be fits.
            assert_eq!(Found::of(&replaced, 5).is_some(), key == ROWS, "{key}");
        }
    }
}
