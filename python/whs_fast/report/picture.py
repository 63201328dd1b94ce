"""Draws preview.png: the heart's own planes and the body's, with the labels' contours and, below each, without them.

All images are square, so that they stand in rows of four; a bar in each says its scale.
"""

import io
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from whs_fast import _kernels
from whs_fast.report.quality import LAMPS, judge
from whs_fast.report.views import View, body_views, heart_views, look
from whs_fast.structures import STRUCTURES
from whs_fast.volume import AIR_HU, Grid, Triple, Volume, index_map

SIDE = 280  # of an image, in pixels
_WINDOW_HU = (-250.0, 800.0)

BACKGROUND = (14, 16, 20)
TEXT = (232, 234, 238)
QUIET = (150, 156, 166)
_VALVE = (255, 255, 255)
_GAP = 12
_TITLE = 26
_BAND = _TITLE + 2 * (SIDE + _GAP)  # a title, images with contours, images without
_COLUMNS = 4
_THUMBNAIL_WIDTH = 420
_BLUR = 6  # pixels beside a structure that its blurred contour reaches
# How strongly a structure's contour covers the image, by the share of the structure there, blurred over a few pixels:
# just inside the border, so that those of neighbours lie side by side.
_CONTOUR = [round(255 * min(1.0, max(0.0, 1.6 - abs(share / 255 - 0.62) * 7.0))) for share in range(256)]


def draw_picture(
    volume: Volume, labels: NDArray[np.uint8], valve_mm: Triple, measurements: Mapping[str, Any], *, threads: int
) -> bytes:
    """The picture as PNG: the heart's planes where valves were found, the body's through the valve, and the volumes.

    labels is uint8[z, y, x] on the volume's grid; valve_mm is (x, y, z), LPS.
    """
    seen = look(labels, volume.grid, valve_mm, threads=threads)
    heart = heart_views(seen, measurements.get("valves", {}))
    bands = [*([heart] if heart else []), body_views(seen, valve_mm)]
    size = _GAP + _COLUMNS * (SIDE + _GAP), _GAP + len(bands) * _BAND
    picture = Image.new("RGB", size, BACKGROUND)
    for number, views in enumerate(bands):
        for column, view in enumerate(views):
            left, top = _GAP + column * (SIDE + _GAP), _GAP + number * _BAND
            ImageDraw.Draw(picture).text((left, top), view.name, font=font(16), fill=TEXT)
            plain, tint = cut(view, volume, labels, threads=threads)
            marked = _outline(plain.convert("RGB"), tint)
            _mark(marked, view, valve_mm if views is bands[-1] else None)
            picture.paste(marked, (left, top + _TITLE))
            picture.paste(plain, (left, top + _TITLE + SIDE + _GAP))
    _legend(picture, (_GAP + 3 * (SIDE + _GAP) + 6, size[1] - _BAND), measurements)
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=1)  # a tenth larger than by default, in a third of the time
    return stream.getvalue()


def draw_thumbnail(picture: bytes) -> bytes:
    """The rows with contours of a picture, small, as JPEG: about 12 kB, for pages that show thousands."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    bands = range(_GAP + _TITLE, image.height, _BAND)
    rows = Image.new("RGB", (image.width, len(bands) * SIDE), BACKGROUND)
    for number, top in enumerate(bands):
        rows.paste(image.crop((0, top, image.width, top + SIDE)), (0, number * SIDE))
    rows.paste(BACKGROUND, (3 * (SIDE + _GAP), (len(bands) - 1) * SIDE, rows.width, rows.height))  # the volumes
    small = rows.resize((_THUMBNAIL_WIDTH, round(rows.height * _THUMBNAIL_WIDTH / rows.width)))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=80)
    return stream.getvalue()


def cut(
    view: View, volume: Volume, labels: NDArray[np.uint8], *, threads: int
) -> tuple[Image.Image, NDArray[np.uint8]]:
    """A view of the scan as a grey image, and its labels, uint8[SIDE, SIDE]."""
    plane = view.grid(SIDE)
    grey = cut_grey(plane, volume, _WINDOW_HU, threads)
    tint = np.empty(plane.shape, np.uint8)
    _kernels.resample_nearest(labels, tint, index_map(plane, volume.grid), 0, threads=threads)
    return grey, tint[0]


def cut_grey(plane: Grid, volume: Volume, window_hu: tuple[float, float], threads: int) -> Image.Image:
    """The scan on a grid of one plane, in a window, as a grey image."""
    grey = np.empty(plane.shape, np.uint8)
    to_scan = index_map(plane, volume.grid)
    _kernels.resample_window(volume.array, grey, to_scan, (1, 1, 1), *window_hu, AIR_HU, 0, threads=threads)
    return Image.fromarray(grey[0])


def _mark(image: Image.Image, view: View, valve_mm: Triple | None) -> None:
    """Letters of the sides, a bar of known length and, where it is given, a cross at the valve."""
    pen = ImageDraw.Draw(image)
    if valve_mm is not None:
        column, row = (share * SIDE - 0.5 for share in view.place(np.asarray(valve_mm)))
        for colour, thickness in ((BACKGROUND, 4), (_VALVE, 2)):
            for right, down in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                ends = (column + 4 * right, row + 4 * down, column + 11 * right, row + 11 * down)
                pen.line(ends, fill=colour, width=thickness)
    middle, end = SIDE / 2, SIDE - 6
    for letter, (x, y, anchor) in zip(
        view.letters, ((6, middle, "lm"), (end, middle, "rm"), (middle, 4, "ma"), (middle, SIDE - 4, "md")), strict=True
    ):
        write(pen, (x, y), letter, 16, anchor)
    draw_bar(pen, SIDE, view.side_mm / SIDE)


def draw_bar(pen: ImageDraw.ImageDraw, side: int, pixel_mm: float) -> None:
    """A bar of 5, 2 or 1 cm at the lower left of a square image: the longest that ends before the letter below."""
    cm = next(length for length in (5, 2, 1) if length == 1 or length * 10 / pixel_mm < 0.4 * side)
    pen.line((10, side - 10, 10 + cm * 10 / pixel_mm, side - 10), fill=TEXT, width=2)
    write(pen, (10, side - 13), f"{cm} cm", 12, "ld")


def write(pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, size: int, anchor: str) -> None:
    pen.text(place, text, font=font(size), fill=TEXT, anchor=anchor, stroke_width=2, stroke_fill=BACKGROUND)


def _outline(image: Image.Image, labels: NDArray[np.uint8]) -> Image.Image:
    """Draws the contour of each structure, smoothed by less than a voxel, for looks only."""
    for structure in STRUCTURES:
        mask = Image.fromarray((labels == structure.label).astype(np.uint8) * 255)
        if (box := mask.getbbox()) is not None:
            left, top, right, bottom = box
            box = max(0, left - _BLUR), max(0, top - _BLUR), min(SIDE, right + _BLUR), min(SIDE, bottom + _BLUR)
            cover = mask.crop(box).filter(ImageFilter.GaussianBlur(1.5)).point(_CONTOUR)
            image.paste(structure.colour, box, cover)
    return image


def _legend(picture: Image.Image, corner: tuple[int, int], measurements: Mapping[str, Any]) -> None:
    pen = ImageDraw.Draw(picture)
    (left, y), right = corner, picture.width - _GAP
    verdict = judge(measurements)
    if verdict is not None:
        colour, word, _ = verdict
        pen.ellipse((left, y + 2, left + 16, y + 18), fill=LAMPS[colour])
        pen.text((left + 26, y), word, font=font(17), fill=TEXT)
        y += 34
    found = measurements["structures"]
    lines = [
        ("Structure", "mL", None),
        *((s.name, _number(found[s.key]["volume_ml"], ".1f"), s.colour) for s in STRUCTURES),
        ("Left ventricular mass, g", _number(measurements["lv_myocardium_mass_g"], ".0f"), None),
    ]
    for name, value, tint in lines:
        if tint is not None:
            pen.rounded_rectangle((left, y + 2, left + 14, y + 16), 4, outline=tint, width=3)
        pen.text((left + (24 if tint else 0), y - 1), name, font=font(15), fill=TEXT)
        pen.text((right, y - 1), value, font=font(15), fill=TEXT, anchor="ra")
        y += 27
    valve = ", ".join(f"{coordinate:.1f}" for coordinate in measurements["aortic_valve_mm"])
    pen.text((left, y + 4), f"Aortic valve (cross), mm, LPS:\n{valve}", font=font(15), fill=TEXT)
    pen.text((left, y + 60), "Research software,\nnot a medical device", font=font(13), fill=QUIET)


def _number(value: float, form: str) -> str:
    return format(value, form) if value else "–"


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
