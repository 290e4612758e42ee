//! The shape of a rating curve: power laws, or a table that becomes power laws.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    error::{AssimilationError, require},
    moments::count,
};

/// Largest accepted step of discharge where two segments meet, relative: published coefficients are rounded.
const JOINT_TOLERANCE: f64 = 0.01;

/// A curve as power laws or as a table. A table is interpolated linearly in `(ln(h - h0), ln Q)`, the rule of the USGS
/// (Rantz et al. 1982, Water-Supply Paper 2175, ch. 10), which makes each of its intervals a power law too.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RatingShape {
    /// Power laws, ascending by stage.
    Segments(Vec<RatingSegment>),
    /// Published pairs; the outermost intervals extend beyond it.
    Table {
        /// Stage of zero flow h0 in m, below the first stage.
        h0_m: f64,
        /// Stage in m and discharge in m3/s > 0, at least two different. Stages ascend and discharges do not fall; of
        /// equal discharges, which rounding makes, the first counts.
        points: Vec<[f64; 2]>,
    },
}

/// A power law `Q = a (h - h0)^b` that holds from a stage upwards, h in m and Q in m3/s (ISO 1100-2).
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RatingSegment {
    /// The stage it holds from, m; the first one also extends below, down to no flow.
    pub from_stage_m: f64,
    /// Stage h0 of zero flow, m, at most `from_stage_m`.
    pub h0_m: f64,
    /// Discharge one metre above `h0_m`, m3/s, positive.
    pub a: f64,
    /// Exponent, positive; 1.5 to 3 for natural controls.
    pub b: f64,
}

impl RatingSegment {
    pub(crate) fn discharge_m3_s(&self, stage_m: f64) -> f64 {
        let depth_m = stage_m - self.h0_m;
        if depth_m <= 0.0 { 0.0 } else { self.a * depth_m.powf(self.b) }
    }

    pub(crate) fn stage_m(&self, discharge_m3_s: f64) -> f64 {
        self.h0_m + (discharge_m3_s / self.a).powf(1.0 / self.b)
    }

    pub(crate) fn lowest_m3_s(&self) -> f64 {
        self.discharge_m3_s(self.from_stage_m)
    }

    fn check(&self) -> Result<(), AssimilationError> {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        require("first stage of a segment in m", self.from_stage_m, "finite", f64::is_finite)?;
        require("h0 in m", self.h0_m, "finite and at most the first stage", |h0| {
            h0 <= self.from_stage_m && h0.is_finite()
        })?;
        require("coefficient a", self.a, "finite and positive", positive)?;
        require("exponent b", self.b, "finite and positive", positive)?;
        require("discharge at the start of a segment in m3/s", self.lowest_m3_s(), "finite", f64::is_finite)
    }

    fn check_after(&self, before: &Self) -> Result<(), AssimilationError> {
        require("first stage of a segment in m", self.from_stage_m, "above that of the segment before", |stage_m| {
            stage_m > before.from_stage_m
        })?;
        let lowest_m3_s = self.lowest_m3_s();
        require("discharge at the start of a segment in m3/s", lowest_m3_s, "above that of the segment before", |q| {
            q > before.lowest_m3_s()
        })?;
        let step = lowest_m3_s / before.discharge_m3_s(self.from_stage_m) - 1.0;
        require("relative step of discharge where segments meet", step, "-0.01 to 0.01", |v| v.abs() <= JOINT_TOLERANCE)
    }

    /// The power law through two points above `h0_m`, each stage in m and discharge in m3/s.
    fn through(h0_m: f64, [low_m, low_m3_s]: [f64; 2], [high_m, high_m3_s]: [f64; 2]) -> Self {
        let b = (high_m3_s / low_m3_s).ln() / ((high_m - h0_m) / (low_m - h0_m)).ln();
        Self { from_stage_m: low_m, h0_m, a: low_m3_s / (low_m - h0_m).powf(b), b }
    }
}

impl RatingShape {
    /// The curve as power laws, at least one, of which each begins at a higher stage and a higher discharge than the
    /// one before and meets it within 1 % of discharge.
    pub(crate) fn compile(self) -> Result<Vec<RatingSegment>, AssimilationError> {
        let segments = match self {
            Self::Segments(segments) => segments,
            Self::Table { h0_m, points } => interpolate(h0_m, points)?,
        };
        require("number of rating segments", count(segments.len()), "at least 1", |n| n >= 1.0)?;
        segments.iter().try_for_each(RatingSegment::check)?;
        segments.windows(2).try_for_each(|pair| pair[1].check_after(&pair[0]))?;
        Ok(segments)
    }
}

/// The power law of each interval of a table.
fn interpolate(h0_m: f64, mut points: Vec<[f64; 2]>) -> Result<Vec<RatingSegment>, AssimilationError> {
    require("h0 in m", h0_m, "finite", f64::is_finite)?;
    let mut below = [h0_m, 0.0];
    for (index, point) in points.iter().enumerate() {
        let refuse = |what, value, accepted| Err(AssimilationError::Element { what, index, value, accepted });
        let [stage_m, discharge_m3_s] = *point;
        if !(stage_m > below[0] && stage_m.is_finite()) {
            return refuse("stage of the table in m", stage_m, "finite, above h0, ascending");
        }
        if !(discharge_m3_s > 0.0 && discharge_m3_s >= below[1] && discharge_m3_s.is_finite()) {
            return refuse("discharge of the table in m3/s", discharge_m3_s, "finite, positive, not falling");
        }
        below = *point;
    }
    points.dedup_by_key(|[_, discharge_m3_s]| *discharge_m3_s);
    require("number of different discharges of the table", count(points.len()), "at least 2", |n| n >= 2.0)?;
    Ok(points.windows(2).map(|pair| RatingSegment::through(h0_m, pair[0], pair[1])).collect())
}
