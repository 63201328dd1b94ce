"""What a run can be asked for: localisers, backends, formats and reports, with the files and the extra of each.

Nothing heavy is imported, so that the command line can check its options against these lists before it loads anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from whs_fast.errors import InputError
from whs_fast.machine import require_extra

LOCALISERS = ("squeezenet", "vgg16")
BACKENDS = ("auto", "native", "openvino")


@dataclass(frozen=True)
class Output:
    """The names that it adds to the folder of results, and the extra that it needs."""

    files: tuple[str, ...]
    extra: str | None = None


FORMATS = {
    "nifti": Output(("labels.nii.gz",)),
    "nifti-each": Output(("structures",)),
    "seg.nrrd": Output(("labels.seg.nrrd",)),
    "dicom-seg": Output(("labels.dcm", "measurements.dcm"), "dicom"),
    "rtstruct": Output(("contours.dcm",), "rtstruct"),
    "stl": Output(("meshes",), "mesh"),
    "glb": Output(("heart.glb",), "mesh"),
    "markups": Output(("valves.mrk.json",)),
}
REPORTS = {
    "plain": Output(("report.html",)),
    "interactive": Output(("report.html", "report_interactive.html"), "report"),
}
OF_DICOM = frozenset(("dicom-seg", "rtstruct"))
# Why those are refused for a scan that is not DICOM.
NO_SOURCE = (
    "formats dicom-seg and rtstruct need a DICOM folder or zip: they refer to the series that they were made from, and "
    "this scan is not DICOM"
)

PICTURE, MEASUREMENTS = "preview.png", "measurements.json"

# All that a run may write. measurements.json comes last: where it is present, the others are complete.
RESULT_NAMES = tuple(
    dict.fromkeys(
        [
            *(name for output in FORMATS.values() for name in output.files),
            PICTURE,
            *(name for output in REPORTS.values() for name in output.files),
            MEASUREMENTS,
        ]
    )
)


def check_localiser(localiser: str) -> None:
    """Raises InputError for an unknown localiser."""
    if localiser not in LOCALISERS:
        raise InputError(f"localiser: {localiser!r} is unknown, choose one of {', '.join(LOCALISERS)}")


def check_formats(formats: Sequence[str]) -> None:
    """Raises InputError for an unknown format, one whose extra is not installed, and an empty list."""
    if isinstance(formats, str) or not formats:
        raise InputError(f"formats: expected one or more of {', '.join(FORMATS)}, not {formats!r}")
    for name in formats:
        _check("format", name, FORMATS)


def check_report(report: str) -> None:
    """Raises InputError for an unknown report, and one whose extra is not installed."""
    _check("report", report, REPORTS)


def _check(kind: str, name: str, known: dict[str, Output]) -> None:
    if name not in known:
        raise InputError(f"{kind}: {name!r} is unknown, choose from {', '.join(known)}")
    if (extra := known[name].extra) is not None:
        require_extra(extra, f"{kind} {name}")
