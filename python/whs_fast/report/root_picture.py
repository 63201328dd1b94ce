"""Draws the aortic root for the report: the annulus as planners see it, and the angles that show it edge-on.

Left, the scan in the plane of the annulus (double-oblique), seen from the aorta, with its contour and the three hinge
points. Middle, a cut along the root through the right hinge point. Right, the S-curve with the coplanar and the
cusp-overlap view.
"""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from whs_fast.report.picture import BACKGROUND, QUIET, TEXT, cut_grey, draw_bar, font, write
from whs_fast.report.views import View
from whs_fast.valves.contours import Plane
from whs_fast.volume import Volume

_SIDE = 420
_PIXEL_MM = 0.13
_GAP = 14
_TITLE = 30
_WINDOW_HU = (-150.0, 850.0)
_CONTOUR = (255, 210, 64)
_CUSPS = {"right": ("R", (239, 83, 80)), "left": ("L", (102, 187, 106)), "non_coronary": ("N", (255, 202, 40))}
_LAO, _CRANIAL = (-60.0, 60.0), (-75.0, 75.0)


def draw_root(scan: Volume, measurements: Mapping[str, Any], *, threads: int) -> bytes | None:
    """The picture as PNG, or None where the measurements hold no aortic root."""
    root = measurements.get("aortic_root", {})
    if "annulus" not in root:
        return None
    annulus = root["annulus"]
    plane = Plane.through(np.array(annulus["centre_mm"]), np.array(annulus["normal"]))
    hinges = {name: np.array(point) for name, point in annulus["hinge_points_mm"].items()}
    contour = plane.flat(np.array(annulus["contour_mm"]))
    towards = plane.flat(hinges["right"])
    across = plane.lift(towards / np.linalg.norm(towards)) - plane.centre_mm
    cuts = [
        # Seen from the aorta, the normal towards the reader: the second axis, downwards, runs against `along`.
        _cut(scan, plane.centre_mm, plane.across, -plane.along, threads),
        _cut(scan, plane.moved(6.0).centre_mm, across, -plane.normal, threads),
    ]
    pen = ImageDraw.Draw(cuts[0])
    pen.line([_place(x, -y) for x, y in [*contour, contour[0]]], fill=_CONTOUR, width=2)
    for name, point in hinges.items():
        letter, colour = _CUSPS[name]
        x, y = plane.flat(point)
        _dot(pen, _place(x, -y), colour, letter)
    pen = ImageDraw.Draw(cuts[1])
    pen.line([_place(-20.0, 6.0), _place(20.0, 6.0)], fill=_CONTOUR, width=1)
    picture = Image.new("RGB", (3 * _SIDE + 4 * _GAP, _SIDE + _TITLE + _GAP), BACKGROUND)
    panels = [*cuts, _curve(root["deployment"])]
    for i, (title, panel) in enumerate(zip(("Annulus, from the aorta", "Along the root, through the right hinge point",
                                            "Views that show the annulus edge-on"), panels, strict=True)):  # fmt: skip
        left = _GAP + i * (_SIDE + _GAP)
        ImageDraw.Draw(picture).text((left, 8), title, font=font(15), fill=TEXT)
        picture.paste(panel, (left, _TITLE))
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=3)
    return stream.getvalue()


def _cut(scan: Volume, centre: NDArray[Any], across: NDArray[Any], down: NDArray[Any], threads: int) -> Image.Image:
    """A square of the scan around a point, its columns along `across` and its rows along `down`."""
    grid = View("", centre, across, down, _SIDE * _PIXEL_MM).grid(_SIDE)
    image = cut_grey(grid, scan, _WINDOW_HU, threads).convert("RGB")
    draw_bar(ImageDraw.Draw(image), _SIDE, _PIXEL_MM)
    return image


def _place(x_mm: float, y_mm: float) -> tuple[float, float]:
    return _SIDE / 2 + x_mm / _PIXEL_MM, _SIDE / 2 + y_mm / _PIXEL_MM


def _dot(pen: ImageDraw.ImageDraw, at: tuple[float, float], colour: tuple[int, int, int], text: str) -> None:
    x, y = at
    pen.ellipse((x - 5, y - 5, x + 5, y + 5), fill=colour, outline=BACKGROUND)
    write(pen, (x + 8, y), text, 14, "lm")


def _curve(deployment: Mapping[str, Any]) -> Image.Image:
    """Cranial over LAO angle; right anterior oblique and caudal are negative, to the left and below."""
    image = Image.new("RGB", (_SIDE, _SIDE), BACKGROUND)
    pen = ImageDraw.Draw(image)

    def at(view: Mapping[str, float]) -> tuple[float, float]:
        x = (view["lao_deg"] - _LAO[0]) / (_LAO[1] - _LAO[0])
        y = (_CRANIAL[1] - view["cranial_deg"]) / (_CRANIAL[1] - _CRANIAL[0])
        return 30 + x * (_SIDE - 60), 10 + y * (_SIDE - 40)

    for lao in range(-60, 61, 20):
        ends = (at({"lao_deg": lao, "cranial_deg": c}) for c in _CRANIAL)
        pen.line(list(ends), fill=(50, 56, 66), width=2 if lao == 0 else 1)
        x, _ = at({"lao_deg": lao, "cranial_deg": 0})
        pen.text((x, _SIDE - 18), f"{'LAO' if lao > 0 else 'RAO' if lao else ''} {abs(lao)}", font=font(11),
                 fill=QUIET, anchor="mm")  # fmt: skip
    for cranial in range(-60, 61, 20):
        ends = (at({"lao_deg": lao, "cranial_deg": cranial}) for lao in _LAO)
        pen.line(list(ends), fill=(50, 56, 66), width=2 if cranial == 0 else 1)
        _, y = at({"lao_deg": 0, "cranial_deg": cranial})
        pen.text((2, y), f"{abs(cranial)}", font=font(11), fill=QUIET, anchor="lm")
    write(pen, (34, 14), "cranial", 12, "la")
    write(pen, (34, _SIDE - 34), "caudal", 12, "ld")
    pen.line([at(view) for view in deployment["s_curve"]], fill=_CONTOUR, width=3)
    for name, colour in (("coplanar", _CUSPS["right"][1]), ("cusp_overlap", _CUSPS["left"][1])):
        _dot(pen, at(deployment[name]), colour, name.replace("_", " "))
    return image
