"""Cheapest cycles against NumPy's dynamic programming and every cycle of small tables; ways against theirs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from whs_fast import _kernels as kernels

SEED = st.integers(0, 2**32 - 1)


def slow_cycle(cost, bend):
    """The definition: along the rows, with a third of them once more before and behind."""
    lead, most = len(cost) // 3, len(bend) // 2
    rows = np.concatenate([cost[-lead:], cost, cost[:lead]])
    total, back = rows[0], []
    for row in rows[1:]:
        padded = np.pad(total, most, constant_values=np.inf)
        options = np.stack([padded[move : move + len(row)] + bend[move] for move in range(len(bend))])
        back.append(options.argmin(0) - most)
        total = row + options.min(0)
    path = [int(total.argmin())]
    for moves in back[::-1]:
        path.append(path[-1] + int(moves[path[-1]]))
    return path[::-1][lead : lead + len(cost)]


@given(SEED, st.integers(3, 12), st.integers(1, 9), st.integers(0, 3), st.booleans())
def test_a_cycle_equals_its_definition(seed, rows, places, most, ties):
    rng = np.random.default_rng(seed)
    cost, bend = rng.random((rows, places)), rng.random(2 * most + 1)
    if ties:
        cost, bend = np.floor(3 * cost), np.floor(3 * bend)
    found = kernels.cheapest_cycle(cost, bend)
    assert found.dtype == np.int64 and found.tolist() == slow_cycle(cost, bend)


def test_a_cycle_is_the_cheapest_of_all():
    rng, bend = np.random.default_rng(1), np.array([0.3, 0.0, 0.3])

    def price(cost, path):
        moves = np.diff([*path, path[0]])
        return cost[np.arange(6), list(path)].sum() + bend[moves + 1].sum() if abs(moves).max() < 2 else np.inf

    for _ in range(20):
        cost = rng.random((6, 4)) + 3 * (np.arange(4) != rng.integers(4))  # one place is the cheapest all around
        best = min(itertools.product(range(4), repeat=6), key=lambda path: price(cost, path))
        assert kernels.cheapest_cycle(cost, bend).tolist() == list(best)


@pytest.mark.parametrize(
    ("cost", "bend", "message"),
    [
        (np.zeros((2, 4)), np.zeros(3), "found 2 rows"),
        (np.zeros((4, 0)), np.zeros(3), "of 0 places"),
        (np.zeros((4, 4)), np.zeros(2), "2 bends"),
        (np.full((4, 4), np.nan), np.zeros(3), "not finite"),
        (np.zeros((4, 4)), np.array([0, np.inf, 0]), "not finite"),
    ],
)
def test_a_table_that_has_no_cycle_is_refused(cost, bend, message):
    with pytest.raises(ValueError, match=message):
        kernels.cheapest_cycle(cost, bend)


def ways(cost, start):
    total, before = np.empty(cost.shape), np.empty(cost.shape, np.int64)
    kernels.cheapest_ways(cost, start, total, before)
    return total, before


def price_of(cost, before, end):
    """What the way costs that leads to an end, step by step; it must end at a voxel that comes before itself."""
    paid, at = 0.0, np.ravel_multi_index(end, cost.shape)
    while before.flat[at] != at:
        step = np.subtract(np.unravel_index(at, cost.shape), np.unravel_index(before.flat[at], cost.shape))
        assert abs(step).max() == 1
        paid += np.linalg.norm(step) * (cost.flat[at] + cost.flat[before.flat[at]]) / 2
        at = before.flat[at]
    return paid, at


def slow_ways(cost, start):
    """The definition: ways of one step more, until none is cheaper."""
    total = np.full(cost.shape, np.inf)
    total[start] = 0
    for _ in range(cost.size):
        before = total.copy()
        for step in set(itertools.product((-1, 0, 1), repeat=3)) - {(0, 0, 0)}:
            here = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(step, cost.shape, strict=True))
            there = tuple(slice(max(0, s), n - max(0, -s)) for s, n in zip(step, cost.shape, strict=True))
            way = before[here] + np.linalg.norm(step) * (cost[here] + cost[there]) / 2
            total[there] = np.minimum(total[there], way)
        if np.array_equal(total, before):
            break
    return total


def draw_cost(seed, shape, closed):
    """Costs, some infinite, and a start that is open."""
    rng = np.random.default_rng(seed)
    cost = np.where(rng.random(shape) < closed, np.inf, rng.random(shape) + 0.01)
    start = tuple(int(rng.integers(n)) for n in shape)
    cost[start] = 0.5
    return cost, start


@settings(max_examples=40)
@given(SEED, st.tuples(*[st.integers(1, 6)] * 3), st.floats(0, 0.7))
def test_ways_equal_their_definition_and_lead_to_the_start(seed, shape, closed):
    cost, start = draw_cost(seed, shape, closed)
    total, before = ways(cost, start)
    np.testing.assert_allclose(total, slow_ways(cost, start), rtol=1e-12)
    np.testing.assert_array_equal(before < 0, np.isinf(total))
    for end in np.argwhere(np.isfinite(total)):
        paid, first = price_of(cost, before, end)
        assert paid == pytest.approx(total[tuple(end)]) and first == np.ravel_multi_index(start, shape)


@pytest.mark.peer
def test_scikit_image_finds_the_same():
    graph = pytest.importorskip("skimage.graph")
    cost, start = draw_cost(5, (20, 21, 22), 0.4)
    np.testing.assert_allclose(ways(cost, start)[0], graph.MCP_Geometric(cost).find_costs([start])[0], rtol=1e-12)


@pytest.mark.parametrize(
    ("start", "change", "message"),
    [
        ((0, 3, 0), 1.0, "start is 3 along an axis of 3"),
        ((-1, 0, 0), 1.0, "start is -1"),
        ((0, 0, 0), -1.0, "below 0"),
        ((0, 0, 0), np.nan, "below 0"),
    ],
)
def test_ways_that_cannot_be_told_are_refused(start, change, message):
    cost = np.ones((2, 3, 4))
    cost[1, 1, 1] = change
    with pytest.raises(ValueError, match=message):
        ways(cost, start)
    with pytest.raises(ValueError, match="differ in shape"):
        kernels.cheapest_ways(np.ones((2, 3, 4)), (0, 0, 0), np.empty((2, 3, 4)), np.empty((3, 2, 4), np.int64))
