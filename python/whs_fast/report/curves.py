"""Draws function.png: the volume of each chamber over the phases of the heart beat."""

import io
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw

from whs_fast.report.picture import BACKGROUND, QUIET, TEXT, font
from whs_fast.structures import BY_KEY

_WIDTH, _HEIGHT = 900, 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 230, 40, 60
_LINES = 5


def draw_curves(phases: Sequence[str], volumes_ml: Mapping[str, Sequence[float]]) -> bytes:
    """The picture as PNG; volumes_ml holds one volume a phase for each key of a structure. Two phases or more."""
    image = Image.new("RGB", (_WIDTH, _HEIGHT), BACKGROUND)
    pen = ImageDraw.Draw(image)
    highest = max(max(own) for own in volumes_ml.values()) or 1.0

    def at(phase: int, volume: float) -> tuple[float, float]:
        x = _LEFT + phase / (len(phases) - 1) * (_WIDTH - _LEFT - _RIGHT)
        return x, _HEIGHT - _BOTTOM - volume / highest * (_HEIGHT - _TOP - _BOTTOM)

    for i in range(_LINES + 1):
        level = highest * i / _LINES
        pen.line([at(0, level), at(len(phases) - 1, level)], fill=(50, 56, 66))
        pen.text((_LEFT - 8, at(0, level)[1]), f"{level:.0f}", font=font(13), fill=QUIET, anchor="rm")
    pen.text((_LEFT, 10), "mL", font=font(14), fill=TEXT)
    for i, phase in enumerate(phases):
        pen.text((at(i, 0)[0], _HEIGHT - _BOTTOM + 14), phase, font=font(13), fill=QUIET, anchor="mt")
    for row, (key, own) in enumerate(volumes_ml.items()):
        structure = BY_KEY[key]
        points = [at(i, volume) for i, volume in enumerate(own)]
        pen.line(points, fill=structure.colour, width=3)
        for x, y in points:
            pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=structure.colour)
        pen.text((_WIDTH - _RIGHT + 24, _TOP + 24 * row), structure.name, font=font(14), fill=structure.colour)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()
