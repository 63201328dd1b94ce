"""Fisher's exact test: the paper's Table 1, scipy, and a listing of every table."""

from fractions import Fraction
from itertools import product
from math import factorial, prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from support.paper_table import PAPER
from whs_fast.study.cohort.fisher import TableTooLargeError, fisher_exact


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_counts_give_its_p_values(name):
    having, known, p = PAPER[name]
    assert round(fisher_exact([having, np.subtract(known, having).tolist()]), 3) == p


def every_table(rows, columns):
    """All tables with these margins, by trying every value in all cells but the last row and column."""
    free = [range(min(r, c) + 1) for r in rows[:-1] for c in columns[:-1]]
    for values in product(*free):
        table = np.reshape(values, (len(rows) - 1, len(columns) - 1))
        table = np.column_stack([table, np.subtract(rows[:-1], table.sum(axis=1))])
        table = np.vstack([table, np.subtract(columns, table.sum(axis=0))])
        if table.min() >= 0:
            yield table.tolist()


def slow_fisher(table):
    """The definition, in fractions."""
    rows, columns = [sum(row) for row in table], [sum(column) for column in zip(*table, strict=True)]

    def probability(one):
        margins = prod(map(factorial, rows + columns))
        return Fraction(margins, factorial(sum(rows)) * prod(factorial(cell) for row in one for cell in row))

    observed = probability(table)
    return float(sum(p for p in map(probability, every_table(rows, columns)) if p <= observed))


@given(st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=2, max_size=3))
def test_three_groups_equal_the_definition(table):
    assert fisher_exact(table) == pytest.approx(slow_fisher(table), rel=1e-12)


@settings(max_examples=20)
@given(st.lists(st.lists(st.integers(0, 2), min_size=4, max_size=4), min_size=3, max_size=3))
def test_four_groups_equal_the_definition(table):
    assert fisher_exact(table) == pytest.approx(slow_fisher(table), rel=1e-12)


@given(st.lists(st.lists(st.integers(0, 40), min_size=2, max_size=2), min_size=2, max_size=2))
def test_two_by_two_equals_scipy(table):
    expected = 1.0 if 0 in np.sum(table, axis=0) or 0 in np.sum(table, axis=1) else stats.fisher_exact(table).pvalue
    assert fisher_exact(table) == pytest.approx(expected, rel=1e-9)


@given(st.lists(st.lists(st.integers(0, 5), min_size=3, max_size=3), min_size=2, max_size=4), st.randoms())
def test_the_order_of_rows_and_columns_and_turning_change_nothing(table, random):
    mixed = [row[:] for row in table]
    random.shuffle(mixed)
    assert fisher_exact(table) == fisher_exact(mixed) == fisher_exact([list(c) for c in zip(*mixed, strict=True)])


def test_one_filled_row_or_column_leaves_one_table():
    assert fisher_exact([[3, 4, 5]]) == fisher_exact([[3], [4]]) == fisher_exact([[3, 0], [4, 0]]) == 1.0
    assert fisher_exact([[0, 0], [0, 0]]) == 1.0


@pytest.mark.parametrize("table", [[], [[1, 2], [3]], [[1, -1], [2, 3]]])
def test_what_is_no_table_is_refused(table):
    with pytest.raises(ValueError, match="expected rows of equal length"):
        fisher_exact(table)


def test_a_table_that_would_take_too_long_is_said():
    table = (np.arange(30).reshape(6, 5) % 17 + 4).tolist()
    with pytest.raises(TableTooLargeError, match="expected a smaller one"):
        fisher_exact(table, most_steps=20_000)
    assert fisher_exact([[44, 8, 6], [10, 0, 2]], most_steps=20_000) < 1.0
