"""Dense V-Net's integer layers as an OpenVINO graph, saved as IR: the one file pair that all backends read.

The graph computes what whs_fast._kernels.dense_vnet does, with one difference: its features are the integers less the
one that stands for 0, so that the zeros with which OpenVINO pads are right. A layer is Convolution(features, weights x
scale) + bias, then FakeQuantize to 256 levels one apart; OpenVINO makes one INT8 convolution of both. The constants
LAYER/weights, LAYER/scale, LAYER/bias and LAYER/lowest (minus that integer) are the quantiser's own, bit for bit, and
the native kernel takes them out of the file. LAYER/shift is what the shift of the features adds; it is folded into the
bias when the graph is compiled.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from whs_fast.networks.openvino_model import openvino
from whs_fast.steps.region import REGION_SHAPE

Layer = tuple[NDArray[np.int8], ArrayLike, ArrayLike, int]  # weights, scale, bias, zero
Features = tuple[Any, Sequence[int]]  # node [1, channel, z, y, x]; the integer that stands for 0 in each channel

ops = openvino.opset13


def write(layers: Mapping[str, Layer], file: Path) -> None:
    """Saves the integer layers, in the order of the network, as FILE.xml and FILE.bin."""
    openvino.save_model(build(layers), file, compress_to_fp16=False)


def build(layers: Mapping[str, Layer], shape: tuple[int, int, int] = REGION_SHAPE) -> Any:
    """The model: region, uint8 [z, y, x], to logits, int8 [z/2, y/2, x/2, class]."""
    region = ops.parameter(shape, np.uint8, name="region")
    voxels = _round("region", ops.convert(ops.unsqueeze(region, np.array([0, 1])), "f32"), 0, 1)
    joined = [_pool(voxels, layers["pool"])]
    features = _convolve("entry", voxels, layers["entry"], stride=2)
    level = 1
    while f"skip_{level}" in layers:
        for name in (name for name in layers if name.startswith(f"stack_{level}.")):
            features = _concatenate([features, _convolve(name, features, layers[name])])
        drawn = _convolve(f"skip_{level}", features, layers[f"skip_{level}"])
        joined.append(_upsample(drawn, 2 ** (level - 1)) if level > 1 else drawn)
        if f"down_{level}" in layers:
            features = _convolve(f"down_{level}", features, layers[f"down_{level}"], stride=2)
        level += 1
    last, _ = _convolve("last", _concatenate(joined), layers["last"])
    classes_last = ops.transpose(ops.convert(last, "i8"), np.array([0, 2, 3, 4, 1]))
    logits = ops.squeeze(classes_last, np.array([0]), name="logits")
    model = openvino.Model([logits], [region], "dense_vnet")
    for port, name in ((model.input(), "region"), (model.output(), "logits")):
        port.get_tensor().set_names({name})
    return model


def _constant(name: str, values: ArrayLike, dtype: type, shape: tuple[int, ...]) -> Any:
    return ops.constant(np.asarray(values, dtype).reshape(shape), name=name)


def _pool(voxels: Features, layer: Layer) -> Features:
    _, scale, bias, zero = layer
    mean = ops.avg_pool(voxels[0], [2] * 3, [1] * 3, [1] * 3, [3] * 3, exclude_pad=True)
    scaled = ops.multiply(mean, _constant("pool/scale", scale, np.float32, (1,) * 5))
    return _round("pool", _add_bias("pool", scaled, bias, -zero, 1), zero, 1)


def _convolve(name: str, features: Features, layer: Layer, *, stride: int = 1) -> Features:
    weights, scale, bias, zero = layer
    node, zeros = features
    outputs, _, side, _, _ = weights.shape
    by_output = (outputs, 1, 1, 1, 1)
    scaled = ops.multiply(
        ops.convert(_constant(f"{name}/weights", weights, np.int8, weights.shape), "f32"),
        _constant(f"{name}/scale", scale, np.float32, by_output),
    )
    sums = ops.convolution(node, scaled, [stride] * 3, [side // 2] * 3, [side // 2] * 3, [1] * 3)
    # What the kernel's sums of whole integers hold beyond those of shifted ones.
    shift = weights.sum((2, 3, 4), dtype=np.int64) @ np.array(zeros, np.int64) * np.asarray(scale, np.float64) - zero
    return _round(name, _add_bias(name, sums, bias, shift, outputs), zero, outputs)


def _add_bias(name: str, node: Any, bias: ArrayLike, shift: ArrayLike, channels: int) -> Any:
    by_channel = (1, channels, 1, 1, 1)
    whole = _constant(f"{name}/bias", bias, np.float32, by_channel)
    return ops.add(node, ops.add(whole, _constant(f"{name}/shift", shift, np.float32, by_channel)))


def _round(name: str, node: Any, zero: int, channels: int) -> Features:
    """To the nearest of 256 integers, of which zero lie below 0."""
    lowest = _constant(f"{name}/lowest", -zero, np.float32, ())
    highest = _constant(f"{name}/highest", 255 - zero, np.float32, ())
    return ops.fake_quantize(node, lowest, highest, lowest, highest, 256), [zero] * channels


def _concatenate(parts: Sequence[Features]) -> Features:
    return ops.concat([node for node, _ in parts], 1), [zero for _, zeros in parts for zero in zeros]


def _upsample(features: Features, factor: int) -> Features:
    node, zeros = features
    larger = ops.interpolate(
        node,
        np.array([factor] * 3, np.float32),
        "linear_onnx",
        "scales",
        coordinate_transformation_mode="half_pixel",
        axes=np.array([2, 3, 4]),
    )
    return _round(f"upsampling_{factor}", larger, zeros[0], len(zeros))
