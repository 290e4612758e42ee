//! What a role has handed to the log and has not heard of yet. The next tick is worked on meanwhile.

use std::{collections::VecDeque, sync::Arc};

use futures::{
    FutureExt as _,
    future::{BoxFuture, try_join_all},
};

use crate::{Appended, Appending, Chain, Log, LogError, Message, Partition};

/// Ticks on their way at most; handing over the next waits for the oldest.
const AHEAD: usize = 256;

/// Messages on their way to the log, oldest first. The state that led to them may be saved once [`Outbox::settle`] has completed, not before.
pub struct Outbox {
    log: Arc<dyn Log>,
    chain: Chain,
    on_their_way: VecDeque<OnTheirWay>,
}

/// What one tick led to.
struct OnTheirWay {
    appending: BoxFuture<'static, Result<Vec<Appended>, LogError>>,
    then: Then,
}

type Then = Box<dyn FnOnce(&[Appended]) + Send>;

impl Outbox {
    /// An empty one.
    #[must_use]
    pub fn new(log: Arc<dyn Log>) -> Self {
        Self { log, chain: Chain::default(), on_their_way: VecDeque::new() }
    }

    /// Hands over what a tick led to, possibly nothing, at most one message a partition; `then` hears what became of each once all are in the
    /// log, and everything handed over before. Waits while too much is on its way.
    ///
    /// # Errors
    /// What failed of these or of earlier messages; then the outbox is of no more use.
    pub async fn hand_over<'a>(
        &mut self,
        messages: impl IntoIterator<Item = (Partition, Message<'a>)>,
        then: impl FnOnce(&[Appended]) + Send + 'static,
    ) -> Result<(), LogError> {
        while self.on_their_way.len() >= AHEAD {
            let chain = self.chain.clone();
            chain.unless_torn(self.settle_oldest()).await??;
        }
        let handed =
            messages.into_iter().map(|(partition, message)| self.log.hand_over(partition, message, &self.chain));
        let appending: Vec<Appending> = self.chain.unless_torn(try_join_all(handed)).await??;
        self.on_their_way.push_back(OnTheirWay { appending: try_join_all(appending).boxed(), then: Box::new(then) });
        // What has arrived already is reported at once.
        while self.settle_oldest().now_or_never().transpose()? == Some(true) {}
        Ok(())
    }

    /// Completes when everything that was handed over is in the log.
    ///
    /// # Errors
    /// What failed, as soon as anything has.
    pub async fn settle(&mut self) -> Result<(), LogError> {
        let chain = self.chain.clone();
        while chain.unless_torn(self.settle_oldest()).await?? {}
        Ok(())
    }

    /// Does `work`, to its end, while messages arrive.
    ///
    /// # Errors
    /// What failed, as soon as anything has; the work is given up then.
    pub async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Result<T, LogError> {
        let chain = self.chain.clone();
        let listening = async {
            tokio::pin!(work);
            while !self.on_their_way.is_empty() {
                tokio::select! {
                    biased;
                    done = &mut work => return Ok(done),
                    settled = self.settle_oldest() => drop(settled?),
                }
            }
            Ok(work.await)
        };
        chain.unless_torn(listening).await?
    }

    /// Waits for the oldest; whether there was one. Nothing is lost when it is given up.
    async fn settle_oldest(&mut self) -> Result<bool, LogError> {
        let Some(oldest) = self.on_their_way.front_mut() else { return Ok(false) };
        let appended = (&mut oldest.appending).await;
        let oldest = self.on_their_way.pop_front();
        let appended = appended?;
        if let Some(OnTheirWay { then, .. }) = oldest {
            then(&appended);
        }
        Ok(true)
    }
}
