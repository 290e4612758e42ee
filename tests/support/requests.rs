//! A source that gives each message once, as a request over HTTP does.

use std::{
    fmt::Write as _,
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use nilometer_connectors::{Cursor, Look, Source, SourceError};
use nilometer_definitions::Pipeline;
use nilometer_schemas::Timestamp;
use nilometer_transforms::{Format, Payload, RawBatch, Whole};

/// Gives the lines of `flow.csv` of each hour as one message, until it has landed.
pub struct Requests {
    /// hour and message
    messages: Vec<(Timestamp, String)>,
    /// how many have landed, whatever becomes of the role
    landed: Arc<AtomicUsize>,
    given: usize,
}

impl Requests {
    /// Of the data of a pipeline; `landed` outlives the source, as a sender's memory does.
    pub fn open(pipeline: &Pipeline, landed: Arc<AtomicUsize>) -> Self {
        let text = fs::read_to_string(pipeline.data.join("flow.csv")).unwrap();
        let mut messages: Vec<(Timestamp, String)> = Vec::new();
        let mut last = pipeline.time.from;
        for line in text.lines().skip(1) {
            let time = line.split(',').nth(1).unwrap().parse().unwrap_or(last);
            if messages.last().is_none_or(|(of, _)| *of != time) {
                messages.push((time, "gauge,time,flow\n".to_owned()));
            }
            let (_, message) = messages.last_mut().unwrap();
            writeln!(message, "{line}").unwrap();
            last = time;
        }
        Self { messages, landed, given: 0 }
    }
}

impl Source for Requests {
    fn name(&self) -> &str {
        "flow"
    }

    fn read(&mut self, _: &Cursor, look: Look) -> Result<(Vec<RawBatch>, Cursor), SourceError> {
        let landed = self.landed.load(Ordering::Relaxed);
        let waiting = self.messages.iter().enumerate().skip(landed).take_while(|(_, (time, _))| *time <= look.tick);
        let batches: Vec<RawBatch> = waiting
            .map(|(at, (_, message))| RawBatch {
                source: "flow".into(),
                locator: format!("request {at}"),
                arrival: look.now,
                payload: Payload::Whole(Whole {
                    format: Format::CSV,
                    bytes: message.clone().into_bytes().into(),
                    period: None,
                }),
            })
            .collect();
        self.given = landed + batches.len();
        Ok((batches, Cursor::default()))
    }

    fn last_arrival(&self) -> Option<Timestamp> {
        None
    }

    fn gives_once(&self) -> bool {
        true
    }

    fn landed(&mut self) {
        self.landed.fetch_max(self.given, Ordering::Relaxed);
    }
}
