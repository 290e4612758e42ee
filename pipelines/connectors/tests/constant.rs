//! The worked example of `docs/extending.md`: a kind of source, as that page shows it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where its input is refused")]

use std::{collections::BTreeMap, path::Path, sync::Arc};

use nilometer_connectors::{
    Arrival, Connector, Cursor, Look, OptionProblem, PositionedSource, Source, SourceError, Window,
};
use nilometer_schemas::{Timestamp, Unit, Variable};
use nilometer_transforms::{
    Conversion, ConvertError, Decode, Decoded, Format, Payload, RawBatch, Span, TableLayout, Whole,
    decode::{Station, StationLayout, Stations, TextLayout, TimeFormat, TimeLayout},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// A gauge that repeats one value, for a demonstration.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConstantOptions {
    /// the station
    pub station: String,
    /// discharge, m³/s
    pub discharge_m3_s: f64,
    /// time between two rows
    pub step: Span,
}

impl Connector for ConstantOptions {
    fn variable(&self) -> Variable {
        Variable::Discharge
    }

    fn period(&self) -> Span {
        Span::default()
    }

    fn problems(&self, _root: &Path) -> Vec<OptionProblem> {
        if self.step.seconds() > 0 {
            return Vec::new();
        }
        vec![("step".to_owned(), format!("is {}; accepted is above 0s", self.step))]
    }

    fn open(&self, name: &str, _: Arrival, _: &Path, window: Window) -> Result<Box<dyn Source>, SourceError> {
        Ok(Box::new(Constant { name: name.into(), options: self.clone(), window }))
    }

    fn decoder(&self, stations: BTreeMap<String, Station>) -> Result<Box<dyn Decode>, OptionProblem> {
        let unit = |error| ("discharge_m3_s".to_owned(), ConvertError::to_string(&error));
        Ok(Box::new(TableLayout {
            station: StationLayout::Constant(self.station.clone()),
            time: TimeLayout::Column { name: "time".to_owned(), format: TimeFormat::Rfc3339, zone: None },
            zone: jiff::tz::TimeZone::UTC,
            value: "flow".to_owned(),
            qualifier: None,
            qualifier_flags: BTreeMap::new(),
            forecast: None,
            conversion: Conversion::new(Unit::CubicMetrePerSecond, Variable::Discharge, 0).map_err(unit)?,
            label_offset_s: 0,
            missing: Vec::new(),
            missing_words: Vec::new(),
            text: TextLayout::default(),
            stations: Stations::new(stations, false),
        }))
    }

    fn holdings(&self, name: &str, _root: &Path, _window: Window) -> String {
        format!("{name} has a row every {}", self.step)
    }
}

struct Constant {
    name: Arc<str>,
    options: ConstantOptions,
    window: Window,
}

impl PositionedSource for Constant {
    /// valid time of the newest row that was given
    type Position = Option<Timestamp>;

    fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self, newest: &Self::Position, look: Look) -> Result<(Vec<RawBatch>, Self::Position), SourceError> {
        let step_s = self.options.step.seconds();
        let first = newest.map_or(self.window.from.ceil_s(step_s), |time| time.plus_s(step_s));
        if first > look.tick {
            return Ok((Vec::new(), *newest));
        }
        let (mut table, mut time, mut last) = ("time,flow\n".to_owned(), first, first);
        while time <= look.tick {
            table += &format!("{time},{}\n", self.options.discharge_m3_s);
            (last, time) = (time, time.plus_s(step_s));
        }
        let whole = Whole { format: Format::CSV, bytes: table.into(), period: None };
        let batch = RawBatch {
            source: self.name.clone(),
            locator: format!("rows from {first}"),
            arrival: look.now,
            payload: Payload::Whole(whole),
        };
        Ok((vec![batch], Some(last)))
    }

    fn last_arrival(&self) -> Option<Timestamp> {
        None
    }
}

const FROM: Timestamp = Timestamp(0);
const HOUR_S: i64 = 3_600;

fn options(step: &str) -> ConstantOptions {
    toml::from_str(&format!("station = \"a\"\ndischarge_m3_s = 2.5\nstep = \"{step}\"")).unwrap()
}

/// Values and valid times of batches.
fn rows(options: &ConstantOptions, batches: &[RawBatch]) -> Vec<(Timestamp, f64)> {
    let decoder = options.decoder(BTreeMap::new()).unwrap();
    let of_batch = |batch| match decoder.decode(batch) {
        Decoded::Rows(table) => {
            assert_eq!(table.dead_letters, []);
            table.rows.time.iter().copied().zip(table.rows.value.iter().map(|value| value.unwrap())).collect::<Vec<_>>()
        }
        Decoded::Fields(_) => panic!("a table has rows"),
    };
    batches.iter().flat_map(of_batch).collect()
}

#[test]
fn each_row_comes_once_at_whatever_ticks_it_is_read() {
    let options = options("1h");
    assert_eq!(options.problems(Path::new(".")), []);
    let window = Window { from: FROM, ..Window::ALL };
    let open = || options.open("flow", Arrival::Delay { delay: Span::default() }, Path::new("."), window).unwrap();
    let mut source = open();
    let (batches, cursor) = source.read(&Cursor::default(), Look::at(FROM.plus_s(2 * HOUR_S))).unwrap();
    let expected =
        |hours: std::ops::RangeInclusive<i64>| hours.map(|hour| (FROM.plus_s(hour * HOUR_S), 2.5)).collect::<Vec<_>>();
    assert_eq!(rows(&options, &batches), expected(0..=2));
    // A source that was opened anew goes on from the cursor.
    let (batches, cursor) = open().read(&cursor, Look::at(FROM.plus_s(5 * HOUR_S))).unwrap();
    assert_eq!(rows(&options, &batches), expected(3..=5));
    let (batches, same) = source.read(&cursor, Look::at(FROM.plus_s(5 * HOUR_S))).unwrap();
    assert!(batches.is_empty() && same == cursor);
}

#[test]
fn the_page_shows_this_file() {
    let (page, file) = (include_str!("../../../docs/extending.md"), include_str!("constant.rs"));
    let shown: Vec<_> = page.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!shown.is_empty());
    for code in shown {
        assert!(file.contains(code), "docs/extending.md shows other code than pipelines/connectors/tests/constant.rs");
    }
}
