//! The role itself: tick after tick from the log to the log, with a snapshot now and then.

use std::{collections::BTreeMap, sync::Arc};

use nilometer_alignment::{CatchmentIndex, ForcingContent, Observation, ObservationContent};
use nilometer_definitions::Pipeline;
use nilometer_engine::{
    Balance, Columns, ColumnsBuilder, Log, Message, Outbox, Partition, RoleMetrics, Snapshots, Stop, off_reactor,
};
use nilometer_schemas::{Contract, DroughtRow, Droughts, DroughtsBuilder, Reason, States, Timestamp, Variable};
use nilometer_statistics::{DroughtChange, counts, score_of_percentile};

use crate::{
    DroughtError, PRODUCER,
    days::{Amount, Gathered, Held, day_of},
    inputs::{Inputs, Positions, Tick},
    record::{DAY_S, Daily, Judged, JudgedMonths, Record, Standing},
    stored::{Stored, StoredDroughts, first_positions},
};

/// Words of the classes.
const CLASSES: [&str; 5] = ["D0", "D1", "D2", "D3", "D4"];

/// What the role needs from outside.
pub struct Dependencies {
    /// where it reads and writes
    pub log: Arc<dyn Log>,
    /// where its state is kept
    pub snapshots: Snapshots,
    /// its metrics
    pub metrics: RoleMetrics,
    /// the partition that it judges
    pub partition: u32,
}

/// Judges one partition until its inputs are complete or the role is stopped.
///
/// # Errors
/// [`DroughtError`] when the role cannot go on. Bad data is never a reason.
pub async fn run(pipeline: Arc<Pipeline>, dependencies: Dependencies, stop: Stop) -> Result<Balance, DroughtError> {
    let mut outbox = Outbox::new(dependencies.log.clone());
    let mut role = Box::new(Role::resume(pipeline, dependencies).await?);
    while let Some(tick) = outbox.meanwhile(role.inputs.next_tick(&stop)).await?? {
        let timer = role.dependencies.metrics.seconds.start_timer();
        let time = tick.time;
        // Computing must not hold up the reactor, so the role goes to a thread of its own and comes back.
        let (back, rows) = off_reactor(move || {
            let rows = role.judge.take(&tick);
            (role, rows)
        })
        .await?;
        role = back;
        role.commit(time, rows?, &mut outbox).await?;
        timer.observe_duration();
        if stop.is_now() {
            break;
        }
    }
    role.save(&mut outbox).await?;
    Ok(role.judge.balance)
}

struct Role {
    dependencies: Dependencies,
    inputs: Inputs,
    judge: Judge,
    snapshot_every: u32,
    saved: Timestamp,
    ticks_since_save: u32,
}

impl Role {
    async fn resume(pipeline: Arc<Pipeline>, dependencies: Dependencies) -> Result<Self, DroughtError> {
        let (mut stored, mut columns) = (None, None);
        if let Some(found) = dependencies.snapshots.newest::<Stored>().await? {
            stored = Some(found.content.into_current(PRODUCER)?);
            columns = Some(found.columns);
        }
        let positions = match &stored {
            Some(stored) => stored.positions,
            None => first_positions(&*dependencies.log, dependencies.partition).await?,
        };
        let snapshot_every = pipeline.log.snapshot_every;
        let judge = Judge::new(pipeline, stored.unwrap_or_default(), columns.as_ref())?;
        let role = Self {
            inputs: Inputs::new(dependencies.log.clone(), dependencies.partition, positions),
            snapshot_every,
            saved: judge.tick,
            ticks_since_save: 0,
            judge,
            dependencies,
        };
        if role.saved > Timestamp::default() {
            tracing::info!(tick = %role.saved, "droughts resume");
            role.dependencies.metrics.reached(role.saved);
        }
        for (partition, position) in role.inputs.places() {
            role.dependencies.metrics.at(partition, position);
        }
        Ok(role)
    }

    async fn commit(&mut self, time: Timestamp, rows: Droughts, outbox: &mut Outbox) -> Result<(), DroughtError> {
        // Also where there are none: the role alert knows by it that nothing earlier is still to come.
        let message = Message { time, producer: PRODUCER, sequence: time.0, batch: rows.into_batch() };
        let partition = Partition::new(Contract::Drought, self.dependencies.partition);
        let (metrics, places) = (self.dependencies.metrics.clone(), self.inputs.places());
        outbox.hand_over([(partition, message)], move |_| metrics.done(time, places)).await?;
        self.ticks_since_save += 1;
        if self.ticks_since_save >= self.snapshot_every { self.save(outbox).await } else { Ok(()) }
    }

    async fn save(&mut self, outbox: &mut Outbox) -> Result<(), DroughtError> {
        self.ticks_since_save = 0;
        let tick = self.judge.tick;
        if self.saved == tick {
            return Ok(());
        }
        self.judge.balance.check(&self.dependencies.metrics)?;
        let (state, columns) = self.judge.store(self.inputs.positions())?;
        outbox.settle().await?;
        self.dependencies.snapshots.save(tick.0, &Stored::Current(&state), &columns).await?;
        self.dependencies.metrics.snapshots.inc();
        self.saved = tick;
        Ok(())
    }
}

/// Every catchment of a partition, and what has come of days that are not judged yet. No I/O.
struct Judge {
    pipeline: Arc<Pipeline>,
    index: CatchmentIndex,
    least_years: u32,
    wait_s: i64,
    tick: Timestamp,
    balance: Balance,
    next_day: Option<i64>,
    records: Vec<Record>,
    /// by day, a catchment each
    open: BTreeMap<i64, Vec<Gathered>>,
}

impl Judge {
    /// Goes on from what was stored: catchments that it does not have begin with no years.
    fn new(
        pipeline: Arc<Pipeline>,
        mut stored: StoredDroughts,
        columns: Option<&Columns>,
    ) -> Result<Self, DroughtError> {
        let options = pipeline.drought.unwrap_or_default();
        let mut records = vec![Record::default(); pipeline.catchments.len()];
        let ids = || pipeline.catchments.iter().map(|catchment| catchment.id.as_str());
        if let Some(columns) = columns {
            let rows = columns.keyed(ids());
            records.iter_mut().enumerate().for_each(|(at, record)| record.restore(&rows, at));
        }
        for (record, id) in records.iter_mut().zip(ids()) {
            let of_catchment = stored.standings.remove(id).unwrap_or_default();
            record.standings.iter_mut().zip(of_catchment).for_each(|(own, stored)| *own = stored);
        }
        let open = stored
            .open
            .into_iter()
            .map(|(day, mut of_day)| (day, ids().map(|id| of_day.remove(id).unwrap_or_default()).collect()));
        Ok(Self {
            open: open.collect(),
            index: CatchmentIndex::new(&pipeline)?,
            least_years: options.years,
            wait_s: options.wait.map_or_else(|| pipeline.alerts.ages_s(&pipeline)[0], |wait| wait.seconds()),
            tick: stored.tick,
            balance: stored.balance,
            next_day: stored.next_day,
            records,
            pipeline,
        })
    }

    /// What a snapshot keeps.
    fn store(&self, positions: Positions) -> Result<(StoredDroughts, Columns), DroughtError> {
        let ids = || self.pipeline.catchments.iter().map(|catchment| catchment.id.clone());
        let mut columns = ColumnsBuilder::new(self.pipeline.catchments.iter().map(|c| c.id.as_str()));
        Record::store(&self.records, &mut columns);
        let standings = ids().zip(self.records.iter().map(|record| record.standings.to_vec())).collect();
        let open = self.open.iter().map(|(day, of_day)| (*day, ids().zip(of_day.iter().cloned()).collect())).collect();
        let state = StoredDroughts {
            tick: self.tick,
            positions,
            balance: self.balance.clone(),
            next_day: self.next_day,
            standings,
            open,
        };
        Ok((state, columns.finish()?))
    }

    /// Takes in a tick; gives what the days say that are judged by it.
    fn take(&mut self, tick: &Tick) -> Result<Droughts, DroughtError> {
        self.balance.received += tick.lost;
        self.balance.reject(Reason::DamagedSegment, tick.lost);
        self.take_states(tick)?;
        self.take_observations(tick);
        self.take_forcings(tick);
        let mut rows = DroughtsBuilder::new();
        // The first day of which anything is known, and from then on every one.
        let mut next = self.next_day.or_else(|| self.open.keys().next().copied());
        while let Some(day) = next.filter(|day| end_of(*day).plus_s(self.wait_s) <= tick.time) {
            let of_day = self.open.remove(&day);
            for (at, record) in self.records.iter_mut().enumerate() {
                let had = of_day.as_ref().map_or_else(Gathered::default, |of_day| of_day[at].clone()).day();
                let (judged, months) = record.take(day, had, self.least_years);
                let about = About { pipeline: &self.pipeline, catchment: at, end: end_of(day), tick: tick.time };
                judged
                    .iter()
                    .zip(&record.standings)
                    .for_each(|(judged, standing)| about.push(judged, standing, &mut rows));
                months.iter().for_each(|judged| about.push_months(judged, &mut rows));
            }
            next = Some(day + 1);
        }
        self.next_day = next;
        self.tick = tick.time;
        Ok(rows.finish()?)
    }

    /// What is gathered of a catchment's day; none of one that has been judged.
    fn of_day(&mut self, valid_time: Timestamp, catchment: usize) -> Option<&mut Gathered> {
        let day = day_of(valid_time);
        if self.next_day.is_some_and(|next| day < next) {
            return None;
        }
        let catchments = self.records.len();
        self.open.entry(day).or_insert_with(|| vec![Gathered::default(); catchments]).get_mut(catchment)
    }

    fn take_states(&mut self, tick: &Tick) -> Result<(), DroughtError> {
        for record in &tick.states {
            let received = record.batch.num_rows() as u64;
            self.balance.received += received;
            let states = match States::try_from(record.batch.clone()) {
                Ok(states) => states,
                // The role that publishes states keeps their bytes.
                Err(error) => {
                    tracing::error!(%error, position = record.position, "states that break their contract are not judged");
                    self.balance.reject(Reason::BrokenContract, received);
                    continue;
                }
            };
            for row in 0..states.len() {
                let Some(at) = self.index.place_of_catchment(states.catchment().value(row)) else {
                    self.balance.reject(Reason::UnknownStation, 1);
                    continue;
                };
                self.balance.used += 1;
                let (valid_time, mm) = (Timestamp(states.valid_time().value(row)), states.q50().value(row));
                if let Some(held) = Held::of_store(states.store().value(row))
                    && let Some(gathered) = self.of_day(valid_time, at)
                {
                    gathered.hold(states.model().value(row), valid_time, held, mm);
                }
            }
        }
        Ok(())
    }

    fn take_observations(&mut self, tick: &Tick) {
        for record in &tick.observations {
            // What does not keep its contract the forecast role reports.
            let Ok(rows) = self.index.observations(&record.batch) else { continue };
            for content in rows {
                let ObservationContent::Value(Observation { catchment, variable, valid_time, value, flag, .. }) =
                    content
                else {
                    continue;
                };
                if variable != Variable::Discharge || !counts(flag) || valid_time > tick.time {
                    continue;
                }
                // A station may be that of several catchments.
                for place in self.index.places_of_station(self.index.station(catchment)).to_vec() {
                    if let Some(gathered) = self.of_day(valid_time, place) {
                        gathered.add(Amount::Flow, valid_time, value);
                    }
                }
            }
        }
    }

    fn take_forcings(&mut self, tick: &Tick) {
        for record in &tick.forcings {
            let Ok(rows) = self.index.forcings(&record.batch) else { continue };
            for content in rows {
                let ForcingContent::Observed(row) = content else { continue };
                let amount = match row.variable {
                    Variable::Precipitation => Amount::Rain(row.period_s),
                    Variable::PotentialEvapotranspiration => Amount::Evapotranspiration(row.period_s),
                    _ => continue,
                };
                // Also what is known ahead of its day: that is judged when it has ended.
                if let Some(gathered) = self.of_day(row.valid_time, row.catchment) {
                    gathered.add(amount, row.valid_time, row.value);
                }
            }
        }
    }
}

fn end_of(day: i64) -> Timestamp {
    Timestamp(0).plus_s((day + 1) * DAY_S)
}

/// Whose rows, and of when.
struct About<'a> {
    pipeline: &'a Pipeline,
    catchment: usize,
    end: Timestamp,
    tick: Timestamp,
}

impl About<'_> {
    fn push(&self, judged: &Judged, standing: &Standing, rows: &mut DroughtsBuilder) {
        let streamflow = judged.index == Daily::Streamflow && standing.class().is_some();
        rows.push(DroughtRow {
            index: judged.index.name(),
            value: Some(judged.value).filter(|value| !value.is_nan()),
            unit: judged.index.unit(),
            percentile: judged.percentile,
            score: judged.percentile.map(score_of_percentile),
            years: judged.years,
            class: standing.class().map(|class| CLASSES[usize::from(class)]),
            change: judged.change.name(),
            since: standing.since.filter(|_| standing.class().is_some()),
            duration_days: standing.duration_days,
            deficit_m3: streamflow.then_some(standing.deficit_m3),
            lowest_flow_m3_s: standing.lowest_m3_s.filter(|_| streamflow),
            ..self.row()
        });
    }

    fn push_months(&self, judged: &JudgedMonths, rows: &mut DroughtsBuilder) {
        rows.push(DroughtRow {
            index: &judged.index,
            value: Some(judged.value),
            unit: judged.unit,
            percentile: Some(judged.percentile),
            score: Some(judged.score),
            years: judged.years,
            ..self.row()
        });
    }

    fn row(&self) -> DroughtRow<'_> {
        let catchment = &self.pipeline.catchments[self.catchment];
        DroughtRow {
            catchment: &catchment.id,
            station: catchment.station(),
            index: "",
            valid_time: self.end,
            analysis_time: self.tick,
            value: None,
            unit: "",
            percentile: None,
            score: None,
            years: 0,
            class: None,
            change: DroughtChange::None.name(),
            since: None,
            duration_days: 0,
            deficit_m3: None,
            lowest_flow_m3_s: None,
        }
    }
}
