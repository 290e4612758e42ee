//! An orderly end: what flows first stops first, and each role drains before the next one stops.

use std::future::Future;

use tokio_util::sync::CancellationToken;

/// How a role learns that it should end.
///
/// `drain` says that nothing more will be appended to the role's inputs: finish what is there, save, end. `now` says to
/// end at the next safe point and leave the rest for the next start.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    drain: CancellationToken,
    now: CancellationToken,
}

impl Stop {
    /// A stop that has been requested: who waits for it does not wait.
    #[must_use]
    pub fn immediate() -> Self {
        let stop = Self::default();
        stop.drain.cancel();
        stop.now.cancel();
        stop
    }

    /// Whether the inputs are complete.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Whether to end at the next safe point.
    #[must_use]
    pub fn is_now(&self) -> bool {
        self.now.is_cancelled()
    }

    /// One that ends with this one, and at its next safe point also by itself.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { drain: self.drain.clone(), now: self.now.child_token() }
    }

    /// Asks for an end at the next safe point, of this one and its children.
    pub fn now(&self) {
        self.now.cancel();
    }

    /// Completes when the role should end now.
    pub async fn requested_now(&self) {
        self.now.cancelled().await;
    }

    /// Completes when the inputs are complete or the role should end now.
    pub async fn requested(&self) {
        tokio::select! { () = self.drain.cancelled() => {}, () = self.now.cancelled() => {} }
    }

    /// Waits for `work`; `None` when the role should end instead.
    pub async fn or<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! { biased; () = self.requested() => None, done = work => Some(done) }
    }
}

/// The stops of the roles in the order of the flow. The first role is asked to end; a role that has ended
/// [completes](Self::complete) the inputs of the next.
#[derive(Debug, Default)]
pub struct Lifecycle {
    asked: CancellationToken,
    now: CancellationToken,
    stops: Vec<Stop>,
}

impl Lifecycle {
    /// No roles yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The stop of the next role downstream.
    pub fn next_role(&mut self) -> Stop {
        let stop = Stop { drain: CancellationToken::new(), now: self.now.child_token() };
        self.stops.push(stop.clone());
        stop
    }

    /// Asks the first role to end, and with it, one after the other, all of them.
    pub fn stop(&self) {
        self.asked.cancel();
        self.complete(0);
    }

    /// Completes when somebody has asked to [`stop`](Self::stop).
    pub async fn asked_to_stop(&self) {
        self.asked.cancelled().await;
    }

    /// Says that nothing more will be appended to the inputs of role `index`.
    pub fn complete(&self, index: usize) {
        if let Some(stop) = self.stops.get(index) {
            stop.drain.cancel();
        }
    }

    /// Asks every role to end at its next safe point, without draining.
    pub fn stop_now(&self) {
        self.now.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn roles_end_in_the_order_of_the_flow() {
        let mut lifecycle = Lifecycle::new();
        let (ingest, forecast) = (lifecycle.next_role(), lifecycle.next_role());
        lifecycle.stop();
        assert!(ingest.is_draining() && !forecast.is_draining());
        assert_eq!(ingest.or(std::future::pending::<()>()).await, None);
        lifecycle.complete(1);
        assert!(forecast.is_draining() && !forecast.is_now());
        let (one, other) = (forecast.child(), forecast.child());
        one.now();
        assert!(one.is_now() && !other.is_now() && !forecast.is_now());
        lifecycle.stop_now();
        assert!(forecast.is_now() && other.is_now());
    }
}
