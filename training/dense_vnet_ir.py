"""Dense V-Net's integer layers as an OpenVINO graph, saved as IR: the one file pair that all backends read.

The graph computes what whs_fast._kernels.DenseVNet does, with one difference: its features are the integers less the
one that stands for 0, so that the zeros with which OpenVINO pads are right. A layer is Convolution(features, weights x
scale) + bias, then FakeQuantize to 256 levels one apart; OpenVINO makes one INT8 convolution of both. It would bring
features of different zeros that are concatenated to one coarser scale, so a layer that reads such is the sum of a
convolution for each zero.

The constants LAYER/weights, LAYER/scale, LAYER/bias and LAYER/lowest (minus that integer) are the quantiser's own, bit
for bit, and the native kernel takes them out of the file. LAYER/shift is what the shift of the features adds; it is
folded into the bias when the graph is compiled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from whs_fast.networks.openvino_model import openvino
from whs_fast.steps.region import REGION_SHAPE

Layer = tuple[NDArray[np.int8], ArrayLike, ArrayLike, int]  # weights, scale, bias, zero

ops = openvino.opset13


@dataclass(frozen=True)
class Features:
    """A node [1, channel, z, y, x] whose channels have the same integer for 0."""

    node: Any
    channels: int
    zero: int


def write(layers: Mapping[str, Layer], file: Path) -> None:
    """Saves the integer layers as FILE.xml and FILE.bin."""
    openvino.save_model(build(layers), file, compress_to_fp16=False)


def build(layers: Mapping[str, Layer]) -> Any:
    """The model: region, uint8 [z, y, x], to logits, int8 [z/2, y/2, x/2, class]."""
    region = ops.parameter(REGION_SHAPE, np.uint8, name="region")
    voxels = _round("region", ops.convert(ops.unsqueeze(region, np.array([0, 1])), "f32"), 1, 0)
    joined = [_pool(voxels, layers["pool"])]
    features = [_convolve("entry", [voxels], layers["entry"], stride=2)]
    level = 1
    while (skip := f"skip_{level}") in layers:
        for name in (name for name in layers if name.startswith(f"stack_{level}.")):
            features = _append(features, _convolve(name, features, layers[name]))
        drawn = _convolve(skip, features, layers[skip])
        joined = _append(joined, _upsample(drawn, 2 ** (level - 1)) if level > 1 else drawn)
        if (down := f"down_{level}") in layers:
            features = [_convolve(down, features, layers[down], stride=2)]
        level += 1
    last = ops.convert(_convolve("last", joined, layers["last"]).node, "i8")
    logits = ops.squeeze(ops.transpose(last, np.array([0, 2, 3, 4, 1])), np.array([0]), name="logits")
    model = openvino.Model([logits], [region], "dense_vnet")
    for port, name in ((model.input(), "region"), (model.output(), "logits")):
        port.get_tensor().set_names({name})
    return model


def _constant(name: str, values: ArrayLike, dtype: type, shape: tuple[int, ...]) -> Any:
    return ops.constant(np.asarray(values, dtype).reshape(shape), name=name)


def _pool(voxels: Features, layer: Layer) -> Features:
    _, scale, bias, zero = layer
    mean = ops.avg_pool(voxels.node, [2] * 3, [1] * 3, [1] * 3, [3] * 3, exclude_pad=True)
    scaled = ops.multiply(mean, _constant("pool/scale", scale, np.float32, (1,) * 5))
    return _round("pool", _add_bias("pool", scaled, bias, -zero, 1), 1, zero)


def _convolve(name: str, inputs: Sequence[Features], layer: Layer, *, stride: int = 1) -> Features:
    weights, scale, bias, zero = layer
    outputs, channels, side, _, _ = weights.shape
    reach = [side // 2] * 3
    whole = _constant(f"{name}/weights", weights, np.int8, weights.shape)
    scales = _constant(f"{name}/scale", scale, np.float32, (outputs, 1, 1, 1, 1))
    sums, first = [], 0
    shift = np.full(outputs, -zero, np.float64)
    for features in inputs:
        last = first + features.channels
        part = whole
        if len(inputs) > 1:
            part = ops.slice(whole, *(np.array([value]) for value in (first, last, 1, 1)))
        scaled = ops.multiply(ops.convert(part, "f32"), scales)
        sums.append(ops.convolution(features.node, scaled, [stride] * 3, reach, reach, [1] * 3))
        # What the kernel's sums of whole integers hold beyond those of shifted ones.
        shift += (
            features.zero * weights[:, first:last].sum((1, 2, 3, 4), dtype=np.int64) * np.asarray(scale, np.float64)
        )
        first = last
    assert first == channels
    return _round(name, _add_bias(name, reduce(ops.add, sums), bias, shift, outputs), outputs, zero)


def _add_bias(name: str, node: Any, bias: ArrayLike, shift: ArrayLike, channels: int) -> Any:
    by_channel = (1, channels, 1, 1, 1)
    whole = _constant(f"{name}/bias", bias, np.float32, by_channel)
    return ops.add(node, ops.add(whole, _constant(f"{name}/shift", shift, np.float32, by_channel)))


def _round(name: str, node: Any, channels: int, zero: int) -> Features:
    """To the nearest of 256 integers, of which zero lie below 0."""
    lowest = _constant(f"{name}/lowest", -zero, np.float32, ())
    highest = _constant(f"{name}/highest", 255 - zero, np.float32, ())
    return Features(ops.fake_quantize(node, lowest, highest, lowest, highest, 256), channels, zero)


def _append(before: Sequence[Features], new: Features) -> list[Features]:
    """One node for all that follow one another with the same zero."""
    *others, last = before
    if last.zero != new.zero:
        return [*before, new]
    return [*others, Features(ops.concat([last.node, new.node], 1), last.channels + new.channels, new.zero)]


def _upsample(features: Features, factor: int) -> Features:
    larger = ops.interpolate(
        features.node,
        np.array([factor] * 3, np.float32),
        "linear_onnx",
        "scales",
        coordinate_transformation_mode="half_pixel",
        axes=np.array([2, 3, 4]),
    )
    return _round(f"upsampling_{factor}", larger, features.channels, features.zero)
