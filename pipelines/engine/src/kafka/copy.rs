//! From the embedded log to Kafka: every message at the position that it has, so that snapshots go on to mean what they mean.

use futures::future::try_join_all;

use super::{
    KafkaLog,
    message::{Sealed, Tail},
};
use crate::{Bounds, Chain, Damage, EmbeddedLog, Log, LogError, Partition};

/// Messages on their way at once.
const AHEAD: u64 = 64;

impl KafkaLog {
    /// Copies what a partition of an embedded log has and this one has not; gives how many messages these were. An interrupted copy goes on
    /// where it ended.
    ///
    /// # Errors
    /// [`LogError::Foreign`] when this one holds other messages, or what either log says.
    pub async fn copy_from(&self, embedded: &EmbeddedLog, partition: Partition) -> Result<u64, LogError> {
        let theirs = embedded.bounds(partition).await?;
        let ours = self.bounds(partition).await?;
        let first = if ours.end == 0 { theirs.start } else { ours.end };
        if first < theirs.start || first > theirs.end {
            return Err(LogError::Foreign { partition, found: ours, copied: theirs });
        }
        let (writer, chain, mut before) = (self.writer(partition), Chain::default(), Tail::default());
        for chunk in (first..theirs.end).step_by(AHEAD as usize) {
            let mut answers = Vec::new();
            for position in chunk..theirs.end.min(chunk + AHEAD) {
                let message = match embedded.fetch(partition, position).await? {
                    Ok(opened) => Sealed::of(&opened.record, opened.producers)
                        .map_err(|source| LogError::Encode { partition, source })?,
                    Err((detail, bytes)) => Sealed::of_damage(&Damage { position, detail, bytes }, &before),
                };
                before = message.tail().unwrap_or_default();
                answers.push(writer.hand_over(message, &chain).await?);
            }
            try_join_all(answers).await?;
        }
        let Bounds { end, .. } = self.bounds(partition).await?;
        Ok(end - first)
    }
}
