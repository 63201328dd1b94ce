"""Series of several phases: told apart by whatever the scanner wrote, named, and chosen."""

from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from support import dicom_cases, scans
from support.dicom_cases import (
    PERCENTS,
    PHASES,
    SCAN,
    assert_refused,
    assert_told,
    both,
    in_percent,
    private,
    tagged,
    write,
    write_phases,
)
from support.scans import assert_same_volume
from whs_fast.errors import InputError
from whs_fast.reading.dicom.clues import find_clues, percent_in
from whs_fast.reading.scan import list_series, open_phases, read

CLUES: dict[str, tuple[Callable[[int, int], dicom_cases.Edit], tuple[str, str, str]]] = {
    "nominal percentage": (
        in_percent,
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
    "Siemens' scan options": (
        lambda phase, index: tagged(ScanOptions=f"TP{PERCENTS[phase]}PC0965"),
        ("5%", "35%", "75%"),
    ),
    "Siemens' scan options among others": (
        lambda phase, index: tagged(ScanOptions=["ECG", f"TP{PERCENTS[phase]}PC{900 + index}"]),
        ("5%", "35%", "75%"),
    ),
    "time of acquisition": (
        lambda phase, index: tagged(AcquisitionTime=f"1015{(1, 9, 17)[phase]:02d}.250000"),
        ("1of3", "2of3", "3of3"),
    ),
    "time of acquisition that varies": (
        lambda phase, index: tagged(AcquisitionTime=f"101559.{40 * phase + index:03d}"),
        ("1of3", "2of3", "3of3"),
    ),
    "date and time of acquisition": (
        lambda phase, index: tagged(AcquisitionDateTime=f"20230417101{(558, 559, 600)[phase]}.5"),
        ("1of3", "2of3", "3of3"),
    ),
    "SnapShot Freeze": (
        lambda phase, index: tagged(SeriesDescription=f"SS-Freeze {PERCENTS[phase]}%"),
        ("5%", "35%", "75%"),
    ),
    "Canon": (
        lambda phase, index: private("TOSHIBA_MEC_CT3", 0x7005, 0x04, "SH", f"{PERCENTS[phase]}%"),
        ("5%", "35%", "75%"),
    ),
}


@pytest.mark.parametrize("name", CLUES)
def test_phases_of_one_series_are_told_apart(name: str, tmp_path: Path) -> None:
    clue, labels = CLUES[name]
    folder = write_phases(tmp_path / "series", clue)
    assert list_series(folder)[0].phases == labels
    default = read(folder)
    assert_same_volume(default, PHASES[1])
    assert_told(default, f"took phase {labels[1]} of {', '.join(labels)}: nearest to end-systole")
    for volume, label in zip(PHASES, labels, strict=True):
        found = read(folder, phase=label)
        assert_same_volume(found, volume)
        assert found.notes == ()


@pytest.mark.parametrize(
    ("tags", "gated"),
    [
        ({}, None),
        ({"0018|0022": "HELICAL MODE"}, None),
        ({"0018|9037": "NONE"}, False),
        ({"0018|9037": "RETROSPECTIVE"}, True),
        ({"0020|9241": "75"}, True),
        ({"0018|1060": "320"}, True),
        ({"0018|1062": "857"}, True),
    ],
)
def test_gating_is_told_by_tags_and_never_guessed(tags: dict[str, str], gated: bool | None) -> None:
    assert find_clues(lambda tag: tags.get(tag, "")).gated is gated


def test_private_clues_are_read_from_implicit_files_too(tmp_path: Path) -> None:
    for phase, volume in enumerate(PHASES):
        edit = both(
            tagged(SeriesInstanceUID=f"{dicom_cases.ROOT}.1"),
            private("GEMS_HELIOS_01", 0x0045, 0x33, "CS", str(PERCENTS[phase])),
        )
        write(volume, tmp_path / "series", series=f"1.{phase}", edit=edit, syntax=pydicom.uid.ImplicitVRLittleEndian)
    assert_same_volume(read(tmp_path / "series", phase=75), PHASES[2])


@pytest.mark.parametrize("phase, index", ((30, 1), ("30", 1), ("40%", 1), (8.5, 0), (79, 2), ("370 ms", 1)))
def test_the_phase_nearest_to_the_one_asked_for(phase: float | str, index: int, tmp_path: Path) -> None:
    folder = write_phases(tmp_path / "series", CLUES["trigger time that varies, and the R-R interval"][0])
    assert_same_volume(read(folder, phase=phase), PHASES[index])


def test_a_phase_that_is_not_there(tmp_path: Path) -> None:
    folder = write_phases(tmp_path / "series", in_percent)
    assert_refused(folder, "found no such phase, expected one of: 5%, 35%, 75%", phase=50)
    assert_refused(folder, "found no such phase, expected one of: 5%, 35%, 75%", phase="300ms")
    for nonsense in ("half", "-5", "101", "3of", ""):
        with pytest.raises(InputError, match=r"phase: found .* expected a percentage such as 30"):
            read(folder, phase=nonsense)
    write(SCAN, tmp_path / "plain")
    assert_refused(tmp_path / "plain", "found a scan whose phase is not told, expected none to be asked for", phase=30)
    assert_same_volume(read(write(SCAN, tmp_path / "told", edit=tagged(SeriesDescription="CTA 30 %")), phase=30), SCAN)


def test_phases_in_series_of_their_own(tmp_path: Path) -> None:
    for phase, volume in enumerate(PHASES):
        text = tagged(SeriesDescription=f"CorCTA 0.6 Bv40 3 {PERCENTS[phase]} %", ContrastBolusAgent="Iomeprol")
        write(volume, tmp_path / "study", series=f"{phase + 1}", edit=text)
    write(SCAN, tmp_path / "study", series="7", edit=tagged(SeriesDescription="Calcium score 75 %"))
    found = read(tmp_path / "study")
    assert_same_volume(found, PHASES[1])
    assert_told(
        found, r"took the series 'CorCTA 0.6 Bv40 3 35 %' \(11 mm, phase 35%, 12 slices\), one of 4", "took phase"
    )
    assert_same_volume(read(tmp_path / "study", phase=75, series=f"{dicom_cases.ROOT}.3"), PHASES[2])
    assert_same_volume(read(tmp_path / "study", phase=3), PHASES[0])
    with open_phases(tmp_path / "study") as opened:
        assert [(phase.label, phase.folder) for phase in opened] == [
            ("5%", "phase_5"),
            ("35%", "phase_35"),
            ("75%", "phase_75"),
        ]
        for phase, volume in zip(opened, PHASES, strict=True):
            assert_same_volume(read(phase), volume)


def test_open_phases_of_a_zip_and_of_no_phases(tmp_path: Path) -> None:
    folder = write_phases(tmp_path / "series", CLUES["temporal position"][0])
    with open_phases(scans.zip_folder(folder, tmp_path / "series.zip")) as opened:
        assert [phase.folder for phase in opened] == ["phase_1of3", "phase_2of3", "phase_3of3"]
        for phase, volume in zip(opened, PHASES, strict=True):
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


def test_a_phase_with_a_missing_slice_is_still_a_phase(tmp_path: Path) -> None:
    def clue(phase: int, index: int) -> dicom_cases.Edit:
        if phase == 2 and index == 5:
            return lambda index, image: None
        return in_percent(phase, index)

    folder = write_phases(tmp_path / "series", clue)
    assert_same_volume(read(folder), PHASES[1])
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
        ("SS-Freeze 75%", 75.0),
        ("SSF 45%", 45.0),
        ("SSF2_45 %", 45.0),
        ("SnapShot Freeze 45 %", 45.0),
        ("CTA Arterial 40%", 40.0),
        ("SS50 % 75%", 75.0),
        ("SS 50%", None),
        ("AR40 %", None),
    ),
)
def test_percentages_in_texts(text: str, percent: float | None) -> None:
    assert percent_in(text) == percent


def test_acquisitions_apart_in_time_are_no_phases(tmp_path: Path) -> None:
    folder = write_phases(
        tmp_path / "series", lambda phase, index: tagged(AcquisitionTime=f"1015{(1, 9, 40)[phase]:02d}")
    )
    assert_refused(folder, "at the position of another with a different image and nothing that tells phases apart")


@pytest.mark.parametrize("letters", ("9", "9 ", "9.9", "9%", "-", " ", "ss", "asir", "9 ms", "9 to ", "TP9"))
@pytest.mark.parametrize("tag", ("0020|4000", "0018|4000", "0008|103e", "0018|0022"))
def test_long_texts_cost_little(letters: str, tag: str) -> None:
    """A pattern without bounds would not end here: its effort grows with the square or the cube of the length."""
    find_clues(lambda asked: (letters * 400_000)[:400_000] if asked == tag else "")
