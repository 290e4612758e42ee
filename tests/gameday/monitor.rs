//! A real Prometheus with our rules, and a real Alertmanager with our routes.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::{scaled, support::root};

/// An alert that Alertmanager has.
pub struct Active {
    pub name: String,
    pub receiver: String,
}

pub struct Monitor {
    processes: Vec<Child>,
    alertmanager: String,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

/// A port that was free a moment ago, for programs that cannot choose.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Monitor {
    /// Starts both; Prometheus asks the targets and sends alerts to Alertmanager.
    pub fn start(folder: &Path, targets: &[String], unwatched: &[&str]) -> Self {
        let source = root().join("ops/prometheus");
        let folder = folder.join("monitor");
        fs::create_dir_all(&folder).unwrap();
        let [prometheus, alertmanager] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
        for name in ["recording.yml", "alerts.yml"] {
            scaled::copy(&source.join(name), &folder.join(name), unwatched);
        }
        let text = fs::read_to_string(source.join("prometheus.yml")).unwrap();
        let (global, _) = text.split_once("  - job_name: nilometer-stations").unwrap();
        let text = global
            .replace("scrape_interval: 15s", "scrape_interval: 500ms")
            .replace("evaluation_interval: 15s", "evaluation_interval: 500ms")
            .replace("127.0.0.1:9093", &alertmanager)
            .replace("127.0.0.1:9464", &targets.join(", "));
        // Weeks are minutes here, and not all lead times have learned how wide their bands should be: one that has is watched.
        let watched = "    metric_relabel_configs: [{ source_labels: [lead], regex: 1h|1d, action: drop }]\n";
        fs::write(folder.join("prometheus.yml"), text + watched).unwrap();
        let log = |name: &str| Stdio::from(fs::File::create(folder.join(name)).unwrap());
        let mut command = Command::new("prometheus-alertmanager");
        command
            .arg(format!("--config.file={}", source.join("alertmanager.yml").display()))
            .arg(format!("--storage.path={}", folder.join("alertmanager").display()))
            .args([format!("--web.listen-address={alertmanager}"), "--cluster.listen-address=".to_owned()]);
        let sends = command.stdout(Stdio::null()).stderr(log("alertmanager.log")).spawn().unwrap();
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .args([format!("--web.listen-address={prometheus}"), "--rules.alert.resend-delay=1s".to_owned()]);
        let asks = command.stdout(Stdio::null()).stderr(log("prometheus.log")).spawn().unwrap();
        println!("Prometheus at http://{prometheus}, Alertmanager at http://{alertmanager}");
        Self {
            processes: vec![sends, asks],
            alertmanager,
            client: reqwest::Client::new(),
            runtime: tokio::runtime::Runtime::new().unwrap(),
        }
    }

    /// The alerts of ours that Alertmanager passes on: not those that another explains.
    pub fn active(&self) -> Vec<Active> {
        let url = format!("http://{}/api/v2/alerts?inhibited=false", self.alertmanager);
        let Some(body) = self.get(&url).map(|(_, body)| body) else { return Vec::new() };
        let found: Value = serde_json::from_slice(&body).unwrap_or_default();
        let of = |alert: &Value| Active {
            name: alert["labels"]["alertname"].as_str().unwrap_or_default().to_owned(),
            receiver: alert["receivers"][0]["name"].as_str().unwrap_or_default().to_owned(),
        };
        found.as_array().into_iter().flatten().map(of).collect()
    }

    /// Status and body; none where nothing answers.
    pub fn get(&self, url: &str) -> Option<(u16, Vec<u8>)> {
        self.runtime.block_on(async {
            let request = self.client.get(url).timeout(std::time::Duration::from_secs(20));
            let response = request.send().await.ok()?;
            Some((response.status().as_u16(), response.bytes().await.ok()?.to_vec()))
        })
    }

    /// Asks SQL and does not wait for the answer.
    pub fn post_and_forget(&self, url: String, body: String) {
        let request = self.client.post(url).body(body);
        self.runtime.spawn(async move { drop(request.send().await) });
    }

    /// Its logs.
    pub fn folder(folder: &Path) -> PathBuf {
        folder.join("monitor")
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        for process in &mut self.processes {
            drop(process.kill());
            drop(process.wait());
        }
    }
}
