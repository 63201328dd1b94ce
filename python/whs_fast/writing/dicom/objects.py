"""Results as DICOM objects in the study of the scan, and a node that makes them for a hospital's network.

    labels.dcm        Segmentation (BINARY), one segment a structure
    measurements.dcm  Structured Report (TID 1500): volumes and mass, which refers to the segments and to the scan
    preview.dcm       Secondary Capture of preview.png, which only the node makes

Needs the extra `dicom`: highdicom and pydicom, pynetdicom for the node. They are imported inside functions, so that
nothing of this is loaded, or needed, where nobody asks for DICOM.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast.dicom_source import Source
from whs_fast.errors import InputError
from whs_fast.volume import Grid

NO_SOURCE = (
    "formats: found dicom-seg for a scan that is not DICOM, expected a DICOM folder or zip: a segmentation object "
    "refers to the series that it was made from"
)

LABELS, MEASUREMENTS, PICTURE = "labels.dcm", "measurements.dcm", "preview.dcm"


def require_extra() -> None:
    """Raises InputError where the extra `dicom` is not installed."""
    for package in ("pydicom", "highdicom", "pynetdicom"):
        if find_spec(package) is None:
            raise InputError(f'found no {package}, expected it for DICOM objects: pip install "whs-fast[dicom]"')


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
    write(segmentation, folder / LABELS)
    del segmentation.PixelData
    write(make_report(measurements, segmentation, source, header), folder / MEASUREMENTS)


def write_picture(folder: Path, picture: bytes, source: Source, measurements: Mapping[str, Any]) -> None:
    """Write preview.dcm, a picture (PNG) as a Secondary Capture in the study of the scan. Raises as above."""
    from whs_fast.writing.dicom.header import read_header, write
    from whs_fast.writing.dicom.secondary_capture import make_picture

    header = read_header(source)
    write(make_picture(picture, source, header, measurements), folder / PICTURE)
