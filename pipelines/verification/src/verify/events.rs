//! How good the odds of thresholds were: of the horizon, beside the largest of its lead times, persistence and how often it came.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use anyhow::{Context as _, Result};
use arrow::{array::AsArray as _, datatypes::Float64Type};
use nilometer_archive::{ArchiveError, Readings, visit};
use nilometer_schemas::{Contract, Events, Timestamp};
use nilometer_statistics::{brier_parts, brier_score, mean};
use object_store::ObjectStore;

/// Whether a forecast warns.
type Warns = fn(&Judged) -> bool;

/// Rules by which a warning is given: what each is called in the table and in its file, and whether a forecast warns. The third is that of GloFAS, a share of
/// the ensemble that is beyond the threshold at one lead time, here of the calibrated distribution.
const RULES: [(&str, &str, Warns); 4] = [
    ("P ≥ 0.3", "0_3", |judged| judged.probability >= 0.3),
    ("P ≥ 0.6", "0_6", |judged| judged.probability >= 0.6),
    ("largest ≥ 0.3", "largest_0_3", |judged| judged.largest_marginal >= 0.3),
    ("persistence", "persistence", |judged| judged.persisted > 0.5),
];
/// Share of the lead times whose readings must be there, where none of them reaches the threshold.
const LEAST_READ: f64 = 0.8;
/// Bins of the reliability curve.
const BINS: usize = 10;
/// Fewer forecasts of what came say little.
const FEWEST_EVENTS: usize = 20;

/// What one forecast said of a threshold, and what came.
struct Judged {
    issue_time: Timestamp,
    until: Timestamp,
    probability: f64,
    largest_marginal: f64,
    persisted: f64,
    occurred: bool,
}

/// Of one station and threshold, in the order of their issue times.
#[derive(Default)]
struct Threshold {
    judged: Vec<Judged>,
    /// when the river was beyond it first, after a whole horizon below
    onsets: Vec<Timestamp>,
}

/// The table of every threshold with enough events, and the reliability of all; `thresholds.csv` has a row each. None where the archive has no events.
pub(super) async fn thresholds(
    archive: &dyn ObjectStore,
    observed: &BTreeMap<String, Readings>,
    (from, to): (Timestamp, Timestamp),
    leave_out: &BTreeSet<String>,
    out: &Path,
) -> Result<Option<String>> {
    let mut all: BTreeMap<(String, String), Threshold> = BTreeMap::new();
    visit(archive, Contract::Event, None, |batch| {
        let events = Events::try_from(batch)?;
        for row in 0..events.len() {
            let (station, until) = (events.station().value(row), Timestamp(events.until().value(row)));
            let Some(readings) = observed.get(station) else { continue };
            let issue_time = Timestamp(events.issue_time().value(row));
            if issue_time < from || until > to || leave_out.contains(station) {
                continue;
            }
            if let Some(judged) = judge(&events, row, readings, (issue_time, until)) {
                let key = (station.to_owned(), events.threshold().value(row).to_owned());
                all.entry(key).or_default().judged.push(judged);
            }
        }
        Ok::<_, ArchiveError>(())
    })
    .await?;
    if all.is_empty() {
        return Ok(None);
    }
    for threshold in all.values_mut() {
        threshold.judged.sort_by_key(|judged| judged.issue_time);
        threshold.judged.dedup_by_key(|judged| judged.issue_time);
        threshold.onsets = onsets(&threshold.judged);
    }
    let (mut text, mut csv) = (header(), csv_header());
    for ((station, id), threshold) in &all {
        let scores = Scores::of(threshold)?;
        scores.write_csv(&mut csv, station, id)?;
        if scores.events >= FEWEST_EVENTS {
            scores.write_row(&mut text, station, id)?;
        }
    }
    let file = out.join("thresholds.csv");
    fs::write(&file, csv).with_context(|| format!("{} cannot be written", file.display()))?;
    reliability(&mut text, all.values())?;
    Ok(Some(text))
}

/// A forecast of a threshold, with what came; none where too little of the horizon was read.
fn judge(events: &Events, row: usize, readings: &Readings, window: (Timestamp, Timestamp)) -> Option<Judged> {
    let (issue_time, until) = window;
    let (level_m3_s, below) = (events.level_m3_s().value(row), events.below().value(row));
    let reaches = |m3_s: f64| if below { m3_s <= level_m3_s } else { m3_s >= level_m3_s };
    let mut read = 0;
    let mut occurred = false;
    for (_, m3_s) in readings.discharge_m3_s.range(issue_time.plus_s(1)..=until) {
        read += 1;
        occurred |= reaches(*m3_s);
    }
    let by_lead = events.probability_by_lead().value(row);
    let by_lead = by_lead.as_primitive::<Float64Type>();
    if !occurred && (read as f64) < LEAST_READ * by_lead.len() as f64 {
        return None;
    }
    let persisted = readings.persisted_m3_s(issue_time).map_or(0.0, |m3_s| f64::from(u8::from(reaches(m3_s))));
    Some(Judged {
        issue_time,
        until,
        probability: events.probability().value(row),
        largest_marginal: by_lead.values().iter().copied().fold(0.0, f64::max),
        persisted,
        occurred,
    })
}

/// The ends of horizons at which the threshold was reached for the first time after a forecast whose whole horizon did not.
fn onsets(judged: &[Judged]) -> Vec<Timestamp> {
    let first = |pair: &[Judged]| (!pair[0].occurred && pair[1].occurred).then_some(pair[1].until);
    judged.windows(2).filter_map(first).collect()
}

struct Scores {
    forecasts: usize,
    events: usize,
    onsets: usize,
    /// of the horizon's probability, of the largest lead time's, of persistence, of the frequency
    brier: [f64; 4],
    /// of the horizon's probability and of the largest lead time's
    reliability: [f64; 2],
    /// by each of [`RULES`]: share of onsets warned of, share of warnings without one, mean hours before
    warned: [Warned; RULES.len()],
}

#[derive(Clone, Copy)]
struct Warned {
    hit_rate: Option<f64>,
    false_alarm_ratio: Option<f64>,
    lead_h: Option<f64>,
}

impl Scores {
    fn of(threshold: &Threshold) -> Result<Self> {
        let of = |value: fn(&Judged) -> f64| threshold.judged.iter().map(value).collect::<Vec<f64>>();
        let occurred: Vec<bool> = threshold.judged.iter().map(|judged| judged.occurred).collect();
        let events = occurred.iter().filter(|occurred| **occurred).count();
        let frequency = events as f64 / occurred.len() as f64;
        let (horizon, marginal) = (of(|j| j.probability), of(|j| j.largest_marginal));
        let score = |probabilities: &[f64]| brier_score(probabilities, &occurred);
        // Bins of a twentieth: probabilities of trajectories and quantiles hardly ever repeat.
        let binned =
            |probabilities: &[f64]| probabilities.iter().map(|p| (20.0 * p).round() / 20.0).collect::<Vec<_>>();
        let reliability =
            |probabilities: &[f64]| Ok::<_, anyhow::Error>(brier_parts(&binned(probabilities), &occurred)?.reliability);
        Ok(Self {
            forecasts: occurred.len(),
            events,
            onsets: threshold.onsets.len(),
            brier: [score(&horizon)?, score(&marginal)?, score(&of(|j| j.persisted))?, frequency * (1.0 - frequency)],
            reliability: [reliability(&horizon)?, reliability(&marginal)?],
            warned: RULES.map(|(.., warns)| warned(threshold, warns)),
        })
    }

    fn write_row(&self, text: &mut String, station: &str, id: &str) -> std::fmt::Result {
        let [horizon, marginal, persisted, frequency] = self.brier;
        write!(
            text,
            "{station:<12}{id:<14}{:>9}{:>8}{:>8}{horizon:>9.4}{marginal:>9.4}{persisted:>9.4}{frequency:>9.4}{:>9.4}{:>9.4}",
            self.forecasts, self.events, self.onsets, self.reliability[0], self.reliability[1]
        )?;
        for warned in self.warned {
            let percent =
                |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{:.0}", 100.0 * share));
            let lead = warned.lead_h.map_or_else(|| "-".to_owned(), |hours| format!("{hours:.0}"));
            write!(text, "{:>7}{:>6}{lead:>6}", percent(warned.hit_rate), percent(warned.false_alarm_ratio))?;
        }
        text.push('\n');
        Ok(())
    }

    fn write_csv(&self, csv: &mut String, station: &str, id: &str) -> std::fmt::Result {
        write!(csv, "{station},{id},{},{},{}", self.forecasts, self.events, self.onsets)?;
        self.brier.iter().chain(&self.reliability).try_for_each(|value| write!(csv, ",{value}"))?;
        for Warned { hit_rate, false_alarm_ratio, lead_h } in self.warned {
            for value in [hit_rate, false_alarm_ratio, lead_h] {
                csv.push(',');
                value.into_iter().try_for_each(|value| write!(csv, "{value}"))?;
            }
        }
        csv.push('\n');
        Ok(())
    }
}

/// Warnings are runs of forecasts that warn. One is right where the threshold is reached in the horizon of any of its forecasts; an onset is
/// warned of where a forecast of a run looks as far.
fn warned(threshold: &Threshold, warns: Warns) -> Warned {
    let runs: Vec<&[Judged]> =
        threshold.judged.chunk_by(|a, b| warns(a) == warns(b)).filter(|run| warns(&run[0])).collect();
    let wrong = runs.iter().filter(|run| run.iter().all(|judged| !judged.occurred)).count();
    // From the first forecast of a warning whose horizon the onset lies in: one that was given for another flood before is no foresight.
    let lead_h = |onset: &Timestamp| {
        let looks_as_far = |judged: &&Judged| judged.issue_time < *onset && judged.until >= *onset;
        let first = runs.iter().find_map(|run| run.iter().find(looks_as_far))?;
        Some(onset.seconds_since(first.issue_time) as f64 / 3_600.0)
    };
    let leads: Vec<f64> = threshold.onsets.iter().filter_map(lead_h).collect();
    let share = |part: usize, of: usize| (of > 0).then(|| part as f64 / of as f64);
    Warned {
        hit_rate: share(leads.len(), threshold.onsets.len()),
        false_alarm_ratio: share(wrong, runs.len()),
        lead_h: mean(&leads).ok(),
    }
}

fn header() -> String {
    let mut text = format!(
        "\n{:<12}{:<14}{:>9}{:>8}{:>8}{:>36}{:>18}",
        "thresholds", "", "forecasts", "events", "onsets", "Brier score", "reliability"
    );
    for (name, ..) in RULES {
        text.push_str(&format!("{name:>19}"));
    }
    let names = ["horizon", "largest", "persist.", "frequency", "horizon", "largest"];
    text.push_str(&format!("\n{:<51}", ""));
    names.iter().for_each(|name| text.push_str(&format!("{name:>9}")));
    RULES.iter().for_each(|_| text.push_str(&format!("{:>7}{:>6}{:>6}", "hit %", "FAR %", "h")));
    text.push('\n');
    text
}

fn csv_header() -> String {
    let mut csv =
        "station,threshold,forecasts,events,onsets,brier,brier_largest_marginal,brier_persistence,brier_frequency,\
                   reliability,reliability_largest_marginal"
            .to_owned();
    for (_, suffix, _) in RULES {
        csv.push_str(&format!(",hit_rate_{suffix},false_alarm_ratio_{suffix},lead_h_{suffix}"));
    }
    csv.push('\n');
    csv
}

/// How often what was given so many percent came, of all thresholds together.
fn reliability<'a>(text: &mut String, thresholds: impl Iterator<Item = &'a Threshold>) -> std::fmt::Result {
    let mut bins = [[(0_usize, 0.0, 0.0); BINS]; 2];
    for judged in thresholds.flat_map(|threshold| &threshold.judged) {
        for (bins, probability) in bins.iter_mut().zip([judged.probability, judged.largest_marginal]) {
            let bin = &mut bins[((probability * BINS as f64) as usize).min(BINS - 1)];
            *bin = (bin.0 + 1, bin.1 + probability, bin.2 + f64::from(u8::from(judged.occurred)));
        }
    }
    for (name, bins) in ["horizon", "largest"].iter().zip(bins) {
        write!(text, "{:<26}", format!("given, by the {name}, %"))?;
        for (count, sum, _) in bins {
            write!(
                text,
                "{:>7}",
                if count == 0 { "-".to_owned() } else { format!("{:.0}", 100.0 * sum / count as f64) }
            )?;
        }
        write!(text, "\n{:<26}", "came, %")?;
        for (count, _, came) in bins {
            write!(
                text,
                "{:>7}",
                if count == 0 { "-".to_owned() } else { format!("{:.0}", 100.0 * came / count as f64) }
            )?;
        }
        write!(text, "\n{:<26}", "forecasts")?;
        bins.iter().try_for_each(|(count, ..)| write!(text, "{count:>7}"))?;
        text.push('\n');
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use super::*;

    fn judged(hour: i64, probability: f64, occurred: bool) -> Judged {
        let issue_time = Timestamp(0).plus_s(hour * 3_600);
        let until = issue_time.plus_s(6 * 3_600);
        Judged { issue_time, until, probability, largest_marginal: 0.5 * probability, persisted: 0.0, occurred }
    }

    #[test]
    fn a_flood_that_was_warned_of_and_a_false_alarm_are_counted_once_each() {
        // Warned of at 3 h, reached at 8 h (first in the horizon of the forecast of 2 h); again at 20 h without one; missed at 36 h.
        let probability = |hour: i64| if (3..9).contains(&hour) || (20..23).contains(&hour) { 0.7 } else { 0.1 };
        let occurred = |hour: i64| (2..9).contains(&hour) || (30..36).contains(&hour);
        let mut threshold =
            Threshold { judged: (0..40).map(|h| judged(h, probability(h), occurred(h))).collect(), onsets: Vec::new() };
        threshold.onsets = onsets(&threshold.judged);
        let hours: Vec<i64> = threshold.onsets.iter().map(|onset| onset.seconds_since(Timestamp(0)) / 3_600).collect();
        assert_eq!(hours, [8, 36]);
        let scores = Scores::of(&threshold).unwrap();
        assert_eq!((scores.forecasts, scores.events, scores.onsets), (40, 13, 2));
        for warned in &scores.warned[..3] {
            assert_eq!((warned.hit_rate, warned.false_alarm_ratio, warned.lead_h), (Some(0.5), Some(0.5), Some(5.0)));
        }
        assert_eq!(
            (scores.warned[3].hit_rate, scores.warned[3].false_alarm_ratio),
            (Some(0.0), None),
            "it never warns"
        );
        assert!(scores.brier[0] < scores.brier[3] && scores.brier[2] > scores.brier[3], "{:?}", scores.brier);
        let (mut row, mut csv) = (String::new(), csv_header());
        scores.write_row(&mut row, "V3524010", "minor").unwrap();
        scores.write_csv(&mut csv, "V3524010", "minor").unwrap();
        let cells: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
        assert_eq!(cells, [23, 23]);
        assert!(row.contains(" 50 "), "{row}");
    }

    #[test]
    fn a_curve_holds_what_was_given_against_what_came() {
        let threshold =
            Threshold { judged: (0..40).map(|h| judged(h, 0.75, h % 4 != 0)).collect(), onsets: Vec::new() };
        let mut text = String::new();
        reliability(&mut text, std::iter::once(&threshold)).unwrap();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(lines[0].contains(&"75") && lines[1].contains(&"75") && lines[2].contains(&"40"), "{text}");
        assert!(lines[3].contains(&"38"), "{text}");
    }
}
