"""The bull's-eye of the left ventricle: mean wall thickness in the 17 segments of the AHA, as an SVG for the pages.

Seen from the apex: anterior wall above, septum on the left; the base is the outer ring.
"""

import html
from collections.abc import Mapping
from typing import Any

import numpy as np

_RADII = (100.0, 70.0, 40.0, 16.0)  # of the rings' outer borders: basal, mid, apical, apex
_FROM_MM, _TO_MM = 4.0, 16.0
_THIN, _THICK = np.array((222.0, 235.0, 247.0)), np.array((8.0, 64.0, 129.0))  # sequential, told apart without hue


def draw_bulls_eye(wall: Mapping[str, Any]) -> str:
    """The figure, or why there is none; wall is `left_ventricle_wall` of measurements.json."""
    if "not_measurable" in wall:
        return f"<p>Not measurable: {html.escape(wall['not_measurable'])}.</p>"
    parts = []
    for index, segment in enumerate(wall["segments"]):
        ring = min(index // 6, 2) if index < 16 else 3
        count, place = ((6, index % 6), (6, index % 6), (4, index - 12), (1, 0))[ring]
        inner, outer = (*_RADII, 0.0)[ring + 1], _RADII[ring]
        middle = np.pi / 2 + place * 2 * np.pi / count  # the anterior one is above, then to the left
        path = _sector(inner, outer, middle, np.pi / count) if count > 1 else _circle(outer)
        millimetres = segment.get("thickness_mm")
        colour, ink = _colours(millimetres)
        x, y = (inner + outer) / 2 * np.cos(middle) * (count > 1), -(inner + outer) / 2 * np.sin(middle) * (count > 1)
        told = segment.get("not_measurable", f"{millimetres} mm, sd {segment.get('sd_mm')} mm")
        parts.append(
            f'<g><title>{index + 1}, {html.escape(segment["name"])}: {html.escape(told)}</title>'
            f'<path d="{path}" fill="{colour}" stroke="#8a929c"/>'
            f'<text x="{x:.1f}" y="{y + 3.5:.1f}" fill="{ink}">{"" if millimetres is None else millimetres}</text></g>'
        )
    corners = (("anterior", 0, -106), ("inferior", 0, 114), ("septal", -124, 4), ("lateral", 124, 4))
    words = "".join(f'<text x="{x}" y="{y}" fill="currentColor">{word}</text>' for word, x, y in corners)
    return (
        '<svg viewBox="-150 -120 300 240" style="max-width: 30rem" role="img" font-size="10" text-anchor="middle">'
        "<desc>Wall thickness of the left ventricle in 17 segments, mm, seen from the apex</desc>"
        f"{''.join(parts)}{words}"
        f"</svg>\n<p>Wall thickness, mm, mean of each segment; mean {wall['mean_mm']:.1f} mm. Long axis "
        f"{wall['long_axis_mm']:.0f} mm.</p>"
    )


def _sector(inner: float, outer: float, middle: float, half: float) -> str:
    (a, b), (c, d), (e, f), (g, h) = (
        (radius * np.cos(turn), -radius * np.sin(turn))
        for radius, turn in ((outer, middle - half), (outer, middle + half), (inner, middle + half),
                             (inner, middle - half))
    )  # fmt: skip
    return (
        f"M{a:.2f} {b:.2f}A{outer} {outer} 0 0 0 {c:.2f} {d:.2f}L{e:.2f} {f:.2f}A{inner} {inner} 0 0 1 {g:.2f} {h:.2f}Z"
    )


def _circle(radius: float) -> str:
    return f"M{radius} 0A{radius} {radius} 0 0 0 {-radius} 0A{radius} {radius} 0 0 0 {radius} 0Z"


def _colours(millimetres: float | None) -> tuple[str, str]:
    """Of a segment and of the number in it."""
    if millimetres is None:
        return "none", "currentColor"
    share = float(np.clip((millimetres - _FROM_MM) / (_TO_MM - _FROM_MM), 0, 1))
    red, green, blue = (round(float(v)) for v in _THIN + share * (_THICK - _THIN))
    return f"#{red:02x}{green:02x}{blue:02x}", "#ffffff" if share > 0.5 else "#1a1d21"
