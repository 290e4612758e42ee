//! The layout of the Northwest River Forecast Center: six-hourly, CSV, a folder a gauge.

mod gauges;

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    path::Path,
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, Float64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder},
    datatypes::DataType,
};
use nilometer_schemas::{Timestamp, Unit, Variable};

use super::{
    FolderColumn, FolderOptions, Layout,
    rows::{schema, unfit},
};
use crate::SourceError;
use gauges::{Zone, gauges};

pub(super) static LAYOUT: Layout = Layout {
    kind: "nwrfc",
    name: "NWRFC",
    step_s: STEP_S,
    forcing: &FORCING,
    discharge: DISCHARGE,
    patterns: ["**/forcing_por_*.csv", "**/flow_instantaneous_*.csv"],
    number: DataType::Float64,
    inventory: gauges::inventory,
    rows,
    is_of: |folder| super::files(folder, "flow_instantaneous_", ".csv").is_ok_and(|files| !files.is_empty()),
};

const STEP_S: i64 = 6 * 3_600;
const RAIN: &str = "map_mm";
const TEMPERATURE: &str = "mat_degc";
const FLOW: &str = "flow_cfs";

/// What the zones' files hold, and the day length of their latitude.
const FORCING: [FolderColumn; 3] = [
    FolderColumn::new(Variable::Precipitation, RAIN, Unit::Millimetre, 1.0, STEP_S),
    FolderColumn::new(Variable::AirTemperature, TEMPERATURE, Unit::DegreeCelsius, 1.0, STEP_S),
    FolderColumn::new(Variable::DayLength, "day_length", Unit::Day, 1.0, STEP_S),
];
/// What the gauges' files hold: instants.
const DISCHARGE: FolderColumn = FolderColumn::new(Variable::Discharge, FLOW, Unit::CubicFootPerSecond, 1.0, 0);

/// The rows valid in `(from, until]` of the gauges that are wanted, a batch a gauge.
fn rows(
    options: &FolderOptions,
    discharge: bool,
    columns: &[FolderColumn],
    (from, until): (Timestamp, Timestamp),
) -> Result<Vec<RecordBatch>, SourceError> {
    let all = gauges(&options.path).map_err(|problem| unfit(&options.path, problem))?;
    let inside = |time: &Timestamp| *time > from && *time <= until;
    let mut batches = Vec::new();
    for gauge in all.values().filter(|gauge| options.wants(&gauge.id)) {
        let mut rows = Rows::new(columns.len());
        if discharge {
            let name = shown(&options.path, &gauge.flow);
            for (time, [flow]) in read(&gauge.flow, [FLOW])?.into_iter().filter(|(time, _)| inside(time)) {
                rows.push(&gauge.id, time, &[flow], &name);
            }
        } else {
            let name = format!("{}/forcing_por_{}-*.csv", shown(&options.path, &gauge.folder), gauge.id);
            let catchment = gauge.catchment(&all).map_err(|problem| unfit(&options.path, problem))?;
            let latitude = mean(catchment.iter().map(|zone| (zone.area_km2, Some(zone.latitude))));
            for (time, [rain, temperature]) in average(&catchment)?.into_iter().filter(|(time, _)| inside(time)) {
                let light = latitude.map(|latitude| day_length(time.plus_s(-STEP_S), latitude));
                rows.push(&gauge.id, time, &[rain, temperature, light], &name);
            }
        }
        batches.push(rows.finish(columns).map_err(|e| unfit(&options.path, e.to_string()))?);
    }
    Ok(batches)
}

/// Rain and temperature of a catchment: means of its zones by area, none where a zone has none.
fn average(zones: &[&Zone]) -> Result<BTreeMap<Timestamp, [Option<f64>; 2]>, SourceError> {
    let mut read_zones = Vec::new();
    for zone in zones {
        let rows: HashMap<Timestamp, [Option<f64>; 2]> =
            read(&zone.forcing, [RAIN, TEMPERATURE])?.into_iter().collect();
        read_zones.push((zone.area_km2, rows));
    }
    let mut found = BTreeMap::new();
    for time in read_zones.iter().flat_map(|(_, rows)| rows.keys()) {
        found.entry(*time).or_insert_with(|| {
            [0, 1].map(|i| mean(read_zones.iter().map(|(area, rows)| (*area, rows.get(time).and_then(|row| row[i])))))
        });
    }
    Ok(found)
}

/// A mean by area; none where a part has none.
fn mean(parts: impl Iterator<Item = (f64, Option<f64>)>) -> Option<f64> {
    let (mut sum, mut area) = (0.0, 0.0);
    for (share, value) in parts {
        sum += share * value?;
        area += share;
    }
    (area > 0.0).then(|| sum / area)
}

/// Sunlit fraction of the day of a time, by latitude in degrees. Source: Allen et al. 1998, FAO Irrigation and Drainage Paper 56,
/// equations 24 and 25.
fn day_length(time: Timestamp, latitude: f64) -> f64 {
    let zoned = jiff::Timestamp::from_microsecond(time.0).map(|at| at.to_zoned(jiff::tz::TimeZone::UTC));
    let day = zoned.map_or(1, |zoned| zoned.day_of_year());
    let declination = 0.409 * (2.0 * std::f64::consts::PI * f64::from(day) / 365.0 - 1.39).sin();
    (-latitude.to_radians().tan() * declination.tan()).clamp(-1.0, 1.0).acos() / std::f64::consts::PI
}

/// Time and numbers of a row.
type Row<const N: usize> = (Timestamp, [Option<f64>; N]);

/// The rows of a file; an empty cell is no number.
fn read<const N: usize>(path: &Path, columns: [&str; N]) -> Result<Vec<Row<N>>, SourceError> {
    let refuse = |problem: String| unfit(path, problem);
    let file = File::open(path).map_err(|source| SourceError::io("folder", path, source))?;
    let mut reader = csv::Reader::from_reader(file);
    let header = reader.headers().map_err(|e| refuse(e.to_string()))?.clone();
    let find = |name: &str| {
        let place = header.iter().position(|cell| cell.trim() == name);
        place.ok_or_else(|| refuse(format!("column {name} is absent, accepted is one in the first line")))
    };
    let mut clock = [0; 4];
    for (place, name) in clock.iter_mut().zip(["year", "month", "day", "hour"]) {
        *place = find(name)?;
    }
    let mut places = [0; N];
    for (place, name) in places.iter_mut().zip(columns) {
        *place = find(name)?;
    }
    let mut rows: Vec<Row<N>> = Vec::new();
    for (line, record) in reader.records().enumerate() {
        let line = line + 2;
        let record = record.map_err(|e| refuse(e.to_string()))?;
        let cell = |place: usize| record.get(place).unwrap_or_default().trim();
        let [year, month, day, hour] = clock.map(|place| cell(place).parse::<i16>().ok());
        let time = year.zip(month).zip(day.zip(hour)).and_then(|((year, month), (day, hour))| {
            let (month, day, hour) = (month.try_into().ok()?, day.try_into().ok()?, hour.try_into().ok()?);
            let civil = jiff::civil::DateTime::new(year, month, day, hour, 0, 0, 0).ok()?;
            let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
            Some(Timestamp(zoned.timestamp().as_microsecond()))
        });
        let time =
            time.ok_or_else(|| refuse(format!("line {line} has no time, accepted are year, month, day, hour")))?;
        if rows.last().is_some_and(|(before, _)| *before >= time) {
            return Err(refuse(format!(
                "line {line} is of {time}, not after the line before it; accepted is each time once, in order"
            )));
        }
        let mut numbers = [None; N];
        for (number, place) in numbers.iter_mut().zip(places) {
            let text = cell(place);
            *number = match text.parse::<f64>() {
                Ok(value) if value.is_finite() => Some(value),
                _ if matches!(text, "" | "NA" | "NaN" | "nan") => None,
                _ => return Err(refuse(format!("line {line} has {text:?}, accepted is a number or an empty cell"))),
            };
        }
        rows.push((time, numbers));
    }
    Ok(rows)
}

fn shown(folder: &Path, path: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).display().to_string()
}

/// Rows in the making.
struct Rows {
    basin: StringBuilder,
    time: TimestampMicrosecondBuilder,
    numbers: Vec<Float64Builder>,
    file: StringBuilder,
}

impl Rows {
    fn new(columns: usize) -> Self {
        let numbers = (0..columns).map(|_| Float64Builder::new()).collect();
        Self {
            basin: StringBuilder::new(),
            time: TimestampMicrosecondBuilder::new(),
            numbers,
            file: StringBuilder::new(),
        }
    }

    fn push(&mut self, basin: &str, time: Timestamp, numbers: &[Option<f64>], file: &str) {
        self.basin.append_value(basin);
        self.time.append_value(time.0);
        self.numbers.iter_mut().zip(numbers).for_each(|(column, number)| column.append_option(*number));
        self.file.append_value(file);
    }

    fn finish(mut self, columns: &[FolderColumn]) -> Result<RecordBatch, arrow::error::ArrowError> {
        let mut arrays: Vec<ArrayRef> =
            vec![Arc::new(self.basin.finish()), Arc::new(self.time.finish().with_timezone("UTC"))];
        arrays.extend(self.numbers.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        arrays.push(Arc::new(self.file.finish()));
        RecordBatch::try_new(schema(columns, &DataType::Float64), arrays)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::folder::{FolderLayout, FolderSeries, discharge_m3_s};

    /// Two gauges, one above the other, and a third whose upstream weather the folder does not have.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let weather = |rain: [&str; 2], warm: f64| {
            format!(
                "year,month,day,hour,map_mm,mat_degc,ptps\n2000,6,21,0,{},{warm},0\n2000,6,21,6,{},{warm},0\n",
                rain[0], rain[1]
            )
        };
        let facts = "name,type,zone,value\n";
        write("a/LOW/forcing_por_LOW-1.csv", &weather(["3", "3"], 10.0));
        write("a/LOW/forcing_por_LOW-CU.csv", "not,looked,at\n");
        write("a/LOW/flow_instantaneous_LOW.csv", "year,month,day,hour,flow_cfs,Source\n2000,6,21,6,100,USGS\n");
        write("a/LOW/pars_default.csv", &format!("{facts}zone_area,uh,LOW-1,300\nalat,snow,LOW-1,45\n"));
        write("a/LOW/upflow_TOP.csv", "year,month,day,hour,flow_cfs\n");
        write("b/TOP/forcing_por_TOP-1.csv", &weather(["12", ""], 2.0));
        write("b/TOP/flow_instantaneous_TOP.csv", "year,month,day,hour,flow_cfs\n2000,6,21,6,-1\n");
        write("b/TOP/pars_default.csv", &format!("{facts}zone_area,uh,TOP-1,100\nalat,snow,TOP-1,49\n"));
        write("c/ODD/forcing_por_ODD-1.csv", &weather(["1", "1"], 5.0));
        write("c/ODD/flow_instantaneous_ODD.csv", "year,month,day,hour,flow_cfs\n");
        write("c/ODD/pars_default.csv", &format!("{facts}zone_area,uh,ODD-1,100\nalat,snow,ODD-1,47\n"));
        write("c/ODD/upflow_GONE.csv", "year,month,day,hour,flow_cfs\n");
        folder
    }

    fn options(folder: &tempfile::TempDir) -> FolderOptions {
        FolderOptions { layout: FolderLayout(&LAYOUT), path: folder.path().to_owned(), ..FolderOptions::default() }
    }

    #[test]
    fn a_catchment_is_its_own_zones_and_those_upstream() {
        let folder = folder();
        let mut options = options(&folder);
        let problems = options.inventory().unwrap_err();
        assert!(problems[0].1.contains("GONE") && problems[0].1.contains("source.area_km2.ODD"), "{problems:?}");
        options.area_km2.insert("ODD".to_owned(), 250.0);
        let found: Vec<_> = options.inventory().unwrap().catchments.into_iter().map(|c| (c.id, c.area_km2)).collect();
        assert_eq!(found, [("LOW".to_owned(), 400.0), ("ODD".to_owned(), 250.0), ("TOP".to_owned(), 100.0)]);

        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let window = (at("2000-06-20"), at("2000-06-22"));
        let batches = rows(&options, false, &FORCING, window).unwrap();
        let column = |batch: usize, name: &str| {
            let column = batches[batch].column_by_name(name).unwrap();
            column.as_any().downcast_ref::<arrow::array::Float64Array>().unwrap().clone()
        };
        let low = column(0, RAIN);
        // (300 · 3 + 100 · 12) / 400; a zone without rain leaves the catchment without.
        assert!((low.value(0) - 5.25).abs() < 1e-12 && arrow::array::Array::is_null(&low, 1));
        assert!((column(0, TEMPERATURE).value(1) - 8.0).abs() < 1e-12);
        // 46° north at midsummer.
        assert!((column(0, "day_length").value(1) * 24.0 - 15.5).abs() < 0.1, "{}", column(0, "day_length").value(1));
        let series = FolderSeries::load(&options, window.0, window.1).unwrap();
        assert_eq!(series.unbroken_from(at("2000-06-21T06:00:00Z")), Some(at("2000-06-20T18:00:00Z")));
        let gaps =
            series.gaps(&["LOW".to_owned()], &[Variable::Precipitation], at("2000-06-21"), at("2000-06-21T06:00:00Z"));
        assert_eq!((gaps.len(), gaps[0].column, gaps[0].steps), (1, RAIN, 1));
        let observed = discharge_m3_s(&options, window.0, window.1).unwrap();
        assert!((observed["LOW"][&at("2000-06-21T06:00:00Z")] - 2.831_684_659_2).abs() < 1e-9);
        assert!(!observed.contains_key("TOP"), "less than nothing is no flow");
    }

    #[test]
    fn what_cannot_be_read_is_named_with_file_and_line() {
        let folder = folder();
        let path = folder.path().join("b/TOP/forcing_por_TOP-1.csv");
        fs::write(&path, "year,month,day,hour,map_mm,mat_degc\n2000,6,21,0,much,1\n").unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let error = rows(&options(&folder), false, &FORCING, (at("2000-06-20"), at("2000-06-22"))).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("forcing_por_TOP-1.csv") && said.contains("line 2") && said.contains("much"), "{said}");
        fs::write(&path, "year,month,day,hour,map_mm,mat_degc\n2000,6,21,0,1,1\n2000,6,21,0,2,1\n").unwrap();
        let error = rows(&options(&folder), false, &FORCING, (at("2000-06-20"), at("2000-06-22"))).unwrap_err();
        assert!(error.to_string().contains("line 3") && error.to_string().contains("each time once"), "{error}");
        fs::write(&path, "year,month,day,hour,rain\n").unwrap();
        let error = rows(&options(&folder), false, &FORCING, (at("2000-06-20"), at("2000-06-22"))).unwrap_err();
        assert!(error.to_string().contains("map_mm"), "{error}");
        fs::write(folder.path().join("b/TOP/pars_default.csv"), "name,type,zone,value\nalat,snow,TOP-1,49\n").unwrap();
        let problems = options(&folder).inventory().unwrap_err();
        assert!(problems[0].1.contains("zone_area") && problems[0].1.contains("TOP-1"), "{problems:?}");
    }
}
