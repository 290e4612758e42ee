"""The two graphs of a package over one contiguous ensemble ``state [S, C, M]``: one step, and a rollout of T steps.

``forcing`` rows are precipitation and potential evapotranspiration, mm per step: ``[2, C, M]`` for a step, ``[T, 2, C, M]`` for
a rollout. Row 0 of the state is the soil store; the hybrid keeps the past K - 1 hours of rain, then of q*, below it, so ``step``
repeated gives what ``rollout`` gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from . import head as convolution
from .exphydro import Array, Soil, discharge, soil_step
from .head import Head, between

Weights = Mapping[str, Array]


def physical_step(weights: Weights, state: Array, forcing: Array) -> tuple[Array, Array, Array, Array]:
    """``(state_next, discharge, evapotranspiration, outflow)`` of the P-RNN alone; the last two left the store in this step."""
    store, flow, evapotranspiration, outflow = _soil_hour(weights, _row(state, 0), _row(forcing, 0), _row(forcing, 1))
    return store[None], flow, evapotranspiration, outflow


def physical_rollout(weights: Weights, state: Array, forcing: Array) -> tuple[Array, Array]:
    """``(discharge [T, C, M], state_next)`` of the P-RNN alone."""
    store, flow = _soil_hours(weights, _row(state, 0), _row(forcing, 0, axis=1), _row(forcing, 1, axis=1))
    return flow, store[None]


def hybrid_step(weights: Weights, state: Array, forcing: Array) -> tuple[Array, Array, Array, Array]:
    """As :func:`physical_step`, with the head between q* and discharge."""
    rain, pet = _row(forcing, 0), _row(forcing, 1)
    store, flow, evapotranspiration, outflow = _soil_hour(weights, _row(state, 0), rain, pet)
    head = _head(weights)
    middle = head.hours
    window = [store[None], between(state, 2, middle), rain[None], between(state, middle + 1, 2 * middle - 1), flow[None]]
    simulated = convolution.step(state, rain, flow, head)
    return jnp.concatenate(window), simulated, evapotranspiration, outflow


def hybrid_rollout(weights: Weights, state: Array, forcing: Array) -> tuple[Array, Array]:
    """As :func:`physical_rollout`, with the head between q* and discharge."""
    rain, pet = _row(forcing, 0, axis=1), _row(forcing, 1, axis=1)
    store, flow = _soil_hours(weights, _row(state, 0), rain, pet)
    head = _head(weights)
    hours, middle = forcing.shape[0], head.hours
    rain = jnp.concatenate([between(state, 1, middle), rain])
    flow = jnp.concatenate([between(state, middle, 2 * middle - 1), flow])
    window = [between(series, hours, hours + middle - 1) for series in (rain, flow)]
    return convolution.rollout(rain, flow, head), jnp.concatenate([store[None], *window])


def _soil_hour(weights: Weights, store: Array, rain: Array, pet: Array) -> tuple[Array, Array, Array, Array]:
    soil = _soil(weights)
    store, evapotranspiration, outflow = soil_step(store, rain, pet, soil)
    return store, discharge(store, soil), evapotranspiration, outflow


def _soil_hours(weights: Weights, store: Array, rain: Array, pet: Array) -> tuple[Array, Array]:
    """Last store and q* ``[T, C, M]``. The scan returns what each step removes: the q* of the step before (label shift)."""
    soil = _soil(weights)

    def hour(store: Array, forcing: tuple[Array, Array]) -> tuple[Array, Array]:
        store, _, outflow = soil_step(store, *forcing, soil)
        return store, outflow

    store, removed = jax.lax.scan(hour, store, (rain, pet))
    return store, jnp.concatenate([between(removed, 1, removed.shape[0]), discharge(store, soil)[None]])


def _row(array: Array, index: int, axis: int = 0) -> Array:
    return jax.lax.index_in_dim(array, index, axis, keepdims=False)


def _soil(weights: Weights) -> Soil:
    return Soil(*(weights[name][:, None] for name in Soil._fields))


def _head(weights: Weights) -> Head:
    return Head(*(weights[name] for name in Head._fields))


Step = Callable[[Weights, Array, Array], tuple[Array, Array, Array, Array]]
Rollout = Callable[[Weights, Array, Array], tuple[Array, Array]]
