"""Results as DICOM objects in the study of the scan.

    labels.dcm        Segmentation (BINARY), one segment per structure
    measurements.dcm  Structured Report (TID 1500): volumes and mass, with references to the segments and the scan
    contours.dcm      RT Structure Set: contours of the structures, for radiotherapy
    preview.dcm       Secondary Capture of preview.png, which only the node makes

highdicom and pydicom are imported inside functions, so that they are neither loaded nor needed where nobody asks for
DICOM.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast.dicom_source import Source
from whs_fast.errors import InputError
from whs_fast.outputs import FORMATS, NO_SOURCE
from whs_fast.volume import Grid

_LABELS, _MEASUREMENTS = FORMATS["dicom-seg"].files
PICTURE_OBJECT = "preview.dcm"


def write_objects(
    folder: Path, labels: NDArray[np.uint8], grid: Grid, source: Source | None, measurements: Mapping[str, Any]
) -> None:
    """Write labels.dcm and measurements.dcm into a folder.

    labels, uint8[z, y, x], lie on grid; measurements is what measurements.json holds. Raises InputError where the scan
    does not come from DICOM, and OutputError where a file cannot be written.
    """
    from whs_fast.writing.dicom.header import read_header, write
    from whs_fast.writing.dicom.segmentation_object import make_segmentation
    from whs_fast.writing.dicom.structured_report import make_report

    if source is None:
        raise InputError(NO_SOURCE)
    header = read_header(source)
    segmentation = make_segmentation(labels, grid, source, header, measurements)
    write(segmentation, folder / _LABELS)
    del segmentation.PixelData
    write(make_report(measurements, segmentation, source, header), folder / _MEASUREMENTS)


def write_contours(
    folder: Path, labels: NDArray[np.uint8], grid: Grid, source: Source | None, measurements: Mapping[str, Any]
) -> None:
    """Write contours.dcm into a folder. Arguments and errors are those of write_objects."""
    from whs_fast.writing.dicom.header import read_header, write
    from whs_fast.writing.dicom.structure_set import make_structure_set

    if source is None:
        raise InputError(NO_SOURCE)
    made = make_structure_set(labels, grid, source, read_header(source), measurements)
    write(made, folder / FORMATS["rtstruct"].files[0])


def write_picture(folder: Path, picture: bytes, source: Source, measurements: Mapping[str, Any]) -> None:
    """Write preview.dcm, a picture (PNG) as a Secondary Capture in the study of the scan. Raises as above."""
    from whs_fast.writing.dicom.header import read_header, write
    from whs_fast.writing.dicom.secondary_capture import make_picture

    header = read_header(source)
    write(make_picture(picture, source, header, measurements), folder / PICTURE_OBJECT)
