"""Writes a shipped package again: the same weights and card, graphs and golden vectors by today's exporter."""

from __future__ import annotations

import tomllib
from pathlib import Path

from safetensors.numpy import load_file

from . import cance
from .camels.graphs import KINDS
from .nwrfc.model import KIND as SIX_HOURLY
from .nwrfc.package import NAME
from .package import Graphs, Package, write


def refresh(folder: Path) -> None:
    """Reads the package at ``folder`` and writes it there again. Call it in float64 (``jax_enable_x64``)."""
    write(load(folder), folder)


def load(folder: Path) -> Package:
    """A package as it was before it was written; its graphs are those of the model kind of its name."""
    card = tomllib.loads((folder / "card.toml").read_text(encoding="utf-8"))
    stored, golden = load_file(folder / "weights.safetensors"), load_file(folder / "golden.safetensors")
    # The card's order is that of the graphs' inputs.
    weights = {weight["name"]: stored[weight["name"]] for weight in card["weight"]}
    names = {"state": "rollout.state", "forcing": "rollout.forcing", "attributes": "attributes"}
    own = ("name", "shape", "frozen")
    return Package(
        **{key: card[key] for key in ("name", "version", "summary", "time_step_s", "training", "notes")},
        catchments=tuple(card["catchments"]),
        attributes=tuple(card.get("attribute", ())),
        inputs=tuple(card["input"]),
        states=tuple(card["state"]),
        graphs=_graphs(card["name"], weights),
        weights=weights,
        weight_facts={weight["name"]: {k: v for k, v in weight.items() if k not in own} for weight in card["weight"]},
        golden_inputs={name: golden[key] for name, key in names.items() if key in golden},
        skill=tuple(card.get("skill", ())),
        known_failures=tuple(card.get("known_failures", ())),
        golden_tolerance=card.get("golden_tolerance", 1e-5),
        gradient_tolerance=card.get("gradient_tolerance", 1e-3),
    )


def _graphs(name: str, weights: dict) -> Graphs:
    for kind, packaged in cance.NAMES.items():
        if name == packaged:
            return cance.GRAPHS[kind]
    model = SIX_HOURLY if name == NAME else KINDS[name](weights)
    return Graphs(model.step, model.rollout, model.outputs, model.outputs)
