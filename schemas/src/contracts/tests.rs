use arrow::array::Array as _;

use super::*;
use crate::Timestamp;

fn row(value: Option<f64>, flag: Flag) -> ObservationRow<'static> {
    ObservationRow {
        station: "V3524010",
        variable: Variable::Discharge,
        valid_time: Timestamp(0),
        period_s: 0,
        value,
        flag,
        flag_source: "checks",
        qualifier: None,
        source: "hydrometry",
        ingest_time: Timestamp(1),
    }
}

#[test]
fn a_value_that_is_not_a_number_never_becomes_an_observation() {
    let mut b = ObservationsBuilder::new();
    b.push(row(Some(f64::NAN), Flag::Pass));
    let error = b.finish().unwrap_err().to_string();
    assert!(error.contains("observation.v1") && error.contains("row 0") && error.contains("finite"), "{error}");
    b.push(row(None, Flag::Pass));
    assert!(b.finish().is_err(), "a missing value needs flag 9");
    b.push(row(None, Flag::Missing));
    assert_eq!(b.finish().unwrap().len(), 1);
}

#[test]
fn quantiles_that_cross_are_refused() {
    let mut quantiles = QUANTILE_LEVELS;
    let forecast = |q: &[f64; 19]| {
        let mut b = ForecastsBuilder::new();
        b.push(ForecastRow {
            catchment: "V3524010",
            variable: Variable::Discharge,
            issue_time: Timestamp(0),
            valid_time: Timestamp(3_600_000_000),
            mean: 1.0,
            quantiles: q,
            tails: None,
            simulated: None,
            members: 32,
            scenario: "zero",
            state_time: Timestamp(0),
            filled_steps: 0,
            model: "m",
            model_version: "1",
            weights_sha256: "00",
            observation_position: 1,
            forcing_position: 1,
            supersedes: None,
            reason: None,
            stage: None,
            member_values: Some(&[0.5, 1.5]),
            shadow: false,
        });
        b.finish()
    };
    assert_eq!(forecast(&quantiles).unwrap().lead_time_s().value(0), 3600);
    quantiles[3] = f64::NAN;
    assert!(forecast(&quantiles).is_err());
    quantiles[3] = -1.0;
    assert!(forecast(&quantiles).unwrap_err().to_string().contains("never cross"));
}

#[test]
fn a_batch_with_another_column_is_refused_by_name() {
    let batch = Observations::empty().into_batch();
    let error = Forcings::try_from(batch).unwrap_err().to_string();
    assert!(error.contains("station (Utf8)") && error.contains("catchment (Utf8)"), "{error}");
}

#[test]
fn grids_keep_missing_cells_as_nulls() {
    let mut b = GridsBuilder::new();
    let mut field = GridField {
        variable: Variable::Precipitation,
        valid_time: Timestamp(0),
        period_s: 3600,
        crs: "EPSG:2154",
        width: 2,
        height: 1,
        west: 0.0,
        north: 0.0,
        cell_width: 1000.0,
        cell_height: 1000.0,
        values: &[1.5, f32::NAN],
        source: "radar",
        ingest_time: Timestamp(0),
    };
    b.push(field);
    let cells = b.finish().unwrap().cells(0);
    assert_eq!(cells.iter().collect::<Vec<_>>(), [Some(1.5), None]);
    field.width = 3;
    b.push(field);
    assert!(b.finish().is_err());
}

#[test]
fn contracts_are_frozen() {
    for contract in Contract::ALL {
        let path = format!("{}/frozen/{}.json", env!("CARGO_MANIFEST_DIR"), contract.version());
        let now = format!("{:#}\n", contract.render());
        let frozen = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            frozen == now,
            "{contract} changed. A published contract is never edited: add a new version. \
             If it was never published, write this to {path}:\n{now}"
        );
    }
}

#[test]
fn what_was_frozen_before_is_where_later_versions_begin() {
    for contract in Contract::ALL {
        // Shadow forecasts began with the columns that forecasts had then.
        let (rows, _) = contract.version().rsplit_once(".v").unwrap();
        let path = format!("{}/frozen/{rows}.v1.json", env!("CARGO_MANIFEST_DIR"));
        let frozen: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let (first, now) = (frozen["fields"].as_array().unwrap().clone(), contract.render());
        let now = now["fields"].as_array().unwrap();
        assert_eq!(now[..first.len()], first, "{contract}");
        assert!(now[first.len()..].iter().all(|field| field["nullable"] == true), "{contract}");
    }
}

#[test]
fn quantile_columns_read_as_percent() {
    assert_eq!(quantile_column(0.05), "q05");
    assert_eq!(quantile_column(0.95), "q95");
}

fn analysis_row<'a>(increments: &'a [(&'a str, f64)]) -> AnalysisRow<'a> {
    AnalysisRow {
        catchment: "V1",
        station: "V1",
        variable: Variable::Discharge,
        valid_time: Timestamp(3_600_000_000),
        analysis_time: Timestamp(7_200_000_000),
        observed: 12.0,
        predicted: 10.0,
        innovation: 0.18,
        spread: Some(0.1),
        error_std: 0.05,
        flag: Flag::Pass,
        method: "etkf",
        increments,
        output_error_increment: None,
        model: "exphydro",
        weights_sha256: "00",
    }
}

#[test]
fn each_row_has_its_own_stores() {
    let mut builder = AnalysesBuilder::default();
    builder.push(analysis_row(&[("snow_store", 0.5), ("soil_store", -2.0)]));
    builder.push(analysis_row(&[]));
    let rows = builder.finish().unwrap();
    assert_eq!((rows.len(), rows.store().value(0).len(), rows.store().value(1).len()), (2, 2, 0));
    assert!(rows.output_error_increment().is_null(0));
    builder.push(AnalysisRow { predicted: f64::NAN, ..analysis_row(&[]) });
    assert!(builder.finish().unwrap_err().to_string().contains("predicted"));
}

#[test]
fn a_row_says_everything_of_one_forecast_and_a_number_that_is_none_is_refused() {
    let thresholds = [ThresholdScore { threshold: 100.0, exceedance: 0.2, brier: 0.04, floods: [3, 1, 2] }];
    let row = ScoreRow {
        catchment: "V1",
        variable: Variable::Discharge,
        issue_time: Timestamp(0),
        valid_time: Timestamp(3_600_000_000),
        score_time: Timestamp(7_200_000_000),
        observed: 12.0,
        flag: Flag::Pass,
        mean: 11.0,
        crps: 0.5,
        pinball: [0.1, 0.5, 0.2],
        pit: 0.8,
        width_90: 4.0,
        covered_90: true,
        crps_persistence: Some(2.0),
        crps_climatology: None,
        thresholds: &thresholds,
        shadow: true,
        peaks: 4,
        peak_timing_steps: Some(0.5),
        pairs: 1,
        nse: None,
        kge: None,
        scenario: "zero",
        model: "exphydro",
        weights_sha256: "00",
    };
    let mut builder = ScoresBuilder::default();
    builder.push(row);
    builder.push(ScoreRow { thresholds: &[], ..row });
    let scores = builder.finish().unwrap();
    assert_eq!((scores.len(), scores.lead_time_s().value(0)), (2, 3_600));
    assert_eq!((scores.brier().value(0).len(), scores.brier().value(1).len()), (1, 0));
    assert_eq!((scores.flood_misses().value(0).len(), scores.flood_misses().value(1).len()), (1, 0));
    assert!(scores.covered_90().value(0) && scores.crps_climatology().is_null(0) && scores.nse().is_null(1));
    builder.push(ScoreRow { crps: f64::NAN, ..row });
    assert!(builder.finish().unwrap_err().to_string().contains("crps"));
}
