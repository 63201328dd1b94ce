"""Writes report.html: one plain page that holds everything it shows, for reading and for printing.

The picture is embedded, no script and no address outside the page is used, and neither the name of the input nor
anything from its header appears: both can hold a patient's name. All text is escaped.
"""

import base64
import html
from collections.abc import Iterable, Mapping
from typing import Any

from whs_fast.structures import STRUCTURES

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1d21; --quiet: #5d6570; --line: #d8dce2; --paper: #ffffff; --warn: #fff4d6;
} @media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaee; --quiet: #9aa2ad; --line: #343a43; --paper: #14161a; --warn: #3d3314; }
}
body { max-width: 72rem; margin: 2rem auto; padding: 0 1.25rem; background: var(--paper); color: var(--ink);
       font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.quiet { color: var(--quiet); } img { width: 100%; height: auto; border-radius: 6px; margin-top: 1rem; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; }
td, th { padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.hash { font-family: ui-monospace, Consolas, Menlo, monospace; font-size: .8rem; overflow-wrap: anywhere; }
.swatch { display: inline-block; width: .8rem; height: .8rem; border-radius: 3px; margin-right: .6rem; }
.warnings { background: var(--warn); border-radius: 6px; padding: .6rem 1rem .6rem 2rem; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 0 2.5rem; }
@media print { body { margin: 0; } h2 { break-after: avoid; } }
"""


def render_report(measurements: Mapping[str, Any], picture: bytes) -> str:
    """The page as text; measurements is the content of measurements.json, picture the PNG of the three planes."""
    image = base64.b64encode(picture).decode("ascii")
    valve = ", ".join(f"{coordinate:.1f}" for coordinate in measurements["aortic_valve_mm"])
    warnings = "".join(f"<li>{html.escape(text)}</li>" for text in measurements["warnings"])
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Whole-heart segmentation</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Whole-heart segmentation</h1>
<p class="quiet">whs_fast {html.escape(str(measurements["version"]))}. Research software: not a medical device, and not
for decisions about patients.</p> {f'<ul class="warnings">{warnings}</ul>' if warnings else ""} <img alt="Axial,
coronal and sagittal plane through the aortic valve with the labels" src="data:image/png;base64,{image}">
<h2>Volumes</h2> <table> <tr><th>Structure</th><th class="number">Volume, mL</th><th>Cut off by</th></tr>
{_structure_rows(measurements["structures"])} </table> <p><strong>Mass of the left ventricular myocardium:
{measurements["lv_myocardium_mass_g"]:.1f} g</strong> <span class="quiet">(1.05 g/mL)</span><br> Centre of the aortic
valve (x, y, z; LPS): {valve} mm</p> <div class="columns"> <section><h2>Time</h2>
<table>{_timing_rows(measurements)}</table></section> <section><h2>Models <span class="quiet">(SHA-256)</span></h2>
<table>{_model_rows(measurements["models"].items())}</table></section> </div> </body> </html>
"""


def _structure_rows(structures: Mapping[str, Any]) -> str:
    rows = []
    for structure in STRUCTURES:
        entry = structures[structure.key]
        edges = [name for name in ("scan", "region") if entry[f"touches_{name}_edge"]]
        colour = "#{:02x}{:02x}{:02x}".format(*structure.colour)
        volume = f"{entry['volume_ml']:.1f}" if entry["volume_ml"] else "not found"
        rows.append(
            f'<tr><td><span class="swatch" style="background:{colour}"></span>{html.escape(structure.name)}</td>'
            f'<td class="number">{volume}</td><td>{"edge of the " + " and the ".join(edges) if edges else ""}</td></tr>'
        )
    return "\n".join(rows)


def _timing_rows(measurements: Mapping[str, Any]) -> str:
    rows = [
        f'<tr><td>{html.escape(step)}</td><td class="number">{seconds:.2f} s</td></tr>'
        for step, seconds in measurements["timings_s"].items()
    ]
    if measurements["peak_memory_mb"] is not None:
        rows.append(f'<tr><td>peak memory</td><td class="number">{measurements["peak_memory_mb"]:.0f} MB</td></tr>')
    return "\n".join(rows)


def _model_rows(models: Iterable[tuple[str, str]]) -> str:
    return "\n".join(
        f'<tr><td>{html.escape(name)}</td><td class="hash">{html.escape(digest)}</td></tr>' for name, digest in models
    )
