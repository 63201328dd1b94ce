"""Surfaces of the structures for printing, planning and rendering: watertight, smooth, in patient millimetres.

The mask of a structure is sampled every millimetre and blurred by a Gaussian that is wide enough to hide its voxels and
slices: however fine the scan, a surface has some ten thousand triangles. The surface is drawn at the level of the
blurred mask that encloses the volume of the voxels, not at one half, where thin vessels would shrink. Marching cubes
without ambiguous cells (Lewiner et al., J Graph Tools 2003, doi 10.1080/10867651.2003.10487582, in scikit-image) closes
it, because no part of it reaches the border of the samples.

STL files and the GLB scene hold LPS coordinates, as DICOM and this package have them, in mm, and say so: STL in its
header, where 3D Slicer looks for it, GLB as `extras`. (glTF itself expects metres and y upwards; a viewer shows the
heart lying on its back, 200 units long.)
"""

import json
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast import _kernels
from whs_fast.errors import OutputError
from whs_fast.outputs import FORMATS
from whs_fast.structures import STRUCTURES, Structure
from whs_fast.volume import Grid

STEP_MM = 1.0
_BLUR_MM, _BLUR_VOXELS = 1.0, 0.8  # standard deviation along an axis: the larger one
_REACH = 4.0  # standard deviations beyond the mask to the last samples
_FULL = 32_000  # int16 value of a voxel inside the mask
_VOLUME_WITHIN, _MOST_GUESSES, _MOST_CUTS = 0.003, 4, 12
_AWAY = 1e-3  # of the mask's value: keeps apart vertices that single precision would merge

_GLTF_FLOAT, _GLTF_UINT32 = 5126, 5125
_GLTF_VERTICES, _GLTF_INDICES = 34962, 34963


@dataclass(frozen=True, eq=False)
class Mesh:
    """A closed surface: vertices, float32[n, 3], x, y, z in mm, LPS; faces, uint32[m, 3], anticlockwise from outside.

    normals, float32[n, 3], have unit length and point outwards.
    """

    structure: Structure
    vertices: NDArray[np.float32]
    faces: NDArray[np.uint32]
    normals: NDArray[np.float32]
    volume_ml: float


def write_meshes(
    folder: Path, formats: Collection[str], labels: NDArray[np.uint8], grid: Grid, *, threads: int
) -> None:
    """Writes the surfaces of labels, uint8[z, y, x] on the grid: "stl" as meshes/KEY.stl, "glb" as heart.glb.

    Raises OutputError where they cannot be written.
    """
    meshes = make_meshes(labels, grid, threads=threads)
    if "stl" in formats:
        place = folder / FORMATS["stl"].files[0]
        place.mkdir()
        for mesh in meshes:
            write_stl(place / f"{mesh.structure.key}.stl", mesh)
    if "glb" in formats:
        write_glb(folder / FORMATS["glb"].files[0], meshes)


def make_meshes(labels: NDArray[np.uint8], grid: Grid, *, threads: int, step_mm: float = STEP_MM) -> list[Mesh]:
    """Surfaces of all structures of which labels, uint8[z, y, x] on the grid, hold at least half a sample.

    A sample is a cube with sides of step_mm; doubling the step gives a quarter of the triangles.
    """
    voxels, lowest, highest = _kernels.label_statistics(labels, len(STRUCTURES) + 1, threads=threads)
    meshes = []
    for structure in STRUCTURES:
        label = structure.label
        if not voxels[label]:
            continue
        box = tuple(slice(a, b + 1) for a, b in zip(lowest[label], highest[label], strict=True))
        mesh = _make_mesh(labels[box] == label, grid, lowest[label], structure, step_mm, threads)
        if mesh is not None:
            meshes.append(mesh)
    return meshes


def write_stl(path: Path, mesh: Mesh) -> None:
    """Writes one surface as binary STL. Raises OutputError where it cannot be written."""
    head = f"whs_fast {mesh.structure.key} SPACE=LPS UNIT=mm".encode().ljust(80)
    triangles = np.zeros(len(mesh.faces), np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("rest", "<u2")]))
    triangles["corners"] = mesh.vertices[mesh.faces]
    first, second, third = np.moveaxis(triangles["corners"].astype(np.float64), 1, 0)
    triangles["normal"] = _unit(np.cross(second - first, third - first))
    _write(path, head, struct.pack("<I", len(triangles)), triangles.tobytes())


def write_glb(path: Path, meshes: Sequence[Mesh]) -> None:
    """Writes one scene of all surfaces, with names and colours, as binary glTF 2.0.

    Raises OutputError where it cannot be written.
    """
    place = {"space": "LPS", "unit": "mm"}
    parts: list[bytes] = []
    views: list[dict[str, int]] = []
    accessors: list[dict[str, Any]] = []

    def add(array: NDArray[Any], kind: str, component: int, target: int, **more: object) -> int:
        parts.append(array.tobytes())
        offset = views[-1]["byteOffset"] + views[-1]["byteLength"] if views else 0
        views.append({"buffer": 0, "byteOffset": offset, "byteLength": array.nbytes, "target": target})
        count = len(array) if kind == "VEC3" else array.size
        accessors.append(
            {"bufferView": len(views) - 1, "componentType": component, "count": count, "type": kind} | more
        )
        return len(accessors) - 1

    gltf: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": f"whs_fast {version('whs_fast')}", "extras": place},
        "scene": 0,
        "scenes": [{"name": "heart", "nodes": list(range(len(meshes))), "extras": place}],
        "nodes": [],
        "meshes": [],
        "materials": [],
    }
    for number, mesh in enumerate(meshes):
        low, high = mesh.vertices.min(axis=0).tolist(), mesh.vertices.max(axis=0).tolist()
        attributes = {
            "POSITION": add(mesh.vertices, "VEC3", _GLTF_FLOAT, _GLTF_VERTICES, min=low, max=high),
            "NORMAL": add(mesh.normals, "VEC3", _GLTF_FLOAT, _GLTF_VERTICES),
        }
        indices = add(mesh.faces, "SCALAR", _GLTF_UINT32, _GLTF_INDICES)
        own, extras = mesh.structure, {"label": mesh.structure.label, "volume_ml": round(mesh.volume_ml, 3)} | place
        gltf["nodes"].append({"name": own.key, "mesh": number, "extras": extras | {"name": own.name}})
        primitive = {"attributes": attributes, "indices": indices, "material": number}
        gltf["meshes"].append({"name": own.key, "primitives": [primitive]})
        gltf["materials"].append({"name": own.key, "pbrMetallicRoughness": _paint(own.colour)})
    if meshes:
        gltf |= {"buffers": [{"byteLength": sum(map(len, parts))}], "bufferViews": views, "accessors": accessors}
    else:
        gltf = {name: value for name, value in gltf.items() if value != []} | {
            "scenes": [{"name": "heart", "extras": place}]
        }
    text = json.dumps(gltf, separators=(",", ":")).encode()
    chunks = [(b"JSON", text + b" " * (-len(text) % 4)), (b"BIN\0", b"".join(parts))]
    body = [struct.pack("<I", len(data)) + kind + data for kind, data in chunks if data]
    _write(path, b"glTF" + struct.pack("<2I", 2, 12 + sum(map(len, body))), *body)


def _make_mesh(
    mask: NDArray[np.bool_],
    grid: Grid,
    first: NDArray[np.int64],
    structure: Structure,
    step_mm: float,
    threads: int,
) -> Mesh | None:
    spacing = np.linalg.norm(grid.affine[:3, :3], axis=0)[::-1]
    field, start = _sample(mask, spacing, step_mm, threads)
    wanted = np.count_nonzero(mask) * float(np.prod(spacing)) / step_mm**3
    if round(wanted) < 1:
        return None
    # The wanted number of samples lies above the first level to try; half and twice as many lie above the levels that
    # bracket the right one. False position finds it, or bisection where that is too slow.
    high, level, low = (_nth_largest(field, max(1, round(wanted * share))) for share in (0.5, 1.0, 2.0))
    lack, excess = 0.5 * wanted, wanted
    for attempt in range(_MOST_CUTS):
        vertices, faces, enclosed = _cut(field, level)
        if abs(enclosed - wanted) <= _VOLUME_WITHIN * wanted:
            break
        if enclosed > wanted:
            low, excess = level, enclosed - wanted
        else:
            high, lack = level, wanted - enclosed
        level = low + (high - low) * (excess / (excess + lack) if attempt < _MOST_GUESSES else 0.5)
    corners = (vertices * step_mm + start) / spacing + first
    corners = corners[:, ::-1] @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    cross, enclosed = _enclose(corners, faces)
    if enclosed < 0:  # the order z, y, x, or a left-handed grid, has turned the faces inside out
        faces, cross = faces[:, ::-1], -cross
    normals = np.zeros_like(corners)
    for corner in range(3):
        for axis in range(3):
            normals[:, axis] += np.bincount(faces[:, corner], cross[:, axis], len(corners))
    return Mesh(
        structure,
        np.ascontiguousarray(corners, np.float32),
        np.ascontiguousarray(faces, np.uint32),
        np.ascontiguousarray(_unit(normals), np.float32),
        abs(enclosed) / 1000.0,
    )


def _nth_largest(field: NDArray[np.float32], number: int) -> float:
    number = min(number, field.size)
    return float(np.partition(field, -number, axis=None)[-number])


def _cut(field: NDArray[np.float32], level: float) -> tuple[NDArray[np.float64], NDArray[np.int64], float]:
    """Vertices (z, y, x in samples) and faces where a field has a value, and the volume they enclose."""
    from skimage.measure import marching_cubes

    above = field - np.float32(level)
    near = np.abs(above) < _AWAY
    above[near] = np.where(above[near] < 0, -_AWAY, _AWAY)
    if not above.max() > 0:  # a peak of one sample, as high as the level
        above[np.unravel_index(np.argmax(field), field.shape)] = _AWAY
    vertices, faces, _, _ = marching_cubes(above, 0.0)
    corners, triangles = vertices.astype(np.float64), faces.astype(np.int64)
    return corners, triangles, abs(_enclose(corners, triangles)[1])


def _enclose(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> tuple[NDArray[np.float64], float]:
    """Normal of each triangle, twice as long as its area, and the volume, negative where they point inwards."""
    away = vertices - vertices.mean(axis=0)
    first, second, third = (away[faces[:, corner]] for corner in range(3))
    cross = np.cross(second - first, third - first)
    return cross, float((first * cross).sum()) / 6.0


def _sample(
    mask: NDArray[np.bool_], spacing: NDArray[np.float64], step_mm: float, threads: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The blurred mask every step_mm, and the offset in mm of its first sample from the first voxel, both z, y, x."""
    from scipy.ndimage import gaussian_filter

    sigma = np.maximum(_BLUR_MM, _BLUR_VOXELS * spacing)
    room = np.ceil(_REACH * sigma / step_mm) + 2
    count = np.ceil((np.array(mask.shape) - 1) * spacing / step_mm).astype(int) + 2 * room.astype(int) + 1
    start = -room * step_mm
    source = np.pad(mask, 1).astype(np.int16) * np.int16(_FULL)
    out = np.empty(count, np.int16)
    to_source = np.column_stack([np.diag(step_mm / spacing), start / spacing + 1.0])
    # Several samples per step, so that thin walls of fine scans are not missed.
    samples = np.clip(np.ceil(step_mm / spacing), 1, 8).astype(int).tolist()
    _kernels.resample_linear(source, out, to_source, samples, 0, threads=threads)
    field = gaussian_filter(out.astype(np.float32) / _FULL, sigma / step_mm, mode="constant", truncate=_REACH)
    return field, start


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float64] = vectors / np.maximum(lengths, 1e-30)
    return unit


def _paint(colour: tuple[int, int, int]) -> dict[str, Any]:
    """glTF has linear light, where ours are sRGB values (IEC 61966-2-1)."""
    srgb = np.asarray(colour) / 255.0
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return {"baseColorFactor": [*linear.round(5).tolist(), 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.6}


def _write(path: Path, *parts: bytes) -> None:
    try:
        with path.open("wb") as file:
            file.writelines(parts)
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise OutputError(f"{path}: cannot be written ({reason}); needs a writable folder with free space") from error
