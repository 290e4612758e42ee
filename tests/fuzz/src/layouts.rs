//! Layouts of tables that the targets read: each kind of time, of text and of station.

use std::sync::LazyLock;

use nilometer_connectors::TableOptions;

/// The options of each layout, for a file of this name.
pub(crate) fn options(file: &str) -> Vec<TableOptions> {
    LAYOUTS.iter().map(|options| TableOptions { path: file.to_owned(), ..options.clone() }).collect()
}

/// The options of the layouts whose time is a column, for Parquet.
pub(crate) fn of_columns(file: &str) -> Vec<TableOptions> {
    COLUMNS.iter().map(|options| TableOptions { path: file.to_owned(), ..options.clone() }).collect()
}

static LAYOUTS: LazyLock<Vec<TableOptions>> = LazyLock::new(|| parsed(&[COUNTED, LOCAL, INSTANTS, WEATHER]));
static COLUMNS: LazyLock<Vec<TableOptions>> = LazyLock::new(|| parsed(&[PLAIN_LOCAL, INSTANTS, WEATHER]));

fn parsed(texts: &[&str]) -> Vec<TableOptions> {
    texts.iter().map(|text| toml::from_str(&format!("path = \"x\"\n{text}")).unwrap()).collect()
}

/// The time on line 1, one value a line.
const COUNTED: &str = r#"
station = { constant = "V3524010" }
time = { first_line = { format = "%Y%m%d%H%M", step = "1h" } }
variable = "discharge"
unit = "m3 s-1"
missing = [-99.0]
"#;

/// Times of a zone with clock changes, decimal commas, remarks and qualifiers.
const LOCAL: &str = r##"
station = { column = "station" }
time = { column = { name = "time", format = "%Y-%m-%d %H:%M", zone = "zone" } }
time_zone = "Europe/Paris"
value = "flow"
qualifier = "code"
qualifier_flags = { e = "suspect", Ice = "missing" }
variable = "discharge"
unit = "l s-1"
missing = [-99, "Eqp"]
delimiter = ";"
decimal = ","
comment = "#"
skip_after_header = 1
other_stations = "refuse"
"##;

/// The same without what only text has.
const PLAIN_LOCAL: &str = r#"
station = { column = "station" }
time = { column = { name = "time", format = "%Y-%m-%d %H:%M" } }
time_zone = "Europe/Paris"
value = "flow"
qualifier = "code"
qualifier_flags = { e = "suspect", Ice = "missing" }
variable = "discharge"
unit = "l s-1"
missing = [-99, "Eqp"]
"#;

/// Instants, and means of periods labelled by their begin.
const INSTANTS: &str = r#"
station = { constant = "V3524010" }
time = { column = { name = "time", format = "rfc3339" } }
value = "flow"
variable = "discharge"
unit = "ft3 s-1"
period = "15min"
time_label = "start"
"#;

/// A weather forecast.
const WEATHER: &str = r#"
station = { column = "catchment" }
time = { column = { name = "valid_time", format = "unix_s" } }
forecast = { issue_time = "issue_time", member = "member" }
value = "precipitation_mm"
variable = "precipitation"
unit = "mm"
period = "1h"
"#;
