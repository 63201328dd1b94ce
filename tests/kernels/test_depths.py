"""Squared depths of a structure, against scipy and by examples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from whs_fast import _kernels as kernels

DEEPEST = 2**30


def depths(mask):
    out = np.empty(mask.shape, np.int32)
    kernels.squared_depths(mask.astype(np.uint8), out)
    return out


@given(st.integers(0, 2**32 - 1), st.tuples(*[st.integers(1, 14)] * 3), st.floats(0.5, 1.0))
def test_equals_scipy(seed, shape, share):
    mask = np.random.default_rng(seed).random(shape) < share
    mask.flat[seed % mask.size] = False  # scipy has no answer where nothing is outside
    expected = np.rint(ndimage.distance_transform_edt(mask) ** 2)
    np.testing.assert_array_equal(depths(mask), expected)


def test_where_nothing_is_outside_all_is_deepest():
    assert (depths(np.ones((3, 4, 5))) == DEEPEST).all()
    assert depths(np.zeros((0, 4, 5))).size == 0
    mask = np.ones((1, 1, 300))
    mask[0, 0, -1] = 0
    assert depths(mask)[0, 0, 0] == 299**2


def test_an_axis_too_long_for_its_squares_is_refused():
    with pytest.raises(ValueError, match="longer than 16384"):
        depths(np.ones((1, 1, 16385)))
