//! Membership in the group of processes that share a role's partitions.
//!
//! Kafka's own groups say who has which, and move as few as they must (cooperative rebalancing). A member reads nothing
//! by way of the group: what it was given it reads from where the role's snapshot says. A member that is asked for a partition says that it has let it go
//! when its role has ended and saved its snapshot, and only then another is given it.

use std::{thread, time::Duration};

use nilometer_schemas::Contract;
use rdkafka::{
    ClientContext,
    consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance},
    topic_partition_list::TopicPartitionList,
};
use tokio::sync::{mpsc, oneshot};

use super::KafkaLog;
use crate::{LogError, Partition, Share, SharedLog, Shares};

/// Between two looks at whether the member has left.
const POLL: Duration = Duration::from_millis(100);

impl SharedLog for KafkaLog {
    fn join(&self, role: &'static str, topic: Contract) -> Result<Shares, LogError> {
        let fail = |error: &dyn std::fmt::Display| {
            LogError::broker(Partition::new(topic, 0), format!("the group of {role} cannot be joined: {error}"), false)
        };
        let (changes, receiver) = mpsc::channel(1);
        let member = Member { role, changes: changes.clone() };
        let consumer: BaseConsumer<Member> =
            self.settings.member(role).create_with_context(member).map_err(|error| fail(&error))?;
        consumer.subscribe(&[&self.settings.topic(topic)]).map_err(|error| fail(&error))?;
        // A member that is asked for a partition holds this thread up until it has let go.
        let (gone, left) = oneshot::channel::<()>();
        let started = thread::Builder::new().name(format!("member {role}")).spawn(move || {
            take_part(&consumer, &changes);
            // Says goodbye to the group.
            drop(consumer);
            drop(gone);
        });
        started.map_err(|error| fail(&error))?;
        Ok(Shares::among_others(receiver, left))
    }

    fn release(&self, number: u32) {
        self.close(number);
    }
}

/// Takes part until the receiver is dropped.
fn take_part(consumer: &BaseConsumer<Member>, changes: &mpsc::Sender<Share>) {
    while !changes.is_closed() {
        match consumer.poll(POLL) {
            None | Some(Ok(_)) => {}
            Some(Err(error)) if consumer.client().fatal_error().is_some() => {
                tracing::error!(role = consumer.context().role, %error, "another process has this one's name (log.kafka.member) and its partitions");
                return;
            }
            Some(Err(error)) => {
                tracing::warn!(role = consumer.context().role, %error, "the group goes on when the cluster does");
            }
        }
    }
}

/// What a member does when partitions come and go.
struct Member {
    role: &'static str,
    changes: mpsc::Sender<Share>,
}

impl ClientContext for Member {}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(list) = rebalance else { return };
        let (numbers, lost) = (numbers(list), consumer.assignment_lost());
        tracing::info!(role = self.role, ?numbers, lost, "partitions go to another process");
        let (gone, is_gone) = oneshot::channel();
        if self.changes.blocking_send(Share::Asked(numbers, gone)).is_ok() {
            // No answer: it has ended.
            let _ = is_gone.blocking_recv();
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Assign(list) = rebalance else { return };
        if let Err(error) = consumer.pause(list) {
            tracing::warn!(role = self.role, %error, "a member received records, although it subscribes for assignment only");
        }
        let numbers = numbers(list);
        tracing::info!(role = self.role, ?numbers, "partitions are ours");
        // A dropped receiver leaves the group.
        let _ = self.changes.blocking_send(Share::Taken(numbers));
    }
}

fn numbers(list: &TopicPartitionList) -> Vec<u32> {
    list.elements().iter().filter_map(|element| u32::try_from(element.partition()).ok()).collect()
}
