"""A CT scan from a folder of DICOM files: classic ones, a slice each, or enhanced ones of many frames.

SimpleITK (GDCM) decodes the slices, from every transfer syntax in clinical use; which of them belong together, in what
order, and how they come onto a regular grid is decided here, because its series reader stacks whatever it is given:
tilted gantries lose their shear, missing slices close up, several phases interleave, all without an error.

    find_slices     headers of all images               whs_fast.reading.dicom.folder, .slice, .enhanced, .clues
    find_candidates the phases of every CT series       .phases
    choose          the one that is meant               .choosing
    arrange         its slices on one grid              .stacking
    read_scan       the voxels

Messages hold no value of a tag that could name the patient. Some exports name files after the patient, so names of
files inside the folder are given without the words that headers have of the patient (`naming`). The series' own UID,
modality and description are given, for one must be chosen by them.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whs_fast._kernels import resample_linear
from whs_fast.dicom_source import Source, read_head
from whs_fast.errors import InputError
from whs_fast.machine import check_memory
from whs_fast.reading.dicom.choosing import Candidate, choose, find_candidates
from whs_fast.reading.dicom.decoding import Decode, decoder
from whs_fast.reading.dicom.folder import find_slices
from whs_fast.reading.dicom.looking import Look, look
from whs_fast.reading.dicom.phases import Phase, Wanted
from whs_fast.reading.dicom.slice import Slice
from whs_fast.reading.dicom.stacking import Stack, arrange, repeated_positions
from whs_fast.reading.parallel import map_in_threads
from whs_fast.volume import AIR_HU, Volume


def find_scans(folder: Path, name: str, *, series: str | None = None, threads: int) -> list[Candidate]:
    """Every phase of every CT series of a folder and its subfolders, or of the series with the UID `series`.

    `name` is what messages call the folder. Raises InputError where there is none.
    """
    return _look(find_candidates(find_slices(folder, name, threads=threads), name, series), name, threads)


def _look(candidates: list[Candidate], name: str, threads: int) -> list[Candidate]:
    """The candidates with what their voxels show, where there are several series to choose from."""
    firsts = {candidate.series: candidate for candidate in reversed(candidates)}
    if len(firsts) == 1:
        return candidates

    def look_at(candidate: Candidate) -> Look | None:
        if candidate.distance_mm is None:
            return None
        with suppress(InputError), decoder(candidate.slices, name) as (decode, _):
            return look(candidate.slices, decode)
        return None

    seen = dict(zip(firsts, map_in_threads(look_at, firsts.values(), threads), strict=True))
    return [replace(candidate, look=seen[candidate.series]) for candidate in candidates]


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SeriesLine:
    """One series of a folder: phases are the labels of those told; distance_mm is that between slices, None where there
    is none; chosen says that it is the one taken if no other is asked for; traits are what it is chosen or passed over
    for, where there are several CT series."""

    uid: str
    modality: str
    description: str
    phases: tuple[str, ...]
    distance_mm: float | None
    slices: int
    chosen: bool
    traits: tuple[str, ...]


def describe_series(folder: Path, name: str, *, threads: int) -> list[SeriesLine]:
    """Every series of a folder and its subfolders. Raises InputError where there is no DICOM image."""
    found = find_slices(folder, name, threads=threads)
    chosen, scans = "", list[Candidate]()
    with suppress(InputError):
        scans = _look(find_candidates(found, name, None), name, threads)
        chosen = choose(scans, None, name)[0].series
    lines = []
    for uid in dict.fromkeys(image.series for image in found.slices):
        images = [image for image in found.slices if image.series == uid]
        phases = [scan for scan in scans if scan.series == uid]
        told = tuple(scan.phase.label for scan in phases if scan.phase != Phase())
        distance = phases[0].distance_mm if phases else None
        first = images[0]
        traits = phases[0].traits if len({scan.series for scan in scans}) > 1 and phases else ()
        is_chosen = bool(uid) and uid == chosen
        lines.append(SeriesLine(uid, first.modality, first.description, told, distance, len(images), is_chosen, traits))
    return lines


def read_series(
    folder: Path, name: str, *, series: str | None = None, phase: Wanted | None = None, threads: int
) -> Volume:
    """Read one phase of one CT series of a folder and its subfolders.

    series is a Series Instance UID, phase what was asked for: see `choosing` for what is taken where they
    are None. The result is int16 with each slice's own slope and intercept applied, slices in ascending order
    along the normal, not yet checked for HU; notes say what was chosen and mended. Raises InputError where there is no
    such scan, or where it is damaged or makes no regular grid (`whs_fast.reading.dicom.stacking`).
    """
    candidate, notes, choice = choose(find_scans(folder, name, series=series, threads=threads), phase, name)
    if choice is not None:
        _log.info("took %s", choice)
    volume = read_scan(candidate, name, threads=threads)
    return replace(volume, notes=(*notes, *volume.notes), choice=choice)


def read_scan(candidate: Candidate, name: str, *, threads: int) -> Volume:
    """Read the voxels of one candidate, as read_series does."""
    with decoder(candidate.slices, name) as (decode, mended):
        slices = _without_copies(candidate.slices, decode)
        stack = arrange(slices, name)
        check_memory(stack.shape, name)
        array = _read_voxels(stack, decode, threads)
    copies = candidate.copies + len(candidate.slices) - len(slices)
    instances = list(dict.fromkeys(image.instance for image in stack.slices))
    source = Source(
        read_head(stack.slices[0].path),
        tuple(instances),
        tuple((instances.index(image.instance), image.frame) for image in stack.slices) if stack.straight else None,
        candidate.first.number,
        candidate.phase.label if candidate.phase != Phase() else None,
        stack.slices[0].clues.gated,
    )
    copied = (f"{copies} copies of slices were passed over",) if copies else ()
    notes = (*candidate.notes, *copied, *mended, *stack.notes)
    return Volume(array, stack.spacing_mm, stack.origin_mm, stack.direction, source, notes, "dicom")


def _without_copies(slices: Sequence[Slice], decode: Decode) -> list[Slice]:
    """The slices less those that show at the same position the same image as another."""
    copies: set[int] = set()
    for first, *others in repeated_positions(slices):
        shown = decode(first)
        copies.update(id(other) for other in others if np.array_equal(shown, decode(other)))
    return [image for image in slices if id(image) not in copies]


def _read_voxels(stack: Stack, decode: Decode, threads: int) -> NDArray[np.int16]:
    array = np.empty(stack.shape, dtype=np.int16)

    def place(index: int) -> None:
        low, high, share = stack.places[index]
        if stack.straight:
            array[index] = decode(stack.slices[low])
            return
        _move(decode(stack.slices[low]), stack.shifts_px[low], array[index])
        if low != high:
            above = np.empty_like(array[index])
            _move(decode(stack.slices[high]), stack.shifts_px[high], above)
            array[index] = np.rint((1.0 - share) * array[index] + share * above)

    map_in_threads(place, range(stack.shape[0]), threads)
    return array


def _move(image: NDArray[np.int16], shift_px: NDArray[np.float64], out: NDArray[np.int16]) -> None:
    """Resample an image into a larger one, moved by (x, y) voxels, with air around it."""
    # Padding is raised to air before it mixes with its neighbours.
    np.maximum(image, AIR_HU, out=image)
    matrix = np.eye(3, 4)
    matrix[1:, 3] = -shift_px[::-1]
    resample_linear(image[None], out[None], matrix, fill=AIR_HU)
