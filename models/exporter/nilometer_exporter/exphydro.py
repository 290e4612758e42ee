"""EXP-HYDRO as a differentiable recurrence (P-RNN), after Jiang, Zheng & Solomatine (2020), doi:10.1029/2020GL088229.

Two buckets, snow and soil, step by explicit Euler; gates are smooth steps, so gradients exist everywhere. The equations do
not care about the time step: parameters carry it (daily in the paper, hourly in the Cance packages).

* Label shift, kept from the published code: the discharge of a step is the flux of the UPDATED store, which is what the
  NEXT step removes. The flux that a step really removes is what :func:`soil_step` returns.
* No clamp keeps a store non-negative, as published: gates close below zero instead, and leave tiny residues.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array

# This far from a threshold its gate is 0 or 1 to 1e-43. What the gate then hides is held here: the exponential stays finite,
# and a float32 gate that stops near 1e-8 has nothing large to multiply.
_GATE_REACH_MM = 10.0


class Soil(NamedTuple):
    """Soil parameters: decline of baseflow 1/mm, capacity mm, largest baseflow mm per step."""

    f: Array
    smax: Array
    qmax: Array


class Snow(NamedTuple):
    """Snow parameters: degree-day factor mm/°C per step, melt and snowfall thresholds °C."""

    degree_day: Array
    tmax: Array
    tmin: Array


def smooth_step(x: Array) -> Array:
    """0 below zero, 1 above, smooth within about 0.5 of a unit: (tanh(5 x) + 1) / 2, written as the equal sigmoid."""
    return jax.nn.sigmoid(10.0 * x)


def soil_fluxes(store: Array, pet: Array, soil: Soil) -> tuple[Array, Array]:
    """Evapotranspiration and discharge (baseflow + spill) that leave ``store``, mm per step; any broadcastable shapes."""
    return _evapotranspiration(store, pet, soil), discharge(store, soil)


def discharge(store: Array, soil: Soil) -> Array:
    """Baseflow plus spill of ``store``, mm per step."""
    excess = store - soil.smax
    below = soil.qmax * jnp.exp(soil.f * jnp.minimum(excess, _GATE_REACH_MM))
    above = soil.qmax + jnp.maximum(excess, -_GATE_REACH_MM)
    return smooth_step(store) * (below + smooth_step(excess) * (above - below))


def _evapotranspiration(store: Array, pet: Array, soil: Soil) -> Array:
    wetness = store * (1.0 / soil.smax)
    return pet * smooth_step(store) * (wetness + smooth_step(store - soil.smax) * (1.0 - wetness))


def soil_step(store: Array, water: Array, pet: Array, soil: Soil) -> tuple[Array, Array, Array]:
    """One Euler step: ``(store_next, evapotranspiration, outflow)``; ``store_next - store = water - both`` exactly."""
    evapotranspiration, outflow = soil_fluxes(store, pet, soil)
    return store + (water - evapotranspiration - outflow), evapotranspiration, outflow


def hamon_pet(temperature: Array, day_length: Array) -> Array:
    """Hamon potential evapotranspiration, mm/day, from °C and the sunlit fraction of the day."""
    vapour_pressure = 0.611 * jnp.exp(17.3 * temperature / (temperature + 237.3))
    return 29.8 * 24.0 * day_length * vapour_pressure / (temperature + 273.2)


def snow_step(store: Array, precipitation: Array, temperature: Array, snow: Snow) -> tuple[Array, Array]:
    """One Euler step of the snow store: ``(store_next, rain + melt)``."""
    snowfall = smooth_step(snow.tmin - temperature) * precipitation
    rain = smooth_step(temperature - snow.tmin) * precipitation
    potential = snow.degree_day * (temperature - snow.tmax)
    available = jnp.where(store < potential, store, potential)
    melt = smooth_step(temperature - snow.tmax) * smooth_step(store) * available
    return store + (snowfall - melt), rain + melt


def run_daily(stores: tuple[Array, Array], precipitation: Array, temperature: Array, day_length: Array, snow: Snow, soil: Soil):
    """The published daily model over a series ``[T, ...]``: snow store, soil store and discharge, each ``[T, ...]``."""

    def step(carry, forcing):
        snow_store, soil_store = carry
        rain, temp, light = forcing
        snow_store, water = snow_step(snow_store, rain, temp, snow)
        soil_store, _, _ = soil_step(soil_store, water, hamon_pet(temp, light), soil)
        return (snow_store, soil_store), (snow_store, soil_store, discharge(soil_store, soil))

    return jax.lax.scan(step, stores, (precipitation, temperature, day_length))[1]
