use super::*;

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
