"""Files whose name says another form than they have: read where it is certain what they are, else named as that."""

import bz2
import gzip
import lzma
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from support import scans
from support.scans import assert_same_volume
from whs_fast.errors import InputError
from whs_fast.reading.scan import read

SCAN = scans.make_scan()


def test_a_packed_nifti_named_nii_and_a_plain_one_named_gz(tmp_path: Path) -> None:
    plain = scans.write_scan(SCAN, tmp_path / "scan.nii").rename(tmp_path / "plain.nii.gz")
    packed = scans.write_scan(SCAN, tmp_path / "scan.nii.gz").rename(tmp_path / "packed.nii")
    assert packed.read_bytes()[:2] == b"\x1f\x8b" != plain.read_bytes()[:2]
    assert_same_volume(read(plain), SCAN)
    assert_same_volume(read(packed), SCAN)


def test_a_zip_without_its_ending(tmp_path: Path) -> None:
    path = scans.zip_folder(scans.write_dicom(SCAN, tmp_path / "series"), tmp_path / "study.dat")
    assert_same_volume(read(path), SCAN)
    assert_same_volume(read(path.rename(tmp_path / "study")), SCAN)


@pytest.mark.parametrize("suffix", (".nii", ".nii.gz", ".nrrd", ".mha"))
@pytest.mark.parametrize("kind, pack", (("bzip2", bz2.compress), ("xz", lzma.compress), ("gzip", gzip.compress)))
def test_what_is_packed_otherwise_is_named(
    suffix: str, kind: str, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    if kind == "gzip" and suffix.startswith(".nii"):
        return
    path = scans.write_scan(SCAN, tmp_path / "scan.nii").rename(tmp_path / f"scan{suffix}")
    path.write_bytes(pack(path.read_bytes()))
    with pytest.raises(InputError, match=rf"is packed with {kind}, which a {suffix} file must not be: unpack it first"):
        read(path)


def test_a_zip_named_nii_is_named(tmp_path: Path) -> None:
    path = scans.zip_folder(scans.write_dicom(SCAN, tmp_path / "series"), tmp_path / "scan.nii")
    with pytest.raises(InputError, match="is packed with zip"):
        read(path)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("suffix", (".nii", ".nii.gz"))
@pytest.mark.parametrize("forms", ("qform", "sform", "both"))
def test_nifti_2(order: str, suffix: str, forms: str, tmp_path: Path) -> None:
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ SCAN.grid.affine
    header = nibabel.Nifti2Header(endianness=order)
    image = nibabel.Nifti2Image(SCAN.array.T, affine, header)
    image.set_qform(affine, code=0 if forms == "sform" else 1)
    image.set_sform(affine, code=0 if forms == "qform" else 1)
    nibabel.save(image, tmp_path / f"scan{suffix}")
    found = read(tmp_path / f"scan{suffix}")
    assert_same_volume(found, SCAN)
    assert found.notes == ()


def test_nifti_2_with_slope_and_intercept(tmp_path: Path) -> None:
    header = nibabel.Nifti2Header()
    image = nibabel.Nifti2Image(((SCAN.array.T + 1024) // 2).astype(np.uint16), np.diag([-2.9, -3.1, 3.7, 1]), header)
    image.header.set_slope_inter(2.0, -1024.0)
    nibabel.save(image, tmp_path / "scan.nii.gz")
    assert np.abs(read(tmp_path / "scan.nii.gz").array - SCAN.array).max() <= 1


@pytest.mark.parametrize("unit, factor", ((1, 1000.0), (2, 1.0), (3, 0.001), (0, 1.0)))
def test_units_of_nifti(unit: int, factor: float, tmp_path: Path) -> None:
    """The same scan in metres, millimetres and micrometres, place and all."""
    path = scans.write_scan(SCAN, tmp_path / "scan.nii")
    content = bytearray(path.read_bytes())
    content[123] = unit | 8  # seconds beside it
    for place, count in ((80, 3), (268, 3), (280, 12)):
        values = np.array(struct.unpack_from(f"<{count}f", content, place)) / factor
        struct.pack_into(f"<{count}f", content, place, *values)
    path.write_bytes(content)
    found = read(path)
    np.testing.assert_allclose(found.grid.affine, SCAN.grid.affine, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("suffix", (".nii.gz", ".nrrd", ".mha"))
@pytest.mark.parametrize("cut", (1, 3, 7))
def test_a_file_cut_in_its_last_bytes_is_refused(suffix: str, cut: int, tmp_path: Path) -> None:
    path = scans.write_scan(SCAN, tmp_path / f"scan{suffix}")
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(InputError, match="truncated"):
        read(path)


def zipped(folder: Path, how: int) -> Path:
    series = scans.write_dicom(SCAN, folder / "series")
    with zipfile.ZipFile(folder / "study.zip", "w", how) as archive:
        for file in series.iterdir():
            archive.write(file, file.name)
    return folder / "study.zip"


def with_method(path: Path, method: int, flags: int = 0) -> Path:
    """A zip that says of its entries that they are packed by another method, or encrypted."""
    content = bytearray(path.read_bytes())
    for magic, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        entry = content.find(magic)
        while entry >= 0:
            struct.pack_into("<H", content, entry + place, struct.unpack_from("<H", content, entry + place)[0] | flags)
            struct.pack_into("<H", content, entry + place + 2, method)
            entry = content.find(magic, entry + 1)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "method, flags, message",
    (
        (9, 0, "holds files packed by Deflate64, which Windows uses above 2 GB"),
        (98, 0, "holds files packed by method 98"),
        (8, 1, "holds encrypted files: unpack it with its password"),
    ),
)
def test_zips_are_named_as_what_they_are(method: int, flags: int, message: str, tmp_path: Path) -> None:
    path = with_method(zipped(tmp_path, zipfile.ZIP_DEFLATED), method, flags)
    with pytest.raises(InputError, match=message):
        read(path)


@pytest.mark.parametrize("how", (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED))
def test_zips_of_any_method_are_read_and_damaged_ones_refused(how: int, tmp_path: Path) -> None:
    path = zipped(tmp_path, how)
    assert_same_volume(read(path), SCAN)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(range(64))
    path.write_bytes(content)
    with pytest.raises(InputError, match="found a damaged zip"):
        read(path)


def test_a_zip_with_a_name_that_is_no_utf_8_as_it_says(tmp_path: Path) -> None:
    path = zipped(tmp_path, zipfile.ZIP_STORED)
    content = path.read_bytes().replace(b"IM0003", b"IM\xff\xfe03")
    path.write_bytes(content)
    path = with_method(path, zipfile.ZIP_STORED, 0x800)
    with pytest.raises(InputError, match="found a damaged zip"):
        read(path)


@pytest.mark.parametrize(
    "kind, magic", (("gzip", b"\x1f\x8b"), ("7-Zip", b"7z\xbc\xaf\x27\x1c"), ("RAR", b"Rar!\x1a\x07"))
)
def test_other_archives_named_zip_are_named(kind: str, magic: bytes, tmp_path: Path) -> None:
    (tmp_path / "study.zip").write_bytes(magic + bytes(500))
    with pytest.raises(InputError, match=f"is packed with {kind}, expected a zip"):
        read(tmp_path / "study.zip")


@pytest.mark.parametrize("suffix", (".nrrd", ".mha", ".nii"))
def test_an_axis_of_too_many_voxels_gets_a_line(suffix: str, tmp_path: Path) -> None:
    image = sitk.Image([2, 2, 40000], sitk.sitkInt16)
    image.SetSpacing((90.0, 90.0, 0.06))
    path = tmp_path / f"scan{suffix}"
    if suffix == ".nii":
        pixels = np.zeros((2, 2, 40000), np.int16)
        nibabel.save(nibabel.Nifti2Image(pixels, np.diag([90, 90, 0.06, 1])), path)
    else:
        sitk.WriteImage(image, str(path))
    with pytest.raises(InputError, match="holds 40000 voxels along an axis, more than the 32767 that NIfTI can hold"):
        read(path)


def test_an_image_with_an_axis_of_too_many_voxels_gets_a_line() -> None:
    with pytest.raises(InputError, match="image: holds 32768 voxels along an axis"):
        read(sitk.Image([2, 2, 32768], sitk.sitkInt16))


LOUD = """
import sys
from whs_fast.errors import InputError
from whs_fast.reading.scan import read
try:
    read(sys.argv[1])
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize("suffix", (".nii", ".nrrd", ".mha"))
def test_libraries_print_nothing_beside_the_line(suffix: str, tmp_path: Path) -> None:
    path = scans.write_scan(SCAN, tmp_path / f"scan{suffix}")
    content = bytearray(path.read_bytes())
    content[60:260] = np.random.default_rng(0).bytes(200)
    path.write_bytes(content)
    done = subprocess.run([sys.executable, "-c", LOUD, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 1, ""), done


@pytest.mark.parametrize("place", (2, 3))
def test_the_command_line_shows_nothing_of_what_libraries_print(place: int, tmp_path: Path) -> None:
    """libjpeg says "Corrupt JPEG data" by itself."""
    path = scans.write_dicom(SCAN, tmp_path / "series", compressor="JPEG")
    content = bytearray((path / "IM0020").read_bytes())
    middle = len(content) // place
    content[middle : middle + 200] = np.random.default_rng(0).bytes(200)
    (path / "IM0020").write_bytes(content)
    command = [sys.executable, "-m", "whs_fast", "run", path, "-o", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done
    assert "found a damaged slice among the 46 of the series, expected intact files: IM0020" in done.stderr
    loud = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"WHS_FAST_DEBUG": "1"}
    )
    assert "Corrupt JPEG data" in loud.stderr


@pytest.mark.parametrize(
    "suffix, old, new",
    (
        (".nrrd", b"space directions: ", b"space directions: " + b"(" * 60_000),
        (".mha", b"ElementDataFile = LOCAL", b"ElementDataFile = a" + b" " * 60_000 + b"b"),
        (".mha", b"ElementDataFile = LOCAL", b"ElementDataFile" + b" " * 60_000 + b"x"),
    ),
)
def test_long_headers_cost_little(suffix: str, old: bytes, new: bytes, tmp_path: Path) -> None:
    path = scans.write_scan(SCAN, tmp_path / f"scan{suffix}")
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(InputError):
        read(path)


@pytest.mark.parametrize("suffix, field", ((".nhdr", "data file: "), (".mhd", "ElementDataFile = ")))
def test_voxels_lie_beside_their_header_and_nowhere_else(suffix: str, field: str, tmp_path: Path) -> None:
    """Below it is beside it, whatever the names are."""
    header = scans.write_scan(SCAN, tmp_path / f"scan{suffix}")
    data = next(path for path in tmp_path.iterdir() if path != header)
    text = header.read_text("latin-1")
    assert f"{field}{data.name}" in text
    (tmp_path / "Größe").mkdir()
    inside = data.rename(tmp_path / "Größe" / data.name)
    (tmp_path / "deeper").mkdir()
    for place in (f"Größe/{data.name}", f"./Größe/{data.name}"):
        header.write_bytes(text.replace(f"{field}{data.name}", f"{field}{place}").encode())
        assert_same_volume(read(header), SCAN)
    for place in (str(inside), f"deeper/../Größe/{data.name}", f"../{tmp_path.name}/Größe/{data.name}", "/dev/zero"):
        header.write_bytes(text.replace(f"{field}{data.name}", f"{field}{place}").encode())
        with pytest.raises(InputError, match="names a data file outside its folder, expected it beside the header"):
            read(header)
