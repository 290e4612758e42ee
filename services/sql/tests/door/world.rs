//! A service of a few stations over a log, and its archive.

use std::{path::Path, sync::Arc, time::Duration};

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::Int64Type,
};
use futures::TryStreamExt as _;
use nilometer_archive::{compact, days, object_key, to_parquet};
use nilometer_definitions::Pipeline;
use nilometer_engine::{EmbeddedLog, Log, Message, Metrics, Partition, Stop};
use nilometer_schemas::{Contract, ForecastRow, ForecastsBuilder, Timestamp, Variable};
use nilometer_serve::{Dependencies, Memory, Site, run};
use nilometer_sql::{Engine, Limits, Source, SqlError};
use object_store::{ObjectStore, ObjectStoreExt as _, memory::InMemory};

pub const HOUR: i64 = 3_600;
pub const LEADS: i64 = 6;
/// 2014-11-03T00:00:00Z
pub const BEGIN: Timestamp = Timestamp(1_414_972_800_000_000);
const PARTITION: Partition = Partition::new(Contract::Forecast, 0);

pub struct World {
    pub site: Site,
    pub archive: Arc<dyn ObjectStore>,
    pub stations: usize,
    log: Arc<EmbeddedLog>,
    _stop: Stop,
}

/// A pipeline of so many stations, whose memory has two days.
pub fn pipeline(stations: usize, set: &[&str]) -> Pipeline {
    let definition = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/definitions/cance.toml");
    let set: Vec<String> = set.iter().map(|&key| key.to_owned()).collect();
    let mut pipeline = Pipeline::load(&definition, &set).unwrap();
    let one = pipeline.catchments[0].clone();
    let station = |number: usize| {
        let mut catchment = one.clone();
        catchment.id = name(number);
        catchment.downstream = None;
        catchment
    };
    pipeline.catchments = (0..stations).map(station).collect();
    pipeline
}

pub fn name(station: usize) -> String {
    format!("S{station:05}")
}

pub fn at(hour: i64) -> Timestamp {
    BEGIN.plus_s(hour * HOUR)
}

/// The forecasts of an hour.
pub fn forecasts(stations: usize, hour: i64) -> RecordBatch {
    let issue = at(hour);
    let mut rows = ForecastsBuilder::new();
    for station in 0..stations {
        let id = name(station);
        for lead in 1..=LEADS {
            let base = (station * 10) as f64 + hour as f64 + lead as f64 / 10.0;
            let quantiles: [f64; 19] = std::array::from_fn(|level| base + level as f64 / 100.0);
            rows.push(ForecastRow {
                catchment: &id,
                variable: Variable::Discharge,
                issue_time: issue,
                valid_time: issue.plus_s(lead * HOUR),
                mean: base,
                quantiles: &quantiles,
                tails: None,
                simulated: None,
                members: 32,
                scenario: "perfect",
                state_time: issue,
                filled_steps: 0,
                model: "test",
                model_version: "1",
                weights_sha256: "0000",
                observation_position: 1,
                forcing_position: 1,
                supersedes: None,
                reason: None,
                stage: None,
                member_values: None,
                shadow: false,
            });
        }
    }
    rows.finish().unwrap().into_batch()
}

impl World {
    pub fn new(stations: usize, set: &[&str]) -> Self {
        let (store, archive): (Arc<dyn ObjectStore>, Arc<dyn ObjectStore>) =
            (Arc::new(InMemory::new()), Arc::new(InMemory::new()));
        let site = Site::new(&pipeline(stations, set), store.clone(), archive.clone());
        let log = Arc::new(EmbeddedLog::new(store, "log", &Metrics::unregistered()));
        let stop = Stop::default();
        let dependencies =
            Dependencies { log: log.clone(), metrics: Metrics::unregistered().role("serve"), partition: 0 };
        let (followed, stopped) = (site.clone(), stop.clone());
        tokio::spawn(async move { run(followed, dependencies, stopped).await.unwrap() });
        Self { site, archive, stations, log, _stop: stop }
    }

    pub fn engine(&self) -> Engine {
        Engine::of_site(&self.site).unwrap()
    }

    /// An engine with limits of its own.
    pub fn limited(&self, limits: Limits) -> Engine {
        let catchments = self.site.pipeline().catchments.clone();
        Engine::new(Source { site: Some(self.site.clone()), archive: self.archive.clone(), catchments }, limits)
            .unwrap()
    }

    /// Appends the forecasts of an hour, and waits until memory has them.
    pub async fn append(&self, hour: i64) {
        let batch = forecasts(self.stations, hour);
        let message = Message { time: at(hour), producer: "forecast", sequence: hour + 1, batch };
        self.log.append(PARTITION, message).await.unwrap();
        let known = || Memory::of(&self.site).messages(Contract::Forecast).any(|message| message.time == at(hour));
        while !known() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Publishes what was appended at an hour, as the role publish does.
    pub async fn publish(&self, hour: i64) {
        let batch = forecasts(self.stations, hour);
        let key = object_key(&"".into(), PARTITION, at(hour), u64::try_from(hour).unwrap(), &batch);
        self.archive.put(&key, to_parquet(&batch).unwrap().into()).await.unwrap();
    }

    /// Compacts every day.
    pub async fn compact(&self) {
        for day in days(&*self.archive, Contract::Forecast, None).await.unwrap() {
            compact(&*self.archive, &day).await.unwrap();
        }
    }
}

/// All rows of an answer.
pub async fn rows(engine: &Engine, text: &str) -> Result<Vec<RecordBatch>, SqlError> {
    engine.query(text).await?.try_collect().await
}

/// The one number of an answer.
pub async fn number(engine: &Engine, text: &str) -> i64 {
    let rows = rows(engine, text).await.unwrap_or_else(|error| panic!("{text}: {error}: {error:?}"));
    rows[0].column(0).as_primitive::<Int64Type>().value(0)
}
