"""DICOM folders as hospitals send them, faults included, written with pydicom: no library is shared with the reader.

A scan is written as classic files, a slice each, or as one enhanced multi-frame file; what makes a folder hard is done
by edits of its datasets. Patient tags are always there, so that tests can look for them in messages.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from support.scans import PATIENT, PATIENT_TAGS, make_scan
from whs_fast.errors import InputError
from whs_fast.reading.scan import read
from whs_fast.volume import Volume

CT, ENHANCED, SECONDARY_CAPTURE = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "2.1", "7"))
ROOT = "1.2.826.0.1.3680043.2.1125"
INTERCEPT = -1024

# Few slices, as thick as they may be: what is tested does not depend on them.
SCAN = make_scan(shape=(12, 58, 62), spacing_mm=(2.9, 3.1, 11.0))
COUNT = SCAN.array.shape[0]
# The same patient in three phases, on one grid.
PHASES = [make_scan(seed=seed, shape=SCAN.array.shape, spacing_mm=SCAN.spacing_mm) for seed in range(3)]
PERCENTS = (5, 35, 75)
NAMES = [value for value in PATIENT_TAGS.values() if value != "20230417"]
SYNTAXES = {
    "implicit": pydicom.uid.ImplicitVRLittleEndian,
    "explicit": pydicom.uid.ExplicitVRLittleEndian,
    "big endian": pydicom.uid.ExplicitVRBigEndian,
    "deflated": pydicom.uid.DeflatedExplicitVRLittleEndian,
    "RLE": pydicom.uid.RLELossless,
    "JPEG-LS": pydicom.uid.JPEGLSLossless,
}

Edit = Callable[[int, Dataset], Dataset | None]


def unchanged(index: int, dataset: Dataset) -> Dataset:
    return dataset


def datasets(volume: Volume, *, series: str = "1", signed: bool = False) -> Iterable[Dataset]:
    """One CT image a slice, in the order of the array."""
    matrix = np.reshape(volume.direction, (3, 3))
    for index, plane in enumerate(volume.array):
        image = Dataset()
        image.SOPClassUID, image.SOPInstanceUID = CT, f"{ROOT}.{series}.{index + 1}"
        image.StudyInstanceUID, image.SeriesInstanceUID = f"{ROOT}.9", f"{ROOT}.{series}"
        image.FrameOfReferenceUID = f"{ROOT}.8"
        image.PatientName, image.PatientID, image.PatientBirthDate, image.StudyDate = (
            PATIENT,
            "ID4711",
            "19440101",
            "20230417",
        )
        image.Modality, image.SeriesDescription, image.ImageType = "CT", "chest", ["ORIGINAL", "PRIMARY", "AXIAL"]
        image.SeriesNumber, image.InstanceNumber = int(series.split(".")[0]), index + 1
        place = volume.grid.affine @ (0.0, 0.0, index, 1.0)
        image.ImagePositionPatient = [f"{value:.8g}" for value in place[:3]]
        image.ImageOrientationPatient = [f"{value:.8g}" for value in matrix[:, :2].T.ravel()]
        image.PixelSpacing = [f"{volume.spacing_mm[1]:.8g}", f"{volume.spacing_mm[0]:.8g}"]
        image.SliceThickness = f"{volume.spacing_mm[2]:.8g}"
        set_pixels(image, plane, signed=signed)
        yield image


def set_pixels(image: Dataset, hounsfield: np.ndarray, *, signed: bool = False) -> None:
    image.Rows, image.Columns = hounsfield.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, int(signed)
    image.RescaleSlope, image.RescaleIntercept = "1", "0" if signed else str(INTERCEPT)
    stored = hounsfield if signed else hounsfield.astype(np.int32) - INTERCEPT
    image.PixelData = stored.astype("<i2" if signed else "<u2").tobytes()
    image["PixelData"].VR = "OW"


def save(image: Dataset, path: Path, *, syntax: str = pydicom.uid.ExplicitVRLittleEndian) -> Path:
    """Write one file; RLE and JPEG-LS are compressed by pydicom and CharLS."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    uid = pydicom.uid.UID(syntax)
    if uid.is_encapsulated:
        image.compress(uid, generate_instance_uid=False)
    elif not uid.is_little_endian:
        image.PixelData = np.frombuffer(image.PixelData, "<u2").astype(">u2").tobytes()
    image.file_meta.TransferSyntaxUID = uid
    image.save_as(path, enforce_file_format=True)
    return path


def write(
    volume: Volume,
    folder: Path,
    *,
    series: str = "1",
    edit: Edit = unchanged,
    signed: bool = False,
    syntax: str = pydicom.uid.ExplicitVRLittleEndian,
) -> Path:
    """Write a series, a file each slice; `edit` may change an image, or leave it out by giving None."""
    for index, image in enumerate(datasets(volume, series=series, signed=signed)):
        changed = edit(index, image)
        if changed is not None:
            save(changed, folder / f"{series}_{index:04d}", syntax=syntax)
    return folder


def tagged(**tags: object) -> Edit:
    """An edit that sets the same tags in every image."""

    def edit(index: int, image: Dataset) -> Dataset:
        for keyword, value in tags.items():
            setattr(image, keyword, value)
        return image

    return edit


def both(*edits: Edit) -> Edit:
    def edit(index: int, image: Dataset) -> Dataset | None:
        for change in edits:
            image = change(index, image)
            if image is None:
                return None
        return image

    return edit


def private(creator: str, group: int, element: int, vr: str, value: object) -> Edit:
    """An edit that sets a vendor's private element, in a block that is not the first."""

    def edit(index: int, image: Dataset) -> Dataset:
        image.private_block(group, "SOMEBODY_ELSE", create=True).add_new(element, "LO", "another 11%")
        image.private_block(group, creator, create=True).add_new(element, vr, value)
        return image

    return edit


def write_enhanced(
    volumes: Sequence[Volume],
    path: Path,
    *,
    percents: Sequence[float] | None = None,
    intercepts: Callable[[int], int] = lambda frame: INTERCEPT,
    syntax: str = pydicom.uid.ExplicitVRLittleEndian,
    seed: int = 0,
    edit: Callable[[Dataset], object] = lambda image: None,
) -> Path:
    """Write scans of one grid as one enhanced file, its frames in no order, each with an intercept of its own."""
    frames = [(phase, index) for phase in range(len(volumes)) for index in range(volumes[0].array.shape[0])]
    frames = [frames[place] for place in np.random.default_rng(seed).permutation(len(frames))]
    first = volumes[0]
    matrix = np.reshape(first.direction, (3, 3))
    image = next(iter(datasets(first)))
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "RescaleSlope",
        "RescaleIntercept",
    ):
        delattr(image, keyword)
    image.SOPClassUID, image.NumberOfFrames = ENHANCED, len(frames)
    image.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]

    def item(**tags: object) -> Items:
        group = Dataset()
        for keyword, value in tags.items():
            setattr(group, keyword, value)
        return Items([group])

    shared = Dataset()
    shared.PixelMeasuresSequence = item(
        PixelSpacing=[f"{first.spacing_mm[1]:.8g}", f"{first.spacing_mm[0]:.8g}"],
        SliceThickness=f"{first.spacing_mm[2]:.8g}",
    )
    shared.PlaneOrientationSequence = item(
        ImageOrientationPatient=[f"{value:.8g}" for value in matrix[:, :2].T.ravel()]
    )
    shared.CTImageFrameTypeSequence = item(FrameType=["ORIGINAL", "PRIMARY", "AXIAL", "NONE"])
    image.SharedFunctionalGroupsSequence = Items([shared])
    described, stored = [], []
    for number, (phase, index) in enumerate(frames):
        group = Dataset()
        place = first.grid.affine @ (0.0, 0.0, index, 1.0)
        group.PlanePositionSequence = item(ImagePositionPatient=[f"{value:.8g}" for value in place[:3]])
        group.PixelValueTransformationSequence = item(
            RescaleSlope="1", RescaleIntercept=str(intercepts(number)), RescaleType="HU"
        )
        if percents is not None:
            group.CardiacSynchronizationSequence = item(NominalPercentageOfCardiacPhase=float(percents[phase]))
        described.append(group)
        stored.append(volumes[phase].array[index].astype(np.int32) - intercepts(number))
    image.PerFrameFunctionalGroupsSequence = Items(described)
    image.PixelData = np.stack(stored).astype("<u2").tobytes()
    edit(image)
    return save(image, path, syntax=syntax)


def write_phases(folder: Path, clue: Callable[[int, int], Edit]) -> Path:
    """Phases in one series, in no order; `clue` gives the edit of a slice from the phase's and the slice's number."""
    for phase, volume in enumerate(PHASES):

        def edit(index: int, image: Dataset, phase: int = phase) -> Dataset | None:
            image.SOPInstanceUID = f"{image.SOPInstanceUID}.{phase}"
            image.SeriesInstanceUID = f"{ROOT}.1"
            return clue(phase, index)(index, image)

        write(volume, folder / f"{(2, 0, 1)[phase]}", edit=edit)
    return folder


def in_percent(phase: int, index: int) -> Edit:
    """The plainest clue: the standard's own tag."""
    return tagged(NominalPercentageOfCardiacPhase=float(PERCENTS[phase]))


def assert_refused(source: Path, pattern: str, **how: object) -> None:
    with pytest.raises(InputError) as caught:
        read(source, **how)
    message = str(caught.value)
    assert re.search(pattern, message), message
    assert message.startswith(f"{source}: ") and "\n" not in message
    assert not any(value in message for value in NAMES)


def assert_told(volume: Volume, *patterns: str) -> None:
    """One note for each pattern, in order, and none that names patient or UID."""
    assert len(volume.notes) == len(patterns), volume.notes
    for note, pattern in zip(volume.notes, patterns, strict=True):
        assert re.search(pattern, note), note
        assert "\n" not in note and not any(value in note for value in [*NAMES, ROOT])
