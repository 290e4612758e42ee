//! One segment: a message under the headers from which a partition can be opened.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use nilometer_schemas::Timestamp;

use crate::{
    EnvelopeError, LogError, Message, Partition, Record,
    envelope::{header, open, seal},
};

const TIME: &str = "nilometer.time";
const PRODUCERS: &str = "nilometer.producers";
const ROWS_BEFORE: &str = "nilometer.rows_before";
/// Who appended the segment; earlier versions did not say.
const PRODUCER: &str = "nilometer.producer";
/// That the segment stands for a message which was given up, and how many rows that had.
const GIVEN_UP: &str = "nilometer.given_up";

/// A segment, read.
pub(crate) struct Opened {
    pub(crate) record: Record,
    pub(crate) producers: BTreeMap<String, i64>,
    /// who appended it; earlier versions did not say
    pub(super) producer: Option<String>,
    /// rows of the message that was given up here
    pub(super) given_up: Option<u64>,
}

impl Opened {
    /// Rows that it holds, or that the message had which was given up here.
    pub(super) fn rows(&self) -> u64 {
        self.given_up.unwrap_or(self.record.batch.num_rows() as u64)
    }

    /// Rows of the partition behind the segment.
    pub(super) fn rows_behind(&self) -> u64 {
        self.record.rows_before + self.rows()
    }
}

/// The segment of a message, behind which these are the last sequences of the producers.
pub(super) fn of_message(
    partition: Partition,
    message: &Message<'_>,
    rows_before: u64,
    producers: &BTreeMap<String, i64>,
) -> Result<Vec<u8>, LogError> {
    let own = (PRODUCER, message.producer.to_owned());
    encode(partition, &message.batch, message.time, rows_before, producers, own)
}

/// The segment that takes the place of a message of so many rows which was given up.
pub(super) fn of_given_up(
    partition: Partition,
    time: Timestamp,
    rows: u64,
    rows_before: u64,
    producers: &BTreeMap<String, i64>,
) -> Result<Vec<u8>, LogError> {
    let batch = RecordBatch::new_empty(partition.contract.schema());
    encode(partition, &batch, time, rows_before, producers, (GIVEN_UP, rows.to_string()))
}

fn encode(
    partition: Partition,
    batch: &RecordBatch,
    time: Timestamp,
    rows_before: u64,
    producers: &BTreeMap<String, i64>,
    own: (&'static str, String),
) -> Result<Vec<u8>, LogError> {
    let headers = [
        (TIME, time.0.to_string()),
        (ROWS_BEFORE, rows_before.to_string()),
        (PRODUCERS, serde_json::to_string(producers).unwrap_or_default()),
        own,
    ];
    seal(batch, &headers).map_err(|source| LogError::Encode { partition, source })
}

/// The segment at a position, from its bytes.
pub(super) fn parse(position: u64, bytes: &[u8]) -> Result<Opened, EnvelopeError> {
    let (batch, headers) = open(bytes)?;
    let time = Timestamp(header(&headers, TIME, "microseconds since 1970")?);
    let rows_before = header(&headers, ROWS_BEFORE, "a count of rows")?;
    let producers: String = header(&headers, PRODUCERS, "a JSON object of sequences")?;
    let producers = serde_json::from_str(&producers).map_err(|_| EnvelopeError::Header {
        key: PRODUCERS,
        found: Some(producers),
        accepted: "a JSON object of sequences",
    })?;
    let given_up = headers.get(GIVEN_UP).map(|_| header(&headers, GIVEN_UP, "a count of rows")).transpose()?;
    let producer = headers.get(PRODUCER).cloned();
    let opened = Opened { record: Record { position, time, rows_before, batch }, producers, producer, given_up };
    match rows_before.checked_add(opened.rows()) {
        Some(_) => Ok(opened),
        None => Err(EnvelopeError::Header {
            key: ROWS_BEFORE,
            found: Some(rows_before.to_string()),
            accepted: "a count to which the segment's rows can be added",
        }),
    }
}

#[cfg(test)]
mod tests {
    use nilometer_schemas::Contract;

    use super::*;

    #[test]
    fn a_count_of_rows_that_overflows_is_damage() {
        let partition = Partition::new(Contract::Observation, 0);
        let read = |rows, rows_before| {
            parse(0, &of_given_up(partition, Timestamp(7), rows, rows_before, &BTreeMap::new()).unwrap())
        };
        assert_eq!(read(3, u64::MAX - 3).unwrap().rows_behind(), u64::MAX);
        let error = read(4, u64::MAX - 3).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("nilometer.rows_before") && error.contains("18446744073709551612"), "{error}");
    }
}
