//! The judge: every catchment of a partition, day after day, and what outlooks expect of the weeks to come. No I/O.

use std::{collections::BTreeMap, sync::Arc};

use nilometer_alignment::{CatchmentIndex, ForcingContent, Observation, ObservationContent};
use nilometer_definitions::Pipeline;
use nilometer_engine::{Balance, Columns, ColumnsBuilder};
use nilometer_schemas::{
    CLASS_WORDS, DroughtOutlookRow, DroughtOutlooks, DroughtOutlooksBuilder, DroughtRow, Droughts, DroughtsBuilder,
    Held, OutlookScoreRow, OutlookScores, OutlookScoresBuilder, Outlooks, Reason, States, Timestamp, Variable,
};
use nilometer_statistics::{DroughtChange, class_of, counts, score_of_percentile};

use crate::{
    DroughtError,
    days::{Amount, Gathered, day_of},
    inputs::{Positions, Tick},
    outlook::{Expected, Issuer, Scored, odds},
    record::{DAY_S, Daily, Judged, JudgedMonths, Record, Standing},
    stored::StoredDroughts,
};

/// What a tick leads to.
pub(crate) struct Outputs {
    pub(crate) droughts: Droughts,
    pub(crate) outlooks: Option<DroughtOutlooks>,
    pub(crate) scores: Option<OutlookScores>,
}

/// Every catchment of a partition, and what has come of days that are not judged yet.
pub(crate) struct Judge {
    pipeline: Arc<Pipeline>,
    index: CatchmentIndex,
    least_years: u32,
    wait_s: i64,
    pub(crate) tick: Timestamp,
    pub(crate) balance: Balance,
    next_day: Option<i64>,
    records: Vec<Record>,
    /// by day, a catchment each
    open: BTreeMap<i64, Vec<Gathered>>,
    /// by issue time, what the outlooks are of that wait for what comes
    issuers: BTreeMap<Timestamp, Issuer>,
}

impl Judge {
    /// Goes on from what was stored: catchments that it does not have begin with no years.
    pub(crate) fn new(
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
            issuers: stored.issuers,
            records,
            pipeline,
        })
    }

    /// What a snapshot keeps.
    pub(crate) fn store(&self, positions: Positions) -> Result<(StoredDroughts, Columns), DroughtError> {
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
            issuers: self.issuers.clone(),
        };
        Ok((state, columns.finish()?))
    }

    /// Takes in a tick; gives what the days say that are judged by it, what became of outlooks for them, and what a new outlook says.
    pub(crate) fn take(&mut self, tick: &Tick) -> Result<Outputs, DroughtError> {
        self.balance.received += tick.lost;
        self.balance.reject(Reason::DamagedSegment, tick.lost);
        self.take_states(tick)?;
        self.take_observations(tick);
        self.take_forcings(tick);
        let (mut rows, mut scores) = (DroughtsBuilder::new(), OutlookScoresBuilder::new());
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
                let percentiles: Vec<Option<f64>> = judged.iter().map(|judged| judged.percentile).collect();
                for scored in record.expectations.come(day, &percentiles) {
                    about.push_score(&scored, &self.issuers, &mut scores);
                }
            }
            next = Some(day + 1);
        }
        if next != self.next_day {
            let waiting = self.records.iter().filter_map(|record| record.expectations.oldest()).min();
            self.issuers.retain(|issue_time, _| waiting.is_some_and(|oldest| *issue_time >= oldest));
        }
        self.next_day = next;
        let outlooks = self.take_outlooks(tick)?;
        self.tick = tick.time;
        let scores = scores.finish()?;
        Ok(Outputs { droughts: rows.finish()?, outlooks, scores: Some(scores).filter(|rows| !rows.is_empty()) })
    }

    /// The odds of classes in the weeks ahead, by the seasons as they are known now; what is expected waits for what comes.
    fn take_outlooks(&mut self, tick: &Tick) -> Result<Option<DroughtOutlooks>, DroughtError> {
        let mut rows = DroughtOutlooksBuilder::new();
        for record in &tick.outlooks {
            let received = record.batch.num_rows() as u64;
            self.balance.received += received;
            let outlooks = match Outlooks::try_from(record.batch.clone()) {
                Ok(outlooks) => outlooks,
                // The role that publishes outlooks keeps their bytes.
                Err(error) => {
                    tracing::error!(%error, position = record.position, "outlooks that break their contract are not judged");
                    self.balance.reject(Reason::BrokenContract, received);
                    continue;
                }
            };
            let mut of_indices = BTreeMap::<(usize, usize), Vec<usize>>::new();
            for row in 0..outlooks.len() {
                let index = Daily::ALL.iter().position(|index| index.name() == outlooks.index().value(row));
                match self.index.place_of_catchment(outlooks.catchment().value(row)).zip(index) {
                    Some(place) => of_indices.entry(place).or_default().push(row),
                    None => self.balance.reject(Reason::UnknownStation, 1),
                }
            }
            for ((at, index), of_weeks) in of_indices {
                self.balance.used += of_weeks.len() as u64;
                self.take_outlook(at, index, &outlooks, &of_weeks, &mut rows);
            }
        }
        let rows = rows.finish()?;
        Ok(Some(rows).filter(|rows| !rows.is_empty()))
    }

    /// One index of one catchment; nothing where its seasons have too few years.
    fn take_outlook(
        &mut self,
        at: usize,
        index: usize,
        outlooks: &Outlooks,
        of_weeks: &[usize],
        rows: &mut DroughtOutlooksBuilder,
    ) {
        let days: Vec<i64> = of_weeks.iter().map(|row| day_of(Timestamp(outlooks.valid_time().value(*row)))).collect();
        let record = &mut self.records[at];
        let (seasons, years): (Vec<Vec<f64>>, Vec<u32>) = days.iter().map(|day| record.season(index, *day)).unzip();
        let trajectories: Vec<Vec<f64>> = of_weeks.iter().map(|row| outlooks.values(*row)).collect();
        let few = years.iter().any(|years| *years < self.least_years);
        let Some(odds) = odds(&trajectories, &seasons).filter(|_| !few) else { return };
        let percentile_now = record.standings[index].percentile;
        let class_now = percentile_now.and_then(class_of);
        for (((row, day), odds), (years, values)) in
            of_weeks.iter().zip(days).zip(odds).zip(years.iter().zip(&trajectories))
        {
            let (row, issue_time) = (*row, Timestamp(outlooks.issue_time().value(*row)));
            let week = outlooks.week().value(row);
            rows.push(DroughtOutlookRow {
                catchment: outlooks.catchment().value(row),
                station: outlooks.station().value(row),
                index: outlooks.index().value(row),
                issue_time,
                week,
                valid_time: Timestamp(outlooks.valid_time().value(row)),
                at_least: odds.at_least,
                reached: odds.reached,
                percentiles: odds.percentiles,
                percentile_now,
                class_now: class_now.map(|class| CLASS_WORDS[usize::from(class)]),
                trajectories: i32::try_from(values.len()).unwrap_or(i32::MAX),
                years: years.cast_signed(),
                scenario: outlooks.scenario().value(row),
                model: outlooks.model().value(row),
                model_version: outlooks.model_version().value(row),
                weights_sha256: outlooks.weights_sha256().value(row),
            });
            let at_least = odds.at_least;
            record.expectations.expect(Expected { day, index, week, issue_time, at_least, class_now });
            self.issuers.entry(issue_time).or_insert_with(|| Issuer {
                scenario: outlooks.scenario().value(row).to_owned(),
                model: outlooks.model().value(row).to_owned(),
                weights_sha256: outlooks.weights_sha256().value(row).to_owned(),
            });
        }
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
            class: standing.class().map(|class| CLASS_WORDS[usize::from(class)]),
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

    fn push_score(
        &self,
        Scored { expected, percentile, rps }: &Scored,
        issuers: &BTreeMap<Timestamp, Issuer>,
        rows: &mut OutlookScoresBuilder,
    ) {
        let Some(issuer) = issuers.get(&expected.issue_time) else { return };
        let word = |class: Option<u8>| class.map(|class| CLASS_WORDS[usize::from(class)]);
        rows.push(OutlookScoreRow {
            catchment: &self.pipeline.catchments[self.catchment].id,
            index: Daily::ALL[expected.index].name(),
            issue_time: expected.issue_time,
            week: expected.week,
            valid_time: self.end,
            score_time: self.tick,
            percentile: *percentile,
            class: word(class_of(*percentile)),
            class_persistence: word(expected.class_now),
            at_least: expected.at_least,
            rps: rps[0],
            rps_persistence: rps[1],
            rps_climatology: rps[2],
            scenario: &issuer.scenario,
            model: &issuer.model,
            weights_sha256: &issuer.weights_sha256,
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
