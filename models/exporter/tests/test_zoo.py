"""The packages as committed: their files are those of the card, and their graphs give the golden values."""

import hashlib
import tomllib
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from safetensors.numpy import load_file

from models import session
from nilometer_exporter.package import GRAPHS

ZOO = Path(__file__).parents[2] / "zoo"


@pytest.fixture(params=sorted(path.parent.name for path in ZOO.glob("*/card.toml")))
def package(request) -> Path:
    return ZOO / request.param


def test_files_are_those_of_the_card(package):
    card = tomllib.loads((package / "card.toml").read_text(encoding="utf-8"))
    assert {name: hashlib.sha256((package / name).read_bytes()).hexdigest() for name in card["sha256"]} == card["sha256"]
    weights = load_file(package / "weights.safetensors")
    assert {weight["name"]: tuple(weight["shape"]) for weight in card["weight"]} == {n: w.shape for n, w in weights.items()}
    for weight in card["weight"]:
        value = weights[weight["name"]]
        assert value.min() >= weight.get("minimum", -np.inf) and value.max() <= weight.get("maximum", np.inf)
    golden = load_file(package / "golden.safetensors")
    assert golden["step.state"].shape[0] == sum(state["rows"] for state in card["state"])


@pytest.mark.parametrize("graph", GRAPHS)
def test_graphs_give_golden_values(package, graph):
    weights, golden = load_file(package / "weights.safetensors"), load_file(package / "golden.safetensors")
    card = tomllib.loads((package / "card.toml").read_text(encoding="utf-8"))
    # Golden vectors are of the first catchments.
    for weight in card["weight"]:
        if weight.get("catchment_axis") == 0:
            weights[weight["name"]] = weights[weight["name"]][: golden["step.state"].shape[1]]
    loaded = session((package / f"{graph}.onnx").read_bytes())
    zeros = {f"{n}.{moment}": np.zeros_like(w) for n, w in weights.items() for moment in ("first", "second")}
    known = weights | zeros | {name.removeprefix(f"{graph}."): value for name, value in golden.items()}
    inputs = {i.name: known[i.name] for i in loaded.get_inputs()}
    slope = graph in ("gradient", "train_step")
    limit = card.get("gradient_tolerance", 1e-3) if slope else card.get("golden_tolerance", 1e-5)
    for output, value in zip(loaded.get_outputs(), loaded.run(None, inputs), strict=True):
        reference = golden.get(f"{graph}.{output.name}")
        if reference is not None:
            least = 0.0 if slope else 1.0
            assert_allclose(value, reference, rtol=limit, atol=limit * max(least, np.abs(reference).max()))
