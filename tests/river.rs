//! A gauge at the mouth of a river is news of the catchments above it whose own gauges are silent.

use std::{collections::BTreeMap, fs, io::Write as _, path::Path};

use crate::support::{archived, cance, definition, nilometer, root, succeed};
use nilometer_needs::needs;
use nilometer_schemas::{Forecasts, QUANTILE_LEVELS, Timestamp};
use nilometer_statistics::crps_quantiles;

const LEAD_S: i64 = 6 * 3_600;

/// What a gauge's file holds: discharge by time.
fn read(cance: &Path, gauge: &str, begin: &str) -> BTreeMap<i64, f64> {
    let begin: Timestamp = begin.parse().unwrap();
    let text = fs::read_to_string(cance.join(format!("qobs/{gauge}.csv"))).unwrap();
    assert_eq!(text.lines().next().unwrap(), begin.to_string().replace(['-', ':', 'T'], "")[..12].to_owned());
    let flows = text
        .lines()
        .skip(1)
        .zip(0..)
        .map(|(line, hour)| (begin.plus_s(hour * 3_600).0, line.trim().parse::<f64>().unwrap()));
    flows.filter(|(_, flow)| *flow >= 0.0).collect()
}

/// Mean CRPS of a gauge's forecasts six hours ahead, m³/s.
fn crps_m3_s(store: &Path, gauge: &str, observed: &BTreeMap<i64, f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for batch in archived(store, "forecast.v1") {
        let rows = Forecasts::try_from(batch).unwrap();
        for row in (0..rows.len()).filter(|row| rows.lead_time_s().value(*row) == LEAD_S) {
            let flow = observed.get(&rows.valid_time().value(row));
            if let Some(flow) = flow.filter(|_| rows.catchment().value(row) == gauge) {
                let quantiles = QUANTILE_LEVELS.map(|level| rows.quantile(level).value(row));
                sum += crps_quantiles(&QUANTILE_LEVELS, &quantiles, *flow).unwrap();
                count += 1.0;
            }
        }
    }
    assert!(count > 400.0, "{gauge}: {count} forecasts");
    sum / count
}

#[needs(cance)]
#[test]
fn catchments_with_silent_gauges_are_forecast_better_with_the_gauge_below_them() {
    let cance = cance();
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(definition()).unwrap().replace("../../", &format!("{}/", root().display()));
    let [begin, end] = ["[source.discharge_V3515010]", "# A weather forecast"].map(|mark| text.find(mark).unwrap());
    let alone = folder.path().join("alone.toml");
    fs::write(&alone, format!("{}{}", &text[..begin], &text[end..])).unwrap();
    let run = |more: &[&str]| {
        let store = tempfile::tempdir().unwrap();
        let mut hindcast = nilometer("hindcast", &alone, &more.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        hindcast.args(["--warm-up-from", "2014-09-15", "--from", "2014-11-01", "--to", "2014-11-20"]);
        hindcast.args(["--leads", "6", "--out"]).arg(store.path());
        succeed(hindcast);
        store
    };
    let (without, with) = (run(&[]), run(&["assimilation.river={ half_width_km = 15, correlation = 0.6 }"]));
    for (gauge, begin) in [("V3515010", "2005-12-31T00:00:00Z"), ("V3517010", "2005-12-31T00:00:00Z")] {
        let observed = read(&cance, gauge, begin);
        let [without, with] = [&without, &with].map(|store| crps_m3_s(store.path(), gauge, &observed));
        let _ = writeln!(
            std::io::stderr(),
            "{gauge}, 6 h ahead: CRPS {without:.3} m3/s without, {with:.3} with the gauge below it"
        );
        assert!(with < without, "{gauge}: {with} and {without}");
    }
}
