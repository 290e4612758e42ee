//! From the stage that a gauge reads to the discharge that its station's rating curve gives.

use std::collections::BTreeMap;

use arrow::array::{Array, StringBuilder};
use nilometer_assimilation::{RATED, Ratings};
use nilometer_schemas::{Reason, Variable};

use crate::decode::DecodedTable;

/// What the qualifier says besides where the rating was extrapolated.
const EXTRAPOLATED: &str = "Extrapolated";

/// Turns stages (m) into discharge (m³ s⁻¹), each by the curve that held at its time, and says so in its qualifier; other tables stay as
/// they are. `ratings` by station. A stage whose station has no curve at its time becomes a dead letter, reason `no_rating`.
#[must_use]
pub fn rate(mut table: DecodedTable, ratings: &BTreeMap<String, Ratings>) -> DecodedTable {
    let rows = &mut table.rows;
    if rows.variable != Variable::Stage {
        return table;
    }
    let mut kept = Vec::with_capacity(rows.len());
    let mut qualifiers = StringBuilder::new();
    for row in 0..rows.len() {
        let (station, time) = (rows.station.value(row), rows.time[row]);
        let Some(curve) = ratings.get(station).and_then(|of_station| of_station.at(time)) else {
            let detail = format!(
                "stage of {station} at {time}; accepted is one with a [[rating.{station}]] whose valid_from is not after it"
            );
            table.dead_letters.push(rows.dead_letter(row, Reason::NoRating, detail));
            continue;
        };
        let rated = rows.value[row].map(|stage_m| curve.discharge_m3_s(stage_m));
        if let Some(rated) = rated.filter(|rated| !rated.discharge_m3_s.is_finite()) {
            let detail =
                format!("rating {} gives {} m³/s for this stage of {station}", curve.version(), rated.discharge_m3_s);
            table.dead_letters.push(rows.dead_letter(row, Reason::NotFinite, detail));
            continue;
        }
        // One word, whatever the agency calls its versions.
        let version: String =
            curve.version().chars().map(|c| if c.is_alphanumeric() || c == '.' { c } else { '_' }).collect();
        let of_agency = rows.qualifier.is_valid(row).then(|| rows.qualifier.value(row)).into_iter().map(str::to_owned);
        let extrapolated = rated.filter(|rated| rated.extrapolated).map(|_| EXTRAPOLATED.to_owned());
        let words: Vec<String> = of_agency.chain([format!("{RATED}{version}")]).chain(extrapolated).collect();
        qualifiers.append_value(words.join(", "));
        rows.value[row] = rated.map(|rated| rated.discharge_m3_s);
        kept.push(row);
    }
    rows.keep(&kept);
    (rows.variable, rows.qualifier) = (Variable::Discharge, qualifiers.finish());
    table
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nilometer_schemas::Unit;

    use super::*;
    use crate::{
        Conversion, Lines, Payload, RawBatch, TableLayout,
        check::{CheckOptions, CheckRules, CheckState, check},
        decode::{self, StationLayout, TimeFormat, TimeLayout},
    };

    fn decoded(text: &str) -> DecodedTable {
        let batch = RawBatch {
            source: Arc::from("stage"),
            locator: "stage.csv".to_owned(),
            payload: Payload::Lines(Lines {
                header: Some("station,time,stage,code".into()),
                lines: text.to_owned().into(),
                first_line: 2,
                start: None,
                times: None,
                delay_s: None,
            }),
            arrival: "2020-07-01".parse().unwrap(),
        };
        let station = StationLayout::Column("station".to_owned());
        let time = TimeLayout::Column { name: "time".to_owned(), format: TimeFormat::Rfc3339, zone: None };
        let conversion = Conversion::new(Unit::Metre, Variable::Stage, 0).unwrap();
        let qualifier = Some("code".to_owned());
        let layout = TableLayout { qualifier, ..TableLayout::new(station, time, "stage", conversion) };
        decode::table(&batch, &layout)
    }

    fn ratings() -> BTreeMap<String, Ratings> {
        let text = |version: &str, from: &str, a: f64| {
            format!(
                "[[A]]\nversion = \"{version}\"\nvalid_from = \"{from}\"\ngauged_stage_m = [0.5, 2.0]\nrelative_error = 0.05\n\
                 [[A.shape.segments]]\nfrom_stage_m = 0.0\nh0_m = 0.0\na = {a}\nb = 2.0\n"
            )
        };
        toml::from_str(&(text("3 B", "2020-01-01", 10.0) + &text("4", "2020-06-01", 8.0))).unwrap()
    }

    #[test]
    fn each_stage_is_rated_by_the_curve_of_its_time() {
        let table = rate(
            decoded(
                "A,2020-05-31T00:00:00Z,1.0,P\nA,2020-06-01T00:00:00Z,1.0,\nA,2020-06-02T00:00:00Z,3.0,e\nA,2020-06-03T00:00:00Z,,\n",
            ),
            &ratings(),
        );
        assert_eq!((table.rows.variable, table.dead_letters.len()), (Variable::Discharge, 0));
        assert_eq!(table.rows.value, [Some(10.0), Some(8.0), Some(72.0), None]);
        let words: Vec<&str> = table.rows.qualifier.iter().flatten().collect();
        assert_eq!(words, ["P, rating=3_B", "rating=4", "e, rating=4, Extrapolated", "rating=4"]);
    }

    #[test]
    fn a_stage_without_a_curve_is_kept_as_a_dead_letter_with_its_bytes() {
        let table = rate(
            decoded("A,2019-12-31T00:00:00Z,1.0,\nB,2020-06-01T00:00:00Z,1.0,\nA,2020-06-01T00:00:00Z,1.0,\n"),
            &ratings(),
        );
        assert_eq!(table.received, 3);
        let [early, unknown] = &table.dead_letters[..] else { unreachable!("{:?}", table.dead_letters) };
        assert_eq!((early.reason, unknown.reason), (Reason::NoRating, Reason::NoRating));
        assert_eq!(early.bytes, b"A,2019-12-31T00:00:00Z,1.0,");
        assert_eq!(unknown.locator, "stage.csv:3");
        // What is checked next still knows its own line.
        let rules = CheckRules::new(&CheckOptions::default(), [("A".to_owned(), CheckOptions::default())]);
        let checked = check(&table.rows, &rules, &mut CheckState::default()).unwrap();
        assert_eq!(checked.observations.value().value(0), 8.0);
        assert_eq!(table.rows.dead_letter(0, Reason::Late, String::new()).locator, "stage.csv:4");
    }
}
