"""What is thinner than a box goes: against scipy's filters, and by examples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from whs_fast import _kernels as kernels

LABEL = 3


def box_of(labels):
    """First and last + 1 of z, y and x that hold LABEL; an empty box where there is none."""
    places = np.argwhere(labels == LABEL)
    if not len(places):
        return [(0, 0)] * 3
    return list(zip(places.min(0).tolist(), (places.max(0) + 1).tolist(), strict=True))


def slow_thin(labels, reach, keep):
    """The definition; scipy repeats the edge, which asks no more of a window than what lies in the volume does."""
    own = labels == LABEL
    core = ndimage.minimum_filter(own, [2 * r + 1 for r in reach], mode="nearest")
    near = ndimage.maximum_filter(core, [2 * k + 1 for k in keep], mode="nearest")
    return np.where(own & ~near, 0, labels)


@given(
    st.integers(0, 2**32 - 1),
    st.tuples(*[st.integers(1, 14)] * 3),
    st.tuples(*[st.integers(0, 2)] * 3),
    st.tuples(*[st.integers(0, 2)] * 3),
)
def test_equals_its_definition_for_any_number_of_threads(seed, shape, reach, more):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.0, mode="nearest")
    labels = np.where(noise > np.quantile(noise, 0.3), LABEL, np.where(noise > 0, 0, 7)).astype(np.uint8)
    keep = [r + m for r, m in zip(reach, more, strict=True)]
    expected = slow_thin(labels, reach, keep)
    for threads in (1, 3):
        found = labels.copy()
        removed = kernels.remove_thin(found, LABEL, box_of(labels), reach, keep, threads=threads)
        np.testing.assert_array_equal(found, expected)
        assert removed == (expected != labels).sum()


def test_a_spike_goes_beyond_the_border_and_a_part_at_the_edge_of_the_volume_stays():
    labels = np.zeros((20, 20, 30), np.uint8)
    labels[0:9, 5:14, 2:11] = LABEL  # cut by the first slice
    labels[4, 9, 11:28] = LABEL
    expected = labels.copy()
    expected[4, 9, 12:] = 0  # the core ends at x = 9, 1 from the block's face; 2 further stay
    assert kernels.remove_thin(labels, LABEL, box_of(labels), (1, 1, 1), (2, 2, 2)) == 16
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": 0}, "label is 0"),
        ({"label": 256}, "label is 256"),
        ({"reach": (1, -1, 1)}, "reach is -1"),
        ({"keep": (2, 0, 2)}, "reach is 1"),
        ({"box": [(0, 4), (0, 6), (0, 4)]}, "box"),
        ({"box": [(0, 4), (-1, 4), (0, 4)]}, "box"),
        ({"box": [(0, 4), (3, 2), (0, 4)]}, "box"),
    ],
)
def test_what_makes_no_sense_is_refused(change, message):
    good = {"label": LABEL, "box": [(0, 4)] * 3, "reach": (1, 1, 1), "keep": (2, 2, 2)}
    with pytest.raises(ValueError, match=message):
        kernels.remove_thin(np.zeros((5, 5, 5), np.uint8), **(good | change))
