//! The reader: follows the clock, reads every source at every tick and hands over what came.

use std::collections::BTreeMap;

use nilometer_connectors::{Cursor, Look, Source, SourceError};
use nilometer_engine::{Clock, QueueSender, RoleMetrics, Stop, off_reactor, turn};
use nilometer_schemas::Timestamp;
use nilometer_transforms::RawBatch;
use tracing::Instrument;

use crate::{
    IngestError, in_full,
    landing::Landing,
    state::{IngestState, Planned},
};

/// A tick as it was read.
pub(crate) struct ReadTick {
    pub(crate) look: Look,
    pub(crate) batches: Vec<RawBatch>,
    pub(crate) cursors: BTreeMap<String, Cursor>,
    /// position of raw.v1 behind it
    pub(crate) raw: u64,
}

/// Reads the sources tick by tick.
pub(crate) struct Reader {
    pub(crate) sources: Vec<Box<dyn Source>>,
    /// there where some give a message once
    pub(crate) landing: Option<Landing>,
    /// position of raw.v1 up to which ticks have taken messages
    pub(crate) raw: u64,
    pub(crate) clock: Clock,
    pub(crate) growing: bool,
    /// sources that could not be read at the last look, and why: each cause is said once
    pub(crate) failing: BTreeMap<String, String>,
    pub(crate) role_metrics: RoleMetrics,
}

impl Reader {
    /// Reads every source at every tick and hands over what came; gives the sources back. A full queue holds it back.
    pub(crate) async fn run(
        mut self,
        state: IngestState,
        sender: QueueSender<Result<ReadTick, IngestError>>,
        stop: Stop,
    ) -> Vec<Box<dyn Source>> {
        let IngestState { tick: mut last, mut cursors, mut planned, .. } = state;
        let mut behind = None;
        loop {
            let redo = planned.take();
            let next = match &redo {
                Some(planned) => Some(planned.look.tick),
                None => stop.or(self.clock.tick(last)).await.flatten(),
            };
            let Some(tick) = next else { return self.sources };
            let look = redo.as_ref().map_or_else(|| self.look(tick), |planned| planned.look);
            self.say_missed(last, look, &mut behind);
            let lands = match &mut self.landing {
                Some(landing) if redo.is_none() => landing.is_due(look).await,
                _ => Ok(false),
            };
            let reading = off_reactor(move || {
                let read = lands.and_then(|lands| self.read(&mut cursors, redo.as_ref(), look, lands));
                (self, cursors, read)
            });
            let reading = reading.instrument(turn(tick, None));
            let read;
            (self, cursors, read) = match reading.await {
                Ok(back) => back,
                // The thread has taken the sources with it. Where the receiver is gone, the role has failed already.
                Err(died) => {
                    drop(sender.send(Err(died.into())).await);
                    return Vec::new();
                }
            };
            let read = match read {
                Ok((batches, once)) => self.with_landed(batches, once, look).await,
                Err(error) => Err(error),
            };
            let failed = read.is_err();
            let raw = self.raw;
            let read = read.map(|batches| ReadTick { look, batches, cursors: cursors.clone(), raw });
            if sender.send(read).await.is_err() || failed {
                return self.sources;
            }
            last = Some(tick);
        }
    }

    /// The batches of a tick with those that come from raw.v1, where what was given `once` is first.
    async fn with_landed(
        &mut self,
        mut batches: Vec<RawBatch>,
        once: Option<Vec<RawBatch>>,
        look: Look,
    ) -> Result<Vec<RawBatch>, IngestError> {
        let Some(landing) = &mut self.landing else { return Ok(batches) };
        if let Some(given) = once {
            landing.land(look, &given).await?;
        }
        batches.extend(landing.take(look.tick).await?);
        self.raw = landing.next();
        Ok(batches)
    }

    fn look(&self, tick: Timestamp) -> Look {
        let (now, catching_up) = self.clock.look(tick);
        Look { tick, now, catching_up }
    }

    /// Says when ticks that were missed are made, and when all have been; in `latest`, which are not made.
    fn say_missed(&self, last: Option<Timestamp>, look: Look, behind: &mut Option<Timestamp>) {
        let every_s = self.clock.every_s();
        if let Some(first) = last.map(|last| last.plus_s(every_s)).filter(|first| *first < look.tick) {
            let ticks = look.tick.seconds_since(first) / every_s;
            tracing::warn!(from = %first, until = %look.tick.plus_s(-every_s), ticks, "ticks that were missed are not made (operations.catch_up = \"latest\"); the next has everything that came meanwhile");
        }
        match (*behind, look.catching_up) {
            (None, true) => {
                tracing::warn!(from = %look.tick, now = %look.now, "ticks were missed: they are made one by one with what would have come by then");
                *behind = Some(look.tick);
            }
            (Some(from), false) => {
                tracing::info!(%from, until = %look.tick, "all ticks that were missed are made");
                *behind = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }

    /// Reads every source; those that give a message once where a tick `lands`, and their batches apart. In operations one that cannot be read holds
    /// up no other: it is tried again at the next tick.
    fn read(
        &mut self,
        cursors: &mut BTreeMap<String, Cursor>,
        redo: Option<&Planned>,
        look: Look,
        lands: bool,
    ) -> Result<(Vec<RawBatch>, Option<Vec<RawBatch>>), IngestError> {
        let Self { sources, landing, growing, failing, role_metrics, .. } = self;
        let mut failing = Failing { of: failing, go_on: *growing, role_metrics };
        let mut all = Vec::new();
        for source in sources {
            let name = source.name().to_owned();
            let cursor = cursors.get(&name).cloned().unwrap_or_default();
            let read = match redo.map(|planned| planned.cursors.get(&name)) {
                None => source.read(&cursor, look),
                Some(Some(planned)) => source.read_again(&cursor, planned, look),
                // It gave nothing to the tick that is done again, and what it gives now may not find a place in it.
                Some(None) => continue,
            };
            if let Some((batches, after)) = failing.pass(&name, read)? {
                cursors.insert(name, after);
                all.extend(batches);
            }
        }
        let Some(landing) = landing.as_mut().filter(|_| lands) else { return Ok((all, None)) };
        let mut once = Vec::new();
        for source in landing.sources() {
            let read = source.read(&Cursor::default(), look);
            let name = source.name().to_owned();
            once.extend(failing.pass(&name, read)?.into_iter().flat_map(|(batches, _)| batches));
        }
        Ok((all, Some(once)))
    }
}

/// Sources that could not be read at the last look.
struct Failing<'a> {
    /// why, by the source's name: each cause is said once
    of: &'a mut BTreeMap<String, String>,
    /// whether the others go on
    go_on: bool,
    role_metrics: &'a RoleMetrics,
}

impl Failing<'_> {
    /// What a source gave; none where it could not be read and the others go on.
    fn pass<T>(&mut self, name: &str, read: Result<T, SourceError>) -> Result<Option<T>, IngestError> {
        match read {
            Ok(given) => {
                if self.of.remove(name).is_some() {
                    tracing::info!(source = name, "the source can be read again");
                }
                Ok(Some(given))
            }
            Err(error) if self.go_on && error.is_retryable() => {
                self.role_metrics.source_failed(name);
                let why = in_full(&error);
                if self.of.insert(name.to_owned(), why.clone()).as_ref() != Some(&why) {
                    tracing::warn!(
                        source = name,
                        why,
                        "the source cannot be read; it is tried again at every tick, and the others go on"
                    );
                }
                Ok(None)
            }
            Err(source) => Err(IngestError::Source { name: name.to_owned(), source }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where it cannot go on")]

    use nilometer_engine::{CatchUp, Metrics, queue};

    use crate::PRODUCER;

    use super::*;

    type Answer = Result<(Vec<RawBatch>, Cursor), SourceError>;

    /// A source whose every reading ends as given.
    struct Scripted(fn() -> Answer);

    impl Source for Scripted {
        fn name(&self) -> &str {
            "gauge"
        }

        fn read(&mut self, _: &Cursor, _: Look) -> Answer {
            (self.0)()
        }

        fn last_arrival(&self) -> Option<Timestamp> {
            None
        }
    }

    fn reader(read: fn() -> Answer) -> Reader {
        Reader {
            sources: vec![Box::new(Scripted(read))],
            landing: None,
            raw: 0,
            clock: Clock::wall(3_600, CatchUp::All, None),
            growing: true,
            failing: BTreeMap::new(),
            role_metrics: Metrics::unregistered().role(PRODUCER),
        }
    }

    fn unreadable() -> Answer {
        let source = std::io::Error::other("no permission");
        Err(SourceError::Io { name: "gauge".to_owned(), path: "flow.csv".into(), source })
    }

    #[test]
    fn a_source_that_could_not_be_read_gives_nothing_to_a_tick_that_is_done_again() {
        let look = Look::at(Timestamp(0));
        let mut cursors = BTreeMap::new();
        let mut first = reader(unreadable);
        assert!(first.read(&mut cursors, None, look, false).unwrap().0.is_empty());
        assert!(first.failing.contains_key("gauge") && cursors.is_empty());
        let planned = Planned { look, cursors: cursors.clone() };
        let mut again = reader(|| panic!("it is not asked"));
        assert!(again.read(&mut cursors, Some(&planned), look, false).unwrap().0.is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_reading_thread_that_dies_ends_the_role_with_an_error() {
        let (sender, mut receiver) = queue("raw", 1, &Metrics::unregistered());
        let reading = reader(|| panic!("a defect")).run(IngestState::default(), sender, Stop::default());
        let (sources, read) = tokio::join!(reading, receiver.receive());
        assert!(sources.is_empty());
        assert!(matches!(read, Some(Err(IngestError::Thread(_)))));
    }
}
