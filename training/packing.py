"""Rewrites the quantised parts of Dense V-Net so that the integer kernels compute less that is thrown away.

Integer convolution kernels make 16 output channels at a time and take 4 input channels at a time: a layer of growth 4
throws three quarters of its work away, and the entry convolution, with one input channel, as much again. With the
channel last, [x, 4] and [x/4, 16] are the same bytes. So `widen` lets a layer of growth 4 make four neighbours along x
as 16 channels, by one kernel that is 6 wide and steps by 4 (twice the taps for a quarter of the positions: half the
work), and one of growth 8 two neighbours (two thirds). `widen_entry` reads four neighbours as 4 channels and makes two
as 48, and turns the average pooling, slow for one channel, into sums by the same kind of convolution. Every product of
non-zero weights stays, integer sums do not depend on their order, so the results are the same to the bit but for the
pooled channel's float rounding. x must be a multiple of 8.

The dense stacks are concatenated with the channel last, where these reshapes cost nothing: OpenVINO would else move
whole tensors between layouts around each layer.
"""

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset15 as ops

LANES = 16  # output channels that an integer kernel makes at a time
BLOCK = 4  # neighbours along x read as channels by the entry convolution
CHANNEL_LAST, CHANNEL_FIRST = np.array([0, 2, 3, 4, 1]), np.array([0, 4, 1, 2, 3])


def pack(model: ov.Model) -> ov.Model:
    """Rewrite one part in place; what there is nothing to gain from stays as it is."""
    _move_transposes_behind_quantisation(model)
    widened = [widen(node) for node in model.get_ordered_ops() if node.get_type_name() == "Convolution"]
    widen_entry(model)
    stacks = {name for name in widened if name is not None}
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Concat" and any(f"{stack}/" in node.get_friendly_name() for stack in stacks):
            _concatenate_channel_last(node)
    model.validate_nodes_and_infer_types()
    return model


def widen_kernel(kernel: NDArray[np.int8], neighbours: int) -> NDArray[np.int8]:
    """Kernel [o, i, 3, 3, 3] -> [neighbours * o, i, 3, 3, neighbours + 2] for a step of `neighbours` along x."""
    outputs, inputs = kernel.shape[:2]
    wide = np.zeros((neighbours, outputs, inputs, 3, 3, neighbours + 2), np.int8)
    for place in range(neighbours):
        wide[place, ..., place : place + 3] = kernel
    return wide.reshape(neighbours * outputs, inputs, 3, 3, neighbours + 2)


def block_kernel(kernel: NDArray[np.int8]) -> NDArray[np.int8]:
    """Stride-2 kernel [o, 1, k, k, k], k odd -> [2 * o, BLOCK, k, k, 3] over blocks of BLOCK inputs and 2 outputs."""
    outputs, _, side = kernel.shape[:3]
    wide = np.zeros((2, outputs, BLOCK, side, side, 3), np.int8)
    for place in range(2):
        for tap in range(side):
            block, channel = divmod(2 * place + tap - side // 2 + BLOCK, BLOCK)
            wide[place, :, channel, :, :, block] = kernel[:, 0, :, :, tap]
    return wide.reshape(2 * outputs, BLOCK, side, side, 3)


def widen(conv: ov.Node) -> str | None:
    """Replace a 3x3x3 layer of few outputs, up to its FakeQuantize; the name of its stack, None where left alone."""
    weights = _weights(conv)
    if weights is None or weights[0].shape[2:] != (3, 3, 3) or LANES % len(weights[0]) or len(weights[0]) == LANES:
        return None
    kernel, scales = weights
    neighbours = LANES // len(kernel)
    new = ops.convolution(
        conv.input_value(0),
        _constant_weights(widen_kernel(kernel, neighbours), np.tile(scales, (neighbours, 1, 1, 1, 1))),
        [1, 1, neighbours], [1, 1, 1], [1, 1, 1], [1, 1, 1],
    )  # fmt: skip
    old = _replace_layer(conv, new, neighbours, len(kernel))
    return old[: old.index(".layers")]


def widen_entry(model: ov.Model) -> None:
    """Let the entry convolution and the pooling read blocks along x; nothing where the part has neither."""
    nodes = {node.get_type_name(): node for node in model.get_ordered_ops()}
    if "AvgPool" not in nodes:
        return
    pool = nodes["AvgPool"]
    quantise = pool.input_value(0).get_node()
    (conv,) = (t.get_node() for t in quantise.output(0).get_target_inputs() if t.get_node() != pool)
    region = model.get_parameters()[0]
    rows = ops.squeeze(region, np.array([0]))  # [1, z, y, x]
    rows = ops.reshape(rows, np.array([0, 0, 0, -1, BLOCK]), True)
    x = ops.transpose(_like(quantise, ops.convert(rows, "f32")), CHANNEL_FIRST)

    kernel, scales = _weights(conv)
    entry = ops.convolution(
        x, _constant_weights(block_kernel(kernel), np.tile(scales, (2, 1, 1, 1, 1))),
        [2, 2, 1], [2, 2, 1], [2, 2, 1], [1, 1, 1],
    )  # fmt: skip
    _replace_layer(conv, entry, 2, len(kernel))

    ones = block_kernel(np.ones((1, 1, 3, 3, 3), np.int8))
    sums = ops.convolution(
        x, _constant_weights(ones, np.full((2, 1, 1, 1, 1), 1 / 27, np.float32)),
        [2, 2, 1], [1, 1, 1], [1, 1, 1], [1, 1, 1],
    )  # fmt: skip
    pooled = ops.reshape(ops.transpose(sums, CHANNEL_LAST), np.array([0, 0, 0, -1, 1]), True)
    for axis in (1, 2, 3):  # the first of each axis has a row of padding, which the average leaves out
        pooled = ops.multiply(pooled, _half_more_at_start(pooled, axis))
    pooled = ops.transpose(pooled, CHANNEL_FIRST)
    for target in list(pool.output(0).get_target_inputs()):
        target.replace_source_output(pooled.output(0))


def _half_more_at_start(x: ov.Node, axis: int) -> ov.Node:
    """1.5 at the start of an axis of x, 1 elsewhere, in a shape to multiply x by."""
    length = ops.gather(ops.shape_of(x, "i32"), np.array([axis], np.int32), np.int32(0))
    rest = ops.subtract(length, np.array([1], np.int32))
    more = ops.pad(np.array([0.5], np.float32), np.array([0], np.int32), rest, "constant", np.float32(0))
    shape = np.array([-1 if i == axis else 1 for i in range(5)])
    return ops.reshape(ops.add(more, np.array([1], np.float32)), shape, False)


def _weights(conv: ov.Node) -> tuple[NDArray[np.int8], NDArray[np.float32]] | None:
    """Integers and scales of a quantised convolution's kernel; None where it is not one."""
    product = conv.input_value(1).get_node()
    if product.get_type_name() != "Multiply":
        return None
    integers = product.input_value(0).get_node().input_value(0).get_node()
    return np.asarray(integers.data), np.asarray(product.input_value(1).get_node().data)


def _constant_weights(kernel: NDArray[np.int8], scales: NDArray[np.float32]) -> ov.Node:
    return ops.multiply(ops.convert(ops.constant(kernel), "f32"), ops.constant(scales.astype(np.float32)))


def _like(quantise: ov.Node, x: ov.Node) -> ov.Node:
    """The same FakeQuantize after another node."""
    return ops.fake_quantize(x, *[quantise.input_value(i) for i in range(1, 5)], quantise.get_levels())


def _only_target(node: ov.Node) -> ov.Node:
    (target,) = node.output(0).get_target_inputs()
    return target.get_node()


def _replace_layer(conv: ov.Node, new: ov.Node, neighbours: int, outputs: int) -> str:
    """Follow `new` by the bias, ReLU and FakeQuantize of `conv`, then undo the packing; the FakeQuantize's name."""
    add = _only_target(conv)
    bias = np.asarray(add.input_value(1).get_node().data)
    new.set_friendly_name(conv.get_friendly_name() + "_packed")
    x, node = ops.add(new, np.tile(bias, (1, neighbours, 1, 1, 1)).astype(np.float32)), _only_target(add)
    if node.get_type_name() == "Relu":
        x, node = ops.relu(x), _only_target(node)
    assert node.get_type_name() == "FakeQuantize", node
    x = ops.transpose(_like(node, x), CHANNEL_LAST)
    x = ops.transpose(ops.reshape(x, np.array([0, 0, 0, -1, outputs]), True), CHANNEL_FIRST)
    for target in list(node.output(0).get_target_inputs()):
        target.replace_source_output(x.output(0))
    return str(node.get_friendly_name())


def _move_transposes_behind_quantisation(model: ov.Model) -> None:
    """Quantise inputs with the channel last as they come, so that a concatenation can take them so."""
    for transpose in model.get_ordered_ops():
        if (
            transpose.get_type_name() != "Transpose"
            or transpose.input_value(0).get_node() not in model.get_parameters()
        ):
            continue
        node = transpose
        while node.get_type_name() != "FakeQuantize":
            node = _only_target(node)
        targets = list(node.output(0).get_target_inputs())
        _only_target(transpose).input(0).replace_source_output(transpose.input_value(0))
        moved = ops.transpose(node, CHANNEL_FIRST)
        for target in targets:
            target.replace_source_output(moved.output(0))


def _concatenate_channel_last(concat: ov.Node) -> None:
    parts = [_channel_last(value.get_node()) for value in concat.input_values()]
    targets = list(concat.output(0).get_target_inputs())
    new = ops.concat(parts, 4)
    new.set_friendly_name(concat.get_friendly_name())
    x = ops.transpose(new, CHANNEL_FIRST)
    for target in targets:
        target.replace_source_output(x.output(0))


def _channel_last(node: ov.Node) -> ov.Node:
    if node.get_type_name() == "Transpose":
        return node.input_value(0).get_node()
    return ops.transpose(node, CHANNEL_LAST)
