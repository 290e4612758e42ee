//! How well trajectories go together over lead times: beside the same values shuffled at each lead time, as if these knew nothing of one another.

use std::{collections::BTreeMap, fmt::Write as _};

use anyhow::Result;
use arrow::{
    array::{Array as _, AsArray as _},
    datatypes::Float32Type,
};
use nilometer_archive::{ArchiveError, visit};
use nilometer_schemas::{Contract, Forecasts, Timestamp};
use nilometer_statistics::{energy_score, mean, seeded_uniform, variogram_score};

use super::{Aligned, Request};

/// A forecast of a catchment whose lead times are being read: `[L][M]`, and what came.
#[derive(Default)]
struct Forecast {
    key: Option<(String, i64)>,
    trajectories: Vec<Vec<f64>>,
    observed: Vec<f64>,
    whole: bool,
}

/// Scores of one catchment's forecasts: energy and variogram of trajectories, and of shuffled ones.
#[derive(Default)]
struct Scores([Vec<f64>; 4]);

/// Lines of the table; none where rows carry no trajectories.
pub(super) async fn trajectories(request: &Request, observed: &Aligned<'_>) -> Result<Option<String>> {
    let (mut scores, mut forecast) = (BTreeMap::<String, Scores>::new(), Forecast::default());
    visit(&*request.archive, Contract::Forecast, None, |batch| {
        let rows = Forecasts::try_from(batch)?;
        let members = rows.member_values();
        for row in (0..rows.len()).filter(|row| members.is_valid(*row)) {
            let catchment = rows.catchment().value(row);
            let (issue_time, valid_time) = (rows.issue_time().value(row), Timestamp(rows.valid_time().value(row)));
            if valid_time <= request.from || valid_time > request.to || request.leave_out.contains(catchment) {
                continue;
            }
            if !forecast.key.as_ref().is_some_and(|(other, issued)| other == catchment && *issued == issue_time) {
                forecast.judge(&mut scores);
                forecast =
                    Forecast { key: Some((catchment.to_owned(), issue_time)), whole: true, ..Forecast::default() };
            }
            let of_members = members.value(row);
            let of_members = of_members.as_primitive::<Float32Type>().values();
            forecast.trajectories.push(of_members.iter().map(|value| f64::from(*value)).collect());
            match observed.get(catchment).and_then(|series| series.get(&valid_time)) {
                Some(value) => forecast.observed.push(*value),
                None => forecast.whole = false,
            }
        }
        Ok::<_, ArchiveError>(())
    })
    .await?;
    forecast.judge(&mut scores);
    if scores.is_empty() {
        return Ok(None);
    }
    let ratio = |of: usize, beside: usize| {
        let of_catchment = |scores: &Scores| Some(mean(&scores.0[of]).ok()? / mean(&scores.0[beside]).ok()?);
        let mut ratios: Vec<f64> = scores.values().filter_map(of_catchment).filter(|ratio| ratio.is_finite()).collect();
        super::median(&mut ratios).unwrap_or(f64::NAN)
    };
    let forecasts: usize = scores.values().map(|scores| scores.0[0].len()).sum();
    let mut text = format!("\ntrajectories of {forecasts} forecasts, median over catchments\n");
    writeln!(text, "{:<58}{:>8.3}", "energy score over that of values shuffled at each lead", ratio(0, 2))?;
    writeln!(text, "{:<58}{:>8.3}", "variogram score over the same", ratio(1, 3))?;
    Ok(Some(text))
}

impl Forecast {
    /// Adds the scores of a forecast all of whose lead times were read, with more than one.
    fn judge(&mut self, scores: &mut BTreeMap<String, Scores>) {
        let Some((catchment, issue_time)) = self.key.take() else { return };
        if !self.whole || self.observed.len() < 2 {
            return;
        }
        let mut shuffled = self.trajectories.clone();
        for (lead, members) in shuffled.iter_mut().enumerate() {
            // Fisher and Yates, by the issue time.
            for last in (1..members.len()).rev() {
                let uniform = seeded_uniform(issue_time.cast_unsigned(), (lead * members.len() + last) as u64);
                members.swap(last, (uniform * (last + 1) as f64) as usize);
            }
        }
        let all = [
            energy_score(&self.trajectories, &self.observed),
            variogram_score(&self.trajectories, &self.observed),
            energy_score(&shuffled, &self.observed),
            variogram_score(&shuffled, &self.observed),
        ];
        let of_catchment = scores.entry(catchment).or_default();
        if all.iter().all(Result::is_ok) {
            of_catchment.0.iter_mut().zip(all).for_each(|(scores, score)| scores.extend(score));
        }
    }
}
