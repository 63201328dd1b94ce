"""How clearly logits decide, against its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import references
from whs_fast import _kernels as kernels

SHAPES = st.tuples(*[st.integers(0, 6)] * 3, st.integers(2, 16))


def draw(seed, shape, least, most):
    return np.random.default_rng(seed).integers(least, most, shape, endpoint=True).astype(np.int8)


def whole(logits):
    return tuple((0, side) for side in logits.shape[:3])


@given(st.integers(0, 2**32 - 1), SHAPES, st.sampled_from([(-128, 127), (0, 2), (5, 5)]))
def test_counts_equal_their_definition(seed, shape, bounds):
    logits = draw(seed, shape, *bounds)
    counts = kernels.count_margins(logits, wanted=whole(logits))
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, references.margins(logits))


def test_only_the_wanted_box_counts():
    logits = draw(1, (5, 6, 7, 3), -128, 127)
    counts = kernels.count_margins(logits, wanted=((1, 4), (0, 2), (3, 7)))
    np.testing.assert_array_equal(counts, references.margins(logits[1:4, :2, 3:7]))


def test_one_thread_counts_as_many_do():
    logits = draw(2, (20, 30, 9, 11), -128, 127)
    counts = [kernels.count_margins(logits, wanted=whole(logits), threads=threads) for threads in (1, 4)]
    np.testing.assert_array_equal(*counts)


@pytest.mark.parametrize(
    ("classes", "wanted", "text"),
    [
        (1, ((0, 2), (0, 2), (0, 2)), "logits have 1 classes, must be 2 to 16"),
        (17, ((0, 2), (0, 2), (0, 2)), "logits have 17 classes, must be 2 to 16"),
        (11, ((0, 3), (0, 2), (0, 2)), "the box reaches from 0 to 3, must lie within 0 to 2"),
        (11, ((0, 2), (-1, 2), (0, 2)), "the box reaches from -1 to 2, must lie within 0 to 2"),
        (11, ((0, 2), (0, 2), (2, 1)), "the box reaches from 2 to 1, must lie within 0 to 2"),
    ],
)
def test_what_cannot_be_counted_is_refused(classes, wanted, text):
    with pytest.raises(ValueError, match=text):
        kernels.count_margins(np.zeros((2, 2, 2, classes), np.int8), wanted=wanted)
