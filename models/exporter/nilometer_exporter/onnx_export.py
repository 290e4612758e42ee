"""JAX function -> plain ONNX graph, by way of its jaxpr.

Every primitive becomes standard ONNX operators, ``lax.scan`` becomes ``Scan``, symbolic dimensions stay symbolic. Only the
primitives that the models use are known; any other is refused by name.

    function --make_jaxpr--> jaxpr --Converter--> nodes --prune--> onnx.ModelProto

Two rules keep graphs lean: a broadcast is not made until an operator needs it (ONNX element-wise operators broadcast by
themselves), and equal nodes of a graph are made once.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import onnx
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
IR_VERSION = 9

_TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "bool": TensorProto.BOOL}
_TYPES |= {"int32": TensorProto.INT64, "int64": TensorProto.INT64}  # ONNX indexes with int64
_UNARY = {"neg": "Neg", "abs": "Abs", "sqrt": "Sqrt", "exp": "Exp", "log": "Log", "tanh": "Tanh", "logistic": "Sigmoid"}
_UNARY |= {"stop_gradient": "Identity", "copy": "Identity"}
_BINARY = {"add": "Add", "add_any": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max", "min": "Min"}
_BINARY |= {"lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual", "eq": "Equal"}
_CALLS = ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat2")
# Jitted functions that are one ONNX operator, in float32 (ONNX Runtime has no float64 kernel for them).
FUSED = {"elu": "Elu"}
_TO_END = np.iinfo(np.int64).max

Dimension = Any  # an int, or a symbolic dimension of jax.export
Shape = tuple[Dimension, ...]


@dataclass(frozen=True)
class Tensor:
    """A value of the graph: ``stored`` is its shape in ONNX, broadcastable to ``shape``, its shape in JAX."""

    name: str
    shape: Shape
    dtype: str
    stored: Shape


class _Graph:
    """Nodes and constants of one (sub)graph; equal nodes share their outputs."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.made: dict[Any, Any] = {}


def to_onnx(
    function: Callable[..., tuple[jax.Array, ...]],
    inputs: dict[str, jax.ShapeDtypeStruct],
    outputs: Sequence[str],
    name: str,
) -> onnx.ModelProto:
    """Exports ``function``, called with ``inputs`` in order; it returns one array for each name in ``outputs``.

    Raises ``NotImplementedError`` naming the primitive that has no ONNX form here.
    """
    closed = jax.make_jaxpr(function)(*inputs.values())
    converter = _Converter()
    results = converter.run_main(closed, inputs)
    graph = converter.graph
    for tensor, output in zip(results, outputs, strict=True):
        graph.nodes.append(helper.make_node("Identity", [converter.whole(tensor)], [output]))
    nodes = _live(graph.nodes, set(outputs))
    used = {i for node in nodes for i in _reads(node)}
    proto = helper.make_graph(
        nodes,
        name,
        [_value_info(n, spec) for n, spec in inputs.items()],
        [_value_info(n, variable.aval) for n, variable in zip(outputs, closed.jaxpr.outvars)],
        initializer=[c for c in graph.constants if c.name in used],
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(proto, opset_imports=opset, ir_version=IR_VERSION, producer_name="nilometer_exporter")
    onnx.checker.check_model(model, full_check=True)
    return model


class _Converter:
    def __init__(self) -> None:
        self.stack = [_Graph()]
        self.count = 0
        self.dimensions: dict[str, str] = {}

    # -- nodes and constants ------------------------------------------------------------------------------------------

    @property
    def graph(self) -> _Graph:
        return self.stack[-1]

    def new_name(self, stem: str) -> str:
        self.count += 1
        return f"{stem}_{self.count}"

    def node(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        key = (operator, tuple(inputs), repr(sorted(attributes.items())))
        if key not in self.graph.made:
            output = self.new_name(operator.lower())
            self.graph.nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
            self.graph.made[key] = output
        return self.graph.made[key]

    def constant(self, value: Any) -> str:
        array = np.asarray(value)
        if array.dtype.kind in "iu":
            array = array.astype(np.int64)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.graph.made:
            self.graph.made[key] = self.new_name("constant")
            self.graph.constants.append(numpy_helper.from_array(array, self.graph.made[key]))
        return self.graph.made[key]

    def literal(self, value: Any, dtype: Any) -> Tensor:
        array = np.asarray(value, dtype=dtype)
        if array.size > 1 and (array == array.flat[0]).all():
            return Tensor(self.constant(array.flat[0]), array.shape, str(array.dtype), ())
        return Tensor(self.constant(array), array.shape, str(array.dtype), array.shape)

    # -- shapes -------------------------------------------------------------------------------------------------------

    def dimension(self, size: Dimension) -> str:
        """Name of an int64 ``[1]`` tensor that holds ``size``; sums and products of graph dimensions are computed."""
        return self.constant([size]) if _static(size) else self._evaluate(ast.parse(str(size), mode="eval").body)

    def _evaluate(self, term: ast.expr) -> str:
        match term:
            case ast.Constant(value=int(number)):
                return self.constant([number])
            case ast.Name(id=name):
                return self.dimensions[name]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self.node("Neg", [self._evaluate(operand)])
            case ast.BinOp(left=left, op=operation, right=right):
                operator = {ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul"}[type(operation)]
                return self.node(operator, [self._evaluate(left), self._evaluate(right)])
        raise NotImplementedError(f"dimension {ast.unparse(term)}: only sums and products are supported")

    def dimension_list(self, sizes: Sequence[Dimension]) -> str:
        if all(map(_static, sizes)):
            return self.constant(np.array(sizes, np.int64).reshape(-1))
        return self.node("Concat", [self.dimension(size) for size in sizes], axis=0)

    def reshape(self, name: str, shape: Shape) -> str:
        if sum(not _static(size) for size in shape) <= 1:
            return self.node("Reshape", [name, self.constant([size if _static(size) else -1 for size in shape])])
        return self.node("Reshape", [name, self.dimension_list(shape)])

    def whole(self, tensor: Tensor) -> str:
        """Name of ``tensor`` with its broadcast made."""
        if tensor.stored == tensor.shape:
            return tensor.name
        return self.node("Expand", [tensor.name, self.dimension_list(tensor.shape)])

    # -- jaxprs -------------------------------------------------------------------------------------------------------

    def run_main(self, closed: ClosedJaxpr, inputs: dict[str, jax.ShapeDtypeStruct]) -> list[Tensor]:
        arguments = []
        for name, spec in inputs.items():
            for axis, size in enumerate(spec.shape):
                if not _static(size) and str(size) not in self.dimensions:
                    self.dimensions[str(size)] = self.node("Shape", [name], start=axis, end=axis + 1)
            arguments.append(Tensor(name, tuple(spec.shape), str(spec.dtype), tuple(spec.shape)))
        return self.run(closed.jaxpr, closed.consts, arguments)

    def run(self, jaxpr: Jaxpr, constants: Sequence[Any], arguments: Sequence[Tensor]) -> list[Tensor]:
        values: dict[Any, Tensor] = dict(zip(jaxpr.invars, arguments, strict=True))
        values |= {variable: self.literal(c, c.dtype) for variable, c in zip(jaxpr.constvars, constants, strict=True)}

        def read(variable: Any) -> Tensor:
            return self.literal(variable.val, variable.aval.dtype) if isinstance(variable, Literal) else values[variable]

        for equation in jaxpr.eqns:
            results = self.equation(equation, [read(v) for v in equation.invars])
            values |= dict(zip(equation.outvars, results, strict=True))
        return [read(variable) for variable in jaxpr.outvars]

    def equation(self, equation: Any, inputs: list[Tensor]) -> list[Tensor]:
        primitive, params = equation.primitive.name, equation.params
        if primitive == "scan":
            return self.scan(equation, inputs)
        if primitive in _CALLS:
            return self.call(equation, inputs)
        if primitive == "split":
            return self.split(equation, inputs)
        result = equation.outvars[0].aval
        shape, dtype = tuple(result.shape), str(result.dtype)

        if primitive in _UNARY:
            return [Tensor(self.node(_UNARY[primitive], [inputs[0].name]), shape, dtype, inputs[0].stored)]
        if primitive in _BINARY:
            return [self.elementwise(_BINARY[primitive], inputs, shape, dtype)]
        if primitive == "square" or primitive == "integer_pow" and params["y"] == 2:
            return [self.elementwise("Mul", inputs * 2, shape, dtype)]
        if primitive == "integer_pow":
            power = self.literal(params["y"], dtype)
            return [self.elementwise("Pow", [inputs[0], power], shape, dtype)]
        if primitive == "dim_as_value":
            size = self.node("Squeeze", [self.dimension(params["dim"])])
            return [Tensor(size, (), dtype, ())]
        if primitive == "select_n":
            condition, otherwise, chosen = inputs
            return [self.elementwise("Where", [condition, chosen, otherwise], shape, dtype)]
        if primitive == "broadcast_in_dim":
            return [self.broadcast(inputs[0], params["broadcast_dimensions"], shape, dtype)]
        if primitive == "convert_element_type":
            same = _TYPES[dtype] == _TYPES[inputs[0].dtype]
            name = inputs[0].name if same else self.node("Cast", [inputs[0].name], to=_TYPES[dtype])
            return [Tensor(name, shape, dtype, inputs[0].stored)]
        if primitive == "iota":
            return [self.iota(params["dimension"], shape, dtype)]
        convert = getattr(self, f"_{primitive}", None)
        if convert is None:
            raise NotImplementedError(f"primitive {primitive!r} of {equation} has no ONNX form in this exporter")
        return [Tensor(convert(inputs, shape, params), shape, dtype, shape)]

    def call(self, equation: Any, inputs: list[Tensor]) -> list[Tensor]:
        operator = FUSED.get(equation.params.get("name", ""))
        # Their derivatives go by the same name, with more that comes in or out.
        if operator and len(inputs) == len(equation.outvars) == 1 and inputs[0].dtype == "float32":
            return [Tensor(self.node(operator, [inputs[0].name]), inputs[0].shape, inputs[0].dtype, inputs[0].stored)]
        inner = equation.params.get("jaxpr") or equation.params["call_jaxpr"]
        inner, constants = (inner.jaxpr, inner.consts) if isinstance(inner, ClosedJaxpr) else (inner, ())
        return self.run(inner, constants, inputs)

    def split(self, equation: Any, inputs: list[Tensor]) -> list[Tensor]:
        outputs = [self.new_name("split") for _ in equation.outvars]
        sizes = self.dimension_list(equation.params["sizes"])
        node = helper.make_node("Split", [self.whole(inputs[0]), sizes], outputs, name=outputs[0], axis=equation.params["axis"])
        self.graph.nodes.append(node)
        shapes = [tuple(variable.aval.shape) for variable in equation.outvars]
        return [Tensor(name, shape, inputs[0].dtype, shape) for name, shape in zip(outputs, shapes)]

    def elementwise(self, operator: str, inputs: list[Tensor], shape: Shape, dtype: str) -> Tensor:
        rank = max(len(t.stored) for t in inputs)
        padded = [(1,) * (rank - len(t.stored)) + t.stored for t in inputs]
        stored = tuple(next((s for s in sizes if not _is_one(s)), 1) for sizes in zip(*padded))
        return Tensor(self.node(operator, [t.name for t in inputs]), shape, dtype, stored)

    def broadcast(self, tensor: Tensor, axes: Sequence[int], shape: Shape, dtype: str) -> Tensor:
        """Places the axes of ``tensor`` at ``axes`` of ``shape`` with ones between; ONNX broadcasts the rest when it must."""
        if not tensor.stored:
            return Tensor(tensor.name, shape, dtype, ())
        source = (1,) * (len(tensor.shape) - len(tensor.stored)) + tensor.stored
        first = min(axes)
        stored = [1] * (len(shape) - first)
        for size, axis in zip(source, axes):
            stored[axis - first] = size
        between = [i for i in range(len(stored)) if i + first not in axes]
        name = tensor.name if len(tensor.stored) == len(tensor.shape) else self.reshape(tensor.name, source)
        if between:
            name = self.node("Unsqueeze", [name, self.constant(between)])
        return Tensor(name, shape, dtype, tuple(stored))

    def iota(self, axis: int, shape: Shape, dtype: str) -> Tensor:
        stored = (shape[axis], *[1] * (len(shape) - axis - 1))
        limit = self.node("Squeeze", [self.dimension(shape[axis])])
        name = self.reshape(self.node("Range", [self.constant(0), limit, self.constant(1)]), stored)
        name = name if _TYPES[dtype] == TensorProto.INT64 else self.node("Cast", [name], to=_TYPES[dtype])
        return Tensor(name, shape, dtype, stored)

    # -- one method for each primitive that moves data: name of the result ---------------------------------------------

    def _reshape(self, inputs: list[Tensor], shape: Shape, params: dict[str, Any]) -> str:
        return self.reshape(self.whole(inputs[0]), shape)

    def _squeeze(self, inputs: list[Tensor], shape: Shape, params: dict[str, Any]) -> str:
        return self.node("Squeeze", [self.whole(inputs[0]), self.constant(list(params["dimensions"]))])

    def _transpose(self, inputs: list[Tensor], shape: Shape, params: dict[str, Any]) -> str:
        return self.node("Transpose", [self.whole(inputs[0])], perm=list(params["permutation"]))

    def _concatenate(self, inputs: list[Tensor], shape: Shape, params: dict[str, Any]) -> str:
        return self.node("Concat", [self.whole(t) for t in inputs], axis=params["dimension"])

    def _pad(self, inputs: list[Tensor], shape: Shape, params: dict[str, Any]) -> str:
        source, value = inputs
        low, high, inner = zip(*params["padding_config"])
        if any(inner) or any(_static(size) and size < 0 for size in (*low, *high)):
            raise NotImplementedError("primitive 'pad' has an ONNX form here only around an array")
        return self.node("Pad", [self.whole(source), self.dimension_list([*low, *high]), value.name])

    def _reduce_sum(self, inputs: list[Tensor], shape: Shape, params: dict[str, Any]) -> str:
        return self.node("ReduceSum", [self.whole(inputs[0]), self.constant(list(params["axes"]))], keepdims=0)

    def _slice(self, inputs: list[Tensor], shape: Shape, params: dict[str, Any]) -> str:
        if any(stride != 1 for stride in params["strides"] or ()):
            raise NotImplementedError("primitive 'slice' with strides has no ONNX form in this exporter")
        source = inputs[0].shape
        starts, limits = params["start_indices"], params["limit_indices"]
        cut = [i for i in range(len(shape)) if not (_is(starts[i], 0) and _is(limits[i], source[i]))]
        if not cut:
            return self.whole(inputs[0])
        bounds = [
            self.dimension_list([starts[i] for i in cut]),
            self.dimension_list([_TO_END if _is(limits[i], source[i]) else limits[i] for i in cut]),
        ]
        return self.node("Slice", [self.whole(inputs[0]), *bounds, self.constant(cut)])

    def _gather(self, inputs: list[Tensor], shape: Shape, params: dict[str, Any]) -> str:
        """Whole slices along one axis, the indices' axes in its place."""
        source, indices = inputs
        numbers, rank = params["dimension_numbers"], len(indices.shape) - 1
        axis = numbers.start_index_map[0]
        others = [i if i < axis else i + rank - 1 for i in range(len(source.shape)) if i != axis]
        whole = all(_is(size, 1 if i == axis else source.shape[i]) for i, size in enumerate(params["slice_sizes"]))
        if numbers.collapsed_slice_dims != (axis,) or list(numbers.offset_dims) != others or not whole:
            raise NotImplementedError("primitive 'gather' has an ONNX form here only for whole slices along one axis")
        positions = self.node("Squeeze", [self.whole(indices), self.constant([rank])])
        return self.node("Gather", [source.name, positions], axis=axis)

    def _dot_general(self, inputs: list[Tensor], shape: Shape, params: dict[str, Any]) -> str:
        """Batched matrix product: free axes are flattened around the contracted ones, then restored."""
        (left_contract, right_contract), (left_batch, right_batch) = params["dimension_numbers"]
        left, right = inputs
        left_free = [i for i in range(len(left.shape)) if i not in (*left_contract, *left_batch)]
        right_free = [i for i in range(len(right.shape)) if i not in (*right_contract, *right_batch)]
        a = self._matrix(left, left_batch, left_free, left_contract)
        b = self._matrix(right, right_batch, right_contract, right_free)
        product = self.node("MatMul", [a, b])
        plain = len(left_free) == len(right_free) == 1
        return product if plain else self.reshape(product, shape)

    def _matrix(self, tensor: Tensor, batch: Sequence[int], rows: Sequence[int], columns: Sequence[int]) -> str:
        order = [*batch, *rows, *columns]
        name = self.whole(tensor)
        if order != sorted(order):
            name = self.node("Transpose", [name], perm=order)
        if len(rows) == len(columns) == 1:
            return name
        sizes = [tensor.shape[i] for i in batch]
        sizes += [math.prod(tensor.shape[i] for i in rows), math.prod(tensor.shape[i] for i in columns)]
        return self.reshape(name, tuple(sizes))

    # -- scan ---------------------------------------------------------------------------------------------------------

    def scan(self, equation: Any, inputs: list[Tensor]) -> list[Tensor]:
        params = equation.params
        inner = params["jaxpr"]
        carried_from, scanned_from = params["num_consts"], params["num_consts"] + params["num_carry"]
        if scanned_from == len(inputs):
            raise NotImplementedError("primitive 'scan' without sequences has no ONNX form in this exporter")
        outer = [self.whole(t) for t in inputs[carried_from:]]
        arguments = inputs[:carried_from]
        arguments += [
            Tensor(self.new_name("scan_input"), tuple(v.aval.shape), str(v.aval.dtype), tuple(v.aval.shape))
            for v in inner.jaxpr.invars[carried_from:]
        ]
        self.stack.append(_Graph())
        results = [self._scan_output(self.whole(t)) for t in self.run(inner.jaxpr, inner.consts, arguments)]
        nodes = _live(self.graph.nodes, set(results))
        used = {i for node in nodes for i in _reads(node)}
        body = helper.make_graph(
            nodes,
            self.new_name("scan_body"),
            [_value_info(t.name, t) for t in arguments[carried_from:]],
            [_value_info(n, v.aval) for n, v in zip(results, inner.jaxpr.outvars)],
            initializer=[c for c in self.graph.constants if c.name in used],
        )
        self.stack.pop()
        outputs = [self.new_name("scan") for _ in results]
        count = len(inputs) - scanned_from
        # A scan in reverse, as every derivative of one is, reads and writes its sequences from their ends.
        sequences = {"scan_input_directions": count, "scan_output_directions": len(results) - params["num_carry"]}
        backwards = {name: [1] * number for name, number in sequences.items() if params["reverse"] and number}
        node = helper.make_node("Scan", outer, outputs, name=outputs[0], body=body, num_scan_inputs=count, **backwards)
        self.graph.nodes.append(node)
        return [
            Tensor(name, tuple(v.aval.shape), str(v.aval.dtype), tuple(v.aval.shape))
            for name, v in zip(outputs, equation.outvars)
        ]

    def _scan_output(self, value: str) -> str:
        """A fresh name: a Scan body may not return an input, an outer value or one value twice."""
        name = self.new_name("scan_output")
        self.graph.nodes.append(helper.make_node("Identity", [value], [name], name=name))
        return name


def _static(size: Dimension) -> bool:
    return isinstance(size, (int, np.integer))


def _is(a: Dimension, b: Dimension) -> bool:
    return str(a) == str(b)


def _is_one(size: Dimension) -> bool:
    return _static(size) and size == 1


def _value_info(name: str, spec: Any) -> onnx.ValueInfoProto:
    sizes = [int(size) if _static(size) else str(size) for size in spec.shape]
    return helper.make_tensor_value_info(name, _TYPES[str(spec.dtype)], sizes)


def _reads(node: onnx.NodeProto) -> set[str]:
    """Names that ``node`` reads, those of its subgraphs included."""
    names = set(node.input)
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            for inner in attribute.g.node:
                names |= _reads(inner)
    return names


def _live(nodes: Sequence[onnx.NodeProto], wanted: set[str]) -> list[onnx.NodeProto]:
    """The nodes that ``wanted`` depends on, in order."""
    kept = []
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= _reads(node)
    return kept[::-1]
