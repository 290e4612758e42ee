"""Writes a package: graphs, weights, golden vectors, and the card that names every row and hashes every file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from jax import export
from safetensors.numpy import save_file

from . import streaming
from .onnx_export import to_onnx

INPUTS = (
    {"name": "precipitation", "unit": "mm", "standard_name": "lwe_thickness_of_precipitation_amount"},
    {"name": "potential_evapotranspiration", "unit": "mm", "standard_name": "water_potential_evapotranspiration_amount"},
)
OUTPUTS = (
    {"name": "discharge", "unit": "mm", "standard_name": "runoff_amount"},
    {"name": "evapotranspiration", "unit": "mm", "standard_name": "water_evapotranspiration_amount"},
    {"name": "outflow", "unit": "mm", "standard_name": "runoff_amount"},
)
STEP_OUTPUTS = ("state_next", "discharge", "evapotranspiration", "outflow")
ROLLOUT_OUTPUTS = ("discharge", "state_next")
GRAPHS: dict[str, dict[str, tuple[Callable[..., Any], tuple[str, ...]]]] = {
    "physical": {
        "step": (streaming.physical_step, STEP_OUTPUTS),
        "rollout": (streaming.physical_rollout, ROLLOUT_OUTPUTS),
    },
    "hybrid": {
        "step": (streaming.hybrid_step, STEP_OUTPUTS),
        "rollout": (streaming.hybrid_rollout, ROLLOUT_OUTPUTS),
    },
}
FILES = ("step.onnx", "rollout.onnx", "weights.safetensors", "golden.safetensors")


@dataclass(frozen=True)
class Package:
    """A trained model before it is written. ``weights`` are in graph order; ``initial [S, C]`` is the state to start from."""

    name: str
    kind: str
    version: str
    summary: str
    catchments: tuple[str, ...]
    weights: Mapping[str, np.ndarray]
    weight_facts: Mapping[str, Mapping[str, Any]]
    states: tuple[Mapping[str, Any], ...]
    training: Mapping[str, str]
    skill: tuple[Mapping[str, Any], ...]
    notes: Mapping[str, str]
    head: Mapping[str, Any] = field(default_factory=lambda: {"licence": "Apache-2.0", "time_step_s": 3600})


def write(package: Package, folder: Path) -> None:
    """Writes the package to ``folder``; the same package gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.astype(np.float32) for name, value in package.weights.items()}
    rows = sum(state["rows"] for state in package.states)
    for graph in ("step", "rollout"):
        onnx.save(build_graph(package.kind, graph, weights, rows, np.float32), folder / f"{graph}.onnx")
    save_file(weights, folder / "weights.safetensors")
    save_file(golden(package.kind, weights, rows), folder / "golden.safetensors")
    for name in FILES:
        (folder / name).chmod(0o644)
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}
    (folder / "card.toml").write_text(_card(package, weights, hashes), encoding="utf-8")


def build_graph(kind: str, graph: str, weights: Mapping[str, np.ndarray], rows: int, dtype: Any) -> onnx.ModelProto:
    """The ``step`` or ``rollout`` graph with symbolic catchments C, members M and hours T."""
    catchments, members, hours = export.symbolic_shape("C, M, T", constraints=["T >= 1"])
    inputs = {name: jax.ShapeDtypeStruct((catchments, *value.shape[1:]), dtype) for name, value in weights.items()}
    ensemble = (len(INPUTS), catchments, members)
    inputs["state"] = jax.ShapeDtypeStruct((rows, catchments, members), dtype)
    inputs["forcing"] = jax.ShapeDtypeStruct(ensemble if graph == "step" else (hours, *ensemble), dtype)
    function, outputs = GRAPHS[kind][graph]

    def flat(*arrays: jax.Array) -> tuple[jax.Array, ...]:
        *values, state, forcing = arrays
        return function(dict(zip(weights, values)), state, forcing)

    return to_onnx(flat, inputs, outputs, name=f"{kind}_{graph}")


def golden(kind: str, weights: Mapping[str, np.ndarray], rows: int) -> dict[str, np.ndarray]:
    """Inputs and float64 results, stored as float32: C = 3, M = 4, T = 48, dry and stormy members, stores near their bounds."""
    random = np.random.default_rng(20141015)
    catchments, members, hours = 3, 4, 48
    rain = random.gamma(0.25, 4.0, (hours, catchments, members)) * np.array([0.0, 0.5, 1.0, 6.0])
    pet = np.clip(np.sin((np.arange(hours) - 6) * np.pi / 12), 0, None)[:, None, None] * random.uniform(0.1, 0.3, rain.shape)
    fill = np.array([0.02, 0.6, 0.9, 1.0])
    state = random.uniform(0.0, 1.5, (rows, catchments, members))
    state[0] = weights["smax"][:, None] * fill + random.uniform(-0.3, 0.3, (catchments, members))
    state, forcing = state.astype(np.float32), np.stack([rain, pet], axis=1).astype(np.float32)

    def run(graph: str, forcing: np.ndarray) -> dict[str, np.ndarray]:
        function, outputs = GRAPHS[kind][graph]
        double = {name: jnp.asarray(value, jnp.float64) for name, value in weights.items()}
        results = function(double, jnp.asarray(state, jnp.float64), jnp.asarray(forcing, jnp.float64))
        named = {"state": state, "forcing": forcing} | dict(zip(outputs, results))
        return {f"{graph}.{name}": np.asarray(value, np.float32, order="C") for name, value in named.items()}

    return run("step", forcing[np.argmax(rain.sum(axis=(1, 2)))]) | run("rollout", forcing)


def _card(package: Package, weights: Mapping[str, np.ndarray], hashes: Mapping[str, str]) -> str:
    top = {"name": package.name, "version": package.version, "summary": package.summary, **package.head}
    top["catchments"] = list(package.catchments)
    tables = [_table(None, top)]
    tables += [_table("[[input]]", row) for row in INPUTS]
    tables += [_table("[[state]]", row) for row in package.states]
    tables += [_table("[[output]]", row) for row in OUTPUTS]
    for name, value in weights.items():
        facts = {"name": name, "shape": list(value.shape), **package.weight_facts.get(name, {}), "catchment_axis": 0}
        tables.append(_table("[[weight]]", facts))
    tables += [_table("[sha256]", hashes), _table("[training]", package.training)]
    tables += [_table("[[skill]]", row) for row in package.skill]
    tables.append(_table("[notes]", package.notes))
    return "\n".join(tables)


def _table(header: str | None, values: Mapping[str, Any]) -> str:
    lines = [header] if header else []
    lines += [f"{_key(key)} = {_value(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def _key(key: str) -> str:
    return f'"{key}"' if "." in key else key


def _value(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
        case int():
            return str(value)
        case float():
            return repr(float(f"{value:.6g}"))
        case list() | tuple():
            return "[" + ", ".join(map(_value, value)) + "]"
    raise TypeError(f"a card holds text, numbers, booleans and lists, not {type(value).__name__}")
