//! Rules and routes in `ops/prometheus` and dashboards in `ops/grafana`: held against Prometheus and Alertmanager themselves, against Grafana's schemas,
//! and against the metrics that there are. `ops/test dashboards` asks the dashboards' questions.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{files, root, service::Service, succeed, window};
use nilometer_needs::needs;

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What `nilometer metrics` prints.
fn page() -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    command.arg("metrics");
    String::from_utf8(succeed(command).stdout).unwrap()
}

/// The metrics of an expression; what rules record has a colon in its name.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let names = text.split(|c| !is_of_name(c)).filter(|name| !name.contains(':'));
    names.filter(|name| name.starts_with("nilometer_") || name.starts_with("process_")).collect()
}

fn alerts(rules: &str) -> Vec<&str> {
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect()
}

#[needs(prometheus)]
#[test]
fn rules_and_routes_hold_on_prometheus_and_alertmanager_themselves() {
    let mut check = Command::new(root().join("ops/rules"));
    check.stdin(Stdio::null());
    println!("{}", String::from_utf8_lossy(&succeed(check).stdout));
}

#[needs(cance, prometheus)]
#[test]
fn what_is_scraped_is_as_prometheus_wants_it() {
    let folder = tempfile::tempdir().unwrap();
    let set = window(&folder.path().join("store"), "2014-11-03T20:00:00Z", "2014-11-04T02:00:00Z");
    let mut service = Service::start(&set, &[], &folder.path().join("log"));
    service.settled();
    for path in ["/metrics", "/metrics/stations"] {
        let scraped = service.root(path).text();
        let mut check = Command::new("promtool");
        check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut check = check.spawn().unwrap();
        check.stdin.take().unwrap().write_all(scraped.as_bytes()).unwrap();
        let ended = check.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success() && said.trim().is_empty(), "{path}: {said}");
    }
    // Nothing is scraped that the page does not have.
    let page = page();
    let scraped = service.root("/metrics").text() + &service.root("/metrics/stations").text();
    let families = scraped.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    for family in families {
        assert!(page.contains(&format!("| `{family}` |")), "{family} is scraped and not in docs/metrics.md");
    }
}

#[test]
fn the_page_of_metrics_is_what_is_registered() {
    assert_eq!(text("docs/metrics.md"), page(), "docs/metrics.md is what `nilometer metrics` prints");
}

#[needs(clients, standards)]
#[test]
fn dashboards_hold_against_the_schemas_of_grafana() {
    let schemas = std::env::var_os("NILOMETER_STANDARDS")
        .map_or_else(|| root().join("../shared/operators/standards"), Into::into)
        .join("grafana");
    let mut check = Command::new(root().join("ops/clients"));
    check.arg("dashboards").arg(schemas).stdin(Stdio::null());
    println!("{}", String::from_utf8_lossy(&succeed(check).stdout));
}

#[test]
fn rules_and_dashboards_ask_what_there_is() {
    let page = page();
    let recorded = text("ops/prometheus/recording.yml");
    let dashboards = fs::read_dir(root().join("ops/grafana/dashboards")).unwrap();
    let dashboards = dashboards.map(|file| file.unwrap().path().display().to_string());
    let rules = ["ops/prometheus/recording.yml", "ops/prometheus/alerts.yml"].map(str::to_owned);
    for rules in rules.into_iter().chain(dashboards) {
        let text = text(&rules);
        let is_asked = |line: &&str| !line.trim_start().starts_with('#') && !line.contains("\"uid\"");
        let expressions = text.lines().filter(is_asked);
        let records = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
        for name in records.filter(|name| name.contains("nilometer_") && name.contains(':') && !name.ends_with(':')) {
            assert!(recorded.contains(&format!("record: {name}\n")), "{rules} asks {name}, which no rule records");
        }
        for name in expressions.flat_map(metrics_in) {
            let family = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end));
            let there = [Some(name), family].into_iter().flatten().any(|name| page.contains(&format!("| `{name}` |")));
            assert!(there, "{rules} asks {name}, which is not in docs/metrics.md");
        }
    }
}

#[test]
fn each_alert_is_tested_and_has_its_section_in_the_runbook() {
    let rules = text("ops/prometheus/alerts.yml");
    let tests = text("ops/prometheus/alerts.test.yml") + &text("ops/prometheus/drift.test.yml");
    let runbook = text("docs/runbook.md");
    let drills = ["one_process", "over_kafka"].map(|name| text(&format!("tests/gameday/{name}.rs"))).concat();
    let alerts = alerts(&rules);
    assert!(alerts.len() > 20, "{alerts:?}");
    for alert in &alerts {
        assert!(tests.contains(&format!("alertname=\"{alert}\"")), "{alert} has no test");
        assert!(drills.contains(&format!("\"{alert}\"")), "{alert} is not fired in the game day");
        assert!(runbook.contains(&format!("## {alert}\n")), "{alert} has no section in docs/runbook.md");
        let link = format!("runbook_url: docs/runbook.md#{}\n", alert.to_lowercase());
        assert!(rules.contains(&link), "{alert} does not link to its section");
    }
    let sections = runbook.lines().filter_map(|line| line.strip_prefix("## "));
    let without: Vec<&str> = sections.filter(|section| !alerts.contains(section)).collect();
    assert!(without.is_empty(), "the runbook has sections of no alert: {without:?}");
}

/// Every line of Rust below a folder.
fn sources(folder: &Path) -> String {
    let is_rust = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    files(folder).into_keys().filter(is_rust).map(|path| fs::read_to_string(folder.join(path)).unwrap()).collect()
}

#[test]
fn the_lines_that_the_page_of_logs_names_are_logged() {
    let page = text("docs/logs.md");
    let (_, behind) = page.split_once("| trouble | line |").unwrap();
    let (table, _) = behind.split_once("\n\n").unwrap();
    let logged = sources(&root().join("services")) + &sources(&root().join("pipelines"));
    let mut named = 0;
    for row in table.lines().skip(2) {
        let cells: Vec<&str> = row.split(" | ").collect();
        let ends = cells[2].split("; ").filter(|part| part.contains(" is its end"));
        for line in [cells[1]].into_iter().chain(ends) {
            let line = line.split('`').nth(1).unwrap();
            assert!(logged.contains(&format!("\"{line}")), "{line}");
            named += 1;
        }
    }
    assert!(named > 15, "{named}");
}
