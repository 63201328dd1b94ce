"""A scan is the same in the patient whichever format and orientation it was stored in.

The scans are synthetic (tests/scans.py); the series that break readers come from outside the project (WHS_FAST_DATA).
"""

import gzip
import os
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation
from support import scans
from support.scans import assert_same_volume
from whs_fast.errors import InputError
from whs_fast.reading.scan import read
from whs_fast.volume import Direction, Volume

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
OBLIQUE: Direction = tuple(Rotation.from_euler("zyx", (20, -13, 31), degrees=True).as_matrix().ravel())


@pytest.fixture(scope="module")
def scan() -> Volume:
    return scans.make_scan()


def assert_same_place(found: Volume, expected: Volume, *, tolerance_hu: float = 0.05) -> None:
    """The same HU at the same points in the patient; the tolerance is that of single-precision headers."""
    assert found.array.dtype == np.int16 and found.array.flags.c_contiguous
    points = scans.points_inside(expected.grid)
    np.testing.assert_allclose(scans.sample(found, points), scans.sample(expected, points), atol=tolerance_hu, rtol=0)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_each_file_format_keeps_array_and_grid(scan: Volume, suffix: str, tmp_path: Path) -> None:
    assert_same_volume(read(scans.write_scan(scan, tmp_path / f"scan{suffix}")), scan)


@pytest.mark.parametrize("suffix", (".nii.gz", ".nrrd", ".mha"))
def test_suffixes_may_be_in_capitals(scan: Volume, suffix: str, tmp_path: Path) -> None:
    path = scans.write_scan(scan, tmp_path / f"scan{suffix}")
    assert_same_volume(read(path.rename(tmp_path / f"SCAN{suffix.upper()}")), scan)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("hand", (1.0, -1.0))
def test_oblique_directions_are_kept_also_left_handed(suffix: str, hand: float, tmp_path: Path) -> None:
    direction = tuple((np.reshape(OBLIQUE, (3, 3)) * (1.0, 1.0, hand)).ravel())
    oblique = scans.make_scan(direction=direction)
    assert_same_volume(read(scans.write_scan(oblique, tmp_path / f"scan{suffix}")), oblique)


@pytest.mark.parametrize("axes, flips", scans.ORIENTATIONS)
@pytest.mark.parametrize("suffix", (".nii.gz", ".nrrd", ".mha"))
def test_orientation_on_disk_does_not_matter_in_the_patient(
    scan: Volume, axes: tuple[int, int, int], flips: tuple[bool, bool, bool], suffix: str, tmp_path: Path
) -> None:
    turned = scans.reorient(scan, axes, flips)
    assert turned.direction != scan.direction
    assert_same_place(read(scans.write_scan(turned, tmp_path / f"scan{suffix}")), scan)


def test_orientations_include_left_handed_ones(scan: Volume) -> None:
    hands = [np.linalg.det(np.reshape(scans.reorient(scan, *how).direction, (3, 3))) for how in scans.ORIENTATIONS]
    assert sorted(np.rint(hands)) == [-1, -1, -1, 1, 1, 1]


@pytest.mark.parametrize("axes, flips", (((0, 1, 2), (False, False, False)), *scans.ORIENTATIONS))
def test_dicom_of_any_orientation_is_the_same_in_the_patient(
    scan: Volume, axes: tuple[int, int, int], flips: tuple[bool, bool, bool], tmp_path: Path
) -> None:
    found = read(scans.write_dicom(scans.reorient(scan, axes, flips), tmp_path / "series"))
    assert np.linalg.det(np.reshape(found.direction, (3, 3))) == pytest.approx(1.0)
    assert_same_place(found, scan)


def test_dicom_names_and_order_of_files_do_not_matter(scan: Volume, tmp_path: Path) -> None:
    shuffled = np.random.default_rng(0).permutation(scan.array.shape[0])
    folder = scans.write_dicom(
        scan, tmp_path / "study", names=lambda index: f"part{index % 3}/{shuffled[index]:03d}{('', '.dcm')[index % 2]}"
    )
    (folder / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 300)
    (folder / "notes.txt").write_text("not an image")
    assert_same_volume(read(folder), scan)


def test_dicom_oblique(tmp_path: Path) -> None:
    oblique = scans.make_scan(direction=OBLIQUE)
    found = read(scans.write_dicom(oblique, tmp_path / "series"))
    assert_same_place(found, oblique)
    np.testing.assert_allclose(found.direction, oblique.direction, atol=1e-6)


def test_dicom_slope_and_intercept_are_each_slices_own(scan: Volume, tmp_path: Path) -> None:
    def edit(index: int, tags: dict[str, str]) -> dict[str, str]:
        return tags | {"0028|1052": str(-1024 - index), "0028|1053": "1" if index % 2 else "0.5"}

    found = read(scans.write_dicom(scan, tmp_path / "series", edit=edit))
    assert np.abs(found.array.astype(int) - scan.array).max() <= 1
    assert np.mean(found.array != scan.array) < 0.01


def test_dicom_positions_with_one_decimal_are_even_enough(tmp_path: Path) -> None:
    volume = scans.make_scan(shape=(200, 48, 48), spacing_mm=(3.0, 3.0, 0.625), origin_mm=(0.0, 0.0, 0.0))

    def edit(index: int, tags: dict[str, str]) -> dict[str, str]:
        return tags | {"0020|0032": f"0\\0\\{0.625 * index:.1f}"}

    found = read(scans.write_dicom(volume, tmp_path / "series", edit=edit))
    assert found.spacing_mm[2] == pytest.approx(0.625, abs=1e-3)


def test_zip_is_the_folder_and_leaves_nothing_behind(
    scan: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = scans.zip_folder(scans.write_dicom(scan, tmp_path / "series"), tmp_path / "series.zip")
    space = tmp_path / "temporary"
    space.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(space))
    assert_same_volume(read(path), scan)
    assert list(space.iterdir()) == []


def test_zip_entries_cannot_choose_their_place(scan: Volume, tmp_path: Path) -> None:
    folder = scans.write_dicom(scan, tmp_path / "series")
    path = tmp_path / "deep" / "evil.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../escaped", "outside")
        archive.writestr(str(tmp_path / "absolute"), "outside")
        for file in folder.iterdir():
            archive.write(file, f"../../{file.name}")
    before = sorted(tmp_path.rglob("*"))
    assert_same_volume(read(path), scan)
    assert sorted(tmp_path.rglob("*")) == before


def test_one_of_several_series_is_chosen_by_uid(scan: Volume, tmp_path: Path) -> None:
    other = scans.make_scan(seed=5)
    scans.write_dicom(scan, tmp_path / "study" / "a", series="1.2.3.1")
    scans.write_dicom(other, tmp_path / "study" / "b", series="1.2.3.2")
    assert_same_volume(read(tmp_path / "study", series="1.2.3.2"), other)
    assert_same_volume(read(tmp_path / "study", series="1.2.3.1"), scan)


def test_series_that_are_no_ct_volume_are_passed_over(scan: Volume, tmp_path: Path) -> None:
    study = tmp_path / "study"
    scans.write_dicom(scan, study / "ct", series="1.2.3.1")
    scans.write_dicom(scan, study / "mr", series="1.2.3.2", modality="MR")
    scout = Volume(scan.array[:2], scan.spacing_mm, scan.origin_mm)
    scans.write_dicom(
        scout,
        study / "scout",
        series="1.2.3.3",
        edit=lambda _, tags: tags | {"0008|0008": "ORIGINAL\\PRIMARY\\LOCALIZER"},
    )
    scans.write_dicom(Volume(scan.array[:1], scan.spacing_mm, scan.origin_mm), study / "dose", series="1.2.3.4")
    assert_same_volume(read(study), scan)


def test_scouts_inside_the_series_are_passed_over(scan: Volume, tmp_path: Path) -> None:
    folder = scans.write_dicom(scan, tmp_path / "series", names="z{:03d}".format)
    scout = {"0008|0008": "ORIGINAL\\PRIMARY\\LOCALIZER", "0020|0037": "0\\1\\0\\0\\0\\-1"}
    one = Volume(scan.array[:1], scan.spacing_mm, scan.origin_mm)
    scans.write_dicom(one, folder, names="a{}".format, edit=lambda _, tags: tags | scout)
    assert_same_volume(read(folder), scan)
    assert_same_volume(read(folder, series="1.2.826.0.1.3680043.2.1125.1"), scan)


def test_simpleitk_image_and_volume_are_sources_too(scan: Volume) -> None:
    image = scans.to_image(scan)
    assert_same_volume(read(image), scan)
    again = read(scan)
    assert_same_volume(again, scan)
    assert again.array is scan.array


def test_volume_of_any_layout_is_made_contiguous(scan: Volume) -> None:
    fortran = Volume(np.asfortranarray(scan.array), scan.spacing_mm, scan.origin_mm)
    swapped = Volume(scan.array.astype(">i2"), scan.spacing_mm, scan.origin_mm)
    assert_same_volume(read(fortran), scan)
    assert_same_volume(read(swapped), scan)


@pytest.mark.parametrize("dtype", (np.float32, np.float64, np.int32))
@pytest.mark.parametrize("suffix", (".nii.gz", ".nrrd", ".mha", ".nii", ""))
def test_other_types_in_the_range_of_ct_are_rounded(
    scan: Volume, dtype: type[np.generic], suffix: str, tmp_path: Path
) -> None:
    offset = 0.4 if np.issubdtype(dtype, np.floating) else 0
    stored = Volume((scan.array + offset).astype(dtype), scan.spacing_mm, scan.origin_mm)
    source = scans.write_scan(stored, tmp_path / f"scan{suffix}") if suffix else stored
    assert_same_volume(read(source), scan)


@pytest.mark.parametrize(
    "code, dtype, slope, intercept", ((512, "<u2", 1.0, -1024.0), (2, "u1", 8.0, -1024.0), (4, ">i2", 0.5, 3.0))
)
def test_nifti_slope_and_intercept(
    scan: Volume, code: int, dtype: str, slope: float, intercept: float, tmp_path: Path
) -> None:
    stored = np.clip(
        np.rint((scan.array - intercept) / slope), 0 if dtype[-2] == "u" or dtype[0] == "u" else -32768, None
    )
    stored = stored.astype(dtype) if dtype != "u1" else np.minimum(stored, 255).astype("u1")
    order = ">" if dtype.startswith(">") else "<"
    header = bytearray(352)
    struct.pack_into(order + "i", header, 0, 348)
    struct.pack_into(order + "8h", header, 40, 3, *scan.array.shape[::-1], 1, 1, 1, 1)
    struct.pack_into(order + "2h", header, 70, code, stored.itemsize * 8)
    struct.pack_into(order + "8f", header, 76, 1.0, *scan.spacing_mm, 0, 0, 0, 0)
    struct.pack_into(order + "3f", header, 108, 352.0, slope, intercept)
    struct.pack_into(order + "2h", header, 252, 0, 1)
    sx, sy, sz = scan.spacing_mm
    ox, oy, oz = scan.origin_mm
    struct.pack_into(order + "12f", header, 280, -sx, 0, 0, -ox, 0, -sy, 0, -oy, 0, 0, sz, oz)
    header[344:348] = b"n+1\0"
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(gzip.compress(bytes(header) + stored.tobytes()))
    expected = np.rint(stored.astype(np.float64) * slope + intercept).astype(np.int16)
    found = read(path)
    np.testing.assert_array_equal(found.array, np.maximum(expected, -1024))
    assert_same_place(found, Volume(expected, scan.spacing_mm, scan.origin_mm))


@pytest.mark.parametrize("padding", (-2000, -3024, -32768))
@pytest.mark.parametrize("kind", ("file", "volume", "image", "dicom"))
def test_padding_outside_the_reconstruction_is_air(scan: Volume, padding: int, kind: str, tmp_path: Path) -> None:
    array = scan.array.copy()
    array[:, :8, :8] = padding
    padded = Volume(array, scan.spacing_mm, scan.origin_mm)
    match kind:
        case "file":
            found = read(scans.write_scan(padded, tmp_path / "scan.nii.gz"))
        case "dicom":
            signed = {"0028|1052": "0"}
            found = read(scans.write_dicom(padded, tmp_path / "series", edit=lambda _, tags: tags | signed))
        case "image":
            found = read(scans.to_image(padded))
        case _:
            found = read(padded)
            assert array.min() == padding, "the caller's array was changed"
    np.testing.assert_array_equal(found.array, np.maximum(array, -1024))


def test_field_of_view_of_160_mm_passes(tmp_path: Path) -> None:
    small = scans.make_scan(shape=(64, 80, 80), spacing_mm=(2.0, 2.0, 2.5))
    assert_same_volume(read(scans.write_scan(small, tmp_path / "scan.nii.gz")), small)


def test_thick_slices_and_fine_voxels_pass(tmp_path: Path) -> None:
    volume = scans.make_scan(shape=(30, 320, 310), spacing_mm=(0.4, 0.4, 5.0))
    assert_same_volume(read(scans.write_scan(volume, tmp_path / "scan.mha")), volume)


def test_gzip_of_several_members_is_read_whole(scan: Volume, tmp_path: Path) -> None:
    raw = scans.write_scan(scan, tmp_path / "scan.nii").read_bytes()
    cut = len(raw) // 3
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(gzip.compress(raw[:cut]) + gzip.compress(raw[cut:]))
    assert_same_volume(read(path), scan)


def test_reading_restores_the_warnings_of_simpleitk(scan: Volume, tmp_path: Path) -> None:
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    try:
        for value in (True, False):
            sitk.ProcessObject.SetGlobalWarningDisplay(value)
            read(scans.write_scan(scan, tmp_path / "scan.nii"))
            assert sitk.ProcessObject.GetGlobalWarningDisplay() == value
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


DATA = Path(os.environ.get("WHS_FAST_DATA", "/nonexistent"))
OUTSIDE = {
    "gantry_tilt_ge": "gap(s) of up to 7.00 mm between slices 4.00 mm apart",
    "dicom2nifti_failing/gantrytilting/001": "a field of view of 214 x 218 x 19 mm",
    "dicom2nifti_failing/sliceincrement/001": "10.00 mm between slices 5.00 mm apart",
    "dicom2nifti_failing/sliceincrement/002": "a field of view of 262 x 263 x 4 mm",
    "dicom2nifti_failing/sliceorientation/001": "no CT series",
    "dicom2nifti_failing/slicecount/001": "no CT series",
    "dicom2nifti_failing/notavolume/001": "at the position of another",
}


@pytest.mark.skipif(not (DATA / "dicom").is_dir(), reason="WHS_FAST_DATA holds no dicom folder")
@pytest.mark.parametrize("folder, reason", OUTSIDE.items())
def test_outside_series_with_faults_are_refused(folder: str, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        read(DATA / "dicom" / folder)
    message = str(caught.value)
    assert reason in message and "expected" in message and "\n" not in message


@pytest.mark.skipif(not (DATA / "real").is_dir(), reason="WHS_FAST_DATA holds no real scan")
def test_outside_scan_is_the_same_as_nifti_and_as_zip() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nifti = read(DATA / "real" / "chest_arterial.nii.gz")
        zipped = read(DATA / "real" / "chest_arterial_dicom.zip")
    assert nifti.array.shape == zipped.array.shape == (100, 512, 512)
    points = scans.points_inside(nifti.grid, count=2000)
    difference = scans.sample(nifti, points) - scans.sample(zipped, points)
    assert np.abs(difference).max() < 1.0
