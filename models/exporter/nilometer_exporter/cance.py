"""The two Cance packages: what is trained, and what their cards say."""

from __future__ import annotations

import platform
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np

from .data import GAUGES, TRAINING_END, TRAINING_START, TrainingData, load
from . import streaming
from .package import Graphs, Package, write
from .train import RANGES, Recipe, Trained, train
from .verify import blocks, nse

VERSION = "1.0.0"
NAMES = {"physical": "exphydro-cance", "hybrid": "hybrid-cance"}
SUMMARIES = {
    "physical": "Hourly EXP-HYDRO soil store (P-RNN) for three nested gauges of the Cance (Ardèche, France), without routing.",
    "hybrid": "Hourly hybrid for three nested gauges of the Cance (Ardèche, France): EXP-HYDRO soil store (P-RNN) and a "
    "convolution head that routes and corrects its discharge, after Jiang, Zheng & Solomatine (2020).",
}
SOURCE = (
    "Cance dataset as distributed with smash (PyPI hydro-smash 1.3.0, data files only): hourly rain grids and daily "
    "interannual PET of Météo-France, discharge of the French national network, France flow directions at 1 km; see the "
    "package for the terms."
)
UNITS = {"f": "mm-1", "smax": "mm", "qmax": "mm h-1", "rain_kernel": "mm-1", "flow_kernel": "mm-1"}
UNITS |= {"mix": "mm", "offset": "mm"}
INPUTS = (
    {"name": "precipitation", "unit": "mm", "standard_name": "lwe_thickness_of_precipitation_amount"},
    {"name": "potential_evapotranspiration", "unit": "mm", "standard_name": "water_potential_evapotranspiration_amount"},
)


def _graphs(step: streaming.Step, rollout: streaming.Rollout) -> Graphs:
    return Graphs(
        lambda weights, _, state, forcing: step(weights, state, forcing),
        lambda weights, _, state, forcing: rollout(weights, state, forcing),
        ("discharge", "evapotranspiration", "outflow"),
    )


GRAPHS = {
    "physical": _graphs(streaming.physical_step, streaming.physical_rollout),
    "hybrid": _graphs(streaming.hybrid_step, streaming.hybrid_rollout),
}


def write_packages(data_folder: Path, flow_directions: Path, out: Path) -> None:
    """Trains both models on the training window and writes their packages below ``out``."""
    data = load(data_folder, flow_directions)
    for kind in NAMES:
        recipe = Recipe()
        trained = train(data, kind, recipe)
        write(describe(data, kind, recipe, trained, skill(data, kind, recipe, trained)), out / NAMES[kind])


def skill(data: TrainingData, kind: str, recipe: Recipe, trained: Trained) -> tuple[dict[str, Any], ...]:
    """NSE of the simulation without assimilation: calibration, then each block simulated by weights trained without it."""
    whole = f"{TRAINING_START:%Y-%m-%d}/{TRAINING_END:%Y-%m-%d}, calibration"
    scored = [(whole, np.ones(len(data.times), bool), trained)]
    for interval, inside in blocks(data):
        scored.append((f"{interval}, cross-validation", inside, train(data, kind, recipe, counted=~inside)))
    return tuple(
        {"catchment": code, "period": period, "metric": "NSE", "value": nse(t.simulated[inside, j], data.discharge[inside, j])}
        for period, inside, t in scored
        for j, code in enumerate(GAUGES)
    )


def describe(data: TrainingData, kind: str, recipe: Recipe, trained: Trained, scores: tuple[dict[str, Any], ...]) -> Package:
    facts: dict[str, dict[str, Any]] = {name: {"unit": unit} for name, unit in UNITS.items()}
    for name, (low, high) in RANGES.items():
        facts[name] |= {"minimum": low, "maximum": high}
    for name in ("rain_kernel", "flow_kernel", "mix"):
        facts.setdefault(name, {})["minimum"] = 0.0
    facts = {name: facts.get(name, {}) | {"catchment_axis": 0} for name in trained.weights}
    return Package(
        name=NAMES[kind],
        version=VERSION,
        summary=SUMMARIES[kind],
        time_step_s=3_600,
        catchments=GAUGES,
        attributes=(),
        inputs=INPUTS,
        states=_states(kind, recipe, trained),
        graphs=GRAPHS[kind],
        weights=trained.weights,
        weight_facts=facts,
        golden_inputs=golden_inputs(trained.weights, sum(state["rows"] for state in _states(kind, recipe, trained))),
        training={
            "data": SOURCE,
            "from": f"{TRAINING_START:%Y-%m-%dT%H:%M:%SZ}",
            "to": f"{TRAINING_END:%Y-%m-%dT%H:%M:%SZ}",
            "method": _method(recipe, kind),
        },
        skill=scores,
        notes=_notes(data, kind, recipe),
    )


def golden_inputs(weights: dict[str, np.ndarray], rows: int) -> dict[str, np.ndarray]:
    """C = 3, M = 4, T = 48: dry and stormy members, stores near their bounds."""
    random = np.random.default_rng(20141015)
    catchments, members, hours = 3, 4, 48
    rain = random.gamma(0.25, 4.0, (hours, catchments, members)) * np.array([0.0, 0.5, 1.0, 6.0])
    pet = np.clip(np.sin((np.arange(hours) - 6) * np.pi / 12), 0, None)[:, None, None] * random.uniform(0.1, 0.3, rain.shape)
    fill = np.array([0.02, 0.6, 0.9, 1.0])
    state = random.uniform(0.0, 1.5, (rows, catchments, members))
    state[0] = weights["smax"][:, None] * fill + random.uniform(-0.3, 0.3, (catchments, members))
    return {"state": state, "forcing": np.stack([rain, pet], axis=1)}


def _states(kind: str, recipe: Recipe, trained: Trained) -> tuple[dict[str, Any], ...]:
    state = trained.initial_state
    store = {"name": "soil_store", "unit": "mm", "rows": 1, "minimum": 0.0}
    store["maximum"] = float(np.ceil(trained.weights["smax"].max() / 100 + 1) * 100)
    store |= {"storage": 1.0, "updatable": True, "initial": state[0].tolist(), "initial_spread": 5.0}
    if kind == "physical":
        return (store,)
    past = recipe.hours - 1
    window = {"unit": "mm", "rows": past, "minimum": 0.0}
    rain = {"name": "precipitation_window", **window, "updatable": False, "initial": [0.0], "initial_spread": 0.0}
    # An analysis that moves the store without the q* already under way would be undone, or worse, by the window.
    flow = {"name": "discharge_window", **window, "updatable": True, "initial": state[-1].tolist(), "initial_spread": 0.0}
    return store, rain, flow


def _method(recipe: Recipe, kind: str) -> str:
    parts = [
        "Loss per catchment: (1 - NSE of q) + (1 - NSE of sqrt q) + "
        f"{recipe.log_weight} (1 - NSE of log q), mean over catchments; all hours, initial store inverted from the first "
        "observed discharge.",
        f"Adam, {recipe.iterations} full-batch iterations, cosine rate from {recipe.learning_rate}, gradient norm clipped at 1, "
        "float64, fixed start: no random numbers.",
        f"Penalty {recipe.physical_penalty} on physical parameters away from the middle of their ranges.",
    ]
    if kind == "hybrid":
        parts.append(
            f"Head: {recipe.filters} filters, K = {recipe.hours} h, per catchment, started as a unit hydrograph of q*; penalties "
            f"{recipe.rain_penalty} on direct rain, {recipe.bias_penalty} on biases, {recipe.smoothness_penalty} on roughness, "
            f"{recipe.volume_penalty} on volume that is not q*'s."
        )
    parts.append(
        "Choices between recipes: blocked cross-validation inside the training window only; the cross-validation figures of this "
        "card are those blocks, so they flatter a little."
    )
    versions = ", ".join(f"{name} {installed(name)}" for name in ("jax", "optax", "numpy", "onnx"))
    parts.append(f"Python {platform.python_version()}, {versions}.")
    return " ".join(parts)


def _notes(data: TrainingData, kind: str, recipe: Recipe) -> dict[str, str]:
    cells = ", ".join(f"{c.code} {len(c.x)} cells for {c.area_km2:g} km2" for c in data.catchments)
    notes = {
        "units": "mm per hour step over the catchment, float32. Discharge observations were converted with the published area. "
        f"Forcing is the mean of the 1 km cells upstream ({cells}). Hours are labelled by their end; PET of a day is spread "
        "evenly over its 24 hours. Smooth steps are in mm as published.",
        "snow": "Off: the data hold no temperature, so only the soil store runs.",
        "label_shift": "discharge of a step is computed from the UPDATED store, as published; outflow and evapotranspiration are "
        "what the step itself removed, so soil_store' - soil_store = precipitation - evapotranspiration - outflow.",
        "ranges": "Hourly: f 0.005-0.1 1/mm (published 0-0.1), Smax 100-1000 mm (published 100-1500), Qmax 4-40 mm/h (published "
        "10-50 mm/day): floods here carry more than 2 mm in an hour, and a smaller Qmax would let the store spill all further "
        "rain at once just above the largest flood of the training window.",
        "limits": "47 autumn days with two floods, the larger of 229 m3/s at V3524010: low flow of other seasons, snow and other "
        "catchments are outside. The store is not clamped: smoothing may leave residues below zero near an empty store.",
    }
    if kind == "hybrid":
        notes["window_statistics"] = (
            "Statistics of the training window are frozen and folded into the kernels; the window rows hold plain mm, oldest "
            f"hour first: {recipe.hours - 1} of precipitation, then {recipe.hours - 1} of P-RNN discharge q*. The head "
            "does not see PET, which is a daily climatology here. There is no dropout."
        )
        notes["monotone"] = (
            "Kernels and mixing weights are non-negative and ELU is linear above zero: more rain or more q* never gives less "
            "discharge and nothing saturates. The head may add or lose water: budgets close on outflow, not on discharge."
        )
    return notes
