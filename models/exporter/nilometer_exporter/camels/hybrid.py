"""EXP-HYDRO as a recurrent layer (P-RNN) with a convolution over the past ten days on top (Jiang, Zheng and Solomatine 2020).

``local``: parameters are each catchment's own. ``regional``: networks of the attributes give them, so that a catchment without a
gauge has some too. Columns N are catchments times members; stores and fluxes are mm and mm a day.

The discharge of the physical part is that of the updated stores, which the next step removes: q* leads its flux by a day.
Statistics of the weather are those of the training, never of the window at hand, so a stream gives what a window gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import jax
import jax.numpy as jnp
import numpy as np

from ..exphydro import Snow, Soil, discharge, hamon_pet, snow_step, soil_step
from ..head import elu
from . import cell
from .data import FORCING
from .hbv import ROWS, between, positive, within

Array = jax.Array
Weights = Mapping[str, Array]

RANGES = {
    "tmin": (-3.0, 0.0), "tmax": (0.0, 3.0), "df": (0.0, 5.0), "f": (0.0, 0.1), "smax": (100.0, 1500.0), "qmax": (10.0, 50.0),
}  # fmt: skip
# Rows of forcing that the convolution sees, before q*.
SEEN = ("precipitation", "minimum_air_temperature", "maximum_air_temperature", "day_length", "shortwave_radiation", "vapour_pressure")
FILTERS, DAYS = 8, 10
INPUTS = len(SEEN) + 1


def start_local(seed: int, catchments: int) -> dict[str, Array]:
    """First weights of each catchment: middle of every range, small random kernels."""
    keys = jax.random.split(jax.random.key(seed), 2)
    kernel = jax.random.uniform(keys[0], (catchments, FILTERS, INPUTS, DAYS), jnp.float32, -0.08, 0.08)
    return {
        "physical": jnp.zeros((catchments, len(RANGES))),
        "kernel": kernel.at[:, 0, -1, -1].add(0.7).at[:, 1, -1, -2].add(0.2),
        "kernel_bias": jnp.zeros((catchments, FILTERS)),
        "mix": jax.random.uniform(keys[1], (catchments, FILTERS), jnp.float32, 0.0, 0.3).at[:, :2].set(1.0),
        "offset": jnp.zeros(catchments),
    }


def start_regional(seed: int, attributes: int, width: int = 64) -> dict[str, Array]:
    """First weights of the networks; the last layers' biases are a common catchment."""
    keys = jax.random.split(jax.random.key(seed), 5)
    count = FILTERS * INPUTS * DAYS + 2 * FILTERS + 1
    common = start_local(seed, 1)
    bias = jnp.concatenate([common[n][0].reshape(-1) for n in ("kernel", "kernel_bias", "mix", "offset")])
    layer = lambda key, rows, columns, size: jax.random.normal(key, (rows, columns)) * size / np.sqrt(columns)  # noqa: E731
    return {
        "physical_1": layer(keys[0], width, attributes, 1.0),
        "physical_1_bias": jnp.zeros(width),
        "physical_2": layer(keys[1], len(RANGES), width, 0.5),
        "physical_2_bias": jnp.zeros(len(RANGES)),
        "neural_1": layer(keys[2], width, attributes, 1.0),
        "neural_1_bias": jnp.zeros(width),
        "neural_2": layer(keys[3], count, width, 0.05),
        "neural_2_bias": bias,
    }


HEAD = {"kernel": (FILTERS, INPUTS, DAYS), "kernel_bias": (FILTERS,), "mix": (FILTERS,), "offset": ()}


def prepare_local(weights: Weights, attributes: Array) -> dict[str, Array]:
    """Physical parameters with the catchment last, those of the head with it first; attributes are not looked at."""
    prepared = {name: weights[name] for name in HEAD if name in weights}
    return prepared | ({"physical": weights["physical"].T} if "physical" in weights else {})


def prepare_regional(weights: Weights, attributes: Array) -> dict[str, Array]:
    """The same from ``attributes [A, C]``."""
    scaled = cell.scaled_attributes(weights, attributes)

    def hidden(name: str) -> Array:
        return jnp.tanh(weights[f"{name}_1"] @ scaled + weights[f"{name}_1_bias"][:, None])

    parameters, at = {"physical": weights["physical_2"] @ hidden("physical") + weights["physical_2_bias"][:, None]}, 0
    if "neural_1" not in weights:
        return parameters
    neural = hidden("neural").T @ weights["neural_2"].T + weights["neural_2_bias"]
    for name, shape in HEAD.items():
        columns = jax.lax.slice_in_dim(neural, at, at + prod(shape), axis=1)
        parameters[name] = columns.reshape(neural.shape[0], *shape)
        at += prod(shape)
    return parameters


def run_physical(weights: Weights, prepared: Mapping[str, Array], forcing: Array, state: tuple[Array, ...]):
    """``discharge``, ``evapotranspiration`` and ``outflow``, each ``[T, N]`` in mm a day, and the state after ``forcing [T, F, N]``."""
    physical = lambda i: jax.lax.index_in_dim(prepared["physical"], i, 0, keepdims=False)  # noqa: E731
    p = {name: within(physical(i), limits) for i, (name, limits) in enumerate(RANGES.items())}
    snow_parameters, soil_parameters = Snow(p["df"], p["tmax"], p["tmin"]), Soil(p["f"], p["smax"], p["qmax"])
    row = lambda name: jax.lax.index_in_dim(forcing, ROWS[name], 1, keepdims=False)  # noqa: E731
    temperature = (row("minimum_air_temperature") + row("maximum_air_temperature")) / 2
    weather = (row("precipitation"), temperature, hamon_pet(temperature, row("day_length")))

    def day(stores, weather):
        snow, soil = stores
        precipitation, temperature, potential = weather
        snow, water = snow_step(snow, precipitation, temperature, snow_parameters)
        soil, evaporated, out = soil_step(soil, water, potential, soil_parameters)
        return (snow, soil), (discharge(soil, soil_parameters), evaporated, out)

    stores, (simulated, evaporated, out) = jax.lax.scan(day, state, weather)
    return {"discharge": simulated, "evapotranspiration": evaporated, "outflow": out}, stores


def run(weights: Weights, prepared: Mapping[str, Array], forcing: Array, state: tuple[Array, ...], members=1):
    """As :func:`run_physical`, with the head on top; ``unclipped`` is discharge as it leaves the head, for training."""
    *stores, window = state
    fluxes, stores = run_physical(weights, prepared, forcing, tuple(stores))
    simulated = fluxes["discharge"] / weights["discharge_deviation"]
    routed, window = _routed(weights, prepared, forcing, simulated, window, members)
    return fluxes | routed, (*stores, window)


def run_convolution(weights: Weights, prepared: Mapping[str, Array], forcing: Array, state: tuple[Array, ...], members=1):
    """The head alone, which sees weather and no q*: the data-driven half."""
    routed, window = _routed(weights, prepared, forcing, jnp.zeros_like(forcing[:, 0]), state[0], members)
    return routed, (window,)


def _routed(weights: Weights, prepared: Mapping[str, Array], forcing: Array, simulated: Array, window: Array, members):
    seen = jnp.concatenate([window, jnp.concatenate([cell.scaled_forcing(weights, forcing), simulated[:, None]], axis=1)])
    unclipped = head(prepared, seen, forcing.shape[0], members) * weights["discharge_deviation"]
    return {"discharge": positive(unclipped), "unclipped": unclipped}, between(seen, forcing.shape[0], DAYS - 1)


def head(prepared: Mapping[str, Array], seen: Array, count, members) -> Array:
    """The convolution over ``seen [DAYS - 1 + T, K, C M]``, oldest lag first: ``[T, C M]``.

    Catchments come first, so that their own kernels are one batched matrix product, and lags are whole slices: what moves
    is the short series, never what they make together.
    """
    kernel, columns = prepared["kernel"], seen.shape[2]
    catchments = kernel.shape[0]
    series = seen.reshape(seen.shape[0], INPUTS, catchments, members).transpose(2, 1, 0, 3)
    lags = [jax.lax.slice_in_dim(series, i, i + count, axis=2).reshape(catchments, INPUTS, 1, count * members) for i in range(DAYS)]
    lagged = jnp.concatenate(lags, axis=2).reshape(catchments, INPUTS * DAYS, count * members)
    hidden = elu(kernel.reshape(catchments, FILTERS, INPUTS * DAYS) @ lagged + prepared["kernel_bias"][..., None])
    mixed = elu(prepared["mix"][:, None] @ hidden + prepared["offset"][:, None, None])
    return mixed.reshape(catchments, count, members).transpose(1, 0, 2).reshape(count, columns)


assert len(FORCING) == len(SEEN), "the convolution sees all of the weather"
