//! Retention: what no reader needs any more and the definition does not ask for leaves the log.

use anyhow::Result;
use nilometer_engine::{Log, Partition, Snapshots, retain};
use nilometer_schemas::Contract;

/// The snapshots of a partition's readers.
pub struct Readers {
    pub number: u32,
    pub forecast: Snapshots,
    /// where forecasts are judged
    pub score: Option<Snapshots>,
    /// with the contract that each publishes
    pub publish: Vec<(Contract, Snapshots)>,
}

/// Trims the topics of a partition by age, but never what the oldest kept snapshot of one of its readers needs. A topic that has a
/// reader without a snapshot is left alone.
///
/// # Errors
/// What the log or the snapshots say.
pub async fn enforce(log: &dyn Log, readers: &Readers, retention_s: i64) -> Result<()> {
    let Some(inputs) = nilometer_forecast::needed_from(&readers.forecast, None).await? else { return Ok(()) };
    let mut inputs = inputs.to_vec();
    if let Some(score) = &readers.score {
        let Some(needed) = nilometer_score::needed_from(score, None).await? else { return Ok(()) };
        inputs.extend(needed);
    }
    for contract in Contract::ALL {
        let mut needed = inputs.iter().filter(|(c, _)| *c == contract).map(|(_, from)| from.next).min();
        let mut known = true;
        for (_, snapshots) in readers.publish.iter().filter(|(c, _)| *c == contract) {
            match nilometer_publish::needed_from(snapshots, None).await? {
                Some(from) => needed = Some(needed.map_or(from.next, |n| n.min(from.next))),
                None => known = false,
            }
        }
        let partition = Partition::new(contract, readers.number);
        if let (true, Some(needed)) = (known, needed) {
            let gone = retain(log, partition, retention_s, needed).await?;
            if gone > 0 {
                tracing::info!(%partition, gone, "retention");
            }
        }
    }
    Ok(())
}
