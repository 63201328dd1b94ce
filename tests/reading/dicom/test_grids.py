"""Slices that make no regular stack: copies, tilted gantries, gaps; mended and told, or refused in one line."""

import os
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from scipy import ndimage
from support import dicom_cases, scans
from support.dicom_cases import (
    COUNT,
    PHASES,
    SCAN,
    assert_refused,
    assert_told,
    in_percent,
    tagged,
    write,
    write_phases,
)
from support.scans import assert_same_volume
from whs_fast.reading.dicom.series import read_series
from whs_fast.reading.scan import read
from whs_fast.volume import Volume


def test_copies_are_passed_over_and_told(tmp_path: Path) -> None:
    folder = write(SCAN, tmp_path / "study" / "a")
    for path in sorted(folder.iterdir())[:5]:
        shutil.copy(path, folder.parent / f"again_{path.name}")
    found = read(folder.parent)
    assert_same_volume(found, SCAN)
    assert_told(found, "5 copies of slices were passed over")
    write(SCAN, tmp_path / "study" / "b", edit=lambda index, image: tagged(SOPInstanceUID=f"1.2.{index}")(index, image))
    found = read(tmp_path / "study")
    assert_same_volume(found, SCAN)
    assert_told(found, f"{5 + COUNT} copies of slices were passed over")


def test_copies_do_not_hide_the_phases(tmp_path: Path) -> None:
    folder = write_phases(tmp_path / "series", in_percent)
    for number, path in enumerate(sorted(folder.rglob("1_*"))):
        image = pydicom.dcmread(path)
        image.SOPInstanceUID = f"1.2.3.{number}"
        image.save_as(folder / f"copy_{number}")
    found = read(folder, phase=35)
    assert_same_volume(found, PHASES[1])
    assert_told(found, f"{COUNT} copies")


def test_different_images_at_one_position_are_refused(tmp_path: Path) -> None:
    folder = write_phases(tmp_path / "series", lambda phase, index: dicom_cases.unchanged)
    assert_refused(
        folder, "found 24 of 36 slices at the position of another with a different image .*: export one phase"
    )


def field(points: np.ndarray) -> np.ndarray:
    """HU at points [..., 3] in mm: smooth, and without symmetry."""
    x, y, z = np.moveaxis(points, -1, 0)
    waves = np.sin(x / 13 + 0.3) + np.sin(y / 11 + 0.01 * x) + np.cos(z / 17 - 0.02 * y)
    return np.clip(-100.0 + 280.0 * waves, -1000, 3000)


def centres(volume: Volume) -> np.ndarray:
    """Points [z, y, x, 3] in mm of the centres of all voxels."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in volume.array.shape), indexing="ij")[::-1], axis=-1)
    return index @ volume.grid.affine[:3, :3].T + volume.origin_mm


@pytest.mark.parametrize("degrees", (-22.0, 8.0, 17.5))
@pytest.mark.parametrize("about", (0, 1))
@pytest.mark.parametrize("backwards", (False, True))
def test_a_tilted_gantry_is_straightened(degrees: float, about: int, backwards: bool, tmp_path: Path) -> None:
    shape, spacing = (48, 88, 92), (1.6, 1.5, 2.9)
    angle = np.radians(degrees)
    row, column = np.eye(3)[:2]
    tilted = np.array([0.0, np.cos(angle), np.sin(angle)])[[[0, 1, 2], [1, 0, 2]][about]]
    row, column = (row, tilted) if about == 0 else (tilted, column)
    table = np.array([0.0, 0.0, -1.0 if backwards else 1.0]) * spacing[2]
    k, j, i = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    place = np.add.outer((-60.0, -70.0, 300.0), 0.0) + k[..., None] * table
    values = field(place + j[..., None] * spacing[1] * column + i[..., None] * spacing[0] * row)
    direction = tuple(np.column_stack([row, column, np.cross(row, column)]).ravel())
    written = Volume(np.rint(values).astype(np.int16), spacing, (0.0, 0.0, 0.0), direction)

    def edit(index: int, image: Dataset) -> Dataset:
        image.ImagePositionPatient = [f"{value:.8g}" for value in np.array([-60.0, -70.0, 300.0]) + index * table]
        return image

    found = read(write(written, tmp_path / "series", edit=edit))
    assert_told(found, f"slices of a gantry tilted by {abs(degrees):.1f} degrees were moved onto a straight grid")
    matrix = np.reshape(found.direction, (3, 3))
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(3), atol=1e-9)
    assert np.linalg.det(matrix) == pytest.approx(1.0)
    assert found.source is not None and found.source.slices is None
    filled = found.array == -1024
    inside = ~ndimage.binary_dilation(filled, np.ones((1, 3, 3)), border_value=True)
    error = np.abs(found.array - field(centres(found)))
    assert error[inside].max() < 2.0 and inside.mean() > 0.6
    # At the rim the last voxel is taken up to half a voxel beyond its centre.
    assert error[~filled].max() < 30.0
    # Every slice is there, but for the voxels that its edges share with the air around.
    for plane in filled:
        assert shape[1] * shape[2] <= (~plane).sum() <= (shape[1] + 1) * (shape[2] + 1)


def test_a_tilt_in_the_header_of_straight_slices_is_told(tmp_path: Path) -> None:
    found = read(write(SCAN, tmp_path / "series", edit=tagged(GantryDetectorTilt="12.5")))
    assert_same_volume(found, SCAN)
    assert_told(found, "the header tells of a gantry tilt of 12.5 degrees, but the slices lie straight")


THIN = scans.make_scan(shape=(126, 44, 45), spacing_mm=(3.0, 3.1, 1.0))


def left_out(*missing: int) -> dicom_cases.Edit:
    return lambda index, image: None if index in missing else image


def test_small_gaps_are_filled_and_told(tmp_path: Path) -> None:
    found = read(write(THIN, tmp_path / "series", edit=left_out(10, 40, 41)))
    assert_told(found, r"3 of 126 slices were interpolated: distances between slices were 1.00 to 3.00 mm \(missing")
    expected = THIN.array.astype(np.float64)
    expected[10] = (expected[9] + expected[11]) / 2
    expected[40] = (2 * expected[39] + expected[42]) / 3
    expected[41] = (expected[39] + 2 * expected[42]) / 3
    assert np.abs(found.array - expected).max() <= 0.5
    np.testing.assert_allclose(found.spacing_mm, THIN.spacing_mm, rtol=1e-9)
    np.testing.assert_allclose(found.origin_mm, THIN.origin_mm, atol=1e-4)
    assert found.source is not None and found.source.slices is None


@pytest.mark.parametrize("missing", ((10, 11, 12), tuple(range(50, 60))))
def test_large_gaps_are_refused(missing: tuple[int, ...], tmp_path: Path) -> None:
    folder = write(THIN, tmp_path / "series", edit=left_out(*missing))
    assert_refused(folder, rf"found 1 gap\(s\) of up to {len(missing) + 1}.00 mm .* too large to be filled")


def test_every_second_slice_missing_in_a_half_is_refused(tmp_path: Path) -> None:
    folder = write(THIN, tmp_path / "series", edit=left_out(*range(1, 70, 2)))
    assert_refused(folder, "found distances between slices from 1.00 to 2.00 mm .uneven spacing.")


def test_mildly_uneven_slices_are_resampled(tmp_path: Path) -> None:
    along = np.cumsum(np.r_[0.0, 1.0 + 0.25 * np.sin(np.arange(125) / 9.0)])
    place = np.array([-60.0, -60.0, 100.0])
    j, i = np.meshgrid(np.arange(60), np.arange(62), indexing="ij")
    points = np.stack([i * 2.2 + place[0], j * 2.1 + place[1]], axis=-1)
    values = [field(np.concatenate([points, np.full((60, 62, 1), place[2] + z)], axis=-1)) for z in along]
    written = Volume(np.rint(values).astype(np.int16), (2.2, 2.1, 1.0), tuple(place))

    def edit(index: int, image: Dataset) -> Dataset:
        image.ImagePositionPatient = [f"{value:.6f}" for value in place + (0, 0, along[index])]
        return image

    found = read(write(written, tmp_path / "series", edit=edit))
    assert_told(found, r"\d+ of 1\d\d slices were interpolated")
    # A slice may be taken as it is up to 0.1 mm from its place.
    assert np.abs(found.array - field(centres(found))).max() < 8.0


def test_tilt_and_a_gap_together(tmp_path: Path) -> None:
    def edit(index: int, image: Dataset) -> Dataset | None:
        x, y, z = (float(value) for value in image.ImagePositionPatient)
        image.ImagePositionPatient = [x, f"{y + index * 3.1 / 8:.8g}", z]
        return None if index == 40 else image

    found = read(write(THIN, tmp_path / "series", edit=edit))
    assert_told(found, "1 of 126 slices were interpolated", "gantry tilted by 21.2 degrees")
    height = THIN.array.shape[1]
    for index in (0, 8, 64, 120):  # moved by whole voxels
        np.testing.assert_array_equal(found.array[index, index // 8 : index // 8 + height], THIN.array[index])


DATA = Path(os.environ.get("WHS_FAST_DATA", "/nonexistent"))


def likeness(found: Volume, image: Dataset, down: int, right: int) -> float:
    """Correlation of a slice's pixels with the volume at the places where they are, moved by whole pixels."""
    rows, columns = np.random.default_rng(0).integers(100, 400, (2, 2000))
    pixels = image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)
    cosines = np.reshape(image.ImageOrientationPatient, (2, 3)).astype(float)
    points = (
        np.array(image.ImagePositionPatient, dtype=float)
        + np.outer((columns + right) * float(image.PixelSpacing[1]), cosines[0])
        + np.outer((rows + down) * float(image.PixelSpacing[0]), cosines[1])
    )
    return np.corrcoef(scans.sample(found, points), np.maximum(pixels[rows, columns], -1024))[0, 1]


@pytest.mark.skipif(not (DATA / "dicom").is_dir(), reason="WHS_FAST_DATA holds no dicom folder")
@pytest.mark.parametrize(
    "folder, notes",
    (
        ("gantrytilting/001", ("gantry tilted by 14.0 degrees",)),
        ("sliceincrement/002", ("1 of 5 slices were interpolated", "gantry tilted by 15.5 degrees")),
    ),
)
def test_public_tilted_series_lie_where_their_files_say(folder: str, notes: tuple[str, ...]) -> None:
    """Too short to be segmented, so they are read below the check of the field of view."""
    place = DATA / "dicom" / "dicom2nifti_failing" / folder
    found = read_series(place, "scan", threads=2)
    assert_told(found, *notes)
    for path in place.iterdir():
        image = pydicom.dcmread(path)
        best = likeness(found, image, 0, 0)
        # White noise, half a pixel off and interpolated twice, keeps 0.82.
        assert best > 0.8
        for rows, columns in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            assert likeness(found, image, rows, columns) < best - 0.02
