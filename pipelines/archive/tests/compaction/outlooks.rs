//! Messages of outlooks.

use arrow::array::RecordBatch;
use nilometer_schemas::{
    Contract, DroughtOutlookRow, DroughtOutlooksBuilder, OutlookRow, OutlookScoreRow, OutlookScoresBuilder,
    OutlooksBuilder, Timestamp,
};

/// Two weeks of each catchment.
pub fn outlooks(contract: Contract, catchments: &[String], time: Timestamp, value: f64) -> RecordBatch {
    let (mut outlooks, mut odds, mut scores) =
        (OutlooksBuilder::new(), DroughtOutlooksBuilder::new(), OutlookScoresBuilder::new());
    for catchment in catchments {
        for week in [2, 1] {
            let valid_time = time.plus_s(i64::from(week) * 7 * 86_400);
            outlooks.push(OutlookRow {
                catchment,
                station: catchment,
                index: "streamflow",
                issue_time: time,
                week,
                valid_time,
                unit: "m3 s-1",
                values: &[value, 1.0, 2.0],
                scenario: "past_years",
                years: 5,
                state_time: time,
                model: "lstm",
                model_version: "1",
                weights_sha256: "0b",
                observation_position: 1,
                forcing_position: 2,
            });
            odds.push(DroughtOutlookRow {
                catchment,
                station: catchment,
                index: "streamflow",
                issue_time: time,
                week,
                valid_time,
                at_least: [0.5, 0.4, 0.3, 0.2, 0.1],
                reached: [0.6, 0.5, 0.4, 0.3, 0.2],
                percentiles: [1.0, 20.0, 80.0],
                percentile_now: (week == 1).then_some(value.min(100.0)),
                class_now: (week == 1).then_some("D2"),
                trajectories: 3,
                years: 5,
                scenario: "past_years",
                model: "lstm",
                model_version: "1",
                weights_sha256: "0b",
            });
            scores.push(OutlookScoreRow {
                catchment,
                index: "streamflow",
                issue_time: time,
                week,
                valid_time,
                score_time: valid_time,
                percentile: 7.0,
                class: Some("D2"),
                class_persistence: None,
                at_least: [0.5, 0.4, 0.3, 0.2, 0.1],
                rps: value,
                rps_persistence: 3.0,
                rps_climatology: 2.0,
                scenario: "past_years",
                model: "lstm",
                weights_sha256: "0b",
            });
        }
    }
    match contract {
        Contract::Outlook => outlooks.finish().unwrap().into_batch(),
        Contract::DroughtOutlook => odds.finish().unwrap().into_batch(),
        _ => scores.finish().unwrap().into_batch(),
    }
}
