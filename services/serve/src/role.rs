//! The role: follows every topic of a partition from its newest part on, for as long as the service runs. It holds up nothing and keeps no snapshot.

use std::sync::Arc;

use futures::future::try_join_all;
use nilometer_archive::visit;
use nilometer_engine::{Balance, Entry, Log, LogError, Partition, RoleMetrics, Stop, next_entry, turn};
use nilometer_schemas::{Contract, Reason};

use crate::{ServeError, Site, site::FOLLOWED};

/// What the role needs from outside.
pub struct Dependencies {
    /// where it reads
    pub log: Arc<dyn Log>,
    /// its metrics
    pub metrics: RoleMetrics,
    /// the partition that it follows
    pub partition: u32,
}

/// Follows one partition until its topics are complete or the role is stopped. What it has read stays served.
///
/// # Errors
/// [`ServeError`] when the log cannot be read.
pub async fn run(site: Site, dependencies: Dependencies, stop: Stop) -> Result<Balance, ServeError> {
    remember_alerts(&site).await;
    let followed = FOLLOWED.map(|contract| follow(&site, &dependencies, contract, &stop));
    let mut balance = Balance::default();
    for (contract, of_topic) in FOLLOWED.into_iter().zip(try_join_all(followed).await?) {
        balance.received += of_topic.received;
        balance.used += of_topic.used;
        balance.reject(Reason::BrokenContract, of_topic.rejected_rows());
        tracing::debug!(%contract, rows = of_topic.received, "followed");
    }
    Ok(balance)
}

/// Alerts that stand may be older than what the log has kept. Without an archive there are none.
async fn remember_alerts(site: &Site) {
    let remembered = visit::<nilometer_archive::ArchiveError>(&**site.archive(), Contract::Alert, None, |batch| {
        if let Err(error) = site.take_archived(&batch) {
            tracing::warn!(%error, "archived alerts that break their contract are not shown");
        }
        Ok(())
    });
    if let Err(error) = remembered.await {
        tracing::warn!(%error, "archived alerts cannot be read: those older than the log are not shown");
    }
}

async fn follow(
    site: &Site,
    dependencies: &Dependencies,
    contract: Contract,
    stop: &Stop,
) -> Result<Balance, ServeError> {
    let (log, metrics) = (&*dependencies.log, &dependencies.metrics);
    let partition = Partition::new(contract, dependencies.partition);
    let end = log.bounds(partition).await?.end;
    let mut position = log.younger_than(partition, site.pipeline().serve.memory.seconds()).await?;
    let mut balance = Balance::default();
    loop {
        if position >= end {
            site.caught_up(partition);
        }
        match next_entry(log, partition, position, stop).await {
            Ok(Some(Entry::Record(record))) => {
                let (time, rows) = (record.time, record.batch.num_rows() as u64);
                balance.received += rows;
                match turn(time, Some(position)).in_scope(|| site.take(partition, record)) {
                    Ok(()) => balance.used += rows,
                    Err(error) => {
                        tracing::error!(%partition, position, %error, "rows that break their contract are not served");
                        balance.reject(Reason::BrokenContract, rows);
                    }
                }
                metrics.messages.inc();
                if contract == Contract::Forecast {
                    metrics.reached(time);
                }
                position += 1;
            }
            // What was lost is the business of the roles that count rows.
            Ok(Some(Entry::Damaged(damage))) => {
                position = damage.position + 1;
                site.skip(partition, position);
            }
            Ok(None) => break,
            // A reader that is slower than retention goes on with what there is.
            Err(LogError::Expired { start, .. }) => {
                tracing::warn!(%partition, from = position, to = start, "messages have left the log before they were read");
                position = start;
                site.skip(partition, position);
            }
            Err(error) => return Err(error.into()),
        }
        metrics.at(partition, position);
        if stop.is_now() {
            break;
        }
    }
    Ok(balance)
}
