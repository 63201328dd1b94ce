"""A look at a few slices of a series: whether there is contrast in its blood, and how noisy it is.

Words can lie, and headers often say nothing; voxels show it. Blood without contrast has 30 to 60 HU, and nothing in
front of the spine is as bright over as wide a place as the chambers and great vessels with it: bones there are thin,
and their marrow is darker. A reconstruction for lung or bone is known by its noise from voxel to voxel.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whs_fast.reading.dicom.phases import positions_along_normal
from whs_fast.reading.dicom.slice import Slice

_SLICES = 9
_COARSE_MM, _PATCH = 4.0, 4  # patches of 16 mm
_CONTRAST_HU, _METAL_HU = 160.0, 1200.0
_TISSUE_HU = (-150.0, 300.0)
# Of the depth of the body, from the front; the spine and its marrow lie behind. Of its width, from the middle.
_FRONT, _SIDES = 0.62, 0.4
_SHARP_HU = 75.0


@dataclass(frozen=True)
class Look:
    """What was seen: contrast in the blood, and noise from voxel to voxel as of a sharp kernel."""

    contrast: bool
    sharp: bool


def look(images: Sequence[Slice], decode: Callable[[Slice], NDArray[np.int16]]) -> Look:
    """Look at a few slices of one series, all with positions. Raises InputError as decoding does."""
    order = np.argsort(positions_along_normal(images), kind="stable")
    chosen = np.unique(np.rint(np.linspace(0.05, 0.95, _SLICES) * (len(images) - 1)).astype(int))
    noises, places, bright = [], [], []
    for image in (images[index] for index in order[chosen]):
        hounsfield = decode(image)
        noises.append(_noise(hounsfield))
        coarse, place = _coarsen(image, hounsfield)
        places.append(place[:, coarse > _TISSUE_HU[0]])
        patches = np.lib.stride_tricks.sliding_window_view(coarse, (_PATCH, _PATCH), axis=(0, 1))
        found = (patches.min(axis=(2, 3)) > _CONTRAST_HU) & (patches.max(axis=(2, 3)) < _METAL_HU)
        middle = _PATCH // 2
        bright.append(place[:, middle : middle + found.shape[0], middle : middle + found.shape[1]][:, found])
    body = np.concatenate(places, axis=1)
    noise = np.array([noise for noise in noises if noise is not None])
    return Look(_is_in_front(np.concatenate(bright, axis=1), body), bool(len(noise) and np.median(noise) > _SHARP_HU))


def _coarsen(image: Slice, hounsfield: NDArray[np.int16]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means of blocks of about 4 mm, and x and y of their middles in mm, LPS, [2, rows, columns]."""
    step_x, step_y = (max(1, round(_COARSE_MM / spacing)) for spacing in image.spacing_mm)
    rows, columns = max(_PATCH, image.size[1] // step_y), max(_PATCH, image.size[0] // step_x)
    padded = np.full((rows * step_y, columns * step_x), -1000, np.int16)
    cut = hounsfield[: padded.shape[0], : padded.shape[1]]
    padded[: cut.shape[0], : cut.shape[1]] = cut
    coarse = padded.reshape(rows, step_y, columns, step_x).mean(axis=(1, 3))
    across = (np.arange(columns) + 0.5) * step_x * image.spacing_mm[0]
    down = (np.arange(rows) + 0.5) * step_y * image.spacing_mm[1]
    place = [
        image.position[axis] + image.cosines[axis] * across[None, :] + image.cosines[3 + axis] * down[:, None]
        for axis in (0, 1)
    ]
    return coarse, np.stack(place)


def _is_in_front(bright: NDArray[np.float64], body: NDArray[np.float64]) -> bool:
    """Whether some of the bright places lie in front of the spine, between the lungs' outer halves."""
    if not bright.shape[1] or not body.shape[1]:
        return False
    (left, front), (right, back) = np.percentile(body, (2.0, 98.0), axis=1)
    middle, half = (left + right) / 2.0, (right - left) / 2.0
    inside = (bright[1] < front + _FRONT * (back - front)) & (np.abs(bright[0] - middle) < 2.0 * _SIDES * half)
    return bool(inside.any())


def _noise(hounsfield: NDArray[np.int16]) -> float | None:
    """Standard deviation of noise in soft tissue, from differences of neighbours; None where there is too little."""
    left, right = hounsfield[:, :-1].astype(np.float32), hounsfield[:, 1:].astype(np.float32)
    mean = (left + right) / 2.0
    apart = np.abs(right - left)[(mean > _TISSUE_HU[0]) & (mean < _TISSUE_HU[1])]
    return float(np.median(apart)) / 0.6745 / 2.0**0.5 if apart.size > 500 else None
