//! Operators: what people do about alerts goes to the store, from where the next tick takes it into the log.

use std::{collections::BTreeMap, fmt::Write as _};

use anyhow::{Context as _, Result, bail};
use nilometer_archive::{ArchiveError, visit};
use nilometer_definitions::ThresholdKind;
use nilometer_engine::{Asked as _, now};
use nilometer_ingest::{Action, OPERATOR};
use nilometer_notify::{Alert, River, watch_list};
use nilometer_schemas::{ActionKind, AlertKind, AlertState, Alerts, Contract, GaugeData, Level, Timestamp};
use nilometer_serve::{ACCESS, Tokens};

use crate::storage;

/// What an operator does.
pub struct Operation<'a> {
    /// address of the store
    pub store: &'a str,
    /// the station that it is about
    pub station: String,
    /// kind of its alerts; all where none is named
    pub kind: Option<String>,
    /// identifier of the threshold; all where none is named
    pub threshold: Option<String>,
    /// what is done
    pub action: ActionKind,
    /// who
    pub operator: String,
    /// what is to be read beside the alert
    pub note: Option<String>,
    /// until when it holds
    pub until: Option<Timestamp>,
    /// the level from now on, of a threshold
    pub level: Option<Level>,
}

/// Keeps an action in a store that a pipeline runs on; its next tick takes it.
///
/// # Errors
/// When a word means nothing, or the store is none.
pub async fn operate(operation: Operation<'_>) -> Result<String> {
    let Operation { store, station, kind, threshold, action, operator, note, until, level } = operation;
    if let Some(kind) = kind.as_deref().filter(|kind| AlertKind::of_name(kind).is_none()) {
        let accepted: Vec<&str> = AlertKind::ALL.iter().map(|kind| kind.name()).collect();
        bail!("--kind is {kind}; accepted is {}", accepted.join(", "));
    }
    let place = storage::look(store, &[storage::LOG, storage::SNAPSHOTS, OPERATOR]).await?;
    let action =
        Action { station, kind, threshold, action, operator, note, until, level, action_time: now(), from: None };
    if let Some(problem) = action.problem() {
        bail!("{problem}; accepted are a station, and what the action needs");
    }
    if let Some(Level { unit, .. }) = level
        && ![ThresholdKind::Flow, ThresholdKind::Stage].into_iter().any(|kind| kind.takes(unit))
    {
        bail!("{unit} is no unit of a threshold; accepted are m3 s-1, ft3 s-1, m and ft");
    }
    let number = Action::of_store(place).ask(&action).await.context("the action cannot be kept")?;
    let level = level.map_or_else(String::new, |level| format!(" to {} {}", level.value, level.unit));
    let until = until.map_or_else(String::new, |until| format!(" until {until}"));
    Ok(format!(
        "{} of {}{level}{until}: action {number} of {store}, from its next tick on\n",
        action.action.name(),
        action.station
    ))
}

/// The tokens of a store. Where one is to be made the store may still be empty.
///
/// # Errors
/// When the address is no store.
pub async fn tokens(store: &str, to_make_one: bool) -> Result<Tokens> {
    let place = match to_make_one {
        true => storage::open(store)?,
        false => storage::look(store, &[storage::LOG, storage::SNAPSHOTS, storage::ARCHIVE, ACCESS]).await?,
    };
    Ok(Tokens::of_store(place))
}

/// Stations of a river that are shown, unless all are asked for.
const SHOWN: usize = 3;

/// The alerts of a store as they stood at a time, by river, the most urgent first; of each river the most urgent stations, or `all`.
///
/// # Errors
/// When the store has no archive, or it cannot be read.
pub async fn alerts(store: &str, at: Option<Timestamp>, all: bool) -> Result<String> {
    let archive = storage::archive(store).await?;
    let (mut newest, mut last) = (BTreeMap::<String, Alert>::new(), None);
    let dates = at.map(|at| (Timestamp(0), at));
    visit(&*archive, Contract::Alert, dates, |batch| {
        for alert in Alert::of_rows(&Alerts::try_from(batch)?).filter(|alert| at.is_none_or(|at| alert.time <= at)) {
            last = last.max(Some(alert.time));
            let key = format!("{}/{}/{}", alert.station, alert.kind.name(), alert.threshold);
            let newer = |known: &Alert| (known.time, known.revision) <= (alert.time, alert.revision);
            if newest.get(&key).is_none_or(newer) {
                newest.insert(key, alert);
            }
        }
        Ok::<_, ArchiveError>(())
    })
    .await?;
    let Some(last) = at.or(last) else { return Ok("no alert yet\n".to_owned()) };
    let rivers = watch_list(newest.values());
    let stations: usize = rivers.iter().map(|river| river.alerts.len()).sum();
    let (stations, of_rivers) = (plural(stations, "alert"), plural(rivers.len(), "river"));
    let mut text = format!("{stations} on {of_rivers} at {last}; automatic, not official\n");
    for river in &rivers {
        writeln!(text, "\n{}: {}", river.name, summary(river))?;
        let shown = if all { river.alerts.len() } else { SHOWN };
        for alert in river.alerts.iter().take(shown) {
            let mark = match alert.state {
                AlertState::Warning => "▲ warning",
                AlertState::Watch => "◆ watch  ",
                AlertState::Normal | AlertState::Clear => "▢ silent ",
            };
            writeln!(text, "  {mark}  {}", alert.text)?;
            if let Some(by) = &alert.acknowledged_by {
                let until = alert.acknowledged_until.map_or_else(String::new, |until| format!(" until {until}"));
                writeln!(text, "             acknowledged by {by}{until}")?;
            }
            if let Some(note) = &alert.note {
                writeln!(text, "             {note}")?;
            }
        }
        if river.alerts.len() > shown {
            writeln!(text, "  … {} more, with --all", plural(river.alerts.len() - shown, "station"))?;
        }
    }
    Ok(text)
}

/// How a river stands, in a line.
fn summary(river: &River) -> String {
    let count = |is: &dyn Fn(&Alert) -> bool| river.alerts.iter().filter(|alert| is(alert)).count();
    let of_state = |state| count(&move |alert: &Alert| alert.state == state);
    let mut said = vec![
        (of_state(AlertState::Warning), "warned of"),
        (of_state(AlertState::Watch), "watched"),
        (
            count(&|alert| {
                alert.kind != AlertKind::Drought && alert.state.is_active() && alert.reached_since.is_some()
            }),
            "there already",
        ),
        (count(&|alert| alert.data == Some(GaugeData::Silent)), "silent"),
        (count(&|alert| alert.acknowledged_by.is_some()), "acknowledged"),
    ];
    said.retain(|(number, _)| *number > 0);
    let said: Vec<String> = said.into_iter().map(|(number, what)| format!("{number} {what}")).collect();
    let lower = if river.more > 0 {
        format!("; {} of the same stations too", plural(river.more, "threshold"))
    } else {
        String::new()
    };
    format!("{}{lower}", said.join(", "))
}

fn plural(number: usize, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}
