//! Webhook: changes in the shape of Alertmanager's webhook version 4, signed.

use std::collections::BTreeMap;

use async_trait::async_trait;
use hmac::{Hmac, KeyInit as _, Mac as _};
use nilometer_schemas::AlertChange;
use reqwest::Client;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{
    alert::Alert,
    alertmanager::{annotations, labels_of},
    http::send,
    receiver::{Delivery, Failure, Receiver},
};

/// Header of the signature: HMAC-SHA-256 of the body.
const SIGNATURE: &str = "X-Nilometer-Signature";
/// Header of what a request is about: the same where it is sent again.
const DELIVERY: &str = "X-Nilometer-Delivery";

pub(crate) struct Webhook {
    pub(crate) client: Client,
    pub(crate) url: String,
    pub(crate) secret: Option<Vec<u8>>,
}

/// Which rivers of a message have been delivered, should the next one fail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memory {
    delivered: Vec<String>,
}

#[async_trait]
impl Receiver for Webhook {
    type Memory = Memory;

    fn name(&self) -> &'static str {
        "webhook"
    }

    async fn deliver(&self, delivery: &Delivery<'_>, memory: &mut Memory) -> Result<(), Failure> {
        // Forecast after forecast says a little else; the topic has that.
        let news = delivery.changed.iter().filter(|alert| alert.change != AlertChange::Revised);
        let mut rivers: BTreeMap<&str, Vec<&Alert>> = BTreeMap::new();
        for alert in news {
            rivers.entry(&alert.river).or_default().push(alert);
        }
        for (river, alerts) in rivers {
            let about = format!("{}/{river}", delivery.locator);
            if memory.delivered.contains(&about) {
                continue;
            }
            let body = payload(river, &alerts).to_string().into_bytes();
            let mut request = self.client.post(&self.url).header("Content-Type", "application/json");
            request = request.header(DELIVERY, ascii(&about));
            if let Some(signature) = self.secret.as_deref().and_then(|secret| signature(secret, &body)) {
                request = request.header(SIGNATURE, signature);
            }
            send(request.body(body)).await?;
            memory.delivered.push(about);
        }
        memory.delivered.clear();
        Ok(())
    }
}

/// The changes of one river.
fn payload(river: &str, alerts: &[&Alert]) -> Value {
    let firing = alerts.iter().any(|alert| alert.is_active());
    let common = |of: &dyn Fn(&Alert) -> BTreeMap<String, String>| {
        let mut all = alerts.iter().map(|alert| of(alert));
        let first = all.next().unwrap_or_default();
        all.fold(first, |common, other| {
            common.into_iter().filter(|(name, value)| other.get(name) == Some(value)).collect()
        })
    };
    json!({
        "version": "4",
        "groupKey": format!("river={river}"),
        "truncatedAlerts": 0,
        "status": if firing { "firing" } else { "resolved" },
        "receiver": "nilometer",
        "groupLabels": {"river": river},
        "commonLabels": common(&labels_of),
        "commonAnnotations": common(&annotations),
        "externalURL": "",
        "alerts": alerts.iter().map(|alert| one(alert)).collect::<Vec<_>>(),
    })
}

fn one(alert: &Alert) -> Value {
    let active = alert.is_active();
    // A time of year 1 is Alertmanager's for one that has not come.
    let ends = if active { "0001-01-01T00:00:00Z".to_owned() } else { alert.time.to_string() };
    json!({
        "status": if active { "firing" } else { "resolved" },
        "labels": labels_of(alert),
        "annotations": annotations(alert),
        "startsAt": alert.started.to_string(),
        "endsAt": ends,
        "generatorURL": "",
        "fingerprint": alert.alert,
        "nilometer": alert,
    })
}

/// What a header may hold.
fn ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() { c.to_string() } else { c.escape_unicode().to_string() }).collect()
}

fn signature(secret: &[u8], body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("sha256={hex}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

    use nilometer_schemas::AlertState;

    use super::*;
    use crate::alert::tests::{alerts, row};

    #[test]
    fn a_body_is_signed_as_rfc_4231_says() {
        // Test case 2 of RFC 4231.
        let found = signature(b"Jefe", b"what do ya want for nothing?").unwrap();
        assert_eq!(found, "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn what_a_river_has_in_common_is_said_once() {
        let alerts =
            alerts(&[row("v1", "minor", 10.0, AlertState::Warning), row("v2", "minor", 20.0, AlertState::Clear)]);
        let payload = payload("Cance", &alerts.iter().collect::<Vec<_>>());
        assert_eq!((&payload["status"], &payload["alerts"][1]["status"]), (&json!("firing"), &json!("resolved")));
        assert_eq!(payload["commonLabels"], json!({"alertname": "Flood", "river": "Cance", "threshold": "minor"}));
        assert_eq!(payload["alerts"][0]["endsAt"], "0001-01-01T00:00:00Z");
        assert_eq!(payload["alerts"][1]["endsAt"], "2014-11-04T02:00:00Z");
    }
}
