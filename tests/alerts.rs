//! Alerts end to end: from the rows of a flood to those who are to hear of it.

use std::{
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

use crate::support::{
    definition, nilometer,
    processes::{Process, until},
    root, succeed, window,
};
use nilometer_needs::needs;
use serde_json::Value;

const FROM: &str = "2014-10-30T00:00:00Z";
const STATION: &str = "V3524010";

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// An Alertmanager, as `ops/receivers` serves it.
struct Alertmanager {
    port: u16,
    _process: Process,
}

impl Alertmanager {
    fn start(port: u16, folder: &Path) -> Self {
        let mut command = Command::new(root().join("ops/receivers"));
        command.args(["serve", &port.to_string()]).arg(folder.join("alertmanager")).stdin(Stdio::null());
        let process = Process::start(command, folder.join("alertmanager.log"));
        let started = Self { port, _process: process };
        until("Alertmanager answers", || started.try_get("status").is_some());
        started
    }

    fn get(&self, path: &str) -> Value {
        self.try_get(path).unwrap()
    }

    fn try_get(&self, path: &str) -> Option<Value> {
        let url = format!("http://127.0.0.1:{}/api/v2/{path}", self.port);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let body = runtime.block_on(async { reqwest::get(url).await.ok()?.bytes().await.ok() })?;
        serde_json::from_slice(&body).ok()
    }
}

#[needs(cance, receivers)]
#[test]
fn a_flood_reaches_alertmanager_and_ends_there_and_its_messages_are_valid() {
    let folder = tempfile::tempdir().unwrap();
    let (store, port) = (folder.path().join("store"), free_port());
    let replay = |to: &str| {
        let mut set = window(&store, FROM, to);
        set.push("alerts.replayed=true".to_owned());
        set.push(format!("alerts.alertmanager.urls=[\"http://127.0.0.1:{port}\"]"));
        set.push("alerts.feed.sender=floods@example.org".to_owned());
        succeed(nilometer("replay", &definition(), &set))
    };
    // No receiver hears of the first hours of the warning: the receiver is down, and the replay ends all the same.
    let said = replay("2014-11-04T06:00:00Z");
    assert!(String::from_utf8_lossy(&said.stderr).contains("alerts are not taken; tried again until they are"));
    let alertmanager = Alertmanager::start(port, folder.path());
    replay("2014-11-04T08:00:00Z");
    let groups = alertmanager.get("alerts/groups");
    let [group] = groups.as_array().unwrap().as_slice() else { panic!("{groups}") };
    assert_eq!(group["labels"], serde_json::json!({"river": "Cance"}));
    let [alert] = group["alerts"].as_array().unwrap().as_slice() else {
        panic!("the lower threshold is beside it: {group}")
    };
    let labels = serde_json::json!({
        "alertname": "Flood", "river": "Cance", "severity": "warning", "station": STATION, "threshold": "major",
    });
    assert_eq!(alert["labels"], labels);
    assert!(alert["annotations"]["description"].as_str().unwrap().contains("chance of 300 m³/s"), "{alert}");
    assert_eq!(alert["status"]["state"], "active");

    // Who has taken note is not called again, until the river is there.
    let mut acknowledge = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    acknowledge.args(["alerts", "acknowledge", STATION, "--by", "ana", "--note", "on our way", "--store"]).arg(&store);
    succeed(acknowledge);
    replay("2014-11-04T09:00:00Z");
    let alerts = alertmanager.get("alerts");
    assert_eq!(alerts[0]["status"]["state"], "suppressed", "{alerts}");
    assert_eq!(alerts[0]["annotations"]["acknowledged_by"], "ana");
    let silences = alertmanager.get("silences");
    assert!(silences[0]["comment"].as_str().unwrap().contains("on our way"), "{silences}");
    replay("2014-11-04T21:00:00Z");
    let alerts = alertmanager.get("alerts");
    assert_eq!(alerts[0]["status"]["state"], "active", "{alerts}");
    assert!(alerts[0]["annotations"]["description"].as_str().unwrap().contains("above 300 m³/s"), "{alerts}");

    let mut list = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    list.args(["alerts", "list", "--at", "2014-11-04T09:00:00Z"]).arg(&store);
    let listed = succeed(list).stdout;
    let listed = String::from_utf8_lossy(&listed);
    assert!(listed.contains("1 alert on 1 river") && listed.contains("acknowledged by ana"), "{listed}");

    replay("2014-11-06T00:00:00Z");
    assert_eq!(alertmanager.get("alerts?active=true"), serde_json::json!([]));
    let mut cap = Command::new(root().join("ops/receivers"));
    cap.arg("cap").arg(store.join("feed/cap"));
    let checked = succeed(cap).stdout;
    assert!(String::from_utf8_lossy(&checked).contains(" messages, 0 not valid"));
    let cancelled = std::fs::read_dir(store.join("feed/cap"))
        .unwrap()
        .flatten()
        .filter(|file| std::fs::read_to_string(file.path()).unwrap().contains("<msgType>Cancel</msgType>"));
    assert!(cancelled.count() >= 2, "both thresholds have passed");
}
