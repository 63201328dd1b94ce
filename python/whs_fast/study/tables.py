"""Tables for people: made once, as text, and then written as Markdown or as HTML."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

NONE = "–"


@dataclass(frozen=True)
class Table:
    """A title, column heads, rows of text as long as the heads, and notes to print below.

    paper holds the indices of the columns that come from the paper, and so from another data set.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    paper: frozenset[int] = frozenset()


def to_markdown(table: Table) -> str:
    """The table in Markdown; numbers are aligned right."""
    lines = [
        f"### {table.title}",
        "",
        _markdown_row(table.columns),
        "|---" + "|---:" * (len(table.columns) - 1) + "|",
        *(_markdown_row(row) for row in table.rows),
    ]
    for note in table.notes:
        lines += ["", note]
    return "\n".join(lines) + "\n"


def to_html(table: Table) -> str:
    """The table in HTML, all text escaped."""

    def cells(tag: str, texts: Sequence[str]) -> str:
        made = []
        for place, text in enumerate(texts):
            kinds = [kind for kind, holds in (("name", place == 0), ("paper", place in table.paper)) if holds]
            made.append(f'<{tag} class="{" ".join(kinds)}">{html.escape(text)}</{tag}>')
        return f"<tr>{''.join(made)}</tr>"

    rows = "\n".join(cells("td", row) for row in table.rows)
    notes = "".join(f'<p class="quiet">{html.escape(note)}</p>' for note in table.notes)
    head = cells("th", table.columns)
    return (
        f"<h2>{html.escape(table.title)}</h2>\n"
        f'<div class="wide"><table><thead>{head}</thead>\n<tbody>{rows}</tbody></table></div>\n{notes}'
    )


def _markdown_row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"
