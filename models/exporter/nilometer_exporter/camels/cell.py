"""An LSTM over columns, and how inputs are scaled: what the daily models with a network in them share.

h and c are ``[H, N]``, forcing is ``[T, F, N]``, attributes are ``[A, C]``; columns N are catchments times members. Everything is in
physical units, statistics of the training are weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array
Weights = Mapping[str, Array]


def start(seed: int, hidden: int, forcing: int, attributes: int) -> dict[str, Array]:
    """First weights: orthogonal recurrence, forget bias 3."""
    keys = jax.random.split(jax.random.key(seed), 4)
    square = jnp.concatenate([jnp.linalg.qr(jax.random.normal(k, (hidden, hidden)))[0] for k in jax.random.split(keys[0], 4)])
    width = 1 / np.sqrt(hidden)
    return {
        "recurrent": square,
        "input": uniform(keys[1], (4 * hidden, forcing), width),
        "static": uniform(keys[2], (4 * hidden, attributes), width),
        "bias": jnp.zeros(4 * hidden).at[hidden : 2 * hidden].set(3.0),
    }


def uniform(key: Array, shape: tuple[int, ...], width: float) -> Array:
    return jax.random.uniform(key, shape, jnp.float32, -width, width)


def scaled_attributes(weights: Weights, attributes: Array) -> Array:
    """``[A, C]`` standardised by the training's statistics."""
    return (attributes - weights["attribute_mean"][:, None]) / weights["attribute_deviation"][:, None]


def scaled_forcing(weights: Weights, forcing: Array) -> Array:
    """``[..., F, N]`` standardised by the training's statistics."""
    return (forcing - weights["forcing_mean"][:, None]) / weights["forcing_deviation"][:, None]


def prepare(weights: Weights, attributes: Array) -> dict[str, Array]:
    """What does not change from step to step, the catchment last: the gates' part of the attributes, ``[4H, C]``."""
    return {"gates": weights["static"] @ scaled_attributes(weights, attributes) + weights["bias"][:, None]}


def remember(weights: Weights, prepared: Mapping[str, Array], forcing: Array, hidden: Array, memory: Array):
    """Hidden states ``[T, H, N]`` over ``forcing [T, F, N]``, and the last h and c."""
    gates = weights["input"] @ scaled_forcing(weights, forcing) + prepared["gates"]
    size = hidden.shape[0]

    def once(carry, gates):
        hidden, memory = carry
        gates = gates + weights["recurrent"] @ hidden
        part = lambda i: jax.lax.slice_in_dim(gates, i * size, (i + 1) * size, axis=0)  # noqa: E731
        memory = jax.nn.sigmoid(part(1)) * memory + jax.nn.sigmoid(part(0)) * jnp.tanh(part(2))
        hidden = jax.nn.sigmoid(part(3)) * jnp.tanh(memory)
        return (hidden, memory), hidden

    (hidden, memory), states = jax.lax.scan(once, (hidden, memory), gates)
    return states, hidden, memory
