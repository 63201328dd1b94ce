"""Reading a segmentation of 3D Slicer (.seg.nrrd) as label maps of our structures.

What Slicer saves is not what it was given: label values are numbered anew, segments change places, the image is cropped
to what is drawn, and segments that overlap go to layers of their own (a fourth axis, the first in the file; before
Slicer 4.11 one layer a segment). So a segment is known by its terminology, a SNOMED CT code, or by its name, never by
its number; and where the file tells the grid of the scan (the reference geometry), the labels are put back on it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whs_fast.errors import InputError
from whs_fast.machine import check_memory
from whs_fast.reading.headers import ORTHONORMAL_WITHIN, check_directions, numbers_in
from whs_fast.reading.naming import printable
from whs_fast.reading.nrrd import NrrdText, parse_text, read_text
from whs_fast.reading.voxels import read_voxels
from whs_fast.structures import STRUCTURES, Structure
from whs_fast.volume import Direction, Grid, Triple

_HEADER_LIMIT = 1 << 22  # a segment's fields are a thousand letters or so
_FIELD = re.compile(r"Segment(\d+)_(\w+)")
_CODE = re.compile(r"TerminologyEntry:[^~|]*~[^~|]*~SCT\^(\d+)\^")
_GEOMETRY = re.compile(r"Reference image geometry\|([^|&]*)")
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The structures of a segmentation.

    maps are label maps, uint8[z, y, x], on grid: one, and more where structures overlap, each structure in one of them.
    whole tells whether grid is the whole scan's, and not of a part cut out. notes say in plain words what was left out
    or joined.
    """

    maps: tuple[NDArray[np.uint8], ...]
    grid: Grid
    whole: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Segment:
    name: str
    layer: int
    value: int
    structure: Structure | None


def is_segmentation(path: Path) -> bool:
    """Whether a file is an NRRD with segments in its header."""
    if not path.name.lower().endswith(".nrrd") or not path.is_file():
        return False
    try:
        text = _read_text(path)
    except OSError:
        return False
    return text is not None and any(_FIELD.fullmatch(key) for key in text.pairs)


@np.errstate(all="ignore")  # numbers of the header that overflow are refused, without a warning beside the line
def read_segmentation(path: Path) -> Segmentation:
    """Reads a segmentation of 3D Slicer.

    Raises InputError for a damaged file, one in which no segment is one of our structures, and a segment whose name and
    code say different structures.
    """
    name = printable(path)
    try:
        stored, grid, pairs = _read_layers(path, name)
    except OSError as error:
        reason = (error.strerror or "input error").lower()
        raise InputError(
            f"{name}: found a file that cannot be read as a segmentation ({reason}), expected an intact one"
        ) from error
    segments = _find_segments(pairs, name, stored.shape[3])
    maps, notes = _draw(stored, segments, grid)
    scan = _scan_grid(pairs)
    start = None if scan is None else _place(grid, scan)
    if scan is None or start is None:
        return Segmentation(tuple(maps), grid, False, tuple(notes))
    if scan.shape != grid.shape:
        check_memory(scan.shape, name)
        maps = [_pasted(labels, start, scan.shape) for labels in maps]
    return Segmentation(tuple(maps), scan, True, tuple(notes))


def _read_text(path: Path) -> NrrdText | None:
    with path.open("rb") as file:
        return read_text(file.read(_HEADER_LIMIT))


def _read_layers(path: Path, name: str) -> tuple[NDArray[np.int16], Grid, dict[str, str]]:
    """Values as [z, y, x, layer], their grid, and the pairs of keys and values of the header."""
    text = _read_text(path)
    if text is None:
        raise InputError(f"{name}: found no NRRD header, expected that of a segmentation")
    fields, layers = dict(text.fields), 1
    sizes = numbers_in(fields.get("sizes", ""), int, name)
    if len(sizes) == 4 and sizes[0] > 0 and fields.get("spacedirections", "").startswith("none"):
        # Layers are the axis that runs fastest: for reading, voxels side by side along x.
        layers = sizes[0]
        fields["sizes"] = f"{layers * sizes[1]} {sizes[2]} {sizes[3]}"
        fields["spacedirections"] = fields["spacedirections"].removeprefix("none")
        fields.pop("spacings", None)
    header = parse_text(path, replace(text, fields=fields), name)
    check_directions(np.reshape(header.grid.direction, (3, 3)), name)
    z, y, x = header.grid.shape
    stored = read_voxels(header.layout, name, whole=True).reshape(z, y, x // layers, layers)
    return stored, replace(header.grid, shape=(z, y, x // layers)), text.pairs


def _find_segments(fields: Mapping[str, str], path: str, layers: int) -> list[_Segment]:
    by_number: dict[int, dict[str, str]] = {}
    for key, text in fields.items():
        if match := _FIELD.fullmatch(key):
            by_number.setdefault(int(match[1]), {})[match[2]] = text
    segments = []
    for number, (_, own) in enumerate(sorted(by_number.items())):
        name = own.get("Name", own.get("ID", f"segment {number + 1}"))
        try:
            # Before Slicer 4.11 there was one layer a segment, and neither field.
            layer, value = int(own.get("Layer", min(number, layers - 1))), int(own.get("LabelValue", 1))
        except ValueError as error:
            raise InputError(f"{path}: found a label value that is no number in segment {name!r}") from error
        if not 0 <= layer < layers:
            raise InputError(f"{path}: found segment {name!r} in layer {layer}, expected 0 to {layers - 1}")
        segments.append(_Segment(name, layer, value, _find_structure(name, own.get("Tags", ""), path)))
    if not any(segment.structure for segment in segments):
        names = ", ".join(repr(segment.name) for segment in segments)
        raise InputError(
            f"{path}: found the segments {names}, expected at least one with the name or SNOMED CT code of a structure "
            f"({', '.join(structure.name for structure in STRUCTURES)})"
        )
    return segments


def _find_structure(name: str, tags: str, path: str) -> Structure | None:
    code = _CODE.search(tags)
    by_code = next((structure for structure in STRUCTURES if code and structure.snomed == code[1]), None)
    plain = _plain(name)
    by_name = next((s for s in STRUCTURES if plain in map(_plain, (s.name, s.key, s.abbreviation))), None)
    if by_code and by_name and by_code is not by_name:
        raise InputError(
            f"{path}: found segment {name!r} with the SNOMED CT code of {by_code.name!r}, expected name and "
            "terminology of one structure"
        )
    return by_code or by_name


def _plain(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


def _draw(
    stored: NDArray[np.integer], segments: list[_Segment], grid: Grid
) -> tuple[list[NDArray[np.uint8]], list[str]]:
    """Label maps of the structures, as few as overlaps allow, from layers stored as [z, y, x, layer]."""
    maps: list[NDArray[np.uint8]] = []
    notes = [f"segment {own.name!r} is none of the structures and is left out" for own in segments if not own.structure]
    for structure in STRUCTURES:
        parts = [segment for segment in segments if segment.structure is structure]
        if not parts:
            continue
        if len(parts) > 1:
            names = " and ".join(repr(segment.name) for segment in parts)
            notes.append(f"segments {names} are taken together as {structure.name.lower()}")
        mask = np.zeros(grid.shape, bool)
        for segment in parts:
            mask |= stored[..., segment.layer] == segment.value
        for labels in maps:
            shared = np.bincount(labels[mask], minlength=2)[1:]
            if not shared.any():
                break
            for other in np.flatnonzero(shared):
                shared_ml = shared[other] * grid.voxel_ml
                notes.append(
                    f"{structure.name.lower()} and {STRUCTURES[other].name.lower()} overlap by {shared_ml:.2f} mL, "
                    "which count for both"
                )
        else:
            labels = np.zeros(grid.shape, np.uint8)
            maps.append(labels)
        labels[mask] = structure.label
    return maps, notes


def _scan_grid(fields: Mapping[str, str]) -> Grid | None:
    """The grid that the file tells as the scan's: a matrix from voxels to RAS, and first and last index an axis."""
    match = _GEOMETRY.search(fields.get("Segmentation_ConversionParameters", ""))
    try:
        numbers = [float(text) for text in match[1].split(";") if text.strip()] if match else []
    except ValueError:
        return None
    if len(numbers) != 22 or not np.isfinite(numbers).all():
        return None
    matrix = _LPS_TO_RAS @ np.reshape(numbers[:16], (4, 4))
    first, last = np.array(numbers[16::2]), np.array(numbers[17::2])
    spacing, size = np.linalg.norm(matrix[:3, :3], axis=0), np.rint(last - first).astype(int) + 1
    axes = matrix[:3, :3] / spacing
    if size.min() < 1 or not np.allclose(axes.T @ axes, np.eye(3), rtol=0.0, atol=ORTHONORMAL_WITHIN):
        return None
    origin = matrix[:3, :3] @ first + matrix[:3, 3]
    direction: Direction = tuple(axes.ravel().tolist())
    sides: Triple = tuple(spacing.tolist())
    place: Triple = tuple(origin.tolist())
    return Grid((int(size[2]), int(size[1]), int(size[0])), sides, place, direction)


def _place(part: Grid, whole: Grid) -> tuple[int, int, int] | None:
    """Index (z, y, x) of the first voxel of a part in a whole, or None where it is no part of it, voxel on voxel."""
    turned = np.linalg.solve(whole.affine[:3, :3], part.affine[:3, :3])
    offset = np.linalg.solve(whole.affine[:3, :3], np.subtract(part.origin_mm, whole.origin_mm))
    start, size = np.rint(offset).astype(int), np.array(part.shape[::-1])
    if np.abs(turned - np.eye(3)).max() * size.max() > 0.01 or np.abs(offset - start).max() > 0.01:
        return None
    if start.min() < 0 or np.any(start + size > whole.shape[::-1]):
        return None
    return int(start[2]), int(start[1]), int(start[0])


def _pasted(labels: NDArray[np.uint8], start: tuple[int, int, int], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    whole = np.zeros(shape, np.uint8)
    whole[tuple(slice(first, first + size) for first, size in zip(start, labels.shape, strict=True))] = labels
    return whole
