//! Hydrographs with their fans, as SVG.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result, anyhow};
use nilometer_schemas::{QUANTILE_LEVELS, Timestamp};
use plotters::{coord::Shift, prelude::*};

use nilometer_archive::Forecast;

use super::MEDIAN;

const OBSERVED: RGBColor = RGBColor(20, 20, 20);
const FAN: RGBColor = RGBColor(31, 119, 180);
const OPEN_LOOP: RGBColor = RGBColor(200, 120, 30);

/// What a panel shows.
pub struct Hydrograph<'a> {
    pub title: String,
    pub observed: &'a BTreeMap<Timestamp, f64>,
    /// forecasts in the order of their valid times
    pub forecasts: Vec<&'a Forecast>,
    /// the same without assimilation
    pub open_loop: Vec<&'a Forecast>,
    /// what these forecasts have in common, for the legend
    pub which: String,
    pub from: Timestamp,
    pub to: Timestamp,
}

/// Draws panels below each other.
///
/// # Errors
/// When the file cannot be written.
pub fn draw(path: &Path, panels: &[Hydrograph<'_>]) -> Result<()> {
    let root = SVGBackend::new(path, (1100, 400 * panels.len().max(1) as u32)).into_drawing_area();
    let drawn = root
        .fill(&WHITE)
        .map_err(|e| anyhow!("{e}"))
        .and_then(|()| panels.iter().zip(root.split_evenly((panels.len().max(1), 1))).try_for_each(|(p, a)| p.draw(&a)))
        .and_then(|()| root.present().map_err(|e| anyhow!("{e}")));
    drawn.with_context(|| format!("{} cannot be drawn", path.display()))
}

impl Hydrograph<'_> {
    /// Observed discharge, the median and the 50 % and 90 % intervals.
    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<()> {
        let fail = |e: &dyn std::fmt::Display| anyhow!("{e}");
        let day = |t: Timestamp| t.seconds_since(self.from) as f64 / 86_400.0;
        let within = |t: &Timestamp| *t >= self.from && *t <= self.to;
        let shown: Vec<&Forecast> = self.forecasts.iter().copied().filter(|f| within(&f.valid_time)).collect();
        let top = shown
            .iter()
            .map(|f| f.quantiles[QUANTILE_LEVELS.len() - 1])
            .chain(self.observed.iter().filter(|(t, _)| within(t)).map(|(_, q)| *q))
            .fold(1e-6, f64::max);
        let days = day(self.to).max(1e-6);

        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..days, 0.0..top * 1.05)
            .map_err(|e| fail(&e))?;
        chart
            .configure_mesh()
            .x_desc("UTC")
            .y_desc("discharge, m³/s")
            .x_label_formatter(&|d| {
                let time = self.from.plus_s((d * 86_400.0).round() as i64);
                if days > 7.0 { time.date() } else { time.to_string()[5..16].replace('T', " ") }
            })
            .light_line_style(WHITE)
            .draw()
            .map_err(|e| fail(&e))?;

        for (low, high, strength) in [(0.05, 0.95, 0.22), (0.25, 0.75, 0.38)] {
            let (low, high) = (level(low), level(high));
            let outline = shown.iter().map(|f| (day(f.valid_time), f.quantiles[low]));
            let back = shown.iter().rev().map(|f| (day(f.valid_time), f.quantiles[high]));
            let band = Polygon::new(outline.chain(back).collect::<Vec<_>>(), FAN.mix(strength).filled());
            let share = ((QUANTILE_LEVELS[high] - QUANTILE_LEVELS[low]) * 100.0).round();
            chart
                .draw_series(std::iter::once(band))
                .map_err(|e| fail(&e))?
                .label(format!("{share} % interval, {}", self.which))
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 20, y + 5)], FAN.mix(strength).filled()));
        }
        let mut line = |points: Vec<(f64, f64)>, colour: RGBColor, width: u32, label: String| {
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(width)))
                .map(|s| {
                    s.label(label)
                        .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(width)));
                })
                .map_err(|e| fail(&e))
        };
        let values = |all: &[&Forecast], of: fn(&Forecast) -> f64| {
            all.iter().filter(|f| within(&f.valid_time)).map(|f| (day(f.valid_time), of(f))).collect::<Vec<_>>()
        };
        if !self.open_loop.is_empty() {
            line(values(&self.open_loop, |f| f.mean), OPEN_LOOP, 1, "model without assimilation".to_owned())?;
        }
        line(values(&shown, |f| f.quantiles[MEDIAN]), FAN, 2, format!("median, {}", self.which))?;
        let observed = self.observed.iter().filter(|(t, _)| within(t)).map(|(t, q)| (day(*t), *q)).collect();
        line(observed, OBSERVED, 1, "observed".to_owned())?;
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.85))
            .draw()
            .map_err(|e| fail(&e))
    }
}

/// The index of a level of [`QUANTILE_LEVELS`].
fn level(wanted: f64) -> usize {
    QUANTILE_LEVELS.iter().position(|l| (l - wanted).abs() < 1e-9).unwrap_or(0)
}
