"""Writes cohort.html: how the volumes of a cohort are spread, and its scans as pictures, the most suspicious first.

The page holds the figures; pictures and reports lie beside it and are loaded when they come into view, so that it opens
at once for thousands of scans. It works from the disk, without a network, and its own policy forbids every connection.
"""

import html
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.metadata import version
from typing import Any

from whs_fast.batching.rows import DONE
from whs_fast.batching.suspicion import MOST_SCORE, doubt_rows
from whs_fast.batching.table import CSV, PARQUET
from whs_fast.outputs import REPORTS
from whs_fast.report.normal_values import NORMAL_VALUES, SOURCES
from whs_fast.report.tables import STYLE, notice
from whs_fast.structures import STRUCTURES

PAGE = "cohort.html"
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' file:"
_MASS = "lv_myocardium_mass_g"
_QUANTITIES = (*(f"{s.key}_ml" for s in STRUCTURES), _MASS)


def render_page(rows: Sequence[Mapping[str, Any]]) -> str:
    """The page as text; rows are those of the table, those that failed included."""
    measured = [row for row in rows if _MASS in row]
    missed = [row for row in rows if row["status"] != DONE]
    static = resources.files("whs_fast.batching") / "static"
    # A < in a text, such as an id, must not end the script.
    data = json.dumps(_data(measured), ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    about = notice({"version": rows[0].get("version", version("whs_fast")) if rows else version("whs_fast")})
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>Whole-heart segmentation: cohort</title>
<style>{STYLE}{(static / "cohort.css").read_text("utf-8")}</style>
</head>
<body>
<h1>Whole-heart segmentation: {len(rows)} rows, {len(rows) - len(missed)} done</h1>
{about}
<p>All figures: <a href="{CSV}">{CSV}</a>, <a href="{PARQUET}">{PARQUET}</a>.</p>
<h2>Volumes and mass</h2>
<p class="quiet">A point is a scan: click it for its report. A ring marks a value unlike the others (modified z-score
over {MOST_SCORE:g} on logarithms). Blue: first to third quartile, with the median. Bars below: normal ranges.</p>
<div id="quantities"></div>
<div id="tip" hidden></div>
{_sources()}
{_missed_table(missed)}
<h2>Pictures, the most suspicious first</h2>
<p><label>Show ids that contain <input id="filter" type="search" autocomplete="off"></label>
<span id="shown" class="quiet" aria-live="polite"></span></p>
<div id="sheet"></div>
<div id="more"></div>
<script type="application/json" id="data">{data}</script>
<script>{(static / "cohort.js").read_text("utf-8")}</script>
</body> </html>
"""


def _data(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    doubts = doubt_rows(rows)
    order = sorted(range(len(rows)), key=lambda index: (-doubts[index].score, rows[index]["id"]))
    return {
        "quantities": [_describe(name) for name in _QUANTITIES],
        "report": REPORTS["plain"].files[0],
        "most": MOST_SCORE,
        "rows": [
            {
                "id": rows[index]["id"],
                "files": rows[index]["files"],
                "values": [rows[index][name] for name in _QUANTITIES],
                "z": [round(float(score), 1) for score in (*doubts[index].z, doubts[index].z[3])],
                "reasons": doubts[index].reasons,
            }
            for index in order
        ],
    }


def _describe(name: str) -> dict[str, Any]:
    """A quantity: its name, unit, colour, and the published normal ranges that hold without the body's size."""
    structure = next(s for s in STRUCTURES if name == f"{s.key}_ml" or (name == _MASS and s.label == 4))
    unit = "g" if name == _MASS else "mL"
    ranges = [
        {"name": sex + (f", {normal.moment}" if normal.moment else ""), "low": low or 0.0, "high": high}
        for normal in NORMAL_VALUES
        if normal.absolute is not None and (normal.key, normal.unit) == (structure.key, unit)
        for sex, (low, high) in zip(("men", "women"), normal.absolute, strict=True)
    ]
    title = "Left ventricular mass" if name == _MASS else structure.name
    return {"name": title, "unit": unit, "colour": "#{:02x}{:02x}{:02x}".format(*structure.colour), "ranges": ranges}


def _sources() -> str:
    used = sorted({normal.source for normal in NORMAL_VALUES if normal.absolute is not None})
    items = "".join(
        f"<p>[{number}] {html.escape(SOURCES[number].citation)} {html.escape(SOURCES[number].subjects)}</p>"
        for number in used
    )
    return (
        '<div class="sources quiet"><p>Normal ranges are shown where they are published in mL or g, not only for each '
        f"square metre of body surface, which is not known here. They judge no scan.</p>{items}</div>"
    )


def _missed_table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    cells = "\n".join(
        f"<tr><td>{html.escape(row['id'])}</td><td>{row['status']}</td><td>{html.escape(row['reason'])}</td></tr>"
        for row in rows
    )
    return (
        f'<h2>Not done: {len(rows)}</h2>\n<div class="missed"><table><tr><th>Scan</th><th>Status</th><th>Reason</th>'
        f"</tr>{cells}</table></div>"
    )
