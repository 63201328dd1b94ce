"""What lies outside the field of view is air, however it is stored; a scale that is not HU is still refused."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from support import scans
from whs_fast.errors import InputError
from whs_fast.reading.scan import read
from whs_fast.volume import Volume

SCAN = scans.make_scan(shape=(46, 96, 96), spacing_mm=(2.2, 2.2, 3.7))
Y, X = np.ogrid[-1:1:96j, -1:1:96j]
OUTSIDE = np.broadcast_to(X**2 + Y**2 > 1.0, SCAN.array.shape)


def volume(array: np.ndarray) -> Volume:
    return Volume(array, SCAN.spacing_mm, SCAN.origin_mm)


def padded(value: float) -> np.ndarray:
    return np.where(OUTSIDE, value, SCAN.array.astype(np.float32))


def smear(array: np.ndarray, how: str) -> np.ndarray:
    """Padding as a Gaussian, a block transform or noise of a lossy codec leaves it."""
    rng = np.random.default_rng(0)
    if how == "Gaussian":
        return ndimage.gaussian_filter(array, (0.0, 1.2, 1.2))
    if how == "blocks":
        blocks = array.reshape(46, 12, 8, 12, 8)
        noise = rng.normal(0.0, 0.02, blocks.shape) * np.ptp(blocks, axis=(2, 4), keepdims=True)
        return (blocks + noise).reshape(array.shape) + rng.normal(0.0, 2.0, array.shape)
    return array + np.where(OUTSIDE, rng.normal(0.0, 40.0, array.shape), 0.0)


def in_values(array: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(array), -32768, 32767).astype(np.int16)


@pytest.mark.parametrize("value", (-2600, -3024, -8192))
@pytest.mark.parametrize("how", ("Gaussian", "blocks", "noise"))
def test_smeared_padding_is_air(value: int, how: str, tmp_path: Path) -> None:
    array = in_values(smear(padded(value), how))
    spread = np.unique(array[array < -2000])
    assert len(spread) > 40
    found = read(scans.write_scan(volume(array), tmp_path / "scan.nii.gz"))
    np.testing.assert_array_equal(found.array, np.maximum(array, -1024))


@pytest.mark.parametrize("axes, flips", scans.ORIENTATIONS)
def test_smeared_padding_in_any_orientation(
    axes: tuple[int, int, int], flips: tuple[bool, bool, bool], tmp_path: Path
) -> None:
    turned = scans.reorient(volume(in_values(smear(padded(-3024), "noise"))), axes, flips)
    assert read(scans.write_scan(turned, tmp_path / "scan.mha")).array.min() == -1024


@pytest.mark.parametrize("factor", (4, 10))
@pytest.mark.parametrize("smeared", (False, True))
def test_another_scale_is_refused_with_padding_or_without(factor: int, smeared: bool) -> None:
    array = in_values(SCAN.array.astype(np.float64) * factor)
    if smeared:
        array = in_values(smear(np.where(OUTSIDE, -20000.0, array), "noise"))
    with pytest.raises(InputError, match="expected HU"):
        read(volume(array))


def test_air_is_not_padding_alone() -> None:
    """Values of a scan without air, padded: the padding must not stand for the air that is missing."""
    array = np.where(OUTSIDE, -3024, SCAN.array.astype(np.int32) + 1024).astype(np.int16)
    with pytest.raises(InputError, match="none below -500"):
        read(volume(array))


def test_a_label_map_is_none_with_smeared_padding() -> None:
    array = in_values(smear(np.where(OUTSIDE, -3024.0, np.clip(SCAN.array // 150, 0, 10)), "noise"))
    with pytest.raises(InputError, match="distinct, expected a CT scan"):
        read(volume(array))


# ---- NaN


def nan_outside(mask: np.ndarray) -> np.ndarray:
    return np.where(mask, np.nan, SCAN.array.astype(np.float32))


def expected(mask: np.ndarray) -> np.ndarray:
    return np.where(mask, -1024, SCAN.array)


def one_sided() -> np.ndarray:
    """A field of view off to one side: two corners of each slice lie inside."""
    return np.broadcast_to((X - 0.8) ** 2 + Y**2 > 2.2, SCAN.array.shape)


def oblique() -> np.ndarray:
    """A box that lies obliquely in its array, as resampling leaves it."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in SCAN.array.shape), indexing="ij")
    return (np.abs(x + 0.3 * z) + np.abs(y - 0.2 * z) > 1.25) | (np.abs(z + 0.2 * x) > 0.95)


@pytest.mark.parametrize("mask", (OUTSIDE, one_sided(), oblique()))
@pytest.mark.parametrize("kind", (".nii.gz", ".nrrd", "volume", "image"))
def test_nan_outside_the_field_of_view_is_air(mask: np.ndarray, kind: str, tmp_path: Path) -> None:
    assert mask.any()
    scan = volume(nan_outside(mask))
    if kind == "image":
        found = read(scans.to_image(scan))
    else:
        found = read(scan if kind == "volume" else scans.write_scan(scan, tmp_path / f"scan{kind}"))
    np.testing.assert_array_equal(found.array, expected(mask))
    assert np.isnan(scan.array).any(), "the caller's array was changed"


@pytest.mark.parametrize("axes, flips", scans.ORIENTATIONS)
def test_nan_outside_in_any_orientation(axes: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> None:
    turned = scans.reorient(volume(nan_outside(OUTSIDE)), axes, flips)
    assert np.isfinite(read(turned).array).all()


@pytest.mark.parametrize("place", ((20, 48, 48), (0, 0, 48), (45, 70, 20), (7, 48, 95)))
@pytest.mark.parametrize("outside", (True, False))
def test_a_hole_inside_is_refused(place: tuple[int, int, int], outside: bool) -> None:
    mask = OUTSIDE.copy() if outside else np.zeros_like(OUTSIDE)
    y, x = slice(place[1], place[1] + 2), slice(place[2], place[2] + 2)
    mask[place[0], y, x] = True
    if outside and place[1:] in ((0, 48), (48, 95)):
        mask[place[0], 6:8, 48:50] = True
    with pytest.raises(InputError, match="NaN or infinite"):
        read(volume(nan_outside(mask)))


@pytest.mark.parametrize("value", (np.inf, -np.inf))
def test_infinite_values_are_no_padding(value: float) -> None:
    array = nan_outside(OUTSIDE)
    array[:, 0, 0] = value
    with pytest.raises(InputError, match="NaN or infinite"):
        read(volume(array))


def test_all_nan_is_refused() -> None:
    with pytest.raises(InputError):
        read(sitk.GetImageFromArray(np.full((64, 64, 64), np.nan, np.float32)))
