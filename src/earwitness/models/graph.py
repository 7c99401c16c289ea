"""A small builder of ONNX graphs from NumPy weights: named values, shared constants, folded batch norms."""

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from earwitness.models.weights import Tensor

_BATCH_NORM_EPSILON = 1e-5
_SHARED_CONSTANT_SIZE_MAX = 16

Value = str
"""The name of a value in the graph."""


class GraphBuilder:
    """Collects nodes and constants; layers are named as in the state dict they come from."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._shared: dict[tuple[str, tuple[int, ...], bytes], Value] = {}
        self._folded: dict[tuple[str, str | None], list[Value]] = {}

    # `Any`: node attributes are ints, lists or strings, as the operator says.
    def node(self, operator: str, *inputs: Value, output: Value | None = None, **attributes: Any) -> Value:
        """Append one operator and return its output."""
        output = output or f"v{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    # `Any`: anything NumPy makes an array of.
    def constant(self, values: Any) -> Value:
        """A constant; small ones are stored once."""
        array = np.asarray(values)
        key = (array.dtype.str, array.shape, array.tobytes()) if array.size < _SHARED_CONSTANT_SIZE_MAX else None
        if key is not None and key in self._shared:
            return self._shared[key]
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        if key is not None:
            self._shared[key] = name
        return name

    def integers(self, *values: int) -> Value:
        """A one-dimensional int64 constant."""
        return self.constant(np.array(values, np.int64))

    def relu(self, value: Value) -> Value:
        return self.node("Relu", value)

    # `Any`: see node.
    def convolution(
        self, value: Value, layer: str, *, norm: str | None = None, output: Value | None = None, **attributes: Any
    ) -> Value:
        """A convolution with the batch norm that follows it folded into its weights; a layer is stored once."""
        if (layer, norm) not in self._folded:
            self._folded[layer, norm] = self._fold(layer, norm)
        return self.node("Conv", value, *self._folded[layer, norm], output=output, **attributes)

    def _fold(self, layer: str, norm: str | None) -> list[Value]:
        """Weight and, where there is one, bias."""
        weight: Tensor = self._weights[layer + ".weight"]
        bias: Tensor | None = self._weights.get(layer + ".bias")
        if norm is not None:
            scale, shift = self._scale_and_shift(norm)
            weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
            bias = shift if bias is None else bias * scale + shift
        return [self.constant(weight)] + ([] if bias is None else [self.constant(bias)])

    def norm_relu(self, value: Value, layer: str) -> Value:
        """A batch norm that no convolution precedes, then ReLU; value has shape (batch, channels, time)."""
        scale, shift = self._scale_and_shift(layer)
        scaled = self.node("Mul", value, self.constant(scale.reshape(1, -1, 1)))
        return self.relu(self.node("Add", scaled, self.constant(shift.reshape(1, -1, 1))))

    def _scale_and_shift(self, layer: str) -> tuple[Tensor, Tensor]:
        mean, variance = self._weights[layer + ".running_mean"], self._weights[layer + ".running_var"]
        weight = self._weights.get(layer + ".weight", np.ones_like(mean))
        bias = self._weights.get(layer + ".bias", np.zeros_like(mean))
        scale = weight.astype(np.float64) / np.sqrt(variance.astype(np.float64) + _BATCH_NORM_EPSILON)
        return scale.astype(np.float32), (bias - mean * scale).astype(np.float32)

    def model(
        self,
        name: str,
        *,
        inputs: dict[Value, list[str | int]],
        outputs: dict[Value, list[str | int]],
        opset: int,
        ir_version: int,
    ) -> onnx.ModelProto:
        """The finished, checked model; inputs and outputs are float32 with the shapes given."""
        described = [
            [helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, shape) for value, shape in side.items()]
            for side in (inputs, outputs)
        ]
        graph = helper.make_graph(self._nodes, name, described[0], described[1], self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
        onnx.checker.check_model(model)  # pyright: ignore[reportUnknownMemberType]  # its stub names os.PathLike bare
        return model
