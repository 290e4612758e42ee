//! Watch: every threshold and gauge of a partition, and where they stand; from what a tick brought to rows. No I/O.

use std::{collections::BTreeMap, sync::Arc};

use arrow::array::{Array as _, RecordBatch, TimestampMicrosecondArray};
use nilometer_alignment::{CatchmentIndex, Observation, ObservationContent};
use nilometer_definitions::{Levels, Pipeline, Threshold, ThresholdKind};
use nilometer_engine::{Balance, Record, to_ipc};
use nilometer_schemas::{
    Actions, AlertKind, AlertState, Alerts, AlertsBuilder, Contract, DeadLetterRow, DroughtOutlooks, Droughts, Events,
    GaugeData, Reason, SchemaError, Timestamp, Variable,
};
use nilometer_statistics::counts;

use crate::{
    AlertError, AlertMetrics, PRODUCER,
    action::Action,
    drought::{DroughtStanding, classes, likely, push_drought},
    gauge::Gauge,
    inputs::{Positions, Tick},
    machine::{About, EventSummary, Heard, Side, Standing},
    rows::{kind_of, push, push_gauge, push_withdrawn},
    stored::StoredAlerts,
};

/// Where everything of a partition stands.
pub(crate) struct Watch {
    pipeline: Arc<Pipeline>,
    index: CatchmentIndex,
    ages_s: [i64; 2],
    /// last tick that was taken
    pub(crate) tick: Timestamp,
    pub(crate) balance: Balance,
    /// a catchment each
    gauges: Vec<Gauge>,
    /// `[catchment][threshold]`
    standings: Vec<Vec<Standing>>,
    /// a catchment each, by index of drought
    droughts: Vec<BTreeMap<String, DroughtStanding>>,
    /// levels that operators have given thresholds
    levels: Levels,
    /// alerts of thresholds that the definition no longer has, by catchment and threshold
    withdrawn: Vec<(String, String, Standing)>,
}

/// What goes out of a tick.
pub(crate) struct Outputs {
    pub(crate) alerts: Alerts,
    pub(crate) dead_letters: Vec<DeadLetterRow>,
}

/// What a forecast says of a threshold, by catchment and threshold, and whether it takes the place of one that has.
type SummariesOfThresholds = BTreeMap<(usize, usize), (EventSummary, bool)>;

impl Watch {
    /// Goes on from what was stored: thresholds that it does not have begin as normal.
    pub(crate) fn new(pipeline: Arc<Pipeline>, mut stored: StoredAlerts) -> Result<Self, AlertError> {
        let (mut gauges, mut standings, mut droughts) = (Vec::new(), Vec::new(), Vec::new());
        for catchment in &pipeline.catchments {
            let judged = pipeline.drought.is_some();
            droughts.push(if judged {
                stored.droughts.remove(&catchment.id).unwrap_or_default()
            } else {
                BTreeMap::new()
            });
            let gauge = stored.gauges.remove(&catchment.id).unwrap_or_default();
            gauges.push(Gauge { station: catchment.station().to_owned(), ..gauge });
            let of_catchment = stored.standings.entry(catchment.id.clone()).or_default();
            let mut of = |threshold: &Threshold| {
                let standing = of_catchment.remove(&threshold.id).unwrap_or_default();
                let about = About { station: catchment.station().to_owned(), kind: kind_of(threshold) };
                Standing { about, ..standing }
            };
            standings.push(catchment.thresholds.iter().map(&mut of).collect());
        }
        // What is left the definition no longer has: thresholds, droughts, and gauges that had gone silent.
        let thresholds = stored.standings.into_iter().flat_map(|(catchment, of)| {
            of.into_iter().map(move |(threshold, standing)| (catchment.clone(), threshold, standing))
        });
        let of_droughts = stored.droughts.into_iter().flat_map(|(catchment, of)| {
            of.into_iter().map(move |(index, drought)| (catchment.clone(), index, drought.standing))
        });
        let silent = stored.gauges.into_iter().filter(|(_, gauge)| gauge.data == Some(GaugeData::Silent));
        let of_gauges = silent.map(|(catchment, gauge)| {
            let about = About { station: gauge.station, kind: AlertKind::Gauge };
            let since = gauge.since;
            let standing = Standing { about, state: AlertState::Watch, since, started: since, ..Standing::default() };
            (catchment, String::new(), standing)
        });
        let left = thresholds.chain(of_droughts).chain(of_gauges);
        Ok(Self {
            index: CatchmentIndex::new(&pipeline)?,
            ages_s: pipeline.alerts.ages_s(&pipeline),
            withdrawn: left.filter(|(.., standing)| standing.state.is_active()).collect(),
            tick: stored.tick,
            balance: stored.balance,
            levels: stored.levels,
            gauges,
            standings,
            droughts,
            pipeline,
        })
    }

    /// What a snapshot keeps.
    pub(crate) fn store(&self, positions: Positions) -> StoredAlerts {
        let catchments = || self.pipeline.catchments.iter();
        let of_catchments = catchments().zip(&self.standings).map(|(catchment, of)| {
            let ids = catchment.thresholds.iter().map(|threshold| threshold.id.clone());
            (catchment.id.clone(), ids.zip(of.iter().cloned()).collect())
        });
        let mut standings: BTreeMap<String, BTreeMap<String, Standing>> = of_catchments.collect();
        for (catchment, threshold, standing) in &self.withdrawn {
            standings.entry(catchment.clone()).or_default().insert(threshold.clone(), standing.clone());
        }
        StoredAlerts {
            tick: self.tick,
            positions,
            balance: self.balance.clone(),
            gauges: catchments().zip(&self.gauges).map(|(c, gauge)| (c.id.clone(), gauge.clone())).collect(),
            standings,
            droughts: catchments().zip(&self.droughts).map(|(c, of)| (c.id.clone(), of.clone())).collect(),
            levels: self.levels.clone(),
        }
    }

    /// Takes in a tick.
    pub(crate) fn take(&mut self, tick: &Tick) -> Result<Outputs, AlertError> {
        let (mut rows, mut dead_letters) = (AlertsBuilder::new(), Vec::new());
        self.balance.received += tick.lost;
        self.balance.reject(Reason::DamagedSegment, tick.lost);
        // Forecasts of this tick go by them already.
        self.take_levels(tick);
        let mut summaries = self.summaries(tick, &mut dead_letters)?;
        let readings = self.readings(tick);
        for (catchment, threshold, standing) in std::mem::take(&mut self.withdrawn) {
            push_withdrawn(tick.time, &catchment, &threshold, &standing, &mut rows);
        }
        for (at, catchment) in self.pipeline.catchments.iter().enumerate() {
            let gauge = &mut self.gauges[at];
            let data_changed = gauge.take(tick.time, &readings[at], self.ages_s);
            if data_changed && self.index.places_of_station(catchment.station()).first() == Some(&at) {
                push_gauge(tick.time, catchment, gauge, &mut rows);
            }
            let thresholds = catchment.thresholds.iter().zip(&mut self.standings[at]).enumerate();
            for (place, (threshold, standing)) in thresholds {
                let threshold = &*self.levels.of(catchment.station(), threshold, tick.time);
                let (event, supersedes) = summaries.remove(&(at, place)).unzip();
                let heard = Heard {
                    tick: tick.time,
                    readings: &readings[at],
                    event,
                    supersedes: supersedes.unwrap_or(false),
                    data: gauge.data,
                    data_changed,
                };
                let level_m3_s = (threshold.kind == ThresholdKind::Flow).then(|| threshold.canonical());
                let side = Side { level_m3_s, below: threshold.below };
                if let Some(change) = standing.take(heard, side, &self.pipeline.alerts) {
                    push(tick.time, change, catchment, threshold, standing, gauge, &mut rows);
                }
            }
        }
        self.take_droughts(tick, &mut rows);
        self.act(tick, &mut rows, &mut dead_letters)?;
        self.tick = tick.time;
        Ok(Outputs { alerts: rows.finish()?, dead_letters })
    }

    /// Puts the levels in force that operators have given thresholds.
    fn take_levels(&mut self, tick: &Tick) {
        self.levels.forget(tick.time);
        // What breaks its contract is refused where the actions are taken.
        for actions in tick.operators.iter().filter_map(|record| Actions::try_from(record.batch.clone()).ok()) {
            let changes = (0..actions.len()).filter_map(|row| actions.level_change(row));
            for change in changes {
                let station = change.station.clone();
                self.levels.set(change, self.pipeline.thresholds_of(&station));
            }
        }
    }

    /// What forecasts say of thresholds.
    fn summaries(
        &mut self,
        tick: &Tick,
        dead_letters: &mut Vec<DeadLetterRow>,
    ) -> Result<SummariesOfThresholds, AlertError> {
        let mut summaries = SummariesOfThresholds::new();
        for record in &tick.events {
            let rows = record.batch.num_rows() as u64;
            self.balance.received += rows;
            let events = match Events::try_from(record.batch.clone()) {
                Ok(events) => events,
                // The role that publishes events keeps their bytes.
                Err(error) => {
                    tracing::error!(%error, position = record.position, "events that break their contract are not watched");
                    self.balance.reject(Reason::BrokenContract, rows);
                    continue;
                }
            };
            for row in 0..events.len() {
                let (catchment, threshold) = (events.catchment().value(row), events.threshold().value(row));
                let place = self.index.place_of_catchment(catchment).and_then(|at| {
                    let mut of_catchment = self.pipeline.catchments[at].thresholds.iter();
                    Some((at, of_catchment.position(|defined| defined.id == threshold)?))
                });
                let Some(place) = place else {
                    self.balance.reject(Reason::UnknownStation, 1);
                    let detail = format!("the definition has no threshold {threshold:?} of catchment {catchment:?}");
                    dead_letters.push(refusal(Contract::Event, record, Some(row), Reason::UnknownStation, detail)?);
                    continue;
                };
                summaries.insert(place, (summary_of(&events, row), events.supersedes().is_valid(row)));
                self.balance.used += 1;
            }
        }
        Ok(summaries)
    }

    /// Of each catchment what its gauge read, in the order of time.
    fn readings(&self, tick: &Tick) -> Vec<Vec<(Timestamp, f64)>> {
        let mut readings = vec![Vec::new(); self.index.len()];
        for record in &tick.observations {
            // What does not keep its contract the forecast role reports.
            let Ok(rows) = self.index.observations(&record.batch) else { continue };
            for content in rows {
                let ObservationContent::Value(Observation { catchment, variable, valid_time, value, flag, .. }) =
                    content
                else {
                    continue;
                };
                if variable == Variable::Discharge && counts(flag) && valid_time <= tick.time {
                    // A station may be that of several catchments.
                    for &place in self.index.places_of_station(self.index.station(catchment)) {
                        readings[place].push((valid_time, value));
                    }
                }
            }
        }
        readings.iter_mut().for_each(|of_gauge| of_gauge.sort_by_key(|(time, _)| *time));
        readings
    }

    /// What became of droughts, and what is likely to come of them.
    fn take_droughts(&mut self, tick: &Tick, rows: &mut AlertsBuilder) {
        for record in &tick.droughts {
            let Some(days) = self.kept(record, Droughts::try_from) else { continue };
            for ((catchment, index), class) in classes(&days) {
                let Some((at, drought)) = self.drought(&catchment, index) else { continue };
                if let Some(change) = drought.take(tick.time, &class) {
                    let (described, gauge) = (&self.pipeline.catchments[at], &self.gauges[at]);
                    let Some(drought) = self.droughts[at].get_mut(index) else { continue };
                    push_drought(tick.time, change, described, drought, Some(&class), gauge, rows);
                }
            }
        }
        let pipeline = self.pipeline.clone();
        for record in &tick.drought_outlooks {
            let Some(weeks) = self.kept(record, DroughtOutlooks::try_from) else { continue };
            for ((catchment, index), likely) in likely(&weeks) {
                let Some((at, drought)) = self.drought(&catchment, index) else { continue };
                if let Some(change) = drought.take_outlook(tick.time, likely, &pipeline.alerts) {
                    let (described, gauge) = (&self.pipeline.catchments[at], &self.gauges[at]);
                    let Some(drought) = self.droughts[at].get_mut(index) else { continue };
                    push_drought(tick.time, change, described, drought, None, gauge, rows);
                }
            }
        }
    }

    /// The rows of a message, all of which are used; none where they break their contract, whose bytes the role that publishes them keeps.
    fn kept<T>(&mut self, record: &Record, read: impl Fn(RecordBatch) -> Result<T, SchemaError>) -> Option<T> {
        let received = record.batch.num_rows() as u64;
        self.balance.received += received;
        match read(record.batch.clone()) {
            Ok(rows) => {
                self.balance.used += received;
                Some(rows)
            }
            Err(error) => {
                tracing::error!(%error, position = record.position, "rows of droughts that break their contract are not watched");
                self.balance.reject(Reason::BrokenContract, received);
                None
            }
        }
    }

    /// Where an index of a catchment stands, with the catchment's place; none where the definition does not have it.
    fn drought(&mut self, catchment: &str, index: &str) -> Option<(usize, &mut DroughtStanding)> {
        let at = self.index.place_of_catchment(catchment)?;
        let begin = || DroughtStanding::of(index, self.index.station(at));
        Some((at, self.droughts[at].entry(index.to_owned()).or_insert_with(begin)))
    }

    /// What operators do.
    fn act(
        &mut self,
        tick: &Tick,
        rows: &mut AlertsBuilder,
        dead_letters: &mut Vec<DeadLetterRow>,
    ) -> Result<(), AlertError> {
        for record in &tick.operators {
            let received = record.batch.num_rows() as u64;
            self.balance.received += received;
            let actions = match Actions::try_from(record.batch.clone()) {
                Ok(actions) => actions,
                Err(error) => {
                    self.balance.reject(Reason::BrokenContract, received);
                    let (reason, detail) = (Reason::BrokenContract, error.to_string());
                    dead_letters.push(refusal(Contract::Operator, record, None, reason, detail)?);
                    continue;
                }
            };
            for row in 0..actions.len() {
                let action = Action::of(&actions, row);
                let known = action.is_some_and(|action| self.apply(&action, tick.time, rows));
                if known {
                    self.balance.used += 1;
                } else {
                    self.balance.reject(Reason::UnknownStation, 1);
                    let detail =
                        "the definition has no such threshold of this station, or not in such a unit".to_owned();
                    dead_letters.push(refusal(Contract::Operator, record, Some(row), Reason::UnknownStation, detail)?);
                }
            }
        }
        Ok(())
    }

    /// Whether an action is about a threshold that there is.
    fn apply(&mut self, action: &Action<'_>, tick: Timestamp, rows: &mut AlertsBuilder) -> bool {
        let mut known = false;
        for &at in self.index.places_of_station(action.station) {
            let catchment = &self.pipeline.catchments[at];
            for (threshold, standing) in catchment.thresholds.iter().zip(&mut self.standings[at]) {
                let threshold = &*self.levels.of(catchment.station(), threshold, tick);
                if action.is_about(threshold) && action.fits(threshold) {
                    known = true;
                    if let Some(change) = action.apply(standing) {
                        push(tick, change, catchment, threshold, standing, &self.gauges[at], rows);
                    }
                }
            }
        }
        for &at in self.index.places_of_station(action.station) {
            for (index, drought) in &mut self.droughts[at] {
                if action.is_about_drought(index) {
                    known = true;
                    if let Some(change) = action.apply(&mut drought.standing) {
                        let catchment = &self.pipeline.catchments[at];
                        push_drought(tick, change, catchment, drought, None, &self.gauges[at], rows);
                    }
                }
            }
        }
        known
    }

    /// Shows how many alerts there are, and what the gauges deliver.
    pub(crate) fn show(&self, metrics: &AlertMetrics) {
        for kind in [AlertKind::Flood, AlertKind::LowFlow] {
            for state in [AlertState::Watch, AlertState::Warning] {
                let of_kind = self.standings.iter().flatten().filter(|s| s.about.kind == kind && s.state == state);
                let number = i64::try_from(of_kind.count()).unwrap_or(i64::MAX);
                metrics.alerts.with_label_values(&[kind.name(), state.name()]).set(number);
            }
        }
        for state in [AlertState::Watch, AlertState::Warning] {
            let droughts = self.droughts.iter().flat_map(BTreeMap::values);
            let number = i64::try_from(droughts.filter(|drought| drought.standing.state == state).count());
            let labels = [AlertKind::Drought.name(), state.name()];
            metrics.alerts.with_label_values(&labels).set(number.unwrap_or(i64::MAX));
        }
        for data in GaugeData::ALL {
            let number = self.gauges.iter().filter(|gauge| gauge.data == Some(data)).count();
            metrics.gauges.with_label_values(&[data.name()]).set(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }
}

fn summary_of(events: &Events, row: usize) -> EventSummary {
    let time = |column: &TimestampMicrosecondArray| column.is_valid(row).then(|| Timestamp(column.value(row)));
    EventSummary {
        issue_time: Timestamp(events.issue_time().value(row)),
        until: Timestamp(events.until().value(row)),
        level_m3_s: events.level_m3_s().value(row),
        probability: events.probability().value(row),
        crossing: [events.crossing_q10(), events.crossing_q50(), events.crossing_q90()].map(time),
        peak: [events.peak_q05(), events.peak_q50(), events.peak_q95()].map(|column| column.value(row)),
        peak_time: [events.peak_time_q10(), events.peak_time_q50(), events.peak_time_q90()]
            .map(|column| Timestamp(column.value(row))),
        model: events.model().value(row).to_owned(),
    }
}

/// A row of a message, or all of it, as a dead letter.
fn refusal(
    contract: Contract,
    record: &Record,
    row: Option<usize>,
    reason: Reason,
    detail: String,
) -> Result<DeadLetterRow, AlertError> {
    let rows: RecordBatch = row.map_or_else(|| record.batch.clone(), |row| record.batch.slice(row, 1));
    let of_row = row.map_or_else(String::new, |row| format!("#{row}"));
    Ok(DeadLetterRow {
        source: PRODUCER.to_owned(),
        locator: format!("{contract}@{}{of_row}", record.position),
        reason,
        detail,
        rows: rows.num_rows() as u64,
        content_type: "application/vnd.apache.arrow.stream",
        bytes: to_ipc(&rows, &[])?,
        ingest_time: record.time,
    })
}
