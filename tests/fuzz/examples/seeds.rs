//! Writes the seeds that are no text: `cargo run --package nilometer-fuzz --example seeds`.

#![allow(clippy::unwrap_used, reason = "it fails where it cannot go on")]

use std::{fs, io::Cursor, path::Path, sync::Arc};

use arrow::{
    array::{
        ArrayRef, DictionaryArray, Float64Array, Int32Array, Int64Array, NullArray, RecordBatch, StringArray,
        StringViewArray, TimestampMicrosecondArray,
    },
    datatypes::Int32Type,
};
use nilometer_engine::{
    ColumnsBuilder, EmbeddedLog, Log as _, Message, Metrics, Partition, Snapshots, Versioned, to_ipc,
};
use nilometer_schemas::{
    AnalysesBuilder, AnalysisRow, Contract, DeadLetterRow, DeadLettersBuilder, Flag, ForcingRow, ForcingsBuilder,
    ForecastRow, ForecastsBuilder, GridField, GridsBuilder, ModelRow, ModelsBuilder, ObservationRow,
    ObservationsBuilder, QUANTILE_LEVELS, Reason, ScoreRow, ScoresBuilder, StageForecast, ThresholdScore, Timestamp,
    Variable,
};
use object_store::{ObjectStoreExt as _, memory::InMemory, path::Path as Key};
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};
use tiff::{
    encoder::{Compression as TiffCompression, TiffEncoder, colortype},
    tags::Tag,
};

const PEAK: Timestamp = Timestamp(1_415_131_200_000_000);
/// A seal's length: objects are written without it, as targets put it there.
const SEAL_BYTES: usize = 16;

fn main() {
    let seeds = [
        ("message/observation.arrow", to_ipc(&observations(), &[]).unwrap()),
        ("message/kinds.arrow", to_ipc(&kinds(), &[]).unwrap()),
        ("contract/observation.arrow", to_ipc(&observations(), &[]).unwrap()),
        ("contract/forcing.arrow", to_ipc(&forcings(), &[]).unwrap()),
        ("contract/dead_letter.arrow", to_ipc(&dead_letters(), &[]).unwrap()),
        ("contract/grid.arrow", to_ipc(&grids(), &[]).unwrap()),
        ("contract/forecast.arrow", to_ipc(&forecasts(), &[]).unwrap()),
        ("contract/model.arrow", to_ipc(&models(), &[]).unwrap()),
        ("contract/analysis.arrow", to_ipc(&analyses(), &[]).unwrap()),
        ("contract/score.arrow", to_ipc(&scores(), &[]).unwrap()),
        ("table_columns/local.arrow", to_ipc(&local(), &[]).unwrap()),
        ("table_columns/instants.arrow", to_ipc(&instants(), &[]).unwrap()),
        ("table_columns/weather.arrow", to_ipc(&weather(), &[]).unwrap()),
        ("parquet/local.parquet", parquet(&local(), Compression::SNAPPY)),
        ("parquet/instants.parquet", parquet(&instants(), Compression::UNCOMPRESSED)),
        ("parquet/weather.parquet", parquet(&weather(), Compression::ZSTD(parquet::basic::ZstdLevel::default()))),
        ("grid/uncompressed.tif", grid(TiffCompression::Uncompressed)),
        ("grid/lzw.tif", grid(TiffCompression::Lzw)),
        ("grid/packbits.tif", grid(TiffCompression::Packbits)),
        ("segment/observation.arrow", object("log/observation.v1/0/00000000000000000000.arrow")),
        ("snapshot/forecast.arrow", object("snapshots/forecast/00000000000000000007.arrow")),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for (name, bytes) in seeds {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

fn observations() -> RecordBatch {
    let mut rows = ObservationsBuilder::new();
    for (value, flag) in [(Some(317.38), Flag::Pass), (None, Flag::Missing)] {
        rows.push(ObservationRow {
            station: "V3524010",
            variable: Variable::Discharge,
            valid_time: PEAK,
            period_s: 0,
            value,
            flag,
            flag_source: "checks",
            qualifier: value.map(|_| "A"),
            source: "flow",
            ingest_time: PEAK,
        });
    }
    rows.finish().unwrap().into_batch()
}

fn forcings() -> RecordBatch {
    let mut rows = ForcingsBuilder::new();
    rows.push(ForcingRow {
        catchment: "V3524010",
        variable: Variable::Precipitation,
        valid_time: PEAK,
        period_s: 3_600,
        value: Some(0.6),
        valid_weight_fraction: 1.0,
        flag: Flag::Pass,
        flag_source: "checks",
        member: Some(3),
        issue_time: Some(PEAK),
        source: "weather",
        ingest_time: PEAK,
    });
    rows.finish().unwrap().into_batch()
}

fn dead_letters() -> RecordBatch {
    let mut rows = DeadLettersBuilder::new();
    rows.push(&DeadLetterRow {
        source: "flow".to_owned(),
        locator: "flow.csv:3".to_owned(),
        reason: Reason::NotFinite,
        detail: "value is \"x\"".to_owned(),
        rows: 1,
        content_type: "text/csv",
        bytes: b"2014-11-04T19:00:00Z,x".to_vec(),
        ingest_time: PEAK,
    });
    rows.finish().unwrap().into_batch()
}

fn grids() -> RecordBatch {
    let mut fields = GridsBuilder::new();
    fields.push(GridField {
        variable: Variable::Precipitation,
        valid_time: PEAK,
        period_s: 3_600,
        crs: "EPSG:2154",
        width: 2,
        height: 1,
        west: 807_000.0,
        north: 6_484_000.0,
        cell_width: 1_000.0,
        cell_height: 1_000.0,
        values: &[0.5, f32::NAN],
        source: "rain",
        ingest_time: PEAK,
    });
    fields.finish().unwrap().into_batch()
}

fn forecasts() -> RecordBatch {
    let mut rows = ForecastsBuilder::new();
    rows.push(ForecastRow {
        catchment: "V3524010",
        variable: Variable::Discharge,
        issue_time: PEAK,
        valid_time: PEAK.plus_s(3_600),
        mean: 300.0,
        quantiles: &QUANTILE_LEVELS.map(|level| 250.0 + 100.0 * level),
        tails: None,
        simulated: None,
        members: 32,
        scenario: "zero",
        state_time: PEAK,
        filled_steps: 0,
        model: "exphydro",
        model_version: "1.0.0",
        weights_sha256: "0",
        observation_position: 7,
        forcing_position: 7,
        supersedes: None,
        reason: None,
        member_values: None,
        shadow: false,
        stage: Some(StageForecast { stage_m: [0.5, 0.6, 0.7, 0.8, 0.9], rating_version: "7", extrapolated: false }),
    });
    rows.finish().unwrap().into_batch()
}

fn models() -> RecordBatch {
    let mut rows = ModelsBuilder::new();
    rows.push(ModelRow {
        name: "exphydro",
        version: "1.0.0",
        package_sha256: &"a".repeat(64),
        weights_sha256: &"0".repeat(64),
        weight: 1.0,
        reason: "a test",
        author: "definition",
        announcement: 1,
        ingest_time: PEAK,
    });
    rows.finish().unwrap().into_batch()
}

fn analyses() -> RecordBatch {
    let mut rows = AnalysesBuilder::new();
    rows.push(AnalysisRow {
        catchment: "V3524010",
        station: "V3524010",
        variable: Variable::Discharge,
        valid_time: PEAK,
        analysis_time: PEAK,
        observed: 317.38,
        predicted: 300.0,
        innovation: 0.056,
        spread: Some(0.1),
        error_std: 0.03,
        flag: Flag::Pass,
        method: "etkf",
        increments: &[("soil_store", 1.5)],
        output_error_increment: None,
        model: "exphydro",
        weights_sha256: "0",
    });
    rows.finish().unwrap().into_batch()
}

fn scores() -> RecordBatch {
    let mut rows = ScoresBuilder::new();
    rows.push(ScoreRow {
        catchment: "V3524010",
        variable: Variable::Discharge,
        issue_time: PEAK,
        valid_time: PEAK.plus_s(3_600),
        score_time: PEAK.plus_s(3_600),
        observed: 317.38,
        flag: Flag::Pass,
        mean: 300.0,
        crps: 5.0,
        pinball: [0.5, 1.0, 0.5],
        pit: 0.8,
        width_90: 60.0,
        covered_90: true,
        crps_persistence: Some(7.0),
        crps_climatology: None,
        shadow: true,
        thresholds: &[ThresholdScore { threshold: 150.0, exceedance: 1.0, brier: 0.0, floods: [1, 0, 0] }],
        peaks: 0,
        peak_timing_steps: None,
        pairs: 1,
        nse: None,
        kge: None,
        scenario: "zero",
        model: "exphydro",
        weights_sha256: "0",
    });
    rows.finish().unwrap().into_batch()
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Columns whose kinds Arrow lays out each in its own way.
fn kinds() -> RecordBatch {
    let words: DictionaryArray<Int32Type> = ["a", "b", "a"].into_iter().collect();
    let lists = arrow::array::ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
    ]);
    batch(vec![
        ("view", Arc::new(StringViewArray::from(vec![Some("a text of more than twelve bytes"), None, Some("b")]))),
        ("words", Arc::new(words)),
        ("lists", Arc::new(lists)),
        ("nothing", Arc::new(NullArray::new(3))),
        ("flags", Arc::new(arrow::array::BooleanArray::from(vec![Some(true), None, Some(false)]))),
    ])
}

fn local() -> RecordBatch {
    let stations: DictionaryArray<Int32Type> = ["V3524010", "V3524010", "other"].into_iter().collect();
    batch(vec![
        ("station", Arc::new(stations)),
        ("time", Arc::new(StringArray::from(vec!["2014-10-26 01:30", "2014-10-26 02:30", "2014-10-26 02:30"]))),
        ("flow", Arc::new(StringArray::from(vec![Some("317.4"), Some("Eqp"), None]))),
        ("code", Arc::new(StringArray::from(vec![Some("A e"), None, Some("Ice")]))),
    ])
}

fn instants() -> RecordBatch {
    let times = TimestampMicrosecondArray::from(vec![Some(PEAK.0), None, Some(PEAK.0 + 900_000_000)]);
    batch(vec![
        ("time", Arc::new(times.with_timezone("UTC"))),
        ("flow", Arc::new(Float64Array::from(vec![Some(11_208.0), Some(f64::NAN), None]))),
    ])
}

fn weather() -> RecordBatch {
    let seconds = PEAK.0 / 1_000_000;
    batch(vec![
        ("catchment", Arc::new(StringArray::from(vec!["V3524010"; 3]))),
        ("issue_time", Arc::new(Int64Array::from(vec![seconds; 3]))),
        ("valid_time", Arc::new(Int64Array::from(vec![Some(seconds + 3_600), None, Some(i64::MAX)]))),
        ("member", Arc::new(Int32Array::from(vec![Some(0), Some(1), None]))),
        ("precipitation_mm", Arc::new(Float64Array::from(vec![0.2, 0.4, 0.6]))),
    ])
}

fn parquet(batch: &RecordBatch, compression: Compression) -> Vec<u8> {
    let mut bytes = Vec::new();
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// A field of 4 x 3 cells in Lambert-93.
fn grid(compression: TiffCompression) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let mut tiff = TiffEncoder::new(&mut out).unwrap().with_compression(compression);
    let mut image = tiff.new_image::<colortype::GrayI32>(4, 3).unwrap();
    image.rows_per_strip(2).unwrap();
    let tags = image.encoder();
    tags.write_tag(Tag::ModelPixelScaleTag, &[1000.0_f64, 1000.0, 0.0][..]).unwrap();
    tags.write_tag(Tag::ModelTiepointTag, &[0.0_f64, 0.0, 0.0, 807_000.0, 6_484_000.0, 0.0][..]).unwrap();
    tags.write_tag(Tag::GeoKeyDirectoryTag, &[1_u16, 1, 0, 3, 1025, 0, 1, 1, 1026, 34737, 5, 0, 3072, 0, 1, 2154][..])
        .unwrap();
    tags.write_tag(Tag::GeoAsciiParamsTag, "fuzz|").unwrap();
    tags.write_tag(Tag::GdalNodata, "65535").unwrap();
    image.write_data(&[0, 1, 2, 65535, 4, 5, -1, 7, 8, 9999, 10, 11]).unwrap();
    out.into_inner()
}

/// An object that the log or a snapshot wrote, without its seal.
fn object(key: &str) -> Vec<u8> {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let store = Arc::new(InMemory::new());
        let log = EmbeddedLog::new(store.clone(), "log", &Metrics::unregistered());
        let message = Message { time: PEAK, producer: "ingest", sequence: 1, batch: observations() };
        log.append(Partition::new(Contract::Observation, 0), message).await.unwrap();
        let mut columns = ColumnsBuilder::new(["V3524010", "V3515010"]);
        columns.f32("store", |row| [row as f32, 1.0]);
        columns.f64("flow", |row| vec![0.1; row]);
        columns.i64("time", |_| [PEAK.0]);
        let content = serde_json::json!({"positions": {"observation": 7}, "balance": [1, 2.5, null]});
        let content: Versioned<_, 2> = Versioned::Current(content);
        let snapshots = Snapshots::new(store.clone(), "snapshots", "forecast", 2)
            .recording(Arc::new(log), vec![Partition::new(Contract::Observation, 0)]);
        snapshots.save(7, &content, &columns.finish().unwrap()).await.unwrap();
        let mut bytes = store.get(&Key::from(key)).await.unwrap().bytes().await.unwrap().to_vec();
        bytes.truncate(bytes.len() - SEAL_BYTES);
        bytes
    })
}
