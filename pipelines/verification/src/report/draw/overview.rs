//! An overview: one lead time over a whole window, beside what came.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use nilometer_archive::Forecast;
use nilometer_schemas::{QUANTILE_LEVELS, Timestamp};

use super::{
    scale::{Time, Values},
    svg::{Anchor, Svg, ink},
};

const HEIGHT: f64 = 420.0;
const FLOW: [f64; 2] = [84.0, 370.0];
/// Share of the upper edges of the fan that the axis has room for: an outlier does not set the scale of months.
const SHOWN: f64 = 0.998;

/// What a lead time said of a window, and what came.
pub struct Overview<'a> {
    pub title: String,
    pub zone: TimeZone,
    pub observed: &'a BTreeMap<Timestamp, f64>,
    /// in the order of valid times
    pub forecasts: Vec<&'a Forecast>,
    /// the same without assimilation
    pub open_loop: Vec<&'a Forecast>,
    pub from: Timestamp,
    pub to: Timestamp,
}

impl Overview<'_> {
    /// Draws it, so many pixels wide.
    pub fn draw(&self, width: f64) -> String {
        let time = Time {
            from: self.from,
            to: self.to,
            left: 56.0,
            right: width - 20.0,
            zone: self.zone.clone(),
            narrow: width < 600.0,
        };
        let shown: Vec<&&Forecast> = self.forecasts.iter().filter(|f| time.holds(f.valid_time)).collect();
        let observed: Vec<(Timestamp, f64)> =
            self.observed.range(self.from..=self.to).map(|(at, q)| (*at, *q)).collect();
        let mut upper: Vec<f64> = shown.iter().map(|f| f.quantiles[QUANTILE_LEVELS.len() - 1]).collect();
        upper.sort_by(f64::total_cmp);
        let most = upper.get(((upper.len() as f64 * SHOWN) as usize).min(upper.len().saturating_sub(1))).copied();
        let read = observed.iter().map(|(_, q)| *q).fold(0.0, f64::max);
        let values = Values::up_to(most.unwrap_or(0.0).max(read), FLOW[0], FLOW[1]);
        let mut svg = Svg::new(width, HEIGHT);
        svg.text((20.0, 28.0), Anchor::Start, 14.0, ink::TEXT, true, &self.title);
        for (value, label) in values.ticks() {
            let y = values.y(value);
            svg.line(&[(time.left, y), (time.right, y)], ink::RULE, 1.0, "");
            svg.text((time.left - 6.0, y + 4.0), Anchor::End, 12.0, ink::LABEL, false, &label);
        }
        for tick in time.ticks().into_iter().filter(|tick| !tick.label.is_empty()) {
            let x = time.x(tick.at);
            svg.line(&[(x, FLOW[0]), (x, FLOW[1] + 6.0)], ink::RULE, 1.0, "");
            svg.text((x, FLOW[1] + 20.0), Anchor::Middle, 12.0, ink::SECOND, tick.major, &tick.label);
        }
        svg.text((time.left, FLOW[0] - 8.0), Anchor::Start, 12.0, ink::LABEL, false, "m³/s");
        // Names in the order of the ink, above what they name.
        let mut x = time.right;
        let mut name = |svg: &mut Svg, text: &str, colour: &str| {
            svg.text((x, FLOW[0] - 26.0), Anchor::End, 12.0, colour, true, text);
            x -= 7.2 * text.chars().count() as f64 + 16.0;
        };
        name(&mut svg, "observed", ink::TEXT);
        name(&mut svg, "median", ink::AXIS);
        if !self.open_loop.is_empty() {
            name(&mut svg, "without assimilation", ink::RAIN_AHEAD);
        }
        name(&mut svg, "50, 90 %", ink::RAIN);
        for (low, high, colour) in [(0, 18, ink::FAN_90), (4, 14, ink::FAN_50)] {
            let edge = |level: usize| {
                let points = shown.iter().map(|f| (time.x(f.valid_time), values.y(f.quantiles[level])));
                points.collect::<Vec<(f64, f64)>>()
            };
            let outline: Vec<(f64, f64)> = edge(high).into_iter().chain(edge(low).into_iter().rev()).collect();
            svg.area(&outline, colour);
        }
        let of = |all: &[&Forecast], value: fn(&Forecast) -> f64| {
            let shown = all.iter().filter(|f| time.holds(f.valid_time));
            shown.map(|f| (time.x(f.valid_time), values.y(value(f)))).collect::<Vec<_>>()
        };
        svg.line(&of(&self.open_loop, |f| f.mean), ink::RAIN_AHEAD, 1.0, "");
        svg.line(&of(&self.forecasts, |f| f.quantiles[QUANTILE_LEVELS.len() / 2]), ink::AXIS, 1.25, "");
        let points: Vec<(f64, f64)> = observed.iter().map(|(at, q)| (time.x(*at), values.y(*q))).collect();
        svg.line(&points, ink::TEXT, 1.25, "");
        svg.line(&[(time.left, FLOW[1]), (time.right, FLOW[1])], ink::AXIS, 1.0, "");
        svg.finish()
    }
}
