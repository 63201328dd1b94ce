"""Slices for the localisers: whole thoraces drawn at 2 mm, and 2D slices of them as the engine would cut them.

One drawn thorax gives hundreds of slices along each body axis, so thoraces are kept as files and everything that can be
done to a slice alone is done anew each time it is drawn: the field of view, thick slices, blur, noise, turns in plane.
Arrays are indexed z, y, x; millimetres are x, y, z in LPS. Seeds: (0, ...) to train, (1, ...) to validate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage

from training.anatomies import TRAINED, draw, sample
from training.crops import THIN_WALLS, to_window
from training.deformation import torch_generator
from training.details import redraw_walls
from training.heart import SKIN_FAT
from training.networks import SliceRegressor, squeezenet, vgg16
from training.rendering import render

AXES = ("sagittal", "coronal", "axial")  # the axis of x, of y, of z: AXES.index(axis) indexes mm tuples
BACKBONES = {"squeezenet": squeezenet, "vgg16": vgg16}
SIDE = 192  # pixels of a slice
PIXEL_MM = 2.0
ENTRY_POOL = 2  # the networks average the slices to 4 mm first: 4 times cheaper to train and run, and less noise
NEAR_MM = 40.0  # half of the training slices lie within this of the valve
ZOOM = 2  # the search looks closer in the end: a slice of pixels half as large, as if the heart were twice as large
CLOSE_MM = 30.0  # how far from the valve it does so
FAR_MM = 150.0  # distances beyond this count as this


@dataclass(frozen=True)
class Thorax:
    """A drawn scan at 2 mm: image uint8 [z, y, x] in the engine's window and the index (z, y, x) of its valve."""

    image: NDArray[np.uint8]
    valve: NDArray[np.float64]


def draw_thorax(seeds: Sequence[int]) -> Thorax:
    """A whole drawn thorax of any source; the same seeds give the same voxels."""
    rng = np.random.default_rng(list(seeds))
    anatomy = draw(TRAINED[int(rng.integers(len(TRAINED)))], rng)
    below = np.array([rng.uniform(120, 185), rng.uniform(105, 150), rng.uniform(110, 190)])
    above = np.array([rng.uniform(120, 185), rng.uniform(120, 185), rng.uniform(100, 190)])
    spacing = (PIXEL_MM,) * 3
    valve_xyz = below / PIXEL_MM + rng.uniform(0, 1, 3)
    shape_xyz = np.ceil((below + above) / PIXEL_MM).astype(int)
    origin = np.array(anatomy.valve_mm) - valve_xyz * PIXEL_MM
    shape = (int(shape_xyz[2]), int(shape_xyz[1]), int(shape_xyz[0]))
    x, y, z = (float(v) for v in origin)
    tissues = sample(anatomy, shape, spacing, (x, y, z), rough=True)
    if rng.random() < THIN_WALLS:
        redraw_walls(tissues, spacing, rng, torch_generator(rng))
    if rng.random() < 0.6:
        _round_off_flanks(tissues, valve_xyz, rng)
    hu = render(tissues, spacing, rng)
    if rng.random() < 0.4:
        _add_table(hu, tissues, valve_xyz, rng)
    return Thorax(to_window(hu).numpy(), valve_xyz[::-1].copy())


def _round_off_flanks(tissues: torch.Tensor, valve_xyz: NDArray[np.float64], rng: np.random.Generator) -> None:
    """An atlas ends at the flanks and goes on as a smear beyond: close the body by a superellipse, a rim of fat."""
    centre_x = valve_xyz[0] + rng.uniform(-25, 15) / PIXEL_MM
    centre_y = valve_xyz[1] + rng.uniform(-5, 25) / PIXEL_MM
    half_x, half_y = rng.uniform(140, 190) / PIXEL_MM, rng.uniform(125, 180) / PIXEL_MM
    y = (torch.arange(tissues.shape[1]) - centre_y).abs() / half_y
    x = (torch.arange(tissues.shape[2]) - centre_x).abs() / half_x
    power = float(rng.uniform(2, 4))
    radius = (y[:, None] ** power + x[None] ** power) ** (1 / power)
    rim = (radius > 1 - rng.uniform(0.02, 0.2)) & (radius <= 1)
    tissues[(tissues > 0) & rim[None]] = SKIN_FAT
    tissues[(radius > 1)[None].expand_as(tissues)] = 0


def _add_table(
    hu: torch.Tensor, tissues: torch.Tensor, valve_xyz: NDArray[np.float64], rng: np.random.Generator
) -> None:
    """A thin curved shell behind the back, the same in every axial slice."""
    body = (tissues > 0).any(0).any(1).nonzero()
    back = float(body.max()) if len(body) else float(tissues.shape[1])
    x = torch.arange(tissues.shape[2]) - valve_xyz[0] - rng.uniform(-20, 20)
    top = back - rng.uniform(-4, 12) - float(rng.uniform(0, 12)) * (x / 80) ** 2
    depth = torch.arange(tissues.shape[1])[:, None] - top[None]
    thickness = rng.uniform(0.8, 2.5)
    shell = (depth >= 0) & (depth < thickness)
    core = (depth >= thickness) & (depth < rng.uniform(5, 30))
    empty = tissues == 0
    hu[empty & core[None]] = float(rng.uniform(-1000, -800))
    hu[empty & shell[None]] = float(rng.uniform(-300, 400))


def save_thorax(thorax: Thorax, file: Path) -> None:
    """Write the image to FILE.npy, which is memory-mapped when read, and the valve to FILE.txt."""
    part = file.with_suffix(".part.npy")
    np.save(part, thorax.image)
    file.with_suffix(".txt").write_text(" ".join(f"{v:.6f}" for v in thorax.valve) + "\n")
    part.rename(file)


def load_thorax(file: Path) -> Thorax:
    return Thorax(np.load(file, mmap_mode="r"), np.array(file.with_suffix(".txt").read_text().split(), float))


def fit_to_side(
    plane: NDArray[np.uint8], centre: tuple[float, float], side: int = SIDE
) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """Cut side x side around a centre (index, rounded), padded with air; and the index of its own middle."""
    out = np.zeros((side, side), np.uint8)
    starts = [round(c - (side - 1) / 2) for c in centre]
    source = tuple(slice(min(max(0, s), n), max(0, min(n, s + side))) for s, n in zip(starts, plane.shape, strict=True))
    target = tuple(slice(max(0, -s), max(0, -s) + c.stop - c.start) for s, c in zip(starts, source, strict=True))
    out[target] = plane[source]
    return out, (starts[0] + (side - 1) / 2, starts[1] + (side - 1) / 2)


def _cut_plane(
    plane: NDArray[np.uint8], valve: NDArray[np.float64], rows_are_z: bool, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """A random field of view in plane: what lies in it (air elsewhere) and the centre of its upright box."""
    low, high = np.zeros(2), np.array(plane.shape, float)
    plane = plane.copy()
    if rng.random() < 0.35:  # the whole body in a field that reaches beyond it
        if rng.random() < 0.5:
            low, high = low - rng.uniform(-10, 50, 2), high + rng.uniform(-10, 50, 2)
        return plane, (float(low[0] + high[0] - 1) / 2, float(low[1] + high[1] - 1) / 2)
    for axis in range(2):
        if rng.random() < 0.15:
            continue
        size = rng.uniform(125, 340) / PIXEL_MM
        start = valve[axis] - size * rng.uniform(0.22, 0.78)
        low[axis], high[axis] = max(low[axis], start), min(high[axis], start + size)
    angle = rng.normal(0, 0.12) if rng.random() < 0.3 else 0.0  # an oblique scan
    row, column = np.ogrid[: plane.shape[0], : plane.shape[1]]
    centre, half = (low + high - 1) / 2, (high - low) / 2
    c, s = np.cos(angle), np.sin(angle)
    u = c * (row - centre[0]) + s * (column - centre[1])
    v = -s * (row - centre[0]) + c * (column - centre[1])
    inside = (np.abs(u) <= half[0]) & (np.abs(v) <= half[1])
    if not rows_are_z and rng.random() < 0.25:  # round reconstruction field
        inside &= u**2 + v**2 <= max(half) ** 2
    plane[~inside] = 0
    return plane, (float(centre[0]), float(centre[1]))


def draw_slice(
    thorax: Thorax, axis: str, rng: np.random.Generator, position: int | None = None, *, zoomed: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """One slice uint8 [192, 192] and, float32 [3] in mm, its signed distance to the valve and where in it that lies.

    The place is the valve's row and column beside the middle of the slice. position: index of the slice along the axis;
    at random without one, half of them near the valve. zoomed: a slice near the valve that shows ZOOM times less, and
    millimetres that are ZOOM times as long.
    """
    array_axis = 2 - AXES.index(axis)
    count = thorax.image.shape[array_axis]
    valve = thorax.valve[array_axis]
    if position is None:
        near_mm = CLOSE_MM if zoomed else NEAR_MM
        if zoomed or rng.random() < 0.5:
            position = int(np.clip(np.rint(valve + rng.uniform(-near_mm, near_mm) / PIXEL_MM), 0, count - 1))
        else:
            position = int(rng.integers(count))
    plane = np.ascontiguousarray(np.take(thorax.image, position, array_axis))
    distance = (position - valve) * PIXEL_MM
    others = np.delete(thorax.valve, array_axis)
    rows_are_z = array_axis != 0
    if rows_are_z and rng.random() < 0.3:  # thick slices
        plane = ndimage.uniform_filter1d(plane, int(rng.integers(2, 4)), axis=0)
    plane, (row, column) = _cut_plane(plane, others, rows_are_z, rng)
    if zoomed:
        row, column = others + rng.uniform(-CLOSE_MM, CLOSE_MM, 2) / PIXEL_MM
    scale = ZOOM if zoomed else 1
    cut, middle = fit_to_side(plane, (row, column), SIDE // scale)
    told = scale * np.array([distance, *((others - middle) * PIXEL_MM)], np.float32)
    return cut.repeat(scale, 0).repeat(scale, 1), told


def alter_batch(
    x: torch.Tensor, places: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Small turns and zooms in plane, blur, contrast and noise for a batch [n, 1, y, x] in 0..1.

    places [n, 2], row and column in mm beside the middle of the slice, go along.
    """
    n = len(x)

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return torch.rand((n, *shape), generator=generator) * (high - low) + low

    angle, zoom = uniform(-0.1, 0.1), uniform(0.94, 1.06)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = torch.cos(angle) * zoom, -torch.sin(angle) * zoom
    theta[:, 1, 0], theta[:, 1, 1] = torch.sin(angle) * zoom, torch.cos(angle) * zoom
    theta[:, :, 2] = uniform(-0.03, 0.03, 2)
    x = F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False)
    half_mm = SIDE * PIXEL_MM / 2
    moved = torch.linalg.solve(theta[:, :, :2], places.flip(1) / half_mm - theta[:, :, 2])  # theta leads back
    blurred = F.avg_pool2d(x, 3, 1, 1)
    x = torch.lerp(x, blurred, uniform(-0.6, 0.5).clamp_min(0)[:, None, None, None])
    inside = x > 0.002  # air outside the field of view stays air
    sd = uniform(-0.03, 0.03, 1, 1, 1).clamp_min(0)
    noise = torch.randn(x.shape, generator=generator)
    x = x * uniform(0.85, 1.15, 1, 1, 1) + (uniform(-0.04, 0.04, 1, 1, 1) + sd * noise) * inside
    return x.clamp(0, 1), moved.flip(1) * half_mm


def slice_loss(predicted: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Weighted loss in units of 10 mm: a slice at the valve counts several times one far away.

    predicted [n, 4]: absolute and signed distance, row and column; wanted [n, 3]: signed distance, row and column; the
    loss of each slice is returned, [n]. Distances are Euclidean, places far off count by their distance alone.
    """
    signed = wanted[:, 0].clamp(-FAR_MM, FAR_MM)
    near = 1 / (1 + (signed / 30) ** 2)
    target = torch.stack([signed.abs(), signed], 1)
    weight = torch.stack([near.sqrt(), 0.5 * near], 1)
    distances = (weight * ((predicted[:, :2] - target) / 10) ** 2).sum(1)
    places = F.huber_loss(predicted[:, 2:] / 10, wanted[:, 1:] / 10, reduction="none").sum(1)
    return distances + 2 * near * places


def build(backbone: str, width: float | None = None) -> SliceRegressor:
    """A network of random weights. Only VGG-16 comes in other widths than its own default."""
    return vgg16(width) if backbone == "vgg16" and width is not None else BACKBONES[backbone]()


def load_trained(checkpoint: Path, backbone: str) -> SliceRegressor:
    """The averaged weights of a training run, ready to predict; the width is that of the weights."""
    state = torch.load(checkpoint, weights_only=True)["averaged"]
    weights = {key.removeprefix("module."): value for key, value in state.items() if key != "n_averaged"}
    network = build(backbone, weights["features.0.0.weight"].shape[0] / 64)
    network.load_state_dict(weights)
    return network.eval()


def calibration_slices(pool: Path, axis: str, count: int = 300) -> NDArray[np.uint8]:
    """Slices of drawn training thoraces, uint8 [n, 1, 192, 192], to set the ranges of the INT8 network."""
    files = [f for f in sorted(pool.glob("0_*.npy")) if ".part" not in f.name]
    rng = np.random.default_rng([0, 7, AXES.index(axis)])
    drawn = (load_thorax(files[rng.integers(len(files))]) for _ in range(count))
    return np.stack([draw_slice(t, axis, rng, zoomed=i % 2 == 1)[0] for i, t in enumerate(drawn)])[:, None]
