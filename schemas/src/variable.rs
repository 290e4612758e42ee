//! Variables, their canonical units and CF standard names.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SchemaError;

/// Lists the variables: the name in columns and definitions, the unit in which it travels, the CF standard name, whether values drive a catchment's
/// model or are observed of it, whether values of a period add up over periods, and what is possible on Earth.
macro_rules! variables {
    ($($(#[$doc:meta])* $variable:ident = $name:literal, $unit:ident, $standard_name:literal, $use:ident, $over:ident, $min:literal..=$max:literal;)*) => {
        /// What a value is about. Each variable has one canonical unit, in which it travels.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Variable { $($(#[$doc])* $variable,)* }

        impl Variable {
            /// Every variable, in the order of the enumeration.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variable),*];

            /// The name in columns and definitions.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variable => $name,)* }
            }

            /// The unit in which the variable travels.
            #[must_use]
            pub const fn unit(self) -> Unit {
                match self { $(Self::$variable => Unit::$unit,)* }
            }

            /// The CF standard name (CF Standard Name Table).
            #[must_use]
            pub const fn standard_name(self) -> &'static str {
                match self { $(Self::$variable => $standard_name,)* }
            }

            /// Smallest and largest value that is possible on Earth, in the canonical unit. Wide on purpose; records behind it: the Amazon at Óbidos
            /// carries up to 0.3 million m³/s, 1.8 m of rain fell in a day (WMO, Foc-Foc 1966).
            #[must_use]
            pub const fn possible_range(self) -> (f64, f64) {
                match self { $(Self::$variable => ($min, $max),)* }
            }

            const fn usage(self) -> Usage {
                match self { $(Self::$variable => Usage::$use,)* }
            }

            const fn over_periods(self) -> OverPeriods {
                match self { $(Self::$variable => OverPeriods::$over,)* }
            }
        }
    };
}

/// What values are used for.
enum Usage {
    /// they drive a catchment's model
    Forcing,
    /// they are observed of it
    Observed,
}

/// What values of a period do over shorter or longer periods.
enum OverPeriods {
    /// they add up, as depths do
    Add,
    /// they do not, as states and rates
    Stay,
}

variables! {
    /// volume flow through a cross section
    Discharge = "discharge", CubicMetrePerSecond, "water_volume_transport_in_river_channel", Observed, Stay, 0.0..=500_000.0;
    /// height of the water surface above the gauge datum
    Stage = "stage", Metre, "water_surface_height_above_reference_datum", Observed, Stay, -500.0..=9_000.0;
    /// water that the snow on the ground would give
    SnowWaterEquivalent = "snow_water_equivalent", Millimetre, "lwe_thickness_of_surface_snow_amount", Observed, Stay, 0.0..=20_000.0;
    /// share of the ground that snow covers
    SnowCoveredFraction = "snow_covered_fraction", One, "surface_snow_area_fraction", Observed, Stay, 0.0..=1.0;
    /// share of water in the volume of the uppermost soil
    SoilMoisture = "soil_moisture", CubicMetrePerCubicMetre, "volume_fraction_of_condensed_water_in_soil", Observed, Stay, 0.0..=1.0;
    /// depth of rain and melted snow that fell in a period
    Precipitation = "precipitation", Millimetre, "lwe_thickness_of_precipitation_amount", Forcing, Add, 0.0..=2_000.0;
    /// depth that would evaporate in a period from a surface that does not dry
    PotentialEvapotranspiration =
        "potential_evapotranspiration", Millimetre, "water_potential_evapotranspiration_amount", Forcing, Add, 0.0..=50.0;
    /// air temperature near the ground
    AirTemperature = "air_temperature", DegreeCelsius, "air_temperature", Forcing, Stay, -95.0..=60.0;
    /// its minimum over a period
    MinimumAirTemperature = "minimum_air_temperature", DegreeCelsius, "air_temperature", Forcing, Stay, -95.0..=60.0;
    /// its maximum over a period
    MaximumAirTemperature = "maximum_air_temperature", DegreeCelsius, "air_temperature", Forcing, Stay, -95.0..=60.0;
    /// time between sunrise and sunset of a day
    DayLength = "day_length", Day, "duration_of_daylight", Forcing, Stay, 0.0..=1.0;
    /// shortwave radiation that reaches the ground
    ShortwaveRadiation = "shortwave_radiation", WattPerSquareMetre, "surface_downwelling_shortwave_flux_in_air", Forcing, Stay, 0.0..=1_400.0;
    /// partial pressure of water vapour near the ground
    VapourPressure = "vapour_pressure", Pascal, "water_vapor_partial_pressure_in_air", Forcing, Stay, 0.0..=10_000.0;
}

impl Variable {
    /// Whether values drive a catchment's model; the others are what is observed of it.
    #[must_use]
    pub const fn is_forcing(self) -> bool {
        matches!(self.usage(), Usage::Forcing)
    }

    /// Whether values of a period add up over shorter or longer periods (depths do, states and rates do not).
    #[must_use]
    pub const fn accumulates(self) -> bool {
        matches!(self.over_periods(), OverPeriods::Add)
    }

    /// Whether gauges measure the water that flows by it.
    #[must_use]
    pub const fn is_of_gauges(self) -> bool {
        matches!(self, Self::Discharge | Self::Stage)
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Variable {
    type Err = SchemaError;
    fn from_str(s: &str) -> Result<Self, SchemaError> {
        Self::ALL.into_iter().find(|v| v.name() == s).ok_or_else(|| SchemaError::Word {
            kind: "variable",
            value: s.to_owned(),
            accepted: Self::ALL.map(Self::name).join(", "),
        })
    }
}

/// A unit of measure, spelled as UDUNITS does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Unit {
    /// m³ s⁻¹
    #[serde(rename = "m3 s-1")]
    CubicMetrePerSecond,
    /// cubic feet a second
    #[serde(rename = "ft3 s-1")]
    CubicFootPerSecond,
    /// litres a second
    #[serde(rename = "l s-1")]
    LitrePerSecond,
    /// m³ m⁻³, a share of a volume
    #[serde(rename = "m3 m-3")]
    CubicMetrePerCubicMetre,
    /// a share
    #[serde(rename = "1")]
    One,
    /// a hundredth
    #[serde(rename = "%")]
    Percent,
    /// metre
    #[serde(rename = "m")]
    Metre,
    /// foot
    #[serde(rename = "ft")]
    Foot,
    /// millimetre of water in the period
    #[serde(rename = "mm")]
    Millimetre,
    /// inch of water in the period
    #[serde(rename = "in")]
    Inch,
    /// millimetre of water an hour
    #[serde(rename = "mm h-1")]
    MillimetrePerHour,
    /// millimetre of water a day
    #[serde(rename = "mm d-1")]
    MillimetrePerDay,
    /// degree Celsius
    #[serde(rename = "degC")]
    DegreeCelsius,
    /// kelvin
    #[serde(rename = "K")]
    Kelvin,
    /// day
    #[serde(rename = "d")]
    Day,
    /// hour
    #[serde(rename = "h")]
    Hour,
    /// second
    #[serde(rename = "s")]
    Second,
    /// watt a square metre
    #[serde(rename = "W m-2")]
    WattPerSquareMetre,
    /// megajoule a square metre and day
    #[serde(rename = "MJ m-2 d-1")]
    MegajoulePerSquareMetreDay,
    /// pascal
    #[serde(rename = "Pa")]
    Pascal,
    /// hectopascal
    #[serde(rename = "hPa")]
    Hectopascal,
    /// kilopascal
    #[serde(rename = "kPa")]
    Kilopascal,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Self; 22] = [
        Self::CubicMetrePerSecond,
        Self::CubicFootPerSecond,
        Self::LitrePerSecond,
        Self::CubicMetrePerCubicMetre,
        Self::One,
        Self::Percent,
        Self::Metre,
        Self::Foot,
        Self::Millimetre,
        Self::Inch,
        Self::MillimetrePerHour,
        Self::MillimetrePerDay,
        Self::DegreeCelsius,
        Self::Kelvin,
        Self::Day,
        Self::Hour,
        Self::Second,
        Self::WattPerSquareMetre,
        Self::MegajoulePerSquareMetreDay,
        Self::Pascal,
        Self::Hectopascal,
        Self::Kilopascal,
    ];

    /// The spelling in columns, metadata and definitions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CubicMetrePerSecond => "m3 s-1",
            Self::CubicFootPerSecond => "ft3 s-1",
            Self::LitrePerSecond => "l s-1",
            Self::CubicMetrePerCubicMetre => "m3 m-3",
            Self::One => "1",
            Self::Percent => "%",
            Self::Metre => "m",
            Self::Foot => "ft",
            Self::Millimetre => "mm",
            Self::Inch => "in",
            Self::MillimetrePerHour => "mm h-1",
            Self::MillimetrePerDay => "mm d-1",
            Self::DegreeCelsius => "degC",
            Self::Kelvin => "K",
            Self::Day => "d",
            Self::Hour => "h",
            Self::Second => "s",
            Self::WattPerSquareMetre => "W m-2",
            Self::MegajoulePerSquareMetreDay => "MJ m-2 d-1",
            Self::Pascal => "Pa",
            Self::Hectopascal => "hPa",
            Self::Kilopascal => "kPa",
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Unit {
    type Err = SchemaError;
    fn from_str(s: &str) -> Result<Self, SchemaError> {
        Self::ALL.into_iter().find(|u| u.name() == s).ok_or_else(|| SchemaError::Word {
            kind: "unit",
            value: s.to_owned(),
            accepted: Self::ALL.map(Self::name).join(", "),
        })
    }
}
