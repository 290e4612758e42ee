//! How good drought outlooks were, by week and class, beside persistence and climatology.

use std::{collections::BTreeMap, fmt::Write as _};

use anyhow::Result;
use arrow::array::Array as _;
use nilometer_archive::{ArchiveError, visit};
use nilometer_schemas::{CLASS_WORDS, Contract, OutlookScores, Timestamp};
use nilometer_statistics::CLASS_PERCENTILES;

use super::Request;

/// Classes of drought.
const CLASSES: usize = CLASS_WORDS.len();
/// Bins of the reliability curve.
const BINS: usize = 10;
/// The last week of each reliability curve.
const CURVES: [i32; 3] = [1, 4, 13];
/// The class whose reliability is shown.
const SHOWN: usize = 2;
/// Who says something of a week.
const OUTLOOK: usize = 0;
const PERSISTENCE: usize = 1;
const CLIMATOLOGY: usize = 2;

/// Sums over the outlooks of one index and week.
#[derive(Debug, Clone, Copy, Default)]
struct Week {
    outlooks: usize,
    /// ranked probability scores of the outlook, persistence and climatology
    rps: [f64; 3],
    /// Brier scores of the same by class
    brier: [[f64; CLASSES]; 3],
    /// of the class shown: outlooks, probabilities given and times it came, by bin
    bins: [(usize, f64, f64); BINS],
}

impl Week {
    fn add(&mut self, scores: &OutlookScores, row: usize) {
        let worse = |class: &arrow::array::StringArray| {
            let class = class.is_valid(row).then(|| class.value(row));
            let place = class.and_then(|class| CLASS_WORDS.iter().position(|word| *word == class));
            std::array::from_fn::<f64, CLASSES, _>(|class| f64::from(u8::from(place.is_some_and(|at| at >= class))))
        };
        let (came, persisted) = (worse(scores.class()), worse(scores.class_persistence()));
        let given = [scores.at_least(row), persisted, CLASS_PERCENTILES.map(|limit| limit / 100.0)];
        self.outlooks += 1;
        let columns = [scores.rps(), scores.rps_persistence(), scores.rps_climatology()];
        for ((sum, column), (brier, given)) in self.rps.iter_mut().zip(columns).zip(self.brier.iter_mut().zip(given)) {
            *sum += column.value(row);
            brier.iter_mut().zip(given.iter().zip(came)).for_each(|(sum, (p, came))| *sum += (p - came).powi(2));
        }
        let probability = given[OUTLOOK][SHOWN];
        let bin = &mut self.bins[((probability * BINS as f64) as usize).min(BINS - 1)];
        *bin = (bin.0 + 1, bin.1 + probability, bin.2 + came[SHOWN]);
    }

    fn skill(&self, beside: usize) -> f64 {
        1.0 - self.rps[OUTLOOK] / self.rps[beside]
    }

    fn skill_of_class(&self, class: usize, beside: usize) -> f64 {
        1.0 - self.brier[OUTLOOK][class] / self.brier[beside][class]
    }
}

/// Tables of each index; none where the archive has no outlook that was scored.
pub(super) async fn outlooks(request: &Request) -> Result<Option<String>> {
    let mut all = BTreeMap::<String, BTreeMap<i32, Week>>::new();
    visit(&*request.archive, Contract::OutlookScore, None, |batch| {
        let scores = OutlookScores::try_from(batch)?;
        for row in 0..scores.len() {
            let valid_time = Timestamp(scores.valid_time().value(row));
            let leaves_out = request.leave_out.contains(scores.catchment().value(row));
            if valid_time <= request.from || valid_time > request.to || leaves_out {
                continue;
            }
            let of_index = all.entry(scores.index().value(row).to_owned()).or_default();
            of_index.entry(scores.week().value(row)).or_default().add(&scores, row);
        }
        Ok::<_, ArchiveError>(())
    })
    .await?;
    if all.is_empty() {
        return Ok(None);
    }
    let mut text = String::new();
    for (index, weeks) in &all {
        skill(&mut text, index, weeks)?;
        reliability(&mut text, weeks)?;
    }
    Ok(Some(text))
}

/// Skill by week: of all classes by ranked probability, of each by its Brier score.
fn skill(text: &mut String, index: &str, weeks: &BTreeMap<i32, Week>) -> std::fmt::Result {
    write!(text, "\n{:<26}{:>16}{:>40}", format!("outlooks of {index}"), "RPSS over", "Brier skill over persistence")?;
    writeln!(text, "{:>35}", "… over climatology")?;
    write!(text, "{:>6}{:>12}{:>12}{:>12}", "week", "outlooks", "persist.", "climatol.")?;
    for class in CLASS_WORDS.iter().chain(&CLASS_WORDS) {
        write!(text, "{class:>7}")?;
    }
    text.push('\n');
    for (number, week) in weeks {
        write!(text, "{number:>6}{:>12}", week.outlooks)?;
        [PERSISTENCE, CLIMATOLOGY].into_iter().try_for_each(|of| write!(text, "{:>12.3}", week.skill(of)))?;
        for beside in [PERSISTENCE, CLIMATOLOGY] {
            (0..CLASSES).try_for_each(|class| write!(text, "{:>7.2}", week.skill_of_class(class, beside)))?;
        }
        text.push('\n');
    }
    for (name, beside) in [("persistence", PERSISTENCE), ("climatology", CLIMATOLOGY)] {
        let first = weeks.iter().find(|(_, week)| week.skill(beside) <= 0.0);
        let last = weeks.last_key_value().map_or(0, |(number, _)| *number);
        match first {
            Some((number, _)) => writeln!(text, "skill over {name} reaches zero in week {number}")?,
            None => writeln!(text, "skill over {name} is above zero in every week up to {last}")?,
        }
    }
    Ok(())
}

/// How often the class shown came when it was given so many percent.
fn reliability(text: &mut String, weeks: &BTreeMap<i32, Week>) -> std::fmt::Result {
    for last in CURVES {
        let Some(week) = weeks.get(&last) else { continue };
        let mut row = |name: String, cell: &dyn Fn(&(usize, f64, f64)) -> String| {
            write!(text, "{name:<34}")?;
            week.bins.iter().try_for_each(|bin| write!(text, "{:>8}", cell(bin)))?;
            text.push('\n');
            Ok::<_, std::fmt::Error>(())
        };
        let percent = |sum: f64, n: usize| {
            if n == 0 { "-".to_owned() } else { format!("{:.0}", 100.0 * sum / n as f64) }
        };
        let class = CLASS_WORDS[SHOWN];
        row(format!("week {last}, {class} or worse given, %"), &|(n, given, _)| percent(*given, *n))?;
        row("came, %".to_owned(), &|(n, _, came)| percent(*came, *n))?;
        row("outlooks".to_owned(), &|(n, ..)| n.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where its input is refused")]
mod tests {
    use nilometer_schemas::{OutlookScoreRow, OutlookScoresBuilder};

    use super::*;

    fn row(week: i32, at_least: [f64; CLASSES], class: Option<&'static str>) -> OutlookScoreRow<'static> {
        OutlookScoreRow {
            catchment: "a",
            index: "streamflow",
            issue_time: Timestamp(0),
            week,
            valid_time: Timestamp(1),
            score_time: Timestamp(1),
            percentile: 50.0,
            class,
            class_persistence: None,
            at_least,
            rps: f64::from(week),
            rps_persistence: 2.0,
            rps_climatology: 3.0,
            scenario: "past_years",
            model: "m",
            weights_sha256: "w",
        }
    }

    #[test]
    fn skill_is_given_by_week_and_class_and_where_it_ends() {
        let mut rows = OutlookScoresBuilder::new();
        rows.push(row(1, [0.9, 0.8, 0.7, 0.1, 0.0], Some("D2")));
        rows.push(row(2, [0.5, 0.1, 0.0, 0.0, 0.0], None));
        let rows = rows.finish().unwrap();
        let mut weeks = BTreeMap::<i32, Week>::new();
        (0..2).for_each(|at| weeks.entry(at as i32 + 1).or_default().add(&rows, at));
        assert!((weeks[&1].skill(PERSISTENCE) - 0.5).abs() < 1e-12);
        // Persistence says no drought, so it is wholly wrong of D2: 0.3² of 1.
        assert!((weeks[&1].skill_of_class(2, PERSISTENCE) - 0.91).abs() < 1e-12);
        let mut text = String::new();
        skill(&mut text, "streamflow", &weeks).unwrap();
        reliability(&mut text, &weeks).unwrap();
        assert!(text.contains("skill over persistence reaches zero in week 2"), "{text}");
        assert!(text.contains("skill over climatology is above zero in every week up to 2"), "{text}");
        let given = text.lines().find(|line| line.starts_with("week 1")).unwrap();
        assert!(given.ends_with("70       -       -"), "{text}");
    }
}
