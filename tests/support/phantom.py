"""A heart of balls in a ball of soft tissue, and two networks of a few operations that know how to read it.

With it the whole pipeline runs without trained weights, and the right answer is known everywhere: each structure has
HU of its own, which the "segmenter" looks up, and the valve is the centre of the ball of tissue, whose cut through a
slice tells the "localisers" how far the slice lies from there, and where its middle is. (A cut larger than the ball is
that of a slice of pixels half as large.)
"""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
import whs_fast.networks.openvino_model  # noqa: F401  (before openvino itself, so that its reporting stays off)
from whs_fast.volume import IDENTITY_DIRECTION, Direction, Triple, Volume

from training.dense_vnet_ir import write  # isort: skip
import openvino  # isort: skip
from openvino import opset13 as ops  # isort: skip

VALVE_MM = (12.5, -31.0, 204.2)
BODY_RADIUS_MM = 75.0
OUTSIDE_HU = -600  # as far below the window as tissue lies above: a blurred edge enters the window where it belongs

RIM_MM = 4.0  # a voxel's diagonal, and some of the network's own

# label: (offset from the valve in x, y, z; radius), mm. A heart's places: x to the left, y to the back, z to the head.
BALLS: dict[int, tuple[Triple, float]] = {
    1: ((4.0, 57.0, 2.0), 9.5),
    2: ((2.0, 32.0, -4.0), 20.0),
    4: ((34.0, -10.0, -24.0), 28.0),
    3: ((34.0, -10.0, -24.0), 17.0),
    5: ((-6.0, -4.0, 22.0), 14.0),
    6: ((18.0, 30.0, -32.0), 7.5),
    7: ((-32.0, 4.0, 36.0), 9.5),
    8: ((-34.0, 6.0, -8.0), 21.0),
    9: ((-12.0, -36.0, -26.0), 20.0),
    10: ((14.0, -28.0, 34.0), 14.0),
}


# The smaller the brighter: a blurred edge runs through all HU below, and its rim must be less than what it looks like.
BY_BRIGHTNESS = (0, 4, 8, 2, 9, 3, 10, 5, 7, 1, 6)


def hounsfield_of(label: int) -> int:
    return 40 if label == 0 else 100 + 60 * BY_BRIGHTNESS.index(label)


def make_phantom(
    *,
    spacing_mm: Triple = (2.0, 2.0, 2.0),
    shape: tuple[int, int, int] = (80, 90, 90),
    direction: Direction = IDENTITY_DIRECTION,
) -> Volume:
    """The phantom on a grid whose middle is 5 mm to the left of the valve."""
    axes = np.reshape(direction, (3, 3)) * np.asarray(spacing_mm)
    middle = axes @ ((np.asarray(shape[::-1]) - 1) / 2.0)
    origin = np.add(VALVE_MM, (5.0, 0.0, 0.0)) - middle
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    from_valve = [axes[i, 0] * x + axes[i, 1] * y + axes[i, 2] * z + (origin[i] - VALVE_MM[i]) for i in range(3)]
    array = np.full(shape, OUTSIDE_HU, np.int16)
    array[sum(d**2 for d in from_valve) < BODY_RADIUS_MM**2] = 40
    for label, (place, radius) in BALLS.items():
        array[sum((d - p) ** 2 for d, p in zip(from_valve, place, strict=True)) < radius**2] = hounsfield_of(label)
    # Without noise it would have a dozen distinct values and be refused as a label map.
    array += np.random.default_rng(0).integers(-12, 13, shape, np.int16)
    return Volume(array, spacing_mm, tuple(float(value) for value in origin), direction)


def make_models(folder: Path, localiser: str = "squeezenet") -> Path:
    """Writes the networks of the phantom, with the names and the inputs and outputs of the trained ones."""
    slices = ops.parameter([-1, 1, 192, 192], np.uint8, name="slices")
    tissue = ops.minimum(ops.divide(ops.convert(slices, "f32"), np.float32(10.0)), np.float32(1.0))

    def total(weights: np.ndarray) -> object:
        product = ops.multiply(tissue, weights.astype(np.float32))
        return ops.reduce_sum(product, np.array([1, 2, 3]), keep_dims=False)

    steps = (np.arange(192) - 95.5) * 2.0
    area = total(np.full((1, 1, 192, 192), 2.0 * 2.0))
    some = ops.maximum(area, np.float32(1.0))
    row = ops.divide(total(4.0 * np.broadcast_to(steps[:, None], (1, 1, 192, 192))), some)
    column = ops.divide(total(4.0 * np.broadcast_to(steps, (1, 1, 192, 192))), some)
    close = ops.greater(area, np.float32(1.1 * np.pi * BODY_RADIUS_MM**2))
    square = ops.select(close, np.float32((2 * BODY_RADIUS_MM) ** 2), np.float32(BODY_RADIUS_MM**2))
    squared = ops.subtract(square, ops.divide(area, np.float32(np.pi)))
    distance = ops.sqrt(ops.maximum(squared, np.float32(0.0)))
    unknown = ops.multiply(distance, np.float32(0.0))  # a sphere looks the same on both sides: its slices have no sign
    told = ops.concat([ops.unsqueeze(d, np.int64(1)) for d in (distance, unknown, row, column)], 1)
    for axis in ("axial", "coronal", "sagittal"):
        _save([told], [slices], folder / f"{localiser}_{axis}.xml")

    _make_dense_vnet(folder)
    return folder


def _make_dense_vnet(folder: Path) -> None:
    """The smallest network of the kernel's form that labels each voxel by the nearest grey of the phantom.

    The entry averages 2 x 2 x 2 voxels to the grey g, the first skip makes max(0, g - w) for each wanted grey w and g
    itself, and the last layer adds these up to -4 |g - w|. All other weights are 0.
    """
    wanted = [round((hounsfield_of(label) + 300) * 255.0 / 1100.0) for label in range(11)]
    layers = {"pool": (np.empty((0,) * 5, np.int8), [0.0], [0.0])}

    def add(name: str, outputs: int, inputs: int, side: int = 3) -> tuple[np.ndarray, list[float], list[float]]:
        layers[name] = (np.zeros((outputs, inputs, side, side, side), np.int8), [1.0] * outputs, [0.0] * outputs)
        return layers[name]

    weights, scale, _ = add("entry", 4, 1, 5)
    weights[0, 0, 2:4, 2:4, 2:4] = 16
    scale[0] = 1 / 128
    add("stack_1.1", 4, 4)
    weights, _, bias = add("skip_1", 12, 8)
    weights[:, 0, 1, 1, 1] = 1
    bias[:11] = [-float(grey) for grey in wanted]
    for level in (2, 3):
        add(f"down_{level - 1}", 4, 8)
        add(f"stack_{level}.1", 4, 4)
        add(f"skip_{level}", 4, 8)
    weights, _, bias = add("last", 11, 21)
    for label, grey in enumerate(wanted):
        weights[label, 1 + label, 1, 1, 1] = -8
        weights[label, 12, 1, 1, 1] = 4
        bias[label] = 128.0 - 4 * grey
    zeros = dict.fromkeys(layers, 0) | {"last": 128}
    write({name: (*layer, zeros[name]) for name, layer in layers.items()}, folder / "dense_vnet.xml")


def make_sums(folder: Path) -> Path:
    """Writes a network of two inputs of open shape, uint8 [?, 3] and float32 [?], that doubles one and negates one."""
    a, b = ops.parameter([-1, 3], np.uint8, name="a"), ops.parameter([-1], np.float32, name="b")
    doubled, negated = ops.multiply(ops.convert(a, "f32"), np.float32(2.0)), ops.negative(b)
    openvino.save_model(openvino.Model([doubled, negated], [a, b], "sums"), folder / "sums.xml")
    return folder / "sums.xml"


def _save(outputs: list[object], parameters: list[object], path: Path) -> None:
    openvino.save_model(openvino.Model(outputs, parameters, path.stem), path, compress_to_fp16=False)


def to_image(volume):
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.spacing_mm)
    image.SetOrigin(volume.origin_mm)
    image.SetDirection(volume.direction)
    return image


def from_valve(result):
    z, y, x = np.indices(result.labels.shape)
    axes = np.reshape(result.direction, (3, 3)) * np.asarray(result.spacing_mm)
    return [axes[i, 0] * x + axes[i, 1] * y + axes[i, 2] * z + result.origin_mm[i] - VALVE_MM[i] for i in range(3)]


def check_anatomy(result):
    """Deep inside a ball is its label; far from every ball is nothing. The rim between is the network's to blur."""
    np.testing.assert_allclose(result.aortic_valve_mm, VALVE_MM, atol=1.5)
    place = from_valve(result)
    above_mm = {  # distance from the surface of each ball, negative inside
        label: np.sqrt(sum((p - c) ** 2 for p, c in zip(place, centre, strict=True))) - radius
        for label, (centre, radius) in BALLS.items()
    }
    for label, distance in above_mm.items():
        # The ventricle's cavity lies inside the ball of its wall; no other ball may be near.
        others = [above_mm[other] for other in BALLS if other != label and (label, other) != (3, 4)]
        inside = (distance < -RIM_MM) & (np.min(others, axis=0) > RIM_MM)
        assert inside.any() and (result.labels[inside] == label).all()
    assert not result.labels[np.min(list(above_mm.values()), axis=0) > RIM_MM].any()
