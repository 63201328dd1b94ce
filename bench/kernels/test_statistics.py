"""Volume and box of every label in a whole scan beside SimpleITK and scipy. Goal: 3 times as fast."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import SimpleITK as sitk
from whs_fast import _kernels as kernels

GOAL = 3


@pytest.mark.parametrize("threads", [1, 4])
def test_beside_simpleitk(work, race, threads):
    image = sitk.GetImageFromArray(work.labels)
    shape_filter = sitk.LabelShapeStatisticsImageFilter()
    shape_filter.ComputePerimeterOff()
    shape_filter.SetNumberOfThreads(threads)
    shape_filter.SetNumberOfWorkUnits(threads)
    voxels, lowest, highest = kernels.label_statistics(work.labels, 11, threads=threads)
    shape_filter.Execute(image)
    for label in range(1, 11):
        assert shape_filter.GetNumberOfPixels(label) == voxels[label]
        box = np.array(shape_filter.GetBoundingBox(label)).reshape(2, 3)[:, ::-1]
        np.testing.assert_array_equal(box, [lowest[label], highest[label] - lowest[label] + 1])
    race(
        f"label_statistics, {threads} threads, SimpleITK LabelShapeStatistics",
        lambda: kernels.label_statistics(work.labels, 11, threads=threads),
        lambda: shape_filter.Execute(image),
        GOAL,
        3,
    )


def test_beside_scipy(work, race):
    labels = work.labels[100:300]  # scipy counts in 8 bytes a voxel

    def peer() -> tuple[np.ndarray, list[tuple[slice, ...]]]:
        return np.bincount(labels.ravel(), minlength=11), scipy.ndimage.find_objects(labels, 10)

    voxels, lowest, highest = kernels.label_statistics(labels, 11, threads=1)
    their_voxels, boxes = peer()
    np.testing.assert_array_equal(voxels, their_voxels)
    for label, box in enumerate(boxes, 1):
        assert [(side.start, side.stop - 1) for side in box] == list(zip(lowest[label], highest[label], strict=True))
    race(
        "label_statistics, 200 slices, 1 thread, scipy",
        lambda: kernels.label_statistics(labels, 11, threads=1),
        peer,
        GOAL,
        3,
    )
