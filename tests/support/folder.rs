//! A folder in the CAMELS layout with made weather and rivers.

use std::{fmt::Write as _, fs, path::Path, sync::Arc};

use arrow::array::{ArrayRef, Date32Array, Int32Array, RecordBatch, StringArray};
use nilometer_schemas::Timestamp;
use parquet::arrow::ArrowWriter;

use super::root;

pub const BASINS: [&str; 3] = ["01000001", "01000002", "02000001"];
/// 1990-01-01 as days since 1970.
pub const FIRST_DAY: i32 = 7_305;
pub const DAYS: i32 = 120;

/// A folder in the CAMELS layout with made weather: three basins in two files, 120 days from 1990-01-01.
pub struct Folder {
    at: tempfile::TempDir,
    /// hundredths by column, of a basin and day
    forcing: fn(usize, i32) -> [Option<i32>; 6],
}

pub const COLUMNS: [&str; 6] =
    ["prcp_mm_x100", "tmin_c_x100", "tmax_c_x100", "dayl_s_x100", "srad_wm2_x100", "vp_pa_x100"];

pub fn weather(basin: usize, day: i32) -> [Option<i32>; 6] {
    let rain = if (day + basin as i32) % 6 < 2 { 900 + 300 * basin as i32 } else { 0 };
    [rain, 200, 1_400, 4_320_000, 15_000, 80_000].map(Some)
}

impl Folder {
    pub fn new(forcing: fn(usize, i32) -> [Option<i32>; 6]) -> Self {
        let folder = Self { at: tempfile::tempdir().unwrap(), forcing };
        fs::create_dir_all(folder.path().join("days")).unwrap();
        fs::create_dir_all(folder.path().join("attributes")).unwrap();
        for (file, basins) in [("huc01", &[0, 1][..]), ("huc02", &[2])] {
            folder.write_forcing(file, basins);
            folder.write_discharge(file, basins);
        }
        let inventory: String = BASINS.iter().fold("basin,lat,area_m2\n".to_owned(), |mut text, basin| {
            writeln!(text, "{basin},45.0,864000000.0").unwrap();
            text
        });
        fs::write(folder.path().join("basin_inventory.csv"), inventory).unwrap();
        let (names, means): (Vec<String>, Vec<String>) =
            middling_attributes().into_iter().map(|(name, mean)| (name, mean.to_string())).unzip();
        let mut text = format!("gauge_id;{};rock\n", names.join(";"));
        for basin in BASINS {
            writeln!(text, "{basin};{};Granite, mostly", means.join(";")).unwrap();
        }
        fs::write(folder.path().join("attributes/camels_clim.txt"), text).unwrap();
        folder
    }

    pub fn path(&self) -> &Path {
        self.at.path()
    }

    pub fn write_forcing(&self, file: &str, basins: &[usize]) {
        let rows: Vec<(usize, i32)> = basins.iter().flat_map(|b| (0..DAYS).map(|d| (*b, d))).collect();
        let mut columns = keys(&rows);
        for (at, name) in COLUMNS.iter().enumerate() {
            let values: Int32Array = rows.iter().map(|(b, d)| (self.forcing)(*b, *d)[at]).collect();
            columns.push((*name, Arc::new(values)));
        }
        write(&self.path().join(format!("days/forcing_made_{file}.parquet")), columns);
    }

    fn write_discharge(&self, file: &str, basins: &[usize]) {
        let rows: Vec<(usize, i32)> = basins.iter().flat_map(|b| (0..DAYS).map(|d| (*b, d))).collect();
        let mut columns = keys(&rows);
        // A recession and a pulse every sixth day, with a day missing and one that is impossible.
        let flow = |b: usize, d: i32| match d {
            70 => None,
            71 => Some(-999),
            _ => Some(50_000 + 10_000 * b as i32 + 40_000 * i32::from((d + b as i32) % 6 == 2)),
        };
        let values: Int32Array = rows.iter().map(|(b, d)| flow(*b, *d)).collect();
        columns.push(("q_cfs_x100", Arc::new(values)));
        write(&self.path().join(format!("days/streamflow_made_{file}.parquet")), columns);
    }
}

/// The attributes of a middling catchment: the means of a package's own training.
pub fn middling_attributes() -> Vec<(String, f32)> {
    let card = fs::read_to_string(root().join("models/zoo/dhbv/card.toml")).unwrap();
    let names = card
        .split("[[attribute]]\n")
        .skip(1)
        .map(|t| t.lines().next().unwrap().trim_start_matches("name = \"").trim_end_matches('"').to_owned());
    let weights = fs::read(root().join("models/zoo/dhbv/weights.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&weights).unwrap();
    let means = tensors.tensor("attribute_mean").unwrap();
    names.zip(means.data().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()))).collect()
}

pub fn keys(rows: &[(usize, i32)]) -> Vec<(&'static str, ArrayRef)> {
    let basins: StringArray = rows.iter().map(|(b, _)| Some(BASINS[*b])).collect();
    let dates: Date32Array = rows.iter().map(|(_, d)| Some(FIRST_DAY + d)).collect();
    vec![("basin", Arc::new(basins)), ("date", Arc::new(dates))]
}

pub fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// A folder in the layout of the Northwest River Forecast Center: a gauge, and one below it, so many days of made weather from 2010-01-01.
pub fn six_hourly(days: i64, rain_mm: fn(i64) -> f64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let begin: Timestamp = "2010-01-01".parse().unwrap();
    let time = |step: i64| {
        let text = begin.plus_s(step * 21_600).to_string();
        let number = |range: std::ops::Range<usize>| text[range].parse::<u32>().unwrap();
        format!("{},{},{},{}", number(0..4), number(5..7), number(8..10), number(11..13))
    };
    for (gauge, upstream, area_km2) in [("WCHW1", None, 395.0), ("SAKW1", Some("WCHW1"), 1_459.0)] {
        let of_gauge = folder.path().join("basins").join(gauge);
        fs::create_dir_all(&of_gauge).unwrap();
        let (mut weather, mut flow) = ("year,month,day,hour,map_mm,mat_degc,ptps\n".to_owned(), String::new());
        flow.push_str("year,month,day,hour,flow_cfs,Source\n");
        for step in 0..days * 4 {
            writeln!(weather, "{},{},{},0", time(step), rain_mm(step), step % 9 - 2).unwrap();
            if step % 17 != 3 {
                writeln!(flow, "{},{},USGS", time(step), 900 + 300 * (step % 24)).unwrap();
            }
        }
        fs::write(of_gauge.join(format!("forcing_por_{gauge}-1.csv")), weather).unwrap();
        fs::write(of_gauge.join(format!("flow_instantaneous_{gauge}.csv")), flow).unwrap();
        let facts = format!("name,type,zone,value\nzone_area,uh,{gauge}-1,{area_km2}\nalat,snow,{gauge}-1,48\n");
        fs::write(of_gauge.join("pars_default.csv"), facts).unwrap();
        if let Some(upstream) = upstream {
            fs::write(of_gauge.join(format!("upflow_{upstream}.csv")), "year,month,day,hour,flow_cfs\n").unwrap();
        }
    }
    folder
}
