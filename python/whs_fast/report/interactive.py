"""Writes report_interactive.html: one page that works offline, with slices to scroll through and a heart to turn.

It contains all that it shows: a small box of the scan and its labels, packed; surfaces; the scripts of `static`; and
plotly.js, which draws the 3D view (taken from the plotly package, MIT licence). Its own Content-Security-Policy forbids
every connection. Neither the name of the input nor anything from its header appears, but the images are the patient's.
"""

import base64
import html
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast.report.box import SPACING_MM, cut_box, cut_box_labels
from whs_fast.report.normal_table import SURFACE, normal_table
from whs_fast.report.quality import quality_table, traffic_light
from whs_fast.report.tables import (
    STYLE,
    making,
    notice,
    source_line,
    structure_table,
    swatch,
    volume_text,
    warning_list,
)
from whs_fast.report.views import View, body_views, heart_views, look
from whs_fast.steps.region import WINDOW_HU
from whs_fast.structures import STRUCTURES
from whs_fast.volume import Triple, Volume, mm_to_index
from whs_fast.writing.meshes import Mesh, make_meshes

_SCRIPTS = ("data.js", "slices.js", "scene.js", "page.js")
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
_SURFACE_STEP_MM = 0.01
_SAMPLE_MM = 2.0  # of the surfaces, which are only looked at: a quarter of the triangles of the exported ones


@dataclass(frozen=True)
class Scene:
    """What the page shows besides the tables: facts for the scripts, and packed data by name."""

    meta: dict[str, Any]
    packed: dict[str, str] = field(repr=False)


def prepare_scene(
    volume: Volume, labels: NDArray[np.uint8], valve_mm: Triple, measurements: Mapping[str, Any], *, threads: int
) -> Scene:
    """Packs what the page shows of scan, labels (uint8[z, y, x], on the same grid), valve (x, y, z; mm, LPS) and the
    planes of the valves in the measurements."""
    from plotly.offline import get_plotlyjs

    seen = look(labels, volume.grid, valve_mm, threads=threads)
    box = cut_box(volume, seen, valve_mm, threads=threads)
    shown = cut_box_labels(labels, volume.grid, box, threads=threads)
    meshes = make_meshes(labels, volume.grid, threads=threads, step_mm=_SAMPLE_MM)
    surfaces, numbers = _pack_surfaces(meshes, box.grid.origin_mm)
    last = np.asarray(box.grid.shape[::-1]) - 1
    valve = np.clip(np.rint(mm_to_index(box.grid, valve_mm)[::-1]), 0, last).astype(int)
    meta = {
        "shape": list(box.grid.shape),
        "spacing_mm": SPACING_MM,
        "origin_mm": [round(value, 3) for value in box.grid.origin_mm],
        "window_hu": list(WINDOW_HU),
        "valve_voxel": valve.tolist(),
        "planes": [
            *(_plane(view, axis) for view, axis in zip(body_views(seen, valve_mm), (2, 1, 0), strict=True)),
            *(_plane(view, None) for view in heart_views(seen, measurements.get("valves", {}))),
        ],
        "structures": [{"label": s.label, "name": s.name, "colour": list(s.colour)} for s in STRUCTURES],
        "surfaces": surfaces,
        "surface_step_mm": _SURFACE_STEP_MM,
    }
    packed = {
        "scan": _pack(_predict(box.scan)),
        "labels": _pack(shown.tobytes()),
        "surfaces": _pack(numbers),
        "plotly": _pack(get_plotlyjs().encode()),
    }
    return Scene(meta, packed)


def _plane(view: View, axis: int | None) -> dict[str, Any]:
    """A view for the scripts; axis: that of the body along which its slices are counted."""
    vectors = {name: getattr(view, name).round(4).tolist() for name in ("centre_mm", "across", "down")}
    name = view.name.lower().replace(" ", "-")
    return {"id": name, "name": view.name, "side_mm": view.side_mm, "letters": view.letters, "axis": axis} | vectors


def render_interactive(measurements: Mapping[str, Any], scene: Scene) -> str:
    """The page as text; measurements is the content of measurements.json."""
    static = resources.files("whs_fast.report") / "static"
    style = STYLE + (static / "page.css").read_text(encoding="utf-8")
    scripts = "\n".join((static / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    carried = "\n".join(
        f'<script type="application/octet-stream" id="{name}">{data}</script>' for name, data in scene.packed.items()
    )
    # A script ends at the first "</", whatever surrounds it.
    meta = json.dumps(scene.meta).replace("<", "\\u003c")
    megabytes = sum(len(data) for data in scene.packed.values()) / 1e6
    size = " x ".join(str(count) for count in scene.meta["shape"][::-1])
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Whole-heart segmentation</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<div class="screen"><header><h1>Whole-heart segmentation</h1>
{traffic_light(measurements)}
{warning_list(measurements["warnings"])}
{source_line(measurements)} {notice(measurements)}</header>
{_viewer(measurements, scene)}</div>
<main>
<details><summary>How to use the images</summary><p>Wheel, arrow keys or slider move through slices; a click or
drag moves the cross in all planes of the body; a drag with the right button changes the window; a click on a plane's
name shows it alone. The planes of the heart are laid through the valves and the apex. In 3D a drag or the arrow keys
turn, the wheel or plus and minus zoom. R and L are the patient's right and left, A front, P back, H head, F feet.
</p></details>
<h2>Volumes</h2> {structure_table(measurements)}
{normal_table(measurements, SURFACE)}
<details><summary>Quality of the scan</summary>{quality_table(measurements)}</details>
{making(measurements)}
<details><summary>About this page</summary>
<p>It works without a network and sends nothing. It carries {megabytes:.1f} MB: the scan around the heart, {size} voxels
of {SPACING_MM:g} mm in 8 bits from {WINDOW_HU[0]:.0f} to {WINDOW_HU[1]:.0f} HU, the labels, smoothed surfaces and
plotly.js (MIT licence, Plotly, Inc.), which draws the 3D view. It holds no name, date or number of the patient, but it
shows the patient's heart: treat it as you treat the scan. Volumes were measured on the scan itself, not on what is
shown here.</p></details>
</main>
<script type="application/json" id="meta">{meta}</script>
{carried}
<script type="module">
{scripts}
</script>
</body> </html>
"""


def _viewer(measurements: Mapping[str, Any], scene: Scene) -> str:
    limits = {
        "opacity": ("Fill of the labels", 0, 100),
        "level": ("Window centre", round(WINDOW_HU[0]), round(WINDOW_HU[1])),
        "width": ("Window width", 20, round(WINDOW_HU[1] - WINDOW_HU[0])),
    }
    sliders = "\n".join(
        f'<label>{name}: <output id="{key}-value" for="{key}"></output><br>'
        f'<input type="range" id="{key}" min="{low}" max="{high}"></label>'
        for key, (name, low, high) in limits.items()
    )
    boxes = "\n".join(
        f'<label><input type="checkbox" value="{s.label}" checked>{swatch(s)}{html.escape(s.name)} '
        f'<span class="ml">{volume_text(measurements, s)}</span></label>'
        for s in STRUCTURES
    )
    panels = [
        f'<section class="panel" id="{plane["id"]}"><h2><output></output>'
        f'<button type="button" title="Alone, or with the others">{plane["name"]}</button></h2>'
        f'<canvas class="slice" tabindex="0" role="slider" aria-label="{plane["name"]}"></canvas>'
        f'<input type="range" aria-label="{plane["name"]}, slice"></section>'
        for plane in scene.meta["planes"]
    ]
    views = "\n".join(
        f'<button type="button" disabled>{name}</button>' for name in ("Front", "Back", "Left", "Right", "Head", "Feet")
    )
    panels.insert(
        3,
        '<section class="panel" id="heart"><h2>Heart in 3D</h2>'
        '<div class="scene" tabindex="0" role="application" '
        'aria-label="Heart in 3D; arrow keys turn, plus and minus zoom">'
        f'<p class="note">Loading the 3D view.</p></div><div class="views">{views}</div></section>',
    )
    return f"""<section id="viewer" aria-label="Images">
<div class="controls" tabindex="0" role="group" aria-label="Controls">
{sliders}
<div><label><input type="checkbox" id="contours" checked> Contours</label>
<button type="button" id="reset">Reset to the valve</button></div>
<fieldset id="structures"><legend>Structures, mL</legend>
{boxes}
</fieldset>
<div><button type="button" id="all">All or none</button></div>
</div>
<div class="panels">
{chr(10).join(panels)}
</div>
<div class="below"><p id="point" role="status">Loading the images.</p>
<noscript><p>The images need JavaScript; the tables below do not.</p></noscript></div>
</section>"""


def _pack(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 6)).decode("ascii")


def _predict(scan: NDArray[np.uint8]) -> bytes:
    """Each voxel minus the mean of its preceding neighbours along x, y and z, modulo 256: compresses a fifth better."""
    parts = []
    before = np.zeros(scan.shape[1:], np.uint16)
    for plane in scan:
        wide = np.pad(plane.astype(np.uint16), ((1, 0), (1, 0)))
        guess = (wide[1:, :-1] + wide[:-1, 1:] + before) // 3
        parts.append((plane - guess).astype(np.uint8).tobytes())
        before = wide[1:, 1:]
    return b"".join(parts)


def _pack_surfaces(meshes: Iterable[Mesh], origin_mm: Triple) -> tuple[list[dict[str, int]], bytes]:
    """The counts of vertices and faces of each structure, and both as differences, in steps from the first voxel."""
    counts, parts = [], []
    for mesh in meshes:
        counts.append({"label": mesh.structure.label, "vertices": len(mesh.vertices), "faces": len(mesh.faces)})
        places = np.rint((mesh.vertices.astype(np.float64) - origin_mm) / _SURFACE_STEP_MM)
        for numbers in (places, mesh.faces.astype(np.int64)):
            parts.append(np.diff(numbers, axis=0, prepend=0).astype("<i4").tobytes())
    return counts, b"".join(parts)
