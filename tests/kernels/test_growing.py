"""Labels grow into bright or dark voxels beside them: against the definition in NumPy, and by examples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from whs_fast import _kernels as kernels

NEVER = 32767


def shifted(array, axis, by):
    """The neighbours along an axis; the voxel itself where there is none."""
    padded = np.pad(array, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
    return np.take(padded, np.arange(array.shape[axis]) + 1 + by, axis)


def slow_growth(labels, hu, limits, steps, below):
    """The definition, pass by pass, on all voxels."""
    sides = [(axis, by) for axis in range(3) for by in (-1, 1)]
    eightfold = 2 * hu.astype(int) + sum(shifted(hu.astype(int), *side) for side in sides)
    for number in range(1, max(steps) + 1):
        beside = [shifted(labels, axis, by) for axis, by in sides if steps[axis] >= number]
        most, grown = np.zeros(labels.shape, int), labels.copy()
        for other in range(len(limits)):
            limit = limits[labels, other].astype(int)
            votes = sum((near == other).astype(int) for near in beside)
            passed = eightfold < 8 * limit if below else eightfold > 8 * limit
            better = (labels != other) & passed & (votes > most) & (limit < NEVER)
            grown[better], most[better] = other, votes[better]
        labels = grown
    return labels


@given(
    st.integers(0, 2**32 - 1),
    st.tuples(*[st.integers(1, 9)] * 3),
    st.tuples(*[st.integers(0, 3)] * 3),
    st.booleans(),
)
def test_equals_its_definition_for_any_number_of_threads(seed, shape, steps, below):
    rng = np.random.default_rng(seed)
    labels = rng.choice(5, shape, p=[0.5, 0.2, 0.1, 0.1, 0.1]).astype(np.uint8)
    hu = rng.integers(-1024, 1500, shape).astype(np.int16)
    limits = np.full((5, 5), NEVER, np.int16)  # 0 and 1 become 2, 3 or 4
    limits[:2, 2:] = np.where(rng.random((2, 3)) < 0.3, NEVER, rng.integers(-200, 600, (2, 3)))
    expected = slow_growth(labels, hu, limits, steps, below)
    for threads in (1, 3):
        found = labels.copy()
        changed = kernels.grow_labels(found, hu, limits, steps, below=below, threads=threads)
        assert changed == (expected != labels).sum()
        np.testing.assert_array_equal(found, expected)


def test_a_label_grows_along_each_axis_as_many_voxels_as_it_may():
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[4, 4, 4] = 1
    hu = np.full(labels.shape, 300, np.int16)
    limits = np.array([[NEVER, 200], [NEVER, NEVER]], np.int16)
    assert kernels.grow_labels(labels, hu, limits, (0, 1, 3)) == labels.sum() - 1
    z, y, x = np.nonzero(labels)
    assert (z == 4).all()
    assert (y.min(), y.max(), x.min(), x.max()) == (3, 5, 1, 7)


def test_the_label_of_most_neighbours_wins_then_the_lowest():
    labels = np.array([[[1, 0, 2], [0, 2, 0], [0, 0, 0]]], np.uint8)
    hu = np.full(labels.shape, 300, np.int16)
    limits = np.full((3, 3), NEVER, np.int16)
    limits[0, 1:] = 200
    kernels.grow_labels(labels, hu, limits, (1, 1, 1))
    np.testing.assert_array_equal(labels, [[[1, 2, 2], [1, 2, 2], [0, 2, 0]]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.full((4, 5, 6), 2, np.uint8)}, "labels hold 2, must be below 2"),
        ({"hu": np.zeros((4, 5, 5), np.int16)}, "differ in shape"),
        ({"limits": np.zeros((3, 3), np.int16)}, "label [0-2] grow and be grown into"),
        ({"limits": np.zeros((2, 3), np.int16)}, "limits are 6 numbers for 2 labels"),
        ({"limits": np.zeros((33, 33), np.int16)}, "for 33 labels"),
        ({"limits": np.zeros((0, 0), np.int16)}, "for 0 labels"),
        ({"steps": (1, -1, 1)}, "steps holds -1"),
        ({"threads": 0}, "threads is 0"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(change, message):
    arguments = {
        "labels": np.zeros((4, 5, 6), np.uint8),
        "hu": np.zeros((4, 5, 6), np.int16),
        "limits": np.full((2, 2), NEVER, np.int16),
        "steps": (1, 1, 1),
    } | change
    before = arguments["labels"].copy()
    with pytest.raises(ValueError, match=message):
        kernels.grow_labels(**arguments)
    np.testing.assert_array_equal(arguments["labels"], before)
