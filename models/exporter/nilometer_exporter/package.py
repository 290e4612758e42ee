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

from . import learning
from .onnx_export import to_onnx

# name -> unit and CF standard name of what a step gives beside the state.
OUTPUTS = {
    "discharge": ("mm", "runoff_amount"),
    "evapotranspiration": ("mm", "water_evapotranspiration_amount"),
    "outflow": ("mm", "runoff_amount"),
    "quantiles": ("mm", "runoff_amount"),
}
GRAPHS = ("step", "rollout", "gradient", "train_step")
FILES = (*(f"{graph}.onnx" for graph in GRAPHS), "weights.safetensors", "golden.safetensors")


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

    def call(self, graph: str, weights: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
        """The named outputs of one of :data:`GRAPHS` for its named inputs; ``values`` are those beside the weights."""
        given = weights, values.get("attributes"), values["state"], values["forcing"]
        match graph:
            case "step":
                return dict(zip(("state_next", *self.outputs), self.step(*given), strict=True))
            case "rollout":
                return dict(zip((*self.rolled, "state_next"), self.rollout(*given), strict=True))
            case "gradient":
                found = learning.gradient(self.rollout, *given, *(values[name] for name in ("observed", "weight", "epsilon")))
                return dict(zip(("loss", "state_gradient", "forcing_gradient"), found, strict=True))
        names = learning.trained(weights)
        moments = ({name: values[f"{name}.{moment}"] for name in names} for moment in ("first", "second"))
        batch = (values[name] for name in ("observed", "weight", "scale", "rate"))
        moved, first, second, count, loss = learning.train_step(
            self.rollout, given[0], *moments, values["count"], *given[1:], *batch
        )
        found = {f"{name}.next": value for name, value in moved.items()}
        found |= {f"{name}.first.next": value for name, value in first.items()}
        found |= {f"{name}.second.next": value for name, value in second.items()}
        return found | {"count.next": count, "loss": loss}


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
    gradient_tolerance: float = 1e-3

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
    for graph in GRAPHS:
        onnx.save(build_graph(package, graph, np.float32), folder / f"{graph}.onnx")
    save_file(dict(package.weights), folder / "weights.safetensors")
    save_file(golden(package), folder / "golden.safetensors")
    for name in FILES:
        (folder / name).chmod(0o644)
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}
    (folder / "card.toml").write_text(_card(package, hashes), encoding="utf-8")


def build_graph(package: Package, graph: str, dtype: Any) -> onnx.ModelProto:
    """One of :data:`GRAPHS` with symbolic catchments C, members M and time steps T."""
    catchments, members, steps = export.symbolic_shape("C, M, T", constraints=["T >= 1"])
    spec = lambda *shape: jax.ShapeDtypeStruct(shape, dtype)  # noqa: E731
    shape = lambda name, value: (catchments, *value.shape[1:]) if package.is_local(name) else value.shape  # noqa: E731
    weights = {name: spec(*shape(name, value)) for name, value in package.weights.items()}
    inputs = dict(weights)
    if package.attributes:
        inputs["attributes"] = spec(len(package.attributes), catchments)
    ensemble = (len(package.inputs), catchments, members)
    inputs["state"] = spec(package.rows, catchments, members)
    inputs["forcing"] = spec(*ensemble) if graph == "step" else spec(steps, *ensemble)
    if graph in ("gradient", "train_step"):
        inputs |= {"observed": spec(steps, catchments), "weight": spec(steps, catchments)}
    if graph == "gradient":
        inputs["epsilon"] = spec(1)
    if graph == "train_step":
        moving = {name: weights[name] for name in learning.trained(weights)}
        inputs |= {f"{name}.{moment}": value for moment in ("first", "second") for name, value in moving.items()}
        inputs |= {"count": spec(1), "scale": spec(catchments), "rate": spec(1)}
    outputs: list[str] = []

    def flat(*arrays: jax.Array) -> tuple[jax.Array, ...]:
        values = dict(zip(inputs, arrays, strict=True))
        found = package.graphs.call(graph, {name: values[name] for name in weights}, values)
        outputs[:] = found
        return tuple(found.values())

    return to_onnx(flat, inputs, outputs, name=f"{package.name}_{graph}")


def golden(package: Package) -> dict[str, np.ndarray]:
    """The golden inputs and float64 results, stored as float32; the step's forcing is that of the wettest time step.

    What the gradients learn from is the mean of the members, a little larger, after a third of the time as a warm-up. Of
    ``train_step`` the first moments are kept, a tenth of the gradient: the weights themselves hardly tell.
    """
    # safetensors writes memory as it lies, so every array is made contiguous.
    given = {name: np.ascontiguousarray(value, np.float32) for name, value in package.golden_inputs.items()}
    steps, _, catchments, _ = given["forcing"].shape
    double = lambda values: {name: jnp.asarray(value, jnp.float64) for name, value in values.items()}  # noqa: E731
    weights = double({n: v[:catchments] if package.is_local(n) else v for n, v in package.weights.items()})

    def run(graph: str, values: dict[str, np.ndarray], kept: Callable[[str], bool] = lambda name: True) -> dict[str, np.ndarray]:
        zeros = {f"{n}.{m}": jnp.zeros_like(weights[n]) for n in learning.trained(weights) for m in ("first", "second")}
        results = package.graphs.call(graph, weights, double(values) | zeros)
        named = values | {name: value for name, value in results.items() if kept(name)}
        return {f"{graph}.{name}": np.asarray(value, np.float32, order="C") for name, value in named.items() if name != "attributes"}

    wettest = np.argmax(given["forcing"][:, 0].sum(axis=(1, 2)))
    found = run("step", given | {"forcing": given["forcing"][wettest]}) | run("rollout", given)
    observed = 1.2 * found["rollout.discharge"].mean(axis=2) + np.float32(0.01)
    weight = np.repeat(np.arange(steps)[:, None] >= steps // 3, catchments, axis=1).astype(np.float32)
    lesson = given | {"observed": observed, "weight": weight}
    found |= run("gradient", lesson | {"epsilon": np.array([0.01], np.float32)})
    scale = np.maximum(observed.std(axis=0), np.float32(0.1))
    batch = lesson | {"scale": scale, "count": np.zeros(1, np.float32), "rate": np.array([1e-3], np.float32)}
    found |= run("train_step", batch, lambda name: name == "loss" or name.endswith(".first.next"))
    return found | ({"attributes": given["attributes"]} if "attributes" in given else {})


def _card(package: Package, hashes: Mapping[str, str]) -> str:
    top = {"name": package.name, "version": package.version, "summary": package.summary, "licence": "Apache-2.0"}
    top |= {"time_step_s": package.time_step_s, "catchments": list(package.catchments)}
    top |= {"golden_tolerance": package.golden_tolerance} if package.golden_tolerance != 1e-5 else {}
    top |= {"gradient_tolerance": package.gradient_tolerance} if package.gradient_tolerance != 1e-3 else {}
    top |= {"known_failures": list(package.known_failures)} if package.known_failures else {}
    tables = [toml_table(None, top)]
    tables += [toml_table("[[attribute]]", row) for row in package.attributes]
    tables += [toml_table("[[input]]", row) for row in package.inputs]
    tables += [toml_table("[[state]]", row) for row in package.states]
    for name in package.graphs.outputs:
        unit, standard_name = OUTPUTS[name]
        tables.append(toml_table("[[output]]", {"name": name, "unit": unit, "standard_name": standard_name}))
    for name, value in package.weights.items():
        facts = package.weight_facts.get(name, {}) | ({"frozen": True} if name in learning.FROZEN else {})
        tables.append(toml_table("[[weight]]", {"name": name, "shape": list(value.shape), **facts}))
    tables += [toml_table("[sha256]", hashes), toml_table("[training]", package.training)]
    tables += [toml_table("[[skill]]", row) for row in package.skill]
    tables.append(toml_table("[notes]", package.notes))
    return "\n".join(tables)


def toml_table(header: str | None, values: Mapping[str, Any]) -> str:
    """A table of a card as TOML."""
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
