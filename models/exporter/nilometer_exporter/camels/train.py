"""Trains the daily models: windows of a warm-up year and a year that counts, all catchments mixed.

Regional models learn from random batches of windows. Local ones have no common weight, so each catchment sees its whole record in every
iteration. Nothing here looks at the validation years; ``packages.package`` does, and what it says goes to the log and the card.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..learning import FROZEN
from . import hbv, hybrid, lstm
from .data import TRAINING, Catchments, day, period
from .graphs import KINDS

Weights = dict[str, np.ndarray]
WARM_UP, COUNTED = 365, 365  # of a simulation; of a window, which a recipe may warm up for less long


@dataclass(frozen=True)
class Recipe:
    """How a model is trained. Epochs are passes over all windows (regional) or over the record (local); ``rise`` counts the batches
    over which the rate rises, ``decay`` is that of the weights. ``networks`` are trained one after another, from other seeds."""

    kind: str
    epochs: int
    learning_rate: float
    batch: int = 64
    hidden: int = 64
    components: int = 8
    dropout: float = 0.0
    root_weight: float = 0.0
    quantile_weight: float = 0.0
    decay: float = 0.0
    rise: int = 0
    networks: int = 1
    seed: int = 0
    warm_up: int = WARM_UP
    then: Recipe | None = None

    @property
    def stages(self) -> tuple[Recipe, ...]:
        """This one and those that go on from its weights."""
        return (self, *(self.then.stages if self.then else ()))


LSTM = {"batch": 32, "hidden": 128, "rise": 300}
RECIPES = {
    "lstm": Recipe("lstm", 30, 3e-3, dropout=0.3, quantile_weight=0.5, decay=0.05, networks=3, seed=3, warm_up=270, **LSTM),
    "lstm-ar": Recipe("lstm-ar", 45, 4e-3, dropout=0.2, quantile_weight=0.25, decay=0.02, networks=4, seed=41, warm_up=180, **LSTM),
    "dhbv": Recipe("dhbv", 30, 3e-3, batch=48, dropout=0.3, root_weight=0.3),
    "hybrid-regional": Recipe("hybrid-regional", 40, 2e-3, root_weight=0.3),
    "hybrid-local": Recipe("hybrid-local", 250, 1e-2, root_weight=0.3),
    "exphydro-local": Recipe("exphydro-local", 250, 3e-2, root_weight=0.3),
    "exphydro-regional": Recipe("exphydro-regional", 30, 3e-3, root_weight=0.3),
    "conv-local": Recipe("conv-local", 250, 1e-2, root_weight=0.3),
}


def start(data: Catchments, recipe: Recipe) -> tuple[Weights, dict[str, jax.Array]]:
    """What is frozen and what is learned of the first weights."""
    kind, catchments = recipe.kind, len(data.names)
    fixed = statistics(data, feedback=kind == "lstm-ar")
    if kind.startswith("lstm"):
        return fixed, lstm.start(recipe.seed, recipe.hidden, fixed, feedback=kind == "lstm-ar")
    fixed = {name: value for name, value in fixed.items() if name not in ("ladder", "root_deviation")}
    if kind == "dhbv":
        return fixed, hbv.start(recipe.seed, recipe.hidden, fixed, recipe.components)
    if kind.endswith("local"):
        fixed = {name: value for name, value in fixed.items() if not name.startswith("attribute")}
        raw = hybrid.start_local(recipe.seed, catchments)
    else:
        raw = hybrid.start_regional(recipe.seed, data.attributes.shape[0])
    if kind.startswith("exphydro"):
        raw = {name: value for name, value in raw.items() if name.startswith("physical")}
    if kind == "conv-local":
        raw = {name: value for name, value in raw.items() if name != "physical"}
    return fixed, raw


def statistics(data: Catchments, feedback: bool) -> Weights:
    """What standardises inputs and outputs, over the training years of ``data``."""
    forcing, flow = data.forcing[period(TRAINING)], data.discharge[period(TRAINING)]
    mean, deviation = np.nanmean(forcing, axis=(0, 2)), np.nanstd(forcing, axis=(0, 2))
    if feedback:
        mean, deviation = np.append(mean, [0.0, 0.0]), np.append(deviation, [np.nanstd(np.sqrt(flow)), 1.0])
    found = {
        "forcing_mean": mean,
        "forcing_deviation": deviation,
        "attribute_mean": data.attributes.mean(axis=1),
        "attribute_deviation": data.attributes.std(axis=1),
        "discharge_deviation": np.array([np.nanstd(flow)]),
        "root_deviation": np.array([np.nanstd(np.sqrt(flow))]),
        "ladder": lstm.ladder(),
    }
    return {name: np.asarray(value, np.float32) for name, value in found.items()}


def forcing_of(data: Catchments, feedback: bool) -> np.ndarray:
    """``[T, F (+ 2), C]``, gaps as zeros; with feedback, discharge of the day before and whether it is missing."""
    forcing = np.nan_to_num(data.forcing)
    if not feedback:
        return forcing
    before = np.concatenate([np.full((1, len(data.names)), np.nan, np.float32), data.discharge[:-1]])
    missing = ~np.isfinite(before)
    return np.concatenate([forcing, np.where(missing, 0, before)[:, None], missing[:, None].astype(np.float32)], axis=1)


def simulate(kind: str, weights: Weights, data: Catchments, days: slice, warm_up: int = WARM_UP) -> dict[str, np.ndarray]:
    """The model's outputs ``[T, …, C]`` over ``days`` after a warm-up; with feedback, of discharge known a day before."""
    model = KINDS[kind](weights)
    begin = max(days.start - warm_up, 0)
    forcing = forcing_of(data, kind == "lstm-ar")[begin : days.stop]

    # Weights are arguments: as constants XLA would spend minutes on folding them.
    @jax.jit
    def whole(weights, attributes, forcing):
        return model.run(weights, model.prepare(weights, attributes), forcing, model.initial(len(data.names)))[0]

    return {name: np.asarray(value)[days.start - begin :] for name, value in whole(weights, data.attributes, forcing).items()}


@dataclass(frozen=True)
class Scale:
    """Deviations of discharge and of its root over the training years, a catchment each: what errors are measured against."""

    flow: np.ndarray
    root: np.ndarray

    @staticmethod
    def of(data: Catchments) -> Scale:
        flow = data.discharge[period(TRAINING)]
        with np.errstate(invalid="ignore"):
            return Scale(np.nan_to_num(np.nanstd(flow, axis=0)), np.nan_to_num(np.nanstd(np.sqrt(flow), axis=0)))


def misfit(given: dict[str, jax.Array], observed, valid, flow_scale, root_scale, recipe: Recipe) -> jax.Array:
    """Squared error over the catchment's variance (NSE*), of discharge and its root, and pinball of quantiles; ``[T, N]``."""
    simulated = given.get("unclipped", given["discharge"])
    count = valid.sum()
    total = jnp.sum(valid * ((simulated - observed) / (flow_scale + 0.1)) ** 2) / count
    if recipe.root_weight:
        error = (jnp.sqrt(hbv.positive(simulated) + 1e-4) - jnp.sqrt(observed + 1e-4)) / (root_scale + 0.1)
        total += recipe.root_weight * jnp.sum(valid * error**2) / count
    if recipe.quantile_weight:
        levels = jnp.asarray(lstm.LEVELS, jnp.float32)[None, :, None]
        error = (jnp.sqrt(observed)[:, None] - jnp.sqrt(given["quantiles"] + 1e-6)) / (root_scale + 0.1)
        pinball = jnp.where(error > 0, levels * error, (levels - 1) * error).mean(axis=1)
        total += recipe.quantile_weight * jnp.sum(valid * pinball) / count
    return total


def train(data: Catchments, recipe: Recipe) -> Iterator[tuple[float, Weights]]:
    """Loss and weights after each epoch of each stage of each network, on the training years of ``data``."""
    trained: list[Weights] = []
    for network in range(recipe.networks):
        weights = None
        for stage in recipe.stages:
            stage = replace(stage, seed=stage.seed + 100 * network)
            epochs = _train_local(data, stage) if stage.kind.endswith("local") else _train_regional(data, stage, weights)
            for loss, weights in epochs:
                yield loss, beside([*trained, weights])
        trained.append(weights)


def beside(networks: list[Weights]) -> Weights:
    """Networks of the same kind as one: what they learned along its first axis, what is frozen once."""
    first, *others = networks
    return {n: w if n in FROZEN or not others else np.concatenate([w, *(other[n] for other in others)]) for n, w in first.items()}


def _optimiser(recipe: Recipe, steps: int):
    begin, end = (0.1 if recipe.rise else 1.0) * recipe.learning_rate, 0.02 * recipe.learning_rate
    schedule = optax.warmup_cosine_decay_schedule(begin, recipe.learning_rate, recipe.rise, steps, end)
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=recipe.decay))


def _train_regional(data: Catchments, recipe: Recipe, begin: Weights | None) -> Iterator[tuple[float, Weights]]:
    random, key = np.random.default_rng(recipe.seed), jax.random.key(recipe.seed + 1)
    fixed, raw = start(data, recipe)
    raw = {name: jnp.asarray(begin[name]) for name in raw} if begin else raw
    model = KINDS[recipe.kind](fixed | raw)
    feedback = recipe.kind == "lstm-ar"
    forcing, flow, scale = forcing_of(data, feedback), data.discharge, Scale.of(data)
    usable = np.flatnonzero(scale.flow > 1e-3)
    first, last = day(TRAINING[0]), day(TRAINING[1]) + 1
    windows = (last - first) // COUNTED
    optimiser = _optimiser(recipe, recipe.epochs * -(-windows * usable.size // recipe.batch))

    def loss(raw, state, attributes, forcing, observed, valid, flow_scale, root_scale, key):
        weights = fixed | raw
        keep = None
        if recipe.dropout:
            keep = jax.random.bernoulli(key, 1 - recipe.dropout, (COUNTED, recipe.hidden, recipe.batch)) / (1 - recipe.dropout)
        options = {} if keep is None else {"keep": keep}
        given, _ = model.run(weights, model.prepare(weights, attributes), forcing, state, **options)
        return misfit(given, observed, valid, flow_scale, root_scale, recipe)

    @partial(jax.jit, donate_argnums=(0, 1))
    def advance(raw, memory, attributes, forcing, *rest):
        weights = fixed | raw
        state = model.run(weights, model.prepare(weights, attributes), forcing[: recipe.warm_up], model.initial(recipe.batch))[1]
        value, gradient = jax.value_and_grad(loss)(raw, jax.lax.stop_gradient(state), attributes, forcing[recipe.warm_up :], *rest)
        change, memory = optimiser.update(gradient, memory, raw)
        return optax.apply_updates(raw, change), memory, value

    memory = optimiser.init(raw)
    for epoch in range(recipe.epochs):
        # Every other epoch windows begin on another day, so that no month always stands at their end.
        shift = int(random.integers(0, COUNTED)) if epoch % 2 else 0
        starts = [s for s in range(first + shift, last, COUNTED) if s + COUNTED <= last]
        pairs = np.array([(s, c) for s in starts for c in usable])
        random.shuffle(pairs)
        losses = []
        for at in range(0, len(pairs) - recipe.batch + 1, recipe.batch):
            begin, of = pairs[at : at + recipe.batch].T
            days = begin[None] + np.arange(-recipe.warm_up, COUNTED)[:, None]
            drawn = forcing[days, :, of[None]].transpose(0, 2, 1)
            drawn = with_gaps(drawn, random) if feedback else drawn
            observed = flow[days[recipe.warm_up :], of[None]]
            valid = np.isfinite(observed).astype(np.float32)
            key, drop = jax.random.split(key)
            batch = data.attributes[:, of], drawn, np.nan_to_num(observed), valid, scale.flow[of], scale.root[of], drop
            raw, memory, value = advance(raw, memory, *batch)
            losses.append(float(value))
        yield float(np.mean(losses)), _numbers(fixed | raw)


def _train_local(data: Catchments, recipe: Recipe) -> Iterator[tuple[float, Weights]]:
    fixed, raw = start(data, recipe)
    model = KINDS[recipe.kind](fixed | raw)
    first, last = day(TRAINING[0]), day(TRAINING[1]) + 1
    scale, optimiser = Scale.of(data), optax.adam(optax.cosine_decay_schedule(recipe.learning_rate, recipe.epochs, alpha=0.05))
    observed = data.discharge[first:last]
    valid = np.isfinite(observed).astype(np.float32)
    forcing = forcing_of(data, False)[first - WARM_UP : last]

    def loss(raw, forcing, observed, valid):
        weights = fixed | raw
        given, _ = model.run(weights, model.prepare(weights, data.attributes), forcing, model.initial(len(data.names)))
        given = {name: value[WARM_UP:] for name, value in given.items()}
        # The optimiser takes each catchment's own gradient, so the mean over them only sets a scale.
        return misfit(given, observed, valid, scale.flow, scale.root, recipe)

    @partial(jax.jit, donate_argnums=(0, 1))
    def advance(raw, memory, *batch):
        value, gradient = jax.value_and_grad(loss)(raw, *batch)
        change, memory = optimiser.update(gradient, memory, raw)
        return optax.apply_updates(raw, change), memory, value

    memory = optimiser.init(raw)
    for _ in range(recipe.epochs):
        raw, memory, value = advance(raw, memory, forcing, np.nan_to_num(observed), valid)
        yield float(value), _numbers(fixed | raw)


def _numbers(weights) -> Weights:
    return {name: np.asarray(value, np.float32) for name, value in weights.items()}


def with_gaps(forcing: np.ndarray, random: np.random.Generator, length: float = 5.0) -> np.ndarray:
    """Takes observations away in gaps of mean ``length`` days: none in half of the windows, nearly all in a tenth, else up to 60 %."""
    days, _, columns = forcing.shape
    forcing = forcing.copy()
    lot = random.random(columns)
    share = np.where(lot < 0.5, 0.0, np.where(lot < 0.6, 0.95, 0.6 * random.random(columns)))
    gone = random.random(columns) < share
    # A gap ends with probability 1/length; it begins as often as keeps the share.
    begins = np.clip(share / (1 - share) / length, 0, 1)
    for t in range(days):
        drawn = random.random(columns)
        gone = np.where(gone, drawn >= 1 / length, drawn < begins)
        forcing[t, -2] = np.where(gone, 0.0, forcing[t, -2])
        forcing[t, -1] = np.maximum(forcing[t, -1], gone)
    return forcing
