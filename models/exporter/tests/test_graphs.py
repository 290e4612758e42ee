"""The exported graphs against JAX, against each other, and against physics."""

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose

from models import CAMELS, attributes_of, ensemble, jax_results, lesson, onnx_results, package, run, session
from nilometer_exporter.onnx_export import to_onnx
from nilometer_exporter.package import build_graph, golden


@pytest.mark.parametrize("graph", ["step", "rollout"])
def test_export_is_exact_in_float64(kind, graph):
    state, forcing = ensemble(kind, 30)
    case = (state, forcing[0] if graph == "step" else forcing)
    expected = jax_results(kind, graph, *case)
    exported = onnx_results(kind, graph, *case)
    assert exported.keys() == expected.keys()
    for name, value in exported.items():
        assert np.isfinite(value).all()
        assert_allclose(value, expected[name], atol=1e-9, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("graph", ["gradient", "train_step"])
def test_derivatives_are_exact_in_float64(kind, graph):
    of, given = package(kind), lesson(kind, graph, 12)
    loaded = session(build_graph(of, graph, np.float64).SerializeToString())
    found = dict(zip((o.name for o in loaded.get_outputs()), loaded.run(None, of.weights | given)))
    expected = of.graphs.call(graph, {n: jnp.asarray(w) for n, w in of.weights.items()}, {n: jnp.asarray(v) for n, v in given.items()})
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert_allclose(value, expected[name], atol=1e-9, rtol=1e-9, err_msg=name)


def test_float32_gradient_of_a_year_is_near_that_of_float64_in_every_catchment(kind):
    """A thousandth of its norm: stores and powers multiply float32's rounding, and derivatives of a year multiply it again."""
    found = {}
    for dtype in (np.float32, np.float64):
        given = lesson(kind, "gradient", 365, np.float32)
        given = {name: value.astype(dtype) for name, value in (package(kind, np.float32).weights | given).items()}
        loaded = session(build_graph(package(kind, dtype), "gradient", dtype).SerializeToString())
        found[dtype] = dict(zip((o.name for o in loaded.get_outputs()), loaded.run(None, given)))
    for name in ("state_gradient", "forcing_gradient"):
        single, double = found[np.float32][name], found[np.float64][name]
        every = tuple(axis for axis in range(double.ndim) if axis != double.ndim - 2)
        norm = lambda values: np.sqrt((values**2).sum(axis=every))  # noqa: B023, E731
        assert (norm(single - double) <= 1e-3 * norm(double)).all(), name


def test_gradient_is_the_slope_of_its_own_loss(kind):
    """Against central differences: what JAX derives is what the graph's loss does."""
    of, given = package(kind), lesson(kind, "gradient", 8)
    loaded = session(build_graph(of, "gradient", np.float64).SerializeToString())
    run = lambda change: dict(zip((o.name for o in loaded.get_outputs()), loaded.run(None, of.weights | given | change)))  # noqa: E731
    found, random = run({}), np.random.default_rng(7)
    # A step that no threshold of the models lies in, and rain that stays rain.
    for name, slope in (("state", "state_gradient"), ("forcing", "forcing_gradient")):
        direction = random.normal(size=given[name].shape) * 1e-6
        if name == "forcing":
            direction[:, 0] *= given[name][:, 0] > 1e-3
            direction[:, 6:] = 0
        rise = run({name: given[name] + direction})["loss"] - run({name: given[name] - direction})["loss"]
        along = (found[slope] * direction).sum(axis=tuple(range(found[slope].ndim - 2)))
        assert_allclose(rise / 2, along, rtol=2e-3, atol=1e-9)


@pytest.mark.parametrize("graph", ["step", "rollout"])
def test_float32_graph_reproduces_golden(cance_kind, graph):
    """Relative to the largest value: a store of 250 mm has a float32 spacing of 1.5e-5 mm."""
    expected = golden(package(cance_kind, np.float32))
    found = onnx_results(cance_kind, graph, expected[f"{graph}.state"], expected[f"{graph}.forcing"])
    for name, value in found.items():
        reference = expected[f"{graph}.{name}"]
        assert_allclose(value, reference, rtol=1e-5, atol=1e-5 * max(1.0, np.abs(reference).max()))


def test_repeated_step_is_rollout(kind):
    state, forcing = ensemble(kind, 24, np.float32)
    step = session(build_graph(package(kind, np.float32), "step", np.float32).SerializeToString())
    flows, current = [], state
    for now in forcing:
        found = run(step, kind, current, now)
        current = found["state_next"]
        flows.append(found["discharge"])
    rolled = onnx_results(kind, "rollout", state, forcing)
    assert_allclose(np.stack(flows), rolled["discharge"], rtol=1e-5, atol=1e-5)
    assert_allclose(current, rolled["state_next"], rtol=1e-5, atol=2e-5)


def test_one_step_rollout_is_step(kind):
    state, forcing = ensemble(kind, 1)
    stepped, rolled = jax_results(kind, "step", state, forcing[0]), onnx_results(kind, "rollout", state, forcing)
    assert_allclose(rolled["discharge"][0], stepped["discharge"], atol=1e-9)
    assert_allclose(rolled["state_next"], stepped["state_next"], atol=1e-9)


def test_flow_is_never_negative(kind):
    assert (onnx_results(kind, "rollout", *ensemble(kind, 60))["discharge"] >= 0).all()


def test_water_balance_closes(cance_kind):
    state, forcing = ensemble(cance_kind, 1)
    found = onnx_results(cance_kind, "step", state, forcing[0])
    lost = found["evapotranspiration"] + found["outflow"]
    assert_allclose(found["state_next"][0] - state[0], forcing[0, 0] - lost, atol=1e-12)


@pytest.mark.parametrize("daily", [kind for kind in CAMELS if kind.startswith(("dhbv", "exphydro", "hybrid"))])
def test_water_balance_of_daily_stores_closes(daily):
    """Rain, less what evaporated and what left, is what the stores gained: HBV's are the mean of its components."""
    state, forcing = ensemble(daily, 1)
    found = onnx_results(daily, "step", state, forcing[0])
    components = 2 if daily == "dhbv" else 1
    rows = slice(16, 26) if daily == "dhbv" else slice(0, 2)
    gained = (found["state_next"][rows] - state[rows]).sum(axis=0) / components
    assert_allclose(gained, forcing[0, 0] - found["evapotranspiration"] - found["outflow"], atol=1e-11)


def test_quantiles_do_not_cross():
    for daily in ("lstm", "lstm-ar"):
        quantiles = onnx_results(daily, "rollout", *ensemble(daily, 40))["quantiles"]
        assert quantiles.shape[1] == 19
        assert (np.diff(quantiles, axis=1) >= 0).all() and (quantiles >= 0).all()


def test_observed_discharge_counts_only_where_it_is_not_missing():
    state, forcing = ensemble("lstm-ar", 20)
    missing = forcing[:, -1] == 1
    other = forcing.copy()
    other[:, -2] = np.where(missing, 99.0, other[:, -2])
    same = onnx_results("lstm-ar", "rollout", state, other)["discharge"]
    assert_allclose(same, onnx_results("lstm-ar", "rollout", state, forcing)["discharge"], atol=0)
    other[:, -2] = np.where(missing, 0.0, other[:, -2] + 5)
    assert (np.abs(onnx_results("lstm-ar", "rollout", state, other)["discharge"] - same) > 1e-6).any()


def test_discharge_of_the_physical_model_is_the_next_outflow():
    state, forcing = ensemble("physical", 2)
    first = onnx_results("physical", "step", state, forcing[0])
    second = onnx_results("physical", "step", first["state_next"], forcing[1])
    assert_allclose(second["outflow"], first["discharge"], atol=1e-12)


def test_more_rain_never_gives_less_discharge_in_total(cance_kind):
    state, forcing = ensemble(cance_kind, 48, members=8)
    forcing[:, 0] = forcing[:, 0, :, 4:5] * np.linspace(0, 5, 8)
    flow = onnx_results(cance_kind, "rollout", state[:, :, :1] * np.ones(8), forcing)["discharge"]
    assert (flow >= 0).all()
    assert (np.diff(flow.sum(axis=0), axis=-1) >= 0).all()


def test_weights_are_inputs_and_sizes_are_free(kind):
    of = package(kind, np.float32)
    model = build_graph(of, "rollout", np.float32)
    attributes = ["attributes"] if of.attributes else []
    assert [i.name for i in model.graph.input] == [*of.weights, *attributes, "state", "forcing"]
    assert all(np.prod(constant.dims) <= 16 for constant in model.graph.initializer)
    assert model.ir_version <= 10 and model.opset_import[0].version == 18
    assert all(node.domain == "" for node in model.graph.node)
    assert model.ByteSize() < 100_000
    forcing = next(i for i in model.graph.input if i.name == "forcing")
    assert [d.dim_param or d.dim_value for d in forcing.type.tensor_type.shape.dim] == ["T", len(of.inputs), "C", "M"]
    state, forcing = ensemble(kind, 5, np.float32)
    chosen = [0, 0, 2, 1, 1]
    given = {n: v[chosen] if of.is_local(n) else v for n, v in of.weights.items()}
    given |= {"state": state[:, chosen], "forcing": forcing[:, :, chosen]}
    if of.attributes:
        given["attributes"] = attributes_of(kind, np.float32)[:, chosen]
    large = session(model.SerializeToString()).run(["discharge"], given)[0]
    assert_allclose(large, onnx_results(kind, "rollout", state, forcing)["discharge"][:, chosen], rtol=1e-5, atol=1e-6)


def test_unknown_primitive_is_named():
    with pytest.raises(NotImplementedError, match="'erf'"):
        to_onnx(lambda x: (jax.scipy.special.erf(x),), {"x": jax.ShapeDtypeStruct((2,), jnp.float32)}, ["y"], "graph")


def test_scan_is_kept_as_scan(kind):
    model = build_graph(package(kind, np.float32), "rollout", np.float32)
    # HBV's LSTM runs before its stores; the bare convolution has nothing to carry.
    expected = {"dhbv": 2, "conv-local": 0}.get(kind, 1)
    assert sum(node.op_type == "Scan" for node in model.graph.node) == expected
    onnx.checker.check_model(model, full_check=True)
