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

import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from whs_fast._kernels import resample_linear
from whs_fast.dicom_source import Source, read_head
from whs_fast.errors import InputError
from whs_fast.machine import check_memory
from whs_fast.reading.dicom.choosing import Candidate, choose, find_candidates
from whs_fast.reading.dicom.folder import find_slices
from whs_fast.reading.dicom.majority import Rescale, find_rescale, name_slices
from whs_fast.reading.dicom.phases import Phase, Wanted
from whs_fast.reading.dicom.slice import Slice
from whs_fast.reading.dicom.stacking import Stack, arrange, repeated_positions
from whs_fast.reading.hounsfield import convert
from whs_fast.reading.itk import toolkit_name
from whs_fast.reading.naming import name_inside
from whs_fast.reading.parallel import map_in_threads
from whs_fast.temporary import temporary_folder
from whs_fast.volume import AIR_HU, Volume

Decode: TypeAlias = Callable[[Slice], NDArray[np.int16]]


def find_scans(folder: Path, name: str, *, series: str | None = None, threads: int) -> list[Candidate]:
    """Every phase of every CT series of a folder and its subfolders, or of the series with the UID `series`.

    `name` is what messages call the folder. Raises InputError where there is none.
    """
    return find_candidates(find_slices(folder, name, threads=threads), name, series)


@dataclass(frozen=True)
class SeriesLine:
    """One series of a folder: phases are the labels of those told; distance_mm is that between slices, None where there
    is none; chosen says that it is the one taken if no other is asked for."""

    uid: str
    modality: str
    description: str
    phases: tuple[str, ...]
    distance_mm: float | None
    slices: int
    chosen: bool


def describe_series(folder: Path, name: str, *, threads: int) -> list[SeriesLine]:
    """Every series of a folder and its subfolders. Raises InputError where there is no DICOM image."""
    found = find_slices(folder, name, threads=threads)
    chosen, scans = "", list[Candidate]()
    with suppress(InputError):
        scans = find_candidates(found, name, None)
        chosen = choose(scans, None, name)[0].series
    lines = []
    for uid in dict.fromkeys(image.series for image in found.slices):
        images = [image for image in found.slices if image.series == uid]
        phases = [scan for scan in scans if scan.series == uid]
        told = tuple(scan.phase.label for scan in phases if scan.phase != Phase())
        distance = phases[0].distance_mm if phases else None
        first = images[0]
        lines.append(
            SeriesLine(uid, first.modality, first.description, told, distance, len(images), bool(uid) and uid == chosen)
        )
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
    candidate, notes = choose(find_scans(folder, name, series=series, threads=threads), phase, name)
    volume = read_scan(candidate, name, threads=threads)
    return replace(volume, notes=(*notes, *volume.notes))


def read_scan(candidate: Candidate, name: str, *, threads: int) -> Volume:
    """Read the voxels of one candidate, as read_series does."""
    enhanced = any(image.file is not None for image in candidate.slices)
    with temporary_folder() if enhanced else nullcontext() as space:
        rescale = _find_rescale(candidate.slices, name)
        decode = _decoder(candidate.slices, space, name, rescale)
        if rescale.lacking:
            _check_rescale(rescale, candidate.slices, decode, name)
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
    )
    notes = candidate.notes + ((f"{copies} copies of slices were passed over",) if copies else ())
    if rescale.lacking:
        notes += (
            f"{len(rescale.lacking)} of {len(candidate.slices)} slices have no rescale tags and were given those of "
            f"the others: {name_slices(rescale.lacking, candidate.slices)}",
        )
    notes = (*notes, *stack.notes)
    return Volume(array, stack.spacing_mm, stack.origin_mm, stack.direction, source, notes, "dicom")


def _find_rescale(slices: Sequence[Slice], name: str) -> Rescale:
    try:
        return find_rescale(slices)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from error


def _check_rescale(rescale: Rescale, slices: Sequence[Slice], decode: Decode, name: str) -> None:
    """Refuse slices without rescale tags that are more like their neighbours as they are."""
    having = [image for image in slices if image.rescale is not None]
    for image in rescale.lacking:
        nearest = min(having, key=lambda other: np.linalg.norm(np.subtract(other.position, image.position)))
        given, wanted = float(decode(image).mean()), float(decode(nearest).mean())
        plain = (given - rescale.intercept) / rescale.slope
        if abs(plain - wanted) < abs(given - wanted):
            raise InputError(
                f"{name}: {len(rescale.lacking)} of {len(slices)} slices have no rescale tags, and those of the others "
                f"do not fit them: {name_slices(rescale.lacking, having)}"
            )


def _decoder(slices: Sequence[Slice], space: Path | None, name: str, rescale: Rescale) -> Decode:
    """A function from a slice to its HU; `space` is a folder for single frames, where files are enhanced.

    rescale is for slices that have none of their own.
    """

    def decode(image: Slice) -> NDArray[np.int16]:
        path, single = image.path, None
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        try:
            if image.file is not None and space is not None:
                path = single = space / f"{threading.get_ident()}"  # one at a time in each thread
                image.file.write_frame(image.frame, single)
            with toolkit_name(path) as reader_name:
                reader.SetFileName(reader_name)
                found = reader.Execute()
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"{name}: found a damaged slice among the {len(slices)} of the series, expected intact files: "
                f"{name_inside(image.path, image.path.parent, (other.path for other in slices))}"
            ) from error
        finally:
            if single is not None:
                single.unlink(missing_ok=True)
        hounsfield = np.empty((image.size[1], image.size[0]), dtype=np.int16)
        slope, intercept = (1.0, 0.0) if image.rescale is not None else (rescale.slope, rescale.intercept)
        convert(sitk.GetArrayViewFromImage(found)[0], hounsfield, name, slope=slope, intercept=intercept)
        return hounsfield

    return decode


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
