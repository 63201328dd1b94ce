"""Several series in one folder: which is taken, what is passed over, and how they are listed."""

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from support import dicom_cases, scans
from support.dicom_cases import (
    COUNT,
    NAMES,
    SCAN,
    assert_refused,
    assert_told,
    in_percent,
    tagged,
    write,
    write_phases,
)
from support.scans import assert_same_volume
from whs_fast.reading.scan import list_series, read
from whs_fast.volume import Volume


def thorax(folder: Path, series: str, thickness: float = 6.0, **tags: object) -> Volume:
    """A series of its own acquisition, with content of its own."""
    volume = scans.make_scan(seed=int(series) + 10, shape=(24, 58, 62), spacing_mm=(2.9, 3.1, thickness))
    write(volume, folder, series=series, edit=tagged(**({"AcquisitionTime": f"10{series:0>2}00"} | tags)))
    return volume


def test_the_thinnest_contrast_cardiac_series_is_taken_and_told(tmp_path: Path) -> None:
    study = tmp_path / "study"
    thorax(study, "1", 5.3, SeriesDescription="Thorax nativ")
    thorax(study, "2", 5.8, SeriesDescription="CTA heart", ContrastBolusAgent="Ultravist")
    best = thorax(study, "3", 5.4, SeriesDescription="CTA heart thin", ContrastBolusAgent="Ultravist")
    thorax(study, "4", 5.1, SeriesDescription="CTA abdomen", ContrastBolusAgent="Ultravist")
    thorax(
        study, "5", 2.7, SeriesDescription="CTA heart MPR", ContrastBolusAgent="X", ImageType="DERIVED\\SECONDARY\\MPR"
    )
    found = read(study)
    assert_same_volume(found, best)
    assert_told(
        found, r"took the series 'CTA heart thin' \(5.4 mm, 24 slices\), one of 5 CT series \(`whs-fast series`"
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


def test_list_series_names_no_patient(tmp_path: Path) -> None:
    folder = write_phases(tmp_path / "study", in_percent)
    write(SCAN, folder, series="2", edit=tagged(Modality="MR", SeriesDescription="T1"))
    lines = list_series(scans.zip_folder(folder, tmp_path / "study.zip"))
    assert [(line.modality, line.phases, line.slices, line.chosen) for line in lines] == [
        ("CT", ("5%", "35%", "75%"), 3 * COUNT, True),
        ("MR", (), COUNT, False),
    ]
    assert lines[0].distance_mm == pytest.approx(11.0) and lines[1].distance_mm is None
    assert not any(value in repr(lines) for value in NAMES)
