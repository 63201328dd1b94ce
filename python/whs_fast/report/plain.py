"""Writes report.html: one plain page that contains everything it shows, for reading and for printing.

The picture is embedded, and the page uses no script and no outside address. Neither the name of the input nor anything
from its header appears: both can hold a patient's name.
"""

import base64
from collections.abc import Mapping
from typing import Any

from whs_fast.report.bulls_eye import draw_bulls_eye
from whs_fast.report.normal_table import normal_table
from whs_fast.report.quality import quality_table, traffic_light
from whs_fast.report.tables import (
    STYLE,
    ascending_text,
    making,
    notice,
    root_table,
    source_line,
    structure_table,
    valve_table,
    warning_list,
)


def render_report(measurements: Mapping[str, Any], picture: bytes, root_picture: bytes | None = None) -> str:
    """The page as text; measurements is the content of measurements.json, picture the PNG of `draw_picture`,
    root_picture that of the aortic root."""
    image = base64.b64encode(picture).decode("ascii")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Whole-heart segmentation</title>
<style>{STYLE}</style>
</head>
<body>
<h1>Whole-heart segmentation</h1>
{traffic_light(measurements)}
{warning_list(measurements["warnings"])}
{source_line(measurements)} {notice(measurements)}
<div class="picture"><img alt="Planes of the heart and of the body with the contours of the labels, and without them"
src="data:image/png;base64,{image}"></div>
<h2>Volumes</h2> {structure_table(measurements)}
{normal_table(measurements)}
{quality_table(measurements)}
{_valves(measurements, root_picture)}
{making(measurements)}
</body> </html>
"""


def _valves(measurements: Mapping[str, Any], root_picture: bytes | None) -> str:
    """Planes of the valves and the aortic root, as far as they were measured."""
    parts = []
    if "valves" in measurements:
        parts.append(f"<h2>Planes of the valves</h2> {valve_table(measurements['valves'])}")
    if "aortic_root" in measurements:
        parts.append(f"<h2>Aortic root</h2> {root_table(measurements['aortic_root'])}")
    if "ascending_aorta" in measurements:
        parts.append(f"<h2>Ascending aorta</h2> {ascending_text(measurements['ascending_aorta'])}")
    if root_picture is not None:
        image = base64.b64encode(root_picture).decode("ascii")
        parts.append(
            '<div class="picture"><img alt="The annulus from the aorta, a cut along the root, and the views that show '
            f'the annulus edge-on" src="data:image/png;base64,{image}"></div>'
        )
    if "left_ventricle_wall" in measurements:
        parts.append(f"<h2>Wall of the left ventricle</h2> {draw_bulls_eye(measurements['left_ventricle_wall'])}")
    return "\n".join(parts)
