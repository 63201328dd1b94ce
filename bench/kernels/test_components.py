"""Connected components of the labels of a whole scan. Goals: 1.5 times cc3d, and scipy on what it can do.

Keeping the largest part of each label is what cleaning does with them: ours works on the runs and writes what goes,
the peer on voxels, by cc3d's components and statistics and a table.

cc3d labels several labels at once, as ours does; it runs on one thread, so four threads of ours against it are told but
held to the same goal. scipy.ndimage.label knows foreground and background only, so it races on the whole heart.
"""

from __future__ import annotations

import cc3d
import numpy as np
import pytest
import scipy.ndimage
from whs_fast import _kernels as kernels

GOAL = 1.5


def assert_same_components(ours: np.ndarray, theirs: np.ndarray, count: int) -> None:
    """Equal but for the numbering."""
    assert count == theirs.max()
    number = np.zeros(count + 1, ours.dtype)
    number[theirs.ravel()] = ours.ravel()
    assert len(np.unique(number)) == count + 1
    np.testing.assert_array_equal(number[theirs], ours)


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("connectivity", [6, 26])
def test_several_labels(work, race, connectivity, threads):
    out = np.empty(work.labels.shape, np.uint32)

    def ours() -> int:
        return kernels.connected_components(work.labels, out, connectivity, threads=threads)

    def peer() -> np.ndarray:
        return cc3d.connected_components(work.labels, connectivity=connectivity)

    count = ours()
    assert_same_components(out, peer(), count)
    race(f"connected_components, {connectivity} neighbours, {threads} threads, cc3d on 1", ours, peer, GOAL)


@pytest.mark.parametrize("connectivity", [6, 26])
def test_one_label_beside_scipy(work, race, connectivity):
    heart = (work.labels > 0).astype(np.uint8)
    out = np.empty(heart.shape, np.uint32)
    structure = scipy.ndimage.generate_binary_structure(3, {6: 1, 26: 3}[connectivity])

    def ours() -> int:
        return kernels.connected_components(heart, out, connectivity, threads=1)

    def peer() -> np.ndarray:
        return scipy.ndimage.label(heart, structure)[0]

    count = ours()
    assert_same_components(out, peer(), count)
    race(f"connected_components, one label, {connectivity} neighbours, scipy", ours, peer, GOAL, rounds=3)


@pytest.mark.parametrize("threads", [1, 4])
def test_the_largest_part_of_each_label(work, race, threads):
    labels = work.labels.copy()
    rules = np.tile(np.array([1, 1, 0], np.int64), (labels.max() + 1, 1))

    def ours() -> np.ndarray:
        np.copyto(labels, work.labels)
        kernels.keep_parts(labels, rules, threads=threads)
        return labels

    def peer() -> np.ndarray:
        parts, count = cc3d.connected_components(work.labels, connectivity=26, return_N=True)
        sizes = cc3d.statistics(parts)["voxel_counts"].astype(np.int64)
        owner = np.zeros(count + 1, np.uint8)
        owner[parts.ravel()] = work.labels.ravel()
        kept = np.zeros(count + 1, np.uint8)
        for label in range(1, int(work.labels.max()) + 1):
            own = np.flatnonzero(owner == label)
            kept[own[sizes[own] == sizes[own].max(initial=0)]] = label
        return kept[parts]

    np.testing.assert_array_equal(ours(), peer())
    race(f"keep_parts, {threads} threads, cc3d on 1", ours, peer, GOAL, rounds=3)
