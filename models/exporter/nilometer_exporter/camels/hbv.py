"""Differentiable HBV: the stores and equations of HBV, with parameters that networks give (Feng et al. 2022).

K parallel components share the forcing; their mean flow is routed by a gamma unit hydrograph. A network of the
attributes gives every parameter; an LSTM of the weather moves beta, beta_et and k0 day by day. Columns N are catchments times members.

Stores ``[5 K, N]`` are snow, melt water, soil, upper and lower zone, mm; ``routed [L - 1, N]`` the flows still on their way.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from ..exphydro import hamon_pet
from . import cell
from .data import FORCING

Array = jax.Array
Weights = Mapping[str, Array]

# Ranges of the parameters of a component, in the order of the network's output.
RANGES = {
    "beta": (1.0, 6.0), "fc": (50.0, 1000.0), "k0": (0.05, 0.9), "k1": (0.01, 0.5), "k2": (0.001, 0.2), "lp": (0.2, 1.0),
    "perc": (0.0, 10.0), "uzl": (0.0, 100.0), "tt": (-2.5, 2.5), "cfmax": (0.5, 10.0), "cfr": (0.0, 0.1), "cwh": (0.0, 0.2),
    "beta_et": (0.3, 5.0), "capillary": (0.0, 1.0),
}  # fmt: skip
DYNAMIC = ("beta", "beta_et", "k0")
COMMON = {"shape": (0.0, 2.9), "scale": (0.0, 6.5), "evaporation": (0.5, 1.5)}
STORES, LENGTH = 5, 15
TINY = 1e-5
ROWS = {name: row for row, (name, *_) in enumerate(FORCING)}


def start(seed: int, hidden: int, statistics: Weights, components: int, width: int = 64) -> dict[str, Array]:
    """First weights; at first no parameter moves with the weather."""
    keys = jax.random.split(jax.random.key(seed + 7), 3)
    attributes, outputs = statistics["attribute_mean"].shape[0], len(RANGES) * components + len(COMMON)
    return cell.start(seed, hidden, statistics["forcing_mean"].shape[0], attributes) | {
        "network_1": jax.random.normal(keys[0], (width, attributes)) / np.sqrt(attributes),
        "network_1_bias": jnp.zeros(width),
        "network_2": jax.random.normal(keys[1], (outputs, width)) / np.sqrt(width) * 0.5,
        "network_2_bias": jax.random.normal(keys[2], (outputs,)) * 0.5,
        "dynamic": jnp.zeros((len(DYNAMIC) * components, hidden)),
    }


def prepare(weights: Weights, attributes: Array) -> dict[str, Array]:
    """Everything that does not change from day to day, the catchment last, of ``attributes [A, C]``.

    Static parameters ``[K, C]`` in their ranges, dynamic ones before the weather moves them, the unit hydrograph ``[L, C]``.
    """
    scaled = cell.scaled_attributes(weights, attributes)
    hidden = jnp.tanh(weights["network_1"] @ scaled + weights["network_1_bias"][:, None])
    raw = weights["network_2"] @ hidden + weights["network_2_bias"][:, None]
    components = (raw.shape[0] - len(COMMON)) // len(RANGES)
    part = lambda first, count: jax.lax.slice_in_dim(raw, first, first + count, axis=0)  # noqa: E731
    raws = {name: part(i * components, components) for i, name in enumerate(RANGES)}
    fixed = {name: raw if name in DYNAMIC else within(raw, RANGES[name]) for name, raw in raws.items()}
    behind = len(RANGES) * components
    common = {
        name: within(jax.lax.index_in_dim(raw, behind + i, 0, keepdims=False), limits)
        for i, (name, limits) in enumerate(COMMON.items())
    }
    hydrograph = unit_hydrograph(common["shape"] + 0.1, common["scale"] + 0.5)
    return cell.prepare(weights, attributes) | fixed | {"hydrograph": hydrograph, "evaporation": common["evaporation"]}


def within(raw: Array, limits: tuple[float, float]) -> Array:
    low, high = limits
    return low + (high - low) * jax.nn.sigmoid(raw)


def unit_hydrograph(shape: Array, scale: Array) -> Array:
    """Gamma weights ``[L, C]`` that sum to 1, the newest flow first."""
    days = (jnp.arange(LENGTH, dtype=shape.dtype) + 0.5)[:, None]
    weights = jnp.exp((shape - 1) * jnp.log(days) - days / scale)
    return weights / weights.sum(axis=0)


def smaller(a: Array, b: Array) -> Array:
    return jnp.where(a < b, a, b)


def positive(a: Array) -> Array:
    return jnp.where(a > 0, a, 0.0)


def step(stores: Array, rain_and_snow: Array, temperature: Array, potential: Array, p: Mapping[str, Array]):
    """``(stores, flow, evapotranspiration)``: stores ``[5, K, N]``, weather ``[N]``, parameters ``[K, N]``, fluxes ``[K, N]``."""
    snow, water, soil, upper, lower = (jax.lax.index_in_dim(stores, i, 0, keepdims=False) for i in range(STORES))
    warm = temperature - p["tt"]
    rain = jnp.where(warm >= 0, rain_and_snow, 0.0)
    snow = snow + (rain_and_snow - rain)
    melt = smaller(p["cfmax"] * positive(warm), snow)
    snow, water = snow - melt, water + melt
    frozen = smaller(p["cfr"] * p["cfmax"] * positive(-warm), water)
    snow, water = snow + frozen, water - frozen
    to_soil = positive(water - p["cwh"] * snow)
    water = water - to_soil
    wet = smaller(jnp.exp(p["beta"] * jnp.log(soil / p["fc"])), 1.0)
    recharge = (rain + to_soil) * wet
    soil = soil + rain + to_soil - recharge
    excess = positive(soil - p["fc"])
    soil = soil - excess
    supply = smaller(jnp.exp(p["beta_et"] * jnp.log(soil / (p["lp"] * p["fc"]))), 1.0)
    evaporated = smaller(soil - TINY, potential * supply)
    soil = soil - evaporated
    rising = smaller(lower, p["capillary"] * lower * (1 - smaller(soil / p["fc"], 1.0)))
    soil, lower = soil + rising, lower - rising
    upper = upper + recharge + excess
    percolated = smaller(upper, p["perc"])
    upper = upper - percolated
    fast = p["k0"] * positive(upper - p["uzl"])
    upper = upper - fast
    middle = p["k1"] * upper
    upper, lower = upper - middle, lower + percolated
    slow = p["k2"] * lower
    lower = lower - slow
    return jnp.concatenate([store[None] for store in (snow, water, soil, upper, lower)]), fast + middle + slow, evaporated


def run(weights: Weights, prepared: Mapping[str, Array], forcing: Array, state: tuple[Array, ...], keep: Array | None = None):
    """``discharge``, ``evapotranspiration`` and ``outflow``, each ``[T, N]`` in mm a day, and the state after ``forcing [T, F, N]``.

    ``keep`` is dropout's mask of the hidden states.
    """
    hidden, memory, stores, routed = state
    states, hidden, memory = cell.remember(weights, prepared, forcing, hidden, memory)
    moved = weights["dynamic"] @ (states if keep is None else states * keep)
    components, count = stores.shape[1], forcing.shape[0]
    row = lambda name: jax.lax.index_in_dim(forcing, ROWS[name], 1, keepdims=False)  # noqa: E731
    temperature = (row("minimum_air_temperature") + row("maximum_air_temperature")) / 2
    potential = hamon_pet(temperature, row("day_length")) * prepared["evaporation"]

    def day(stores, now):
        rain, temperature, potential, moved = now
        part = lambda i: jax.lax.slice_in_dim(moved, i * components, (i + 1) * components, axis=0)  # noqa: E731
        dynamic = {name: within(prepared[name] + part(i), RANGES[name]) for i, name in enumerate(DYNAMIC)}
        stores, flow, evaporated = step(stores, rain, temperature, potential, prepared | dynamic)
        return stores, (flow.sum(axis=0) / components, evaporated.sum(axis=0) / components)

    stores, (outflow, evaporated) = jax.lax.scan(day, stores, (row("precipitation"), temperature, potential, moved))
    flows = jnp.concatenate([routed, outflow])
    share = lambda i: jax.lax.index_in_dim(prepared["hydrograph"], i, 0, keepdims=False)  # noqa: E731
    discharge = sum(share(i) * between(flows, LENGTH - 1 - i, count) for i in range(LENGTH))
    fluxes = {"discharge": discharge, "evapotranspiration": evaporated, "outflow": outflow}
    return fluxes, (hidden, memory, stores, between(flows, count, LENGTH - 1))


def between(series: Array, start, count) -> Array:
    """``count`` rows of the first axis from ``start``; either may be symbolic."""
    return jax.lax.slice_in_dim(series, start, start + count, axis=0)
