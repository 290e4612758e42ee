//! What waits: forecasts whose time has not been observed yet.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use nilometer_engine::Position;
use nilometer_schemas::{Forecasts, QUANTILE_LEVELS, Timestamp};
use serde::{Deserialize, Serialize};

/// Where both topics are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mark {
    pub(crate) forecast: Position,
    pub(crate) observation: Position,
}

/// The newest value of a gauge, m³ s⁻¹, and its time; NaN before the first.
pub(crate) type Newest = (Timestamp, f32);

/// What the rows of one message have in common.
pub(crate) struct Issued {
    pub(crate) issue_time: Timestamp,
    pub(crate) model: Arc<str>,
    pub(crate) weights_sha256: Arc<str>,
    pub(crate) scenario: Arc<str>,
    /// newest value of each gauge that was known then
    pub(crate) newest: Arc<[Newest]>,
    /// where to read on from to meet this message again
    pub(crate) mark: Mark,
    /// rows that wait
    left: usize,
}

/// One row that waits, as float32: what models say is no finer.
pub(crate) struct Row {
    /// of [`Waiting::issued`]
    message: u64,
    pub(crate) catchment: usize,
    pub(crate) mean: f32,
    pub(crate) quantiles: [f32; QUANTILE_LEVELS.len()],
}

/// Rows that wait, by valid time in the order of their issue.
#[derive(Default)]
pub(crate) struct Waiting {
    rows: BTreeMap<Timestamp, Vec<Row>>,
    issued: VecDeque<Issued>,
    /// number of the first of `issued`
    first: u64,
}

impl Waiting {
    /// Takes in a message; gives how many of its rows cannot wait: of no catchment that is known, or beyond float32.
    pub(crate) fn add(
        &mut self,
        forecasts: &Forecasts,
        places: &HashMap<String, usize>,
        newest: Arc<[Newest]>,
        mark: Mark,
    ) -> u64 {
        if forecasts.is_empty() {
            return 0;
        }
        let columns = QUANTILE_LEVELS.map(|level| forecasts.quantile(level));
        let (mut refused, mut left) = (0, 0);
        let message = self.first + self.issued.len() as u64;
        for row in 0..forecasts.len() {
            let (mean, quantiles) =
                (forecasts.mean().value(row) as f32, columns.map(|column| column.value(row) as f32));
            let usable = mean.is_finite() && quantiles.iter().all(|quantile| quantile.is_finite());
            let Some(&catchment) = places.get(forecasts.catchment().value(row)).filter(|_| usable) else {
                refused += 1;
                continue;
            };
            let waiting = Row { message, catchment, mean, quantiles };
            self.rows.entry(Timestamp(forecasts.valid_time().value(row))).or_default().push(waiting);
            left += 1;
        }
        let issue_time = Timestamp(forecasts.issue_time().value(0));
        let word = |column: &arrow::array::StringArray| Arc::from(column.value(0));
        self.issued.push_back(Issued {
            issue_time,
            model: word(forecasts.model()),
            weights_sha256: word(forecasts.weights_sha256()),
            scenario: word(forecasts.scenario()),
            newest,
            mark,
            left,
        });
        self.settle();
        refused
    }

    /// Takes out the rows of a valid time whose catchment was `observed`, in the order of their issue.
    pub(crate) fn take(&mut self, valid_time: Timestamp, observed: impl Fn(usize) -> bool) -> Vec<Row> {
        let Some(rows) = self.rows.get_mut(&valid_time) else { return Vec::new() };
        let taken: Vec<Row> = rows.extract_if(.., |row| observed(row.catchment)).collect();
        if rows.is_empty() {
            self.rows.remove(&valid_time);
        }
        taken
    }

    /// Says that rows need not wait any more.
    pub(crate) fn done(&mut self, rows: &[Row]) {
        for row in rows {
            let at = usize::try_from(row.message - self.first).unwrap_or(0);
            self.issued[at].left -= 1;
        }
        self.settle();
    }

    /// Gives up on what was valid up to `time`; gives how many rows these were.
    pub(crate) fn give_up(&mut self, time: Timestamp) -> u64 {
        let behind = self.rows.split_off(&Timestamp(time.0.saturating_add(1)));
        let gone = std::mem::replace(&mut self.rows, behind);
        gone.values().for_each(|rows| self.done(rows));
        gone.values().map(|rows| rows.len() as u64).sum()
    }

    /// What a row's message had in common.
    pub(crate) fn issued(&self, row: &Row) -> &Issued {
        &self.issued[usize::try_from(row.message - self.first).unwrap_or(0)]
    }

    /// The oldest message of which a row waits.
    pub(crate) fn oldest(&self) -> Option<&Issued> {
        self.issued.front()
    }

    /// Rows that wait.
    pub(crate) fn pending(&self) -> u64 {
        self.issued.iter().map(|issued| issued.left as u64).sum()
    }

    fn settle(&mut self) {
        while self.issued.front().is_some_and(|issued| issued.left == 0) {
            self.issued.pop_front();
            self.first += 1;
        }
    }
}
