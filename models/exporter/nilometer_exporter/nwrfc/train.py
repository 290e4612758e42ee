"""Trains the six-hourly model: every catchment's parameters on its own record, in windows of a warm-up year and a year that counts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from .data import TRAINING, Gauges, step
from .model import KIND, prepare, run, start

YEAR = 1461
ITERATIONS, RATE, ROOT_WEIGHT, SEED = 400, 0.03, 0.5, 1


def windows(data: Gauges) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``forcing [2 Y, F, W C]``, observed and valid ``[Y, W C]`` of the training years."""
    first, last = step(TRAINING[0]), step(TRAINING[1])
    begins = range(first, last - YEAR + 1, YEAR)
    forcing = np.concatenate([data.forcing[b - YEAR : b + YEAR] for b in begins], axis=-1)
    observed = np.concatenate([data.discharge[b : b + YEAR] for b in begins], axis=-1)
    return np.nan_to_num(forcing), np.nan_to_num(observed), np.isfinite(observed).astype(np.float32)


def train(data: Gauges) -> Iterator[tuple[float, dict[str, np.ndarray]]]:
    """Loss and weights after each iteration."""
    forcing, observed, valid = windows(data)
    count = observed.shape[1] // len(data.names)
    flow = data.discharge[step(TRAINING[0]) : step(TRAINING[1])]
    spread = lambda values: np.tile(values, count).astype(np.float32)  # noqa: E731
    scale, root_scale = spread(np.nanstd(flow, axis=0)), spread(np.nanstd(np.sqrt(flow), axis=0))
    share = valid / np.maximum(spread(valid.reshape(YEAR, count, -1).sum(axis=(0, 1))), 1)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(RATE, ITERATIONS, alpha=0.05)))

    def loss(weights, forcing, observed, share):
        prepared = {n: jnp.tile(v, count) for n, v in prepare(weights, None).items()}
        given, _ = run(weights, prepared, forcing, KIND.initial(observed.shape[1]))
        simulated = given["discharge"][YEAR:]
        error = ((simulated - observed) / scale) ** 2
        root = ((jnp.sqrt(simulated + 1e-5) - jnp.sqrt(observed + 1e-5)) / root_scale) ** 2
        return jnp.sum(share * (error + ROOT_WEIGHT * root))

    @partial(jax.jit, donate_argnums=(0, 1))
    def advance(weights, memory, *batch):
        value, gradient = jax.value_and_grad(loss)(weights, *batch)
        change, memory = optimiser.update(gradient, memory, weights)
        return optax.apply_updates(weights, change), memory, value

    weights = start(SEED, len(data.names))
    memory = optimiser.init(weights)
    for _ in range(ITERATIONS):
        weights, memory, value = advance(weights, memory, forcing, observed, share)
        yield float(value), {name: np.asarray(array, np.float32) for name, array in weights.items()}


def simulate(weights: dict[str, np.ndarray], data: Gauges, steps: slice) -> np.ndarray:
    """Discharge ``[T, C]`` over ``steps`` after a year of warm-up, mm a step."""
    begin = max(steps.start - YEAR, 0)
    forcing = np.nan_to_num(data.forcing[begin : steps.stop])
    whole = jax.jit(lambda weights, forcing: run(weights, prepare(weights, None), forcing, KIND.initial(len(data.names)))[0])
    return np.asarray(whole(weights, forcing)["discharge"])[steps.start - begin :]
