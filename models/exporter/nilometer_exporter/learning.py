"""What a model learns by, derived from its ``rollout``: the gradient of a misfit, and a step of an optimiser.

``gradient`` serves variational assimilation: how the misfit of discharge changes with the first state and with the forcing, each
catchment and member by itself. ``train_step`` is one step of Adam on the weights over a batch; its state goes in and out, so
fine-tuning needs nothing but the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

Array = jax.Array
Weights = Mapping[str, Array]
Rollout = Callable[[Weights, Any, Array, Array], tuple[Array, ...]]

# Adam (Kingma and Ba 2015) with the usual constants, behind a limit on the gradient's norm.
FIRST, SECOND, TINY, LONGEST = 0.9, 0.999, 1e-8, 1.0

# Weights that say how numbers are scaled: statistics of the training, which no fine-tuning moves.
FROZEN = ("forcing_mean", "forcing_deviation", "attribute_mean", "attribute_deviation", "discharge_deviation", "root_deviation", "ladder")


def misfit(discharge: Array, observed: Array, weight: Array, epsilon: Array) -> Array:
    """``[C, M]``: half the weighted squares of ``ln(q + ε) − ln(o + ε)`` over ``discharge [T, C, M]``; ``observed``, ``weight [T, C]``."""
    error = jnp.log(discharge + epsilon) - jnp.log(observed + epsilon)[..., None]
    return 0.5 * (weight[..., None] * error * error).sum(axis=0)


def gradient(rollout: Rollout, weights: Weights, attributes: Any, state: Array, forcing: Array, observed: Array, weight: Array, epsilon: Array):
    """``(loss [C, M], ∂loss/∂state [S, C, M], ∂loss/∂forcing [T, F, C, M])``; ``epsilon [1]`` in mm a step."""

    def total(state: Array, forcing: Array) -> tuple[Array, Array]:
        loss = misfit(rollout(weights, attributes, state, forcing)[0], observed, weight, epsilon)
        return loss.sum(), loss

    (_, loss), slopes = jax.value_and_grad(total, argnums=(0, 1), has_aux=True)(state, forcing)
    return loss, *slopes


def trained(weights: Weights) -> tuple[str, ...]:
    """Names of the weights that a step moves."""
    return tuple(name for name in weights if name not in FROZEN)


def train_step(
    rollout: Rollout, weights: Weights, first: Weights, second: Weights, count: Array, attributes: Any, state: Array, forcing: Array,
    observed: Array, weight: Array, scale: Array, rate: Array,
) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array], Array, Array]:  # fmt: skip
    """New ``(weights, first moments, second moments, count [1], loss [1])`` of one batch, a member each.

    The loss is the weighted mean of ``((q − o) / scale)²``, ``observed`` and ``weight [T, C]`` (0 where nothing was observed or the
    model warms up), ``scale [C]`` in mm a step. Moments and ``count`` begin at 0; ``rate [1]`` is the learning rate.
    """
    names = trained(weights)

    def loss_of(moving: Weights) -> Array:
        discharge = rollout({**weights, **moving}, attributes, state, forcing)[0]
        error = (discharge - observed[..., None]) / scale[:, None]
        return (weight[..., None] * error * error).sum() / (weight.sum() * discharge.shape[2] + TINY)

    loss, slopes = jax.value_and_grad(loss_of)({name: weights[name] for name in names})
    norm = jnp.sqrt(sum((slope * slope).sum() for slope in slopes.values()) + TINY * TINY)
    slopes = {name: slope * jnp.where(norm > LONGEST, LONGEST / norm, 1.0) for name, slope in slopes.items()}
    count = count + 1
    first = {name: FIRST * first[name] + (1 - FIRST) * slopes[name] for name in names}
    second = {name: SECOND * second[name] + (1 - SECOND) * slopes[name] * slopes[name] for name in names}
    unbiased = lambda moment, keep: moment / (1 - jnp.exp(count * jnp.log(keep)))  # noqa: E731
    moved = {
        name: weights[name] - rate * unbiased(first[name], FIRST) / (jnp.sqrt(unbiased(second[name], SECOND)) + TINY) for name in names
    }
    return moved, first, second, count, loss[None]
