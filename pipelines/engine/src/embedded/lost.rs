//! What a survey finds lost: it keeps its position until its producer appends it again, or it is given up.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::{ObjectStoreExt, path::Path};
use tokio::sync::{OnceCell, watch};

use super::{
    EmbeddedLog, Tail, segment,
    survey::{Hole, Intact, Segment, Survey},
};
use crate::{Appended, Extent, LogError, Message, Partition, envelope::numbered};

/// Segments that a survey reads at once.
const READ_AT_ONCE: usize = 16;

impl EmbeddedLog {
    /// Opens every segment of a partition, of which `known` has been there for certain. Nothing is changed.
    ///
    /// # Errors
    /// What the store says.
    pub async fn survey(&self, partition: Partition, known: &Extent) -> Result<Survey, LogError> {
        let positions = self.listed(partition).await?;
        let segments = stream::iter(positions)
            .map(async |position| {
                let segment = match self.fetch(partition, position).await? {
                    Ok(opened) => Segment::Intact(Intact {
                        time: opened.record.time,
                        rows_before: opened.record.rows_before,
                        rows: opened.rows(),
                        given_up: opened.given_up.is_some(),
                        producer: opened.producer,
                        producers: opened.producers,
                    }),
                    Err((detail, _)) => Segment::Damaged(detail),
                };
                Ok::<_, LogError>((position, segment))
            })
            .buffered(READ_AT_ONCE)
            .try_collect()
            .await?;
        Ok(Survey::of(&segments, known))
    }

    /// Goes on from a survey: what it found torn behind the end is cut, and what it found lost awaits its producers.
    ///
    /// # Errors
    /// What the store says.
    pub async fn go_on(&self, partition: Partition, survey: Survey) -> Result<(), LogError> {
        for position in survey.torn.iter().rev() {
            if let Err((detail, bytes)) = self.fetch(partition, *position).await? {
                self.cut(partition, *position, &detail, bytes).await?;
            }
        }
        let tail = Tail { extent: survey.extent, holes: survey.holes };
        let known = Arc::new(OnceCell::new_with(Some(watch::Sender::new(tail))));
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, known);
        Ok(())
    }

    /// Gives up what is lost at some positions: each is damaged to its readers, with the bytes that are left, and it is never looked for
    /// again.
    ///
    /// # Errors
    /// What the store says.
    pub async fn give_up(&self, partition: Partition, hole: &Hole) -> Result<(), LogError> {
        let mut producers = hole.after.clone().unwrap_or_default();
        let mut rows = hole.rows.unwrap_or(0);
        let mut rows_before = hole.rows_before;
        for position in hole.positions.clone() {
            if position + 1 == hole.positions.end {
                producers.extend(hole.until.iter().flatten().map(|(name, last)| (name.clone(), *last)));
            }
            let segment = segment::of_given_up(partition, hole.time, rows, rows_before, &producers)?;
            self.replace(partition, position, segment).await?;
            tracing::warn!(%partition, position, rows, "given up");
            // The first answers for the rows of all.
            rows_before += std::mem::take(&mut rows);
        }
        Ok(())
    }

    /// What is left of the bytes of a message that was given up.
    pub(super) async fn left_of(&self, partition: Partition, position: u64) -> Bytes {
        match self.store.get(&self.torn_key(partition, position)).await {
            Ok(object) => object.bytes().await.unwrap_or_default(),
            Err(_) => Bytes::new(),
        }
    }

    /// Appends a lost message again, where it was.
    pub(super) async fn fill(
        &self,
        partition: Partition,
        tail: &watch::Sender<Tail>,
        hole: Hole,
        message: &Message<'_>,
    ) -> Result<Appended, LogError> {
        let (position, rows) = (hole.positions.start, message.batch.num_rows() as u64);
        let fits = hole.rows.is_none_or(|lost| if hole.len() == 1 { rows == lost } else { rows <= lost });
        if !fits {
            let lost = hole.rows.unwrap_or(0);
            return self
                .differs(partition, tail, hole, message.producer, format!("{rows} rows, {lost} were lost"))
                .await;
        }
        let mut filled = hole.clone();
        filled.fill(message.producer, message.sequence, message.time, rows);
        let producers = filled.after.clone().unwrap_or_default();
        let segment = segment::of_message(partition, message, hole.rows_before, &producers)?;
        self.replace(partition, position, segment).await?;
        if filled.is_empty() {
            tracing::info!(%partition, up_to = position, producer = message.producer, "what was lost is appended again");
        }
        tail.send_modify(|tail| match tail.holes.iter().position(|hole| hole.positions.start == position) {
            Some(at) if filled.is_empty() => drop(tail.holes.remove(at)),
            Some(at) => tail.holes[at] = filled,
            None => {}
        });
        Ok(Appended::At(position))
    }

    /// Holds what is appended again against the message before a hole, which its producer appended too.
    pub(super) async fn compare(
        &self,
        partition: Partition,
        tail: &watch::Sender<Tail>,
        hole: Hole,
        message: &Message<'_>,
    ) -> Result<Appended, LogError> {
        let before = hole.positions.start - 1;
        match self.fetch(partition, before).await? {
            Ok(there) if there.given_up.is_none() && there.record.batch.columns() != message.batch.columns() => {
                let detail = format!("other rows at position {before}, which is there");
                self.differs(partition, tail, hole, message.producer, detail).await
            }
            _ => Ok(Appended::Already),
        }
    }

    /// What is appended again is something else: that is an error, or the lost is given up.
    async fn differs(
        &self,
        partition: Partition,
        tail: &watch::Sender<Tail>,
        hole: Hole,
        producer: &str,
        detail: String,
    ) -> Result<Appended, LogError> {
        let position = hole.positions.start;
        if !self.accept_loss {
            return Err(LogError::Redone { partition, position, producer: producer.to_owned(), detail });
        }
        self.give_up(partition, &hole).await?;
        tail.send_modify(|tail| tail.holes.retain(|hole| hole.positions.start != position));
        Ok(Appended::Already)
    }

    /// Where the bytes of a damaged segment are kept.
    pub(super) fn torn_key(&self, partition: Partition, position: u64) -> Path {
        let folder = self.root.clone().join("torn").join(partition.contract.topic());
        folder.join(partition.number.to_string()).join(numbered(position))
    }

    pub(super) async fn set_aside(&self, partition: Partition, position: u64, bytes: Bytes) -> Result<(), LogError> {
        let kept = self.torn_key(partition, position);
        let put = self.store.put(&kept, bytes.into()).await;
        put.map(drop).map_err(|source| LogError::Store { key: kept.to_string(), source })
    }

    /// Puts a segment in the place of one that is lost, whose bytes are kept.
    async fn replace(&self, partition: Partition, position: u64, segment: Vec<u8>) -> Result<(), LogError> {
        match self.fetch(partition, position).await? {
            Err((_, bytes)) if !bytes.is_empty() => self.set_aside(partition, position, bytes).await?,
            _ => {}
        }
        let key = self.key(partition, position);
        let put = self.store.put(&key, segment.into()).await;
        put.map(drop).map_err(|source| LogError::Store { key: key.to_string(), source })
    }
}

impl Tail {
    /// The hole that a message fills.
    pub(super) fn awaiting(&self, message: &Message<'_>) -> Option<Hole> {
        self.holes.iter().find(|hole| hole.awaits(message.producer, message.sequence)).cloned()
    }

    /// The hole that begins behind a message.
    pub(super) fn behind(&self, message: &Message<'_>) -> Option<Hole> {
        let is_before = |hole: &&Hole| {
            let last = hole.after.as_ref().and_then(|after| after.get(message.producer));
            hole.previous.as_deref() == Some(message.producer) && last == Some(&message.sequence)
        };
        self.holes.iter().find(is_before).cloned()
    }
}
