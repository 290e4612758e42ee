//! Performance: how the forecasts of each model have done so far.

use std::collections::BTreeMap;

use nilometer_engine::{ColumnsBuilder, KeyedColumns};
use nilometer_schemas::Timestamp;
use nilometer_statistics::RunningScore;
use serde::{Deserialize, Serialize};

use crate::floods::{FloodCounts, Floods};

/// Whose forecasts are scored together: those of the models in force by their name, whatever their weights; those of a shadow by its weights.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Issuer {
    pub(crate) model: String,
    /// SHA-256 of the weights of a shadow
    pub(crate) shadow: Option<String>,
}

/// Scores of one issuer so far.
pub(crate) struct Performance {
    /// none until the first forecast where a snapshot does not name it
    issuer: Option<Issuer>,
    /// `[C, L]`
    pub(crate) running: Vec<RunningScore>,
    pub(crate) floods: Floods,
}

/// Scores of every issuer so far, in the order in which they began.
pub(crate) struct Performances {
    thresholds: Vec<Vec<f64>>,
    leads: usize,
    step_s: i64,
    all: Vec<Performance>,
}

impl Performances {
    /// None yet. `thresholds` of each catchment, m³ s⁻¹; `leads` lead times, a step apart.
    pub(crate) const fn new(thresholds: Vec<Vec<f64>>, leads: usize, step_s: i64) -> Self {
        Self { thresholds, leads, step_s, all: Vec::new() }
    }

    fn begin(&self, issuer: Option<Issuer>) -> Performance {
        Performance {
            issuer,
            running: vec![RunningScore::default(); self.thresholds.len() * self.leads],
            floods: Floods::new(&self.thresholds, self.leads, self.step_s),
        }
    }

    /// That of an issuer, which begins here where it is new.
    pub(crate) fn of(&mut self, issuer: &Issuer) -> &mut Performance {
        let at = self.all.iter().position(|one| one.issuer.as_ref() == Some(issuer));
        let unnamed = || self.all.iter().position(|one| one.issuer.is_none() && issuer.shadow.is_none());
        let at = at.or_else(unnamed).unwrap_or_else(|| {
            self.all.push(self.begin(None));
            self.all.len() - 1
        });
        let found = &mut self.all[at];
        if found.issuer.is_none() {
            found.issuer = Some(issuer.clone());
        }
        found
    }

    /// Takes in the first usable value of a time; `forecast` says which models had forecasts of it.
    pub(crate) fn observe(
        &mut self,
        catchment: usize,
        time: Timestamp,
        discharge_m3_s: f64,
        forecast: impl Fn(&Issuer) -> bool,
    ) {
        for one in &mut self.all {
            let forecast = one.issuer.as_ref().is_some_and(&forecast);
            one.floods.observe(catchment, time, discharge_m3_s, forecast);
        }
    }

    /// Forgets the shadows of which no forecast `waits`; gives their models.
    pub(crate) fn forget(&mut self, waits: impl Fn(&Issuer) -> bool) -> Vec<String> {
        let ended =
            |one: &mut Performance| one.issuer.as_ref().is_some_and(|issuer| issuer.shadow.is_some() && !waits(issuer));
        self.all.extract_if(.., ended).filter_map(|one| Some(one.issuer?.model)).collect()
    }

    /// Every issuer with how it has done.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&Issuer, &Performance)> {
        self.all.iter().filter_map(|one| Some((one.issuer.as_ref()?, one)))
    }

    /// What metrics do not show yet of floods.
    pub(crate) fn take_unreported(&mut self) -> Vec<(Issuer, BTreeMap<&'static str, FloodCounts>)> {
        let take = |one: &mut Performance| Some((one.issuer.clone()?, std::mem::take(&mut one.floods.unreported)));
        self.all.iter_mut().filter_map(take).collect()
    }

    /// Adds the columns of each, the names of those behind the first with their number before them; gives the issuers in this order.
    pub(crate) fn store(&self, columns: &mut ColumnsBuilder) -> Vec<Option<Issuer>> {
        for (at, one) in self.all.iter().enumerate() {
            columns.with_prefix(&prefix(at), |columns| {
                one.floods.store(columns);
                columns.f64("running", |catchment| {
                    let own = &one.running[catchment * self.leads..][..self.leads];
                    own.iter().flat_map(RunningScore::parts).collect::<Vec<_>>()
                });
            });
        }
        self.all.iter().map(|one| one.issuer.clone()).collect()
    }

    /// Takes up what [`Performances::store`] gave of `issuers`.
    pub(crate) fn restore(&mut self, issuers: Vec<Option<Issuer>>, rows: &KeyedColumns<'_>) {
        for (at, issuer) in issuers.into_iter().enumerate() {
            let (rows, mut one) = (rows.with_prefix(&prefix(at)), self.begin(issuer));
            one.floods.restore(&rows);
            for (catchment, own) in one.running.chunks_exact_mut(self.leads).enumerate() {
                let running = rows.f64("running", catchment).unwrap_or_default().as_chunks().0;
                for (own, parts) in own.iter_mut().zip(running) {
                    *own = RunningScore::from_parts(*parts);
                }
            }
            self.all.push(one);
        }
    }
}

fn prefix(at: usize) -> String {
    if at == 0 { String::new() } else { format!("{at}.") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(model: &str, shadow: Option<&str>) -> Issuer {
        Issuer { model: model.into(), shadow: shadow.map(Into::into) }
    }

    #[test]
    fn each_issuer_has_its_own_scores_and_a_shadow_is_forgotten_with_its_last_forecast() {
        let mut all = Performances::new(vec![vec![5.0]], 1, 3_600);
        let (in_force, shadow) = (issuer("m", None), issuer("m", Some("ab")));
        for observed in [1.0, 2.0, 4.0] {
            all.of(&in_force).running[0].add(observed, 1.5).unwrap();
            all.of(&shadow).running[0].add(observed, observed).unwrap();
        }
        let nse = |all: &mut Performances, issuer: &Issuer| all.of(issuer).running[0].nse().unwrap();
        let (first, second) = (nse(&mut all, &in_force), nse(&mut all, &shadow));
        assert!(first < 0.5 && (second - 1.0).abs() < 1e-12);

        let mut columns = ColumnsBuilder::new(["g"]);
        let issuers = all.store(&mut columns);
        let columns = columns.finish().unwrap();
        let mut again = Performances::new(vec![vec![5.0]], 1, 3_600);
        again.restore(issuers, &columns.keyed(["g"]));
        assert_eq!((nse(&mut again, &in_force), nse(&mut again, &shadow)), (first, second));

        assert!(again.forget(|_| true).is_empty());
        assert_eq!(again.forget(|_| false), ["m"], "the model in force stays");
        assert!(again.each().map(|(issuer, _)| issuer).eq([&in_force]));

        // A snapshot of version 2 does not name the issuer: the first that forecasts in force goes on with it.
        let mut older = Performances::new(vec![vec![5.0]], 1, 3_600);
        older.restore(vec![None], &columns.keyed(["g"]));
        assert_eq!(older.of(&shadow).running[0].pairs(), 0);
        assert_eq!(older.of(&in_force).running[0].pairs(), 3);
    }
}
