"""The picture of a run as a DICOM Secondary Capture, which any viewer shows beside the scan."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
from highdicom.enum import PhotometricInterpretationValues
from highdicom.sc import SCImage
from PIL import Image
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from whs_fast.dicom_source import Source
from whs_fast.writing.dicom.header import lenient, new_series, reference_to


def make_picture(picture: bytes, source: Source, header: Dataset, measurements: Mapping[str, Any]) -> SCImage:
    """A Secondary Capture of a PNG, in RGB, which refers to the instances of source."""
    with Image.open(BytesIO(picture)) as image:
        pixels = np.asarray(image.convert("RGB"))
    with lenient():
        capture = SCImage.from_ref_dataset(
            header,
            pixels,
            PhotometricInterpretationValues.RGB,
            bits_allocated=8,
            coordinate_system="PATIENT",
            patient_orientation=("L", "F"),  # required, but removed below: the planes differ in orientation
            transfer_syntax_uid=ExplicitVRLittleEndian,
            **new_series(header, 3, "Whole-heart picture", measurements),
        )
        capture.PatientOrientation = None
        capture.BodyPartExamined = "HEART"
        capture.BurnedInAnnotation = "NO"
        capture.SourceImageSequence = [reference_to(header, uid) for uid in source.instances]
    return capture
