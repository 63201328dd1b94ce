"""Draws preview.png: three planes through the aortic valve with the labels over them.

The planes follow the patient axes, for oblique scans too, and are shown as radiologists view them: axial from the feet,
coronal from the front, sagittal from the left.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from whs_fast import _kernels
from whs_fast.steps.region import REACH_MM
from whs_fast.structures import STRUCTURES
from whs_fast.volume import AIR_HU, Grid, Triple, Volume, index_map

PIXEL_MM = 0.5
_LEAST_MM = 60.0  # shown on either side of the valve, however small the labels are
_MARGIN_MM = 12.0
_WINDOW_HU = (-250.0, 800.0)  # wide enough that contrast-filled blood is not so white that it hides the tints

BACKGROUND = (14, 16, 20)
TEXT = (232, 234, 238)
QUIET = (150, 156, 166)
_VALVE = (255, 255, 255)
_LEGEND_WIDTH = 330
_LEGEND_HEIGHT = 500
_GAP = 16
_THUMBNAIL_WIDTH = 420


@dataclass(frozen=True)
class _View:
    """One of the three planes: its axes among x, y, z (0, 1, 2), and whether rows run against the patient's axis."""

    name: str
    normal: int
    down: int
    across: int
    upside_down: bool  # z grows towards the head, rows grow downwards
    letters: tuple[str, str, str, str]  # left, right, top, bottom of the image


_VIEWS = (
    _View("Axial", 2, 1, 0, False, ("R", "L", "A", "P")),
    _View("Coronal", 1, 2, 0, True, ("R", "L", "H", "F")),
    _View("Sagittal", 0, 2, 1, True, ("A", "P", "H", "F")),
)


@dataclass(frozen=True)
class Planes:
    """uint8 images of the axial, coronal and sagittal plane at PIXEL_MM, with the valve's row and column in each."""

    scan: tuple[NDArray[np.uint8], ...]
    labels: tuple[NDArray[np.uint8], ...]
    valve: tuple[tuple[float, float], ...]


def draw_picture(
    volume: Volume, labels: NDArray[np.uint8], valve_mm: Triple, measurements: Mapping[str, Any], *, threads: int
) -> bytes:
    """The picture as PNG: three planes through the valve on one scale, and a legend with the volumes.

    labels is uint8[z, y, x] on the volume's grid; valve_mm is (x, y, z), LPS.
    """
    return _draw(cut_planes(volume, labels, valve_mm, threads=threads), measurements)


def draw_thumbnail(picture: bytes) -> bytes:
    """The three planes of a picture, small, as JPEG: about 12 kB, for pages that show thousands."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    planes = image.crop((0, 0, max(1, image.width - _LEGEND_WIDTH - 3 * _GAP), image.height))
    small = planes.resize((_THUMBNAIL_WIDTH, max(1, round(planes.height * _THUMBNAIL_WIDTH / planes.width))))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=80)
    return stream.getvalue()


def cut_planes(volume: Volume, labels: NDArray[np.uint8], valve_mm: Triple, *, threads: int) -> Planes:
    """The three planes through the valve, as far as scan and region reach; arguments as for draw_picture."""
    scan_images, label_images, places = [], [], []
    for view in _VIEWS:
        plane = _plane(view, volume.grid, valve_mm)
        to_scan = index_map(plane, volume.grid)
        grey, tint = np.empty(plane.shape, np.uint8), np.empty(plane.shape, np.uint8)
        _kernels.resample_window(volume.array, grey, to_scan, (1, 1, 1), *_WINDOW_HU, AIR_HU, 0, threads=threads)
        _kernels.resample_nearest(labels, tint, to_scan, 0, threads=threads)
        scan_images.append(_upright(view, grey))
        label_images.append(_upright(view, tint))
        row, column = ((valve_mm[axis] - plane.origin_mm[axis]) / PIXEL_MM for axis in (view.down, view.across))
        rows = plane.shape[2 - view.down]
        places.append((rows - 1 - row if view.upside_down else row, column))
    return Planes(tuple(scan_images), tuple(label_images), tuple(places))


def _draw(planes: Planes, measurements: Mapping[str, Any]) -> bytes:
    crops = _crops(planes)
    # Axial and coronal share x, coronal and sagittal share z; one factor for all keeps them on one scale.
    factor = min(
        1620.0 / sum(right - left for _, _, left, right in crops),
        820.0 / max(bottom - top for top, bottom, _, _ in crops),
        3.0,
    )
    panels = [
        _panel(view, scan, labels, place, crop, factor)
        for view, scan, labels, place, crop in zip(_VIEWS, planes.scan, planes.labels, planes.valve, crops, strict=True)
    ]
    height = max(_LEGEND_HEIGHT, max(panel.height for panel in panels))
    width = sum(panel.width for panel in panels) + _LEGEND_WIDTH + 5 * _GAP
    picture = Image.new("RGB", (width, height + 2 * _GAP + 28), BACKGROUND)
    left = _GAP
    for view, panel in zip(_VIEWS, panels, strict=True):
        pen = ImageDraw.Draw(picture)
        pen.text((left, _GAP - 4), view.name, font=font(18), fill=TEXT)
        picture.paste(panel, (left, _GAP + 24))
        left += panel.width + _GAP
    _legend(picture, left + _GAP // 2, measurements)
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=3)  # a twentieth larger than by default, in less than half the time
    return stream.getvalue()


def _plane(view: _View, grid: Grid, valve_mm: Triple) -> Grid:
    low, high = grid.box_mm
    shape, origin = [1, 1, 1], list(valve_mm)
    for axis in (view.down, view.across):
        first = max(low[axis], valve_mm[axis] - REACH_MM[axis])
        last = min(high[axis], valve_mm[axis] + REACH_MM[axis])
        shape[axis] = max(1, round((last - first) / PIXEL_MM))
        origin[axis] = first + PIXEL_MM / 2.0
    return Grid((shape[2], shape[1], shape[0]), (PIXEL_MM,) * 3, (origin[0], origin[1], origin[2]))


def _upright(view: _View, out: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = out.squeeze(axis=2 - view.normal)
    return np.ascontiguousarray(image[::-1] if view.upside_down else image)


def _crops(planes: Planes) -> list[tuple[int, int, int, int]]:
    """Top, bottom, left and right of what each plane shows: all labels with a margin, and some room around the valve.

    Planes that share a patient axis show the same stretch of it, so that the eye can follow from one to the other.
    """
    before, after = [_LEAST_MM / PIXEL_MM] * 3, [_LEAST_MM / PIXEL_MM] * 3
    for view, labels, valve in zip(_VIEWS, planes.labels, planes.valve, strict=True):
        for side, axis in enumerate((view.down, view.across)):
            present = np.flatnonzero(labels.any(axis=1 - side))
            if len(present):
                before[axis] = max(before[axis], valve[side] - present[0] + _MARGIN_MM / PIXEL_MM)
                after[axis] = max(after[axis], present[-1] - valve[side] + _MARGIN_MM / PIXEL_MM)
    crops = []
    for view, labels, valve in zip(_VIEWS, planes.labels, planes.valve, strict=True):
        bounds = []
        for side, axis in enumerate((view.down, view.across)):
            first = min(max(0, int(valve[side] - before[axis])), labels.shape[side] - 1)
            bounds += [first, max(first + 1, min(labels.shape[side], int(valve[side] + after[axis]) + 1))]
        crops.append((bounds[0], bounds[1], bounds[2], bounds[3]))
    return crops


def _panel(
    view: _View,
    scan: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    valve: tuple[float, float],
    crop: tuple[int, int, int, int],
    factor: float,
) -> Image.Image:
    top, bottom, left, right = crop
    size = (max(1, round((right - left) * factor)), max(1, round((bottom - top) * factor)))
    image = Image.fromarray(scan[top:bottom, left:right]).resize(size, Image.Resampling.BICUBIC).convert("RGB")
    image = _overlay(image, labels[top:bottom, left:right])
    pen = ImageDraw.Draw(image)
    row, column = (valve[0] - top + 0.5) * factor, (valve[1] - left + 0.5) * factor
    for colour, thickness in ((BACKGROUND, 5), (_VALVE, 2)):
        for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            pen.line((column + 5 * x, row + 5 * y, column + 15 * x, row + 15 * y), fill=colour, width=thickness)
    width, height = image.size
    places = ((8, height / 2, "lm"), (width - 8, height / 2, "rm"), (width / 2, 6, "ma"), (width / 2, height - 6, "md"))
    for letter, (side, level, anchor) in zip(view.letters, places, strict=True):
        write(pen, (side, level), letter, 20, anchor)
    pen.line((10, height - 12, 10 + 50.0 / PIXEL_MM * factor, height - 12), fill=TEXT, width=2)
    write(pen, (10, height - 16), "5 cm", 13, "ld")
    return image


def write(pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, size: int, anchor: str) -> None:
    pen.text(place, text, font=font(size), fill=TEXT, anchor=anchor, stroke_width=2, stroke_fill=BACKGROUND)


def _overlay(image: Image.Image, labels: NDArray[np.uint8]) -> Image.Image:
    """Tints each structure and draws its outline, smoothed by less than a voxel, for looks only."""
    height, width = labels.shape
    steps = image.height / height, image.width / width
    for structure in STRUCTURES:
        mask = labels == structure.label
        if not mask.any():
            continue
        # The part of the image around the structure, with room for the blur.
        ends = []
        for axis, size in enumerate((image.height, image.width)):
            present = np.flatnonzero(mask.any(axis=1 - axis))
            ends.append(max(0, floor((present[0] - 1) * steps[axis]) - 8))
            ends.append(min(size, ceil((present[-1] + 2) * steps[axis]) + 8))
        top, bottom, left, right = ends
        soft = Image.fromarray(mask.astype(np.uint8) * 255).resize(
            (right - left, bottom - top),
            Image.Resampling.BILINEAR,
            box=(left / steps[1], top / steps[0], min(right / steps[1], width), min(bottom / steps[0], height)),
        )
        cover = np.asarray(soft.filter(ImageFilter.GaussianBlur(1.5)), np.float32) / 255.0
        inside = np.clip((cover - 0.5) * 4.0 + 0.5, 0.0, 1.0)
        outline = np.clip(1.0 - np.abs(cover - 0.55) * 4.0, 0.0, 1.0)
        alpha = np.maximum(inside * 0.45, outline * 0.95)
        image.paste(structure.colour, (left, top, right, bottom), Image.fromarray((alpha * 255).astype(np.uint8)))
    return image


def _legend(picture: Image.Image, left: int, measurements: Mapping[str, Any]) -> None:
    pen = ImageDraw.Draw(picture)
    right = picture.width - _GAP
    y = _GAP - 4
    pen.text((left, y), "Structure", font=font(18), fill=TEXT)
    pen.text((right, y), "mL", font=font(18), fill=TEXT, anchor="ra")
    y += 36
    for structure in STRUCTURES:
        volume = measurements["structures"][structure.key]["volume_ml"]
        pen.rounded_rectangle((left, y + 1, left + 16, y + 17), 4, fill=structure.colour)
        pen.text((left + 26, y - 2), structure.name, font=font(17), fill=TEXT if volume else QUIET)
        pen.text((right, y - 2), f"{volume:.1f}" if volume else "–", font=font(17), fill=TEXT, anchor="ra")
        y += 30
    y += 10
    pen.line((left, y, right, y), fill=QUIET, width=1)
    y += 14
    valve = ", ".join(f"{coordinate:.1f}" for coordinate in measurements["aortic_valve_mm"])
    grams = measurements["lv_myocardium_mass_g"]
    for name, value in (
        ("Left ventricular mass", f"{grams:.0f} g" if grams else "–"),
        ("Aortic valve (cross), mm, LPS", ""),
        ("", valve),
    ):
        pen.text((left, y), name, font=font(17), fill=TEXT)
        pen.text((right, y), value, font=font(17), fill=TEXT, anchor="ra")
        y += 26
    pen.text((left, y + 14), "Research software,\nnot a medical device", font=font(14), fill=QUIET)


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
