"""Encodings of DICOM: every transfer syntax, and enhanced multi-frame files, give the voxels of the plain series."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from highdicom.legacy import LegacyConvertedEnhancedCTImage
from pydicom.dataset import Dataset
from support import dicom_cases, scans
from support.dicom_cases import (
    COUNT,
    PERCENTS,
    PHASES,
    SCAN,
    SYNTAXES,
    assert_refused,
    assert_told,
    write,
    write_enhanced,
)
from support.programs import need
from support.scans import assert_same_volume
from whs_fast.reading.scan import read
from whs_fast.volume import Volume


@pytest.mark.parametrize("signed", (False, True))
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_transfer_syntaxes_give_the_same_voxels(syntax: str, signed: bool, tmp_path: Path) -> None:
    folder = write(SCAN, tmp_path / "series", signed=signed, syntax=SYNTAXES[syntax])
    assert pydicom.dcmread(next(folder.iterdir())).file_meta.TransferSyntaxUID == SYNTAXES[syntax]
    found = read(folder)
    assert_same_volume(found, SCAN)
    assert found.notes == ()


@pytest.mark.parametrize(
    "compressor, syntax", (("JPEG", pydicom.uid.JPEGLosslessSV1), ("JPEG2000", pydicom.uid.JPEG2000Lossless))
)
@pytest.mark.parametrize("signed", (False, True))
def test_jpeg_and_jpeg_2000_give_the_same_voxels(compressor: str, syntax: str, signed: bool, tmp_path: Path) -> None:
    intercept = "0" if signed else "-1024"
    folder = scans.write_dicom(
        SCAN, tmp_path / "series", edit=lambda _, tags: tags | {"0028|1052": intercept}, compressor=compressor
    )
    assert pydicom.dcmread(next(folder.iterdir())).file_meta.TransferSyntaxUID == syntax
    assert_same_volume(read(folder), SCAN)


@pytest.mark.parametrize("command", ("dcmcjpeg +e1", "dcmcjpeg +el", "dcmcjpls +el", "dcmcrle"))
@pytest.mark.parametrize("signed", (False, True))
def test_files_compressed_by_dcmtk_give_the_same_voxels(command: str, signed: bool, tmp_path: Path) -> None:
    program, *options = command.split()
    compress = need(program)
    plain = write(SCAN, tmp_path / "plain", signed=signed)
    (tmp_path / "series").mkdir()
    for path in plain.iterdir():
        subprocess.run([compress, *options, path, tmp_path / "series" / path.name], check=True)
    assert_same_volume(read(tmp_path / "series"), SCAN)


def test_lossy_jpeg_of_12_bits_is_nearly_the_same(tmp_path: Path) -> None:
    compress = need("dcmcjpeg")

    def edit(index: int, image: Dataset) -> Dataset:
        image.BitsStored, image.HighBit = 12, 11
        return image

    plain = write(Volume(np.minimum(SCAN.array, 3000), SCAN.spacing_mm, SCAN.origin_mm), tmp_path / "plain", edit=edit)
    (tmp_path / "series").mkdir()
    for path in plain.iterdir():
        subprocess.run([compress, "+ee", "+q", "95", path, tmp_path / "series" / path.name], check=True)
    found = read(tmp_path / "series")
    assert np.abs(found.array.astype(int) - SCAN.array).mean() < 15


def test_a_syntax_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = write(SCAN, tmp_path / "series", syntax=pydicom.uid.RLELossless)
    for path in folder.iterdir():
        image = pydicom.dcmread(path)
        image.file_meta.TransferSyntaxUID = pydicom.uid.HTJ2KLossless
        image.save_as(path)
    assert_refused(folder, "found CT slices compressed as High-Throughput JPEG 2000, expected JPEG.* convert them")


@pytest.mark.parametrize("syntax", ("implicit", "explicit", "RLE", "JPEG-LS"))
@pytest.mark.parametrize("part", (0.3, 0.7, 0.99))
def test_a_truncated_slice_is_refused(syntax: str, part: float, tmp_path: Path) -> None:
    folder = write(SCAN, tmp_path / "series", syntax=SYNTAXES[syntax])
    path = folder / "1_0007"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    assert_refused(folder, "found a damaged")


def test_bits_beside_those_stored_do_not_count(tmp_path: Path) -> None:
    def junk(index: int, image: Dataset) -> Dataset:
        pixels = np.frombuffer(image.PixelData, "<u2")
        image.BitsStored, image.HighBit = 12, 11
        image.PixelData = (pixels | (np.arange(pixels.size) % 16 << 12)).astype("<u2").tobytes()
        return image

    def shifted(index: int, image: Dataset) -> Dataset:
        image.PixelData = (np.frombuffer(image.PixelData, "<u2") << 4).tobytes()
        image.BitsStored, image.HighBit = 12, 15
        return image

    assert_same_volume(read(write(SCAN, tmp_path / "junk", edit=junk)), SCAN)
    folder = write(SCAN, tmp_path / "shifted", edit=shifted)
    assert_refused(folder, "found 12 bits a voxel below bit 15, expected the lowest 12")


@pytest.mark.parametrize("syntax", ("implicit", "explicit", "RLE", "JPEG-LS"))
def test_enhanced_frames_in_no_order_with_intercepts_of_their_own(syntax: str, tmp_path: Path) -> None:
    path = write_enhanced(
        [SCAN], tmp_path / "in" / "scan.dcm", intercepts=lambda frame: -1024 - frame % 3, syntax=SYNTAXES[syntax]
    )
    for source in (path, path.parent, scans.zip_folder(path.parent, tmp_path / "scan.zip")):
        found = read(source)
        assert_same_volume(found, SCAN)
        assert found.notes == ()
    source = read(path).source
    assert source is not None and source.slices is not None and len(source.instances) == 1
    image = pydicom.dcmread(path, stop_before_pixels=True)
    for index, (instance, frame) in enumerate(source.slices):
        place = image.PerFrameFunctionalGroupsSequence[frame - 1].PlanePositionSequence[0].ImagePositionPatient
        assert instance == 0
        np.testing.assert_allclose(place, (SCAN.grid.affine @ (0, 0, index, 1))[:3], atol=1e-4)


@pytest.mark.parametrize("how", ("no table", "several fragments", "extended table"))
def test_enhanced_frames_in_fragments(how: str, tmp_path: Path) -> None:
    path = write_enhanced([SCAN], tmp_path / "scan.dcm", syntax=pydicom.uid.RLELossless)
    image = pydicom.dcmread(path)
    frames = list(pydicom.encaps.generate_frames(image.PixelData, number_of_frames=COUNT))
    match how:
        case "no table":
            image.PixelData = pydicom.encaps.encapsulate(frames, has_bot=False)
        case "several fragments":
            image.PixelData = pydicom.encaps.encapsulate(frames, fragments_per_frame=3)
        case _:
            pixels, offsets, lengths = pydicom.encaps.encapsulate_extended(frames)
            image.PixelData, image.ExtendedOffsetTable, image.ExtendedOffsetTableLengths = pixels, offsets, lengths
    image.save_as(path)
    assert_same_volume(read(path), SCAN)


def test_legacy_converted_enhanced_ct_of_highdicom(tmp_path: Path) -> None:
    """Written by code that is not ours."""
    classic = []
    for image in dicom_cases.datasets(SCAN):
        image.file_meta = pydicom.dataset.FileMetaDataset()
        image.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        for keyword in (
            "PatientSex",
            "StudyTime",
            "AccessionNumber",
            "ReferringPhysicianName",
            "StudyID",
            "Manufacturer",
        ):
            setattr(image, keyword, "")
        classic.append(image)
    np.random.default_rng(3).shuffle(classic)
    converted = LegacyConvertedEnhancedCTImage(classic, f"{dicom_cases.ROOT}.5", 5, f"{dicom_cases.ROOT}.5.1", 1)
    converted.save_as(tmp_path / "scan.dcm", enforce_file_format=True)
    assert_same_volume(read(tmp_path), SCAN)


def test_enhanced_phases(tmp_path: Path) -> None:
    path = write_enhanced(PHASES, tmp_path / "scan.dcm", percents=PERCENTS, syntax=pydicom.uid.RLELossless)
    found = read(path)
    assert_same_volume(found, PHASES[1])
    assert_told(found, "took phase 35% of 5%, 35%, 75%")
    assert_same_volume(read(path, phase=75), PHASES[2])


def test_enhanced_without_pydicom_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_enhanced([SCAN], tmp_path / "scan.dcm")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert_refused(path, r"found enhanced multi-frame CT, expected pydicom for it: pip install 'whs-fast\[dicom\]'")


def test_classic_series_need_no_pydicom(tmp_path: Path) -> None:
    folder = write(SCAN, tmp_path / "series")
    code = (
        "import sys; sys.modules['pydicom'] = None; from whs_fast.reading.scan import read;"
        f"print(read({str(folder)!r}).array.shape)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"(12, 58, 62)\n"


@pytest.mark.parametrize("syntax", ("explicit", "RLE", "JPEG-LS"))
@pytest.mark.parametrize("part", (0.02, 0.5, 0.999))
def test_truncated_enhanced_files_are_refused(syntax: str, part: float, tmp_path: Path) -> None:
    path = write_enhanced([SCAN], tmp_path / "scan.dcm", syntax=SYNTAXES[syntax])
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    assert_refused(path, "found a damaged|found an enhanced CT file of 12 frames with")


def test_enhanced_files_that_do_not_describe_each_frame(tmp_path: Path) -> None:
    def edit(image: Dataset) -> None:
        del image.PerFrameFunctionalGroupsSequence[5]

    path = write_enhanced([SCAN], tmp_path / "scan.dcm", edit=edit)
    assert_refused(path, "found an enhanced CT file of 12 frames with 11 descriptions and pixels of 12")
