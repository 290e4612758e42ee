//! `nilometer metrics`: every metric that a process may show, as a page.

use anyhow::Result;
use nilometer_pipeline::{Inventory, inventory};

const HEAD: &str = "\
# Metrics

Written by `nilometer metrics` from what is registered. A metric without a value yet, as a counter of dead letters before the first one, is not in an answer.
[Rules](../ops/prometheus/alerts.yml) and [dashboards](../ops/grafana/README.md) ask these, and the [runbook](runbook.md) says what to do when a rule fires.
";
const STATIONS: &str = "
## `/metrics/stations`

Where each river stands, of `serve.station_metrics` stations at most. A forecast is its values at a few lead times: Prometheus takes no sample that lies ahead.
";

pub fn run() -> Result<()> {
    let [process, stations] = inventory()?;
    print!("{HEAD}\n## `/metrics`\n{}{STATIONS}{}", table(&process), table(&stations));
    Ok(())
}

fn table(inventory: &Inventory) -> String {
    let rows = inventory.iter().map(|(name, of)| {
        let labels: Vec<String> = of.labels.iter().map(|label| format!("`{label}`")).collect();
        format!("| `{name}` | {} | {} | {} |\n", of.kind, labels.join(", "), of.help.replace('|', "\\|"))
    });
    format!("\n| metric | type | labels | meaning |\n|---|---|---|---|\n{}", rows.collect::<String>())
}
