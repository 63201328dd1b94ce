"""Headers that place the scan twice: told where it matters and handed on, refused where left and right depend on it."""

import gzip
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation
from support import scans
from whs_fast.errors import InputError
from whs_fast.reading.labels import read_grid
from whs_fast.reading.scan import read
from whs_fast.writing.label_maps import write_labels

SCAN = scans.make_scan()


def with_forms(path: Path, qform: np.ndarray, sform: np.ndarray, *, codes: tuple[int, int] = (1, 2)) -> Path:
    """SCAN as NIfTI with two places, RAS; nibabel turns the matrix of the qform into a quaternion."""
    image = nibabel.Nifti1Image(SCAN.array.T, sform)
    image.set_qform(qform, code=codes[0])
    image.set_sform(sform, code=codes[1])
    nibabel.save(image, path)
    return path


RAS = np.diag([-1.0, -1.0, 1.0, 1.0]) @ SCAN.grid.affine


def moved(millimetres: float) -> np.ndarray:
    other = RAS.copy()
    other[2, 3] += millimetres
    return other


def turned(degrees: float, millimetres: float = 0.0) -> np.ndarray:
    other = moved(millimetres)
    other[:3] = Rotation.from_euler("x", degrees, degrees=True).as_matrix() @ other[:3]
    return other


@pytest.mark.parametrize("qform", (moved(56.0), moved(-2.0), turned(8.0), turned(29.0, 3.0)))
@pytest.mark.parametrize("suffix", (".nii", ".nii.gz"))
def test_the_sform_is_followed_and_both_are_handed_on(qform: np.ndarray, suffix: str, tmp_path: Path) -> None:
    path = with_forms(tmp_path / f"scan{suffix}", qform, RAS)
    volume = read(path)
    scans.assert_same_volume(volume, SCAN)
    (note,) = volume.notes
    assert note.startswith("qform and sform of the header place the scan up to")
    labels = (SCAN.array > 100).astype(np.uint8)
    write_labels(tmp_path / "labels.nii.gz", labels, volume.grid, places=volume.nifti_places)
    image, result = nibabel.load(path), nibabel.load(tmp_path / "labels.nii.gz")
    for form in ("get_qform", "get_sform"):
        expected, expected_code = getattr(image, form)(coded=True)
        found, code = getattr(result, form)(coded=True)
        assert code == expected_code
        np.testing.assert_array_equal(found, expected)
    # A viewer that follows ITK shows scan and labels in one place, whichever that is.
    shown = [sitk.ReadImage(str(file)) for file in (path, tmp_path / "labels.nii.gz")]
    assert shown[0].GetOrigin() == shown[1].GetOrigin() and shown[0].GetDirection() == shown[1].GetDirection()


def test_how_far_apart_is_told(tmp_path: Path) -> None:
    assert "up to 56.0 mm apart" in read(with_forms(tmp_path / "scan.nii", moved(56.0), RAS)).notes[0]


@pytest.mark.parametrize(
    "qform, reason",
    (
        (RAS @ np.diag([-1.0, 1.0, 1.0, 1.0]), "mirror each other"),
        (turned(31.0), "differ by a turn of 31 degrees"),
        (turned(180.0), "differ by a turn of 180 degrees"),
    ),
)
def test_what_left_and_right_or_head_and_feet_depend_on_is_refused(
    qform: np.ndarray, reason: str, tmp_path: Path
) -> None:
    path = with_forms(tmp_path / "scan.nii.gz", qform, RAS)
    for reader in (read, read_grid):
        with pytest.raises(InputError) as caught:
            reader(path)
        assert f"{path}: holds two orientations, qform and sform, that {reason}: set both" in str(caught.value)


@pytest.mark.parametrize("codes", ((0, 1), (1, 0), (2, 0)))
def test_a_place_whose_code_is_0_does_not_count(codes: tuple[int, int], tmp_path: Path) -> None:
    other = turned(90.0, 20.0)
    forms = (other, RAS) if codes[0] == 0 else (RAS, other)
    volume = read(with_forms(tmp_path / "scan.nii", *forms, codes=codes))
    np.testing.assert_allclose(volume.grid.affine, SCAN.grid.affine, atol=1e-4)
    assert (volume.notes, volume.nifti_places) == ((), None)


@pytest.mark.parametrize("off_mm", (0.0, 0.4))
def test_rounding_is_no_difference(off_mm: float, tmp_path: Path) -> None:
    volume = read(with_forms(tmp_path / "scan.nii", moved(off_mm), RAS))
    assert (volume.notes, volume.nifti_places) == ((), None)


def test_a_run_writes_both_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the engine, whose networks are the phantom's."""
    from support.phantom import make_models, make_phantom
    from whs_fast.engine import Engine

    phantom = make_phantom(spacing_mm=(2.4, 2.4, 2.5), shape=(68, 76, 74))
    path = scans.write_scan(phantom, tmp_path / "scan.nii")
    content = bytearray(path.read_bytes())
    struct.pack_into("<f", content, 276, struct.unpack_from("<f", content, 276)[0] + 56.0)  # z of the qform's offset
    path.write_bytes(content)
    (tmp_path / "models").mkdir()
    result = Engine(threads=2, models=make_models(tmp_path / "models")).run(path)
    assert any("56.0 mm apart" in warning for warning in result.measurements["warnings"])
    result.save(tmp_path / "out")
    written = gzip.decompress((tmp_path / "out" / "labels.nii.gz").read_bytes())
    assert written[252:328] == bytes(content[252:328])


@pytest.mark.parametrize(
    "suffix, after, line, message",
    (
        (".mha", "DimSize", "Origin = 1 2 3", "holds Offset and Origin that differ"),
        (".mha", "DimSize", "Position = 0 0 0", "holds Offset and Position that differ"),
        (".mhd", "DimSize", "Rotation = 0 1 0 1 0 0 0 0 1", "holds TransformMatrix and Rotation that differ"),
        (".nrrd", "sizes", "spacings: 1 1 1", "holds spacings and space directions that differ"),
    ),
)
def test_other_headers_with_two_places_that_differ_are_refused(
    suffix: str, after: str, line: str, message: str, tmp_path: Path
) -> None:
    path = scans.write_scan(SCAN, tmp_path / f"scan{suffix}")
    content = path.read_bytes()
    place = content.index(b"\n", content.index(after.encode())) + 1
    path.write_bytes(content[:place] + line.encode() + b"\n" + content[place:])
    with pytest.raises(InputError, match=message):
        read(path)


def test_two_places_that_agree_are_one(tmp_path: Path) -> None:
    path = scans.write_scan(SCAN, tmp_path / "scan.mha")
    content = path.read_bytes()
    same = b"Origin = " + " ".join(map(str, SCAN.origin_mm)).encode() + b"\nTransformMatrix = "
    path.write_bytes(content.replace(b"TransformMatrix = ", same, 1))
    scans.assert_same_volume(read(path), SCAN)
