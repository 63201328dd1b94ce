"""Fisher's exact test for tables of any size: the p-value itself, in whole numbers, without sampling or rounding.

Freeman and Halton (Biometrika 1951, doi 10.1093/biomet/38.1-2.141) add up the probabilities of all tables with the
margins of the observed one that are no more likely than it. With fixed margins a table's probability is proportional
to the number of ways to fill its columns, the product of a multinomial coefficient a column, which is an integer: so
"no more likely" is decided exactly, ties included, where floating point needs a tolerance.

Tables are not listed one by one. As in the network algorithm of Mehta and Patel (J Am Stat Assoc 1983,
doi 10.1080/01621459.1983.10477989), columns are filled in turn, and partly filled tables that leave the same row sums
to fill and weigh the same are counted together. Those that can no longer, or must, become likelier than the observed
table are settled by the largest and the smallest weight of what is left. Equal row sums in another order are the same
case.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import accumulate
from math import comb, prod
from operator import sub

# Partly filled tables to look at, each counted once per started 200 patients: a few seconds.
MOST_STEPS = 1_500_000

_Rows = tuple[int, ...]


class TableTooLargeError(ValueError):
    """The exact test would take too long."""


def fisher_exact(table: Sequence[Sequence[int]], *, most_steps: int = MOST_STEPS) -> float:
    """Two-sided p-value of a table of counts, rows by columns, any number of each.

    1.0 where fewer than two rows or columns have counts, since there is then one table only. Raises ValueError for
    rows of different lengths, negative counts and no rows, TableTooLargeError where more than most_steps partly filled
    tables would have to be looked at.
    """
    rows = [list(row) for row in table]
    if not rows or len({len(row) for row in rows}) != 1 or min((min(row, default=0) for row in rows), default=0) < 0:
        raise ValueError(f"table: found {rows}, expected rows of equal length with counts of 0 or more")
    rows = [row for row in rows if any(row)]
    columns = [column for column in zip(*rows, strict=True) if any(column)]
    # Few rows mean few distinct cases; the longest column comes last, since it takes what is left.
    if len(columns) < len(rows):
        columns = [column for column in zip(*columns, strict=True) if any(column)]
    if len(columns) < 2:
        return 1.0
    columns.sort(key=sum)
    sums = [sum(column) for column in columns]
    observed = prod(_ways(tuple(sorted(column))) for column in columns)
    budget = _Budget(most_steps // (1 + sum(sums) // 200))

    @cache
    def fillings(left: _Rows, stage: int) -> tuple[tuple[int, _Rows], ...]:
        """(ways, row sums left) of every filling of one column."""
        found = []
        for column in _columns(left, sums[stage]):
            budget.spend()
            found.append((_ways(tuple(sorted(column))), tuple(sorted(map(sub, left, column)))))
        return tuple(found)

    @cache
    def endings(left: _Rows) -> tuple[list[int], list[int]]:
        """Ascending weights of the last two columns, and the sums of the first 0, 1, 2 and so on of them."""
        weights = sorted(ways * _ways(rest) for ways, rest in fillings(left, len(sums) - 2))
        return weights, [0, *accumulate(weights)]

    @cache
    def bounds(left: _Rows, stage: int) -> tuple[int, int]:
        """Smallest and largest weight that the columns from this stage on can have."""
        if stage == len(sums) - 2:
            weights, _ = endings(left)
            return weights[0], weights[-1]
        ends = [(ways, bounds(rest, stage + 1)) for ways, rest in fillings(left, stage)]
        return min(ways * low for ways, (low, _) in ends), max(ways * high for ways, (_, high) in ends)

    rows_left = tuple(sorted(sum(row) for row in zip(*columns, strict=True)))
    # row sums left -> weight of the columns filled -> number of ways to get there
    cases: dict[_Rows, Counter[int]] = {rows_left: Counter({1: 1})}
    as_extreme = 0
    for stage in range(len(sums) - 2):
        following: dict[_Rows, Counter[int]] = {}
        for left, weights in cases.items():
            low, high = bounds(left, stage)
            for weight, count in weights.items():
                if weight * high <= observed:
                    as_extreme += count * weight * _ways(left)  # all that can follow
                elif weight * low <= observed:
                    for ways, rest in fillings(left, stage):
                        budget.spend()
                        following.setdefault(rest, Counter())[weight * ways] += count
        cases = following
    for left, weights in cases.items():
        endings_here, sums_up_to = endings(left)
        for weight, count in weights.items():
            as_extreme += count * weight * sums_up_to[bisect_right(endings_here, observed // weight)]
    return as_extreme / _ways(rows_left)


class _Budget:
    def __init__(self, steps: int) -> None:
        self._steps = steps

    def spend(self) -> None:
        self._steps -= 1
        if self._steps < 0:
            raise TableTooLargeError("table: too many tables have its margins, expected a smaller one")


@lru_cache(1 << 16)
def _ways(counts: _Rows) -> int:
    """Multinomial coefficient: the ways to put sum(counts) things into boxes that take so many each."""
    ways, total = 1, 0
    for count in counts:
        total += count
        ways *= comb(total, count)
    return ways


def _columns(left: _Rows, total: int) -> Iterator[_Rows]:
    """Every column with this sum that the row sums left allow."""
    if len(left) == 1:
        yield (total,)
        return
    rest = sum(left[1:])
    for first in range(max(0, total - rest), min(left[0], total) + 1):
        for others in _columns(left[1:], total - first):
            yield (first, *others)
