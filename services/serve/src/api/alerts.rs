//! Alerts: what deserves attention, the most urgent first, and what operators do about it.

use axum::{
    Extension, Json,
    extract::{Path, Query, State},
    http::StatusCode,
};
use nilometer_engine::{Asked as _, now};
use nilometer_ingest::Action;
use nilometer_notify::{Alert, watch_list};
use nilometer_schemas::{ActionKind, AlertChange, GaugeData, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{rows::instant, when::When};
use crate::{Site, access::Principal, problem::Problem};

/// The longest note, bytes.
const LONGEST_NOTE: usize = 2_000;

/// What deserves attention.
#[derive(Serialize, ToSchema)]
pub(crate) struct WatchList {
    /// the newest tick that has been forecast; null before the first
    time: Option<When>,
    /// by river, the most urgent first
    rivers: Vec<River>,
}

/// The alerts of one river.
#[derive(Serialize, ToSchema)]
pub(crate) struct River {
    name: String,
    alerts: Vec<AlertDocument>,
    /// how many more thresholds of these stations are watched or warned of
    more: usize,
}

/// An alert, as its newest row says.
#[derive(Serialize, ToSchema)]
pub(crate) struct AlertDocument {
    /// identifier from its rise to its end
    id: String,
    station: String,
    station_name: String,
    /// flood, low_flow, drought or gauge
    #[schema(value_type = String, example = "flood")]
    kind: &'static str,
    threshold: String,
    threshold_name: String,
    /// as a flow, m³ s⁻¹
    level: Option<f64>,
    /// normal, clear, watch or warning
    #[schema(value_type = String, example = "warning")]
    state: &'static str,
    since: When,
    started: When,
    revision: i32,
    /// what changed last
    #[schema(value_type = String, example = "raised")]
    change: &'static str,
    /// when
    time: When,
    /// what the gauge delivers: ok, late or silent
    #[schema(value_type = Option<String>, example = "ok")]
    data: Option<&'static str>,
    observed_time: Option<When>,
    reached_since: Option<When>,
    issue_time: Option<When>,
    probability: Option<f64>,
    /// the same of the issue before
    probability_before: Option<f64>,
    /// 10, 50 and 90 % of the trajectories that reach it
    crossing: [Option<When>; 3],
    /// 5, 50 and 95 %, m³ s⁻¹
    peak: [Option<f64>; 3],
    acknowledged_by: Option<String>,
    acknowledged_until: Option<When>,
    note: Option<String>,
    silenced_until: Option<When>,
    /// what it says, in a sentence
    text: String,
}

impl From<Alert> for AlertDocument {
    fn from(alert: Alert) -> Self {
        Self {
            id: alert.alert,
            station: alert.station,
            station_name: alert.station_name,
            kind: alert.kind.name(),
            threshold: alert.threshold,
            threshold_name: alert.threshold_name,
            level: alert.level_m3_s,
            state: alert.state.name(),
            since: When(alert.since),
            started: When(alert.started),
            revision: alert.revision,
            change: AlertChange::name(alert.change),
            time: When(alert.time),
            data: alert.data.map(GaugeData::name),
            observed_time: alert.observed_time.map(When),
            reached_since: alert.reached_since.map(When),
            issue_time: alert.issue_time.map(When),
            probability: alert.probability,
            probability_before: alert.probability_before,
            crossing: alert.crossing.map(|time| time.map(When)),
            peak: alert.peak_m3_s,
            acknowledged_by: alert.acknowledged_by,
            acknowledged_until: alert.acknowledged_until.map(When),
            note: alert.note,
            silenced_until: alert.silenced_until.map(When),
            text: alert.text,
        }
    }
}

/// What deserves attention: of each station and kind the one alert that says most.
#[utoipa::path(get, path = "/alerts", tag = "alerts", responses(
    (status = 200, description = "the watch list", body = WatchList),
))]
pub(crate) async fn list(State(site): State<Site>) -> Json<WatchList> {
    let mut all = Vec::new();
    for number in site.numbers() {
        all.extend(site.newest(number).into_iter().flat_map(|newest| newest.alerts().cloned().collect::<Vec<_>>()));
    }
    let rivers = watch_list(&all).into_iter();
    let rivers = rivers.map(|river| River {
        name: river.name,
        alerts: river.alerts.into_iter().map(AlertDocument::from).collect(),
        more: river.more,
    });
    Json(WatchList { time: site.time().map(When), rivers: rivers.collect() })
}

/// Since when.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Since {
    /// begin of the shift; twelve hours before the newest tick where absent
    #[param(example = "2014-11-03T18:00:00Z")]
    since: Option<String>,
}

/// What a shift hands over.
#[derive(Serialize, ToSchema)]
pub(crate) struct Handover {
    since: When,
    until: When,
    /// what stands, the most urgent first
    standing: Vec<AlertDocument>,
    /// what was there and has passed
    passed: Vec<AlertDocument>,
}

/// What stands, and what has passed since the begin of a shift.
#[utoipa::path(get, path = "/handover", tag = "alerts", params(Since), responses(
    (status = 200, description = "the shift", body = Handover),
    (status = 400, description = "a parameter means nothing", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn handover(State(site): State<Site>, Query(asked): Query<Since>) -> Result<Json<Handover>, Problem> {
    let until = site.time().unwrap_or_default();
    let since = match asked.since.as_deref() {
        Some(text) => instant("since", text)?,
        None => until.plus_s(-12 * 3_600),
    };
    let (mut active, mut passed) = (Vec::new(), Vec::new());
    for number in site.numbers() {
        let Some(newest) = site.newest(number) else { continue };
        for alert in newest.alerts() {
            if alert.is_active() {
                active.push(alert.clone());
            } else if alert.time >= since {
                passed.push(AlertDocument::from(alert.clone()));
            }
        }
    }
    // What is most urgent of each station first, behind it the lower thresholds of the same stations.
    let mut standing: Vec<Alert> = watch_list(&active).into_iter().flat_map(|river| river.alerts).collect();
    let lower = active.iter().filter(|alert| standing.iter().all(|known| known.alert != alert.alert)).cloned();
    standing.extend(lower.collect::<Vec<_>>());
    let standing = standing.into_iter().map(AlertDocument::from).collect();
    Ok(Json(Handover { since: When(since), until: When(until), standing, passed }))
}

/// What an operator does about an alert.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Doing {
    /// who; stands in operator.v1 beside the name of the token
    #[schema(max_length = 100)]
    by: Option<String>,
    /// what is to be read beside it; of a note needed
    #[schema(max_length = 2_000)]
    note: Option<String>,
    /// until when it holds, RFC 3339; of a silence needed
    until: Option<String>,
}

/// What becomes of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Done {
    /// number of the action in operator.v1
    number: u64,
    action: String,
    /// who stands there
    operator: String,
    station: String,
    /// the next tick takes it into the log, and the alert role from there
    #[schema(value_type = String)]
    from: &'static str,
}

/// Take note of an alert, write something beside it, or ask for quiet: a row of operator.v1 at the next tick.
#[utoipa::path(post, path = "/alerts/{id}/{action}", tag = "alerts", security(("token" = ["operate"])), params(
    ("id" = String, Path, description = "identifier of the alert, its slashes as %2F"),
    ("action" = String, Path, description = "acknowledge, note or silence"),
), request_body = Doing, responses(
    (status = 202, description = "kept; the next tick takes it", body = Done),
    (status = 400, description = "the body means nothing", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "no token, or none that is known", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "not allowed, or off as there is no token", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "no such alert or action", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "too long", body = Problem, content_type = "application/problem+json"),
    (status = 415, description = "not JSON", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "not the JSON of an action", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn act(
    State(site): State<Site>,
    Extension(principal): Extension<Principal>,
    Path((id, action)): Path<(String, String)>,
    Json(doing): Json<Doing>,
) -> Result<(StatusCode, Json<Done>), Problem> {
    let kind = match action.as_str() {
        "acknowledge" => ActionKind::Acknowledge,
        "note" => ActionKind::Note,
        "silence" => ActionKind::Silence,
        _ => return Err(Problem::not_found(format!("no action {action}; accepted is acknowledge, note or silence"))),
    };
    let alert = found(&site, &id)?;
    let by = doing.by.as_deref().map(str::trim).filter(|by| !by.is_empty() && *by != principal.name);
    if by.is_some_and(|by| by.len() > 100) || doing.note.as_ref().is_some_and(|note| note.len() > LONGEST_NOTE) {
        return Err(Problem::bad_request(format!("accepted are 100 bytes of by and {LONGEST_NOTE} of note")));
    }
    let operator = by.map_or_else(|| principal.name.clone(), |by| format!("{by} ({})", principal.name));
    let until: Option<Timestamp> = doing.until.as_deref().map(|text| instant("until", text)).transpose()?;
    let action = Action {
        station: alert.station,
        kind: Some(alert.kind.name().to_owned()),
        threshold: Some(alert.threshold).filter(|threshold| !threshold.is_empty()),
        action: kind,
        operator,
        note: doing.note.filter(|note| !note.trim().is_empty()),
        until,
        level: None,
        action_time: now(),
        from: None,
    };
    if let Some(problem) = action.problem() {
        return Err(Problem::bad_request(format!(
            "{problem}; accepted are what the action needs: a note's note, a silence's until"
        )));
    }
    let number =
        Action::of_store(site.store().clone()).ask(&action).await.map_err(|error| Problem::internal(&error))?;
    let done = Done {
        number,
        action: kind.name().to_owned(),
        operator: action.operator,
        station: action.station,
        from: "the next tick",
    };
    Ok((StatusCode::ACCEPTED, Json(done)))
}

fn found(site: &Site, id: &str) -> Result<Alert, Problem> {
    let of = |number| site.newest(number)?.alerts().find(|alert| alert.alert == id).cloned();
    site.numbers()
        .find_map(of)
        .ok_or_else(|| Problem::not_found(format!("no alert {id}; GET /api/v1/alerts shows which there are")))
}
