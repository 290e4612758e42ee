//! A hydrograph with its fan, as SVG.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Result, anyhow};
use nilometer_schemas::{QUANTILE_LEVELS, Timestamp};
use plotters::prelude::*;

use super::archive::Forecast;

const OBSERVED: RGBColor = RGBColor(20, 20, 20);
const FAN: RGBColor = RGBColor(31, 119, 180);
const OPEN_LOOP: RGBColor = RGBColor(200, 120, 30);

/// What a plot shows.
pub struct Hydrograph<'a> {
    pub title: String,
    pub observed: &'a BTreeMap<Timestamp, f64>,
    /// forecasts of one lead time, in the order of their valid times
    pub forecasts: &'a [Forecast],
    /// the same without assimilation
    pub open_loop: Option<&'a [Forecast]>,
    pub lead_h: i64,
    pub from: Timestamp,
    pub to: Timestamp,
}

impl Hydrograph<'_> {
    /// Draws observed discharge, the mean and the 50 % and 90 % intervals of one lead time.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn draw(&self, path: &Path) -> Result<()> {
        let fail = |e: &dyn std::fmt::Display| anyhow!("{} cannot be drawn: {e}", path.display());
        let day = |t: Timestamp| t.seconds_since(self.from) as f64 / 86_400.0;
        let within = |t: &Timestamp| *t >= self.from && *t <= self.to;
        let shown: Vec<&Forecast> = self.forecasts.iter().filter(|f| within(&f.valid_time)).collect();
        let top = shown
            .iter()
            .map(|f| f.quantiles[QUANTILE_LEVELS.len() - 1])
            .chain(self.observed.iter().filter(|(t, _)| within(t)).map(|(_, q)| *q))
            .fold(1e-6, f64::max);

        let root = SVGBackend::new(path, (1100, 460)).into_drawing_area();
        root.fill(&WHITE).map_err(|e| fail(&e))?;
        let mut chart = ChartBuilder::on(&root)
            .caption(&self.title, ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..day(self.to).max(1e-6), 0.0..top * 1.05)
            .map_err(|e| fail(&e))?;
        chart
            .configure_mesh()
            .x_desc("UTC")
            .y_desc("discharge, m³/s")
            .x_label_formatter(&|d| self.from.plus_s((d * 86_400.0) as i64).date())
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
                .label(format!("{share} % interval, {} h ahead", self.lead_h))
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
        if let Some(open_loop) = self.open_loop {
            let points =
                open_loop.iter().filter(|f| within(&f.valid_time)).map(|f| (day(f.valid_time), f.mean)).collect();
            line(points, OPEN_LOOP, 1, "mean without assimilation".to_owned())?;
        }
        line(
            shown.iter().map(|f| (day(f.valid_time), f.mean)).collect(),
            FAN,
            2,
            format!("mean, {} h ahead", self.lead_h),
        )?;
        let observed = self.observed.iter().filter(|(t, _)| within(t)).map(|(t, q)| (day(*t), *q)).collect();
        line(observed, OBSERVED, 1, "observed".to_owned())?;
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.85))
            .draw()
            .map_err(|e| fail(&e))?;
        root.present().map_err(|e| fail(&e))
    }
}

/// The index of a level of [`QUANTILE_LEVELS`].
fn level(wanted: f64) -> usize {
    QUANTILE_LEVELS.iter().position(|l| (l - wanted).abs() < 1e-9).unwrap_or(0)
}
