//! From the unit of a file to the unit in which a variable travels.

use nilometer_schemas::{Unit, Variable};

/// One cubic foot in m³ (international foot of 0.3048 m, exact).
pub const CUBIC_METRE_PER_CUBIC_FOOT: f64 = 0.028_316_846_592;
const METRE_PER_FOOT: f64 = 0.3048;
const MILLIMETRE_PER_INCH: f64 = 25.4;
/// Volume of 1 mm of water over 1 km².
const CUBIC_METRE_PER_MM_KM2: f64 = 1_000.0;
const KELVIN_AT_ZERO_CELSIUS: f64 = 273.15;

/// A unit that does not fit its variable, or a rate without a period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// The dimensions differ.
    #[error("unit {unit:?} does not measure {variable}; accepted is {accepted}")]
    Dimension {
        /// the offending unit
        unit: &'static str,
        /// what it should measure
        variable: Variable,
        /// units of that dimension
        accepted: &'static str,
    },
    /// A rate becomes a depth only over a period.
    #[error("unit {unit:?} is a rate, so {variable} needs a period above 0 s; found is {period_s} s")]
    Period {
        /// the rate
        unit: &'static str,
        /// the variable that accumulates
        variable: Variable,
        /// period in seconds
        period_s: i64,
    },
}

/// A checked way to a variable's canonical unit: `canonical = raw × factor + offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conversion {
    variable: Variable,
    period_s: i64,
    factor: f64,
    offset: f64,
    per_km2: bool,
}

impl Conversion {
    /// The way from `unit` to the canonical unit of `variable`. Rates (`mm h-1`, `mm d-1`) of variables that accumulate
    /// are multiplied by the period. Discharge as a depth (`mm d-1`, `mm h-1`, `mm` in the period) is that of 1 km²: 1 mm d⁻¹ is
    /// 1/86.4 m³ s⁻¹ km⁻².
    ///
    /// Source of the factors: definitions of the international foot and inch, and of the Celsius scale (BIPM, The
    /// International System of Units, 9th edition).
    ///
    /// # Errors
    /// [`ConvertError`] when the dimensions differ or a rate has no period.
    pub fn new(unit: Unit, variable: Variable, period_s: i64) -> Result<Self, ConvertError> {
        let per = |seconds: f64| {
            if period_s > 0 {
                Ok((period_s as f64 / seconds, 0.0))
            } else {
                Err(ConvertError::Period { unit: unit.name(), variable, period_s })
            }
        };
        let refuse = |accepted| Err(ConvertError::Dimension { unit: unit.name(), variable, accepted });
        let (factor, offset) = match variable {
            Variable::Discharge => match unit {
                Unit::CubicMetrePerSecond => (1.0, 0.0),
                Unit::LitrePerSecond => (1e-3, 0.0),
                Unit::CubicFootPerSecond => (CUBIC_METRE_PER_CUBIC_FOOT, 0.0),
                Unit::MillimetrePerDay => (CUBIC_METRE_PER_MM_KM2 / 86_400.0, 0.0),
                Unit::MillimetrePerHour => (CUBIC_METRE_PER_MM_KM2 / 3_600.0, 0.0),
                Unit::Millimetre if period_s > 0 => (CUBIC_METRE_PER_MM_KM2 / period_s as f64, 0.0),
                _ => return refuse("m3 s-1, l s-1, ft3 s-1, mm d-1, mm h-1, mm with a period"),
            },
            _ if variable.accumulates() => match unit {
                Unit::Millimetre => (1.0, 0.0),
                Unit::Inch => (MILLIMETRE_PER_INCH, 0.0),
                Unit::MillimetrePerHour => per(3_600.0)?,
                Unit::MillimetrePerDay => per(86_400.0)?,
                _ => return refuse("mm, in, mm h-1, mm d-1"),
            },
            _ => {
                let (accepted, words) = to_unit(variable.unit());
                let Some((_, factor, offset)) = accepted.iter().find(|(from, ..)| *from == unit) else {
                    return refuse(words);
                };
                (*factor, *offset)
            }
        };
        let depth = matches!(unit, Unit::Millimetre | Unit::MillimetrePerHour | Unit::MillimetrePerDay);
        let per_km2 = variable == Variable::Discharge && depth;
        Ok(Self { variable, period_s, factor, offset, per_km2 })
    }

    /// The same way for files that store `value / scale`: `canonical = raw × scale × factor + offset`.
    #[must_use]
    pub fn scaled(self, scale: f64) -> Self {
        Self { factor: self.factor * scale, ..self }
    }

    /// A raw value in the variable's canonical unit.
    #[must_use]
    pub fn apply(&self, raw: f64) -> f64 {
        raw * self.factor + self.offset
    }

    /// Whether [`Self::apply`] gives the value of 1 km² of the catchment.
    #[must_use]
    pub const fn is_per_km2(&self) -> bool {
        self.per_km2
    }

    /// What the values are about.
    #[must_use]
    pub const fn variable(&self) -> Variable {
        self.variable
    }

    /// Length of the values' period in seconds, 0 for an instant.
    #[must_use]
    pub const fn period_s(&self) -> i64 {
        self.period_s
    }
}

/// Of a canonical unit the units that are converted to it, each with factor and offset, and their names.
const fn to_unit(unit: Unit) -> (&'static [(Unit, f64, f64)], &'static str) {
    match unit {
        Unit::Metre => (&[(Unit::Metre, 1.0, 0.0), (Unit::Foot, METRE_PER_FOOT, 0.0)], "m, ft"),
        Unit::Millimetre => (
            &[(Unit::Millimetre, 1.0, 0.0), (Unit::Inch, MILLIMETRE_PER_INCH, 0.0), (Unit::Metre, 1_000.0, 0.0)],
            "mm, in, m",
        ),
        Unit::One => (&[(Unit::One, 1.0, 0.0), (Unit::Percent, 0.01, 0.0)], "1, %"),
        Unit::CubicMetrePerCubicMetre => (&[(Unit::CubicMetrePerCubicMetre, 1.0, 0.0)], "m3 m-3"),
        Unit::DegreeCelsius => {
            (&[(Unit::DegreeCelsius, 1.0, 0.0), (Unit::Kelvin, 1.0, -KELVIN_AT_ZERO_CELSIUS)], "degC, K")
        }
        Unit::Day => {
            (&[(Unit::Day, 1.0, 0.0), (Unit::Hour, 1.0 / 24.0, 0.0), (Unit::Second, 1.0 / 86_400.0, 0.0)], "d, h, s")
        }
        Unit::WattPerSquareMetre => (
            &[(Unit::WattPerSquareMetre, 1.0, 0.0), (Unit::MegajoulePerSquareMetreDay, 1e6 / 86_400.0, 0.0)],
            "W m-2, MJ m-2 d-1",
        ),
        Unit::Pascal => (
            &[(Unit::Pascal, 1.0, 0.0), (Unit::Hectopascal, 100.0, 0.0), (Unit::Kilopascal, 1_000.0, 0.0)],
            "Pa, hPa, kPa",
        ),
        // No variable travels in these.
        _ => (&[], "none"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(value: f64, unit: Unit, variable: Variable, period_s: i64) -> f64 {
        Conversion::new(unit, variable, period_s).unwrap().apply(value)
    }

    #[test]
    fn golden_values() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} is not {b}");
        close(convert(1.0, Unit::CubicFootPerSecond, Variable::Discharge, 0), 0.028_316_846_592);
        close(convert(1500.0, Unit::LitrePerSecond, Variable::Discharge, 0), 1.5);
        // 2 mm a day over 107 km².
        close(107.0 * convert(2.0, Unit::MillimetrePerDay, Variable::Discharge, 0), 2.476_851_851_851_852);
        close(convert(0.5, Unit::MillimetrePerHour, Variable::Discharge, 0), 0.138_888_888_888_888_9);
        close(convert(12.0, Unit::Millimetre, Variable::Discharge, 86_400), 0.138_888_888_888_888_9);
        close(convert(10.0, Unit::Foot, Variable::Stage, 0), 3.048);
        close(convert(2.0, Unit::Inch, Variable::Precipitation, 3600), 50.8);
        close(convert(6.0, Unit::MillimetrePerHour, Variable::Precipitation, 1800), 3.0);
        close(convert(2.4, Unit::MillimetrePerDay, Variable::PotentialEvapotranspiration, 3600), 0.1);
        close(convert(12.0, Unit::Hour, Variable::DayLength, 86_400), 0.5);
        close(convert(8.64, Unit::MegajoulePerSquareMetreDay, Variable::ShortwaveRadiation, 86_400), 100.0);
        close(convert(0.4, Unit::Metre, Variable::SnowWaterEquivalent, 0), 400.0);
        close(convert(40.0, Unit::Percent, Variable::SnowCoveredFraction, 0), 0.4);
        close(convert(0.31, Unit::CubicMetrePerCubicMetre, Variable::SoilMoisture, 0), 0.31);
        close(convert(1.2, Unit::Kilopascal, Variable::VapourPressure, 86_400), 1_200.0);
        close(convert(273.15, Unit::Kelvin, Variable::AirTemperature, 0), 0.0);
        close(Conversion::new(Unit::Millimetre, Variable::Precipitation, 3600).unwrap().scaled(0.1).apply(12.0), 1.2);
    }

    #[test]
    fn dimensions_must_fit_for_every_pair() {
        for variable in Variable::ALL {
            let fitting = Unit::ALL.into_iter().filter(|u| Conversion::new(*u, variable, 3600).is_ok()).count();
            assert!((1..=6).contains(&fitting), "{variable}: {fitting}");
            assert_eq!(convert(1.5, variable.unit(), variable, 3600), 1.5, "the canonical unit is its own");
        }
        let error = Conversion::new(Unit::Metre, Variable::Discharge, 0).unwrap_err().to_string();
        assert!(error.contains("\"m\"") && error.contains("discharge") && error.contains("ft3 s-1"), "{error}");
        let error = Conversion::new(Unit::MillimetrePerDay, Variable::Precipitation, 0).unwrap_err().to_string();
        assert!(error.contains("period above 0"), "{error}");
    }
}
