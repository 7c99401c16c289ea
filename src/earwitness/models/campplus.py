"""The CAM++ speaker encoder as an ONNX graph, built straight from its weights.

Wang, Zheng, Chen, Cheng, Chen: "CAM++: A Fast and Efficient Network for Speaker Verification Using Context-Aware
Masking", Interspeech 2023. Input `features`: (batch, frames, 80) log-mel minus its mean over time. Rows of a batch must
be equally long: there is no mask, so padding would change the result.

Output `embedding`: (batch, 192), of all frames. Output `windows`: (batch, 192, count), the embedding of each window of
WINDOW_CHUNKS chunks of half a second, a new window every chunk: the last layers applied to the frames of that window.
It costs next to nothing, because the layers before the pooling are most of the work and run once. The last windows
reach beyond the end and are shorter.

There is no ReLU after the last batch norm: 3D-Speaker's network, which the weights were trained in, has none.
"""

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from earwitness.models.catalogue import WINDOW_CHUNKS
from earwitness.models.weights import Tensor, read_state_dict

_BATCH_NORM_EPSILON = 1e-5
_SHARED_CONSTANT_SIZE_MAX = 16

Value = str
"""The name of a value in the graph."""

_DENSE_BLOCKS = ((12, 1), (24, 2), (16, 2))
"""(layers, dilation) of the three densely connected blocks."""

_CONTEXT_FRAMES = 100
"""Length of the segments over which the context-aware mask averages."""

_HEAD_CHANNELS = 320
"""32 channels times the 10 frequency bands left after a stride of 8."""

_CHUNK_FRAMES = 25
"""Half a second at the 50 frames a second that the network pools over."""

_VARIANCE_MIN = 1e-10
"""Rounding must not make the variance of a window negative."""

# `Any`: attributes of an operator, here and below; they are ints, lists or strings.
_SQUARE: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}


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
        """Add a constant; small ones are stored once."""
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
        """Add a one-dimensional int64 constant."""
        return self.constant(np.array(values, np.int64))

    def relu(self, value: Value) -> Value:
        return self.node("Relu", value)

    # `Any`: see node.
    def convolution(
        self, value: Value, layer: str, *, norm: str | None = None, output: Value | None = None, **attributes: Any
    ) -> Value:
        """Add a convolution, with the batch norm that follows it folded into its weights; a layer is stored once."""
        if (layer, norm) not in self._folded:
            self._folded[layer, norm] = self._fold(layer, norm)
        return self.node("Conv", value, *self._folded[layer, norm], output=output, **attributes)

    def _fold(self, layer: str, norm: str | None) -> list[Value]:
        """Return the weight and, where there is one, the bias."""
        weight: Tensor = self._weights[layer + ".weight"]
        bias: Tensor | None = self._weights.get(layer + ".bias")
        if norm is not None:
            scale, shift = self._scale_and_shift(norm)
            weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
            bias = shift if bias is None else bias * scale + shift
        return [self.constant(weight)] + ([] if bias is None else [self.constant(bias)])

    def norm_relu(self, value: Value, layer: str) -> Value:
        """Add a batch norm that no convolution precedes, then ReLU; value has shape (batch, channels, time)."""
        scale, shift = self._scale_and_shift(layer)
        scaled = self.node("Mul", value, self.constant(scale.reshape(1, -1, 1)))
        return self.relu(self.node("Add", scaled, self.constant(shift.reshape(1, -1, 1))))

    def _scale_and_shift(self, layer: str) -> tuple[Tensor, Tensor]:
        mean, variance = self._weights[layer + ".running_mean"], self._weights[layer + ".running_var"]
        weight = self._weights.get(layer + ".weight", np.ones_like(mean))
        bias = self._weights.get(layer + ".bias", np.zeros_like(mean))
        scale = weight.astype(np.float64) / np.sqrt(variance.astype(np.float64) + _BATCH_NORM_EPSILON)
        return scale.astype(np.float32), (bias - mean * scale).astype(np.float32)

    def model(self, *, inputs: dict[Value, list[str | int]], outputs: dict[Value, list[str | int]]) -> onnx.ModelProto:
        """Return the finished, checked model; inputs and outputs are float32 with the shapes given.

        Opset 19 defines AveragePool's short last window.
        """
        described = [
            [helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, shape) for value, shape in side.items()]
            for side in (inputs, outputs)
        ]
        graph = helper.make_graph(self._nodes, "campplus", described[0], described[1], self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
        onnx.checker.check_model(model)  # pyright: ignore[reportUnknownMemberType]  # its stub names os.PathLike bare
        return model


def campplus_onnx(checkpoint: bytes) -> bytes:
    """Return the ONNX file of a CAM++ checkpoint (zip of PyTorch tensors)."""
    weights = read_state_dict(checkpoint)
    graph = GraphBuilder(weights)
    value = _convolutional_head(graph)
    norm = "xvector.tdnn.nonlinear.batchnorm"
    tdnn: dict[str, Any] = {"kernel_shape": [5], "strides": [2], "pads": [2, 2]}
    value = graph.relu(graph.convolution(value, "xvector.tdnn.linear", norm=norm, **tdnn))
    frames = graph.node("Gather", graph.node("Shape", value), graph.constant(np.int64(2)), axis=0)
    segment_of_frame = _segment_of_frame(graph, frames)
    for number, (layers, dilation) in enumerate(_DENSE_BLOCKS, start=1):
        for layer in range(1, layers + 1):
            name = f"xvector.block{number}.tdnnd{layer}"
            value = _dense_layer(graph, value, name, dilation=dilation, segment_of_frame=segment_of_frame)
        name = f"xvector.transit{number}"
        value = graph.convolution(
            graph.norm_relu(value, name + ".nonlinear.batchnorm"), name + ".linear", kernel_shape=[1]
        )
    value = graph.norm_relu(value, "xvector.out_nonlinear.batchnorm")
    norm = "xvector.dense.nonlinear.batchnorm"
    last: dict[str, Any] = {"layer": "xvector.dense.linear", "norm": norm, "kernel_shape": [1]}
    whole = graph.convolution(_statistics(graph, value, frames), **last)
    graph.node("Squeeze", whole, graph.integers(2), output="embedding")
    graph.convolution(_window_statistics(graph, value), output="windows", **last)
    dimension = int(weights["xvector.dense.linear.weight"].shape[0])
    model = graph.model(
        inputs={"features": ["batch", "frames", 80]},
        outputs={"embedding": ["batch", dimension], "windows": ["batch", dimension, "windows"]},
    )
    return model.SerializeToString()


def _convolutional_head(graph: GraphBuilder) -> Value:
    """(batch, frames, 80) → (batch, 320, frames): two residual stages over time and frequency."""
    value = graph.node("Transpose", "features", perm=[0, 2, 1])
    value = graph.node("Unsqueeze", value, graph.integers(1))
    value = graph.relu(graph.convolution(value, "head.conv1", norm="head.bn1", **_SQUARE))
    for stage in (1, 2):
        for block in (0, 1):
            value = _residual_block(graph, value, f"head.layer{stage}.{block}", halve=block == 0)
    value = graph.relu(graph.convolution(value, "head.conv2", norm="head.bn2", strides=[2, 1], **_SQUARE))
    return graph.node("Reshape", value, graph.integers(0, _HEAD_CHANNELS, -1))


def _residual_block(graph: GraphBuilder, value: Value, name: str, *, halve: bool) -> Value:
    """Two 3x3 convolutions and a shortcut; `halve` strides over frequency."""
    strides = [2, 1] if halve else [1, 1]
    inner = graph.convolution(value, name + ".conv1", norm=name + ".bn1", strides=strides, **_SQUARE)
    inner = graph.convolution(graph.relu(inner), name + ".conv2", norm=name + ".bn2", **_SQUARE)
    if halve:
        shortcut = name + ".shortcut"
        value = graph.convolution(value, shortcut + ".0", norm=shortcut + ".1", kernel_shape=[1, 1], strides=strides)
    return graph.relu(graph.node("Add", inner, value))


def _segment_of_frame(graph: GraphBuilder, frames: Value) -> Value:
    """For each frame the number of its context segment: 0 for the first hundred, then 1, …"""
    index = graph.node("Range", graph.constant(np.int64(0)), frames, graph.constant(np.int64(1)))
    return graph.node("Div", index, graph.constant(np.int64(_CONTEXT_FRAMES)))


def _dense_layer(graph: GraphBuilder, value: Value, name: str, *, dilation: int, segment_of_frame: Value) -> Value:
    """Bottleneck, masked local convolution, and its output joined to its input.

    The mask has one value per context segment, so it is computed once per segment and then spread over frames.
    """
    inner = graph.norm_relu(value, name + ".nonlinear1.batchnorm")
    norm = name + ".nonlinear2.batchnorm"
    inner = graph.relu(graph.convolution(inner, name + ".linear1", norm=norm, kernel_shape=[1]))
    cam = name + ".cam_layer"
    local = graph.convolution(
        inner, cam + ".linear_local", kernel_shape=[3], pads=[dilation, dilation], dilations=[dilation]
    )
    everywhere = graph.node("ReduceMean", inner, graph.integers(2), keepdims=1)
    nearby = graph.node(
        "AveragePool",
        inner,
        kernel_shape=[_CONTEXT_FRAMES],
        strides=[_CONTEXT_FRAMES],
        ceil_mode=1,
        count_include_pad=0,
    )
    context = graph.node("Add", everywhere, nearby)
    context = graph.relu(graph.convolution(context, cam + ".linear1", kernel_shape=[1]))
    mask = graph.node("Sigmoid", graph.convolution(context, cam + ".linear2", kernel_shape=[1]))
    masked = graph.node("Mul", local, graph.node("Gather", mask, segment_of_frame, axis=2))
    return graph.node("Concat", value, masked, axis=1)


def _statistics(graph: GraphBuilder, value: Value, frames: Value) -> Value:
    """Mean and unbiased standard deviation over time, one after the other."""
    mean = graph.node("ReduceMean", value, graph.integers(2), keepdims=1)
    deviation = graph.node("Sub", value, mean)
    squares = graph.node("Mul", deviation, deviation)
    total = graph.node("ReduceSum", squares, graph.integers(2), keepdims=1)
    freedom = graph.node("Sub", frames, graph.constant(np.int64(1)))
    variance = graph.node("Div", total, graph.node("Cast", freedom, to=1))
    return graph.node("Concat", mean, graph.node("Sqrt", variance), axis=1)


def _window_statistics(graph: GraphBuilder, value: Value) -> Value:
    """The same statistics of every window, (batch, 1024, windows), from the means of chunks.

    Windows of fewer frames, at the end, are corrected for their freedom as if they were whole.
    """
    chunk: dict[str, Any] = {"kernel_shape": [_CHUNK_FRAMES], "strides": [_CHUNK_FRAMES], "ceil_mode": 1}
    window: dict[str, Any] = {"kernel_shape": [WINDOW_CHUNKS], "pads": [0, WINDOW_CHUNKS - 1]}
    mean, square = (
        _average(graph, _average(graph, each, **chunk), **window) for each in (value, graph.node("Mul", value, value))
    )
    spread = graph.node("Sub", square, graph.node("Mul", mean, mean))
    frames = _CHUNK_FRAMES * WINDOW_CHUNKS
    variance = graph.node("Mul", spread, graph.constant(np.float32(frames / (frames - 1))))
    variance = graph.node("Max", variance, graph.constant(np.float32(_VARIANCE_MIN)))
    return graph.node("Concat", mean, graph.node("Sqrt", variance), axis=1)


# `Any`: see _SQUARE.
def _average(graph: GraphBuilder, value: Value, **attributes: Any) -> Value:
    """The mean over time of what is there: at the end a pool may have less to average."""
    return graph.node("AveragePool", value, count_include_pad=0, **attributes)
