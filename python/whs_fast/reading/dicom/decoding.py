"""Decoding slices to HU, each with its own slope and intercept."""

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from whs_fast.errors import InputError
from whs_fast.reading.dicom.elements import PromiseError, find_pixels, read_meta
from whs_fast.reading.dicom.majority import Rescale, find_rescale, name_slices
from whs_fast.reading.dicom.slice import Slice
from whs_fast.reading.hounsfield import convert
from whs_fast.reading.itk import toolkit_name
from whs_fast.reading.naming import name_inside
from whs_fast.temporary import temporary_folder

# Twice the side that the finest scanners make. The toolkit takes twelve bytes a pixel, in each thread.
_MOST_PIXELS = 4096 * 4096

Decode: TypeAlias = Callable[[Slice], NDArray[np.int16]]


@contextmanager
def decoder(slices: Sequence[Slice], name: str) -> Iterator[tuple[Decode, tuple[str, ...]]]:
    """A function from a slice of one series to its HU until the block ends, and notes on what it mends.

    Only frames of enhanced files need a temporary folder. Raises InputError for frames without positions of their own,
    for slices larger than any scanner makes, and where slices lack rescale tags and those of the others are not for
    them; OutputError where there is no temporary folder.
    """
    if any(image.frames != 1 and image.file is None for image in slices):
        raise InputError(f"{name}: found a multi-frame file without positions of its frames, expected enhanced CT")
    columns, rows = max((image.size for image in slices), key=math.prod)
    if columns * rows > _MOST_PIXELS:
        raise InputError(f"{name}: found slices of {columns} x {rows} pixels, expected at most 4096 x 4096")
    try:
        rescale = find_rescale(slices)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from error
    notes: tuple[str, ...] = ()
    with _space(slices, name) as space:
        decode = _decoder(slices, space, name, rescale)
        if rescale.lacking:
            _check_rescale(rescale, slices, decode, name)
            notes = (
                f"{len(rescale.lacking)} of {len(slices)} slices have no rescale tags and were given those of the "
                f"others: {name_slices(rescale.lacking, slices)}",
            )
        yield decode, notes


@contextmanager
def _space(slices: Sequence[Slice], name: str) -> Iterator[Path]:
    """A folder for frames; none is made for slices that are files of their own."""
    if all(image.file is None for image in slices):
        yield Path()
        return
    with temporary_folder(name) as folder:
        yield folder


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


def _decoder(slices: Sequence[Slice], space: Path, name: str, rescale: Rescale) -> Decode:
    """A function from a slice to its HU; `space` is a folder for single frames of enhanced files.

    rescale is for slices that have none of their own.
    """

    def decode(image: Slice) -> NDArray[np.int16]:
        path = image.path
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        try:
            if image.file is not None:
                path = space / f"{threading.get_ident()}"  # one at a time in each thread
                image.file.write_frame(image.frame, path)
                if not find_pixels(path, read_meta(path)).fill(image.size, frames=1, bits=image.stored[0]):
                    raise ValueError("the frame is of another size")
            with toolkit_name(path) as reader_name:
                reader.SetFileName(reader_name)
                found = reader.Execute()
        except (RuntimeError, ValueError, PromiseError) as error:
            raise InputError(
                f"{name}: found a damaged slice among the {len(slices)} of the series, expected intact files: "
                f"{name_inside(image.path, image.path.parent, (other.path for other in slices))}"
            ) from error
        finally:
            if image.file is not None:
                path.unlink(missing_ok=True)
        hounsfield = np.empty((image.size[1], image.size[0]), dtype=np.int16)
        slope, intercept = (1.0, 0.0) if image.rescale is not None else (rescale.slope, rescale.intercept)
        convert(sitk.GetArrayViewFromImage(found)[0], hounsfield, name, slope=slope, intercept=intercept)
        return hounsfield

    return decode
