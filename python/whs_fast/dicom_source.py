"""The DICOM series that a scan was read from: what objects made from it must name.

Reading fills it, the engine hands it on, `whs_fast.writing.dicom` uses it. It holds the patient's data as the files do,
so it is never printed, logged or written anywhere but into DICOM objects.
"""

from dataclasses import dataclass, field
from pathlib import Path

# More than any header of a CT slice, and enough for an enhanced file of some thousand frames.
_HEAD_BYTES = 8 << 20


@dataclass(frozen=True)
class Source:
    """The instances of one series.

    head is the beginning of the file of the first instance, with its whole header. instances are the SOP Instance UIDs
    that were read. slices say where each slice of the array (its first axis) lies unchanged, rows and columns
    included: index into instances and number of the frame, from 1; it is None where the scan was resampled.
    series_number is the Series Number and phase the label of the phase, such as "35%", None where there is one only:
    they tell the scans of a study apart without naming anybody.
    """

    head: bytes = field(repr=False)
    instances: tuple[str, ...] = field(repr=False)
    slices: tuple[tuple[int, int], ...] | None = field(repr=False)
    series_number: int | None = None
    phase: str | None = None


def read_head(path: Path) -> bytes:
    """The beginning of a DICOM file, its whole header among it."""
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)
