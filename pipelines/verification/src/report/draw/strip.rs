//! A drought strip: the class of each index by day, and the percentile of one of them.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use nilometer_schemas::Timestamp;

use super::{
    scale::Time,
    svg::{Anchor, Svg, ink},
};

const ROW: f64 = 30.0;
const DAY_S: i64 = 86_400;
const PERCENTILES: [f64; 2] = [70.0, 210.0];
/// Percentiles that are named.
pub(super) const NAMED: [f64; 7] = [2.0, 5.0, 10.0, 20.0, 30.0, 50.0, 100.0];

/// What an index says of a day: percentile and class.
pub type Days = BTreeMap<Timestamp, (Option<f64>, Option<usize>)>;

/// Droughts of one catchment.
pub struct Strip<'a> {
    pub title: String,
    pub zone: TimeZone,
    pub from: Timestamp,
    pub to: Timestamp,
    /// what people call each index, the first of which has its percentiles drawn
    pub indices: Vec<(&'static str, &'a Days)>,
}

impl Strip<'_> {
    /// Draws it, so many pixels wide.
    pub fn draw(&self, width: f64) -> String {
        let height = PERCENTILES[1] + 20.0 + ROW * self.indices.len() as f64 + 44.0;
        let time = Time {
            from: self.from,
            to: self.to,
            left: 108.0,
            right: width - 20.0,
            zone: self.zone.clone(),
            narrow: width < 600.0,
        };
        // The dry end has the room.
        let y = |percentile: f64| PERCENTILES[1] - (percentile / 100.0).sqrt() * (PERCENTILES[1] - PERCENTILES[0]);
        let rows = PERCENTILES[1] + 20.0;
        let mut svg = Svg::new(width, height);
        svg.text((20.0, 28.0), Anchor::Start, 14.0, ink::TEXT, true, &self.title);
        let first = self.indices.first();
        let label = first.map_or_else(String::new, |(name, _)| format!("{name}, percentile of the season"));
        svg.text((time.left, PERCENTILES[0] - 10.0), Anchor::Start, 12.0, ink::LABEL, false, &label);
        for (class, limits) in
            [(0, [30.0, 20.0]), (1, [20.0, 10.0]), (2, [10.0, 5.0]), (3, [5.0, 2.0]), (4, [2.0, 0.0])]
        {
            let (above, below) = (y(limits[0]), y(limits[1]));
            svg.rectangle(time.left - 6.0, above, 5.0, below - above, ink::DROUGHT[class]);
        }
        for percentile in NAMED {
            svg.line(&[(time.left, y(percentile)), (time.right, y(percentile))], ink::RULE, 1.0, "");
            svg.text(
                (time.left - 10.0, y(percentile) + 4.0),
                Anchor::End,
                11.0,
                ink::LABEL,
                false,
                &percentile.to_string(),
            );
        }
        for tick in time.ticks().into_iter().filter(|tick| !tick.label.is_empty()) {
            let x = time.x(tick.at);
            svg.line(&[(x, PERCENTILES[0]), (x, height - 40.0)], ink::RULE, 1.0, "");
            svg.text((x, height - 24.0), Anchor::Middle, 12.0, ink::SECOND, tick.major, &tick.label);
        }
        if let Some((_, days)) = first {
            let mut points = Vec::new();
            for (at, (percentile, _)) in days.range(self.from..=self.to) {
                match percentile {
                    Some(percentile) => points.push((time.x(*at), y(*percentile))),
                    None => svg.line(&std::mem::take(&mut points), ink::TEXT, 1.25, ""),
                }
            }
            svg.line(&points, ink::TEXT, 1.25, "");
        }
        for (at, (name, days)) in self.indices.iter().enumerate() {
            let top = rows + ROW * at as f64;
            svg.text((time.left - 10.0, top + 16.0), Anchor::End, 12.0, ink::SECOND, false, name);
            svg.rectangle(time.left, top + 4.0, time.right - time.left, ROW - 10.0, "#f3f4f4");
            let mut last: Option<(Timestamp, Timestamp, usize)> = None;
            let mut spans = Vec::new();
            for (day, (_, class)) in days.range(self.from..=self.to) {
                match (&mut last, class) {
                    (Some((_, end, of)), Some(class)) if of == class => *end = *day,
                    (_, class) => {
                        spans.extend(last.take());
                        last = class.map(|class| (day.plus_s(-DAY_S), *day, class));
                    }
                }
            }
            spans.extend(last);
            for (from, to, class) in spans {
                let (x, end) = (time.x(from).max(time.left), time.x(to));
                svg.rectangle(x, top + 4.0, end - x, ROW - 10.0, ink::DROUGHT[class.min(4)]);
                // Its word where it fits, so that a grey print says it too.
                if end - x > 26.0 {
                    let colour = if class >= 3 { "#ffffff" } else { ink::TEXT };
                    svg.plain_text(((x + end) / 2.0, top + 18.0), 11.0, colour, &format!("D{class}"));
                }
            }
        }
        svg.finish()
    }
}
