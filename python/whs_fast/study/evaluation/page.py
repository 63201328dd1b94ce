"""evaluation.html: one page with the tables and the figures in it, without scripts or addresses outside."""

import base64
import html
from collections.abc import Mapping, Sequence

from whs_fast.report.tables import STYLE, warning_list
from whs_fast.study.tables import Table, to_html

_STYLE = """
body { max-width: 80rem; }
th, td { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th.name, td.name { text-align: left; } th { vertical-align: bottom; white-space: normal; }
td.paper, th.paper { color: var(--quiet); border-left: 1px solid var(--line); white-space: normal; }
th.paper { max-width: 11rem; } p.quiet { font-size: .9rem; margin: .4rem 0; }
figure { margin: 0; } figure img { width: 100%; height: auto; display: block; background: #fff; }
figcaption { color: var(--quiet); font-size: .9rem; }
"""


def render_page(
    title: str, about: Sequence[str], warnings: Sequence[str], tables: Sequence[Table], figures: Mapping[str, bytes]
) -> str:
    """The page as text; about are lines below the title, figures PNG by caption, shown before the last table."""
    lines = "<br>\n".join(html.escape(line) for line in about)
    drawn = "\n".join(
        f'<figure><img alt="{html.escape(caption)}" src="data:image/png;base64,'
        f'{base64.b64encode(picture).decode("ascii")}"><figcaption>{html.escape(caption)}</figcaption></figure>'
        for caption, picture in figures.items()
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{STYLE}{_STYLE}</style>
</head>
<body>
<h1>{html.escape(title)}</h1>
<p class="quiet">{lines}</p>
{warning_list(warnings)}
{"".join(to_html(table) for table in tables[:-1])}
<h2>Figures</h2>
<div class="columns">
{drawn}
</div>
{to_html(tables[-1])}
</body>
</html>
"""
