"""Values at points and the light smoothing: against their definitions and scipy, and beyond the edge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from support import references
from whs_fast import _kernels as kernels

SEED = st.integers(0, 2**32 - 1)
SHAPE = st.tuples(*[st.integers(1, 7)] * 3)


def drawn(seed, shape):
    """Points in and around a volume, some on its voxels and faces, and a map to its indices."""
    rng = np.random.default_rng(seed)
    index = rng.uniform(-3, np.array(shape) + 3, (40, 3))
    index[::3] = np.rint(2 * index[::3]) / 2
    turned = rng.normal(size=(3, 3)) + 2 * np.eye(3)
    return (index - (1, 2, 3)) @ np.linalg.inv(turned).T, np.column_stack([turned, (1.0, 2.0, 3.0)])


@given(SEED, SHAPE)
def test_linear_equals_its_definition_to_the_bit_and_scipy(seed, shape):
    points, matrix = drawn(seed, shape)
    source = np.random.default_rng(seed).normal(0, 100, shape).astype(np.float32)
    found = kernels.sample_linear(source, points, matrix)
    np.testing.assert_array_equal(found, references.sampled(source, points, matrix), strict=True)
    index = references.coordinates(matrix, *points.T)
    expected = ndimage.map_coordinates(source, index, order=1, mode="nearest", output=np.float64)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3)


@given(SEED, SHAPE)
def test_nearest_equals_its_definition(seed, shape):
    points, matrix = drawn(seed, shape)
    source = np.random.default_rng(seed).integers(0, 11, shape).astype(np.uint8)
    near = np.rint(references.coordinates(matrix, *points.T))
    kept = np.clip(near.T, 0, np.array(shape) - 1)
    edge = source[tuple(kept.astype(int).T)]
    np.testing.assert_array_equal(kernels.sample_nearest(source, points, matrix), edge, strict=True)
    beyond = np.where((kept == near.T).all(1), edge, 9)
    np.testing.assert_array_equal(kernels.sample_nearest(source, points, matrix, 9), beyond)


def test_points_that_lie_nowhere_stay_within_the_volume():
    points = np.array([[np.nan] * 3, [np.inf, 0, 0], [-np.inf, 0, 0], [1e300] * 3])
    source = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    assert set(kernels.sample_linear(source, points, np.eye(3, 4))) <= set(range(8))
    assert set(kernels.sample_nearest(source.astype(np.uint8), points, np.eye(3, 4))) <= set(range(8))
    assert kernels.sample_linear(source, points[:0], np.eye(3, 4)).shape == (0,)
    with pytest.raises(ValueError, match="no voxels"):
        kernels.sample_linear(source[:0], points, np.eye(3, 4))


@given(SEED, st.tuples(*[st.integers(0, 9)] * 3))
def test_smoothing_equals_its_definition_to_the_bit(seed, shape):
    source = np.random.default_rng(seed).integers(-32768, 32768, shape).astype(np.int16)
    expected = source.astype(np.float64)
    for axis in range(3):
        moved = np.moveaxis(expected, axis, 0)
        moved[1:-1] = 0.25 * (moved[:-2] + moved[2:]) + 0.5 * moved[1:-1]
    for threads in (1, 3):
        out = np.empty(shape, np.float32)
        kernels.smooth(source, out, threads=threads)
        np.testing.assert_array_equal(out, expected)
