"""The daily packages: what is trained, how it is judged, and what their cards say."""

from __future__ import annotations

import json
import platform
import time
from importlib.metadata import version as installed
from math import prod
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..package import Graphs, Package, write
from . import hbv
from .data import ATTRIBUTES, FORCING, TRAINING, VALIDATION, Catchments, load, period
from .graphs import KINDS, Kind
from .scores import nse
from .train import RECIPES, WARM_UP, Recipe, Weights, forcing_of, simulate, train

VERSIONS = {"lstm": "2.1.0", "lstm-ar": "2.1.0"}  # of others: 1.0.0
SOURCE = (
    "CAMELS-US (Newman et al. 2015, doi:10.5194/hess-19-209-2015; Addor et al. 2017, doi:10.5194/hess-21-5293-2017): extended Maurer "
    "forcing, USGS discharge (public domain), attributes of climate, terrain, vegetation, soil and rock; nothing computed from discharge."
)
SUMMARIES = {
    "lstm": "Regional LSTM of daily weather and static attributes with quantiles, after Kratzert et al. (2019).",
    "lstm-ar": "Regional LSTM that also sees yesterday's discharge, or its own where that is missing, after Nearing et al. (2022).",
    "dhbv": "HBV whose parameters come from networks of attributes and weather, after Feng et al. (2022), written from its equations.",
    "hybrid-regional": "EXP-HYDRO (P-RNN) and a convolution head, all parameters from static attributes, after Jiang et al. (2020).",
    "hybrid-local": "EXP-HYDRO (P-RNN) and a convolution head with each catchment's own parameters, after Jiang et al. (2020).",
    "exphydro-regional": "EXP-HYDRO (P-RNN) alone, parameters from static attributes.",
    "exphydro-local": "EXP-HYDRO (P-RNN) alone, each catchment's own parameters.",
    "conv-local": "The convolution of the hybrid without its physical part, each catchment's own weights.",
}
# Physics probes that `nilometer models check` finds wanting: what a network learned, not what was imposed on it.
# Those that take the area as an attribute have learned from it.
AREA = "doubled area leaves mm unchanged"
KNOWN_FAILURES: dict[str, tuple[str, ...]] = {
    "lstm": ("no water from nothing", "dry-down is monotone", "warmer winter melts earlier", AREA),
    "lstm-ar": ("no water from nothing", "warmer winter melts earlier", AREA),
    "dhbv": (AREA,),
    "exphydro-regional": ("stores and flow are not negative", "warmer winter melts earlier", AREA),
    "exphydro-local": ("stores and flow are not negative",),
    "conv-local": ("no water from nothing",),
    # The head gives water of its own, and smooth steps let stores fall a little below 0.
    "hybrid-local": ("no water from nothing",),
    "hybrid-regional": ("no water from nothing", "stores and flow are not negative", AREA),
}
NETWORK, WATER = {"unit": "1", "updatable": False}, {"unit": "mm", "minimum": 0.0, "updatable": True}
HEAD_WINDOW = {"name": "head_window", **NETWORK}


def train_package(folder: Path, kind: str, out: Path, left_out: Path | None) -> None:
    """Trains ``kind`` on every catchment below ``folder`` and writes its package; progress is a line of JSON an epoch.

    ``left_out`` names catchments that are not judged: other people's models have seen their validation years.
    """
    data, recipe = load(folder), RECIPES[kind]
    unjudged = set(left_out.read_text().split()) if left_out else set()
    judged = data if kind.endswith("local") else data.chosen([name for name in data.names if name not in unjudged])
    counted = np.array([name not in unjudged for name in judged.names])
    began, weights, log = time.monotonic(), {}, {}
    for epoch, (loss, weights) in enumerate(train(data, recipe)):
        log = {"kind": kind, "epoch": epoch + 1, "of": recipe.networks * sum(stage.epochs for stage in recipe.stages), "loss": loss, "seconds": round(time.monotonic() - began)}
        print(json.dumps(log), flush=True)
    package(data, judged, counted, recipe, weights, out)


def package(data: Catchments, judged: Catchments, counted: np.ndarray, recipe: Recipe, weights: Weights, out: Path) -> None:
    """Judges trained weights on the catchments of ``judged`` that are ``counted``, and writes their package."""
    kind = recipe.kind
    scores = nse(simulate(kind, weights, judged, period(VALIDATION))["discharge"], judged.discharge[period(VALIDATION)])[counted]
    skill = {"NSE": float(np.nanmedian(scores)), "share of NSE below 0": float(np.mean(scores[np.isfinite(scores)] < 0))}
    print(json.dumps({"kind": kind, "catchments": int(np.isfinite(scores).sum()), **skill}), flush=True)
    # Trained in float32; golden vectors are computed in float64.
    with jax.enable_x64(True):
        write(describe(data, recipe, weights, int(np.isfinite(scores).sum()), skill), out / kind)


def describe(data: Catchments, recipe: Recipe, weights: Weights, judged: int, skill: dict[str, float]) -> Package:
    kind = recipe.kind
    model, local = KINDS[kind](weights), kind.endswith("local")
    learned_by_catchment = {name: {"catchment_axis": 0} for name in weights if local and weights[name].shape[:1] == (len(data.names),)}
    feedback = kind == "lstm-ar"
    return Package(
        name=kind,
        version=VERSIONS.get(kind, "1.0.0"),
        summary=SUMMARIES[kind],
        time_step_s=86_400,
        catchments=data.names if local else (),
        attributes=() if local else tuple({"name": name} for name in ATTRIBUTES),
        inputs=tuple({"name": n, "unit": u, "standard_name": s} for n, _, _, u, s in FORCING) + (FEEDBACK if feedback else ()),
        states=_states(kind, model),
        graphs=Graphs(model.step, model.rollout, model.outputs, model.outputs),
        weights=weights,
        weight_facts=learned_by_catchment,
        golden_inputs=golden_inputs(data, kind, weights),
        training={
            "data": SOURCE,
            "from": f"{TRAINING[0]}T00:00:00Z",
            "to": f"{TRAINING[1]}T23:59:59Z",
            "method": _method(recipe, len(data.names)),
        },
        skill=tuple(
            {
                "catchment": f"{'share' if metric.startswith('share') else 'median'} of {judged}",
                "period": f"{VALIDATION[0]}/{VALIDATION[1]}, years not trained on, without assimilation",
                "metric": metric,
                "value": value,
            }
            for metric, value in skill.items()
        ),
        notes=_notes(kind),
        known_failures=KNOWN_FAILURES.get(kind, ()),
        golden_tolerance=3e-5 if kind == "dhbv" else 1e-5,
    )


FEEDBACK = (
    {"name": "discharge_before", "unit": "mm", "standard_name": "runoff_amount"},
    {"name": "discharge_before_missing", "unit": "1", "standard_name": "status_flag"},
)


def _states(kind: str, model: Kind) -> tuple[dict[str, Any], ...]:
    """The blocks of rows; ``storage`` is the water that a unit of a row holds, mm over the catchment."""
    if kind.startswith("lstm"):
        blocks = [{"name": "hidden", **NETWORK}, {"name": "memory", **NETWORK}]
        blocks += [{"name": "discharge_before", **WATER, "updatable": False}] * (len(model.parts) - 2)
    elif kind == "dhbv":
        components = model.parts[2][1]
        stores = ("snow", "melt_water", "soil", "upper_zone", "lower_zone")
        blocks = [{"name": "hidden", **NETWORK}, {"name": "memory", **NETWORK}]
        blocks += [{"name": f"{store}_store", **WATER, "rows": components, "storage": 1 / components} for store in stores]
        blocks += [{"name": "routed_window", **WATER}]
        rows = [*map(prod, model.parts[:2]), *[components] * len(stores), hbv.LENGTH - 1]
        first = [0.0, 0.0, *[1e-3] * len(stores), 0.0]
        return tuple(
            {"rows": count} | block | {"initial": [value], "initial_spread": 0.0} for block, count, value in zip(blocks, rows, first)
        )
    elif kind == "conv-local":
        blocks = [HEAD_WINDOW]
    else:
        blocks = [{"name": "snow_store", **WATER, "storage": 1.0}, {"name": "soil_store", **WATER, "storage": 1.0}, HEAD_WINDOW]
    return tuple(
        block | {"rows": prod(part), "initial": [value], "initial_spread": 0.0}
        for block, part, value in zip(blocks, model.parts, model.starts)
    )


def golden_inputs(data: Catchments, kind: str, weights: Weights) -> dict[str, np.ndarray]:
    """C = 3, M = 4, T = 30 of the training years: members are winters and summers, the state is a year old."""
    model, members, steps = KINDS[kind](weights), 4, 30
    at = np.array([0, len(data.names) // 2, len(data.names) - 1]) if not kind.endswith("local") else np.arange(3)
    forcing = forcing_of(data, kind == "lstm-ar")[:, :, at]
    first = period(TRAINING).start + np.array([366, 366 + 91, 366 + 182, 366 + 273])
    drawn = lambda begin, count: np.stack([forcing[f + begin : f + begin + count] for f in first], axis=-1)  # noqa: E731
    own = {n: jnp.asarray(v[at] if kind.endswith("local") and v.shape[:1] == (len(data.names),) else v) for n, v in weights.items()}
    attributes = data.attributes[:, at]
    start = model.initial(len(at) * members)
    state = jnp.concatenate([part.reshape(-1, len(at), members) for part in start])
    state = model.rollout(own, attributes, state, drawn(-WARM_UP, WARM_UP))[-1]
    found = {"state": np.asarray(state), "forcing": drawn(0, steps)}
    return found if kind.endswith("local") else found | {"attributes": attributes}


def _method(recipe: Recipe, catchments: int) -> str:
    weather = f"random batches of catchment-years after {recipe.warm_up} days of warm-up" if not recipe.kind.endswith("local") else "the whole record at once"
    parts = [f"{catchments} catchments, {weather}; squared error over (standard deviation + 0.1 mm)²."]
    for stage in recipe.stages:
        parts.append(
            f"Adam, {stage.epochs} epochs, batches of {stage.batch}, cosine rate from {stage.learning_rate}, which rises over {stage.rise} batches, "
            f"decay {stage.decay}, dropout {stage.dropout} on hidden states, {stage.root_weight} times the error of the root, "
            f"{stage.quantile_weight} times the pinball loss of quantiles of the root, seed {stage.seed}."
        )
    if recipe.networks > 1:
        parts.append(f"{recipe.networks} networks, trained apart, each with seeds 100 above those of the one before; what they say is their mean.")
    versions = ", ".join(f"{name} {installed(name)}" for name in ("jax", "optax", "numpy", "onnx"))
    return " ".join([*parts, f"Python {platform.python_version()}, {versions}."])


def _notes(kind: str) -> dict[str, str]:
    notes = {
        "units": "mm a day over the catchment, forcing in the units of its rows, attributes as published; statistics of the training years "
        "are weights, never those of the window at hand.",
        "days": "Local calendar days as published; a day's value is its sum or mean.",
    }
    if kind in ("hybrid-local", "hybrid-regional", "exphydro-local", "exphydro-regional"):
        notes["label_shift"] = (
            "discharge is computed from the UPDATED stores, as published; outflow and evapotranspiration are what the step itself removed, "
            "so snow' + soil' - snow - soil = precipitation - evapotranspiration - outflow."
        )
    if kind.startswith("hybrid"):
        notes["budget"] = "The head may add or lose water: budgets close on outflow, not on discharge."
    if kind == "dhbv":
        notes["budget"] = (
            "Discharge is outflow routed by a unit hydrograph of 15 days; stores are the mean of the components. Potential "
            "evapotranspiration is Hamon's times a factor of 0.5 to 1.5 that the network gives."
        )
        notes["golden_tolerance"] = "3e-5: powers of up to 6 of the soil's fill multiply its float32 rounding by as much, step after step."
    if kind == "lstm-ar":
        notes["feedback"] = (
            "discharge_before is what the gauge read at the step's begin, mm a day over the catchment; where discharge_before_missing is 1 the "
            "model's own discharge of the step before takes its place. The skill is of one day ahead with the gauge read every day."
        )
    if kind.startswith("lstm"):
        notes["budget"] = "No water balance: the rows of the state are not water."
        notes["attributes"] = "A network of the attributes says how strongly each input and hidden state counts, where gates stand and the head begins."
        notes["quantiles"] = "Levels 0.05 to 0.95 in steps of 0.05, of discharge given the weather; they cannot cross."
    return notes
