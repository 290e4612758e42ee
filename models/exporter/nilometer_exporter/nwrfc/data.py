"""Reads a folder in the layout of the Northwest River Forecast Center: a folder a gauge, six-hourly weather of its zones.

``forcing_por_ID-ZONE.csv`` (``year,month,day,hour,map_mm,mat_degc,ptps``, labelled by the END of the step), ``flow_instantaneous_ID.csv``
(``year,month,day,hour,flow_cfs``), ``pars_default.csv`` (``zone_area`` in km² and ``alat`` of each zone) and ``upflow_ID.csv``, which names a
gauge upstream. A gauge's catchment is its own zones and those of the gauges upstream of it that the folder has; times are UTC.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

FIRST, STEP = datetime(1979, 10, 1), timedelta(hours=6)
TRAINING = (datetime(1996, 10, 1), datetime(2012, 10, 1))
JUDGED = (datetime(2012, 10, 1), datetime(2017, 10, 1))
CUBIC_FEET_A_SECOND_TO_MM_KM2_A_STEP = 0.028316846592 * 21_600 / 1e3

# Rows of the forcing, in order: name, unit, CF standard name.
FORCING = (
    ("precipitation", "mm", "lwe_thickness_of_precipitation_amount"),
    ("air_temperature", "degC", "air_temperature"),
    ("day_length", "d", "duration_of_daylight"),
)


@dataclass(frozen=True)
class Gauges:
    """Six-hourly series from :data:`FIRST`, the first of them valid one step later; what is missing is NaN.

    ``forcing [T, F, C]`` in the units of :data:`FORCING`, ``discharge [T, C]`` in mm a step.
    """

    names: tuple[str, ...]
    forcing: np.ndarray
    discharge: np.ndarray
    area_km2: np.ndarray


def step(when: datetime) -> int:
    """Index of the step that begins at a time."""
    return int((when - FIRST) / STEP)


def load(folder: Path, area_km2: dict[str, float]) -> Gauges:
    """Every gauge below ``folder``, in the order of their names; ``area_km2`` where the zones are not the whole catchment."""
    flows = {path.stem.rsplit("_", 1)[1]: path for path in sorted(folder.rglob("flow_instantaneous_*.csv"))}
    names = tuple(sorted(flows))
    zones = {name: _zones(flows[name].parent, name) for name in names}
    above = {name: [p.stem.rsplit("_", 1)[1] for p in sorted(flows[name].parent.glob(f"upflow_*.csv"))] for name in names}
    steps = max(len(rain) for of in zones.values() for _, _, rain, _ in of)
    forcing = np.full((steps, len(FORCING), len(names)), np.nan, np.float32)
    discharge = np.full((steps, len(names)), np.nan, np.float32)
    areas = np.zeros(len(names))
    for place, name in enumerate(names):
        of = [zone for gauge in _with_upstream(name, above) for zone in zones.get(gauge, [])]
        weights = np.array([area for area, *_ in of])
        areas[place] = area_km2.get(name, weights.sum())
        for row, index in ((0, 2), (1, 3)):
            forcing[:, row, place] = np.average(np.stack([zone[index] for zone in of]), axis=0, weights=weights)
        latitude = np.average([zone[1] for zone in of], weights=weights)
        forcing[:, 2, place] = [day_length(FIRST + i * STEP, latitude) for i in range(steps)]
        for when, flow in _rows(flows[name], "flow_cfs"):
            at = step(when) - 1  # an instant is the end of its step
            if 0 <= at < steps and flow[0] >= 0:
                discharge[at, place] = flow[0] * CUBIC_FEET_A_SECOND_TO_MM_KM2_A_STEP / areas[place]
    return Gauges(names, forcing, discharge, areas)


def _with_upstream(name: str, above: dict[str, list[str]]) -> list[str]:
    """A gauge and all whose water comes past it."""
    found = [name]
    for gauge in found:
        found += [upstream for upstream in above.get(gauge, []) if upstream not in found]
    return found


def day_length(when: datetime, latitude: float) -> float:
    """Sunlit fraction of the day that a step belongs to (Allen et al. 1998, FAO Irrigation and Drainage Paper 56, eq. 24, 25)."""
    declination = 0.409 * np.sin(2 * np.pi * when.timetuple().tm_yday / 365 - 1.39)
    return float(np.arccos(np.clip(-np.tan(np.radians(latitude)) * np.tan(declination), -1, 1)) / np.pi)


def _zones(folder: Path, name: str) -> list[tuple[float, float, np.ndarray, np.ndarray]]:
    """Area, latitude, rain and temperature of each zone. A zone whose name is no number is no land of its own."""
    with (folder / "pars_default.csv").open(newline="") as lines:
        facts = {(row["name"], row["zone"]): float(row["value"]) for row in csv.DictReader(lines) if row["name"] in ("zone_area", "alat")}
    zones = []
    for path in sorted(folder.glob(f"forcing_por_{name}-*.csv")):
        zone = path.stem.removeprefix("forcing_por_")
        if not zone.removeprefix(f"{name}-").isdigit():
            continue
        rows = _rows(path, "map_mm", "mat_degc")
        # Labelled by its end, so the first row belongs to the step before FIRST.
        rain, temperature = np.array([values for _, values in rows][1:]).T
        assert rows[1][0] == FIRST + STEP, f"{path} begins at {rows[0][0]}"
        zones.append((facts["zone_area", zone], facts["alat", zone], rain, temperature))
    return zones


def _rows(path: Path, *columns: str) -> list[tuple[datetime, list[float]]]:
    with path.open(newline="") as lines:
        return [
            (datetime(*(int(row[part]) for part in ("year", "month", "day", "hour"))), [float(row[c]) for c in columns])
            for row in csv.DictReader(lines)
        ]
