//! The tests on one row.

use nilometer_schemas::{Flag, Reason, Timestamp, Variable};

use super::{
    CheckOptions, GapOptions, MEMORY,
    options::possible_range,
    state::{Point, Series},
};

/// What becomes of a row.
pub(super) enum Verdict {
    Accept(Accepted),
    Reject(Reason, String),
}

/// An accepted row.
pub(super) struct Accepted {
    pub(super) flag: Flag,
    pub(super) flag_source: &'static str,
    pub(super) out_of_order: bool,
    /// whether it takes the place of a value that came before
    pub(super) corrects: bool,
    pub(super) gap: Gap,
}

/// The missing steps before a row: `rows` of them are written, the first at `first`.
#[derive(Clone, Copy, Default)]
pub(super) struct Gap {
    first: Timestamp,
    step_s: i64,
    pub(super) rows: u64,
    pub(super) missing_steps: u64,
}

impl Gap {
    /// Times of the rows to write.
    pub(super) fn times(self) -> impl Iterator<Item = Timestamp> {
        (0..self.rows as i64).map(move |k| self.first.plus_s(self.step_s * k))
    }
}

impl Series {
    /// Judges a row and, if it is accepted, remembers it.
    pub(super) fn judge(
        &mut self,
        time: Timestamp,
        value: Option<f64>,
        variable: Variable,
        options: &CheckOptions,
        arrived: Timestamp,
    ) -> Verdict {
        let known = self.find(time).ok().map(|at| self.points[at]);
        if let Some((reason, detail)) = known.and_then(|known| repeated(known, value, variable, arrived)) {
            return Verdict::Reject(reason, detail);
        }
        let before = known.and_then(Point::value);
        let range = options.gross_range.unwrap_or(possible_range(variable));
        if let Some(value) = value.filter(|v| !range.contains(*v)) {
            let unit = variable.unit();
            let detail =
                format!("{variable} at {time} is {value} {unit}; accepted is {} to {} {unit}", range.min, range.max);
            return Verdict::Reject(Reason::GrossRange, detail);
        }
        let newest = self.points.back().map(|p| p.time());
        let out_of_order = newest.is_some_and(|newest| time <= newest);
        let gap = options.gap.zip(newest).map(|(gap, newest)| missing_between(newest, time, gap)).unwrap_or_default();
        for missing in gap.times() {
            self.remember(Point::Gap(missing));
        }
        let (flag, flag_source) = match value {
            None if before.is_some() => (Flag::Missing, "withdrawn"),
            None => (Flag::Missing, "missing_value"),
            Some(value) => self.test(time, value, options),
        };
        self.remember(value.map_or(Point::Missing(time), |value| Point::Value(time, value, arrived)));
        Verdict::Accept(Accepted { flag, flag_source, out_of_order, corrects: before.is_some(), gap })
    }

    /// The tests that can make a value suspect.
    fn test(&self, time: Timestamp, value: f64, options: &CheckOptions) -> (Flag, &'static str) {
        let before = self.find(time).unwrap_or_else(|at| at);
        let earlier = || self.points.range(..before).rev();
        let mut values = earlier().filter_map(|p| p.value().map(|v| (p.time(), v)));
        let (last, last_but_one) = (values.next(), values.next());

        // Values that lie further back than twice the step are no neighbours.
        let oldest = |points: i64| options.gap.map_or(Timestamp::MIN, |g| time.plus_s(-2 * points * g.step.seconds()));
        let spike = options.spike.zip(last.zip(last_but_one)).is_some_and(|(spike, ((_, a), (t, b)))| {
            t >= oldest(2) && (value - f64::midpoint(a, b)).abs() > spike.threshold
        });
        let rate = options.rate.zip(last).is_some_and(|(rate, (t, a))| {
            let hours = (time.0 - t.0) as f64 / 3.6e9;
            t >= oldest(1) && (value - a).abs() > rate.max_per_hour * hours
        });
        let flat_line = options.flat_line.is_some_and(|flat| {
            let run: [f64; 2] = [value, value];
            let (count, [min, max]) = earlier()
                .map_while(|p| p.value())
                .take(flat.count.min(MEMORY) - 1)
                .fold((1, run), |(n, [min, max]), v| (n + 1, [min.min(v), max.max(v)]));
            count >= flat.count && max - min < flat.tolerance
        });
        let flag_source = match (spike, rate, flat_line) {
            (false, false, false) => return (Flag::Pass, "pass"),
            (true, false, false) => "spike",
            (false, true, false) => "rate",
            (false, false, true) => "flat_line",
            (true, true, false) => "spike+rate",
            (true, false, true) => "spike+flat_line",
            (false, true, true) => "rate+flat_line",
            (true, true, true) => "spike+rate+flat_line",
        };
        (Flag::Suspect, flag_source)
    }
}

/// Why a second row for a known time is refused. A row fills a gap, a value replaces "no value", and what comes later corrects
/// or withdraws; of two values that come together neither is known to be meant.
fn repeated(known: Point, value: Option<f64>, variable: Variable, arrived: Timestamp) -> Option<(Reason, String)> {
    let detail = |what: &str| format!("{variable} of {} came before, with {what}", known.time());
    match (known, value) {
        (Point::Gap(_), _) | (Point::Missing(_), Some(_)) => None,
        (Point::Missing(_), None) => Some((Reason::Duplicate, detail("no value either"))),
        (Point::Value(_, old, _), Some(new)) if old == new => Some((Reason::Duplicate, detail("the same value"))),
        (Point::Value(_, _, before), _) if arrived > before => None,
        (Point::Value(_, old, _), _) => Some((Reason::ConflictingDuplicate, detail(&format!("the value {old}")))),
    }
}

/// The steps after `newest` and before `time` that have no row.
fn missing_between(newest: Timestamp, time: Timestamp, gap: GapOptions) -> Gap {
    let step_s = gap.step.seconds();
    let apart_us = time.0.saturating_sub(newest.0);
    if step_s <= 0 || apart_us <= 0 {
        return Gap::default();
    }
    let missing_steps = (apart_us - 1) / step_s.saturating_mul(1_000_000);
    let rows = missing_steps.min(i64::from(gap.max_rows));
    let first = newest.plus_s(step_s * (missing_steps - rows + 1));
    Gap { first, step_s, rows: rows.unsigned_abs(), missing_steps: missing_steps.unsigned_abs() }
}
