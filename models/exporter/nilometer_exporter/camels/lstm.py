"""A regional LSTM: one set of weights for all catchments, distinguished by their attributes (Kratzert et al. 2019).

A network of the attributes says once for each catchment how strongly every input and hidden state counts, where its gates stand
and where its head begins: catchments differ in more than an offset. The head gives the mean and quantiles that cannot cross: a
middle one, and positive steps up and down from it, on the square root of discharge.

Several networks K, trained apart, stand beside each other: the first axis of every learned weight. What they say is their mean.
The state is h and c, each ``[K, H, N]``, and with feedback the last simulated discharge ``[1, N]``. With feedback (``lstm-ar``) two
more rows of forcing are the discharge observed a step before (mm) and 1 where it is missing; then the model's own takes its place
(Nearing et al. 2022). The cell sees that discharge and the innovation, by how much it differs from what the model itself had said;
the head keeps a share of it, the recession, and adds what is new. Shapes are those of :mod:`.cell`.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from . import cell
from .cell import Array, Weights

LEVELS = tuple(round(0.05 * i, 2) for i in range(1, 20))
MIDDLE = LEVELS.index(0.5)
HEAD = 1 + len(LEVELS)  # the mean, the middle quantile, steps
SMALL = 1e-4  # mm a step, under roots


def start(seed: int, hidden: int, statistics: dict[str, np.ndarray], feedback: bool = False, width: int = 64) -> dict[str, Array]:
    """First weights of one network: at first all factors are 1, and catchments differ in their gates alone."""
    keys = jax.random.split(jax.random.key(seed + 7), 3)
    attributes = len(statistics["attribute_mean"])
    known, inputs = attributes + width, len(statistics["forcing_mean"]) + feedback
    outputs = HEAD + feedback
    weights = cell.start(seed, hidden, inputs, known) | {
        "embedding_1": cell.uniform(keys[0], (width, attributes), np.sqrt(3 / attributes)),
        "embedding_1_bias": jnp.zeros(width),
        "embedding_2": cell.uniform(keys[1], (width, width), np.sqrt(3 / width)),
        "embedding_2_bias": jnp.zeros(width),
        "inward": jnp.zeros((hidden + inputs, known)),
        "outward": jnp.zeros((hidden, known)),
        "level": jnp.zeros((outputs, known)),
        "head": cell.uniform(keys[2], (outputs, hidden), 1 / np.sqrt(hidden)).at[HEAD:].set(0.0),
        "head_bias": jnp.zeros(outputs).at[2:HEAD].set(-2.0).at[HEAD:].set(1.0),
    }
    return {name: weight[None] for name, weight in weights.items()}


def prepare(weights: Weights, attributes: Array) -> dict[str, Array]:
    """What does not change from step to step, of ``attributes [A, C]``: the gates' part ``[K, 4H, C]``, factors between 0 and 2 of what
    enters the cell ``[K, H + F, C]`` and of the hidden states that the head sees ``[K, H, C]``, and the head's part ``[K, outputs, C]``."""
    scaled = every(cell.scaled_attributes(weights, attributes), weights["recurrent"].shape[0])
    embedded = scaled
    for layer in ("embedding_1", "embedding_2"):
        embedded = jnp.tanh(weights[layer] @ embedded + weights[f"{layer}_bias"][..., None])
    known = jnp.concatenate([scaled, embedded], axis=1)
    return {
        "gates": weights["static"] @ known + weights["bias"][..., None],
        "inward": 2 * jax.nn.sigmoid(weights["inward"] @ known),
        "outward": 2 * jax.nn.sigmoid(weights["outward"] @ known),
        "level": weights["level"] @ known + weights["head_bias"][..., None],
    }


def every(array: Array, networks: int) -> Array:
    """``[K, rows, N]``: the same ``[rows, N]`` for each of the networks."""
    return jnp.broadcast_to(array[None], (networks, *array.shape))


def run(weights: Weights, prepared: Mapping[str, Array], forcing: Array, state: tuple[Array, ...], keep: Array | None = None):
    """``discharge [T, N]`` and ``quantiles [T, Q, N]``, mm a day, and the state after ``forcing [T, F, N]``.

    ``keep`` is dropout's mask of the hidden states that the head sees.
    """
    states, before, state = remember(weights, prepared, forcing, state)
    raw = weights["head"] @ (prepared["outward"] * (states if keep is None else states * keep[:, None])) + prepared["level"]
    kept = None if before is None else recession(row(raw, HEAD), before[:, None])
    mean = mean_discharge(weights, raw, kept).sum(axis=(1, 2)) / raw.shape[1]
    return {"discharge": mean, "quantiles": quantiles(weights, raw, kept).sum(axis=1) / raw.shape[1]}, state


def remember(weights: Weights, prepared: Mapping[str, Array], forcing: Array, state: tuple[Array, ...]):
    """Hidden states ``[T, K, H, N]``, with feedback the discharge before each step ``[T, 1, N]``, and the state after ``forcing``."""
    (networks, size, _), feedback = state[0].shape, len(state) == 3
    scaled = cell.scaled_forcing(weights, forcing)
    if feedback:
        weather, missing = jax.lax.slice_in_dim(scaled, 0, scaled.shape[1] - 2, axis=1), row(forcing, forcing.shape[1] - 1)
        observed = jnp.where(missing > 0, 0.0, row(forcing, forcing.shape[1] - 2))
        given = (weather, row(scaled, scaled.shape[1] - 1), observed, missing)
        deviation = row(weights["forcing_deviation"][:, None], forcing.shape[1] - 2)
    else:
        given = (scaled,)
    # A sigmoid is a tanh of half its argument: one tanh serves all gates.
    half = jnp.concatenate([jnp.full((rows * size, 1), value, forcing.dtype) for rows, value in ((2, 0.5), (1, 1.0), (1, 0.5))])
    inward = jnp.concatenate([weights["recurrent"], weights["input"]], axis=2) * half
    gates = prepared["gates"] * half

    def once(carry, given):
        hidden, memory, *last = carry
        entering, before = [given[0]], None
        if feedback:
            _, missing_scaled, observed, missing = given
            before = observed + missing * last[0]
            root = jnp.sqrt(before + SMALL)
            entering += [root / deviation, missing_scaled, (root - jnp.sqrt(last[0] + SMALL)) / deviation]
        entering = jnp.concatenate([hidden, every(jnp.concatenate(entering), networks)], axis=1)
        gated = jnp.tanh(inward @ (prepared["inward"] * entering) + gates)
        part = lambda i: jax.lax.slice_in_dim(gated, i * size, (i + 1) * size, axis=1)  # noqa: E731
        opened = lambda i: 0.5 * part(i) + 0.5  # noqa: E731
        memory = opened(1) * memory + opened(0) * part(2)
        hidden = opened(3) * jnp.tanh(memory)
        if not feedback:
            return (hidden, memory), (hidden,)
        ends = lambda rows: jnp.concatenate([row(rows, 0), row(rows, HEAD)], axis=1)  # noqa: E731
        raw = ends(weights["head"]) @ (prepared["outward"] * hidden) + ends(prepared["level"])
        last = mean_discharge(weights, raw, recession(row(raw, 1), before)).sum(axis=0) / networks
        return (hidden, memory, last), (hidden, before)

    # Its derivative computes a step again instead of storing it: memory's traffic takes longer than that.
    state, (states, *before) = jax.lax.scan(jax.checkpoint(once, prevent_cse=False), state, given)
    return states, before[0] if feedback else None, state


def row(array: Array, i: int) -> Array:
    """``[..., 1, N]``: row ``i`` of ``[..., rows, N]``."""
    return jax.lax.slice_in_dim(array, i, i + 1, axis=array.ndim - 2)


def recession(raw: Array, before: Array) -> Array:
    """The share of the discharge ``before [..., 1, N]`` that is still there, mm a step."""
    return before * jax.nn.sigmoid(raw)


def mean_discharge(weights: Weights, raw: Array, kept: Array | None) -> Array:
    """``[..., 1, N]``, mm a step: what is new, by the head's first row, and what is ``kept``."""
    new = softplus(row(raw, 0)) * weights["discharge_deviation"]
    return new if kept is None else new + kept


def quantiles(weights: Weights, raw: Array, kept: Array | None) -> Array:
    """``[..., Q, N]``, mm a step, around what is ``kept [..., 1, N]``."""
    middle = row(raw, 1)
    if kept is not None:
        middle = middle + jnp.sqrt(kept + SMALL) / weights["root_deviation"]
    root = middle + weights["ladder"] @ softplus(jax.lax.slice_in_dim(raw, 2, HEAD, axis=raw.ndim - 2))
    root = jnp.where(root > 0, root, 0.0) * weights["root_deviation"]
    return root * root


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
