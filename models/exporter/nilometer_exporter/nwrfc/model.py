"""HBV in steps of six hours, its parameters each catchment's own: K parallel components, a gamma unit hydrograph.

Components share the weather but not the temperature at which it snows and melts: they stand for the heights of a mountain catchment.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from ..camels import hbv
from ..camels.graphs import FLUXES, Kind
from ..exphydro import hamon_pet

Array = jax.Array
COMPONENTS = 6
# Ranges of a component's parameters, per step of six hours where they are rates.
RANGES = hbv.RANGES | {
    "k0": (0.01, 0.6), "k1": (0.002, 0.25), "k2": (0.0002, 0.05), "perc": (0.0, 2.5), "cfmax": (0.05, 2.5), "cfr": (0.0, 0.025),
    "capillary": (0.0, 0.25), "tt": (-6.0, 6.0),
}  # fmt: skip
COMMON = {"shape": (0.0, 2.9), "scale": (0.0, 6.5), "evaporation": (0.5, 1.5)}
DAY_SHARE = 0.25


def start(seed: int, catchments: int) -> dict[str, Array]:
    """First weights: ``parameters [C, R]``, before they are put into their ranges."""
    random = np.random.default_rng(seed)
    raw = random.normal(0, 0.5, (catchments, len(RANGES) * COMPONENTS + len(COMMON)))
    at = list(RANGES).index("tt") * COMPONENTS
    raw[:, at : at + COMPONENTS] = np.linspace(-1.5, 1.5, COMPONENTS)
    return {"parameters": jnp.asarray(raw, jnp.float32)}


def prepare(weights: Mapping[str, Array], attributes: Array | None) -> dict[str, Array]:
    """Parameters in their ranges ``[K, C]`` and the unit hydrograph ``[L, C]``; attributes are not looked at."""
    raw = weights["parameters"].T
    part = lambda first, count: jax.lax.slice_in_dim(raw, first, first + count, axis=0)  # noqa: E731
    found = {name: hbv.within(part(i * COMPONENTS, COMPONENTS), limits) for i, (name, limits) in enumerate(RANGES.items())}
    behind = len(RANGES) * COMPONENTS
    common = {
        name: hbv.within(jax.lax.index_in_dim(raw, behind + i, 0, keepdims=False), limits)
        for i, (name, limits) in enumerate(COMMON.items())
    }
    hydrograph = hbv.unit_hydrograph(common["shape"] + 0.1, common["scale"] + 0.5)
    return found | {"hydrograph": hydrograph, "evaporation": common["evaporation"]}


def run(weights: Mapping[str, Array], prepared: Mapping[str, Array], forcing: Array, state: tuple[Array, ...]):
    """``discharge``, ``evapotranspiration`` and ``outflow``, each ``[T, N]`` in mm a step, and the state after ``forcing [T, F, N]``."""
    stores, routed = state
    count = forcing.shape[0]
    rain, temperature, light = (jax.lax.index_in_dim(forcing, row, 1, keepdims=False) for row in range(3))
    potential = DAY_SHARE * hamon_pet(temperature, light) * prepared["evaporation"]

    def advance(stores, now):
        stores, flow, evaporated = hbv.step(stores, *now, prepared)
        return stores, (flow.sum(axis=0) / COMPONENTS, evaporated.sum(axis=0) / COMPONENTS)

    stores, (outflow, evaporated) = jax.lax.scan(advance, stores, (rain, temperature, potential))
    flows = jnp.concatenate([routed, outflow])
    share = lambda i: jax.lax.index_in_dim(prepared["hydrograph"], i, 0, keepdims=False)  # noqa: E731
    discharge = sum(share(i) * hbv.between(flows, hbv.LENGTH - 1 - i, count) for i in range(hbv.LENGTH))
    fluxes = {"discharge": discharge, "evapotranspiration": evaporated, "outflow": outflow}
    return fluxes, (stores, hbv.between(flows, count, hbv.LENGTH - 1))


KIND = Kind(prepare, run, ((hbv.STORES, COMPONENTS), (hbv.LENGTH - 1,)), (1e-3, 0.0), FLUXES)
