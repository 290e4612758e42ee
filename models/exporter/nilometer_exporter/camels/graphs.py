"""The daily models as graphs over one contiguous ensemble: ``state [S, C, M]``, ``forcing [F, C, M]``, ``attributes [A, C]``.

What depends on attributes alone is computed once a call, outside the scan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import jax
import jax.numpy as jnp

from . import hbv, hybrid, lstm

Array = jax.Array
Weights = Mapping[str, Array]


@dataclass(frozen=True)
class Kind:
    """A model: its two functions, the parts of its state with their first values, and what a step gives beside the state."""

    prepare: Callable[..., dict[str, Array]]
    run: Callable[..., tuple[dict[str, Array], tuple[Array, ...]]]
    parts: tuple[tuple[int, ...], ...]
    starts: tuple[float, ...]
    outputs: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Rows of the state."""
        return sum(map(prod, self.parts))

    def initial(self, columns: int) -> tuple[Array, ...]:
        """The state to start from, parts by columns."""
        return tuple(jnp.full((*part, columns), value, jnp.float32) for part, value in zip(self.parts, self.starts))

    def rollout(self, weights: Weights, attributes: Array, state: Array, forcing: Array) -> tuple[Array, ...]:
        """``(*outputs, state_next)`` of ``forcing [T, F, C, M]``; outputs are ``[T, C, M]``, quantiles ``[T, Q, C, M]``."""
        _, _, catchments, members = forcing.shape
        columns = catchments * members

        def spread(array: Array) -> Array:
            return jnp.broadcast_to(array[..., None], (*array.shape, members)).reshape(*array.shape[:-1], columns)

        prepared = {
            name: array if name in hybrid.HEAD else spread(array) for name, array in self.prepare(weights, attributes).items()
        }
        parts, at = [], 0
        for part in self.parts:
            rows = jax.lax.slice_in_dim(state, at, at + prod(part), axis=0)
            parts.append(rows.reshape(*part, columns))
            at += prod(part)
        options = {"members": members} if hybrid.HEAD.keys() & prepared.keys() else {}
        given, parts = self.run(weights, prepared, forcing.reshape(*forcing.shape[:2], columns), tuple(parts), **options)
        state = jnp.concatenate([part.reshape(-1, catchments, members) for part in parts])
        whole = lambda array: array.reshape(*array.shape[:-1], catchments, members)  # noqa: E731
        return (*(whole(given[name]) for name in self.outputs), state)

    def step(self, weights: Weights, attributes: Array, state: Array, forcing: Array) -> tuple[Array, ...]:
        """``(state_next, *outputs)`` of ``forcing [F, C, M]``."""
        *outputs, state = self.rollout(weights, attributes, state, forcing[None])
        return (state, *(jax.lax.index_in_dim(output, 0, 0, keepdims=False) for output in outputs))


FLUXES = ("discharge", "evapotranspiration", "outflow")


def lstm_kind(weights: Mapping[str, Any]) -> Kind:
    (networks, _, hidden), feedback = weights["recurrent"].shape, weights["input"].shape[2] > len(hbv.FORCING)
    parts = ((networks, hidden),) * 2 + (((1,),) if feedback else ())
    return Kind(lstm.prepare, lstm.run, parts, (0.0,) * len(parts), ("discharge", "quantiles"))


def hbv_kind(weights: Mapping[str, Any]) -> Kind:
    hidden, components = weights["recurrent"].shape[1], weights["dynamic"].shape[0] // len(hbv.DYNAMIC)
    parts = ((hidden,), (hidden,), (hbv.STORES, components), (hbv.LENGTH - 1,))
    return Kind(hbv.prepare, hbv.run, parts, (0.0, 0.0, 1e-3, 0.0), FLUXES)


def hybrid_kind(weights: Mapping[str, Any]) -> Kind:
    """With its head, or the physical part alone, as the weights are."""
    prepare = hybrid.prepare_regional if "attribute_mean" in weights else hybrid.prepare_local
    if not {"kernel", "neural_1"} & set(weights):
        return Kind(prepare, hybrid.run_physical, ((), ()), (0.0, 0.0), FLUXES)
    return Kind(prepare, hybrid.run, ((), (), (hybrid.DAYS - 1, hybrid.INPUTS)), (0.0, 0.0, 0.0), FLUXES)


def convolution_kind(weights: Mapping[str, Any]) -> Kind:
    part = (hybrid.DAYS - 1, hybrid.INPUTS)
    return Kind(hybrid.prepare_local, hybrid.run_convolution, (part,), (0.0,), ("discharge",))


KINDS: dict[str, Callable[[Mapping[str, Any]], Kind]] = {
    "lstm": lstm_kind,
    "lstm-ar": lstm_kind,
    "dhbv": hbv_kind,
    "hybrid-regional": hybrid_kind,
    "hybrid-local": hybrid_kind,
    "exphydro-regional": hybrid_kind,
    "exphydro-local": hybrid_kind,
    "conv-local": convolution_kind,
}
