"""The header of the scan, completed for the objects that are made from it, and the writing of DICOM files.

Headers from hospitals and anonymisers lack attributes that the standard requires and hold values that it forbids. What
an object copies from the scan is filled in or emptied where it could not be written otherwise: a patient's name that is
too long is no reason to refuse a scan. Text may come in any character set, or in another than it
claims, and is written as UTF-8.
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
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.errors import InvalidDicomError
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS

from whs_fast.dicom_source import Source
from whs_fast.errors import InputError, OutputError

MANUFACTURER, NAME = "whs_fast", "whs-fast"

# Up to this size, frames of bits are stored uncompressed, which every reader understands; above it, deflated.
MOST_PLAIN_BYTES = 8 << 20

PATIENT_AND_STUDY = (
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


_UTF_8 = "ISO_IR 192"
_ESCAPES = re.compile(r"\x1b[$()*+,./-]{1,2}[@-Z]")


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
            _to_utf_8(header)
            missing = [name for name in ("StudyInstanceUID", "SeriesInstanceUID") if not header.get(name)]
        except (InvalidDicomError, EOFError, ValueError, NotImplementedError, OSError) as error:
            raise InputError("DICOM series: its header cannot be read; DICOM results need an intact one") from error
        if missing or not all(source.instances):
            found = missing[0] if missing else "SOPInstanceUID"
            raise InputError(f"DICOM series: has no {found}, to which a segmentation object must refer")
        for name in PATIENT_AND_STUDY:
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


def _to_utf_8(header: Dataset) -> None:
    """Decodes all text by the character set that the header names, and has it written in UTF-8.

    Japanese, Korean and Chinese headers name sets that other objects may not, such as an empty one before ISO 2022 IR
    87; scanners and archives also misspell them. Where the bytes are not of the set that is named they are Latin-1.
    """
    raw = {element.tag: element.value for element in header.elements()}
    named = header.get("SpecificCharacterSet") or ""
    encodings = convert_encodings([_spelt_right(name) for name in ([named] if isinstance(named, str) else named)])
    for element in header:
        value = raw[element.tag]
        if isinstance(value, bytes) and element.VR in ("PN", "LO", "SH", "LT", "ST", "UC", "UT"):
            text = decode_bytes(value, encodings, PN_DELIMS if element.VR == "PN" else TEXT_VR_DELIMS)
            if "\N{REPLACEMENT CHARACTER}" in text:
                text = value.decode("latin-1")
            # The escapes that pydicom leaves are those of Chinese (ISO 2022 IR 58).
            element.value = _ESCAPES.sub("", text).strip(" \0")
    header.SpecificCharacterSet = _UTF_8


def _spelt_right(name: str) -> str:
    """A character set as the standard writes it: ISO_IR 192 for ISO-IR-192, iso_ir_192 and UTF-8."""
    found = re.fullmatch(r"ISO[ _-]?(2022[ _-]?)?IR[ _-]?(\d+)", name.strip().upper())
    if found is not None:
        return f"ISO 2022 IR {found[2]}" if found[1] else f"ISO_IR {found[2]}"
    return _UTF_8 if re.fullmatch(r"UTF[ _-]?8", name.strip().upper()) else name.strip()


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
