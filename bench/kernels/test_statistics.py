"""Volume, box and centre of every label in a whole scan beside SimpleITK and scipy. Goal: 3 times as fast."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import SimpleITK as sitk
from whs_fast import _kernels as kernels

LABELS = np.arange(1, 11)
GOAL = 3


@pytest.mark.parametrize("threads", [1, 4])
def test_beside_simpleitk(work, race, threads):
    image = sitk.GetImageFromArray(work.labels)
    shape_filter = sitk.LabelShapeStatisticsImageFilter()
    shape_filter.ComputePerimeterOff()
    shape_filter.SetNumberOfThreads(threads)
    shape_filter.SetNumberOfWorkUnits(threads)
    voxels, lowest, highest, centroid = kernels.label_statistics(work.labels, 11, threads=threads)
    shape_filter.Execute(image)
    for label in range(1, 11):
        assert shape_filter.GetNumberOfPixels(label) == voxels[label]
        box = np.array(shape_filter.GetBoundingBox(label)).reshape(2, 3)[:, ::-1]
        np.testing.assert_array_equal(box, [lowest[label], highest[label] - lowest[label] + 1])
        np.testing.assert_allclose(shape_filter.GetCentroid(label)[::-1], centroid[label], rtol=1e-9)
    race(
        f"label_statistics, {threads} threads, SimpleITK LabelShapeStatistics",
        lambda: kernels.label_statistics(work.labels, 11, threads=threads),
        lambda: shape_filter.Execute(image),
        GOAL,
        3,
    )


def test_beside_scipy(work, race):
    labels = work.labels[100:300]  # scipy's centres take 16 bytes a voxel

    def peer() -> tuple[np.ndarray, list[tuple[slice, ...]], np.ndarray]:
        ones = np.broadcast_to(np.float32(1), labels.shape)
        return (
            np.bincount(labels.ravel(), minlength=11),
            scipy.ndimage.find_objects(labels, 10),
            np.array(scipy.ndimage.center_of_mass(ones, labels, LABELS)),
        )

    voxels, lowest, highest, centroid = kernels.label_statistics(labels, 11, threads=1)
    their_voxels, boxes, centres = peer()
    np.testing.assert_array_equal(voxels, their_voxels)
    np.testing.assert_allclose(centroid[1:], centres, rtol=1e-6)
    for label, box in enumerate(boxes, 1):
        assert [(side.start, side.stop - 1) for side in box] == list(zip(lowest[label], highest[label], strict=True))
    race(
        "label_statistics, 200 slices, 1 thread, scipy",
        lambda: kernels.label_statistics(labels, 11, threads=1),
        peer,
        GOAL,
        3,
    )
