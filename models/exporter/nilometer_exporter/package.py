"""Writes a package: graphs, weights, golden vectors, and the card that names every row and hashes every file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from jax import export
from safetensors.numpy import save_file

from .onnx_export import to_onnx

# name -> unit and CF standard name of what a step gives beside the state.
OUTPUTS = {
    "discharge": ("mm", "runoff_amount"),
    "evapotranspiration": ("mm", "water_evapotranspiration_amount"),
    "outflow": ("mm", "runoff_amount"),
    "quantiles": ("mm", "runoff_amount"),
}
FILES = ("step.onnx", "rollout.onnx", "weights.safetensors", "golden.safetensors")


Graph = Callable[[Mapping[str, Any], Any, Any, Any], tuple[Any, ...]]


@dataclass(frozen=True)
class Graphs:
    """A model's two functions ``(weights, attributes, state, forcing)`` and the names of their outputs.

    ``step`` gives ``state_next`` and ``outputs``, ``rollout`` gives ``rolled`` of them for every time step and ``state_next``.
    """

    step: Graph
    rollout: Graph
    outputs: tuple[str, ...]
    rolled: tuple[str, ...] = ("discharge",)

    def function(self, graph: str) -> tuple[Graph, tuple[str, ...]]:
        if graph == "step":
            return self.step, ("state_next", *self.outputs)
        return self.rollout, (*self.rolled, "state_next")


@dataclass(frozen=True)
class Package:
    """A trained model before it is written.

    ``weights`` are in graph order. ``catchments`` is empty for a model of any catchment that has ``attributes``. ``golden_inputs``
    are ``state [S, C, M]``, ``forcing [T, F, C, M]`` and, where the model takes them, ``attributes [A, C]``, for the first C catchments.
    """

    name: str
    version: str
    summary: str
    time_step_s: int
    catchments: tuple[str, ...]
    attributes: tuple[Mapping[str, Any], ...]
    inputs: tuple[Mapping[str, Any], ...]
    states: tuple[Mapping[str, Any], ...]
    graphs: Graphs
    weights: Mapping[str, np.ndarray]
    weight_facts: Mapping[str, Mapping[str, Any]]
    golden_inputs: Mapping[str, np.ndarray]
    training: Mapping[str, str]
    skill: tuple[Mapping[str, Any], ...]
    notes: Mapping[str, str]
    known_failures: tuple[str, ...] = ()
    golden_tolerance: float = 1e-5

    @property
    def rows(self) -> int:
        """Rows of the state."""
        return sum(state["rows"] for state in self.states)

    def is_local(self, weight: str) -> bool:
        """Whether the first axis of a weight is the catchment."""
        return self.weight_facts.get(weight, {}).get("catchment_axis") == 0


def write(package: Package, folder: Path) -> None:
    """Writes the package to ``folder``; the same package gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    package = replace(package, weights={n: np.ascontiguousarray(v, np.float32) for n, v in package.weights.items()})
    for graph in ("step", "rollout"):
        onnx.save(build_graph(package, graph, np.float32), folder / f"{graph}.onnx")
    save_file(dict(package.weights), folder / "weights.safetensors")
    save_file(golden(package), folder / "golden.safetensors")
    for name in FILES:
        (folder / name).chmod(0o644)
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}
    (folder / "card.toml").write_text(_card(package, hashes), encoding="utf-8")


def build_graph(package: Package, graph: str, dtype: Any) -> onnx.ModelProto:
    """The ``step`` or ``rollout`` graph with symbolic catchments C, members M and time steps T."""
    catchments, members, steps = export.symbolic_shape("C, M, T", constraints=["T >= 1"])
    shape = lambda name, value: (catchments, *value.shape[1:]) if package.is_local(name) else value.shape  # noqa: E731
    inputs = {name: jax.ShapeDtypeStruct(shape(name, value), dtype) for name, value in package.weights.items()}
    if package.attributes:
        inputs["attributes"] = jax.ShapeDtypeStruct((len(package.attributes), catchments), dtype)
    ensemble = (len(package.inputs), catchments, members)
    inputs["state"] = jax.ShapeDtypeStruct((package.rows, catchments, members), dtype)
    inputs["forcing"] = jax.ShapeDtypeStruct(ensemble if graph == "step" else (steps, *ensemble), dtype)
    function, outputs = package.graphs.function(graph)

    def flat(*arrays: jax.Array) -> tuple[jax.Array, ...]:
        values = dict(zip(inputs, arrays))
        weights = {name: values[name] for name in package.weights}
        return function(weights, values.get("attributes"), values["state"], values["forcing"])

    return to_onnx(flat, inputs, outputs, name=f"{package.name}_{graph}")


def golden(package: Package) -> dict[str, np.ndarray]:
    """The golden inputs and float64 results, stored as float32; the step's forcing is that of the wettest time step."""
    # safetensors writes memory as it lies, so every array is made contiguous.
    given = {name: np.ascontiguousarray(value, np.float32) for name, value in package.golden_inputs.items()}
    state, forcing, attributes = given["state"], given["forcing"], given.get("attributes")
    catchments = state.shape[1]
    double = lambda value: None if value is None else jnp.asarray(value, jnp.float64)  # noqa: E731
    weights = {n: double(v[:catchments] if package.is_local(n) else v) for n, v in package.weights.items()}

    def run(graph: str, forcing: np.ndarray) -> dict[str, np.ndarray]:
        function, outputs = package.graphs.function(graph)
        results = function(weights, double(attributes), double(state), double(forcing))
        named = {"state": state, "forcing": forcing} | dict(zip(outputs, results, strict=True))
        return {f"{graph}.{name}": np.asarray(value, np.float32, order="C") for name, value in named.items()}

    found = run("step", forcing[np.argmax(forcing[:, 0].sum(axis=(1, 2)))]) | run("rollout", forcing)
    return found if attributes is None else found | {"attributes": attributes}


def _card(package: Package, hashes: Mapping[str, str]) -> str:
    top = {"name": package.name, "version": package.version, "summary": package.summary, "licence": "Apache-2.0"}
    top |= {"time_step_s": package.time_step_s, "catchments": list(package.catchments)}
    top |= {"golden_tolerance": package.golden_tolerance} if package.golden_tolerance != 1e-5 else {}
    top |= {"known_failures": list(package.known_failures)} if package.known_failures else {}
    tables = [_table(None, top)]
    tables += [_table("[[attribute]]", row) for row in package.attributes]
    tables += [_table("[[input]]", row) for row in package.inputs]
    tables += [_table("[[state]]", row) for row in package.states]
    for name in package.graphs.outputs:
        unit, standard_name = OUTPUTS[name]
        tables.append(_table("[[output]]", {"name": name, "unit": unit, "standard_name": standard_name}))
    for name, value in package.weights.items():
        tables.append(_table("[[weight]]", {"name": name, "shape": list(value.shape), **package.weight_facts.get(name, {})}))
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
