//! The role itself: one tick after the other, each from the log to the log.

mod inputs;
mod readings;
mod stored;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use nilometer_alignment::CatchmentIndex;
use nilometer_definitions::Pipeline;
use nilometer_engine::{Appended, Balance, Log, Message, Outbox, Partition, Snapshots, Stop, off_reactor, turn};
use nilometer_schemas::{
    Contract, Forecasts, QUANTILE_LEVELS, Reason, ScoreRow, Scores, ScoresBuilder, Timestamp, Variable,
};
use nilometer_statistics::{Newest, crps_quantiles};
use tracing::Instrument;

pub use self::stored::needed_from;
use self::{
    inputs::{Inputs, Tick},
    readings::{Gauges, Reading},
    stored::{Stored, current, first_mark},
};
use crate::{
    ScoreError, ScoreMetrics,
    climate::Climate,
    judge::{judge, judge_thresholds},
    metric_updates::MetricUpdates,
    metrics::class,
    performance::{Issuer, Performance, Performances},
    waiting::{Row, Waiting},
};

const PRODUCER: &str = "score";
/// How long forecasts wait for an observation, or for its correction, at least.
const PATIENCE_S: i64 = 2 * 86_400;

/// What the role needs from outside.
pub struct Dependencies {
    /// where it reads and writes
    pub log: Arc<dyn Log>,
    /// where its positions are kept
    pub snapshots: Snapshots,
    /// its metrics
    pub metrics: ScoreMetrics,
    /// the partition that it scores
    pub partition: u32,
}

/// Scores one partition until its inputs are complete or the role is stopped.
///
/// # Errors
/// [`ScoreError`] when the role cannot go on. Bad data is never a reason.
pub async fn run(pipeline: Arc<Pipeline>, dependencies: Dependencies, stop: Stop) -> Result<Balance, ScoreError> {
    let mut outbox = Outbox::new(dependencies.log.clone());
    let mut role = Box::new(Role::resume(&pipeline, dependencies).await?);
    while let Some(tick) = outbox.meanwhile(role.inputs.next_tick(&stop)).await?? {
        let turn = turn(tick.time, role.inputs.places()[0].1.checked_sub(1));
        role = role.turn(tick, &mut outbox).instrument(turn).await?;
        if stop.is_now() {
            break;
        }
    }
    role.save(&mut outbox).await?;
    Ok(role.balance)
}

struct Role {
    dependencies: Dependencies,
    index: Arc<CatchmentIndex>,
    thresholds: Vec<Vec<f64>>,
    step_s: i64,
    partitions: u32,
    leads: usize,
    patience_s: i64,
    snapshot_every: u32,
    inputs: Inputs,
    /// last tick that was completed; what is read again up to it only waits
    tick: Timestamp,
    balance: Balance,
    waiting: Waiting,
    newest: Vec<Newest>,
    gauges: Gauges,
    climate: Climate,
    performances: Performances,
    /// models of shadows that have ended, which metrics do not show as such yet
    ended: Vec<String>,
    saved: Timestamp,
    ticks_since_save: u32,
    /// whether what was read before the snapshot is still being read again
    rereading: bool,
    /// whether the definition has lost catchments since the snapshot
    removed: bool,
}

/// What one tick's readings say of forecasts.
struct Judged {
    scores: Scores,
    /// of each row whether its forecast had been judged before, by a reading that has been corrected
    revisions: Vec<bool>,
}

impl Role {
    /// Everything of one tick. Computing must not hold up the reactor, so the role goes to a thread of its own and comes back.
    async fn turn(mut self: Box<Self>, tick: Tick, outbox: &mut Outbox) -> Result<Box<Self>, ScoreError> {
        let _timer = self.dependencies.metrics.role.seconds.start_timer();
        let time = tick.time;
        let (mut role, judged) = off_reactor(move || {
            let judged = self.compute(tick);
            (self, judged)
        })
        .await?;
        role.commit(time, judged?, outbox).await?;
        Ok(role)
    }

    async fn resume(pipeline: &Pipeline, dependencies: Dependencies) -> Result<Self, ScoreError> {
        let index = Arc::new(CatchmentIndex::new(pipeline)?);
        let step_s = pipeline.time.step.seconds();
        let leads = usize::try_from(pipeline.forecast.horizon.seconds() / step_s).unwrap_or(0).max(1);
        let newest = dependencies.snapshots.newest::<Stored>().await?;
        let stored = newest.map(|found| Ok::<_, ScoreError>((current(found.content)?, found.columns))).transpose()?;
        let mark = match &stored {
            Some((scores, _)) => scores.mark,
            None => first_mark(&dependencies).await?,
        };
        let thresholds: Vec<Vec<f64>> = pipeline.catchments.iter().map(|c| c.flood_flows_m3_s()).collect();
        let mut role = Self {
            inputs: Inputs::new(dependencies.log.clone(), dependencies.partition, mark),
            performances: Performances::new(thresholds.clone(), leads, step_s),
            ended: Vec::new(),
            thresholds,
            step_s,
            partitions: pipeline.log.partitions,
            leads,
            patience_s: pipeline.forecast.lateness.seconds().max(PATIENCE_S),
            snapshot_every: pipeline.log.snapshot_every,
            tick: Timestamp::MIN,
            balance: Balance::default(),
            waiting: Waiting::default(),
            newest: vec![Newest::default(); index.len()],
            gauges: Gauges::new(index.clone(), pipeline.time.align, step_s),
            climate: Climate::new(index.len()),
            saved: Timestamp::MIN,
            ticks_since_save: 0,
            rereading: stored.is_some(),
            removed: false,
            index,
            dependencies,
        };
        if let Some((scores, columns)) = stored {
            role.restore(scores, &columns)?;
        }
        for (partition, position) in role.inputs.places() {
            role.dependencies.metrics.role.at(partition, position);
        }
        Ok(role)
    }

    /// From rows to scores. No I/O.
    fn compute(&mut self, tick: Tick) -> Result<Judged, ScoreError> {
        let again = tick.time <= self.tick;
        if !again && std::mem::take(&mut self.rereading) {
            self.settle_reread();
        }
        let (mut scores, mut revisions) = (ScoresBuilder::default(), Vec::new());
        let readings = self.gauges.of_tick(&tick);
        for (valid_time, observed) in self.gauges.at_steps(&readings) {
            let mut rows = self.waiting.take(valid_time);
            let said = judgements(&mut rows, &observed);
            let first = said.iter().filter(|(_, before)| before.is_none()).count() as u64;
            if !again {
                let forecast = self.forecast_by(&rows);
                for (&catchment, reading) in &observed {
                    let by = |issuer: &Issuer| forecast.iter().any(|(other, of)| other == issuer && of[catchment]);
                    self.performances.observe(catchment, valid_time, reading.discharge_m3_s, by);
                }
                self.score(tick.time, valid_time, &observed, &said, &mut scores)?;
                revisions.extend(said.iter().map(|(_, before)| before.is_some()));
                self.balance.used += first;
            }
            self.waiting.put_back(valid_time, rows, first);
        }
        for (valid_time, of_time) in readings {
            for (catchment, reading) in of_time {
                // As float32, as a snapshot keeps it.
                self.newest[catchment].take(valid_time.0, f64::from(reading.discharge_m3_s as f32));
                if !again {
                    self.climate.add(catchment, valid_time, reading.discharge_m3_s);
                }
            }
        }
        self.take_forecasts(&tick, again);
        let given_up = tick.time.plus_s(-self.patience_s);
        let gone = self.waiting.give_up(given_up);
        self.gauges.forget(given_up);
        if !again {
            self.ended.extend(self.performances.forget(|issuer| self.waiting.has(issuer)));
            self.balance.missing += gone;
            self.balance.pending = self.waiting.pending();
            self.tick = tick.time;
        }
        Ok(Judged { scores: scores.finish()?, revisions })
    }

    /// Of each issuer of rows the catchments that it had forecast; one that is new begins here.
    fn forecast_by(&mut self, rows: &[Row]) -> Vec<(Issuer, Vec<bool>)> {
        let mut all: Vec<(Issuer, Vec<bool>)> = Vec::new();
        for row in rows {
            let issuer = &self.waiting.issued(row).issuer;
            let at = all.iter().position(|(other, _)| other == issuer).unwrap_or_else(|| {
                self.performances.of(issuer);
                all.push((issuer.clone(), vec![false; self.index.len()]));
                all.len() - 1
            });
            all[at].1[row.catchment] = true;
        }
        all
    }

    /// Judges rows of one valid time.
    fn score(
        &mut self,
        score_time: Timestamp,
        valid_time: Timestamp,
        readings: &BTreeMap<usize, Reading>,
        said: &[(Row, Option<f64>)],
        scores: &mut ScoresBuilder,
    ) -> Result<(), ScoreError> {
        let (mut climates, mut thresholds) = (HashMap::new(), Vec::new());
        for (row, before) in said {
            let (catchment, issued) = (row.catchment, self.waiting.issued(row));
            let reading = readings[&catchment];
            let (observed, mean) = (reading.discharge_m3_s, f64::from(row.mean));
            let climate = *climates.entry(catchment).or_insert_with(|| self.climate.quantiles(catchment, valid_time));
            let crps_climatology = climate.map(|q| crps_quantiles(&QUANTILE_LEVELS, &q, observed));
            let quantiles = row.quantiles.map(f64::from);
            let judgement = judge(&quantiles, observed)?;
            judge_thresholds(&quantiles, observed, &self.thresholds[catchment], &mut thresholds)?;
            let lead = lead(valid_time.seconds_since(issued.issue_time), self.step_s, self.leads);
            let Performance { running, floods, .. } = self.performances.of(&issued.issuer);
            for (at, threshold) in thresholds.iter_mut().enumerate() {
                threshold.floods = floods.outcomes(catchment, lead, at);
            }
            let (peaks, peak_timing_steps) = floods.peaks(catchment, lead);
            // Floods are counted by what was read first.
            if before.is_none() {
                floods.forecast(catchment, lead, valid_time, row.mean);
            }
            let persisted = issued.newest[catchment].value();
            let running = &mut running[catchment * self.leads + lead];
            match before {
                None => running.add(observed, mean)?,
                Some(before) => running.revise(*before, observed, mean)?,
            }
            scores.push(ScoreRow {
                catchment: self.index.catchment(catchment),
                variable: Variable::Discharge,
                issue_time: issued.issue_time,
                valid_time,
                score_time,
                observed,
                flag: reading.flag,
                mean,
                crps: judgement.crps,
                pinball: judgement.pinball,
                pit: judgement.pit,
                width_90: judgement.width_90,
                covered_90: judgement.covered_90,
                crps_persistence: persisted.map(|persisted| (persisted - observed).abs()),
                crps_climatology: crps_climatology.transpose()?,
                thresholds: &thresholds,
                peaks,
                peak_timing_steps,
                pairs: running.pairs(),
                nse: running.nse().ok(),
                kge: running.kge_2009().ok(),
                scenario: &issued.scenario,
                model: &issued.issuer.model,
                shadow: issued.issuer.shadow.is_some(),
                weights_sha256: &issued.weights_sha256,
            });
        }
        Ok(())
    }

    /// Takes in the forecasts of a tick: they wait, with what each gauge had read when they were issued.
    fn take_forecasts(&mut self, tick: &Tick, again: bool) {
        let newest: Arc<[Newest]> = Arc::from(self.newest.as_slice());
        let topics = [
            (&mut self.inputs.forecasts, &tick.forecasts),
            (&mut self.inputs.shadow_forecasts, &tick.shadow_forecasts),
        ];
        for (topic, records) in topics {
            if !again && !records.is_empty() {
                let rows: u64 = records.iter().map(|record| record.batch.num_rows() as u64).sum();
                let lost = topic.input.position().rows.saturating_sub(topic.origin + topic.received + rows);
                topic.received += lost + rows;
                self.balance.received += lost + rows;
                self.balance.reject(Reason::DamagedSegment, lost);
            }
            for record in records {
                // What does not keep its contract is reported by the role that publishes it.
                let refused = match Forecasts::try_from(record.batch.clone()) {
                    Ok(rows) => self.waiting.add(&rows, &self.index, newest.clone(), tick.mark),
                    Err(_) => record.batch.num_rows() as u64,
                };
                if !again {
                    self.balance.reject(Reason::BrokenContract, refused);
                }
            }
        }
    }

    /// Hands over what was judged, to be updates once it is in the log, and saves when it is time.
    async fn commit(&mut self, tick: Timestamp, judged: Judged, outbox: &mut Outbox) -> Result<(), ScoreError> {
        let (mut messages, mut updates) = (Vec::new(), None);
        if !judged.scores.is_empty() {
            let sequence = tick.0;
            let message = Message { time: tick, producer: PRODUCER, sequence, batch: judged.scores.batch().clone() };
            let partition = Partition::new(Contract::Score, self.dependencies.partition);
            messages.push((partition, message));
            updates = Some(self.updates(&judged));
        }
        let metrics = self.dependencies.metrics.clone();
        let inputs = self.inputs.places();
        let then = move |appended: &[Appended]| {
            // What was there already has been updates; where a commit's answer was lost it is not.
            if let (Some(updates), [Appended::At(_)]) = (updates, appended) {
                updates.apply(&metrics);
            }
            metrics.role.done(tick, inputs);
        };
        outbox.hand_over(messages, then).await?;
        self.ticks_since_save += 1;
        if self.ticks_since_save >= self.snapshot_every { self.save(outbox).await } else { Ok(()) }
    }

    /// What metrics show of a tick's scores, as running skill is now.
    fn updates(&mut self, Judged { scores, revisions }: &Judged) -> MetricUpdates {
        let mut updates = MetricUpdates::default();
        for (issuer, floods) in self.performances.take_unreported() {
            updates.add_floods(&issuer, floods);
        }
        updates.ended = std::mem::take(&mut self.ended);
        let mut of_row: Option<Issuer> = None;
        for (row, revised) in revisions.iter().enumerate() {
            let shadow = scores.shadow().value(row).then(|| scores.weights_sha256().value(row));
            let model = scores.model().value(row);
            let same = of_row.take().filter(|issuer| issuer.model == model && issuer.shadow.as_deref() == shadow);
            let issuer = of_row.insert(
                same.unwrap_or_else(|| Issuer { model: model.to_owned(), shadow: shadow.map(ToOwned::to_owned) }),
            );
            if *revised {
                updates.add_revision(issuer, scores, row);
                continue;
            }
            let lead_time_s = scores.lead_time_s().value(row);
            let catchment = self.index.place_of_catchment(scores.catchment().value(row)).unwrap_or(0);
            let at = catchment * self.leads + lead(lead_time_s, self.step_s, self.leads);
            let [_, mean_flow, ..] = self.performances.of(issuer).running[at].parts();
            updates.add(issuer, scores, row, mean_flow);
        }
        for (issuer, performance) in self.performances.each() {
            for (at, running) in performance.running.iter().enumerate() {
                let lead = class((at % self.leads + 1) as i64 * self.step_s);
                updates.add_efficiency(issuer, lead, running.nse().ok());
            }
        }
        updates
    }
}

/// The rows of which a reading says something new, each with what it was judged by before; from now on that is what they are judged by.
fn judgements(rows: &mut [Row], readings: &BTreeMap<usize, Reading>) -> Vec<(Row, Option<f64>)> {
    let say = |row: &mut Row| {
        let observed = readings.get(&row.catchment)?.discharge_m3_s;
        let before = row.judged_by.replace(observed);
        (before != Some(observed)).then_some((*row, before))
    };
    rows.iter_mut().filter_map(say).collect()
}

/// Which of a catchment's lead times it is; a forecast between two steps is of the later one.
fn lead(lead_time_s: i64, step_s: i64, leads: usize) -> usize {
    let step = usize::try_from((lead_time_s + step_s - 1) / step_s).unwrap_or(0);
    step.clamp(1, leads) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forecast_between_two_steps_is_of_the_later_one() {
        assert_eq!([3_600, 1, 3_601, 90_000].map(|lead_time_s| lead(lead_time_s, 3_600, 6)), [0, 0, 1, 5]);
    }
}
