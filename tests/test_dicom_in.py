"""DICOM as hospitals send it: each hard folder gives the voxels of the plain series, or one line that names the fault.

The folders are made by tests/dicom_cases.py; public series with faults are read where WHS_FAST_DATA has them.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dicom_cases
import numpy as np
import pydicom
import pytest
import scans
from dicom_cases import both, private, tagged, write, write_enhanced
from highdicom.legacy import LegacyConvertedEnhancedCTImage
from pydicom.dataset import Dataset
from scipy import ndimage
from test_reading import assert_same_volume
from whs_fast.errors import InputError
from whs_fast.reading import list_series, open_phases, read
from whs_fast.reading.clues import percent_in
from whs_fast.reading.series import read_series
from whs_fast.volume import Volume

# Few slices, as thick as they may be: what is tested does not depend on them.
SCAN = scans.make_scan(shape=(12, 58, 62), spacing_mm=(2.9, 3.1, 11.0))
COUNT = SCAN.array.shape[0]
PATIENT = [value for value in scans.PATIENT_TAGS.values() if value != "20230417"]
PERCENTS = (5, 35, 75)


@pytest.fixture(scope="module")
def phases() -> list[Volume]:
    """The same patient in three phases, on one grid."""
    return [scans.make_scan(seed=seed, shape=SCAN.array.shape, spacing_mm=SCAN.spacing_mm) for seed in range(3)]


def assert_refused(source: Path, pattern: str, **how: object) -> None:
    with pytest.raises(InputError) as caught:
        read(source, **how)
    message = str(caught.value)
    assert re.search(pattern, message), message
    assert message.startswith(f"{source}: found ") and "expected" in message and "\n" not in message
    assert not any(value in message for value in PATIENT)


def assert_told(volume: Volume, *patterns: str) -> None:
    """One note for each pattern, in order, and none that names patient or UID."""
    assert len(volume.notes) == len(patterns), volume.notes
    for note, pattern in zip(volume.notes, patterns, strict=True):
        assert re.search(pattern, note), note
        assert "\n" not in note and not any(value in note for value in [*PATIENT, dicom_cases.ROOT])


# ---- transfer syntaxes

SYNTAXES = {
    "implicit": pydicom.uid.ImplicitVRLittleEndian,
    "explicit": pydicom.uid.ExplicitVRLittleEndian,
    "big endian": pydicom.uid.ExplicitVRBigEndian,
    "deflated": pydicom.uid.DeflatedExplicitVRLittleEndian,
    "RLE": pydicom.uid.RLELossless,
    "JPEG-LS": pydicom.uid.JPEGLSLossless,
}


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


@pytest.mark.skipif(shutil.which("dcmcjpeg") is None, reason="DCMTK is not installed")
@pytest.mark.parametrize(
    "command", (["dcmcjpeg", "+e1"], ["dcmcjpeg", "+el"], ["dcmcjpls", "+el"], ["dcmcrle"]), ids=" ".join
)
@pytest.mark.parametrize("signed", (False, True))
def test_files_compressed_by_dcmtk_give_the_same_voxels(command: list[str], signed: bool, tmp_path: Path) -> None:
    plain = write(SCAN, tmp_path / "plain", signed=signed)
    (tmp_path / "series").mkdir()
    for path in plain.iterdir():
        subprocess.run([*command, path, tmp_path / "series" / path.name], check=True)
    assert_same_volume(read(tmp_path / "series"), SCAN)


@pytest.mark.skipif(shutil.which("dcmcjpeg") is None, reason="DCMTK is not installed")
def test_lossy_jpeg_of_12_bits_is_nearly_the_same(tmp_path: Path) -> None:
    def edit(index: int, image: Dataset) -> Dataset:
        image.BitsStored, image.HighBit = 12, 11
        return image

    plain = write(Volume(np.minimum(SCAN.array, 3000), SCAN.spacing_mm, SCAN.origin_mm), tmp_path / "plain", edit=edit)
    (tmp_path / "series").mkdir()
    for path in plain.iterdir():
        subprocess.run(["dcmcjpeg", "+ee", "+q", "95", path, tmp_path / "series" / path.name], check=True)
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


# ---- phases of one series


def write_phases(phases: list[Volume], folder: Path, clue: Callable[[int, int], dicom_cases.Edit]) -> Path:
    """Phases in one series, in no order; `clue` gives the edit of a slice from the phase's and the slice's number."""
    for phase, volume in enumerate(phases):

        def edit(index: int, image: Dataset, phase: int = phase) -> Dataset | None:
            image.SOPInstanceUID = f"{image.SOPInstanceUID}.{phase}"
            image.SeriesInstanceUID = f"{dicom_cases.ROOT}.1"
            return clue(phase, index)(index, image)

        write(volume, folder / f"{(2, 0, 1)[phase]}", edit=edit)
    return folder


RNG = np.random.default_rng(0)
CLUES: dict[str, tuple[Callable[[int, int], dicom_cases.Edit], tuple[str, str, str]]] = {
    "nominal percentage": (
        lambda phase, index: tagged(NominalPercentageOfCardiacPhase=float(PERCENTS[phase])),
        ("5%", "35%", "75%"),
    ),
    "trigger time": (
        lambda phase, index: tagged(TriggerTime=f"{(40, 310, 700)[phase]}"),
        ("40ms", "310ms", "700ms"),
    ),
    "trigger time that varies, and the R-R interval": (
        lambda phase, index: tagged(
            TriggerTime=f"{(50, 350, 750)[phase] + (index * 7) % 23 - 11}", NominalInterval=1000
        ),
        ("5%", "35%", "75%"),
    ),
    "trigger time and heart rate": (
        lambda phase, index: tagged(TriggerTime=f"{(40, 280, 600)[phase]}", HeartRate=75),
        ("5%", "35%", "75%"),
    ),
    "temporal position": (
        lambda phase, index: tagged(TemporalPositionIdentifier=phase + 1),
        ("1of3", "2of3", "3of3"),
    ),
    "acquisition number": (lambda phase, index: tagged(AcquisitionNumber=phase + 4), ("1of3", "2of3", "3of3")),
    "image comments": (
        lambda phase, index: tagged(ImageComments=f"BestPhase {PERCENTS[phase]} %", AcquisitionNumber=index + 1),
        ("5%", "35%", "75%"),
    ),
    "GE": (
        lambda phase, index: private("GEMS_HELIOS_01", 0x0045, 0x33, "CS", str(PERCENTS[phase])),
        ("5%", "35%", "75%"),
    ),
    "Canon": (
        lambda phase, index: private("TOSHIBA_MEC_CT3", 0x7005, 0x04, "SH", f"{PERCENTS[phase]}%"),
        ("5%", "35%", "75%"),
    ),
}


@pytest.mark.parametrize("name", CLUES)
def test_phases_of_one_series_are_told_apart(name: str, phases: list[Volume], tmp_path: Path) -> None:
    clue, labels = CLUES[name]
    folder = write_phases(phases, tmp_path / "series", clue)
    assert list_series(folder)[0].phases == labels
    default = read(folder)
    assert_same_volume(default, phases[1])
    assert_told(default, f"took phase {labels[1]} of {', '.join(labels)}: nearest to end-systole")
    for volume, label in zip(phases, labels, strict=True):
        found = read(folder, phase=label)
        assert_same_volume(found, volume)
        assert found.notes == ()


def test_private_clues_are_read_from_implicit_files_too(phases: list[Volume], tmp_path: Path) -> None:
    for phase, volume in enumerate(phases):
        edit = both(
            tagged(SeriesInstanceUID=f"{dicom_cases.ROOT}.1"),
            private("GEMS_HELIOS_01", 0x0045, 0x33, "CS", str(PERCENTS[phase])),
        )
        write(volume, tmp_path / "series", series=f"1.{phase}", edit=edit, syntax=pydicom.uid.ImplicitVRLittleEndian)
    assert_same_volume(read(tmp_path / "series", phase=75), phases[2])


@pytest.mark.parametrize("phase, index", ((30, 1), ("30", 1), ("40%", 1), (8.5, 0), (79, 2), ("370 ms", 1)))
def test_the_phase_nearest_to_the_one_asked_for(
    phase: float | str, index: int, phases: list[Volume], tmp_path: Path
) -> None:
    folder = write_phases(phases, tmp_path / "series", CLUES["trigger time that varies, and the R-R interval"][0])
    assert_same_volume(read(folder, phase=phase), phases[index])


def test_a_phase_that_is_not_there(phases: list[Volume], tmp_path: Path) -> None:
    folder = write_phases(phases, tmp_path / "series", CLUES["nominal percentage"][0])
    assert_refused(folder, "found no such phase, expected one of: 5%, 35%, 75%", phase=50)
    assert_refused(folder, "found no such phase, expected one of: 5%, 35%, 75%", phase="300ms")
    for nonsense in ("half", "-5", "101", "3of", ""):
        with pytest.raises(InputError, match=r"phase: found .* expected a percentage such as 30"):
            read(folder, phase=nonsense)
    write(SCAN, tmp_path / "plain")
    assert_refused(tmp_path / "plain", "found no such phase, expected one of: not told", phase=30)
    assert_same_volume(read(write(SCAN, tmp_path / "told", edit=tagged(SeriesDescription="CTA 30 %")), phase=30), SCAN)


def test_phases_in_series_of_their_own(phases: list[Volume], tmp_path: Path) -> None:
    for phase, volume in enumerate(phases):
        text = tagged(SeriesDescription=f"CorCTA 0.6 Bv40 3 {PERCENTS[phase]} %", ContrastBolusAgent="Iomeprol")
        write(volume, tmp_path / "study", series=f"{phase + 1}", edit=text)
    write(SCAN, tmp_path / "study", series="7", edit=tagged(SeriesDescription="Calcium score 75 %"))
    found = read(tmp_path / "study")
    assert_same_volume(found, phases[1])
    assert_told(
        found, r"took the series 'CorCTA 0.6 Bv40 3 35 %' \(11 mm, phase 35%, 12 slices\), one of 4", "took phase"
    )
    assert_same_volume(read(tmp_path / "study", phase=75, series=f"{dicom_cases.ROOT}.3"), phases[2])
    assert_same_volume(read(tmp_path / "study", phase=3), phases[0])
    with open_phases(tmp_path / "study") as opened:
        assert [(phase.label, phase.folder) for phase in opened] == [
            ("5%", "phase_5"),
            ("35%", "phase_35"),
            ("75%", "phase_75"),
        ]
        for phase, volume in zip(opened, phases, strict=True):
            assert_same_volume(read(phase), volume)


def test_open_phases_of_a_zip_and_of_no_phases(phases: list[Volume], tmp_path: Path) -> None:
    folder = write_phases(phases, tmp_path / "series", CLUES["temporal position"][0])
    with open_phases(scans.zip_folder(folder, tmp_path / "series.zip")) as opened:
        assert [phase.folder for phase in opened] == ["phase_1of3", "phase_2of3", "phase_3of3"]
        for phase, volume in zip(opened, phases, strict=True):
            assert_same_volume(read(phase), volume)
        with pytest.raises(InputError, match="expected one only with a DICOM folder"):
            read(opened[0], phase=30)
    write(SCAN, tmp_path / "plain")
    for source, pattern in ((tmp_path / "plain", "whose phase is not told"), (tmp_path / "no", "no such file")):
        with pytest.raises(InputError, match=pattern), open_phases(source):
            pass
    # What happens while a scan is open is not the scan's fault.
    with pytest.raises(FileNotFoundError), open_phases(folder):
        raise FileNotFoundError


def test_a_phase_with_a_missing_slice_is_still_a_phase(phases: list[Volume], tmp_path: Path) -> None:
    def clue(phase: int, index: int) -> dicom_cases.Edit:
        if phase == 2 and index == 5:
            return lambda index, image: None
        return tagged(NominalPercentageOfCardiacPhase=float(PERCENTS[phase]))

    folder = write_phases(phases, tmp_path / "series", clue)
    assert_same_volume(read(folder), phases[1])
    assert_refused(folder, r"found 1 gap\(s\) of up to 22.00 mm", phase=75)


def test_step_and_shoot_is_one_phase(tmp_path: Path) -> None:
    folder = write(
        SCAN, tmp_path / "series", edit=lambda index, image: tagged(AcquisitionNumber=index // 4)(index, image)
    )
    found = read(folder)
    assert_same_volume(found, SCAN)
    assert found.notes == ()


@pytest.mark.parametrize(
    "text, percent",
    (
        ("CorCTA  0.75  Bv36  3  BestDiast 76 %", 76.0),
        ("Cardiac 42.5% 0.6mm", 42.5),
        ("75,5 %", 75.5),
        ("0.6 ASIR 40% 75%", 75.0),
        ("ASiR-V 50%", None),
        ("iDose 30 % heart", None),
        ("Coronary 30-80 %", None),
        ("systole 35 % diastole 75 %", None),
        ("30 mm", None),
        ("1075 %", None),
    ),
)
def test_percentages_in_texts(text: str, percent: float | None) -> None:
    assert percent_in(text) == percent


# ---- enhanced multi-frame CT


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


def test_enhanced_phases(phases: list[Volume], tmp_path: Path) -> None:
    path = write_enhanced(phases, tmp_path / "scan.dcm", percents=PERCENTS, syntax=pydicom.uid.RLELossless)
    found = read(path)
    assert_same_volume(found, phases[1])
    assert_told(found, "took phase 35% of 5%, 35%, 75%")
    assert_same_volume(read(path, phase=75), phases[2])


def test_enhanced_without_pydicom_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_enhanced([SCAN], tmp_path / "scan.dcm")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert_refused(path, r"found enhanced multi-frame CT, expected pydicom for it: pip install 'whs-fast\[dicom\]'")


def test_classic_series_need_no_pydicom(tmp_path: Path) -> None:
    folder = write(SCAN, tmp_path / "series")
    code = (
        "import sys; sys.modules['pydicom'] = None; from whs_fast.reading import read;"
        f"print(read({str(folder)!r}).array.shape)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"(12, 58, 62)\n"


@pytest.mark.parametrize("syntax", ("explicit", "RLE", "JPEG-LS"))
@pytest.mark.parametrize("part", (0.02, 0.5, 0.999))
def test_truncated_enhanced_files_are_refused(syntax: str, part: float, tmp_path: Path) -> None:
    path = write_enhanced([SCAN], tmp_path / "scan.dcm", syntax=SYNTAXES[syntax])
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    assert_refused(path, "damaged|no pixels")


def test_enhanced_files_that_do_not_describe_each_frame(tmp_path: Path) -> None:
    def edit(image: Dataset) -> None:
        del image.PerFrameFunctionalGroupsSequence[5]

    path = write_enhanced([SCAN], tmp_path / "scan.dcm", edit=edit)
    assert_refused(path, "found an enhanced CT file of 12 frames with 11 of them described")


# ---- copies, and slices at one position


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


def test_copies_do_not_hide_the_phases(phases: list[Volume], tmp_path: Path) -> None:
    folder = write_phases(phases, tmp_path / "series", CLUES["nominal percentage"][0])
    for number, path in enumerate(sorted(folder.rglob("1_*"))):
        image = pydicom.dcmread(path)
        image.SOPInstanceUID = f"1.2.3.{number}"
        image.save_as(folder / f"copy_{number}")
    found = read(folder, phase=35)
    assert_same_volume(found, phases[1])
    assert_told(found, f"{COUNT} copies")


def test_different_images_at_one_position_are_refused(phases: list[Volume], tmp_path: Path) -> None:
    folder = write_phases(phases, tmp_path / "series", lambda phase, index: dicom_cases.unchanged)
    assert_refused(
        folder, "found 24 of 36 slices at the position of another with a different image .*: export one phase"
    )


# ---- gantry tilt


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


# ---- missing slices and uneven spacing

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


# ---- which series


def thorax(folder: Path, series: str, thickness: float = 3.7, **tags: object) -> Volume:
    """A series of its own acquisition, with content of its own."""
    volume = scans.make_scan(seed=int(series) + 10, spacing_mm=(2.9, 3.1, thickness))
    write(volume, folder, series=series, edit=tagged(**({"AcquisitionTime": f"10{series:0>2}00"} | tags)))
    return volume


def test_the_thinnest_contrast_cardiac_series_is_taken_and_told(tmp_path: Path) -> None:
    study = tmp_path / "study"
    thorax(study, "1", 3.0, SeriesDescription="Thorax nativ")
    thorax(study, "2", 3.5, SeriesDescription="CTA heart", ContrastBolusAgent="Ultravist")
    best = thorax(study, "3", 3.1, SeriesDescription="CTA heart thin", ContrastBolusAgent="Ultravist")
    thorax(study, "4", 2.8, SeriesDescription="CTA abdomen", ContrastBolusAgent="Ultravist")
    thorax(
        study, "5", 2.7, SeriesDescription="CTA heart MPR", ContrastBolusAgent="X", ImageType="DERIVED\\SECONDARY\\MPR"
    )
    found = read(study)
    assert_same_volume(found, best)
    assert_told(
        found, r"took the series 'CTA heart thin' \(3.1 mm, 46 slices\), one of 5 CT series \(`whs-fast series`"
    )
    assert [line.chosen for line in list_series(study)] == [False, False, True, False, False]


def test_two_acquisitions_alike_are_refused_and_two_kernels_are_not(tmp_path: Path) -> None:
    one = thorax(tmp_path / "a", "1", ConvolutionKernel="Bv49f")
    two = thorax(tmp_path / "a", "2", ConvolutionKernel="Bv36f", AcquisitionTime="100100")
    assert_same_volume(read(tmp_path / "a"), two)
    assert_same_volume(read(tmp_path / "a", series=f"{dicom_cases.ROOT}.1"), one)
    thorax(tmp_path / "b", "1")
    thorax(tmp_path / "b", "2")
    assert_refused(
        tmp_path / "b", r"found 2 CT series of equal rank, expected one or its UID \(--series UID\): \S+\.1 'ch"
    )


def test_what_comes_with_a_scan_is_ignored(tmp_path: Path) -> None:
    study = write(SCAN, tmp_path / "study")
    scout = tagged(ImageType="ORIGINAL\\PRIMARY\\LOCALIZER", ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    write(Volume(SCAN.array[:2], SCAN.spacing_mm, SCAN.origin_mm), study, series="2", edit=scout)
    # In the series itself too.
    write(Volume(SCAN.array[:2], SCAN.spacing_mm, SCAN.origin_mm), study / "in", edit=scout)
    capture = next(iter(dicom_cases.datasets(SCAN, series="3")))
    capture.SOPClassUID = dicom_cases.SECONDARY_CAPTURE
    capture.SeriesInstanceUID = f"{dicom_cases.ROOT}.1"
    dicom_cases.save(capture, study / "capture")
    colour = next(iter(dicom_cases.datasets(SCAN, series="4")))
    colour.SamplesPerPixel, colour.PhotometricInterpretation, colour.PlanarConfiguration = 3, "RGB", 0
    colour.BitsAllocated, colour.BitsStored, colour.HighBit = 8, 8, 7
    colour.PixelData = np.zeros((colour.Rows, colour.Columns, 3), np.uint8).tobytes()
    dicom_cases.save(colour, study / "colour")
    report = Dataset()
    report.SOPClassUID, report.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.67", "1.2.3"
    report.Modality, report.SeriesInstanceUID = "SR", "1.2.3.4"
    report.PatientName, report.ContentSequence = scans.PATIENT, []
    dicom_cases.save(report, study / "dose")
    found = read(study)
    assert_same_volume(found, SCAN)
    assert found.notes == ()


def test_list_series_names_no_patient(phases: list[Volume], tmp_path: Path) -> None:
    folder = write_phases(phases, tmp_path / "study", CLUES["nominal percentage"][0])
    write(SCAN, folder, series="2", edit=tagged(Modality="MR", SeriesDescription="T1"))
    lines = list_series(scans.zip_folder(folder, tmp_path / "study.zip"))
    assert [(line.modality, line.phases, line.slices, line.chosen) for line in lines] == [
        ("CT", ("5%", "35%", "75%"), 3 * COUNT, True),
        ("MR", (), COUNT, False),
    ]
    assert lines[0].distance_mm == pytest.approx(11.0) and lines[1].distance_mm is None
    assert not any(value in repr(lines) for value in PATIENT)


# ---- public series

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
    found = read_series(place, "scan")
    assert_told(found, *notes)
    for path in place.iterdir():
        image = pydicom.dcmread(path)
        best = likeness(found, image, 0, 0)
        # White noise, half a pixel off and interpolated twice, keeps 0.82.
        assert best > 0.8
        for rows, columns in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            assert likeness(found, image, rows, columns) < best - 0.02
