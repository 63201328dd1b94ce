"""Exchanged labels and mirrored maps are told; poor segmentations and good ones are not accused of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.hearts import make_grid, make_heart
from whs_fast.structures import STRUCTURES
from whs_fast.study.evaluation.mixups import find_exchanged, find_mirrored, turned_half
from whs_fast.study.evaluation.overlap import count_pairs
from whs_fast.volume import Grid

GRID = make_grid()
HEART = make_heart(GRID)
NEAR = make_heart(GRID, shift_mm=(2.0, -2.0, 0.0), grow_mm=-0.5)
OFF_CENTRE = make_grid(offset_mm=(9.0, 14.0, -6.0))


def relabelled(labels, order):
    return np.concatenate([[0], order]).astype(np.uint8)[labels]


@given(st.permutations(range(1, 11)))
def test_any_permutation_is_found_and_named(order):
    order = np.array(order)
    found = find_exchanged(count_pairs(relabelled(NEAR, order), HEART, 11), STRUCTURES)
    moved = [s for s in STRUCTURES if order[s.label - 1] != s.label]
    assert len(found) == (1 if moved else 0)
    for own in moved:
        other = STRUCTURES[order[own.label - 1] - 1]
        assert f"{other.name.lower()} ({other.label}) to {own.name.lower()} ({own.label})" in found[0]
    assert not found or found[0].count(") to ") == len(moved)


def test_a_poor_segmentation_is_not_called_exchanged():
    poor = make_heart(GRID, shift_mm=(16.0, 8.0, -8.0))
    assert find_exchanged(count_pairs(poor, HEART, 11), STRUCTURES) == []
    assert find_exchanged(count_pairs(np.zeros_like(HEART), HEART, 11), STRUCTURES) == []
    # Half of an atrium named as the other one is an error of segmentation, not of the file.
    half = NEAR.copy()
    half[:, :, ::2][half[:, :, ::2] == 2] = 8
    assert find_exchanged(count_pairs(half, HEART, 11), STRUCTURES) == []


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ((2,), "mirrored left to right"),
        ((1,), "mirrored front to back"),
        ((0,), "mirrored head to foot"),
        ((1, 2), "flipped along both x and y"),
    ],
)
def test_a_flipped_array_is_found(axes, said):
    grid = OFF_CENTRE
    prediction = np.ascontiguousarray(np.flip(make_heart(grid, shift_mm=(2.0, 1.0, 0.0)), axes))
    (found,) = find_mirrored(prediction, grid, make_heart(grid), grid, threads=1)
    assert said in found and "it would match much better" in found


def test_the_flip_is_named_in_the_patients_directions():
    """Array x runs to the back and array y to the left."""
    grid = make_grid(direction=(0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0), offset_mm=(9.0, 14.0, 0.0))
    prediction = np.ascontiguousarray(np.flip(make_heart(grid), 1))
    (found,) = find_mirrored(prediction, grid, make_heart(grid), grid, threads=1)
    assert "left to right" in found


def test_a_header_with_the_other_sign_is_found():
    grid = Grid(GRID.shape, GRID.spacing_mm, (-70.0, -60.0, GRID.origin_mm[2]))
    heart = make_heart(make_grid())
    (found,) = find_mirrored(heart, turned_half(grid), heart, grid, threads=1)
    assert "with x and y of its header negated" in found


@pytest.mark.parametrize("prediction", [HEART, NEAR, make_heart(GRID, shift_mm=(20.0, 0.0, 0.0)), HEART * 0])
def test_maps_that_lie_right_are_not_accused(prediction):
    assert find_mirrored(prediction, GRID, HEART, GRID, threads=1) == []


def test_turning_twice_gives_the_grid_back():
    grid = make_grid(direction=(0.96, -0.28, 0.0, 0.28, 0.96, 0.0, 0.0, 0.0, 1.0))
    assert turned_half(turned_half(grid)) == grid
    np.testing.assert_allclose(turned_half(grid).affine, np.diag([-1, -1, 1, 1]) @ grid.affine)
