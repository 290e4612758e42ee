"""The six-hourly package: what is trained, how it is judged, and what its card says."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version as installed
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from ..camels import hbv
from ..camels.scores import nse
from ..package import Graphs, Package, write
from .data import FORCING, JUDGED, TRAINING, Gauges, load, step
from .model import COMPONENTS, KIND
from .train import ITERATIONS, RATE, ROOT_WEIGHT, YEAR, simulate, train

NAME = "hbv-nwrfc"
SOURCE = (
    "NOAA Northwest River Forecast Center, example basins of its autocalibration framework (Walters et al. 2025, Apache-2.0): six-hourly "
    "precipitation and temperature of zones, USGS instantaneous discharge (public domain)."
)
WATER = {"unit": "mm", "minimum": 0.0, "updatable": True, "initial_spread": 0.0}


def train_package(folder: Path, area_km2: dict[str, float], out: Path) -> None:
    """Trains on every gauge below ``folder``, judges on years that were not trained on and writes the package below ``out``."""
    data, weights = load(folder, area_km2), {}
    for iteration, (loss, weights) in enumerate(train(data)):
        if iteration % 50 == 0:
            print(json.dumps({"iteration": iteration, "of": ITERATIONS, "loss": loss}), flush=True)
    judged = slice(step(JUDGED[0]), step(JUDGED[1]))
    scores = nse(simulate(weights, data, judged), data.discharge[judged])
    print(json.dumps(dict(zip(data.names, np.round(scores.astype(float), 3)))), flush=True)
    with jax.enable_x64(True):
        write(describe(data, weights, scores), out / NAME)


def describe(data: Gauges, weights: dict[str, np.ndarray], scores: np.ndarray) -> Package:
    stores = ("snow", "melt_water", "soil", "upper_zone", "lower_zone")
    states = [{"name": f"{store}_store", "rows": COMPONENTS, "storage": 1 / COMPONENTS, "initial": [1e-3], **WATER} for store in stores]
    states.append({"name": "routed_window", "rows": hbv.LENGTH - 1, "initial": [0.0], **WATER})
    versions = ", ".join(f"{name} {installed(name)}" for name in ("jax", "optax", "numpy", "onnx"))
    return Package(
        name=NAME,
        version="1.0.0",
        summary="Six-hourly HBV with snow for six gauges of the US Northwest, each with parameters of its own, after Feng et al. (2022).",
        time_step_s=21_600,
        catchments=data.names,
        attributes=(),
        inputs=tuple({"name": name, "unit": unit, "standard_name": standard} for name, unit, standard in FORCING),
        states=tuple(states),
        graphs=Graphs(KIND.step, KIND.rollout, KIND.outputs, KIND.outputs),
        weights=weights,
        weight_facts={name: {"catchment_axis": 0} for name in weights},
        golden_inputs=golden_inputs(data, weights),
        training={
            "data": SOURCE,
            "from": f"{TRAINING[0]:%Y-%m-%dT%H:%M:%SZ}",
            "to": f"{TRAINING[1]:%Y-%m-%dT%H:%M:%SZ}",
            "method": f"Squared error over the variance and {ROOT_WEIGHT} times that of the root, each year behind a year of warm-up; Adam, "
            f"{ITERATIONS} iterations over all of it, cosine rate from {RATE}. Python {platform.python_version()}, {versions}.",
        },
        skill=tuple(
            {
                "catchment": name,
                "period": f"{JUDGED[0]:%Y-%m-%d}/{JUDGED[1]:%Y-%m-%d}, years not trained on, without assimilation",
                "metric": "NSE",
                "value": float(score),
            }
            for name, score in zip(data.names, scores)
        ),
        notes={
            "units": "mm in six hours over the catchment; forcing is the mean of the catchment's zones by area, labelled by the step's end.",
            "budget": "Discharge is outflow routed by a unit hydrograph of 15 steps; stores are the mean of the components, which differ in "
            "the temperature of snow and melt, as heights do. Potential evapotranspiration is Hamon's times a factor of 0.5 to 1.5.",
            "golden_tolerance": "3e-5: powers of up to 6 of the soil's fill multiply its float32 rounding by as much, step after step.",
            "limits": "NRKW1 takes the weather of its lower zones for all of its catchment, and SFLN2 knows of no water that is drawn off.",
        },
        golden_tolerance=3e-5,
    )


def golden_inputs(data: Gauges, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """C = 3, M = 4, T = 30 of the training years: members are winters and summers, the state is a year old."""
    at, members, steps = np.arange(3), 4, 30
    first = step(TRAINING[0]) + YEAR + np.array([0, 364, 728, 1092])
    forcing = data.forcing[:, :, at]
    drawn = lambda begin, count: np.stack([forcing[f + begin : f + begin + count] for f in first], axis=-1)  # noqa: E731
    own = {name: jnp.asarray(array[at]) for name, array in weights.items()}
    state = jnp.concatenate([part.reshape(-1, len(at), members) for part in KIND.initial(len(at) * members)])
    state = KIND.rollout(own, None, state, drawn(-YEAR, YEAR))[-1]
    return {"state": np.asarray(state), "forcing": drawn(0, steps)}
