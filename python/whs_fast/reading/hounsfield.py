"""Bringing voxel values to int16 HU, and refusing values that are not those of a CT scan.

Every step after reading trusts that the array is int16 HU, so whatever is doubtful is refused here with one line,
rather than segmented into nonsense. Values are converted block by block, so that a float scan never exists as a
whole.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast import _kernels
from whs_fast.errors import InputError
from whs_fast.volume import AIR_HU

LEAST_DISTINCT_VALUES = 64
LUNG_BELOW_HU = -500
# Metal and saturated contrast pass 4095 HU in few voxels; a scan in which many do is not scaled in HU.
HIGH_HU, PADDING_BELOW_HU, ODD_FRACTION = 4095, -2000, 0.01
_INT16 = np.iinfo(np.int16)
_SAMPLED_VOXELS = 8_000_000


def convert(
    block: NDArray[Any],
    out: NDArray[np.int16],
    name: str,
    *,
    slope: float = 1.0,
    intercept: float = 0.0,
    whole: bool = False,
) -> None:
    """Write slope * block + intercept, rounded to the nearest integer, into an int16 block [y, x] of the same shape.

    NaN outside the field of view becomes air: a field of view is convex, so what lies outside reaches a corner of the
    slice. Raises InputError for other values that are not finite and for those that do not fit into int16; where whole
    is asked for, also for any NaN and for values that rounding would change.
    """
    values: NDArray[Any] = block
    if (slope, intercept) != (1.0, 0.0):
        with np.errstate(all="ignore"):  # what overflows is refused below
            values = block * np.float64(slope) + np.float64(intercept)
    low, high = values.min(), values.max()
    if np.isnan(low) and not whole and _is_outside(np.isnan(values)):
        values = np.nan_to_num(values, nan=AIR_HU, posinf=np.inf, neginf=-np.inf)
        low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(f"{name}: found voxels that are NaN or infinite, expected HU")
    if low < _INT16.min or high > _INT16.max:
        raise InputError(
            f"{name}: found values from {low:g} to {high:g}, expected HU within {_INT16.min} to {_INT16.max}"
        )
    if np.issubdtype(values.dtype, np.floating):
        np.copyto(out, np.rint(values), casting="unsafe")
        if whole and np.any(out != values):
            raise InputError(f"{name}: found values between whole numbers, expected the whole numbers of a label map")
    else:
        np.copyto(out, values, casting="unsafe")


def _is_outside(holes: NDArray[np.bool_]) -> bool:
    """Whether every connected part of a mask [y, x] reaches a corner of it."""
    parts = np.empty(holes.shape, np.uint32)
    count = _kernels.connected_components(holes.view(np.uint8)[None], parts[None], 6)
    return len({int(parts[y, x]) for y in (0, -1) for x in (0, -1)} - {0}) == count


def to_hounsfield(array: NDArray[Any], name: str) -> NDArray[np.int16]:
    """A scan as C-contiguous int16 HU with the padding raised to air; the caller's array is never changed.

    An int16 array that is as it should be is returned itself, not copied. Raises InputError as `convert` and `settle`
    do.
    """
    if array.dtype.kind not in "iuf":
        raise InputError(f"{name}: found voxels of type {array.dtype}, expected integers or floats")
    if array.dtype.kind == "i" and array.dtype.itemsize == 2:
        result = np.ascontiguousarray(array, dtype=np.int16)
        if array.size and np.may_share_memory(result, array) and array.min() < AIR_HU:
            result = array.copy()
    else:
        result = np.empty(array.shape, dtype=np.int16)
        for source, target in zip(array, result, strict=True):
            if source.size:
                convert(source, target, name)
    settle(result, name)
    return result


def settle(array: NDArray[np.int16], name: str) -> None:
    """Check that int16 values are those of a CT scan, and raise padding below -1024 HU to -1024 HU in place.

    Scanners and converters fill the space outside the reconstruction with constants such as -2000, -3024 or -32768, and
    lossy compression or filtering smears these over all values below; they are air to us, and the scale is judged by
    the rest. Raises InputError for fewer than 64 distinct values (a label map), for more than 1 % of the voxels above
    4095 HU (not HU), for more than 1 % spread over values below -2000 HU in the middle half of each axis, where no
    padding lies (not HU), and where nothing is below -500 HU (no air, no lung).
    """
    if array.size == 0:
        raise InputError(f"{name}: found no voxels, expected a CT scan")
    step = -(-array.size // _SAMPLED_VOXELS)
    counts = _histogram(array[::step])
    rest = counts[PADDING_BELOW_HU - _INT16.min :]
    if step > 1 and (
        np.count_nonzero(rest) < LEAST_DISTINCT_VALUES or not rest[: LUNG_BELOW_HU - PADDING_BELOW_HU].any()
    ):
        counts = _histogram(array)
    low, high = int(array.min()), int(array.max())
    found = f"{name}: found values from {low} to {high}"
    rest = counts[PADDING_BELOW_HU - _INT16.min :]
    distinct = int(np.count_nonzero(rest))
    if distinct < LEAST_DISTINCT_VALUES:
        raise InputError(f"{found}, {distinct} of them distinct, expected a CT scan in HU, not a label map")
    too_high = counts[HIGH_HU + 1 - _INT16.min :].sum() / rest.sum()
    if too_high > ODD_FRACTION:
        raise InputError(f"{found}, {too_high:.0%} of them above {HIGH_HU}, expected HU")
    # Padding is a few constants, or lies at the rim; values spread below it in the middle are another scale.
    if _spread_below(counts) > ODD_FRACTION:
        middle = tuple(slice(size // 4, max(size // 4 + 1, size - size // 4)) for size in array.shape)
        too_low = _spread_below(_histogram(array[middle]))
        if too_low > ODD_FRACTION:
            raise InputError(f"{found}, {too_low:.0%} of them spread below {PADDING_BELOW_HU}, expected HU")
    if not rest[: LUNG_BELOW_HU - PADDING_BELOW_HU].any():
        raise InputError(f"{found}, none below {LUNG_BELOW_HU}, expected HU with air or lung")
    if low < AIR_HU:
        np.maximum(array, np.int16(AIR_HU), out=array)


def _spread_below(counts: NDArray[np.int64]) -> float:
    """The share of voxels below the padding's limit, less those of the four values that are most among them."""
    below = np.sort(counts[: PADDING_BELOW_HU - _INT16.min])
    return float(below[:-4].sum() / counts.sum())


def _histogram(array: NDArray[np.int16]) -> NDArray[np.int64]:
    """How often each int16 value occurs, from -32768 up; a slice at a time, for bincount widens its input."""
    counts = np.zeros(1 << 16, dtype=np.int64)
    for part in array:
        counts += np.bincount(part.view(np.uint16).ravel(), minlength=1 << 16)
    return np.roll(counts, 1 << 15)
