"""Reads the Cance benchmark (Ardèche, France) into hourly catchment averages.

Nothing after :data:`TRAINING_END` is ever read: later hours are kept for an unseen test.
Times are UTC and label the END of their hour.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import rowcol, xy

TRAINING_START = datetime(2014, 9, 15, 0)
TRAINING_END = datetime(2014, 10, 31, 23)
GAUGES = ("V3524010", "V3515010", "V3517010")

HOUR = timedelta(hours=1)
# Row and column steps of the flow direction codes 1..8: clockwise from North.
_DOWNSTREAM = {1: (-1, 0), 2: (-1, 1), 3: (0, 1), 4: (1, 1), 5: (1, 0), 6: (1, -1), 7: (0, -1), 8: (-1, -1)}

Cell = tuple[int, int]


@dataclass(frozen=True)
class Catchment:
    """Cells that drain to one gauge; ``x``, ``y`` are cell centres in Lambert-93 metres, both ``[cells]``."""

    code: str
    area_km2: float
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class TrainingData:
    """Hourly series of the training window, each ``[T, C]`` in mm per hour; missing discharge is NaN."""

    times: list[datetime]
    catchments: list[Catchment]
    precipitation: np.ndarray
    potential_evapotranspiration: np.ndarray
    discharge: np.ndarray

    @property
    def forcing(self) -> np.ndarray:
        """``[T, 2, C]``: precipitation and potential evapotranspiration, mm per hour."""
        return np.stack([self.precipitation, self.potential_evapotranspiration], axis=1)


def load(data: Path, flow_directions: Path) -> TrainingData:
    """Reads the training window of the dataset in ``data``."""
    times = [TRAINING_START + i * HOUR for i in range(int((TRAINING_END - TRAINING_START) / HOUR) + 1)]
    assert times[-1] == TRAINING_END, "the training window ends at 2014-10-31 23:00"
    catchments = [trace_catchment(row, flow_directions) for row in _gauge_rows(data / "gauge_attributes.csv")]
    rain = _average([_rain_path(data, t) for t in times], catchments, scale=0.1)
    # The hour that ends at midnight belongs to the day before.
    days = sorted({_day(t) for t in times})
    pet_of_day = dict(zip(days, _average([data / "pet" / f"{d}_ETPJIA.tif" for d in days], catchments, scale=1 / 24)))
    pet = np.stack([pet_of_day[_day(t)] for t in times])
    discharge = np.stack([_discharge_mm(data / "qobs" / f"{c.code}.csv", c.area_km2, times) for c in catchments], axis=1)
    return TrainingData(times, catchments, rain, pet, discharge)


def trace_catchment(gauge: dict[str, str], flow_directions: Path) -> Catchment:
    """Follows the flow directions upstream of ``gauge``.

    The gauge is snapped to the cell of its 3 x 3 neighbourhood whose upstream area is closest to the published one.
    """
    published = float(gauge["area"])
    with rasterio.open(flow_directions) as source:
        codes, transform = source.read(1), source.transform
    cell_km2 = abs(transform.a * transform.e) / 1e6
    row, column = map(int, rowcol(transform, float(gauge["x"]), float(gauge["y"])))
    around = [(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    cells = min((_upstream(codes, c) for c in around), key=lambda found: abs(len(found) * cell_km2 - published))
    x, y = xy(transform, *np.array(sorted(cells)).T)
    return Catchment(gauge["code"], published, np.asarray(x), np.asarray(y))


def _upstream(codes: np.ndarray, outlet: Cell) -> set[Cell]:
    found, todo = {outlet}, [outlet]
    while todo:
        row, column = todo.pop()
        for code, (down, right) in _DOWNSTREAM.items():
            cell = (row - down, column - right)
            inside = 0 <= cell[0] < codes.shape[0] and 0 <= cell[1] < codes.shape[1]
            if inside and codes[cell] == code and cell not in found:
                found.add(cell)
                todo.append(cell)
    return found


def _gauge_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        rows = {row["code"]: row for row in csv.DictReader(lines)}
    return [rows[code] for code in GAUGES]


def _rain_path(data: Path, time: datetime) -> Path:
    assert time <= TRAINING_END, f"{time} is after the training window"
    stamp = f"{time:%Y%m%d%H%M}"
    return data / f"prcp/{time:%Y/%m/%d}/rain_precipitation_{stamp}_{stamp}.tif"


def _day(time: datetime) -> str:
    return f"{time - HOUR:%m%d}"


def _average(paths: list[Path], catchments: list[Catchment], scale: float) -> np.ndarray:
    """Mean of the valid cells of each catchment, ``[len(paths), C]``; a file without any is refused."""
    averages = np.empty((len(paths), len(catchments)))
    for i, path in enumerate(paths):
        with rasterio.open(path) as source:
            band, transform, nodata = source.read(1).astype(float), source.transform, source.nodata
        band[(band == nodata) | (band == 65535) | (band < 0)] = np.nan
        for j, catchment in enumerate(catchments):
            averages[i, j] = np.nanmean(band[rowcol(transform, catchment.x, catchment.y)])
    if not np.isfinite(averages).all():
        raise ValueError(f"no valid cell over a catchment in {paths[int(np.argwhere(~np.isfinite(averages))[0][0])]}")
    return averages * scale


def _discharge_mm(path: Path, area_km2: float, times: list[datetime]) -> np.ndarray:
    """Observed discharge in mm per hour over the catchment's published area, NaN where missing, ``[T]``."""
    with path.open() as lines:
        first = datetime.strptime(next(lines).strip(), "%Y%m%d%H%M")
        skip = int((times[0] - first) / HOUR)
        m3_s = np.array([float(line) for line in islice(lines, skip, skip + len(times))])
    return np.where(m3_s < 0, np.nan, m3_s) * 3.6 / area_km2
