"""The exported graphs against JAX, against each other, and against physics."""

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose

from models import ROWS, ensemble, jax_results, onnx_results, session, weights
from nilometer_exporter.onnx_export import to_onnx
from nilometer_exporter.package import build_graph, golden


@pytest.mark.parametrize("graph", ["step", "rollout"])
def test_export_is_exact_in_float64(kind, graph):
    state, forcing = ensemble(kind, 30)
    case = (weights(kind), state, forcing[0] if graph == "step" else forcing)
    for exported, expected in zip(onnx_results(kind, graph, *case), jax_results(kind, graph, *case), strict=True):
        assert_allclose(exported, expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("graph", ["step", "rollout"])
def test_float32_graph_reproduces_golden(kind, graph):
    """Relative to the largest value: a store of 250 mm has a float32 spacing of 1.5e-5 mm."""
    values = weights(kind, np.float32)
    expected = golden(kind, values, ROWS[kind])
    inputs = values, expected[f"{graph}.state"], expected[f"{graph}.forcing"]
    names = [output.name for output in build_graph(kind, graph, values, ROWS[kind], np.float32).graph.output]
    for name, value in zip(names, onnx_results(kind, graph, *inputs), strict=True):
        reference = expected[f"{graph}.{name}"]
        assert_allclose(value, reference, rtol=1e-5, atol=1e-5 * max(1.0, np.abs(reference).max()))


def test_repeated_step_is_rollout(kind):
    values, (state, forcing) = weights(kind, np.float32), ensemble(kind, 24, np.float32)
    step = session(build_graph(kind, "step", values, ROWS[kind], np.float32).SerializeToString())
    flows, current = [], state
    for hour in forcing:
        current, flow, _, _ = step.run(None, values | {"state": current, "forcing": hour})
        flows.append(flow)
    rolled, last = onnx_results(kind, "rollout", values, state, forcing)
    assert_allclose(np.stack(flows), rolled, rtol=1e-5, atol=1e-5)
    assert_allclose(current, last, rtol=1e-5, atol=1e-5)


def test_one_hour_rollout_is_step(kind):
    values, (state, forcing) = weights(kind), ensemble(kind, 1)
    state_next, flow, _, _ = jax_results(kind, "step", values, state, forcing[0])
    rolled, last = onnx_results(kind, "rollout", values, state, forcing)
    assert_allclose(rolled[0], flow, atol=1e-9)
    assert_allclose(last, state_next, atol=1e-9)


def test_water_balance_closes(kind):
    state, forcing = ensemble(kind, 1)
    state_next, _, evapotranspiration, outflow = onnx_results(kind, "step", weights(kind), state, forcing[0])
    assert_allclose(state_next[0] - state[0], forcing[0, 0] - evapotranspiration - outflow, atol=1e-12)


def test_discharge_of_the_physical_model_is_the_next_outflow():
    state, forcing = ensemble("physical", 2)
    state_next, flow, _, _ = onnx_results("physical", "step", weights("physical"), state, forcing[0])
    assert_allclose(onnx_results("physical", "step", weights("physical"), state_next, forcing[1])[3], flow, atol=1e-12)


def test_more_rain_never_gives_less_discharge_in_total(kind):
    values, (state, forcing) = weights(kind), ensemble(kind, 48, members=8)
    forcing[:, 0] = forcing[:, 0, :, 4:5] * np.linspace(0, 5, 8)
    flow, _ = onnx_results(kind, "rollout", values, state[:, :, :1] * np.ones(8), forcing)
    assert (flow >= 0).all()
    assert (np.diff(flow.sum(axis=0), axis=-1) >= 0).all()


def test_weights_are_inputs_and_sizes_are_free(kind):
    values = weights(kind, np.float32)
    model = build_graph(kind, "rollout", values, ROWS[kind], np.float32)
    assert [i.name for i in model.graph.input] == [*values, "state", "forcing"]
    assert all(np.prod(constant.dims) <= 8 for constant in model.graph.initializer)
    assert model.ir_version <= 10 and model.opset_import[0].version == 18
    assert all(node.domain == "" for node in model.graph.node)
    forcing = next(i for i in model.graph.input if i.name == "forcing")
    assert [d.dim_param or d.dim_value for d in forcing.type.tensor_type.shape.dim] == ["T", 2, "C", "M"]
    replicated = {name: value[[0, 0, 2, 1, 1]] for name, value in values.items()}
    state, forcing = ensemble(kind, 5, np.float32)
    five = replicated, state[:, [0, 0, 2, 1, 1]], forcing[:, :, [0, 0, 2, 1, 1]]
    small, large = (onnx_results(kind, "rollout", *case)[0] for case in ((values, state, forcing), five))
    assert_allclose(large, small[:, [0, 0, 2, 1, 1]], rtol=1e-5, atol=1e-6)


def test_unknown_primitive_is_named():
    with pytest.raises(NotImplementedError, match="'erf'"):
        to_onnx(lambda x: (jax.scipy.special.erf(x),), {"x": jax.ShapeDtypeStruct((2,), jnp.float32)}, ["y"], "graph")


def test_scan_is_kept_as_scan(kind):
    model = build_graph(kind, "rollout", weights(kind, np.float32), ROWS[kind], np.float32)
    assert sum(node.op_type == "Scan" for node in model.graph.node) == 1
    onnx.checker.check_model(model, full_check=True)
