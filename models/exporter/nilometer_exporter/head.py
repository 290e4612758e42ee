"""The convolution head of the hybrid: recent rain and recent P-RNN discharge q* in, discharge out.

It is the published head (causal Conv1D, ELU, 1x1 convolution, clipped at zero), with choices that let it extrapolate:

* kernels over rain and q* and the 1x1 weights are non-negative, so more water never gives less discharge;
* the first filter starts as a unit hydrograph of q*: what is non-negative passes ELU unchanged, so the head starts as routing;
* ELU is linear above zero, so discharge keeps growing with q*.

Every catchment has its own weights. The scaling statistics of the training window are folded into the kernels, so the window
holds plain mm. PET, which the published head also sees, acts through the soil store alone: its daily climatology gave the head
nothing in cross-validation that the date had not.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array


class Head(NamedTuple):
    """Weights: ``rain_kernel`` and ``flow_kernel [C, filters, K]`` (oldest hour first), ``bias`` and ``mix [C, filters]``,
    ``offset [C]`` mm."""

    rain_kernel: Array
    flow_kernel: Array
    bias: Array
    mix: Array
    offset: Array

    @property
    def hours(self) -> int:
        """K, the hours that the convolution sees."""
        return self.rain_kernel.shape[-1]


@jax.jit
def elu(x: Array) -> Array:
    """x above zero, exp(x) - 1 below. The exporter knows this function by its name (``onnx_export.FUSED``)."""
    return jnp.where(x > 0, x, jnp.exp(jnp.where(x > 0, 0.0, x)) - 1.0)


def step(state: Array, rain: Array, flow: Array, head: Head) -> Array:
    """Discharge ``[C, M]`` of one hour.

    ``state [1 + 2 (K - 1), C, M]`` holds the soil store, then the past hours of rain and of q*; ``rain`` and ``flow``
    ``[C, M]`` are this hour's. The store's weight is zero: the product then reads the state as it lies, without a copy.
    """
    past = head.hours - 1
    nothing = jnp.zeros_like(between(head.rain_kernel, 0, 1, axis=2))
    kernel = jnp.concatenate([nothing, *(between(k, 0, past, axis=2) for k in (head.rain_kernel, head.flow_kernel))], axis=2)
    hidden = jnp.einsum("chs,scm->chm", kernel, state)
    rain_now, flow_now = (between(k, past, past + 1, axis=2) for k in (head.rain_kernel, head.flow_kernel))
    hidden += rain_now * rain[:, None] + flow_now * flow[:, None]
    hidden = elu(hidden + head.bias[:, :, None])
    return _positive(jnp.einsum("chm,ch->cm", hidden, head.mix) + head.offset[:, None])


def rollout(rain: Array, flow: Array, head: Head) -> Array:
    """Discharge ``[T, C, M]`` from ``rain`` and ``flow [K - 1 + T, C, M]`` (past hours first)."""
    kernel = jnp.concatenate([head.rain_kernel, head.flow_kernel], axis=2)
    series = jnp.concatenate([rain.transpose(1, 0, 2)[:, None], flow.transpose(1, 0, 2)[:, None]], axis=1)
    taps = _windows(series, head.hours, rain.shape[0] - head.hours + 1)
    hidden = jnp.einsum("chk,cktm->chtm", kernel, taps.reshape(taps.shape[0], 2 * head.hours, *taps.shape[3:]))
    hidden = elu(hidden + head.bias[:, :, None, None])
    mixed = jnp.einsum("chtm,ch->ctm", hidden, head.mix) + head.offset[:, None, None]
    return _positive(mixed).transpose(1, 0, 2)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _windows(series: Array, width: int, hours: int) -> Array:
    """``[C, 2, width, T, M]`` from ``series [C, 2, width - 1 + T, M]``: hour t of lag k is hour t + k; one Gather in ONNX."""
    lag = jax.lax.broadcasted_iota(jnp.int32, (width, hours), 0)
    hour = jax.lax.broadcasted_iota(jnp.int32, (width, hours), 1)
    return series.at[:, :, lag + hour].get(mode="promise_in_bounds", wrap_negative_indices=False)


def _windows_and_nothing(series: Array, width: int, hours: int) -> tuple[Array, None]:
    return _windows(series, width, hours), None


def _overlaid(width: int, hours: int, _: None, slope: Array) -> tuple[Array]:
    """The slope of the series: every lag's, laid over each other where their hours are. A scatter would be slow and unordered."""
    lags = (jax.lax.index_in_dim(slope, lag, 2, keepdims=False) for lag in range(width))
    zero, flat = jnp.zeros((), slope.dtype), (0, 0, 0)
    return (sum(jax.lax.pad(of_lag, zero, (flat, flat, (k, width - 1 - k, 0), flat)) for k, of_lag in enumerate(lags)),)


_windows.defvjp(_windows_and_nothing, _overlaid)


def between(array: Array, start: int, end: int, axis: int = 0) -> Array:
    """``array[start:end]`` along ``axis``, as a plain slice whatever the other dimensions are."""
    return jax.lax.slice_in_dim(array, start, end, axis=axis)


def _positive(x: Array) -> Array:
    return jnp.where(x > 0, x, 0.0)
