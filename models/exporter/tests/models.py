"""Small models with plausible weights, and a way to run their graphs."""

import numpy as np
import onnxruntime

from nilometer_exporter.package import GRAPHS, build_graph

HOURS, FILTERS = 6, 3
ROWS = {"physical": 1, "hybrid": 1 + 2 * (HOURS - 1)}


def weights(kind: str, dtype=np.float64, seed: int = 1) -> dict[str, np.ndarray]:
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


def ensemble(kind: str, hours: int, dtype=np.float64, members: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """State ``[S, 3, M]`` from nearly empty to above capacity, and forcing ``[T, 2, 3, M]`` from dry to 40 mm an hour."""
    random = np.random.default_rng(2)
    state = random.uniform(0, 1, (ROWS[kind], 3, members))
    state[0] = random.uniform(1, 260, (3, members))
    rain = random.gamma(0.3, 3.0, (hours, 3, members)) * np.linspace(0, 4, members)
    forcing = np.stack([rain, random.uniform(0, 0.3, rain.shape)], axis=1)
    return state.astype(dtype), forcing.astype(dtype)


def session(graph: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


def onnx_results(kind: str, graph: str, values: dict, state: np.ndarray, forcing: np.ndarray) -> list[np.ndarray]:
    model = build_graph(kind, graph, values, ROWS[kind], state.dtype)
    return session(model.SerializeToString()).run(None, values | {"state": state, "forcing": forcing})


def jax_results(kind: str, graph: str, values: dict, state: np.ndarray, forcing: np.ndarray) -> list[np.ndarray]:
    return [np.asarray(result) for result in GRAPHS[kind][graph][0](values, state, forcing)]
