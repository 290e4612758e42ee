"""Trains the P-RNN and its head together, all catchments at once, in float64 and without any randomness.

The loss mixes linear, square-root and logarithmic discharge, each divided by its variance, so that flood and recession both
count. Regularisation keeps the head near routing: a smooth unit hydrograph that conserves q*, plus small corrections.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from .data import TrainingData
from .streaming import hybrid_rollout, physical_rollout

Array = jax.Array
Tree = dict[str, Array]

# Physical ranges in hourly units. f keeps the published 1/mm. Qmax (published 10-50 mm/day) starts above every discharge of the
# training window: with less, the store would spill all further rain at once just above the largest flood it has seen.
RANGES = {"f": (0.005, 0.1), "smax": (100.0, 1000.0), "qmax": (4.0, 40.0)}
LOG_EPSILON_MM = 0.005


@dataclass(frozen=True)
class Recipe:
    """Everything that a training depends on besides the data."""

    iterations: int = 2000
    learning_rate: float = 0.02
    hours: int = 10
    filters: int = 4
    log_weight: float = 0.3
    rain_penalty: float = 0.0005
    bias_penalty: float = 0.0005
    smoothness_penalty: float = 0.2
    volume_penalty: float = 0.1
    physical_penalty: float = 0.002
    lag_hours: tuple[float, ...] = (4.0, 2.0, 1.0)


@dataclass(frozen=True)
class Trained:
    """Weights as the graphs take them, the state at the start of the window ``[S, C]`` and its discharge ``[T, C]``."""

    weights: dict[str, np.ndarray]
    initial_state: np.ndarray
    simulated: np.ndarray
    loss: float


def train(data: TrainingData, kind: str, recipe: Recipe = Recipe(), counted: np.ndarray | None = None) -> Trained:
    """Trains ``kind`` ("physical" or "hybrid") on the hours where ``counted [T]`` is true (all, if not given)."""
    counted = np.ones(len(data.times), bool) if counted is None else counted
    mask = np.isfinite(data.discharge) & counted[:, None]
    forcing = jnp.asarray(data.forcing[..., None])
    observed = jnp.asarray(np.where(mask, data.discharge, 0.0))
    first = jnp.asarray(first_observation(data))
    scales = _scales(data, mask)

    def simulate(raw: Tree) -> tuple[Array, Tree, Array]:
        weights = physical_weights(raw) | (head_weights(raw, scales) if kind == "hybrid" else {})
        state = initial_state(weights, first)
        rollout = hybrid_rollout if kind == "hybrid" else physical_rollout
        return rollout(weights, state[..., None], forcing)[0][..., 0], weights, state

    def objective(raw: Tree) -> Array:
        return misfit(simulate(raw)[0], observed, mask, recipe.log_weight) + penalty(raw, recipe, kind)

    raw, loss = _minimise(objective, _start(len(data.catchments), recipe, kind), recipe)
    simulated, weights, state = jax.jit(simulate)(raw)
    return Trained({n: np.asarray(w) for n, w in weights.items()}, np.asarray(state), np.asarray(simulated), loss)


def misfit(simulated: Array, observed: Array, mask: np.ndarray, log_weight: float) -> Array:
    """Sum of 1 - NSE of linear, square-root and logarithmic discharge, mean over catchments; all ``[T, C]``."""
    total = 0.0
    for weight, transform in ((1.0, lambda q: q), (1.0, lambda q: jnp.sqrt(q + LOG_EPSILON_MM)), (log_weight, _log)):
        target = transform(observed)
        count = mask.sum(axis=0)
        mean = jnp.sum(jnp.where(mask, target, 0.0), axis=0) / count
        variance = jnp.sum(jnp.where(mask, (target - mean) ** 2, 0.0), axis=0)
        error = jnp.sum(jnp.where(mask, (transform(simulated) - target) ** 2, 0.0), axis=0)
        total += weight * jnp.mean(error / variance)
    return total


def _log(q: Array) -> Array:
    return jnp.log(q + LOG_EPSILON_MM)


def first_observation(data: TrainingData) -> np.ndarray:
    """First finite discharge of each catchment, mm per hour."""
    return np.array([column[np.isfinite(column)][0] for column in data.discharge.T])


def initial_state(weights: Tree, flow: Array) -> Array:
    """State ``[S, C]`` whose q* is ``flow [C]`` mm per hour now and over the past window, without rain."""
    store = weights["smax"] + jnp.log(flow / weights["qmax"]) / weights["f"]
    if "flow_kernel" not in weights:
        return store[None]
    past = weights["flow_kernel"].shape[-1] - 1
    return jnp.concatenate([store[None], jnp.zeros((past, flow.size)), jnp.broadcast_to(flow, (past, flow.size))])


def physical_weights(raw: Tree) -> Tree:
    return {name: low + (high - low) * jax.nn.sigmoid(raw[name]) for name, (low, high) in RANGES.items()}


def head_weights(raw: Tree, scales: dict[str, np.ndarray]) -> Tree:
    """The head's weights with the training statistics folded in, so that it takes and gives mm per hour."""
    return {
        "rain_kernel": jax.nn.softplus(raw["rain_kernel"]) / scales["rain"][:, None, None],
        "flow_kernel": jax.nn.softplus(raw["flow_kernel"]) / scales["flow"][:, None, None],
        "bias": raw["bias"],
        "mix": jax.nn.softplus(raw["mix"]) * scales["flow"][:, None],
        "offset": raw["offset"] * scales["flow"],
    }


def penalty(raw: Tree, recipe: Recipe, kind: str) -> Array:
    """Pulls physical parameters to the middle of their ranges and the head to a smooth, conserving unit hydrograph of q*."""
    total = recipe.physical_penalty * sum(jnp.mean(raw[name] ** 2) for name in RANGES)
    if kind == "physical":
        return total
    mix = jax.nn.softplus(raw["mix"])[..., None]
    rain, flow = (jax.nn.softplus(raw[name]) for name in ("rain_kernel", "flow_kernel"))
    routed = jnp.sum(mix * flow, axis=(1, 2))
    total += recipe.volume_penalty * jnp.mean((routed - 1.0) ** 2)
    total += recipe.rain_penalty * jnp.mean(jnp.sum(mix * rain, axis=(1, 2)) ** 2)
    roughness = jnp.diff(mix * flow, axis=2) ** 2 + jnp.diff(mix * rain, axis=2) ** 2
    total += recipe.smoothness_penalty * jnp.mean(jnp.sum(roughness, axis=(1, 2)))
    total += recipe.bias_penalty * jnp.mean(jnp.sum(raw["bias"] ** 2, axis=1) + raw["offset"] ** 2)
    return total


def _scales(data: TrainingData, mask: np.ndarray) -> dict[str, np.ndarray]:
    """Standard deviations of rain and of observed discharge over the counted hours, frozen into the weights."""
    return {"rain": data.precipitation.std(axis=0), "flow": np.std(data.discharge, axis=0, where=mask)}


def _start(catchments: int, recipe: Recipe, kind: str) -> Tree:
    def logit(name: str, value: float) -> Array:
        low, high = RANGES[name]
        p = (value - low) / (high - low)
        return jnp.full(catchments, np.log(p / (1 - p)))

    raw = {"f": logit("f", 0.04), "smax": logit("smax", 350.0), "qmax": logit("qmax", 10.0)}
    if kind == "physical":
        return raw
    shape = (catchments, recipe.filters, recipe.hours)
    lag = np.arange(recipe.hours)[::-1]
    peak = np.asarray(recipe.lag_hours)[:catchments, None]
    hydrograph = (lag + 0.5) / peak * np.exp(-(lag + 0.5) / peak)
    hydrograph /= hydrograph.sum(axis=1, keepdims=True)
    flow = np.full(shape, 0.01)
    flow[:, 0] = hydrograph + 1e-3
    mix = np.full(shape[:2], 0.05)
    mix[:, 0] = 1.0
    bias = np.broadcast_to(-0.3 * np.arange(recipe.filters), shape[:2])
    head = {"rain_kernel": _softplus_inverse(np.full(shape, 0.01)), "flow_kernel": _softplus_inverse(flow)}
    head |= {"mix": _softplus_inverse(mix), "bias": jnp.asarray(bias)}
    return raw | head | {"offset": jnp.zeros(catchments)}


def _softplus_inverse(y: np.ndarray) -> Array:
    return jnp.asarray(y + np.log(-np.expm1(-y)))


def _minimise(objective, raw: Tree, recipe: Recipe) -> tuple[Tree, float]:
    schedule = optax.cosine_decay_schedule(recipe.learning_rate, recipe.iterations, alpha=0.02)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))

    @partial(jax.jit, donate_argnums=(0, 1))
    def advance(raw: Tree, memory, count: int):
        def once(_, carry):
            raw, memory, _ = carry
            loss, gradient = jax.value_and_grad(objective)(raw)
            change, memory = optimiser.update(gradient, memory, raw)
            return optax.apply_updates(raw, change), memory, loss

        return jax.lax.fori_loop(0, count, once, (raw, memory, jnp.inf))

    raw, _, loss = advance(raw, optimiser.init(raw), recipe.iterations)
    return raw, float(loss)
