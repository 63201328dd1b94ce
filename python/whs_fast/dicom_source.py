"""The DICOM series that a scan was read from, to which objects made from it must refer.

Reading fills it, the engine passes it on, `whs_fast.writing.dicom` uses it. Like the files, it holds the patient's
data, so it is never printed, logged or written anywhere but into DICOM objects.
"""

from dataclasses import dataclass, field
from pathlib import Path

# More than the header of any CT slice, and enough for an enhanced file of some thousand frames.
_HEAD_BYTES = 8 << 20


@dataclass(frozen=True)
class Source:
    """The instances of one series.

    head is the beginning of the file of the first instance, with its whole header. instances are the SOP Instance UIDs
    that were read. slices says where each slice of the array (its first axis) comes from, rows and columns unchanged:
    index into instances and number of the frame, from 1; it is None where the scan was resampled. series_number is the
    Series Number and phase the label of the phase, such as "35%", or None where there is only one: they distinguish the
    scans of a study without naming anybody. gated is whether the scan was synchronised with the heart beat, or None
    where its tags do not tell.
    """

    head: bytes = field(repr=False)
    instances: tuple[str, ...] = field(repr=False)
    slices: tuple[tuple[int, int], ...] | None = field(repr=False)
    series_number: int | None = None
    phase: str | None = None
    gated: bool | None = None


def read_head(path: Path) -> bytes:
    """The beginning of a DICOM file, including its whole header."""
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)
