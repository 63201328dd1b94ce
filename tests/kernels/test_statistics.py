"""Counts and boxes of labels, against their definition and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import references
from whs_fast import _kernels as kernels

SEED = st.integers(0, 2**32 - 1)


def assert_equal_statistics(got, expected):
    for have, want in zip(got, expected, strict=True):
        np.testing.assert_array_equal(have, want, strict=True)


@given(SEED, st.tuples(*[st.integers(0, 12)] * 3), st.sampled_from([0.0, 0.05, 0.5]))
def test_statistics_equal_their_definition(seed, shape, density):
    rng = np.random.default_rng(seed)
    labels = (rng.integers(0, 11, shape) * (rng.random(shape) < density)).astype(np.uint8)
    assert_equal_statistics(kernels.label_statistics(labels, 12, threads=2), references.statistics(labels, 12))


@pytest.mark.parametrize("width", range(1, 36))
def test_runs_of_every_length_and_place(width):
    labels = np.zeros((2, width + 1, width), np.uint8)
    for begin in range(width):
        labels[1, begin, begin:] = 255
        labels[0, begin, : width - begin] = 3
    assert_equal_statistics(kernels.label_statistics(labels, 256), references.statistics(labels, 256))


def test_threads_give_the_same_bits():
    labels = (np.random.default_rng(0).integers(0, 40, (40, 50, 60)) // 4).astype(np.uint8)
    one = kernels.label_statistics(labels, 10, threads=1)
    for threads in (2, 4):
        for have, want in zip(kernels.label_statistics(labels, 10, threads=threads), one, strict=True):
            assert have.tobytes() == want.tobytes()


def test_a_flip_mirrors_boxes():
    labels = np.zeros((30, 20, 10), np.uint8)
    labels[3:17, 5:6, 2:9] = 1
    voxels, lowest, highest = kernels.label_statistics(labels, 2)
    mirrored = kernels.label_statistics(np.ascontiguousarray(labels[::-1]), 2)
    assert voxels.tolist() == mirrored[0].tolist() == [6000 - 98, 98]
    assert (lowest[1].tolist(), highest[1].tolist()) == ([3, 5, 2], [16, 5, 8])
    assert (mirrored[1][1].tolist(), mirrored[2][1].tolist()) == ([13, 5, 2], [26, 5, 8])


@pytest.mark.peer
def test_scipy_measures_the_same():
    ndimage = pytest.importorskip("scipy.ndimage")
    labels = (np.random.default_rng(1).integers(0, 40, (30, 31, 32)) // 4).astype(np.uint8)
    voxels, lowest, highest = kernels.label_statistics(labels, 10)
    index = np.arange(1, 10)
    np.testing.assert_array_equal(voxels[1:], ndimage.sum_labels(np.ones(labels.shape), labels, index))
    for label, box in enumerate(ndimage.find_objects(labels), 1):
        assert lowest[label].tolist() == [s.start for s in box]
        assert highest[label].tolist() == [s.stop - 1 for s in box]


def test_a_label_beyond_the_count_is_refused_from_any_thread():
    labels = np.zeros((40, 40, 5), np.uint8)
    labels[-1, -1, -1] = 7
    for threads in (1, 4):
        with pytest.raises(ValueError, match="labels hold 7, must be below label_count 7"):
            kernels.label_statistics(labels, 7, threads=threads)
    for count in (0, 257):
        with pytest.raises(ValueError, match=f"label_count is {count}"):
            kernels.label_statistics(labels, count)
