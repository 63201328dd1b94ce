"""Published normal values beside what was measured, for the phase that the scan shows. All text is escaped.

A source's value for end-systole says nothing about a scan in end-diastole: where the phase is known, only what fits it
is shown, and where it is not, the scan's value stands beside none of them.
"""

import html
from collections.abc import Mapping
from typing import Any

from whs_fast.report.normal_values import NORMAL_VALUES, SOURCES, Normal, find_moment

SURFACE = """<label>Body surface area, m²: <input type="number" id="bsa" min="0.2" max="4" step="0.01"
inputmode="decimal"></label> adds this scan's values per square metre."""


def normal_table(measurements: Mapping[str, Any], surface: str = "") -> str:
    """The table with its sources; surface is SURFACE on a page whose script fills in what it asks for."""
    phase = measurements.get("source", {}).get("phase")
    moment = find_moment(phase)
    shown = [normal for normal in NORMAL_VALUES if normal.moment is None or moment in (None, normal.moment)]
    rows = "\n".join(_row(normal, measurements, moment) for normal in shown)
    sources = "\n".join(
        f'<li value="{number}">{html.escape(source.citation)} {html.escape(source.subjects)}</li>'
        for number, source in SOURCES.items()
    )
    return f"""<h2>Beside published normal values</h2>
<p>{_tell(phase, moment)} They depend on sex, body size, age and on how structures are delimited (papillary muscles,
appendages, the plane of a valve), and studies differ: no single value here says whether a heart is
normal. {surface}</p>
<div class="wide"><table class="normal">
<tr><th>Quantity</th><th class="number">This scan</th><th class="number">Men</th><th class="number">Women</th>
<th class="number">Source</th></tr>
{rows}
</table></div>
<details><summary>Sources</summary><ol class="quiet">
{sources}
</ol></details>"""


def _tell(phase: str | None, moment: str | None) -> str:
    if moment is None:
        return "The phase of the heart beat is not known, so nothing is compared with values for one moment of it."
    told = f"The scan shows {html.escape(str(phase))} of the R-R interval: "
    return told + (f"{moment}." if moment else "neither end-systole nor end-diastole, and their values are left out.")


def _row(normal: Normal, measurements: Mapping[str, Any], moment: str | None) -> str:
    value = measurements["structures"][normal.key]["volume_ml"] if normal.unit == "mL" else None
    value = measurements["lv_myocardium_mass_g"] if value is None else value
    name = normal.name
    if normal.moment is not None:
        name += f", {normal.moment}"
    cells = []
    for sex in range(2):
        text = f"{_range(normal.per_m2[sex])} {normal.unit}/m²"
        if normal.absolute is not None:
            text = f"{_range(normal.absolute[sex])} {normal.unit} ({text})"
        cells.append(f'<td class="number">{text}</td>')
    # Where limits are given per square metre only, nothing can be compared until the body surface area is known.
    unknown = "" if normal.absolute else f" (? {normal.unit}/m²)"
    if normal.moment is not None and moment is None:
        value, lacking = 0.0, "phase not known"
    else:
        lacking = "not found"
    found = (
        f'<td class="number" data-value="{value}" data-unit="{normal.unit}" data-unknown="{unknown}">'
        f'{value:.0f} {normal.unit}<span class="index">{unknown}</span></td>'
        if value
        else f'<td class="number quiet">{lacking}</td>'
    )
    return f'<tr><td>{name}</td>{found}{"".join(cells)}<td class="number">{normal.source}</td></tr>'


def _range(limits: tuple[float | None, float]) -> str:
    low, high = limits
    return f"up to {high:.0f}" if low is None else f"{low:.0f} to {high:.0f}"
