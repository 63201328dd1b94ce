"""Resampling of a scan of 512 x 512 x 400 voxels to the network's 320^3 region beside SimpleITK. Goal: 3 times as fast.

SimpleITK's ResampleImageFilter does one linear interpolation a voxel: the same work as samples = (1, 1, 1). In use the
region is anti-aliased with 2 x 2 x 2 samples a voxel, eight times the work, and windowed to uint8: both are raced
against SimpleITK's plain interpolation too, since that is what one would otherwise call, at the same goal for the
upright scan. Oblique, eight samples cannot share sums, so they race SimpleITK's resampling at eight times the voxels.

SimpleITK keeps to one thread only if told to make one piece of the work; with four threads it is fastest with its pool
and sixteen pieces, since much of the region lies outside the scan, so that is how it is run.
"""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from whs_fast import _kernels as kernels

REGION = (320, 320, 320)
GOAL = 3


def tilted(matrix: np.ndarray, degrees: float) -> np.ndarray:
    """The map with the region turned about its centre around two axes."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    centre = (np.array(REGION) - 1) / 2
    linear = turn @ matrix[:, :3]
    return np.column_stack([linear, matrix @ [*centre, 1] - linear @ centre])


def finer(matrix: np.ndarray, samples: int) -> np.ndarray:
    """The map of the grid whose voxels are the samples."""
    return np.column_stack([matrix[:, :3] / samples, matrix[:, 3] + matrix[:, :3].sum(axis=1) * (0.5 / samples - 0.5)])


def itk_filter(matrix: np.ndarray, shape: tuple[int, ...], threads: int) -> sitk.ResampleImageFilter:
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[::-1, :3][:, ::-1].ravel().tolist())
    transform.SetTranslation(matrix[::-1, 3].tolist())
    resample = sitk.ResampleImageFilter()
    resample.SetSize(shape[::-1])
    resample.SetTransform(transform)
    resample.SetInterpolator(sitk.sitkLinear)
    resample.SetDefaultPixelValue(-1024)
    sitk.ProcessObject.SetGlobalDefaultThreader("POOL")
    resample.SetNumberOfThreads(threads)
    resample.SetNumberOfWorkUnits(1 if threads == 1 else 4 * threads)
    return resample


def windowed(hu: np.ndarray) -> np.ndarray:
    return np.floor(np.clip((hu + 300.0) * 255 / 1100, 0, 255) + 0.5)


def differing(ours: np.ndarray, theirs: np.ndarray, *, by: float) -> float:
    return float((np.abs(ours.astype(np.float32) - theirs) > by).mean())


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("direction", ["upright", "oblique"])
def test_interpolation(work, race, direction, threads):
    matrix = work.region_to_scan if direction == "upright" else tilted(work.region_to_scan, 10)
    image, resample = sitk.GetImageFromArray(work.scan), itk_filter(matrix, REGION, threads)
    hu, window = np.empty(REGION, np.int16), np.empty(REGION, np.uint8)

    def to_hu() -> None:
        kernels.resample_linear(work.scan, hu, matrix, threads=threads)

    to_hu()
    kernels.resample_window(work.scan, window, matrix, threads=threads)
    theirs = sitk.GetArrayFromImage(resample.Execute(image))
    # SimpleITK draws the scan's outer edge differently, by rounding; elsewhere both round the same value.
    assert differing(hu, theirs, by=1) < 1e-3
    assert differing(window, windowed(theirs), by=1) < 1e-3
    race(f"resample_linear, {direction}, {threads} threads", to_hu, lambda: resample.Execute(image), GOAL)


@pytest.mark.parametrize("threads", [1, 4])
def test_anti_aliased_window(work, race, threads):
    matrix, image = work.region_to_scan, sitk.GetImageFromArray(work.scan)
    window = np.empty(REGION, np.uint8)

    def to_window() -> None:
        kernels.resample_window(work.scan, window, matrix, (2, 2, 2), threads=threads)

    to_window()
    first, slices = 150, 4
    slab = finer(matrix, 2)
    slab[:, 3] += matrix[:, 0] * first
    theirs = sitk.GetArrayFromImage(itk_filter(slab, (2 * slices, 640, 640), threads).Execute(image))
    mean = theirs.reshape(slices, 2, 320, 2, 320, 2).mean(axis=(1, 3, 5))
    assert differing(window[first : first + slices], windowed(mean), by=1) < 1e-3
    resample = itk_filter(matrix, REGION, threads)
    race(
        f"resample_window, upright, 8 samples a voxel, against 1 of SimpleITK, {threads} threads",
        to_window,
        lambda: resample.Execute(image),
        GOAL,
    )


@pytest.mark.parametrize("threads", [1, 4])
def test_anti_aliased_oblique_window(work, race, threads):
    """On 40 slices of the region, since SimpleITK's finer grid would take 524 MB for all."""
    shape = (40, 320, 320)
    matrix = tilted(work.region_to_scan, 10)
    matrix[:, 3] += matrix[:, 0] * 140
    image, window = sitk.GetImageFromArray(work.scan), np.empty(shape, np.uint8)
    resample = itk_filter(finer(matrix, 2), (80, 640, 640), threads)

    def to_window() -> None:
        kernels.resample_window(work.scan, window, matrix, (2, 2, 2), threads=threads)

    to_window()
    theirs = sitk.GetArrayFromImage(resample.Execute(image)).reshape(40, 2, 320, 2, 320, 2).mean(axis=(1, 3, 5))
    assert differing(window, windowed(theirs), by=1) < 1e-3
    race(
        f"resample_window, oblique, 8 samples a voxel each, {threads} threads",
        to_window,
        lambda: resample.Execute(image),
        GOAL,
    )
