"""Baseline characteristics as a table for people (terminal, Markdown, CSV) and as JSON for programs."""

import csv
import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from textwrap import wrap
from typing import Any

from whs_fast.study.cohort.baseline import ALL, CHI_SQUARED, FISHER, KRUSKAL_WALLIS, Baseline, Categories, Numbers
from whs_fast.study.statistics import Summary, describe_median, describe_p
from whs_fast.study.tables import NONE, Table, to_markdown
from whs_fast.writing.result_folder import written_aside

SCHEMA = 1
RESULT_NAMES = ("cohort_table.csv", "cohort_table.md", "cohort_table.json")


def save(baseline: Baseline, folder: Path, *, overwrite: bool = False) -> None:
    """Writes RESULT_NAMES into a folder, all or nothing.

    Raises InputError for earlier results in the folder unless overwrite is true; OutputError where writing fails.
    """
    table = make_table(baseline)
    with written_aside(folder, overwrite=overwrite, names=RESULT_NAMES) as aside:
        with (aside / "cohort_table.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([table.columns, *table.rows])
        (aside / "cohort_table.md").write_text(to_markdown(table), encoding="utf-8")
        (aside / "cohort_table.json").write_text(to_json(baseline) + "\n", encoding="utf-8")


def to_json(baseline: Baseline) -> str:
    """All figures, unrounded; what is not defined is null."""
    variables: list[dict[str, Any]] = []
    for variable in baseline.variables:
        if isinstance(variable, Numbers):
            described = "mean_sd" if variable.normal else "median_quartiles"
            test = None if variable.p is None else KRUSKAL_WALLIS
            groups = {group: asdict(summary) for group, summary in variable.summaries.items()}
            variables.append(
                {"name": variable.name, "kind": "continuous", "described_by": described, "test": test, "p": variable.p}
                | {"groups": groups}
            )
        else:
            variables.append(
                {"name": variable.name, "kind": "categorical", "test": variable.test, "p": variable.p}
                | {"counts": variable.counts, "missing": variable.missing}
            )
    content = {
        "schema": SCHEMA,
        "by": baseline.by,
        "groups": baseline.groups,
        "variables": variables,
        "notes": list(baseline.notes),
        "version": version("whs_fast"),
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)


def make_table(baseline: Baseline) -> Table:
    """The table as people read it: a row for each variable, or for each of its levels, then one for missing values."""
    rows: list[tuple[str, ...]] = []
    for variable in baseline.variables:
        rows += _number_rows(variable) if isinstance(variable, Numbers) else _category_rows(variable, baseline.groups)
    heads = [f"{'All' if group == ALL else group} (n = {count})" for group, count in baseline.groups.items()]
    notes = [
        "Numbers: mean ± SD if Shapiro-Wilk rejects a normal distribution in no group (p > 0.05), otherwise median "
        f"(Q1–Q3); {KRUSKAL_WALLIS} test. Categories: n (% of the values present); {FISHER} test (Freeman-Halton)."
    ]
    if any(isinstance(variable, Categories) and variable.test == CHI_SQUARED for variable in baseline.variables):
        notes.append(f"{CHI_SQUARED}: Pearson's test without correction, where the exact one would take too long.")
    title = f"Baseline characteristics by {baseline.by}"
    return Table(title, ("Characteristic", *heads, "p", "Test"), tuple(rows), (*notes, *baseline.notes))


def to_text(table: Table) -> str:
    """The table for a terminal: columns aligned, the first to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in (table.columns, *table.rows)) for i in range(len(table.columns))]
    last = len(widths) - 1

    def line(cells: tuple[str, ...]) -> str:
        made = [
            cell.ljust(width) if i in (0, last) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(made).rstrip()

    rule = "  ".join("─" * width for width in widths)
    notes = [part for note in table.notes for part in wrap(note, max(len(rule), 60))]
    return "\n".join([table.title, "", line(table.columns), rule, *map(line, table.rows), rule, *notes])


def _number_rows(variable: Numbers) -> list[tuple[str, ...]]:
    digits = min(max(variable.decimals, 1), 3)
    how = "mean ± SD" if variable.normal else "median (Q1–Q3)"
    cells = [_describe(summary, digits, variable.normal) for summary in variable.summaries.values()]
    test = NONE if variable.p is None else KRUSKAL_WALLIS
    rows = [(f"{variable.name}, {how}", *cells, describe_p(variable.p), test)]
    missing = {group: summary.missing for group, summary in variable.summaries.items()}
    return rows + _missing_row(variable.name, missing)


def _describe(summary: Summary, digits: int, normal: bool) -> str:
    if not normal or summary.mean is None:
        return describe_median(summary, digits)
    spread = NONE if summary.sd is None else f"{summary.sd:.{digits}f}"
    return f"{summary.mean:.{digits}f} ± {spread}"


def _category_rows(variable: Categories, groups: dict[str, int]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    there = {group: count - variable.missing[group] for group, count in groups.items()}
    for level in variable.shown:
        counts = variable.counts[level]
        cells = [f"{counts[g]} ({100 * counts[g] / there[g]:.1f}%)" if there[g] else NONE for g in groups]
        p = (describe_p(variable.p), variable.test or NONE) if not rows else ("", "")
        rows.append((f"{variable.name}: {level}", *cells, *p))
    return rows + _missing_row(variable.name, variable.missing)


def _missing_row(name: str, missing: dict[str, int]) -> list[tuple[str, ...]]:
    if not missing[ALL]:
        return []
    return [(f"{name}: missing", *(str(count) for count in missing.values()), "", "")]
