//! Alertmanager, API v2: what there is is said every minute, and what is not said again ends by its end time.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use nilometer_definitions::AlertmanagerOptions;
use nilometer_engine::now;
use nilometer_schemas::{AlertKind, AlertState, Timestamp};
use reqwest::Client;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    alert::{Alert, watch_list},
    http::send,
    receiver::{Delivery, Failure, Receiver},
};

/// How long something holds that is not said again: three times what passes between two refreshes.
pub(crate) const HOLDS_S: i64 = 180;
/// How often it is said.
pub(crate) const REFRESH: Duration = Duration::from_secs(60);
/// How long an acknowledgement without an end keeps quiet; it is asked for again as long as it holds.
const QUIET_S: i64 = 3_600;

pub(crate) struct Alertmanager {
    pub(crate) client: Client,
    pub(crate) options: AlertmanagerOptions,
}

/// What it remembers: whose quiet was asked for, and what was sent last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// by alert, the identifier that the cluster gave
    silences: BTreeMap<String, String>,
    /// what was firing, by its labels
    firing: BTreeMap<String, Sent>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Sent {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    since: Timestamp,
}

#[async_trait]
impl Receiver for Alertmanager {
    type Memory = Memory;

    fn name(&self) -> &'static str {
        "alertmanager"
    }

    async fn deliver(&self, delivery: &Delivery<'_>, memory: &mut Memory) -> Result<(), Failure> {
        self.refresh(delivery.active, memory).await
    }

    async fn refresh(&self, active: &BTreeMap<String, Alert>, memory: &mut Memory) -> Result<(), Failure> {
        let firing = self.firing(active);
        let ended = memory.firing.iter().filter(|(key, _)| !firing.contains_key(*key));
        let until = |sent: &Sent, end: i64| {
            json!({
                "labels": sent.labels,
                "annotations": sent.annotations,
                "startsAt": sent.since.to_string(),
                "endsAt": now().plus_s(end).to_string(),
            })
        };
        let all: Vec<Value> =
            firing.values().map(|sent| until(sent, HOLDS_S)).chain(ended.map(|(_, sent)| until(sent, 0))).collect();
        if !all.is_empty() {
            self.post_to_each(&all).await?;
        }
        self.keep_quiet(active, memory).await?;
        memory.firing = firing;
        Ok(())
    }
}

impl Alertmanager {
    fn addresses(&self) -> impl Iterator<Item = &str> {
        self.options.urls.iter().map(|url| url.trim_end_matches('/'))
    }

    /// Gives alerts to every server of a cluster, which is what these expect; one that takes them is enough.
    async fn post_to_each(&self, alerts: &[Value]) -> Result<(), Failure> {
        let (mut failure, mut taken) = (None, false);
        for address in self.addresses() {
            match send(self.client.post(format!("{address}/api/v2/alerts")).json(alerts)).await {
                Ok(_) => taken = true,
                Err(why) => failure = Some(why),
            }
        }
        match failure {
            Some(failure) if !taken => Err(failure),
            Some(failure) => {
                tracing::warn!(%failure, "a server of the cluster did not take alerts; the others have them");
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Asks for quiet at the first server that answers: a cluster shares its silences. Gives the identifier. One that the cluster has forgotten is asked
    /// for anew.
    async fn ask_for_quiet(&self, mut silence: Value, known: Option<&String>) -> Result<Option<String>, Failure> {
        let mut failure = None;
        for id in known.map(Some).into_iter().chain([None]) {
            silence["id"] = id.map_or(Value::Null, |id| json!(id));
            for address in self.addresses() {
                match send(self.client.post(format!("{address}/api/v2/silences")).json(&silence)).await {
                    Ok(answer) => {
                        let answer = serde_json::from_str::<Value>(&answer).unwrap_or_default();
                        return Ok(answer["silenceID"].as_str().map(str::to_owned));
                    }
                    Err(why) => failure = Some(why),
                }
            }
        }
        failure.map_or(Ok(None), Err)
    }

    async fn end_quiet(&self, alert: &str, silence: &str) {
        let mut failure = None;
        for address in self.addresses() {
            match send(self.client.delete(format!("{address}/api/v2/silence/{silence}"))).await {
                Ok(_) => return,
                Err(why) => failure = Some(why),
            }
        }
        if let Some(failure) = failure {
            tracing::warn!(%failure, alert, "a silence could not be ended; it ends by itself within the hour");
        }
    }

    /// What fires, by its labels: of each station and kind what says most. Labels stay as they are while the alert is in its state.
    fn firing(&self, active: &BTreeMap<String, Alert>) -> BTreeMap<String, Sent> {
        let rivers = watch_list(active.values());
        let alerts = rivers.iter().flat_map(|river| &river.alerts);
        alerts
            .map(|alert| {
                let labels = self.labels(alert);
                let key = labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",");
                (key, Sent { labels, annotations: annotations(alert), since: alert.since })
            })
            .collect()
    }

    fn labels(&self, alert: &Alert) -> BTreeMap<String, String> {
        let mut labels = self.options.labels.clone();
        labels.extend(labels_of(alert));
        labels
    }

    /// What operators have taken note of, or asked for quiet about, is silent there too, as long as that holds.
    async fn keep_quiet(&self, active: &BTreeMap<String, Alert>, memory: &mut Memory) -> Result<(), Failure> {
        let quiet =
            |alert: &Alert| alert.acknowledged_by.is_some() || alert.silenced_until.is_some_and(|t| t > alert.time);
        let over: Vec<String> =
            memory.silences.keys().filter(|id| !active.get(*id).is_some_and(quiet)).cloned().collect();
        for id in over {
            if let Some(silence) = memory.silences.remove(&id) {
                self.end_quiet(&id, &silence).await;
            }
        }
        for (id, alert) in active.iter().filter(|(_, alert)| quiet(alert)) {
            let matcher = |(name, value)| json!({"name": name, "value": value, "isRegex": false, "isEqual": true});
            let silence = json!({
                "matchers": self.labels(alert).into_iter().map(matcher).collect::<Vec<Value>>(),
                "startsAt": now().to_string(),
                "endsAt": now().plus_s(QUIET_S).to_string(),
                "createdBy": alert.acknowledged_by.as_deref().unwrap_or("operator"),
                "comment": alert.note.as_deref().unwrap_or("acknowledged"),
            });
            let given = self.ask_for_quiet(silence, memory.silences.get(id)).await?;
            memory.silences.extend(given.map(|given| (id.clone(), given)));
        }
        Ok(())
    }
}

/// What stays the same of an alert as long as it is in its state.
pub(crate) fn labels_of(alert: &Alert) -> BTreeMap<String, String> {
    let name = match alert.kind {
        AlertKind::Flood => "Flood",
        AlertKind::LowFlow => "LowFlow",
        AlertKind::Drought => "Drought",
        AlertKind::Gauge => "GaugeSilent",
    };
    let severity = match alert.state {
        AlertState::Warning => "warning",
        AlertState::Watch => "watch",
        AlertState::Normal | AlertState::Clear => "info",
    };
    let labels = [
        ("alertname", name),
        ("station", &alert.station),
        ("river", &alert.river),
        ("threshold", &alert.threshold),
        ("severity", severity),
    ];
    labels.into_iter().filter(|(_, value)| !value.is_empty()).map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

/// What may change.
pub(crate) fn annotations(alert: &Alert) -> BTreeMap<String, String> {
    let percent = alert.probability.map(|probability| format!("{:.0} %", probability * 100.0));
    let all = [
        ("summary", Some(crate::cap::headline(alert))),
        ("description", Some(alert.text.clone())),
        ("probability", percent),
        ("data", alert.data.map(|data| data.name().to_owned())),
        ("acknowledged_by", alert.acknowledged_by.clone()),
        ("note", alert.note.clone()),
        ("alert", Some(alert.alert.clone())),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
