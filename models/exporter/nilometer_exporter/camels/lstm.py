"""A regional LSTM: one set of weights for all catchments, told apart by their attributes (Kratzert et al. 2019).

The state is h and c, each ``[H, N]``, and with feedback the last simulated discharge ``[1, N]``; forcing is ``[T, F, N]``, columns N
are catchments times members; attributes are ``[A, C]``. Everything is in physical units, statistics of the training are weights. The head gives the mean and
quantiles that cannot cross: a middle one, and positive steps up and down from it, on the square root of discharge.

With feedback (``lstm-ar``) two more rows of forcing are the discharge observed a step before (mm) and 1 where it is missing; then
the model's own takes its place (Nearing et al. 2022). The head keeps a share of it, the recession, and adds what is new.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array
Weights = Mapping[str, Array]
LEVELS = tuple(round(0.05 * i, 2) for i in range(1, 20))
MIDDLE = LEVELS.index(0.5)
SMALL = 1e-4  # mm a step, under roots


def start(seed: int, hidden: int, statistics: dict[str, np.ndarray], feedback: bool = False) -> dict[str, Array]:
    """First weights: orthogonal recurrence, forget bias 3."""
    keys = jax.random.split(jax.random.key(seed), 4)
    forcing, attributes = len(statistics["forcing_mean"]), len(statistics["attribute_mean"])
    uniform = lambda key, shape, width: jax.random.uniform(key, shape, jnp.float32, -width, width)  # noqa: E731
    square = jnp.concatenate([jnp.linalg.qr(jax.random.normal(k, (hidden, hidden)))[0] for k in jax.random.split(keys[0], 4)])
    bias = jnp.zeros(4 * hidden).at[hidden : 2 * hidden].set(3.0)
    head = jnp.zeros(1 + len(LEVELS)).at[2:].set(-2.0)
    width = 1 / np.sqrt(hidden)
    recession = {"recession": jnp.zeros((1, hidden)), "recession_bias": jnp.ones(1)}
    return (recession if feedback else {}) | {
        "recurrent": square,
        "input": uniform(keys[1], (4 * hidden, forcing), width),
        "static": uniform(keys[2], (4 * hidden, attributes), width),
        "bias": bias,
        "head": uniform(keys[3], (1 + len(LEVELS), hidden), width),
        "head_bias": head,
    }


def scaled_attributes(weights: Weights, attributes: Array) -> Array:
    """``[A, C]`` standardised by the training's statistics."""
    return (attributes - weights["attribute_mean"][:, None]) / weights["attribute_deviation"][:, None]


def prepare(weights: Weights, attributes: Array) -> dict[str, Array]:
    """What does not change from step to step, the catchment last: the gates' part of the attributes, ``[4H, C]``."""
    return {"gates": weights["static"] @ scaled_attributes(weights, attributes) + weights["bias"][:, None]}


def cell(weights: Weights, gates: Array, hidden: Array, memory: Array) -> tuple[Array, Array]:
    """One step of the LSTM over columns; ``gates [4H, N]`` without the recurrent part, ``hidden`` and ``memory [H, N]``."""
    gates = gates + weights["recurrent"] @ hidden
    size = hidden.shape[0]
    part = lambda i: jax.lax.slice_in_dim(gates, i * size, (i + 1) * size, axis=0)  # noqa: E731
    memory = jax.nn.sigmoid(part(1)) * memory + jax.nn.sigmoid(part(0)) * jnp.tanh(part(2))
    return jax.nn.sigmoid(part(3)) * jnp.tanh(memory), memory


def scaled_forcing(weights: Weights, forcing: Array) -> Array:
    """``[..., F, N]`` standardised by the training's statistics."""
    return (forcing - weights["forcing_mean"][:, None]) / weights["forcing_deviation"][:, None]


def remember(weights: Weights, prepared: Mapping[str, Array], forcing: Array, hidden: Array, memory: Array):
    """Hidden states ``[T, H, N]`` over ``forcing [T, F, N]``, and the last h and c."""
    gates = weights["input"] @ scaled_forcing(weights, forcing) + prepared["gates"]

    def once(carry, gates):
        hidden, memory = cell(weights, gates, *carry)
        return (hidden, memory), hidden

    (hidden, memory), states = jax.lax.scan(once, (hidden, memory), gates)
    return states, hidden, memory


def run(weights: Weights, prepared: Mapping[str, Array], forcing: Array, state: tuple[Array, ...], keep: Array | None = None):
    """``discharge [T, N]`` and ``quantiles [T, Q, N]``, mm a day, and the state after ``forcing [T, F, N]``.

    ``keep`` is dropout's mask of the hidden states that the head sees.
    """
    if len(state) == 2:
        states, *state = remember(weights, prepared, forcing, *state)
        kept = None
    else:
        states, before, state = fed(weights, prepared, forcing, state)
        kept = recession(weights, states, before)
    mean, quantiles = head(weights, states if keep is None else states * keep, kept)
    return {"discharge": mean, "quantiles": quantiles}, tuple(state)


def fed(weights: Weights, prepared: Mapping[str, Array], forcing: Array, state: tuple[Array, ...]):
    """As :func:`remember`, and the discharge before each step ``[T, N]``: the model's own where the observed one is missing."""
    count = forcing.shape[1]
    row = lambda array, i, axis: jax.lax.slice_in_dim(array, i, i + 1, axis=axis)  # noqa: E731
    missing = row(forcing, count - 1, 1)
    observed = jnp.where(missing > 0, 0.0, row(forcing, count - 2, 1))
    weather = jax.lax.slice_in_dim(forcing, 0, count - 2, axis=1)
    # The root of the discharge before enters step by step.
    known = jnp.concatenate([weather, jnp.zeros_like(observed), missing], axis=1)
    gates = weights["input"] @ scaled_forcing(weights, known) + prepared["gates"]
    column = row(weights["input"], count - 2, 1) / row(weights["forcing_deviation"], count - 2, 0)

    def once(carry, now):
        gates, observed, missing = now
        hidden, memory, last = carry
        before = observed + missing * last
        hidden, memory = cell(weights, gates + column * jnp.sqrt(before + SMALL), hidden, memory)
        last = mean_discharge(weights, weights["head"] @ hidden, recession(weights, hidden, before))
        return (hidden, memory, last), (hidden, before)

    state, (states, before) = jax.lax.scan(once, state, (gates, observed, missing))
    return states, before, state


def recession(weights: Weights, hidden: Array, before: Array) -> Array:
    """The share of the discharge ``before [..., 1, N]`` that is still there, mm a step."""
    return before * jax.nn.sigmoid(weights["recession"] @ hidden + weights["recession_bias"][:, None])


def mean_discharge(weights: Weights, raw: Array, kept: Array | None) -> Array:
    """``[..., 1, N]``, mm a step, from the head's first row."""
    first = jax.lax.slice_in_dim(raw, 0, 1, axis=raw.ndim - 2) + jax.lax.index_in_dim(weights["head_bias"], 0)[:, None]
    new = softplus(first) * weights["discharge_deviation"]
    return new if kept is None else new + kept


def head(weights: Weights, hidden: Array, kept: Array | None) -> tuple[Array, Array]:
    """Mean ``[..., N]`` and quantiles ``[..., Q, N]`` of discharge, mm a step, from ``hidden [..., H, N]`` and what is ``kept [..., 1, N]``."""
    raw = weights["head"] @ hidden
    mean = mean_discharge(weights, raw, kept)
    raw = raw + weights["head_bias"][:, None]
    middle = jax.lax.slice_in_dim(raw, 1, 2, axis=raw.ndim - 2)
    if kept is not None:
        middle = middle + jnp.sqrt(kept + SMALL) / weights["root_deviation"]
    steps = softplus(jax.lax.slice_in_dim(raw, 2, raw.shape[-2], axis=raw.ndim - 2))
    root = middle + weights["ladder"] @ steps
    root = jnp.where(root > 0, root, 0.0) * weights["root_deviation"]
    return jax.lax.index_in_dim(mean, 0, mean.ndim - 2, keepdims=False), root * root


def softplus(x: Array) -> Array:
    """log(1 + exp(x)) that overflows nowhere."""
    return jnp.where(x > 0, x, 0.0) + jnp.log(1 + jnp.exp(-jnp.abs(x)))


def ladder() -> np.ndarray:
    """Steps to quantiles ``[Q, Q - 1]``: the middle one is none of them, others are sums outwards."""
    steps = np.zeros((len(LEVELS), len(LEVELS) - 1), np.float32)
    for i in range(len(LEVELS)):
        if i < MIDDLE:
            steps[i, i:MIDDLE] = -1
        else:
            steps[i, MIDDLE:i] = 1
    return steps
