"""Connected components, which of them stay, and holes: against definitions, scipy and cc3d, and under flips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import references
from whs_fast import _kernels as kernels

CONNECTIVITIES = (6, 18, 26)
SEED = st.integers(0, 2**32 - 1)
SHAPE = st.tuples(*[st.integers(0, 7)] * 3)


def label_map(seed, shape, labels=3, density=0.5):
    rng = np.random.default_rng(seed)
    return (rng.integers(1, labels + 1, shape) * (rng.random(shape) < density)).astype(np.uint8)


def blobs(seed, shape, labels=4):
    """Smooth label fields: long runs, nested parts, contacts."""
    field = np.random.default_rng(seed).normal(size=shape)
    for axis in range(3):
        for _ in range(3):
            field = (np.roll(field, 1, axis) + field + np.roll(field, -1, axis)) / 3
    return np.digitize(field, np.quantile(field, np.linspace(0.4, 0.95, labels))).astype(np.uint8)


def components(labels, connectivity, threads=1):
    out = np.full(labels.shape, 99, np.uint32)
    return out, kernels.connected_components(labels, out, connectivity, threads=threads)


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
@given(SEED, SHAPE, st.integers(1, 4), st.sampled_from([0.0, 0.2, 0.5, 0.8, 1.0]))
def test_components_equal_their_definition(connectivity, seed, shape, labels, density):
    volume = label_map(seed, shape, labels, density)
    got, count = components(volume, connectivity)
    expected, expected_count = references.components(volume, connectivity)
    assert count == expected_count
    np.testing.assert_array_equal(got, expected)


@given(
    SEED,
    st.tuples(*[st.integers(0, 8)] * 3),
    st.sampled_from([0.2, 0.4, 0.7]),
    st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 4), st.booleans())] * 4),
)
def test_kept_parts_equal_their_definition(seed, shape, density, rules):
    volume = label_map(seed, shape, 4, density)
    # Labels 1 and 2 stand by themselves, 3 and 4 may be held by one of them.
    table = [(0, 0, 0)] + [
        (most, least, label - 2 if label > 2 and held else 0) for label, (most, least, held) in enumerate(rules, 1)
    ]
    expected = references.kept_parts(volume, np.array(table))
    before = volume.copy()
    removed = kernels.keep_parts(volume, np.array(table), threads=2)
    np.testing.assert_array_equal(volume, expected)
    assert removed == (before != expected).sum()


@given(
    SEED,
    st.tuples(*[st.integers(0, 8)] * 3),
    st.sampled_from([0.1, 0.2, 0.4]),
    st.tuples(*[st.integers(0, 4)] * 4),
)
def test_the_kept_group_equals_its_definition(seed, shape, density, least):
    volume = label_map(seed, shape, 4, density)
    expected = references.kept_group(volume, [0, *least])
    before = volume.copy()
    assert kernels.keep_group(volume, [0, *least], threads=2) == (before != expected).sum()
    np.testing.assert_array_equal(volume, expected)


def test_a_label_without_a_number_is_refused_and_nothing_changes():
    labels = np.full((2, 3, 4), 2, np.uint8)
    with pytest.raises(ValueError, match="labels hold 2, must be below the number 2"):
        kernels.keep_group(labels, [0, 1])
    assert (labels == 2).all()


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
@given(SEED, st.tuples(*[st.integers(0, 8)] * 3), st.integers(0, 3), st.sampled_from([0.6, 0.85]))
def test_filled_holes_equal_their_definition(connectivity, seed, shape, label, density):
    rng = np.random.default_rng(seed)
    labels = rng.choice(4, shape, p=[0, 0.8, 0.1, 0.1])
    volume = np.where(rng.random(shape) < density, labels, 0).astype(np.uint8)
    expected = references.filled_holes(volume, label, connectivity)
    filled = kernels.fill_holes(volume, label, connectivity, threads=2)
    changed = int((expected != 0).sum())
    np.testing.assert_array_equal(volume, expected)
    assert 0 <= filled <= changed


def test_holes_of_every_kind():
    labels = np.zeros((9, 9, 20), np.uint8)
    labels[1:8, 1:8, 1:8] = 4
    labels[3:6, 3:6, 3:6] = 0  # a cavity in one label
    labels[1:8, 1:8, 8:15] = 5
    labels[4, 4, 7:9] = 0  # a cavity between two labels
    labels[4, 4, 11:20] = 0  # a tunnel to the border
    labels[2, 2, 12] = 0  # a cavity in the other label
    before = labels.copy()
    assert kernels.fill_holes(labels, 4) == 27
    assert (labels[3:6, 3:6, 3:6] == 4).all()
    assert kernels.fill_holes(labels, 0) == 1
    assert labels[2, 2, 12] == 5
    labels[3:6, 3:6, 3:6], labels[2, 2, 12] = 0, 0
    np.testing.assert_array_equal(labels, before)  # nothing else has changed


def test_numbers_follow_the_scan_and_labels_do_not_join():
    labels = np.array([[[2, 2, 1, 0, 1], [0, 2, 0, 0, 1]]], np.uint8)
    got, count = components(labels, 26)
    assert count == 3
    assert got.tolist() == [[[1, 1, 2, 0, 3], [0, 1, 0, 0, 3]]]


def test_spirals_and_combs_unite_late():
    comb = np.zeros((1, 40, 41), np.uint8)
    comb[0, :, ::2] = 1
    comb[0, -1] = 1  # the teeth meet in the last row
    assert components(comb, 6)[1] == 1
    deep = np.zeros((70, 5, 41), np.uint8)  # the same across the strips of slices
    deep[:, 2, ::2] = 1
    deep[-1, 2] = 1
    assert components(deep, 6, threads=3)[1] == 1
    corners = np.zeros((40, 40, 40), np.uint8)
    corners[range(40), range(40), range(40)] = 1
    assert [components(corners, c)[1] for c in CONNECTIVITIES] == [40, 40, 1]
    edges = np.zeros((40, 40, 3), np.uint8)
    edges[range(40), range(40), 1] = 1
    assert [components(edges, c)[1] for c in CONNECTIVITIES] == [40, 1, 1]


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
@pytest.mark.parametrize("make", [blobs, label_map])
def test_threads_give_the_same_bits(connectivity, make):
    volume = make(3, (50, 41, 43))
    one, count = components(volume, connectivity, threads=1)
    rules = np.array([(0, 0, 0), (2, 5, 0), (0, 2, 1), (1, 30, 0), (3, 3, 3)])
    kept_one = volume.copy()
    assert kernels.keep_parts(kept_one, rules, threads=1) > 0
    for threads in (2, 4):
        many, many_count = components(volume, connectivity, threads=threads)
        assert many_count == count
        np.testing.assert_array_equal(many, one)
        kept = volume.copy()
        kernels.keep_parts(kept, rules, threads=threads)
        np.testing.assert_array_equal(kept, kept_one)
    filled_one, filled_four = volume.copy(), volume.copy()
    assert kernels.fill_holes(filled_one, 0, threads=1) == kernels.fill_holes(filled_four, 0, threads=4)
    np.testing.assert_array_equal(filled_one, filled_four)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
def test_a_flip_permutes_the_numbers_only(connectivity, axis):
    volume = blobs(5, (37, 21, 23))
    numbers, count = components(volume, connectivity)
    flipped, flipped_count = components(np.ascontiguousarray(np.flip(volume, axis)), connectivity)
    assert flipped_count == count
    pairs = np.unique(np.stack([numbers.ravel(), np.flip(flipped, axis).ravel()]), axis=1)
    assert pairs.shape[1] == count + 1  # one to one, the background included


def test_what_is_held_by_a_part_that_goes_goes_too():
    labels = np.zeros((1, 3, 12), np.uint8)
    labels[0, 0] = [1, 1, 1, 2, 2, 0, 0, 1, 2, 2, 0, 2]
    rules = np.array([(0, 0, 0), (1, 2, 0), (0, 2, 1)])
    assert kernels.keep_parts(labels, rules) == 4
    assert labels[0, 0].tolist() == [1, 1, 1, 2, 2, 0, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("offset", [(dz, dy, dx) for dz in (-1, 0, 1) for dy in (-1, 0, 1) for dx in (-1, 0, 1)])
def test_a_part_is_held_by_any_of_26_neighbours(offset):
    labels = np.zeros((5, 5, 7), np.uint8)
    labels[2, 2, 2] = 1
    labels[2 + offset[0], 2 + offset[1], 2 + offset[2]] = 2
    labels[2, 2, 5] = 2  # two voxels away
    expected = labels.copy()
    expected[2, 2, 5] = 0
    if offset == (0, 0, 0):
        expected[:] = 0
    kernels.keep_parts(labels, np.array([(0, 0, 0), (1, 1, 0), (0, 1, 1)]))
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.peer
@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
@pytest.mark.parametrize("make", [blobs, label_map])
def test_cc3d_finds_the_same_components(connectivity, make):
    cc3d = pytest.importorskip("cc3d")
    volume = make(7, (61, 53, 57))
    numbers, count = components(volume, connectivity, threads=2)
    peer, peer_count = cc3d.connected_components(volume, connectivity=connectivity, return_N=True)
    assert count == peer_count
    assert np.unique(np.stack([numbers.ravel(), peer.ravel()]), axis=1).shape[1] == len(np.unique(numbers))


@pytest.mark.peer
def test_scipy_finds_the_same_components_and_holes():
    ndimage = pytest.importorskip("scipy.ndimage")
    volume = (blobs(8, (61, 53, 57)) == 2).astype(np.uint8)
    for rank, connectivity in enumerate(CONNECTIVITIES, 1):
        peer, peer_count = ndimage.label(volume, ndimage.generate_binary_structure(3, rank))
        numbers, count = components(volume, connectivity)
        assert count == peer_count
        assert np.unique(np.stack([numbers.ravel(), peer.ravel()]), axis=1).shape[1] == count + 1
    shell = label_map(9, (30, 31, 32), labels=1, density=0.8)
    expected = ndimage.binary_fill_holes(shell)
    assert kernels.fill_holes(shell, 1, 6) > 0
    np.testing.assert_array_equal(shell, expected)


def test_what_does_not_fit_is_refused():
    labels = np.ones((2, 3, 4), np.uint8)
    numbers = np.ones((2, 3, 4), np.uint32)
    with pytest.raises(ValueError, match="connectivity is 8, must be 6, 18 or 26"):
        kernels.connected_components(labels, numbers, 8)
    with pytest.raises(ValueError, match="differ in shape"):
        kernels.connected_components(labels, np.empty((2, 4, 3), np.uint32), 6)
    with pytest.raises(ValueError, match="labels hold 1, must be below the number 1 of rules"):
        kernels.keep_parts(labels, np.zeros((1, 3), np.int64))
    for wrong in (-1, 3, 2):
        with pytest.raises(ValueError, match=f"attached_to is {wrong}, must be 0 or a label whose own"):
            kernels.keep_parts(labels, np.array([(0, 0, 0), (0, 0, wrong), (0, 0, 1)]))
    with pytest.raises(TypeError):
        kernels.keep_parts(labels, np.zeros((3, 2), np.int64))
    with pytest.raises(ValueError, match="label is 256"):
        kernels.fill_holes(labels, 256)
