"""The header of the scan, completed for the objects that are made from it, and the writing of DICOM files.

Headers from hospitals and anonymisers lack attributes that the standard requires and hold values that it forbids. What
an object copies from the scan is filled in or emptied where it could not be written otherwise: a patient's name that is
too long is no reason to refuse a scan.
"""

import hashlib
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import Dataset, config, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, generate_uid

from whs_fast.dicom_source import Source
from whs_fast.errors import InputError, OutputError

MANUFACTURER, NAME = "whs_fast", "whs-fast"

# Up to this size, frames of bits are stored uncompressed, which every reader understands; above it, deflated.
MOST_PLAIN_BYTES = 8 << 20

_PATIENT_AND_STUDY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
_FORMS = {
    "PatientBirthDate": r"\d{8}",
    "PatientSex": "[MFO]",
    "StudyDate": r"\d{8}",
    "StudyTime": r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?",
}


@contextmanager
def lenient() -> Iterator[None]:
    """Lets values pass that the standard forbids, in silence: a message would show the patient's data."""
    log = logging.getLogger("highdicom")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), config.disable_value_validation():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def read_header(source: Source) -> Dataset:
    """The header of the first instance, without pixels, completed with what every object of the study needs.

    Raises InputError where it cannot be read or does not name its study, series and instances.
    """
    with lenient():
        try:
            header = dcmread(BytesIO(source.head), stop_before_pixels=True, force=True)
            missing = [name for name in ("StudyInstanceUID", "SeriesInstanceUID") if not header.get(name)]
        except (InvalidDicomError, EOFError, ValueError, NotImplementedError, OSError) as error:
            raise InputError("DICOM series: its header cannot be read; DICOM results need an intact one") from error
        if missing or not all(source.instances):
            found = missing[0] if missing else "SOPInstanceUID"
            raise InputError(f"DICOM series: has no {found}, to which a segmentation object must refer")
        for name in _PATIENT_AND_STUDY:
            value = header.get(name)
            if value is None or (name in _FORMS and not re.fullmatch(_FORMS[name], str(value))):
                setattr(header, name, "")
        if not header.get("FrameOfReferenceUID"):
            # The same for all objects of the series, and for every run.
            header.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame of reference", header.SeriesInstanceUID])
        if not header.get("SOPClassUID"):
            header.SOPClassUID = CTImageStorage
        if not header.get("Modality"):
            header.Modality = "CT"
    return header


def instance_of(header: Dataset, uid: str) -> Dataset:
    """The part of the header of another instance of the series that a reference to it needs."""
    instance = Dataset()
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "FrameOfReferenceUID", "Modality"):
        setattr(instance, name, header[name].value)
    instance.SOPInstanceUID = uid
    return instance


def reference_to(header: Dataset, uid: str) -> Dataset:
    """An item that refers to an instance of the series."""
    reference = Dataset()
    reference.ReferencedSOPClassUID = header.SOPClassUID
    reference.ReferencedSOPInstanceUID = uid
    return reference


def equipment(measurements: Mapping[str, Any]) -> dict[str, str]:
    """Keywords with which objects name what made them; the serial number is a hash of the networks' weights."""
    weights = hashlib.sha256(repr(sorted(measurements["models"].items())).encode()).hexdigest()
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": NAME,
        "software_versions": version("whs_fast"),
        "device_serial_number": weights[:16],
    }


def new_series(header: Dataset, which: int, description: str, measurements: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords for the only object of a new series, the `which`-th (1 to 9) made from that of the scan.

    Series made from series 4 get the numbers 4001, 4002 and so on.
    """
    try:
        number = int(header.get("SeriesNumber") or 0)
    except (TypeError, ValueError):
        number = 0
    return equipment(measurements) | {
        "series_instance_uid": generate_uid(prefix=None),
        "series_number": (number if 0 <= number < 1_000_000 else 0) * 1000 + which,
        "series_description": description,
        "sop_instance_uid": generate_uid(prefix=None),
        "instance_number": 1,
    }


def write(dataset: Dataset, path: Path) -> None:
    """Write a DICOM file, deflated where its pixels are large bit masks. Raises OutputError where that fails."""
    masks = dataset.get("BitsAllocated") == 1 and len(dataset.PixelData) > MOST_PLAIN_BYTES
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian if masks else ExplicitVRLittleEndian
    try:
        with lenient():
            dataset.save_as(path, enforce_file_format=True)
    except OSError as error:
        path.unlink(missing_ok=True)
        reason = (error.strerror or "unknown error").lower()
        raise OutputError(f"{path}: cannot be written ({reason}); needs a writable folder with free space") from error
