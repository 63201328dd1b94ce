"""Odd images in a good series: a scout, a picture of another size, slices that lack the tags of the others.

Where nine in ten images agree, they are the scan; what was left out or taken from them is told, by the names of files.
Where no such majority is, nothing is guessed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from whs_fast.reading.dicom.slice import Slice
from whs_fast.reading.naming import name_inside

COSINES_WITHIN, SPACING_WITHIN_MM = 1e-4, 1e-4
_MOST_ODD = 0.1
_MOST_NAMED = 3


def split_odd(images: Sequence[Slice]) -> tuple[list[Slice], list[Slice]]:
    """Those of the largest group that is alike in size, spacing and orientation, and the others, both in order."""
    by_form: dict[tuple[object, ...], list[Slice]] = {}
    for image in images:
        by_form.setdefault((image.size, image.spacing_mm, image.cosines, image.placed), []).append(image)
    groups: list[list[Slice]] = []
    for own in sorted(by_form.values(), key=len, reverse=True):
        group = next((group for group in groups if not difference(own[0], group[0])), None)
        if group is None:
            groups.append(own)
        else:
            group += own
    most = max(groups, key=len)
    chosen = {id(image) for image in most}
    return [image for image in images if id(image) in chosen], [image for image in images if id(image) not in chosen]


def difference(image: Slice, other: Slice) -> str:
    """In what an image differs from another one of its series, in words; empty where they can lie in one stack."""
    if image.placed != other.placed:
        return "another orientation" if image.placed else "no position, orientation or pixel spacing"
    if image.size != other.size:
        return f"a size of {image.size[0]} x {image.size[1]}"
    if not image.placed:
        return ""
    if np.abs(np.subtract(image.cosines, other.cosines)).max() > COSINES_WITHIN:
        return "another orientation"
    if np.abs(np.subtract(image.spacing_mm, other.spacing_mm)).max() > SPACING_WITHIN_MM:
        return "another pixel spacing"
    return ""


def leave_out_odd(images: Sequence[Slice]) -> tuple[list[Slice], tuple[str, ...]]:
    """The images of one series without its odd ones, and a note on these; all of them where no clear majority is."""
    alike, odd = split_odd(images)
    if not odd or len(odd) > _MOST_ODD * len(images):
        return list(images), ()
    reasons = dict.fromkeys(difference(image, alike[0]) for image in odd)
    parts = [
        f"{name_slices([image for image in odd if difference(image, alike[0]) == reason], alike)} ({reason})"
        for reason in reasons
    ]
    return alike, (f"{len(odd)} of {len(images)} images of the series were left out: {', '.join(parts)}",)


@dataclass(frozen=True)
class Rescale:
    """Slope and intercept of a series: those for the slices that have none, which lacking names."""

    slope: float = 1.0
    intercept: float = 0.0
    lacking: tuple[Slice, ...] = ()


def find_rescale(images: Sequence[Slice]) -> Rescale:
    """What the slices without rescale tags are to be given. Raises ValueError, in words, where that is not clear."""
    having = [image for image in images if image.rescale is not None]
    lacking = tuple(image for image in images if image.rescale is None)
    if not having or not lacking:
        return Rescale()
    words = f"{len(lacking)} of {len(images)} slices have no rescale tags: {name_slices(lacking, having)}"
    told, forms = {image.rescale for image in having}, {image.stored for image in images}
    if len(lacking) > _MOST_ODD * len(images) or len(told) > 1 or len(forms) > 1:
        raise ValueError(words)
    ((slope, intercept),) = (pair for pair in told if pair is not None)
    return Rescale(slope, intercept, lacking)


def name_slices(images: Sequence[Slice], others: Sequence[Slice]) -> str:
    """The first names of the files of some slices, without what the `others` tell of the patient."""
    paths = [other.path for other in (*others, *images)]
    names = [
        name_inside(image.path, image.path.parent, paths) + (f" frame {image.frame}" if image.file is not None else "")
        for image in images[:_MOST_NAMED]
    ]
    rest = len(images) - len(names)
    return ", ".join(names) + (f" and {rest} more" if rest else "")
