"""Baseline characteristics of groups of patients, as in Table 1 of the paper, with a p-value for each variable.

Numbers are described by mean +- SD if Shapiro-Wilk rejects a normal distribution in no group, otherwise by median and
quartiles, and compared with Kruskal and Wallis's test (J Am Stat Assoc 1952, doi 10.1080/01621459.1952.10483441).
Categories are described by counts and shares of the values present, and compared with Fisher's exact test. Missing
values are counted in rows of their own. Where the exact test would take too long, which needs a large cohort with many
categories, Pearson's chi-squared test takes its place, and the table names it.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from whs_fast.errors import InputError
from whs_fast.study.cohort.fisher import TableTooLargeError, fisher_exact
from whs_fast.study.cohort.patients import ID_COLUMNS, PatientTable, to_number
from whs_fast.study.statistics import Summary, summarise

ALL = "all"
KRUSKAL_WALLIS = "Kruskal-Wallis"
FISHER = "Fisher's exact"
CHI_SQUARED = "chi-squared"

_MOST_GROUPS = 12
_MOST_CODES = 5  # different whole numbers from 0 to 9 that are taken as categories, such as a NYHA class
_NO = frozenset(("0", "no", "n", "false", "none", "absent"))
_YES = frozenset(("1", "yes", "y", "true", "present"))


@dataclass(frozen=True)
class Numbers:
    """A variable of numbers: a summary for ALL and for each group, and decimals as the file has them.

    normal says whether mean +- SD describes it; p is None where it is not defined.
    """

    name: str
    summaries: dict[str, Summary]
    decimals: int
    normal: bool
    p: float | None


@dataclass(frozen=True)
class Categories:
    """A variable of categories: counts of each level, and of missing values, for ALL and for each group.

    shown are the levels worth a row: of yes and no, only yes. test names the test that gave p, which is None where it
    is not defined.
    """

    name: str
    counts: dict[str, dict[str, int]]
    missing: dict[str, int]
    shown: tuple[str, ...]
    test: str | None
    p: float | None


@dataclass(frozen=True)
class Baseline:
    """All variables of a table, in its order.

    groups holds the number of rows of ALL and of each group; notes say what was left out or merged.
    """

    by: str
    groups: dict[str, int]
    variables: tuple[Numbers | Categories, ...]
    notes: tuple[str, ...]


def compare_groups(
    table: PatientTable,
    by: str,
    *,
    categorical: Collection[str] = (),
    continuous: Collection[str] = (),
    progress: Callable[[str, float], None] | None = None,
) -> Baseline:
    """Describes and compares all columns of a table by the groups that one column names.

    A column of numbers is continuous, unless it holds at most five different whole numbers from 0 to 9; all others are
    categorical. categorical and continuous name columns to treat otherwise. Columns that identify patients are left
    out. progress is called with each column and the share that is done.
    Raises InputError for missing columns, for no group or more than 12, and for a column in which most values are
    numbers and some are not.
    """
    of_row = table.column(by, "to group by")
    for name in (*categorical, *continuous):
        table.column(name, "among those named")
    groups = sorted({group for group in of_row if group is not None}, key=_group_order)
    if not 1 <= len(groups) <= _MOST_GROUPS:
        raise InputError(f"{table.name}: found {len(groups)} groups in {by!r}, expected 1 to {_MOST_GROUPS}")
    if ALL in groups:
        raise InputError(f"{table.name}: {by!r} has a group called {ALL!r}, the name for all rows; rename it")
    notes: list[str] = []
    variables: list[Numbers | Categories] = []
    without = of_row.count(None)
    if without:
        notes.append(f"{without} of {len(of_row)} rows have no value in {by} and are left out.")
    rows = {group: [i for i, own in enumerate(of_row) if own == group] for group in groups}
    rows = {ALL: [i for i, own in enumerate(of_row) if own is not None]} | rows
    for place, (name, values) in enumerate(table.columns.items()):
        if progress is not None:
            progress(name, place / len(table.columns))
        if name == by:
            continue
        numbers = _read_numbers(table, name, values) if name not in categorical else None
        if name in continuous and numbers is None:
            raise InputError(f"{table.name}: found text in {name!r}, expected numbers")
        if name not in categorical and name not in continuous and _identifies(name, values, numbers):
            notes.append(f"{name} identifies patients (its name says so, or no value occurs twice) and is left out.")
        elif numbers is not None and (name in continuous or not _are_codes(numbers)):
            variables.append(_describe_numbers(name, values, numbers, rows))
        else:
            if numbers is not None:  # 1 and 1.0 are one code; some programs write the latter beside missing values
                values = [None if np.isnan(number) else f"{number:g}" for number in numbers]
            own_notes, described = _describe_categories(name, values, rows)
            notes += own_notes
            variables.append(described)
    return Baseline(by, {group: len(own) for group, own in rows.items()}, tuple(variables), tuple(notes))


def _group_order(group: str) -> tuple[int, float, str]:
    """Training, validation, test; then numbers by size; then names."""
    known = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "test": 2, "testing": 2}
    number = to_number(group, ",")
    return known.get(group.casefold(), 3), float("inf") if number is None else number, group.casefold()


def _read_numbers(table: PatientTable, name: str, values: Sequence[str | None]) -> list[float] | None:
    """The values as numbers, NaN where missing; None where the column holds text."""
    numbers = [np.nan if value is None else to_number(value, table.separator) for value in values]
    wrong = [i for i, number in enumerate(numbers) if number is None]
    there = sum(value is not None for value in values)
    if not there or len(wrong) * 2 >= there:
        return None
    if wrong:
        raise InputError(
            f"{table.name}: line {table.lines[wrong[0]]} has {values[wrong[0]]!r} among the numbers of column "
            f"{name!r}, expected a number or an empty cell (or --categorical {name!r})"
        )
    return [float(number) for number in numbers if number is not None]


def _are_codes(numbers: Sequence[float]) -> bool:
    different = {number for number in numbers if not np.isnan(number)}
    return len(different) <= _MOST_CODES and all(number in range(10) for number in different)


def _identifies(name: str, values: Sequence[str | None], numbers: Sequence[float] | None) -> bool:
    there = [value for value in values if value is not None]
    if name.casefold().replace(" ", "_") in ID_COLUMNS:
        return True
    return numbers is None and len(there) > 2 and len(set(there)) == len(there)


def _describe_numbers(
    name: str, values: Sequence[str | None], numbers: Sequence[float], rows: dict[str, list[int]]
) -> Numbers:
    summaries = {group: summarise([numbers[i] for i in own]) for group, own in rows.items()}
    tested = [summary for group, summary in summaries.items() if group != ALL and summary.shapiro_p is not None]
    samples = [[numbers[i] for i in own if not np.isnan(numbers[i])] for group, own in rows.items() if group != ALL]
    samples = [sample for sample in samples if sample]
    p = None
    if len(samples) > 1 and len({number for sample in samples for number in sample}) > 1:
        p = float(stats.kruskal(*samples).pvalue)
    decimals = max(len(value.replace(",", ".").partition(".")[2]) for value in values if value is not None)
    normal = bool(tested) and all(summary.normal for summary in tested)
    return Numbers(name, summaries, decimals, normal, p)


def _describe_categories(
    name: str, values: Sequence[str | None], rows: dict[str, list[int]]
) -> tuple[list[str], Categories]:
    spellings: dict[str, str] = {}
    for i in rows[ALL]:
        value = values[i]
        if value is not None:
            spellings.setdefault(value.casefold(), value)
    notes = []
    if len(set(values) - {None}) > len({value.casefold() for value in values if value is not None}):
        notes.append(f"{name} has levels that differ only in upper and lower case; they count as one.")
    levels = sorted(spellings, key=lambda level: _group_order(level)[1:])
    read = [None if value is None else value.casefold() for value in values]
    counts = {
        spellings[level]: {group: sum(read[i] == level for i in own) for group, own in rows.items()} for level in levels
    }
    missing = {group: sum(read[i] is None for i in own) for group, own in rows.items()}
    positive = [level for level in levels if level in _YES]
    one_row = bool(positive) and len(levels) <= 2 and all(level in _YES | _NO for level in levels)
    shown = positive[:1] if one_row else levels
    test, p = _compare([[own[group] for group in rows if group != ALL] for own in counts.values()])
    return notes, Categories(name, counts, missing, tuple(spellings[level] for level in shown), test, p)


def _compare(table: list[list[int]]) -> tuple[str | None, float | None]:
    if len(table) < 2:
        return None, None
    there = np.array(table)
    there = there[:, there.any(axis=0)]
    if there.shape[1] < 2:
        return None, None
    try:
        return FISHER, fisher_exact(there.tolist())
    except TableTooLargeError:
        return CHI_SQUARED, float(stats.chi2_contingency(there, correction=False).pvalue)
