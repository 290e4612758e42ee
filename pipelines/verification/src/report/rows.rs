//! Rows: what the archive has of thresholds, rain, droughts and their outlooks, as charts take it.

use std::collections::BTreeMap;

use anyhow::Result;
use arrow::{
    array::{Array as _, AsArray as _},
    datatypes::{Float64Type, UInt64Type},
};
use nilometer_archive::{ArchiveError, visit};
use nilometer_schemas::{CLASS_WORDS, Contract, DroughtOutlooks, Droughts, Events, Forcings, Timestamp, Variable};
use object_store::ObjectStore;

use super::draw::{Days, Odds, Threshold, Week};

/// What was said of the thresholds of a catchment, by issue time, in the order of the definition.
pub type Issues = BTreeMap<Timestamp, Vec<Threshold>>;
/// Percentile and class of each index of drought, by the end of the day.
pub type DroughtDays = BTreeMap<String, Days>;
/// What the newest outlook of each index of drought says: class of persistence, and the weeks.
pub type NewestOutlooks = BTreeMap<String, (Timestamp, Option<usize>, Vec<Week>)>;

/// Thresholds by catchment, of what was issued from `from` to `to`.
pub async fn thresholds(
    archive: &dyn ObjectStore,
    from: Timestamp,
    to: Timestamp,
) -> Result<BTreeMap<String, Issues>, ArchiveError> {
    let mut found: BTreeMap<String, Issues> = BTreeMap::new();
    visit(archive, Contract::Event, Some((from, to)), |batch| {
        let rows = Events::try_from(batch)?;
        for row in 0..rows.len() {
            let issue_time = Timestamp(rows.issue_time().value(row));
            if !(from..=to).contains(&issue_time) {
                continue;
            }
            let leads = rows.lead_times_s().value(row);
            let by_lead = rows.probability_by_lead().value(row);
            let pairs =
                leads.as_primitive::<UInt64Type>().values().iter().zip(by_lead.as_primitive::<Float64Type>().values());
            let crossing = [rows.crossing_q10(), rows.crossing_q90()];
            let of_issue =
                found.entry(rows.catchment().value(row).to_owned()).or_default().entry(issue_time).or_default();
            of_issue.push(Threshold {
                name: rows.threshold_name().value(row).to_owned(),
                level_m3_s: rows.level_m3_s().value(row),
                below: rows.below().value(row),
                probability: rows.probability().value(row),
                crossing: crossing[0].is_valid(row).then(|| crossing.map(|column| Timestamp(column.value(row)))),
                by_time: pairs.map(|(lead_s, p)| (issue_time.plus_s(lead_s.cast_signed()), *p)).collect(),
                by_issue: Vec::new(),
            });
        }
        Ok::<_, ArchiveError>(())
    })
    .await?;
    Ok(found)
}

/// What an issue said of each threshold, and what those before it had.
pub fn at_issue(issues: &mut Issues, issue_time: Timestamp) -> Vec<Threshold> {
    let before: Vec<(Timestamp, Vec<(String, f64)>)> = issues
        .range(..=issue_time)
        .map(|(at, of)| (*at, of.iter().map(|t| (t.name.clone(), t.probability)).collect()))
        .collect();
    let mut thresholds = issues.remove(&issue_time).unwrap_or_default();
    for threshold in &mut thresholds {
        let of = |(at, said): &(Timestamp, Vec<(String, f64)>)| {
            let found = said.iter().find(|(name, _)| *name == threshold.name);
            found.map(|(_, probability)| Odds { issue_time: *at, probability: *probability })
        };
        threshold.by_issue = before.iter().filter_map(of).collect();
    }
    thresholds
}

/// What fell, mm, by catchment and end of period.
pub async fn rain(
    archive: &dyn ObjectStore,
    from: Timestamp,
    to: Timestamp,
) -> Result<BTreeMap<String, BTreeMap<Timestamp, f64>>, ArchiveError> {
    let mut found: BTreeMap<String, BTreeMap<Timestamp, f64>> = BTreeMap::new();
    // What is known ahead was archived by the day of its arrival.
    let dates = Some((from.plus_s(-2 * 86_400), to));
    visit(archive, Contract::Forcing, dates, |batch| {
        let rows = Forcings::try_from(batch)?;
        for row in 0..rows.len() {
            let valid_time = Timestamp(rows.valid_time().value(row));
            let rains = rows.variable().value(row) == Variable::Precipitation.name();
            if rains
                && rows.issue_time().is_null(row)
                && rows.value().is_valid(row)
                && (from..=to).contains(&valid_time)
            {
                let of_catchment = found.entry(rows.catchment().value(row).to_owned()).or_default();
                of_catchment.insert(valid_time, rows.value().value(row));
            }
        }
        Ok::<_, ArchiveError>(())
    })
    .await?;
    Ok(found)
}

/// Droughts by catchment.
pub async fn droughts(
    archive: &dyn ObjectStore,
    from: Timestamp,
    to: Timestamp,
) -> Result<BTreeMap<String, DroughtDays>, ArchiveError> {
    let mut found: BTreeMap<String, DroughtDays> = BTreeMap::new();
    visit(archive, Contract::Drought, Some((from, to.plus_s(7 * 86_400))), |batch| {
        let rows = Droughts::try_from(batch)?;
        for row in 0..rows.len() {
            let percentile = rows.percentile().is_valid(row).then(|| rows.percentile().value(row));
            let class = rows.class().is_valid(row).then(|| rows.class().value(row)).and_then(place_of_class);
            let of_catchment = found.entry(rows.catchment().value(row).to_owned()).or_default();
            let of_index = of_catchment.entry(rows.index().value(row).to_owned()).or_default();
            of_index.insert(Timestamp(rows.valid_time().value(row)), (percentile, class));
        }
        Ok::<_, ArchiveError>(())
    })
    .await?;
    Ok(found)
}

/// The newest drought outlook of each catchment and index that was issued from `from` to `to`.
pub async fn outlooks(
    archive: &dyn ObjectStore,
    from: Timestamp,
    to: Timestamp,
) -> Result<BTreeMap<String, NewestOutlooks>, ArchiveError> {
    let mut found: BTreeMap<String, NewestOutlooks> = BTreeMap::new();
    visit(archive, Contract::DroughtOutlook, Some((from, to)), |batch| {
        let rows = DroughtOutlooks::try_from(batch)?;
        for row in 0..rows.len() {
            let issue_time = Timestamp(rows.issue_time().value(row));
            if !(from..=to).contains(&issue_time) {
                continue;
            }
            let of_catchment = found.entry(rows.catchment().value(row).to_owned()).or_default();
            let class = rows.class_now().is_valid(row).then(|| rows.class_now().value(row)).and_then(place_of_class);
            let begun = || (issue_time, class, Vec::new());
            let newest = of_catchment.entry(rows.index().value(row).to_owned()).or_insert_with(begun);
            if issue_time > newest.0 {
                *newest = begun();
            }
            if issue_time == newest.0 {
                let columns =
                    [rows.reached_d0(), rows.reached_d1(), rows.reached_d2(), rows.reached_d3(), rows.reached_d4()];
                newest.2.push(Week {
                    valid_time: Timestamp(rows.valid_time().value(row)),
                    at_least: rows.at_least(row),
                    reached: columns.map(|column| column.value(row)),
                    percentiles: [rows.percentile_q05(), rows.percentile_q50(), rows.percentile_q95()]
                        .map(|column| column.value(row)),
                });
            }
        }
        Ok::<_, ArchiveError>(())
    })
    .await?;
    Ok(found)
}

fn place_of_class(word: &str) -> Option<usize> {
    CLASS_WORDS.iter().position(|class| *class == word)
}
