//! Variables, their canonical units and CF standard names.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SchemaError;

/// What a value is about. Each variable has one canonical unit, in which it travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Variable {
    /// volume flow through a cross section
    Discharge,
    /// height of the water surface above the gauge datum
    Stage,
    /// water that the snow on the ground would give
    SnowWaterEquivalent,
    /// share of the ground that snow covers
    SnowCoveredFraction,
    /// share of water in the volume of the uppermost soil
    SoilMoisture,
    /// depth of rain and melted snow that fell in a period
    Precipitation,
    /// depth that would evaporate in a period from a surface that does not dry
    PotentialEvapotranspiration,
    /// air temperature near the ground
    AirTemperature,
    /// its minimum over a period
    MinimumAirTemperature,
    /// its maximum over a period
    MaximumAirTemperature,
    /// time between sunrise and sunset of a day
    DayLength,
    /// shortwave radiation that reaches the ground
    ShortwaveRadiation,
    /// partial pressure of water vapour near the ground
    VapourPressure,
}

impl Variable {
    /// Every variable, in the order of the enumeration.
    pub const ALL: [Self; 13] = [
        Self::Discharge,
        Self::Stage,
        Self::SnowWaterEquivalent,
        Self::SnowCoveredFraction,
        Self::SoilMoisture,
        Self::Precipitation,
        Self::PotentialEvapotranspiration,
        Self::AirTemperature,
        Self::MinimumAirTemperature,
        Self::MaximumAirTemperature,
        Self::DayLength,
        Self::ShortwaveRadiation,
        Self::VapourPressure,
    ];

    /// The name in columns and definitions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Discharge => "discharge",
            Self::Stage => "stage",
            Self::SnowWaterEquivalent => "snow_water_equivalent",
            Self::SnowCoveredFraction => "snow_covered_fraction",
            Self::SoilMoisture => "soil_moisture",
            Self::Precipitation => "precipitation",
            Self::PotentialEvapotranspiration => "potential_evapotranspiration",
            Self::AirTemperature => "air_temperature",
            Self::MinimumAirTemperature => "minimum_air_temperature",
            Self::MaximumAirTemperature => "maximum_air_temperature",
            Self::DayLength => "day_length",
            Self::ShortwaveRadiation => "shortwave_radiation",
            Self::VapourPressure => "vapour_pressure",
        }
    }

    /// The unit in which the variable travels.
    #[must_use]
    pub const fn unit(self) -> Unit {
        match self {
            Self::Discharge => Unit::CubicMetrePerSecond,
            Self::Stage => Unit::Metre,
            Self::SnowWaterEquivalent | Self::Precipitation | Self::PotentialEvapotranspiration => Unit::Millimetre,
            Self::SnowCoveredFraction => Unit::One,
            Self::SoilMoisture => Unit::CubicMetrePerCubicMetre,
            Self::AirTemperature | Self::MinimumAirTemperature | Self::MaximumAirTemperature => Unit::DegreeCelsius,
            Self::DayLength => Unit::Day,
            Self::ShortwaveRadiation => Unit::WattPerSquareMetre,
            Self::VapourPressure => Unit::Pascal,
        }
    }

    /// The CF standard name (CF Standard Name Table).
    #[must_use]
    pub const fn standard_name(self) -> &'static str {
        match self {
            Self::Discharge => "water_volume_transport_in_river_channel",
            Self::Stage => "water_surface_height_above_reference_datum",
            Self::SnowWaterEquivalent => "lwe_thickness_of_surface_snow_amount",
            Self::SnowCoveredFraction => "surface_snow_area_fraction",
            Self::SoilMoisture => "volume_fraction_of_condensed_water_in_soil",
            Self::Precipitation => "lwe_thickness_of_precipitation_amount",
            Self::PotentialEvapotranspiration => "water_potential_evapotranspiration_amount",
            Self::AirTemperature | Self::MinimumAirTemperature | Self::MaximumAirTemperature => "air_temperature",
            Self::DayLength => "duration_of_daylight",
            Self::ShortwaveRadiation => "surface_downwelling_shortwave_flux_in_air",
            Self::VapourPressure => "water_vapor_partial_pressure_in_air",
        }
    }

    /// Whether values drive a catchment's model; the others are what is observed of it.
    #[must_use]
    pub const fn is_forcing(self) -> bool {
        !matches!(
            self,
            Self::Discharge | Self::Stage | Self::SnowWaterEquivalent | Self::SnowCoveredFraction | Self::SoilMoisture
        )
    }

    /// Whether values of a period add up over shorter or longer periods (depths do, states and rates do not).
    #[must_use]
    pub const fn accumulates(self) -> bool {
        matches!(self, Self::Precipitation | Self::PotentialEvapotranspiration)
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
