"""Catchments that a model has never seen: each fold of them is simulated by weights trained on the others.

Nothing of a fold enters its model, neither its years nor the statistics that scale inputs.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from .data import VALIDATION, load, period
from .scores import nse
from .train import RECIPES, simulate, train

FOLDS = 5


def fold_scores(folder: Path, kind: str, left_out: Path | None, epochs: int | None) -> None:
    """Prints a line of JSON a fold and one for all: median NSE of the validation years, and the share below 0.

    Catchments are dealt to folds in a shuffled order, the same for every kind. ``epochs`` shortens the recipe; of
    several networks there is one.
    """
    # One network of several, for time's sake.
    data, recipe = load(folder), replace(RECIPES[kind], networks=1)
    if epochs:
        # A shortened recipe is its first stage.
        recipe = replace(recipe, epochs=epochs, then=None)
    unjudged = set(left_out.read_text().split()) if left_out else set()
    order = np.random.default_rng(0).permutation(len(data.names))
    found = np.full(len(data.names), np.nan)
    for fold in range(FOLDS):
        held = np.sort(order[fold::FOLDS])
        others = [name for i, name in enumerate(data.names) if i not in set(held)]
        *_, (_, weights) = train(data.chosen(others), recipe)
        unseen = data.chosen([data.names[i] for i in held])
        found[held] = nse(simulate(kind, weights, unseen, period(VALIDATION))["discharge"], unseen.discharge[period(VALIDATION)])
        _say({"kind": kind, "fold": fold + 1}, found[held])
    _say({"kind": kind, "folds": FOLDS, "epochs": sum(stage.epochs for stage in recipe.stages)}, np.array([s for n, s in zip(data.names, found) if n not in unjudged]))


def _say(what: dict, scores: np.ndarray) -> None:
    scores = scores[np.isfinite(scores)]
    below = {"share of NSE below 0": round(float(np.mean(scores < 0)), 4), "lowest NSE": round(float(scores.min()), 2)}
    print(json.dumps(what | {"catchments": len(scores), "median NSE": round(float(np.median(scores)), 4)} | below), flush=True)
