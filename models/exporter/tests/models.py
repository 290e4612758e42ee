"""Small models of every kind with plausible weights, and a way to run their graphs."""

from functools import cache

import jax
import numpy as np
import onnxruntime

from nilometer_exporter import cance, learning
from nilometer_exporter.camels import graphs, hbv, hybrid, lstm
from nilometer_exporter.camels.data import FORCING
from nilometer_exporter.camels.train import beside
from nilometer_exporter.nwrfc import model as nwrfc
from nilometer_exporter.nwrfc.data import FORCING as SIX_HOURLY_FORCING
from nilometer_exporter.package import Graphs, Package, build_graph

CANCE, CAMELS, NWRFC = ("physical", "hybrid"), tuple(graphs.KINDS), ("hbv-nwrfc",)
HOURS, FILTERS, ATTRIBUTES = 6, 3, 5


def package(kind: str, dtype=np.float64) -> Package:
    """A package of three catchments (or of any) that is never written."""
    return (_cance if kind in CANCE else _nwrfc if kind in NWRFC else _camels)(kind, dtype)


@cache
def _cance(kind: str, dtype) -> Package:
    values = weights(kind, dtype)
    rows = {"physical": 1, "hybrid": 1 + 2 * (HOURS - 1)}[kind]
    states = ({"name": "rows", "rows": rows},)
    facts = {name: {"catchment_axis": 0} for name in values}
    return _package(kind, cance.GRAPHS[kind], values, facts, states, cance.INPUTS, (), cance.golden_inputs(values, rows))


@cache
def _camels(kind: str, dtype) -> Package:
    random, feedback, local = np.random.default_rng(3), kind == "lstm-ar", kind.endswith("local")
    width = len(FORCING) + 2 * feedback
    fixed = {
        "forcing_mean": np.array([3.0, 2.0, 12.0, 0.5, 150.0, 800.0, 0.0, 0.0])[:width],
        "forcing_deviation": np.array([8.0, 8.0, 9.0, 0.1, 80.0, 500.0, 3.0, 1.0])[:width],
        "discharge_deviation": np.array([3.0]),
    }
    if not local:
        fixed |= {"attribute_mean": random.normal(size=ATTRIBUTES), "attribute_deviation": random.uniform(1, 2, ATTRIBUTES)}
    if kind.startswith("lstm"):
        fixed |= {"root_deviation": np.array([1.0]), "ladder": lstm.ladder()}
        raw = beside([lstm.start(seed, 8, fixed, feedback) for seed in range(1 + feedback)])
        raw |= {name: raw[name] + random.normal(0, 0.2, raw[name].shape) for name in ("inward", "outward", "level")}
    elif kind == "dhbv":
        raw = hbv.start(0, 8, fixed, 2)
        raw["dynamic"] = raw["dynamic"] + random.normal(0, 0.3, raw["dynamic"].shape)
    else:
        raw = hybrid.start_local(0, 3) if local else hybrid.start_regional(0, ATTRIBUTES, width=8)
        raw = {n: v for n, v in raw.items() if not kind.startswith("exphydro") or n.startswith("physical")}
        raw = {n: v for n, v in raw.items() if kind != "conv-local" or n != "physical"}
    values = {name: np.asarray(value, dtype) for name, value in (fixed | raw).items()}
    model = graphs.KINDS[kind](values)
    facts = {name: {"catchment_axis": 0} for name in raw} if local else {}
    attributes = () if local else tuple({"name": f"attribute {i}"} for i in range(ATTRIBUTES))
    inputs = tuple({"name": str(i)} for i in range(width))
    given = Graphs(model.step, model.rollout, model.outputs, model.outputs)
    return _package(kind, given, values, facts, ({"name": "rows", "rows": model.rows},), inputs, attributes, {})


@cache
def _nwrfc(kind: str, dtype) -> Package:
    values = {name: np.asarray(value, dtype) for name, value in nwrfc.start(0, 3).items()}
    given = Graphs(nwrfc.KIND.step, nwrfc.KIND.rollout, nwrfc.KIND.outputs, nwrfc.KIND.outputs)
    inputs = tuple({"name": name} for name, *_ in SIX_HOURLY_FORCING)
    states, facts = ({"name": "rows", "rows": nwrfc.KIND.rows},), {name: {"catchment_axis": 0} for name in values}
    return _package(kind, given, values, facts, states, inputs, (), {})


def _package(kind, given, values, facts, states, inputs, attributes, golden_inputs) -> Package:
    return Package(
        kind, "0.0.0", "", 86_400, (), attributes, inputs, states, given, values, facts, golden_inputs, {}, (), {}
    )  # fmt: skip


def weights(kind: str, dtype=np.float64, seed: int = 1) -> dict[str, np.ndarray]:
    """Weights of the Cance's kinds."""
    random = np.random.default_rng(seed)
    soil = {"f": random.uniform(0.02, 0.08, 3), "smax": random.uniform(100, 250, 3), "qmax": random.uniform(1, 5, 3)}
    kernel = (3, FILTERS, HOURS)
    head = {
        "rain_kernel": random.uniform(0, 0.05, kernel),
        "flow_kernel": random.uniform(0, 0.3, kernel),
        "bias": random.normal(0, 0.5, kernel[:2]),
        "mix": random.uniform(0.1, 0.5, kernel[:2]),
        "offset": random.normal(0, 0.01, 3),
    }
    chosen = soil | head if kind == "hybrid" else soil
    return {name: value.astype(dtype) for name, value in chosen.items()}


def ensemble(kind: str, steps: int, dtype=np.float64, members: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """State ``[S, 3, M]`` and forcing ``[T, F, 3, M]``; the first member is dry, the last the wettest."""
    random, of = np.random.default_rng(2), package(kind, dtype)
    state = random.uniform(0.01, 1, (of.rows, 3, members))
    rain = random.gamma(0.3, 3.0, (steps, 3, members)) * np.linspace(0, 4, members)
    if kind in CANCE:
        state[0] = random.uniform(1, 260, (3, members))
        return state.astype(dtype), np.stack([rain, random.uniform(0, 0.3, rain.shape)], axis=1).astype(dtype)
    cold = random.normal(0, 6, rain.shape)
    if kind in NWRFC:
        return state.astype(dtype), np.stack([rain, cold, random.uniform(0.4, 0.6, rain.shape)], axis=1).astype(dtype)
    rows = [rain, cold - 4, cold + 4, *(random.uniform(low, high, rain.shape) for low, high in ((0.4, 0.6), (50, 250), (200, 1500)))]
    if kind == "lstm-ar":
        missing = random.random(rain.shape) < 0.4
        rows += [np.where(missing, 0, random.gamma(1, 2, rain.shape)), missing]
    return state.astype(dtype), np.stack(rows, axis=1).astype(dtype)


def attributes_of(kind: str, dtype=np.float64) -> np.ndarray | None:
    """``[A, 3]``, where the kind takes any."""
    return np.random.default_rng(4).normal(size=(ATTRIBUTES, 3)).astype(dtype) if package(kind).attributes else None


def session(graph: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


def onnx_results(kind: str, graph: str, state: np.ndarray, forcing: np.ndarray) -> dict[str, np.ndarray]:
    loaded = session(build_graph(package(kind, state.dtype.type), graph, state.dtype).SerializeToString())
    return run(loaded, kind, state, forcing)


def run(loaded: onnxruntime.InferenceSession, kind: str, state: np.ndarray, forcing: np.ndarray) -> dict[str, np.ndarray]:
    given = dict(package(kind, state.dtype.type).weights) | {"state": state, "forcing": forcing}
    if package(kind).attributes:
        given["attributes"] = attributes_of(kind, state.dtype)
    return dict(zip((output.name for output in loaded.get_outputs()), loaded.run(None, given)))


def jax_results(kind: str, graph: str, state: np.ndarray, forcing: np.ndarray) -> dict[str, np.ndarray]:
    of = package(kind, state.dtype.type)
    array = jax.numpy.asarray
    values = {"state": array(state), "forcing": array(forcing), "attributes": attributes_of(kind, state.dtype)}
    results = of.graphs.call(graph, {name: array(value) for name, value in of.weights.items()}, values)
    return {name: np.asarray(result) for name, result in results.items()}


def lesson(kind: str, graph: str, steps: int, dtype=np.float64) -> dict[str, np.ndarray]:
    """Inputs of ``gradient`` or ``train_step`` beside the weights: what was observed, a third of it missing, and moments of Adam."""
    random, of = np.random.default_rng(5), package(kind, dtype)
    state, forcing = ensemble(kind, steps, dtype)
    values = {"state": state, "forcing": forcing, "observed": random.gamma(1, 1, (steps, 3))}
    values["weight"] = random.random((steps, 3)) > 0.3
    if of.attributes:
        values["attributes"] = attributes_of(kind, dtype)
    if graph == "gradient":
        values["epsilon"] = np.array([0.01])
    else:
        moving = {name: of.weights[name].shape for name in learning.trained(of.weights)}
        values |= {f"{n}.{m}": random.gamma(1, 0.01, shape) for n, shape in moving.items() for m in ("first", "second")}
        values |= {"count": np.array([3.0]), "scale": random.uniform(0.5, 2, 3), "rate": np.array([1e-3])}
    return {name: np.asarray(value, dtype) for name, value in values.items()}
