"""The label kernel against its integer definition, to the bit: many ties, any axes, oblique and anisotropic grids."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import references
from whs_fast import _kernels as kernels

SEED = st.integers(0, 2**32 - 1)
PERMUTATIONS = list(itertools.permutations(range(3)))


def labels_of(logits, shape, matrix, threads=1):
    out = np.full(shape, 200, np.uint8)
    kernels.upsample_argmax(logits, out, matrix, threads=threads)
    return out


def random_logits(rng, classes, shape):
    """White noise of few levels (ties everywhere), of the full int8 range, or smooth fields as networks give them."""
    kind = rng.integers(0, 4)
    if kind == 0:
        return rng.integers(0, 2, (*shape, classes)).astype(np.int8)
    if kind == 1:
        return rng.choice(np.array([-128, -1, 0, 127], np.int8), (*shape, classes))
    if kind == 2:
        return rng.integers(-128, 128, (*shape, classes)).astype(np.int8)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    planes = rng.normal(size=(classes, 4))
    fields = [np.round(8 * (a * z + b * y + c * x + d)) for a, b, c, d in planes]
    return np.stack(fields, axis=-1).astype(np.int8)


def random_map(rng, kind, half_shape, shape):
    if kind == "oblique":
        linear = np.linalg.qr(rng.normal(size=(3, 3)))[0] * rng.uniform(0.2, 2.5, 3)
    else:
        linear = np.zeros((3, 3))
        for b, a in enumerate(PERMUTATIONS[rng.integers(0, 6)]):
            linear[a, b] = rng.choice([-1, 1]) * rng.choice([0.25, 0.5, 1, 2, rng.uniform(0.2, 3)])
    centre = np.array(half_shape) - 0.5 + rng.choice([0, 0.5, 0.25]) + rng.choice([0, 1]) * rng.uniform(-2, 2, 3)
    return np.column_stack([linear, centre - linear @ ((np.array(shape) - 1) / 2)])


@pytest.mark.parametrize("kind", ["aligned", "oblique"])
@given(SEED, st.integers(1, 12), st.tuples(*[st.integers(1, 7)] * 3), st.tuples(*[st.integers(1, 12)] * 3))
def test_equals_its_definition(kind, seed, classes, half_shape, shape):
    rng = np.random.default_rng(seed)
    logits = random_logits(rng, classes, half_shape)
    matrix = random_map(rng, kind, half_shape, shape)
    np.testing.assert_array_equal(labels_of(logits, shape, matrix), references.upsampled_argmax(logits, shape, matrix))


@pytest.mark.parametrize("kind", ["aligned", "oblique"])
@pytest.mark.parametrize("seed", range(6))
def test_larger_volumes_with_whole_cells_and_points_outside(kind, seed):
    rng = np.random.default_rng(seed)
    half_shape, shape = (17, 19, 21), (31, 43, 47)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in half_shape), indexing="ij")
    centres = rng.uniform(-1, 1, (11, 3))
    distance = [(z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2 for a, b, c in centres]
    logits = np.round(-6 * np.stack(distance, axis=-1)).astype(np.int8)  # few levels: borders are full of ties
    matrix = random_map(rng, kind, half_shape, shape)
    expected = references.upsampled_argmax(logits, shape, matrix)
    got = labels_of(logits, shape, matrix, threads=2)
    np.testing.assert_array_equal(got, expected)
    assert len(np.unique(expected)) >= 5  # the case is a rich one


def test_ties_go_to_the_lowest_label():
    logits = np.zeros((3, 3, 3, 5), np.int8)
    logits[..., :2] = -7
    out = labels_of(logits, (6, 6, 6), np.eye(3, 4))
    assert (out == 2).all()
    # A tie that exists only between voxel centres: label 3 rises as 1 falls, equal at the middle.
    ramp = np.zeros((1, 1, 2, 4), np.int8)
    ramp[0, 0, :, 1], ramp[0, 0, :, 3], ramp[..., 0], ramp[..., 2] = [10, -10], [-10, 10], -99, -99
    middle = np.array([[1, 0, 0, 0.5], [0, 1, 0, 0.5], [0, 0, 1, 1.5]])  # u = 0.5 along x
    assert labels_of(ramp, (1, 1, 1), middle).item() == 1
    assert labels_of(np.ascontiguousarray(ramp[..., [2, 3, 0, 1]]), (1, 1, 1), middle).item() == 1


def test_a_label_that_wins_at_no_corner_can_win_between():
    logits = np.zeros((1, 1, 2, 3), np.int8)
    logits[0, 0, :, 0], logits[0, 0, :, 1], logits[0, 0, :, 2] = [100, -100], [-100, 100], [90, 90]
    fine = np.array([[0.25, 0, 0, 0.5], [0, 0.25, 0, 0.5], [0, 0, 0.25, 0.5]])
    assert labels_of(logits, (1, 1, 9), fine)[0, 0].tolist() == [0, 2, 2, 2, 2, 2, 2, 2, 1]


@pytest.mark.parametrize("kind", ["aligned", "oblique"])
def test_more_than_half_a_voxel_outside_the_region_is_background(kind):
    logits = np.zeros((2, 2, 2, 2), np.int8)
    logits[..., 1] = 5
    if kind == "aligned":
        row = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0.25, -0.75]])
        assert labels_of(logits, (1, 1, 20), row)[0, 0].tolist() == [0] + [1] * 17 + [0, 0]
    else:
        matrix = random_map(np.random.default_rng(3), kind, (2, 2, 2), (12, 12, 12))
        out = labels_of(logits, (12, 12, 12), matrix)
        index = np.stack(np.meshgrid(*[np.arange(12)] * 3, indexing="ij"))
        at = np.tensordot(matrix[:, :3], index, 1) + matrix[:, 3, None, None, None]
        np.testing.assert_array_equal(out, ((at >= -0.5) & (at <= 3.5)).all(axis=0))
        assert 0 < out.sum() < out.size


@pytest.mark.parametrize("kind", ["aligned", "oblique"])
def test_threads_give_the_same_bits(kind):
    rng = np.random.default_rng(9)
    logits = random_logits(rng, 11, (12, 13, 14))
    shape = (33, 35, 37)
    matrix = random_map(rng, kind, (12, 13, 14), shape)
    one = labels_of(logits, shape, matrix, threads=1)
    for threads in (2, 4, 7):
        np.testing.assert_array_equal(labels_of(logits, shape, matrix, threads=threads), one)


@given(SEED, st.integers(0, 2))
def test_a_flipped_region_gives_the_same_labels(seed, axis):
    rng = np.random.default_rng(seed)
    half_shape, shape = (4, 5, 6), (9, 10, 11)
    logits = random_logits(rng, 6, half_shape)
    matrix = np.column_stack([np.diag([0.875, 1.0625, 0.75]), [0.53, 0.29, 0.41]])  # no weight is half-way
    flipped = matrix.copy()
    flipped[axis] = -flipped[axis]
    flipped[axis, 3] += 2 * half_shape[axis] - 1
    mirrored = np.ascontiguousarray(np.flip(logits, axis))
    np.testing.assert_array_equal(labels_of(mirrored, shape, flipped), labels_of(logits, shape, matrix))


def test_no_logits_are_background_and_an_empty_scan_is_allowed():
    assert (labels_of(np.empty((0, 4, 4, 11), np.int8), (2, 3, 4), np.eye(3, 4)) == 0).all()
    assert labels_of(np.zeros((4, 4, 4, 11), np.int8), (2, 0, 4), np.eye(3, 4)).size == 0


@pytest.mark.parametrize("classes", [0, 256])
def test_the_number_of_classes_is_bounded(classes):
    with pytest.raises(ValueError, match=f"logits hold {classes} classes, must be 1 to 255"):
        labels_of(np.zeros((2, 2, 2, classes), np.int8), (2, 2, 2), np.eye(3, 4))
