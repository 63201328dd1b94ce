"""Every kind of input that cannot be segmented is refused with one line that says what was found and what was expected.

Each case makes its input in a temporary folder and is read through the Python API. One case of each kind goes through
the command line too, which must end with status 2, say the same line, and leave no folder of results.
"""

import gzip
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from support import scans
from support.streams import without_progress
from whs_fast.cli import main
from whs_fast.errors import InputError
from whs_fast.reading.scan import read
from whs_fast.volume import Volume

SCAN = scans.make_scan()
CASES: dict[str, tuple[Callable[[Path], Path], str]] = {}


def case(name: str, message: str) -> Callable[[Callable[[Path], Path]], Callable[[Path], Path]]:
    """Register a maker of a bad input, from an empty folder to the input's path, with a pattern of the message."""

    def register(maker: Callable[[Path], Path]) -> Callable[[Path], Path]:
        assert name not in CASES
        CASES[name] = (maker, message)
        return maker

    return register


def with_values(array: Any, **geometry: Any) -> Volume:
    return Volume(array, **({"spacing_mm": SCAN.spacing_mm, "origin_mm": SCAN.origin_mm} | geometry))


# ---- files


@case("missing", "found no such file or folder, expected")
def _(folder: Path) -> Path:
    return folder / "scan.nii.gz"


@case("empty", "found an empty file")
def _(folder: Path) -> Path:
    (folder / "scan.nii.gz").touch()
    return folder / "scan.nii.gz"


@case("text", r"found a file of another kind \(.txt\), expected .nii")
def _(folder: Path) -> Path:
    (folder / "scan.txt").write_text("hello")
    return folder / "scan.txt"


@case("picture", r"another kind \(.png\)")
def _(folder: Path) -> Path:
    sitk.WriteImage(sitk.Image(8, 8, sitk.sitkUInt8), str(folder / "scan.png"))
    return folder / "scan.png"


@case("one DICOM file", "found a single DICOM file, expected")
def _(folder: Path) -> Path:
    return scans.write_dicom(SCAN, folder / "series") / "IM0003"


for suffix, text in (
    (".nii", "no NIfTI-1 header"),
    (".nii.gz", "no NIfTI-1 header"),
    (".nrrd", "no NRRD header"),
    (".nhdr", "no NRRD header"),
    (".mha", "no MetaImage header"),
    (".mhd", "no MetaImage header"),
    (".zip", "damaged zip"),
):

    @case(f"garbage {suffix}", f"found (a )?{text}")
    def _(folder: Path, suffix: str = suffix) -> Path:
        (folder / f"scan{suffix}").write_bytes(np.random.default_rng(0).bytes(5000))
        return folder / f"scan{suffix}"


for suffix in (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"):
    for part in (0.003, 0.5, 0.999):

        @case(f"truncated {suffix} {part}", r"truncated|damaged")
        def _(folder: Path, suffix: str = suffix, part: float = part) -> Path:
            path = scans.write_scan(SCAN, folder / f"scan{suffix}")
            detached = [file for file in folder.iterdir() if file != path]
            victim = detached[0] if detached else path
            content = victim.read_bytes()
            victim.write_bytes(content[: int(len(content) * part)])
            return path


for suffix in (".nii.gz", ".nrrd", ".mha"):

    @case(f"flipped bit {suffix}", "found damaged compressed data")
    def _(folder: Path, suffix: str = suffix) -> Path:
        path = scans.write_scan(SCAN, folder / f"scan{suffix}")
        content = bytearray(path.read_bytes())
        content[len(content) * 2 // 3] ^= 0x10
        path.write_bytes(content)
        return path


@case("stored bytes changed under the checksum", "found damaged compressed data")
def _(folder: Path) -> Path:
    raw = scans.write_scan(SCAN, folder / "scan.nii").read_bytes()
    packed = bytearray(gzip.compress(raw, 0))
    packed[len(packed) // 2] ^= 1
    (folder / "scan.nii.gz").write_bytes(packed)
    return folder / "scan.nii.gz"


@case("data file missing", "found no data file scan.raw, expected it beside the header")
def _(folder: Path) -> Path:
    path = scans.write_scan(SCAN, folder / "scan.mhd")
    for file in folder.iterdir():
        if file != path:
            file.unlink()
    path.write_text(re.sub("ElementDataFile = .*", "ElementDataFile = scan.raw", path.read_text()))
    return path


# ---- what is in a header


def nifti(folder: Path, *edits: tuple[Any, ...]) -> Path:
    """A valid NIfTI file, with values packed into its header at given offsets."""
    path = scans.write_scan(SCAN, folder / "scan.nii")
    content = bytearray(path.read_bytes())
    for offset, code, *values in edits:
        struct.pack_into("<" + code, content, offset, *values)
    path.write_bytes(content)
    return path


SX, SY, SZ = SCAN.spacing_mm
for name, message, edits in (
    ("zero spacing", "found a spacing of 0 x 3.1 x 3.7 mm, expected three positive", [(80, "f", 0.0)]),
    ("negative spacing", "found a spacing of -2.9 x 3.1 x 3.7 mm", [(80, "f", -SX)]),
    ("NaN spacing", "found a spacing of nan x", [(80, "f", float("nan"))]),
    ("infinite spacing", "found a spacing of inf x", [(80, "f", float("inf"))]),
    ("no orientation", "found no orientation", [(252, "2h", 0, 0)]),
    ("sheared sform", "not at right angles", [(252, "2h", 0, 1), (280, "4f", -SX, 1.0, 0.0, 0.0)]),
    ("sheared sform beside a good qform", "not at right angles", [(280, "4f", -SX, 1.0, 0.0, 0.0)]),
    ("singular sform", "singular", [(252, "2h", 0, 1), (280, "4f", 0.0, 0.0, 0.0, 0.0)]),
    ("NaN in sform", "singular", [(280, "4f", float("nan"), 0.0, 0.0, 0.0)]),
    ("sform against pixdim", "5.8 x 3.1 x 3.7 mm in sform but 2.9 x 3.1 x 3.7 mm in pixdim", [(280, "f", -2 * SX)]),
    ("qform no rotation", "qform that is no rotation", [(252, "2h", 1, 0), (256, "3f", 2.0, 2.0, 2.0)]),
    ("metres for millimetres", "found a spacing of 2900 x 3100 x 3700 mm, expected", [(123, "b", 1)]),
    ("micrometres for millimetres", "found a spacing of 0.0029 x 0.0031 x 0.0037 mm", [(123, "b", 3)]),
    ("four dimensions", r"found 4 dimensions \(62 x 58 x 23 x 2\), expected 3", [(40, "5h", 4, 62, 58, 23, 2)]),
    ("two dimensions", r"found 2 dimensions \(62 x 58\)", [(40, "4h", 2, 62, 58, 1)]),
    ("colour", "colour, vector or complex", [(70, "2h", 128, 24)]),
    ("complex", "colour, vector or complex", [(70, "2h", 32, 64)]),
    ("size of zero", "found a size of 62 x 0 x 46 voxels", [(44, "h", 0)]),
    ("negative size", "found a size of 62 x -58 x 46 voxels", [(44, "h", -58)]),
    ("size beyond all bounds", "found a size of 32767 x 32767 x 32767", [(42, "3h", 32767, 32767, 32767)]),
    ("more voxels than the file has", "truncated", [(42, "3h", 62, 58, 47)]),
    ("voxels inside the header", "found voxels at byte 0", [(108, "f", 0.0)]),
    ("Analyze", "no NIfTI-1 header", [(344, "4s", b"abc\0")]),
):

    @case(f"NIfTI: {name}", message)
    def _(folder: Path, edits: list[tuple[Any, ...]] = edits) -> Path:
        return nifti(folder, *edits)


def edited(folder: Path, suffix: str, old: str, new: str) -> Path:
    """A valid NRRD or MetaImage file with a part of its header replaced."""
    path = folder / f"scan{suffix}"
    sitk.WriteImage(scans.to_image(SCAN), str(path), False)
    content = path.read_bytes()
    assert old.encode() in content[:2000]
    path.write_bytes(content.replace(old.encode(), new.encode(), 1))
    return path


MATRIX, META_SPACING = (
    "TransformMatrix = 1 0 0 0 1 0 0 0 1",
    "ElementSpacing = 2.8999999999999999 3.1000000000000001 3.7000000000000002",
)
DIRECTIONS = "(2.8999999999999999,0,0) (0,3.1000000000000001,0) (0,0,3.7000000000000002)"
for name, suffix, message, old, new in (
    ("singular", ".mha", "directions that are singular", MATRIX, "TransformMatrix = 1 0 0 1 0 0 0 0 1"),
    ("all zero", ".mha", "directions that are singular", MATRIX, "TransformMatrix = 0 0 0 0 0 0 0 0 0"),
    ("sheared", ".mha", "not at right angles", MATRIX, "TransformMatrix = 1 0 0 0.1 1 0 0 0 1"),
    ("too long", ".mha", "not of unit length", MATRIX, "TransformMatrix = 2 0 0 0 1 0 0 0 1"),
    ("zero spacing", ".mha", "a spacing of 0 x 3.1 x 3.7", META_SPACING, "ElementSpacing = 0 3.1 3.7"),
    ("negative spacing", ".mha", "a spacing of -2.9 x 3.1 x 3.7", META_SPACING, "ElementSpacing = -2.9 3.1 3.7"),
    (
        "no number as spacing",
        ".mha",
        "found 'a b c' in the header, expected numbers",
        META_SPACING,
        "ElementSpacing = a b c",
    ),
    ("two numbers as spacing", ".mha", "a spacing of 2.9 x 3.1 mm", META_SPACING, "ElementSpacing = 2.9 3.1"),
    ("no spacing", ".mha", "no ElementSpacing", META_SPACING, "Comment = none"),
    ("vector", ".mha", "found 3 x MET_SHORT a voxel", META_SPACING, f"{META_SPACING}\nElementNumberOfChannels = 3"),
    ("unknown type", ".mha", "found 1 x MET_FOO", "MET_SHORT", "MET_FOO"),
    ("several files", ".mha", "spread over several files", "ElementDataFile = LOCAL", "ElementDataFile = LIST"),
    ("two dimensions", ".mha", "found 2 dimensions", "DimSize = 62 58 46", "DimSize = 62 58"),
    ("singular", ".nrrd", "directions that are singular", DIRECTIONS, "(1,0,0) (1,0,0) (0,0,3)"),
    ("zero direction", ".nrrd", "a spacing of 0 x", DIRECTIONS, "(0,0,0) (0,3,0) (0,0,3)"),
    ("no direction", ".nrrd", "no complete space directions", DIRECTIONS, "none (0,3,0) (0,0,3)"),
    ("sheared", ".nrrd", "not at right angles", DIRECTIONS, "(3,0,0) (1,3,0) (0,0,3)"),
    ("no patient space", ".nrrd", "found scanner-xyz as NRRD space", "left-posterior-superior", "scanner-xyz"),
    ("no space", ".nrrd", "found no space as NRRD space", "space: left-posterior-superior", "space dimension: 3"),
    ("no origin", ".nrrd", "no complete space directions and space origin", "space origin:", "# origin:"),
    ("unknown encoding", ".nrrd", "found NRRD encoding hex", "encoding: raw", "encoding: hex"),
    ("block type", ".nrrd", "found voxels of type block", "type: short", "type: block"),
    ("four dimensions", ".nrrd", "found 4 dimensions", "sizes: 62 58 46", "sizes: 62 58 23 2"),
):

    @case(f"{suffix}: {name}", message)
    def _(folder: Path, suffix: str = suffix, old: str = old, new: str = new) -> Path:
        return edited(folder, suffix, old, new)


# ---- what is in the voxels and around them

for name, message, volume in (
    (
        "small field of view",
        "found a field of view of 58 x 180 x 170 mm, expected 60 to 3000 mm",
        with_values(SCAN.array[:, :, :20]),
    ),
    ("few slices", "found a field of view of 180 x 180 x 4 mm", with_values(SCAN.array[:1])),
    ("fine voxels", "found a spacing of 0.01 x 0.01 x 0.01 mm", with_values(SCAN.array, spacing_mm=(0.01,) * 3)),
    ("coarse voxels", "found a spacing of 20 x 20 x 20 mm", with_values(SCAN.array, spacing_mm=(20.0,) * 3)),
    (
        "NaN",
        "found voxels that are NaN or infinite",
        with_values(np.where(np.arange(SCAN.array.size).reshape(SCAN.array.shape) == 7, np.nan, SCAN.array)),
    ),
    (
        "infinite",
        "found voxels that are NaN or infinite",
        with_values(np.where(np.arange(SCAN.array.size).reshape(SCAN.array.shape) == 7, -np.inf, SCAN.array)),
    ),
    (
        "beyond int16",
        r"found values from -?\d+ to 100000, expected HU within -32768 to 32767",
        with_values(
            np.where(np.arange(SCAN.array.size).reshape(SCAN.array.shape) == 7, 100000, SCAN.array.astype("i4"))
        ),
    ),
    ("ten times HU", "of them (above 4095|spread below -2000), expected HU", with_values(SCAN.array * np.int16(10))),
    (
        "values without end",
        "expected HU",
        with_values(np.random.default_rng(0).integers(-32768, 32767, SCAN.array.shape).astype(np.int16)),
    ),
    ("no intercept", "none below -500, expected HU with air or lung", with_values(SCAN.array + np.int16(1024))),
    (
        "no air",
        "none below -500, expected HU with air or lung",
        with_values(np.maximum(SCAN.array, -400 + SCAN.array // 20)),
    ),
    ("eight bits", "none below -500", with_values(np.clip((SCAN.array + 1024) / 5, 0, 255).astype(np.uint8))),
    ("fractions of one", "expected a CT scan in HU, not a label map", with_values((SCAN.array / 4000).astype("f4"))),
    (
        "label map",
        "found values from 0 to 10, 7 of them distinct, expected a CT scan in HU, not a label map",
        with_values(((SCAN.array.astype(np.int32) + 1024) // 150).clip(0, 10).astype(np.uint8)),
    ),
    (
        "63 values",
        "63 of them distinct",
        with_values((np.arange(SCAN.array.size) % 63 * 20 - 1000).astype("i2").reshape(SCAN.array.shape)),
    ),
):

    @case(name, message)
    def _(folder: Path, volume: Volume = volume) -> Path:
        return scans.write_scan(volume, folder / "scan.nii.gz")


@case("long axis", "holds 32768 voxels along an axis, more than the 32767 that NIfTI can hold")
def _(folder: Path) -> Path:
    volume = Volume(np.full((8, 8, 32768), -1000, np.int16), (0.05, 20.0, 20.0), (0.0, 0.0, 0.0))
    return scans.write_scan(volume, folder / "scan.nrrd")


@case("vector NRRD", "found 4 dimensions")
def _(folder: Path) -> Path:
    image = sitk.Compose([scans.to_image(SCAN)] * 3)
    sitk.WriteImage(image, str(folder / "scan.nrrd"))
    return folder / "scan.nrrd"


# ---- DICOM


def dicom(folder: Path, volume: Volume = SCAN, **how: Any) -> Path:
    return scans.write_dicom(volume, folder / "series", **how)


def moved(shift: Callable[[int], tuple[float, float, float]]) -> Callable[[int, dict[str, str]], dict[str, str]]:
    """Slices of SCAN moved by mm that depend on the slice."""

    def edit(index: int, tags: dict[str, str]) -> dict[str, str]:
        place = np.add(SCAN.origin_mm, (0.0, 0.0, SZ * index)) + shift(index)
        return tags | {"0020|0032": "\\".join(f"{value:.6f}" for value in place)}

    return edit


@case("empty folder", "found 0 files, none of them a DICOM image, expected a CT series")
def _(folder: Path) -> Path:
    (folder / "nothing").mkdir()
    return folder / "nothing"


@case("folder without DICOM", "found no DICOM image, but 1 NIfTI, NRRD or MetaImage files, expected a CT series")
def _(folder: Path) -> Path:
    scans.write_scan(SCAN, folder / "scan.nii.gz")
    return folder


@case("MR only", r"found no CT series, only 1\.2\.\S+ 'T1 axial' \(MR, 46 slices\), expected one")
def _(folder: Path) -> Path:
    return dicom(folder, modality="MR", description="T1 axial")


@case(
    "two CT series",
    r"found 2 CT series of equal rank, expected one .*--series.*1\.2\.3\.1 'lung' \(3.7 mm, 46 slices\); "
    r"1\.2\.3\.2 'soft' \(3.7 mm, 46 slices\)",
)
def _(folder: Path) -> Path:
    scans.write_dicom(SCAN, folder / "study" / "a", series="1.2.3.1", description="lung")
    scans.write_dicom(SCAN, folder / "study" / "b", series="1.2.3.2", description="soft")
    return folder / "study"


@case("zip of two CT series", "found 2 CT series")
def _(folder: Path) -> Path:
    scans.write_dicom(SCAN, folder / "study" / "a", series="1.2.3.1")
    scans.write_dicom(SCAN, folder / "study" / "b", series="1.2.3.2")
    return scans.zip_folder(folder / "study", folder / "study.zip")


@case("zip of something else", "found 1 files, none of them a DICOM image")
def _(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "scan.zip", "w") as archive:
        archive.writestr("scan.txt", "hello")
    return folder / "scan.zip"


@case("damaged zip", "found a damaged zip")
def _(folder: Path) -> Path:
    path = scans.zip_folder(dicom(folder), folder / "scan.zip")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x55
    path.write_bytes(content)
    return path


@case("zip that claims too much", "found 2 files of .* MB in all, expected at most")
def _(folder: Path) -> Path:
    path = folder / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"0" * 1000)
        archive.writestr("b", b"0" * 1000)
    content = bytearray(path.read_bytes())
    entry = -1
    for _number in range(2):
        entry = content.index(b"PK\x01\x02", entry + 1)
        struct.pack_into("<I", content, entry + 24, 0xFFFFFFF0)
    path.write_bytes(content)
    return path


@case("gap", r"found 1 gap\(s\) of up to 7.40 mm between slices 3.70 mm apart \(missing slices")
def _(folder: Path) -> Path:
    path = dicom(folder)
    (path / "IM0020").unlink()
    return path


@case("uneven", r"found distances between slices from 1.50 to 5.90 mm \(uneven spacing\)")
def _(folder: Path) -> Path:
    return dicom(folder, edit=moved(lambda index: (0.0, 0.0, 2.2 * (index % 2))))


@case("lying gantry", r"found a gantry tilt of 45.0 degrees, expected at most 40")
def _(folder: Path) -> Path:
    return dicom(folder, edit=moved(lambda index: (0.0, SZ * index * float(np.tan(np.radians(45.0))), 0.0)))


@case("moved table", r"found slices shifted sideways by up to 3.9 mm off a straight line \(a moved table")
def _(folder: Path) -> Path:
    return dicom(folder, edit=moved(lambda index: (4.0 * (index == 30), 0.0, 0.0)))


@case("two phases in one series", "found 23 of 46 slices at the position of another with a different image")
def _(folder: Path) -> Path:
    return dicom(folder, edit=moved(lambda index: (0.0, 0.0, SZ * (index // 2 - index))))


@case("mixed orientation", "found slices of different orientation in one series")
def _(folder: Path) -> Path:
    return dicom(folder, edit=lambda index, tags: tags | ({"0020|0037": "1\\0\\0\\0\\0.6\\0.8"} if index > 30 else {}))


@case("mixed size", "found slices of different size or pixel spacing")
def _(folder: Path) -> Path:
    path = dicom(folder)
    half = Volume(SCAN.array[:, :30], SCAN.spacing_mm, SCAN.origin_mm)
    scans.write_dicom(half, path, names="HALF{}".format)
    return path


@case("damaged slice", "found a damaged or truncated CT slice among its 46 files, expected intact files")
def _(folder: Path) -> Path:
    path = dicom(folder)
    content = (path / "IM0045").read_bytes()
    (path / "IM0045").write_bytes(content[: len(content) // 2])
    return path


@case("one slice", "found CT images that are no volume")
def _(folder: Path) -> Path:
    return dicom(folder, Volume(SCAN.array[:1], SCAN.spacing_mm, SCAN.origin_mm))


@case("short series", "found a field of view of 180 x 180 x 15 mm")
def _(folder: Path) -> Path:
    return dicom(folder, Volume(SCAN.array[:4], SCAN.spacing_mm, SCAN.origin_mm))


@case("DICOM without rescale", "none below -500")
def _(folder: Path) -> Path:
    return dicom(
        folder,
        Volume(SCAN.array + np.int16(1024), SCAN.spacing_mm, SCAN.origin_mm),
        edit=lambda _, tags: tags | {"0028|1052": "0"},
    )


# ---- the tests


@pytest.mark.parametrize("name", CASES)
def test_refused_with_one_line(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    maker, pattern = CASES[name]
    path = maker(tmp_path)
    capfd.readouterr()
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert re.search(pattern, message), message
    assert message.startswith(f"{path}: ") and "\n" not in message
    assert not any(text in message for text in scans.PATIENT_TAGS.values())
    printed = capfd.readouterr()
    assert printed.out + printed.err == "", "something was printed beside the message"


@pytest.mark.parametrize("suffix, length", ((".nii", 352), (".nrrd", 420), (".mha", 330)))
def test_damaged_headers_are_read_or_refused_and_nothing_else(suffix: str, length: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    warnings.simplefilter("error")  # they would be lines beside the message
    path = tmp_path / f"scan{suffix}"
    sitk.WriteImage(scans.to_image(SCAN), str(path), False)
    whole = path.read_bytes()
    letters = bytes(range(256)) if suffix == ".nii" else b"0123456789-. ()=:\nae,n"
    refused = 0
    for _ in range(150):
        content = bytearray(whole)
        for place in rng.integers(0, length, rng.integers(1, 6)):
            content[place] = letters[rng.integers(len(letters))]
        path.write_bytes(content)
        try:
            assert read(path).array.dtype == np.int16
        except InputError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    assert 20 < refused < 150


def test_patient_is_not_named_by_messages_about_files(tmp_path: Path) -> None:
    folder = dicom(tmp_path, names=f"{scans.PATIENT}_{{:04d}}.dcm".format)
    content = (folder / f"{scans.PATIENT}_0045.dcm").read_bytes()
    (folder / f"{scans.PATIENT}_0045.dcm").write_bytes(content[:3000])
    with pytest.raises(InputError) as caught:
        read(folder)
    assert scans.PATIENT not in str(caught.value)


@pytest.mark.parametrize(
    "series, pattern",
    (
        ("1.2.3.9", r"found no series 1\.2\.3\.9, expected one of 1\.2\.3\.1 'lung' \(CT, 46 slices\)"),
        ("1.2.3.2", r"found modality MR in series 1\.2\.3\.2, expected CT"),
    ),
)
def test_series_that_is_not_there_or_no_ct(series: str, pattern: str, tmp_path: Path) -> None:
    scans.write_dicom(SCAN, tmp_path / "study" / "a", series="1.2.3.1", description="lung")
    scans.write_dicom(SCAN, tmp_path / "study" / "b", series="1.2.3.2", modality="MR")
    with pytest.raises(InputError, match=pattern):
        read(tmp_path / "study", series=series)


@pytest.mark.parametrize("source", (SCAN, scans.to_image(SCAN)))
def test_series_of_a_single_scan_is_refused(source: Any, tmp_path: Path) -> None:
    for single in (source, scans.write_scan(SCAN, tmp_path / "scan.mha")):
        with pytest.raises(InputError, match="found a series UID for a single scan"):
            read(single, series="1.2.3")


@pytest.mark.parametrize(
    "image, pattern",
    (
        (sitk.Image(200, 200, sitk.sitkInt16), "image: found 2 dimensions and 1 numbers a voxel, expected 3 and 1"),
        (sitk.Image([9, 9, 9], sitk.sitkVectorInt16, 3), "image: found 3 dimensions and 3 numbers"),
        (sitk.Image([9, 9, 9], sitk.sitkComplexFloat32), "image: found complex"),
        (sitk.Image([9, 9, 9], sitk.sitkInt16), "image: found a field of view of 9 x 9 x 9 mm"),
    ),
)
def test_simpleitk_images_are_refused_likewise(image: sitk.Image, pattern: str) -> None:
    with pytest.raises(InputError, match=pattern):
        read(image)


@pytest.mark.parametrize(
    "volume, pattern",
    (
        (with_values(SCAN.array > 0), "volume: found voxels of type bool"),
        (with_values(SCAN.array.astype(complex)), "volume: found voxels of type complex128"),
        (with_values(SCAN.array[0]), "volume: the array has 2 dimensions"),
        (with_values(SCAN.array[None]), "volume: the array has 4 dimensions"),
        (with_values(SCAN.array[:0]), "volume: found a field of view of 180 x 180 x 0 mm"),
        (with_values(SCAN.array, spacing_mm=(0.0, 1.0, 1.0)), "volume: found a spacing of 0 x 1 x 1 mm"),
        (with_values(SCAN.array, origin_mm=(np.nan, 1.0, 1.0)), "volume: found an origin that is not finite"),
        (
            with_values(SCAN.array, origin_mm=(1.0, -4e21, 1.0)),
            r"volume: found an origin at 1, -4e\+21, 1 mm, expected",
        ),
        (with_values(SCAN.array, direction=(0.0,) * 9), "volume: found directions that are singular"),
        (with_values(SCAN.array, direction=(np.nan,) * 9), "volume: found directions that are singular"),
    ),
)
def test_volumes_are_refused_likewise(volume: Volume, pattern: str) -> None:
    with pytest.raises(InputError, match=pattern):
        read(volume)


def test_compressed_data_may_not_run_on_for_ever(tmp_path: Path) -> None:
    """A file that goes on after its voxels costs a bounded effort, and is read."""
    raw = scans.write_scan(SCAN, tmp_path / "scan.nii").read_bytes()
    packer = zlib.compressobj(9, wbits=31)
    packed = packer.compress(raw) + b"".join(packer.compress(bytes(1 << 20)) for _ in range(300)) + packer.flush()
    (tmp_path / "scan.nii.gz").write_bytes(packed)
    np.testing.assert_array_equal(read(tmp_path / "scan.nii.gz").array, SCAN.array)


# One case of each kind that the command line's users meet; the others differ in the message alone.
AT_THE_COMMAND_LINE = (
    "missing",
    "text",
    "truncated .nii.gz 0.5",
    "NIfTI: two dimensions",
    "NIfTI: four dimensions",
    "NIfTI: zero spacing",
    "NIfTI: metres for millimetres",
    ".mha: singular",
    "small field of view",
    "NaN",
    "beyond int16",
    "label map",
    "no air",
    "MR only",
    "two CT series",
    "zip of two CT series",
    "lying gantry",
)


@pytest.fixture
def empty_models(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models that exist and could not be used: bad input must be refused before any is looked into."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("dense_vnet", *(f"squeezenet_{axis}" for axis in ("axial", "coronal", "sagittal"))):
        (folder / f"{name}.xml").touch()
        (folder / f"{name}.bin").touch()
    monkeypatch.setattr("whs_fast.engine.models_folder", lambda: folder)


@pytest.mark.usefixtures("empty_models")
@pytest.mark.parametrize("name", AT_THE_COMMAND_LINE)
def test_command_line_ends_with_status_2_and_leaves_nothing(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    maker, pattern = CASES[name]
    (tmp_path / "in").mkdir()
    path = maker(tmp_path / "in")
    before = sorted(tmp_path.rglob("*"))
    capfd.readouterr()
    assert main(["run", str(path), "-o", str(tmp_path / "out" / "results")]) == 2
    printed = capfd.readouterr()
    error = without_progress(printed.err)
    assert printed.out == "" and error.count("\n") == 1, printed
    assert re.search(pattern, error)
    assert sorted(tmp_path.rglob("*")) == before
