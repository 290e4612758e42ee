//! CAP: an alert as a message of the Common Alerting Protocol 1.2 (OASIS 2010).

use std::io;

use nilometer_definitions::FeedOptions;
use nilometer_schemas::{AlertChange, AlertKind, AlertState, Timestamp};
use quick_xml::{Writer, events::BytesText};

use crate::alert::Alert;

/// The feed that messages are in.
pub(crate) const ATOM: &str = "alerts.atom";
const NAMESPACE: &str = "urn:oasis:names:tc:emergency:cap:1.2";
/// What a message says of itself.
const CODE: &str = "automatic, not an official warning";
/// List of event codes of OASIS.
const EVENT_CODES: &str = "OET:v1.2";
const HOUR_S: i64 = 3_600;

/// How a message is referred to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Reference {
    pub(crate) identifier: String,
    pub(crate) sent: Timestamp,
}

/// The identifier of the message of a row: no character of it has a meaning in CAP.
pub(crate) fn identifier(alert: &Alert) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '.' };
    format!("{}.{}", alert.alert.chars().map(plain).collect::<String>(), alert.revision)
}

/// A message of a row, which follows `before` of the same alert; one that has passed is a cancellation. `expires` is when another is due.
///
/// # Errors
/// What the writer says.
pub(crate) fn message(
    alert: &Alert,
    before: Option<&Reference>,
    expires: Timestamp,
    options: &FeedOptions,
) -> io::Result<Vec<u8>> {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    let kind = match (before, alert.state.is_active()) {
        (None, _) => "Alert",
        (Some(_), true) => "Update",
        (Some(_), false) => "Cancel",
    };
    let references = before.map(|before| format!("{},{},{}", options.sender, before.identifier, stamp(before.sent)));
    xml.create_element("alert").with_attribute(("xmlns", NAMESPACE)).write_inner_content(|xml| {
        text(xml, "identifier", &identifier(alert))?;
        text(xml, "sender", &options.sender)?;
        text(xml, "sent", &stamp(alert.time))?;
        text(xml, "status", options.status.name())?;
        text(xml, "msgType", kind)?;
        text(xml, "scope", "Public")?;
        text(xml, "code", CODE)?;
        if let Some(references) = &references {
            text(xml, "references", references)?;
        }
        xml.create_element("info").write_inner_content(|xml| info(xml, alert, expires, options))?;
        Ok(())
    })?;
    let mut bytes = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_vec();
    bytes.extend(xml.into_inner());
    bytes.push(b'\n');
    Ok(bytes)
}

fn info(xml: &mut Writer<Vec<u8>>, alert: &Alert, expires: Timestamp, options: &FeedOptions) -> io::Result<()> {
    let (event, code) = match alert.kind {
        AlertKind::Flood => ("flood", "OET-081"),
        AlertKind::LowFlow | AlertKind::Drought => ("drought", "OET-063"),
        AlertKind::Gauge => ("silent gauge", "OET-169"),
    };
    text(xml, "language", "en")?;
    text(xml, "category", "Met")?;
    text(xml, "event", event)?;
    text(xml, "responseType", if alert.state.is_active() { "Monitor" } else { "AllClear" })?;
    text(xml, "urgency", urgency(alert))?;
    text(xml, "severity", severity(alert))?;
    text(xml, "certainty", certainty(alert))?;
    xml.create_element("eventCode").write_inner_content(|xml| {
        text(xml, "valueName", EVENT_CODES)?;
        text(xml, "value", code)
    })?;
    text(xml, "effective", &stamp(alert.time))?;
    if let Some(onset) = alert.onset() {
        text(xml, "onset", &stamp(onset))?;
    }
    text(xml, "expires", &stamp(expires))?;
    text(xml, "senderName", options.sender_name.as_deref().unwrap_or(&options.sender))?;
    text(xml, "headline", &headline(alert))?;
    text(xml, "description", &alert.text)?;
    if let Some(address) = &options.address {
        text(xml, "web", &format!("{}/{}", address.trim_end_matches('/'), ATOM))?;
    }
    let mut parameter = |name: &str, value: String| {
        xml.create_element("parameter").write_inner_content(|xml| {
            text(xml, "valueName", &format!("nilometer:{name}"))?;
            text(xml, "value", &value)
        })?;
        Ok::<_, io::Error>(())
    };
    parameter("state", alert.state.name().to_owned())?;
    parameter("threshold", alert.threshold.clone())?;
    if let Some(data) = alert.data {
        parameter("data", data.name().to_owned())?;
    }
    if let Some(probability) = alert.probability {
        parameter("probability", format!("{probability:.2}"))?;
    }
    xml.create_element("area").write_inner_content(|xml| {
        text(xml, "areaDesc", &format!("{}, {}", alert.station_name, alert.river))?;
        if let Some((latitude, longitude)) = alert.place {
            text(xml, "circle", &format!("{latitude},{longitude} 0"))?;
        }
        xml.create_element("geocode").write_inner_content(|xml| {
            text(xml, "valueName", "station")?;
            text(xml, "value", &alert.station)
        })?;
        Ok(())
    })?;
    Ok(())
}

/// One line: the station and what it is about.
pub(crate) fn headline(alert: &Alert) -> String {
    let state = match (alert.change, alert.state) {
        (AlertChange::Cleared | AlertChange::Withdrawn, _) => "passed",
        (_, AlertState::Warning) => "warning",
        (_, AlertState::Watch) => "watch",
        _ => "passed",
    };
    format!("{} {state}: {}", alert.threshold_name, alert.station_name)
}

fn urgency(alert: &Alert) -> &'static str {
    if !alert.state.is_active() {
        return "Past";
    }
    let horizon_s = alert.until.map_or(0, |until| until.seconds_since(alert.issue_time.unwrap_or(alert.time)));
    match alert.onset().map(|onset| onset.seconds_since(alert.time)) {
        Some(in_s) if in_s <= HOUR_S => "Immediate",
        Some(in_s) if in_s <= horizon_s / 2 => "Expected",
        _ => "Future",
    }
}

/// By the words of agencies for a threshold; what has none of them says nothing of the kind.
fn severity(alert: &Alert) -> &'static str {
    let words = format!("{} {}", alert.threshold, alert.threshold_name).to_lowercase();
    let has = |word: &str| words.contains(word);
    if has("record") || has("extreme") || has("d4") {
        "Extreme"
    } else if has("major") || has("severe") || has("d2") || has("d3") {
        "Severe"
    } else if has("moderate") || has("d1") {
        "Moderate"
    } else if has("minor") || has("action") || has("d0") {
        "Minor"
    } else {
        "Unknown"
    }
}

fn certainty(alert: &Alert) -> &'static str {
    if alert.reached_since.is_some() {
        "Observed"
    } else if alert.probability.unwrap_or(0.0) >= 0.5 {
        "Likely"
    } else {
        "Possible"
    }
}

fn text(xml: &mut Writer<Vec<u8>>, name: &str, value: &str) -> io::Result<()> {
    xml.create_element(name).write_text_content(BytesText::new(value)).map(drop)
}

/// A time as CAP has it: whole seconds, and no Z.
pub(crate) fn stamp(time: Timestamp) -> String {
    let utc = time.floor_s(1).to_string();
    format!("{}+00:00", utc.trim_end_matches('Z'))
}
