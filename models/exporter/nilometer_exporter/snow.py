"""The snow store of ``hybrid-regional`` beside a snow record that it knows nothing of.

The record is the snow water equivalent of ERA5-Land over a catchment, as Caravan (Kratzert et al. 2023, doi:10.1038/s41597-023-01975-w)
has it in a NetCDF file. The model runs on the weather of its own catchment, which may be a neighbour of the record's.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file

from .camels import hybrid
from .camels.data import load, period
from .camels.hbv import ROWS, within
from .exphydro import Snow, Soil, run_daily

SNOW_WATER_EQUIVALENT = "snow_depth_water_equivalent_mean"


def compare(package: Path, data: Path, basin: str, record: Path, window: tuple[date, date], warm_up: int = 365) -> str:
    """Correlation, means and peaks of the two over the days of ``window`` that both have."""
    catchment = load(data).chosen([basin])
    days = period(window)
    simulated = snow_store(package, catchment, slice(max(days.start - warm_up, 0), days.stop))[days.start - days.stop :]
    observed = snow_record(record, window)
    both = np.isfinite(observed) & np.isfinite(simulated)
    simulated, observed = simulated[both], observed[both]
    r = np.corrcoef(simulated, observed)[0, 1]
    return (
        f"{basin} beside {record.stem}, {window[0]} to {window[1]}, {both.sum()} days: r = {r:.3f}; "
        f"mean {simulated.mean():.1f} and {observed.mean():.1f} mm, highest {simulated.max():.0f} and {observed.max():.0f} mm"
    )


def snow_store(package: Path, catchment, days: slice) -> np.ndarray:
    """The snow store ``[T]``, mm, at the end of each day."""
    weights = {name: jnp.asarray(value) for name, value in load_file(package / "weights.safetensors").items()}
    raw = hybrid.prepare_regional(weights, catchment.attributes)["physical"]
    p = {name: within(raw[i], limits) for i, (name, limits) in enumerate(hybrid.RANGES.items())}
    forcing = np.nan_to_num(catchment.forcing[days])
    row = lambda name: jnp.asarray(forcing[:, ROWS[name]])  # noqa: E731
    temperature = (row("minimum_air_temperature") + row("maximum_air_temperature")) / 2
    snow, soil = Snow(p["df"], p["tmax"], p["tmin"]), Soil(p["f"], p["smax"], p["qmax"])
    stores = jax.jit(run_daily)((jnp.zeros(1), jnp.zeros(1)), row("precipitation"), temperature, row("day_length"), snow, soil)
    return np.asarray(stores[0])[:, 0]


def snow_record(record: Path, window: tuple[date, date]) -> np.ndarray:
    """Snow water equivalent of each day of the window, mm; NaN where the record has none."""
    import h5py  # only this comparison reads NetCDF

    with h5py.File(record) as file:
        values = np.asarray(file[SNOW_WATER_EQUIVALENT], np.float64)
        unit = file["date"].attrs["units"]
        text = unit.decode() if isinstance(unit, bytes) else str(unit)
        first = date.fromisoformat(text.split("since")[1].strip()[:10]) + timedelta(days=int(file["date"][0]))
    found = np.full((window[1] - window[0]).days + 1, np.nan)
    for i in range(len(found)):
        at = (window[0] - first).days + i
        if 0 <= at < len(values):
            found[i] = values[at]
    return found
