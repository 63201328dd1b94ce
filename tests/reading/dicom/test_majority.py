"""Odd images in a good series are left out and told by name; where no clear majority is, the odd ones are named."""

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from support import scans
from support.dicom_cases import (
    SCAN,
    Edit,
    assert_refused,
    assert_told,
    datasets,
    save,
    set_pixels,
    write,
    write_enhanced,
)
from support.scans import PATIENT, assert_same_volume
from whs_fast.reading.scan import read
from whs_fast.volume import Volume

SMALL = Volume(SCAN.array[:, ::2, ::2], (5.8, 6.2, 11.0), SCAN.origin_mm)


def one_of(volume: Volume, index: int = 3, **tags: object) -> Dataset:
    """One slice with an identity of its own, in the series of `write`."""
    image = list(datasets(volume))[index]
    image.SOPInstanceUID = f"1.2.3.{index}"
    for keyword, value in tags.items():
        setattr(image, keyword, value)
    return image


ODD = {
    "coronal scout": (one_of(SCAN, ImageOrientationPatient=[1, 0, 0, 0, 0, -1]), "another orientation"),
    "sagittal scout": (one_of(SCAN, ImageOrientationPatient=[0, 1, 0, 0, 0, -1]), "another orientation"),
    "another size": (one_of(SMALL, PixelSpacing=["3.1", "2.9"]), "a size of 31 x 29"),
    "another pixel spacing": (one_of(SCAN, PixelSpacing=["1.1", "0.9"]), "another pixel spacing"),
    "no place": (one_of(SCAN, PixelSpacing=None), "no position, orientation or pixel spacing"),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("first", (True, False))
def test_one_odd_image_is_left_out_and_told(name: str, first: bool, tmp_path: Path) -> None:
    image, reason = ODD[name]
    study = write(SCAN, tmp_path / "study")
    save(image, study / ("0_odd" if first else "9_odd"))
    found = read(study)
    assert_same_volume(found, SCAN)
    assert_told(found, rf"1 of 13 images of the series were left out: [09]_odd \({reason}\)")


def test_two_odd_images_of_two_kinds(tmp_path: Path) -> None:
    scan = scans.make_scan(shape=(24, 58, 62), spacing_mm=(2.9, 3.1, 6.0))
    study = write(scan, tmp_path / "study")
    save(ODD["coronal scout"][0], study / "a")
    save(ODD["another size"][0], study / "b")
    found = read(study)
    assert_same_volume(found, scan)
    assert_told(found, r"2 of 26 images .* left out: a \(another orientation\), b \(a size of 31 x 29\)")


@pytest.mark.parametrize("name", ("coronal scout", "another size", "no place"))
def test_without_a_clear_majority_the_odd_ones_are_named(name: str, tmp_path: Path) -> None:
    study = write(SCAN, tmp_path / "study")
    for number in range(5):
        image = ODD[name][0]
        image.SOPInstanceUID = f"1.2.4.{number}"
        image.ImagePositionPatient = [0, 0, number]
        save(image, study / f"odd_{number}")
    assert_refused(study, "odd_0, odd_1, odd_2 and 2 more")


def test_names_that_name_the_patient_are_not_told(tmp_path: Path) -> None:
    study = write(SCAN, tmp_path / "study")
    save(ODD["coronal scout"][0], study / f"{PATIENT}_scout.dcm")
    (note,) = read(study).notes
    assert "scout.dcm" in note and "DOE" not in note and "JANE" not in note


def without_rescale(*indices: int) -> Edit:
    def edit(index: int, image: Dataset) -> Dataset:
        if index in indices:
            del image.RescaleSlope, image.RescaleIntercept
        return image

    return edit


LONG = scans.make_scan(shape=(40, 58, 62), spacing_mm=(2.9, 3.1, 3.7))


@pytest.mark.parametrize("lacking", ((0,), (17, 18), (5, 20, 38, 39)))
def test_slices_without_rescale_tags_get_those_of_the_others(lacking: tuple[int, ...], tmp_path: Path) -> None:
    found = read(write(LONG, tmp_path / "study", edit=without_rescale(*lacking)))
    assert_same_volume(found, LONG)
    names = ", ".join(f"1_{index:04d}" for index in lacking[:3])
    assert_told(found, f"{len(lacking)} of 40 slices have no rescale tags and were given those of the others: {names}")


def test_an_intercept_alone_is_enough(tmp_path: Path) -> None:
    def edit(index: int, image: Dataset) -> Dataset:
        del image.RescaleSlope
        return image

    found = read(write(LONG, tmp_path / "study", edit=edit))
    assert_same_volume(found, LONG)
    assert found.notes == ()


def test_frames_without_rescale_tags_get_those_of_the_others(tmp_path: Path) -> None:
    def edit(image: Dataset) -> None:
        for number in (0, 7):
            del image.PerFrameFunctionalGroupsSequence[number].PixelValueTransformationSequence

    found = read(write_enhanced([LONG], tmp_path / "scan.dcm", edit=edit))
    assert_same_volume(found, LONG)
    assert_told(found, r"2 of 40 slices have no rescale tags .*: scan.dcm frame 1, scan.dcm frame 8")


def test_many_slices_without_rescale_tags_are_refused(tmp_path: Path) -> None:
    study = write(LONG, tmp_path / "study", edit=without_rescale(*range(8)))
    assert_refused(study, "8 of 40 slices have no rescale tags: 1_0000, 1_0001, 1_0002 and 5 more")


def test_different_rescale_tags_of_the_others_are_no_majority(tmp_path: Path) -> None:
    def edit(index: int, image: Dataset) -> Dataset:
        image.RescaleIntercept = str(-1024 - index)
        return without_rescale(4)(index, image)

    assert_refused(write(LONG, tmp_path / "study", edit=edit), "1 of 40 slices have no rescale tags: 1_0004")


@pytest.mark.parametrize("signed", (True, False))
def test_slices_that_are_in_hounsfield_units_as_they_are(signed: bool, tmp_path: Path) -> None:
    """Stored signed among unsigned ones, or unsigned in a form that the tags of the others would make nonsense of."""

    def edit(index: int, image: Dataset) -> Dataset:
        if index != 9:
            return image
        plane = LONG.array[9] if signed else np.maximum(LONG.array[9], 0)
        set_pixels(image, plane, signed=True)
        image.PixelRepresentation = int(signed)
        return without_rescale(9)(index, image)

    study = write(LONG, tmp_path / "study", edit=edit)
    assert_refused(study, r"1 of 40 slices have no rescale tags.*: 1_0009")
