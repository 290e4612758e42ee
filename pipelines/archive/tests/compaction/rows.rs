//! Messages of every contract that is published.

use arrow::{
    array::RecordBatch,
    row::{RowConverter, SortField},
};
use nilometer_archive::{object_key, to_parquet, visit};
use nilometer_engine::Partition;
use nilometer_schemas::{
    ActionRow, ActionsBuilder, AlertRow, AlertsBuilder, AnalysesBuilder, AnalysisRow, Contract, DeadLetterRow,
    DeadLettersBuilder, DroughtRow, DroughtsBuilder, EventRow, EventsBuilder, Flag, ForcingRow, ForcingsBuilder,
    ForecastRow, ForecastsBuilder, LeadProbability, ModelRow, ModelsBuilder, ObservationRow, ObservationsBuilder,
    QUANTILE_LEVELS, Reason, ScoreRow, ScoresBuilder, StageForecast, StateRow, StatesBuilder, ThresholdScore,
    Timestamp, Variable,
};
use object_store::{ObjectStore, ObjectStoreExt as _, path::Path};

use crate::outlooks::outlooks;

pub const DAY: &str = "2014-11-04";

/// What the archive is made of.
pub const PUBLISHED: [Contract; 16] = [
    Contract::Observation,
    Contract::Forcing,
    Contract::Model,
    Contract::Forecast,
    Contract::ShadowForecast,
    Contract::Event,
    Contract::State,
    Contract::Alert,
    Contract::Operator,
    Contract::Drought,
    Contract::Outlook,
    Contract::DroughtOutlook,
    Contract::OutlookScore,
    Contract::Analysis,
    Contract::Score,
    Contract::DeadLetter,
];

pub fn at(hour: i64) -> Timestamp {
    DAY.parse::<Timestamp>().unwrap().plus_s(hour * 3_600)
}

/// A message of an hour: a few rows of each of three catchments, none of which is in another message.
pub fn message(contract: Contract, number: u32, hour: i64) -> RecordBatch {
    let time = at(hour);
    let value = f64::from(number) * 1_000.0 + hour as f64;
    let catchments = ["C", "A", "B"].map(|name| format!("{name}{number}"));
    let mut observations = ObservationsBuilder::new();
    let mut forcings = ForcingsBuilder::new();
    let mut events = EventsBuilder::new();
    let mut states = StatesBuilder::new();
    let mut alerts = AlertsBuilder::new();
    let mut actions = ActionsBuilder::new();
    let mut droughts = DroughtsBuilder::new();
    let mut models = ModelsBuilder::new();
    let mut forecasts = ForecastsBuilder::new();
    let mut analyses = AnalysesBuilder::new();
    let mut scores = ScoresBuilder::new();
    let mut dead_letters = DeadLettersBuilder::new();
    for (i, catchment) in catchments.iter().enumerate() {
        for lead in [2, 1] {
            let value = value + 10.0 * i as f64 + 0.1 * lead as f64;
            let valid_time = time.plus_s(lead * 3_600);
            observations.push(ObservationRow {
                station: catchment,
                variable: if lead == 1 { Variable::Discharge } else { Variable::Stage },
                // The hour before, and now and then a correction of one that has been there.
                valid_time: if hour % 3 == 2 { at(hour - 2) } else { time },
                period_s: 0,
                value: (hour % 4 != 3).then_some(value),
                flag: if hour % 4 == 3 { Flag::Missing } else { Flag::Pass },
                flag_source: "checks",
                qualifier: (i == 1).then_some("ice"),
                source: "gauges",
                ingest_time: time,
            });
            forcings.push(ForcingRow {
                catchment,
                variable: if lead == 1 { Variable::Precipitation } else { Variable::AirTemperature },
                valid_time: time,
                period_s: 3_600,
                value: Some(value),
                valid_weight_fraction: 1.0,
                flag: Flag::Pass,
                flag_source: "checks",
                member: None,
                issue_time: None,
                source: "radar",
                ingest_time: time,
            });
            models.push(ModelRow {
                name: catchment,
                version: "1",
                package_sha256: &"0a".repeat(32),
                weights_sha256: "0b",
                weight: 1.0,
                reason: &value.to_string(),
                author: "test",
                announcement: hour as u64,
                ingest_time: time,
            });
            let members = [value as f32, 2.0];
            forecasts.push(ForecastRow {
                catchment,
                variable: Variable::Discharge,
                issue_time: time,
                valid_time,
                mean: value,
                quantiles: &QUANTILE_LEVELS.map(|level| value + level),
                tails: None,
                simulated: None,
                members: 2,
                scenario: "zero",
                state_time: time,
                filled_steps: 0,
                model: "lstm",
                model_version: "1",
                weights_sha256: "0b",
                observation_position: hour as u64,
                forcing_position: hour as u64,
                supersedes: None,
                reason: None,
                stage: (i == 0).then_some(StageForecast {
                    stage_m: [0.1, 0.2, 0.3, 0.4, 0.5],
                    rating_version: "7",
                    extrapolated: false,
                }),
                member_values: (i != 1).then_some(&members),
                shadow: contract == Contract::ShadowForecast,
            });
            alerts.push(AlertRow {
                alert: catchment,
                station: catchment,
                kind: "flood",
                threshold: if lead == 1 { "minor" } else { "major" },
                time,
                change: "raised",
                state: "watch",
                probability: Some(0.25 * lead as f64),
                ..AlertRow::BLANK
            });
            droughts.push(DroughtRow {
                catchment,
                station: catchment,
                index: if lead == 1 { "streamflow" } else { "root_zone" },
                valid_time: time,
                analysis_time: time,
                value: Some(value),
                unit: "mm",
                percentile: Some(12.5),
                score: Some(-1.15),
                years: 9,
                class: Some("D1"),
                change: "persists",
                since: Some(time),
                duration_days: 8,
                deficit_m3: (lead == 1).then_some(value),
                lowest_flow_m3_s: None,
            });
            actions.push(ActionRow {
                station: catchment,
                kind: None,
                threshold: (lead == 1).then_some("minor"),
                action: "note",
                operator: "ana",
                note: Some("seen"),
                until: None,
                new_level: None,
                number: hour as u64,
                action_time: time,
                ingest_time: time,
            });
            states.push(StateRow {
                catchment,
                valid_time: time,
                analysis_time: time,
                store: if lead == 1 { "snow_store" } else { "soil_store" },
                mean: value,
                quantiles: [-2.0, -1.0, 0.0, 1.0, 2.0].map(|off| value + off),
                members: 32,
                model: "hybrid",
                weights_sha256: "00",
            });
            events.push(EventRow {
                catchment,
                station: catchment,
                threshold: "minor",
                threshold_name: "Minor flood",
                variable: Variable::Discharge,
                level: 150.0,
                level_m3_s: 150.0,
                below: false,
                issue_time: time,
                until: valid_time,
                probability: 0.5,
                by_lead: &[LeadProbability { lead_time_s: 3_600, probability: 0.5 }],
                crossing_q10: Some(valid_time),
                crossing_q50: None,
                crossing_q90: None,
                peak_q05: value,
                peak_q50: value,
                peak_q95: value,
                peak_time_q10: valid_time,
                peak_time_q50: valid_time,
                peak_time_q90: valid_time,
                duration_s_q10: None,
                duration_s_q50: None,
                duration_s_q90: None,
                volume_m3_q10: None,
                volume_m3_q50: None,
                volume_m3_q90: None,
                rise_q50: 1.0,
                rise_q95: 2.0,
                trajectories: 32,
                scenario: "zero",
                state_time: time,
                model: "lstm",
                model_version: "1",
                weights_sha256: "0b",
                observation_position: hour as u64,
                forcing_position: hour as u64,
                supersedes: None,
                reason: None,
            });
            analyses.push(AnalysisRow {
                catchment,
                station: catchment,
                variable: Variable::Discharge,
                valid_time,
                analysis_time: time,
                observed: value,
                predicted: 1.0,
                innovation: 0.5,
                spread: (i == 0).then_some(0.1),
                error_std: 0.1,
                flag: Flag::Pass,
                method: "etkf",
                increments: &[("soil", value), ("snow", 0.0)][..i],
                output_error_increment: None,
                model: "lstm",
                weights_sha256: "0b",
            });
            let thresholds =
                [ThresholdScore { threshold: 100.0, exceedance: 0.5, brier: 0.25, floods: [1, 0, hour as u64] }];
            scores.push(ScoreRow {
                catchment,
                variable: Variable::Discharge,
                issue_time: time.plus_s(-lead * 3_600),
                valid_time: time,
                score_time: time,
                observed: value,
                flag: Flag::Pass,
                mean: value,
                crps: 0.5,
                pinball: [0.1, 0.2, 0.3],
                pit: 0.5,
                width_90: 1.0,
                covered_90: true,
                crps_persistence: None,
                crps_climatology: Some(1.0),
                thresholds: &thresholds[..usize::from(i == 0)],
                peaks: 0,
                peak_timing_steps: None,
                pairs: hour as u64,
                nse: None,
                kge: Some(0.5),
                scenario: "zero",
                model: "lstm",
                weights_sha256: "0b",
                shadow: false,
            });
            dead_letters.push(&DeadLetterRow {
                source: catchment.clone(),
                locator: format!("{hour}.csv"),
                reason: Reason::Undecodable,
                detail: "cut".to_owned(),
                rows: 1,
                content_type: "text/csv",
                bytes: value.to_le_bytes().to_vec(),
                ingest_time: time,
            });
        }
    }
    match contract {
        Contract::Observation => observations.finish().unwrap().into_batch(),
        Contract::Forcing => forcings.finish().unwrap().into_batch(),
        Contract::Model => models.finish().unwrap().into_batch(),
        Contract::Forecast | Contract::ShadowForecast => forecasts.finish().unwrap().into_batch(),
        Contract::Alert => alerts.finish().unwrap().into_batch(),
        Contract::Drought => droughts.finish().unwrap().into_batch(),
        Contract::Outlook | Contract::DroughtOutlook | Contract::OutlookScore => {
            outlooks(contract, &catchments, time, value)
        }
        Contract::Operator => actions.finish().unwrap().into_batch(),
        Contract::State => states.finish().unwrap().into_batch(),
        Contract::Event => events.finish().unwrap().into_batch(),
        Contract::Analysis => analyses.finish().unwrap().into_batch(),
        Contract::Score => scores.finish().unwrap().into_batch(),
        Contract::DeadLetter => dead_letters.finish().unwrap().into_batch(),
        Contract::Grid | Contract::Raw => unreachable!("these are not published"),
    }
}

/// Writes a message as the role publish does; gives its key.
pub async fn publish(store: &dyn ObjectStore, contract: Contract, number: u32, hour: i64) -> Path {
    let rows = message(contract, number, hour);
    let key = object_key(&Path::from(""), Partition::new(contract, number), at(hour), hour as u64, &rows);
    store.put(&key, to_parquet(&rows).unwrap().into()).await.unwrap();
    key
}

/// The messages of some hours, of two partitions.
pub async fn publish_hours(store: &dyn ObjectStore, contract: Contract, hours: std::ops::Range<i64>) {
    for hour in hours {
        for number in [0, 1] {
            publish(store, contract, number, hour).await;
        }
    }
}

/// The rows of those, sorted.
pub fn rows_of_hours(contract: Contract, hours: std::ops::Range<i64>) -> Vec<Vec<u8>> {
    let messages = hours.flat_map(|hour| [0, 1].map(|number| message(contract, number, hour)));
    sorted(messages.flat_map(|message| comparable(&message)).collect())
}

/// Each row as bytes that are the same of the same values.
pub fn comparable(batch: &RecordBatch) -> Vec<Vec<u8>> {
    let fields = batch.schema().fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
    let rows = RowConverter::new(fields).unwrap().convert_columns(batch.columns()).unwrap();
    rows.iter().map(|row| row.as_ref().to_vec()).collect()
}

pub fn sorted(mut rows: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    rows.sort();
    rows
}

/// All rows of a contract as a reader sees them, sorted.
pub async fn visited(store: &dyn ObjectStore, contract: Contract) -> Vec<Vec<u8>> {
    let mut rows = Vec::new();
    visit(store, contract, None, |batch| {
        rows.extend(comparable(&contract.accept(batch).unwrap()));
        Ok::<_, nilometer_archive::ArchiveError>(())
    })
    .await
    .unwrap();
    sorted(rows)
}
