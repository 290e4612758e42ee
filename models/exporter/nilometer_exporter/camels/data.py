"""Reads a folder of daily forcing, discharge and static attributes of many catchments.

Layout: any ``forcing_*.parquet`` (``basin, date, dayl_s_x100, prcp_mm_x100, srad_wm2_x100, tmax_c_x100, tmin_c_x100,
vp_pa_x100``) and ``streamflow_*.parquet`` (``basin, date, q_cfs_x100``) below it, hundredths as integers, null where missing;
``attributes/camels_*.txt`` (semicolons, ``gauge_id`` first) and ``basin_inventory.csv`` (``basin, area_m2``).
Days are local calendar days and label the day itself; a row is the sum or mean over that day.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FIRST_DAY = date(1980, 1, 1)
TRAINING = (date(1999, 10, 1), date(2008, 9, 30))
VALIDATION = (date(1980, 10, 1), date(1989, 9, 30))
CUBIC_FEET_A_SECOND_TO_MM_KM2_A_DAY = 2.446575545549  # 0.028316846592 m³ s⁻¹ · 86400 s / 10⁶ m² · 10³ mm

# Rows of the forcing of every daily model, in order: name, column, factor to its unit, unit, CF standard name.
FORCING = (
    ("precipitation", "prcp_mm_x100", 0.01, "mm", "lwe_thickness_of_precipitation_amount"),
    ("minimum_air_temperature", "tmin_c_x100", 0.01, "degC", "air_temperature"),
    ("maximum_air_temperature", "tmax_c_x100", 0.01, "degC", "air_temperature"),
    ("day_length", "dayl_s_x100", 0.01 / 86_400, "d", "duration_of_daylight"),
    ("shortwave_radiation", "srad_wm2_x100", 0.01, "W m-2", "surface_downwelling_shortwave_flux_in_air"),
    ("vapour_pressure", "vp_pa_x100", 0.01, "Pa", "water_vapor_partial_pressure_in_air"),
)
# Climate, terrain, vegetation, soil and rock; nothing that is computed from discharge.
ATTRIBUTES = (
    "p_mean", "pet_mean", "p_seasonality", "frac_snow", "aridity", "high_prec_freq", "high_prec_dur", "low_prec_freq",
    "low_prec_dur", "elev_mean", "slope_mean", "area_gages2", "frac_forest", "lai_max", "lai_diff", "gvf_max", "gvf_diff",
    "soil_depth_pelletier", "soil_depth_statsgo", "soil_porosity", "soil_conductivity", "max_water_content", "sand_frac",
    "silt_frac", "clay_frac", "carbonate_rocks_frac", "geol_permeability",
)  # fmt: skip


@dataclass(frozen=True)
class Catchments:
    """Daily series of C catchments from :data:`FIRST_DAY`; what is missing is NaN.

    ``forcing [T, F, C]`` in the units of :data:`FORCING`, ``discharge [T, C]`` in mm a day, ``attributes [A, C]``.
    """

    names: tuple[str, ...]
    forcing: np.ndarray
    discharge: np.ndarray
    attributes: np.ndarray
    area_km2: np.ndarray

    def chosen(self, names: list[str]) -> Catchments:
        """The catchments of ``names``, in that order."""
        at = [self.names.index(name) for name in names]
        return replace(
            self,
            names=tuple(names),
            forcing=self.forcing[:, :, at],
            discharge=self.discharge[:, at],
            attributes=self.attributes[:, at],
            area_km2=self.area_km2[at],
        )


def day(when: date) -> int:
    """Index of a day on the time axis."""
    return (when - FIRST_DAY).days


def period(of: tuple[date, date]) -> slice:
    """The days of a period, its last included."""
    return slice(day(of[0]), day(of[1]) + 1)


def load(folder: Path) -> Catchments:
    """Everything below ``folder``, catchments in the order of their names."""
    forcing = pa.concat_tables([pq.read_table(path) for path in sorted(folder.rglob("forcing_*.parquet"))])
    flow = pa.concat_tables([pq.read_table(path) for path in sorted(folder.rglob("streamflow_*.parquet"))])
    names = tuple(sorted(set(forcing["basin"].to_pylist())))
    number = {name: i for i, name in enumerate(names)}
    with (folder / "basin_inventory.csv").open(newline="") as lines:
        areas = {row["basin"]: float(row["area_m2"]) / 1e6 for row in csv.DictReader(lines)}
    area_km2 = np.array([areas[name] for name in names])

    days = max(_days(table).max() for table in (forcing, flow)) + 1
    series = np.full((days, len(FORCING), len(names)), np.nan, np.float32)
    for row, (_, column, factor, *_) in enumerate(FORCING):
        series[_days(forcing), row, _places(forcing, number)] = _numbers(forcing[column]) * factor
    discharge = np.full((days, len(names)), np.nan, np.float32)
    flow = flow.filter(pa.array([name in number for name in flow["basin"].to_pylist()]))
    at = _places(flow, number)
    mm = _numbers(flow["q_cfs_x100"]) * 0.01 * CUBIC_FEET_A_SECOND_TO_MM_KM2_A_DAY / area_km2[at]
    discharge[_days(flow), at] = np.where(mm < 0, np.nan, mm)
    return Catchments(names, series, discharge, _attributes(folder / "attributes", names), area_km2)


def _days(table: pa.Table) -> np.ndarray:
    return table["date"].cast(pa.int32()).to_numpy() - (FIRST_DAY - date(1970, 1, 1)).days


def _places(table: pa.Table, number: dict[str, int]) -> np.ndarray:
    codes = table["basin"].combine_chunks().dictionary_encode()
    return np.array([number[name] for name in codes.dictionary.to_pylist()])[codes.indices.to_numpy()]


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return column.cast(pa.float64()).to_numpy(zero_copy_only=False)


def _attributes(folder: Path, names: tuple[str, ...]) -> np.ndarray:
    found: dict[str, dict[str, float]] = {name: {} for name in names}
    for path in sorted(folder.glob("camels_*.txt")):
        with path.open(newline="") as lines:
            for row in csv.DictReader(lines, delimiter=";"):
                for key in ATTRIBUTES:
                    if key in row and row["gauge_id"] in found:
                        found[row["gauge_id"]][key] = float(row[key])
    return np.array([[found[name][key] for name in names] for key in ATTRIBUTES], np.float32)
