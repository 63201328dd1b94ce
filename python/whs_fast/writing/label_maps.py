"""Writes the label map on the scan's own grid, as NIfTI and as a segmentation for 3D Slicer.

Not with SimpleITK, whose NIfTI writer leaves a short file on a full disk without an error, and which needs a copy of
the labels. Both files hold their grid so that SimpleITK reads back the scan's own: size exactly, spacing and directions
within 1e-5, origin within 1e-3 mm (NIfTI keeps single precision). Directions that are not quite orthonormal, which
reading tolerates up to 2e-4, come back from NIfTI as the nearest orthonormal ones.

Both carry the names and colours of the structures: NIfTI in an extension between header and voxels, which readers that
do not know it pass over. It is the label table of Caret (ecode 30 of nifti1.h), the XML that Connectome Workbench reads
and TotalSegmentator writes.
"""

import os
import struct
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from whs_fast.errors import OutputError
from whs_fast.structures import STRUCTURES, Structure
from whs_fast.volume import Grid, NiftiPlaces

_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
_BY_LABEL = {structure.label: structure for structure in STRUCTURES}
_ECODE_CARET = 30


def write_labels(
    path: str | os.PathLike[str],
    labels: NDArray[np.uint8],
    grid: Grid,
    *,
    threads: int = 1,
    places: NiftiPlaces | None = None,
    named: Mapping[int, Structure] = _BY_LABEL,
) -> None:
    """Write a label map, uint8 indexed z, y, x, as .nii.gz, .nii or as a segmentation for 3D Slicer (.seg.nrrd).

    places are those of the scan's NIfTI header where they differ: the NIfTI header of the labels then holds the same.
    named are the structures that the values stand for, of which NIfTI carries names and colours.
    The same labels give the same bytes, however many threads compress them. Raises OutputError where the file cannot be
    written (a part that was written is removed), ValueError where the labels are not uint8 in the grid's shape.
    """
    if labels.dtype != np.uint8 or labels.shape != grid.shape:
        raise ValueError(f"labels: found {labels.dtype} of shape {labels.shape}, expected uint8 of shape {grid.shape}")
    path = Path(path)
    packed: bytes | None  # what is compressed before the labels, None where nothing is
    if path.name.lower().endswith(".seg.nrrd"):
        plain, packed = _nrrd_header(grid), b""
    elif path.name.lower().endswith((".nii.gz", ".nii")):
        header = nifti_header(grid, np.dtype(np.uint8), b"whs_fast labels", places, _label_table(named))
        plain, packed = (b"", header) if path.name.lower().endswith(".gz") else (header, None)
    else:
        raise ValueError(f"{path}: unknown suffix, expected .nii.gz, .nii or .seg.nrrd")
    opened = False
    try:
        with path.open("wb") as file:
            opened = True
            file.write(plain)
            if packed is None:
                file.write(np.ascontiguousarray(labels).data)
            else:
                _write_gzip(file, packed, labels, threads)
    except OSError as error:
        if opened and path.is_file():
            path.unlink(missing_ok=True)
        reason = (error.strerror or "unknown error").lower()
        raise OutputError(f"{path}: cannot be written ({reason}); needs a writable folder with free space") from error


def write_each(
    folder: Path, labels: NDArray[np.uint8], grid: Grid, threads: int = 1, places: NiftiPlaces | None = None
) -> None:
    """Write a mask a structure, 1 inside and 0 outside, as KEY.nii.gz into a new folder, also of those not found.

    Arguments and errors are those of write_labels.
    """
    folder.mkdir()
    for structure in STRUCTURES:
        mask = (labels == structure.label).view(np.uint8)
        path = folder / f"{structure.key}.nii.gz"
        write_labels(path, mask, grid, threads=threads, places=places, named={1: structure})


_BLOCK_BYTES = 2 << 20


def _write_gzip(file: BinaryIO, head: bytes, labels: NDArray[np.uint8], threads: int) -> None:
    """Writes head and labels as one gzip member: whole slices, compressed block by block, in threads.

    Each block is raw deflate that a full flush ends on a byte boundary, so blocks can be concatenated (RFC 1951; pigz
    does the same). It is one member because some readers stop after the first of several.
    """
    slices = max(1, _BLOCK_BYTES // max(1, labels[:1].size))
    blocks = [labels[start : start + slices] for start in range(0, len(labels), slices)]

    def pack(block: NDArray[np.uint8]) -> bytes:
        # Labels are long runs: matches of distance one alone compress better here than level 3 with all its matches.
        deflater = zlib.compressobj(1, wbits=-15, strategy=zlib.Z_RLE)
        return deflater.compress(np.ascontiguousarray(block).data) + deflater.flush(zlib.Z_FULL_FLUSH)

    with ThreadPoolExecutor(threads) as pool:
        packed = pool.map(pack, blocks)
        file.write(b"\x1f\x8b\x08" + bytes(6) + b"\xff")  # deflate; no name, no time, no system
        deflater = zlib.compressobj(1, wbits=-15)
        file.write(deflater.compress(head) + deflater.flush(zlib.Z_FULL_FLUSH))
        check = zlib.crc32(head)
        for block, part in zip(blocks, packed, strict=True):
            check = zlib.crc32(np.ascontiguousarray(block).data, check)  # while others are being compressed
            file.write(part)
    file.write(zlib.compressobj(1, wbits=-15).flush())
    file.write(struct.pack("<2I", check, (len(head) + labels.size) & 0xFFFFFFFF))


def _label_table(named: Mapping[int, Structure]) -> bytes:
    """The extension of a NIfTI header that names values and gives their colours, as long as the format wants it."""
    entries = [(0, "Background", (0, 0, 0), 0)]
    entries += [(value, structure.name, structure.colour, 1) for value, structure in sorted(named.items())]
    rows = "".join(
        f'<Label Key="{value}" Red="{red / 255:.6f}" Green="{green / 255:.6f}" Blue="{blue / 255:.6f}" '
        f'Alpha="{alpha}"><![CDATA[{name}]]></Label>\n'
        for value, name, (red, green, blue), alpha in entries
    )
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<CaretExtension>\n<VolumeInformation Index="0">\n'
        f"<LabelTable>\n{rows}</LabelTable>\n<VolumeType><![CDATA[Label]]></VolumeType>\n"
        "</VolumeInformation>\n</CaretExtension>\n"
    ).encode()
    size = -(-(len(text) + 8) // 16) * 16
    return struct.pack("<2i", size, _ECODE_CARET) + text.ljust(size - 8, b"\0")


def nifti_header(
    grid: Grid,
    dtype: np.dtype[Any],
    description: bytes,
    places: NiftiPlaces | None = None,
    extension: bytes = b"",
) -> bytes:
    """A NIfTI-1 header for uint8 or int16 voxels, with all that lies before the voxels.

    qform and sform describe the grid's place, or the two places that are given.
    """
    header = bytearray(352)
    rows = grid.affine[:3] * _LPS_TO_RAS[:, None]
    # The nearest rotation; qfac, the sign of the third axis, keeps a left-handed grid.
    u, _, vt = np.linalg.svd(rows[:, :3] / np.asarray(grid.spacing_mm))
    rotation = u @ vt
    qfac = 1.0 if np.linalg.det(rotation) > 0 else -1.0
    rotation[:, 2] *= qfac
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *grid.shape[::-1], 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, {1: 2, 2: 4}[dtype.itemsize], 8 * dtype.itemsize)
    struct.pack_into("<8f", header, 76, qfac, *grid.spacing_mm, 0.0, 0.0, 0.0, 0.0)
    struct.pack_into("<3f", header, 108, 352.0 + len(extension), 1.0, 0.0)
    header[123] = 2
    header[148:228] = description.ljust(80, b"\0")
    struct.pack_into("<2h", header, 252, 1, 1)
    struct.pack_into("<6f", header, 256, *_quaternion(rotation)[1:], *rows[:, 3])
    struct.pack_into("<12f", header, 280, *rows.ravel())
    if places is not None:
        struct.pack_into("<f", header, 76, places.qfac)
        struct.pack_into("<2h", header, 252, *places.codes)
        struct.pack_into("<6f", header, 256, *places.qform)
        struct.pack_into("<12f", header, 280, *places.sform)
    header[344:348] = b"n+1\0"
    header[348] = 1 if extension else 0
    return bytes(header) + extension


def _quaternion(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit quaternion (a, b, c, d), a >= 0, of a rotation matrix: the leading eigenvector of Bar-Itzhack's matrix.

    I. Y. Bar-Itzhack, J Guid Control Dyn 2000, doi 10.2514/2.4654.
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation
    matrix = np.array(
        [
            [xx + yy + zz, zy - yz, xz - zx, yx - xy],
            [zy - yz, xx - yy - zz, xy + yx, xz + zx],
            [xz - zx, xy + yx, yy - xx - zz, yz + zy],
            [yx - xy, xz + zx, yz + zy, zz - xx - yy],
        ]
    )
    quaternion: NDArray[np.float64] = np.linalg.eigh(matrix)[1][:, -1]
    return quaternion if quaternion[0] >= 0 else -quaternion


def _nrrd_header(grid: Grid) -> bytes:
    """An NRRD header in LPS with the fields by which 3D Slicer recognises the segments, all in one layer."""

    def vector(values: NDArray[np.float64]) -> str:
        return "(" + ",".join(repr(float(value)) for value in values) + ")"

    columns, size = grid.affine[:3].T, grid.shape[::-1]
    lines = [
        "NRRD0004",
        "type: unsigned char",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {size[0]} {size[1]} {size[2]}",
        f"space directions: {vector(columns[0])} {vector(columns[1])} {vector(columns[2])}",
        "kinds: domain domain domain",
        "encoding: gzip",
        f"space origin: {vector(columns[3])}",
    ]
    extent = f"0 {size[0] - 1} 0 {size[1] - 1} 0 {size[2] - 1}"
    for index, structure in enumerate(STRUCTURES):
        terms = (
            "Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure"
            f"~SCT^{structure.snomed}^{structure.name}~^^~Anatomic codes - DICOM master list~^^~^^"
        )
        values = {
            "ID": structure.key,
            "Name": structure.name,
            "NameAutoGenerated": "0",
            "Color": " ".join(f"{channel / 255:.6f}" for channel in structure.colour),
            "ColorAutoGenerated": "0",
            "LabelValue": str(structure.label),
            "Layer": "0",
            "Extent": extent,
            "Tags": f"TerminologyEntry:{terms}|",
        }
        lines += [f"Segment{index}_{key}:={value}" for key, value in values.items()]
    # Slicer keeps this in every save, so that a file that it crops to the drawn part still holds the scan's grid.
    to_ras = (np.diag([*_LPS_TO_RAS, 1.0]) @ grid.affine).ravel()
    geometry = ";".join([*(repr(float(value)) for value in to_ras), *extent.split()])
    lines += [
        "Segmentation_ContainedRepresentationNames:=Binary labelmap|",
        f"Segmentation_ConversionParameters:=Reference image geometry|{geometry};|Grid of the scan.&",
        "Segmentation_MasterRepresentation:=Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset:=0 0 0",
    ]
    return ("\n".join(lines) + "\n\n").encode()
