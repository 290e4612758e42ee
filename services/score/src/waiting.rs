//! What waits: forecasts whose time has not been observed yet, or whose observation may still be corrected.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use nilometer_alignment::CatchmentIndex;
use nilometer_engine::Position;
use nilometer_schemas::{Forecasts, QUANTILE_LEVELS, Timestamp};
use nilometer_statistics::Newest;
use serde::{Deserialize, Serialize};

use crate::performance::Issuer;

/// Where the topics are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mark {
    pub(crate) forecast: Position,
    #[serde(default)]
    pub(crate) shadow_forecast: Position,
    pub(crate) observation: Position,
}

/// What the rows of one message have in common.
pub(crate) struct Issued {
    pub(crate) issue_time: Timestamp,
    pub(crate) issuer: Issuer,
    pub(crate) weights_sha256: Arc<str>,
    pub(crate) scenario: Arc<str>,
    /// newest value of each gauge that was known then, m³ s⁻¹
    pub(crate) newest: Arc<[Newest]>,
    /// where to read on from to meet this message again
    pub(crate) mark: Mark,
    /// rows that are still here
    left: usize,
}

/// One row that waits, as float32: what models say is no finer.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// of [`Waiting::issued`]
    message: u64,
    pub(crate) catchment: usize,
    pub(crate) mean: f32,
    pub(crate) quantiles: [f32; QUANTILE_LEVELS.len()],
    /// what was observed when it was judged last, m³ s⁻¹; none before
    pub(crate) judged_by: Option<f64>,
}

/// Rows that wait, by valid time in the order of their issue.
#[derive(Default)]
pub(crate) struct Waiting {
    rows: BTreeMap<Timestamp, Vec<Row>>,
    issued: VecDeque<Issued>,
    /// number of the first of `issued`
    first: u64,
    /// rows that have not been judged
    unjudged: u64,
}

impl Waiting {
    /// Takes in a message; gives how many of its rows cannot wait: of no catchment that is known, or beyond float32.
    pub(crate) fn add(
        &mut self,
        forecasts: &Forecasts,
        index: &CatchmentIndex,
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
            let place = index.place_of_catchment(forecasts.catchment().value(row));
            let Some(catchment) = place.filter(|_| usable) else {
                refused += 1;
                continue;
            };
            let waiting = Row { message, catchment, mean, quantiles, judged_by: None };
            self.rows.entry(Timestamp(forecasts.valid_time().value(row))).or_default().push(waiting);
            left += 1;
        }
        self.unjudged += left as u64;
        let issue_time = Timestamp(forecasts.issue_time().value(0));
        let word = |column: &arrow::array::StringArray| Arc::from(column.value(0));
        let weights_sha256: Arc<str> = word(forecasts.weights_sha256());
        let shadow = forecasts.is_shadow(0).then(|| weights_sha256.to_string());
        self.issued.push_back(Issued {
            issue_time,
            issuer: Issuer { model: forecasts.model().value(0).to_owned(), shadow },
            weights_sha256,
            scenario: word(forecasts.scenario()),
            newest,
            mark,
            left,
        });
        self.settle();
        refused
    }

    /// Lends the rows of a valid time, in the order of their issue, to [`Waiting::put_back`].
    pub(crate) fn take(&mut self, valid_time: Timestamp) -> Vec<Row> {
        self.rows.remove(&valid_time).unwrap_or_default()
    }

    /// Takes back rows of which so many were judged for the first time.
    pub(crate) fn put_back(&mut self, valid_time: Timestamp, rows: Vec<Row>, judged: u64) {
        self.unjudged -= judged;
        if !rows.is_empty() {
            self.rows.insert(valid_time, rows);
        }
    }

    /// Lets go of what was valid up to `time`; gives how many of these rows have not been judged.
    pub(crate) fn give_up(&mut self, time: Timestamp) -> u64 {
        let behind = self.rows.split_off(&Timestamp(time.0.saturating_add(1)));
        let mut missing = 0;
        for row in std::mem::replace(&mut self.rows, behind).into_values().flatten() {
            let at = usize::try_from(row.message - self.first).unwrap_or(0);
            self.issued[at].left -= 1;
            missing += u64::from(row.judged_by.is_none());
        }
        self.unjudged -= missing;
        self.settle();
        missing
    }

    /// What a row's message had in common.
    pub(crate) fn issued(&self, row: &Row) -> &Issued {
        &self.issued[usize::try_from(row.message - self.first).unwrap_or(0)]
    }

    /// The oldest message of which a row is still here.
    pub(crate) fn oldest(&self) -> Option<&Issued> {
        self.issued.front()
    }

    /// Whether a row of an issuer is still here.
    pub(crate) fn has(&self, issuer: &Issuer) -> bool {
        self.issued.iter().any(|issued| issued.issuer == *issuer)
    }

    /// Rows that have not been judged.
    pub(crate) fn pending(&self) -> u64 {
        self.unjudged
    }

    fn settle(&mut self) {
        while self.issued.front().is_some_and(|issued| issued.left == 0) {
            self.issued.pop_front();
            self.first += 1;
        }
    }
}
