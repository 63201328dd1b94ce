"""Label maps come back through SimpleITK on the grid they were written on."""

import gzip
import shutil
import signal
import subprocess
import sys
import zlib
from pathlib import Path
from xml.etree import ElementTree

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from whs_fast.errors import OutputError
from whs_fast.structures import STRUCTURES
from whs_fast.volume import Grid
from whs_fast.writing.label_maps import write_each, write_labels

SUFFIXES = (".nii.gz", ".nii", ".seg.nrrd")


def some_labels(shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 11, shape).astype(np.uint8)


def assert_grid(path: Path, grid: Grid) -> sitk.Image:
    image = sitk.ReadImage(str(path))
    assert image.GetSize() == grid.shape[::-1]
    np.testing.assert_allclose(image.GetSpacing(), grid.spacing_mm, atol=1e-5, rtol=0)
    np.testing.assert_allclose(image.GetDirection(), grid.direction, atol=1e-5, rtol=0)
    np.testing.assert_allclose(image.GetOrigin(), grid.origin_mm, atol=1e-3, rtol=0)
    assert image.GetPixelID() == sitk.sitkUInt8
    return image


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    hand=st.sampled_from((1.0, -1.0)),
    shape=st.tuples(*[st.integers(1, 7)] * 3),
    spacing=st.tuples(*[st.floats(0.05, 12.0)] * 3),
    origin=st.tuples(*[st.floats(-2000.0, 2000.0)] * 3),
    suffix=st.sampled_from(SUFFIXES),
)
def test_labels_and_grid_come_back(
    tmp_path: Path,
    angles: tuple[float, float, float],
    hand: float,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    origin: tuple[float, float, float],
    suffix: str,
) -> None:
    direction = Rotation.from_euler("zyx", angles, degrees=True).as_matrix() * (1.0, 1.0, hand)
    grid = Grid(shape, spacing, origin, tuple(direction.ravel()))
    labels = some_labels(shape)
    # A folder for each suffix: of a.nii and a.nii.gz side by side, ITK takes the header of one and voxels of the other.
    path = tmp_path / suffix[1:] / f"labels{suffix}"
    path.parent.mkdir(exist_ok=True)
    write_labels(path, labels, grid)
    image = assert_grid(path, grid)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), labels)


@pytest.mark.parametrize("axes", ((0, 1, 2), (1, 2, 0), (2, 0, 1), (1, 0, 2), (0, 2, 1), (2, 1, 0)))
@pytest.mark.parametrize("signs", ((1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, -1)))
def test_qform_and_sform_say_the_same(axes: tuple[int, int, int], signs: tuple[int, int, int], tmp_path: Path) -> None:
    direction = np.eye(3)[list(axes)] * signs
    grid = Grid((3, 4, 5), (0.4, 0.5, 0.6), (10.0, -20.0, 30.0), tuple(direction.ravel()))
    write_labels(tmp_path / "labels.nii.gz", some_labels(grid.shape), grid)
    header = bytearray(gzip.decompress((tmp_path / "labels.nii.gz").read_bytes()))
    for code in (252, 254):  # without qform, then without sform
        only = header.copy()
        only[code : code + 2] = b"\0\0"
        (tmp_path / "only.nii").write_bytes(only)
        assert_grid(tmp_path / "only.nii", grid)


def test_slicer_finds_ten_named_segments(tmp_path: Path) -> None:
    grid = Grid((3, 4, 5), (1.0, 2.0, 3.0), (0.0, 0.0, 0.0))
    write_labels(tmp_path / "labels.seg.nrrd", some_labels(grid.shape), grid)
    image = sitk.ReadImage(str(tmp_path / "labels.seg.nrrd"))
    assert image.GetMetaData("NRRD_space") == "left-posterior-superior"
    for index, structure in enumerate(STRUCTURES):
        assert image.GetMetaData(f"Segment{index}_ID") == structure.key
        assert image.GetMetaData(f"Segment{index}_Name") == structure.name
        assert image.GetMetaData(f"Segment{index}_LabelValue") == str(structure.label)
        assert image.GetMetaData(f"Segment{index}_Layer") == "0"
        assert image.GetMetaData(f"Segment{index}_Extent") == "0 4 0 3 0 2"
        colour = [float(value) * 255 for value in image.GetMetaData(f"Segment{index}_Color").split()]
        np.testing.assert_allclose(colour, structure.colour, atol=1e-3)
        assert f"SCT^{structure.snomed}^{structure.name}" in image.GetMetaData(f"Segment{index}_Tags")


@pytest.mark.parametrize("suffix", (".nii.gz", ".nii"))
def test_nifti_carries_names_and_colours(suffix: str, tmp_path: Path) -> None:
    labels = some_labels((4, 6, 8))
    write_labels(tmp_path / f"labels{suffix}", labels, Grid(labels.shape, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)))
    image = nibabel.load(tmp_path / f"labels{suffix}")
    np.testing.assert_array_equal(np.asarray(image.dataobj).T, labels)
    assert read_table(image) == {
        0: ("Background", (0, 0, 0)),
        **{structure.label: (structure.name, structure.colour) for structure in STRUCTURES},
    }


def read_table(image: nibabel.Nifti1Image) -> dict[int, tuple[str | None, tuple[int, ...]]]:
    """The label table of a NIfTI file, in the place where Connectome Workbench looks for it."""
    (extension,) = image.header.extensions
    assert extension.get_code() == 30 and image.dataobj.offset % 16 == 0
    entries = ElementTree.fromstring(extension.text.rstrip("\0")).iterfind("VolumeInformation/LabelTable/Label")
    colours = ("Red", "Green", "Blue")
    return {int(one.get("Key")): (one.text, tuple(round(float(one.get(c)) * 255) for c in colours)) for one in entries}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_same_labels_give_the_same_bytes_also_from_a_view(suffix: str, tmp_path: Path) -> None:
    labels = some_labels((4, 6, 8))
    grid = Grid(labels.shape, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    write_labels(tmp_path / f"a{suffix}", labels, grid)
    write_labels(tmp_path / f"b{suffix}", np.asfortranarray(labels), grid)
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("shape", ((7, 1100, 1000), (3, 2000, 2000)))  # slices smaller and larger than a block
def test_every_reader_takes_what_was_compressed_in_blocks(shape: tuple[int, int, int], tmp_path: Path) -> None:
    labels = np.zeros(shape, np.uint8)  # runs of zeros, noise and long runs, each over whole blocks
    labels[-1] = some_labels(shape)[-1]
    labels[1, 100:900, 200:700] = 3
    grid = Grid(shape, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    path = tmp_path / "labels.nii.gz"
    write_labels(path, labels, grid, threads=3)
    one_member = zlib.decompressobj(wbits=31)
    plain = one_member.decompress(path.read_bytes())
    assert one_member.eof and not one_member.unused_data
    assert plain.endswith(labels.tobytes()) and gzip.decompress(path.read_bytes()) == plain
    if program := shutil.which("gzip"):
        subprocess.run([program, "-t", path], check=True)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(path)), labels)
    np.testing.assert_array_equal(np.asarray(nibabel.load(path).dataobj), labels.T)
    write_labels(tmp_path / "again.nii.gz", labels, grid, threads=1)
    assert (tmp_path / "again.nii.gz").read_bytes() == path.read_bytes()
    write_labels(tmp_path / "labels.seg.nrrd", labels, grid, threads=2)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "labels.seg.nrrd")), labels)


@pytest.mark.skipif(sys.platform == "win32", reason="the system has no limit on the size of files")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_noticed_and_nothing_stays(suffix: str, tmp_path: Path) -> None:
    import resource

    labels = some_labels((60, 60, 60))
    grid = Grid(labels.shape, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            write_labels(tmp_path / f"labels{suffix}", labels, grid)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_missing_folder_is_an_output_error(suffix: str, tmp_path: Path) -> None:
    grid = Grid((1, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    with pytest.raises(OutputError, match="no such file"):
        write_labels(tmp_path / "missing" / f"labels{suffix}", some_labels(grid.shape), grid)


def test_labels_must_be_uint8_on_the_grid(tmp_path: Path) -> None:
    grid = Grid((1, 2, 3), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="found int16 of shape"):
        write_labels(tmp_path / "labels.nii.gz", np.zeros((1, 2, 3), np.int16), grid)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"expected uint8 of shape \(1, 2, 3\)"):
        write_labels(tmp_path / "labels.nii.gz", np.zeros((3, 2, 1), np.uint8), grid)
    with pytest.raises(ValueError, match="unknown suffix"):
        write_labels(tmp_path / "labels.stl", np.zeros((1, 2, 3), np.uint8), grid)
    assert list(tmp_path.iterdir()) == []


def test_a_mask_each_adds_up_to_the_labels(tmp_path):
    labels = np.random.default_rng(3).integers(0, 10, (5, 7, 6), np.uint8)  # none of the last structure
    grid = Grid(labels.shape, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    write_each(tmp_path / "structures", labels, grid)
    masks = {path.name: sitk.ReadImage(path) for path in (tmp_path / "structures").iterdir()}
    assert set(masks) == {f"{structure.key}.nii.gz" for structure in STRUCTURES}
    arrays = {name: sitk.GetArrayFromImage(image) for name, image in masks.items()}
    assert {value for array in arrays.values() for value in np.unique(array)} == {0, 1}
    total = sum(structure.label * arrays[f"{structure.key}.nii.gz"] for structure in STRUCTURES)
    np.testing.assert_array_equal(total, labels)
    assert {image.GetSpacing() for image in masks.values()} == {(1.0, 2.0, 3.0)}
    for structure in STRUCTURES:
        assert read_table(nibabel.load(tmp_path / "structures" / f"{structure.key}.nii.gz")) == {
            0: ("Background", (0, 0, 0)),
            1: (structure.name, structure.colour),
        }
