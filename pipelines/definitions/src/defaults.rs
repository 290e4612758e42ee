//! Defaults that depend on the length of a step.

use nilometer_transforms::Span;
use toml::{Table, Value};

/// What a definition may leave out because the length of a step decides it.
pub(crate) struct StepDefault {
    pub(crate) key: &'static str,
    /// the default in words, for the reference
    pub(crate) says: &'static str,
    value: fn(Span) -> Value,
}

/// Of `[assimilation]`. Depths are a share of a day's, so that a step of any length assumes the same error of a day; the output error and
/// what it takes for wet are those of the definitions in this folder, hourly, six-hourly and daily, each chosen on its training window.
pub(crate) const ASSIMILATION: [StepDefault; 7] = [
    StepDefault {
        key: "discharge_epsilon_mm",
        says: "0.01 for a day, in proportion for other steps",
        value: |step| Value::Float(0.01 * days(step)),
    },
    StepDefault {
        key: "discharge_absolute_error_mm",
        says: "0.005 for a day, in proportion for other steps",
        value: |step| Value::Float(0.005 * days(step)),
    },
    StepDefault { key: "precipitation_tau", says: "time.step", value: |step| Value::String(step.to_string()) },
    StepDefault {
        key: "output_error_dry",
        says: "sigma 0.1, tau 33h for steps below 3h; 0.3, 10d below 1d; else 0.5, 20d",
        value: |step| by_step(step, [regime(0.1, "33h"), regime(0.3, "10d"), regime(0.5, "20d")]),
    },
    StepDefault {
        key: "output_error_wet",
        says: "sigma 0.3, tau 4h29min for steps below 3h; 0.5, 2d below 1d; else 0.6, 3d",
        value: |step| by_step(step, [regime(0.3, "4h29min"), regime(0.5, "2d"), regime(0.6, "3d")]),
    },
    StepDefault {
        key: "rain_memory",
        says: "6h for steps below 3h, 1d below 1d, else 2d",
        value: |step| by_step(step, ["6h", "1d", "2d"].map(|text| Value::String(text.to_owned()))),
    },
    StepDefault {
        key: "full_wetness_mm",
        says: "2 for steps below 3h, else 10",
        value: |step| by_step(step, [2.0, 10.0, 10.0].map(Value::Float)),
    },
];

/// Of `[forecast]`.
pub(crate) const FORECAST: [StepDefault; 2] = [
    StepDefault { key: "every", says: "time.step", value: |step| Value::String(step.to_string()) },
    StepDefault { key: "state_every", says: "time.step", value: |step| Value::String(step.to_string()) },
];

/// Puts into sections what they leave out and the step decides.
pub(crate) fn complete(definition: &mut Table, step: Span) {
    for (name, defaults) in [("assimilation", &ASSIMILATION[..]), ("forecast", &FORECAST[..])] {
        let Some(section) = definition.get_mut(name).and_then(Value::as_table_mut) else { continue };
        for default in defaults {
            section.entry(default.key).or_insert_with(|| (default.value)(step));
        }
    }
}

fn days(step: Span) -> f64 {
    step.seconds() as f64 / 86_400.0
}

/// The value for steps below 3 h, below a day, and longer ones.
fn by_step(step: Span, [hourly, six_hourly, daily]: [Value; 3]) -> Value {
    match step.seconds() {
        ..10_800 => hourly,
        10_800..86_400 => six_hourly,
        _ => daily,
    }
}

fn regime(sigma: f64, tau: &str) -> Value {
    Value::Table(
        [("sigma".to_owned(), Value::Float(sigma)), ("tau".to_owned(), Value::String(tau.to_owned()))]
            .into_iter()
            .collect(),
    )
}
