//! A bounded queue that shows its depth. A full queue holds its sender back.

use prometheus::IntGauge;
use tokio::sync::mpsc;

use crate::Metrics;

/// The sending end of [`queue`].
#[derive(Debug, Clone)]
pub struct QueueSender<T> {
    inner: mpsc::Sender<T>,
    depth: IntGauge,
}

/// The receiving end of [`queue`].
#[derive(Debug)]
pub struct QueueReceiver<T> {
    inner: mpsc::Receiver<T>,
    depth: IntGauge,
}

/// A queue of at most `capacity` items, whose depth is the metric `queue_depth{queue = name}`.
#[must_use]
pub fn queue<T>(name: &str, capacity: usize, metrics: &Metrics) -> (QueueSender<T>, QueueReceiver<T>) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    let depth = metrics.queue(name);
    (QueueSender { inner: sender, depth: depth.clone() }, QueueReceiver { inner: receiver, depth })
}

impl<T> QueueSender<T> {
    /// Waits for room and sends. `Err` gives the item back when the receiver is gone.
    pub async fn send(&self, item: T) -> Result<(), T> {
        self.inner.send(item).await.map_err(|e| e.0)?;
        self.depth.set(self.queued());
        Ok(())
    }

    fn queued(&self) -> i64 {
        (self.inner.max_capacity() - self.inner.capacity()) as i64
    }
}

impl<T> QueueReceiver<T> {
    /// The next item; `None` when every sender is gone and the queue is empty.
    pub async fn receive(&mut self) -> Option<T> {
        let item = self.inner.recv().await;
        self.depth.set(self.inner.len() as i64);
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_holds_its_sender_back() {
        let metrics = Metrics::unregistered();
        let (sender, mut receiver) = queue("raw", 2, &metrics);
        sender.send(1).await.unwrap();
        sender.send(2).await.unwrap();
        assert_eq!(metrics.queue("raw").get(), 2);
        let mut third = Box::pin(sender.send(3));
        assert!(futures::poll!(third.as_mut()).is_pending(), "no room yet");
        assert_eq!(receiver.receive().await, Some(1));
        third.await.unwrap();
        assert_eq!(receiver.receive().await, Some(2));
        drop(receiver);
        assert_eq!(sender.send(4).await, Err(4), "nothing is lost silently");
    }
}
