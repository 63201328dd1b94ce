"""Slow, obvious NumPy definitions of the kernels: what each must equal, integers to the bit.

Written for reading, voxel by voxel or axis by axis, from the definitions in DESIGN and in the headers of cpp/.
Arrays are indexed z, y, x; a map is 3 x 4: continuous index (z, y, x) = M[:, :3] @ index + M[:, 3].
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SNAP = 1e-6
OFFSETS = {
    connectivity: [d for d in itertools.product((-1, 0, 1), repeat=3) if 0 < sum(map(abs, d)) <= most]
    for connectivity, most in ((6, 1), (18, 2), (26, 3))
}


# ---- maps and coordinates


def snap_matrix(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The map without the rounding noise of headers: entries below 1e-6 of the largest in their row are zero."""
    snapped = matrix.copy()
    linear = snapped[:, :3]
    linear[np.abs(linear) <= SNAP * np.abs(linear).max(axis=1, keepdims=True)] = 0
    return snapped


def source_axes(matrix: NDArray[np.float64]) -> tuple[int, ...] | None:
    """For each output axis the source axis it runs along, or None for an oblique map."""
    present = snap_matrix(matrix)[:, :3] != 0
    if not ((present.sum(axis=0) == 1).all() and (present.sum(axis=1) == 1).all()):
        return None
    return tuple(int(a) for a in present.argmax(axis=0))


def coordinates(
    matrix: NDArray[np.float64], z: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """Continuous coordinates on the three axes, summed in the order the kernels sum."""
    m = snap_matrix(matrix)
    return [((m[a, 0] * z + m[a, 1] * y) + m[a, 2] * x) + m[a, 3] for a in range(3)]


def inside(c: NDArray[np.float64], n: int, beyond: float = 0.0) -> NDArray[np.bool_]:
    return (c >= -0.5 - SNAP - beyond) & (c <= n - 0.5 + SNAP + beyond)


def settle(c: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Coordinates put on the whole voxel they nearly lie on and clamped to voxel centres."""
    whole = np.floor(c + 0.5)
    return np.clip(np.where(np.abs(c - whole) <= SNAP, whole, c), 0, n - 1)


def sample_offsets(samples: int) -> NDArray[np.float64]:
    return (np.arange(samples) + 0.5) / samples - 0.5


# ---- resampling


def general_hu(source, shape, matrix, samples=(1, 1, 1), fill=-1024, first_slice=0):  # type: ignore[no-untyped-def]
    """HU in double precision: every sub-sample interpolated by itself along x, then y, then z; then their mean."""
    nz, ny, nx = shape
    total = np.zeros(shape)
    if source.size == 0:
        return np.full(shape, float(fill))
    for oz, oy, ox in itertools.product(*map(sample_offsets, samples)):
        z = (first_slice + np.arange(nz, dtype=float))[:, None, None] + oz
        y = np.arange(ny, dtype=float)[None, :, None] + oy
        x = np.arange(nx, dtype=float)[None, None, :] + ox
        c = [np.broadcast_to(axis, shape) for axis in coordinates(matrix, z, y, x)]
        within = np.logical_and.reduce([inside(c[a], source.shape[a]) for a in range(3)])
        c = [settle(np.where(within, c[a], 0), source.shape[a]) for a in range(3)]
        low = [axis.astype(np.int64) for axis in c]
        high = [np.minimum(low[a] + 1, source.shape[a] - 1) for a in range(3)]
        f = [c[a] - low[a] for a in range(3)]

        def along_x(iz, iy, low=low, high=high, f=f):  # type: ignore[no-untyped-def]
            return source[iz, iy, low[2]] * (1 - f[2]) + source[iz, iy, high[2]] * f[2]

        def along_y(iz, low=low, high=high, f=f, along_x=along_x):  # type: ignore[no-untyped-def]
            return along_x(iz, low[1]) * (1 - f[1]) + along_x(iz, high[1]) * f[1]

        value = along_y(low[0]) * (1 - f[0]) + along_y(high[0]) * f[0]
        total += np.where(within, value, fill)
    return total / np.prod(samples)


def blend_matrix(scale, shift, source_n, n, first_index, samples):  # type: ignore[no-untyped-def]
    """Weights [n, source_n] of one axis in float32, and the part [n] of its sub-samples inside the source."""
    weights, covered = np.zeros((n, source_n)), np.zeros(n)
    for i, offset in itertools.product(range(n), sample_offsets(samples)):
        c = np.float64(scale * (float(first_index + i) + offset) + shift)
        if not inside(c, source_n):
            continue
        covered[i] += 1
        settled = settle(c, source_n)
        low = int(settled)
        weights[i, low] += 1 - (settled - low)
        if settled > low:
            weights[i, low + 1] += settled - low
    return (weights / samples).astype(np.float32), (covered / samples).astype(np.float32)


def separable_hu(source, shape, matrix, samples=(1, 1, 1), fill=-1024, first_slice=0):  # type: ignore[no-untyped-def]
    """HU in single precision: the axes of the output blended one after the other, z first, taps in ascending order."""
    if source.size == 0:
        return np.full(shape, np.float32(fill))
    axes = source_axes(matrix)
    assert axes is not None
    m = snap_matrix(matrix)
    values = source.transpose(axes).astype(np.float32)  # now in the order of the output's axes
    inside_parts = []
    for b in range(3):
        weights, covered = blend_matrix(
            m[axes[b], b], m[axes[b], 3], values.shape[b], shape[b], first_slice if b == 0 else 0, samples[b]
        )
        inside_parts.append(covered)
        moved = np.moveaxis(values, b, 0)
        blended = np.zeros((shape[b], *moved.shape[1:]), np.float32)
        for j in range(moved.shape[0]):
            blended += weights[:, j, None, None] * moved[j]
        values = np.moveaxis(blended, 0, b)
    cz, cy, cx = inside_parts
    outside = np.float32(1) - (cz[:, None] * cy[None, :])[:, :, None] * cx
    return values + np.float32(fill) * outside


def resampled_hu(source, shape, matrix, **options):  # type: ignore[no-untyped-def]
    return (general_hu if source_axes(matrix) is None else separable_hu)(source, shape, matrix, **options)


def to_hu(hu: NDArray[np.floating]) -> NDArray[np.int16]:
    return np.floor(hu + hu.dtype.type(0.5)).astype(np.int16)


def to_window(hu: NDArray[np.floating], low: float, high: float) -> NDArray[np.uint8]:
    real = hu.dtype.type
    return np.floor(np.clip((hu - real(low)) * real(255) / real(high - low), 0, 255) + real(0.5)).astype(np.uint8)


def nearest(source, shape, matrix, fill=0, beyond=(0, 0, 0)):  # type: ignore[no-untyped-def]
    out = np.full(shape, fill, np.uint8)
    for index in np.ndindex(*shape):
        c = [float(v) for v in coordinates(matrix, *map(float, index))]
        if all(source.shape[a] > 0 and inside(c[a], source.shape[a], beyond[a]) for a in range(3)):
            i = [min(max(int(np.floor(c[a] + 0.5 + 2 * SNAP)), 0), source.shape[a] - 1) for a in range(3)]
            out[index] = source[tuple(i)]
    return out


def sampled(source, points, matrix):  # type: ignore[no-untyped-def]
    """Trilinear, at points [n, 3], in float32."""
    last, values = np.array(source.shape) - 1, []
    for c in np.clip(np.transpose(coordinates(matrix, *points.T)), 0, last):
        low = np.minimum(c.astype(int), np.maximum(last - 1, 0))
        share = (c - low).astype(np.float32)
        total = np.float32(0)
        for corner in itertools.product(*[(0, 1)] * 3):
            z, y, x = (share[a] if up else np.float32(1) - share[a] for a, up in enumerate(corner))
            total += z * y * x * source[tuple(np.minimum(low + corner, last))]
        values.append(total)
    return np.array(values, np.float32)


# ---- labels from logits


def upsampled_argmax(logits, shape, matrix):  # type: ignore[no-untyped-def]
    """DESIGN, step 4: the sum over the eight corners in full for every voxel, in 64-bit integers."""
    out = np.zeros(shape, np.uint8)
    if logits.size == 0:
        return out
    z, y, x = np.meshgrid(*(np.arange(n, dtype=float) for n in shape), indexing="ij")
    c = coordinates(matrix, z, y, x)
    sizes = logits.shape[:3]
    within = np.logical_and.reduce([inside(c[a], 2 * sizes[a]) for a in range(3)])
    u = [np.clip((c[a] + 0.5) / 2 - 0.5, 0, sizes[a] - 1) for a in range(3)]
    low = [axis.astype(np.int64) for axis in u]
    high = [np.minimum(low[a] + 1, sizes[a] - 1) for a in range(3)]
    upper = [np.floor((u[a] - low[a]) * 256 + 0.5).astype(np.int64) for a in range(3)]
    sums = np.zeros((*shape, logits.shape[3]), np.int64)
    for corner in itertools.product((0, 1), repeat=3):
        index = [high[a] if corner[a] else low[a] for a in range(3)]
        weight = np.prod([upper[a] if corner[a] else 256 - upper[a] for a in range(3)], axis=0)
        sums += weight[..., None] * logits[index[0], index[1], index[2]].astype(np.int64)
    return np.where(within, sums.argmax(axis=-1), 0).astype(np.uint8)  # argmax takes the lowest label of a tie


# ---- components and statistics


def margins(logits):  # type: ignore[no-untyped-def]
    """Voxels by best label, second label and the margin between; the lower label comes first in a tie."""
    counts = np.zeros((logits.shape[-1], logits.shape[-1], 256), np.int64)
    for values in logits.reshape(-1, logits.shape[-1]).astype(int):
        best, second = np.argsort(-values, kind="stable")[:2]
        counts[best, second, values[best] - values[second]] += 1
    return counts


def neighbours(index: tuple[int, ...], shape: tuple[int, ...], connectivity: int) -> Iterator[tuple[int, ...]]:
    for offset in OFFSETS[connectivity]:
        near = tuple(i + d for i, d in zip(index, offset, strict=True))
        if all(0 <= i < n for i, n in zip(near, shape, strict=True)):
            yield near


def components(labels, connectivity):  # type: ignore[no-untyped-def]
    """Flood fill from each voxel in scan order that has no number yet."""
    out = np.zeros(labels.shape, np.uint32)
    count = 0
    for start in np.ndindex(*labels.shape):
        if labels[start] == 0 or out[start] != 0:
            continue
        count += 1
        out[start] = count
        stack = [start]
        while stack:
            for near in neighbours(stack.pop(), labels.shape, connectivity):
                if out[near] == 0 and labels[near] == labels[start]:
                    out[near] = count
                    stack.append(near)
    return out, count


def kept_group(labels: NDArray[np.uint8], least_voxels: list[int]) -> NDArray[np.uint8]:
    members = [label for label, least in enumerate(least_voxels) if least > 0]
    groups, count = ndimage.label(np.isin(labels, members), np.ones((3, 3, 3)))
    sizes = {g: int((groups == g).sum()) for g in range(1, count + 1)}
    held: dict[int, set[int]] = {g: set() for g in sizes}
    for own in members:
        parts, number = ndimage.label(labels == own, np.ones((3, 3, 3)))
        for part in range(1, number + 1):
            if (parts == part).sum() >= least_voxels[own]:
                held[int(groups[parts == part][0])].add(own)
    worth = {g: (len(held[g]), sizes[g]) for g in sizes}
    best = [g for g in sizes if worth[g] == max(worth.values()) and len(held[g]) > 1]
    if not best:
        return labels
    elsewhere = (groups > 0) & ~np.isin(groups, best)
    return np.where(elsewhere & np.isin(labels, list(set().union(*(held[g] for g in best)))), 0, labels)


def kept_parts(labels, rules):  # type: ignore[no-untyped-def]
    out = labels.copy()
    numbers, count = components(labels, 26)
    parts = {part: [tuple(int(i) for i in v) for v in np.argwhere(numbers == part)] for part in range(1, count + 1)}
    for judged_last in (False, True):
        before = out.copy()
        for label, (most, least_voxels, attached_to) in enumerate(rules.tolist()):
            if (attached_to != 0) != judged_last:
                continue
            own = [voxels for voxels in parts.values() if labels[voxels[0]] == label]
            large = [voxels for voxels in own if len(voxels) >= least_voxels]
            touching = [
                voxels
                for voxels in large
                if judged_last
                and any(before[near] == attached_to for v in voxels for near in neighbours(v, labels.shape, 26))
            ]
            others = sorted((len(voxels) for voxels in large if voxels not in touching), reverse=True)
            places = max(0, int(most) - len(touching))
            enough = others[:places][-1] if places and others else None
            for voxels in own:
                among = voxels in large and enough is not None and len(voxels) >= enough
                if voxels not in touching and not among:
                    for v in voxels:
                        out[v] = 0
    return out


def filled_holes(labels, label, connectivity):  # type: ignore[no-untyped-def]
    out = labels.copy()
    cavities, count = components((labels == 0).astype(np.uint8), connectivity)
    for cavity in range(1, count + 1):
        voxels = [tuple(int(i) for i in v) for v in np.argwhere(cavities == cavity)]
        at_border = any(i in (0, n - 1) for v in voxels for i, n in zip(v, labels.shape, strict=True))
        around = {int(labels[near]) for v in voxels for near in neighbours(v, labels.shape, connectivity)} - {0}
        if not at_border and len(around) == 1 and label in (0, *around):
            out[cavities == cavity] = around.pop()
    return out


def statistics(labels, label_count):  # type: ignore[no-untyped-def]
    voxels = np.zeros(label_count, np.int64)
    lowest, highest = np.full((label_count, 3), -1, np.int64), np.full((label_count, 3), -1, np.int64)
    for label in range(label_count):
        where = np.argwhere(labels == label)
        voxels[label] = len(where)
        if len(where):
            lowest[label], highest[label] = where.min(0), where.max(0)
    return voxels, lowest, highest


# ---- robust polynomial fit


def fit_minimum(positions, distances, degree, low, high):  # type: ignore[no-untyped-def]
    """Huber, then Tukey, by numpy.linalg.lstsq; the minimum by numpy's roots of the derivative."""
    middle, half = (positions.max() + positions.min()) / 2, (positions.max() - positions.min()) / 2
    t = (positions - middle) / half
    powers = np.vander(t, degree + 1, increasing=True)
    weights = np.ones_like(t)

    def solve(weights):  # type: ignore[no-untyped-def]
        root = np.sqrt(weights)
        coefficients = np.linalg.lstsq(powers * root[:, None], distances * root, rcond=None)[0]
        return coefficients, np.abs(distances - powers @ coefficients)

    coefficients, residuals = solve(weights)
    scale = np.inf
    for tukey in (False, True):
        for _ in range(50):
            scale = min(scale, max(1e-3, 1.4826 * np.median(np.sort(residuals)[degree:])))
            r = residuals / scale
            if tukey:
                new = np.where(r < 4.685, (1 - (r / 4.685) ** 2) ** 2, 0)
            else:
                new = np.where(r > 1.345, 1.345 / np.maximum(r, 1.345), 1)
            if len(set(t[new > 0])) <= degree:
                break
            change = np.abs(new - weights).max()
            weights = new
            coefficients, residuals = solve(weights)
            if change < 1e-9:
                break
    polynomial = np.polynomial.Polynomial(coefficients)
    a, b = (low - middle) / half, (high - middle) / half
    stationary = polynomial.deriv().roots()
    stationary = stationary[np.abs(stationary.imag) < 1e-7].real
    candidates = np.array([a, *sorted(stationary[(stationary > a) & (stationary < b)]), b])
    best = candidates[np.argmin(polynomial(candidates))]
    residual = np.sqrt((weights * residuals**2).sum() / weights.sum())
    return middle + half * best, polynomial(best), residual, polynomial.deriv(2)(best) / half**2


def _integer_convolution(features, zeros, layer, stride=1):
    """float32(exact sum) * scale + bias, rounded half to even, clamped to 0..255; features and results [c, z, y, x].

    zeros: for each input channel the integer that stands for 0, which lies around the volume.
    """
    weights, scale, bias, _ = layer
    side = weights.shape[2]
    reach = side // 2
    padded = np.empty((len(features), *(n + 2 * reach for n in features.shape[1:])), np.int64)
    padded[:] = np.asarray(zeros)[:, None, None, None]
    padded[(slice(None), *(slice(reach, reach + n) for n in features.shape[1:]))] = features
    extents = [n // stride for n in features.shape[1:]]
    sums = np.zeros((len(weights), *extents), np.int64)
    for z, y, x in np.ndindex(side, side, side):
        first = (z, y, x)
        window = padded[(slice(None), *(slice(f, f + stride * n, stride) for f, n in zip(first, extents, strict=True)))]
        sums += np.einsum("oc,czyx->ozyx", weights[:, :, z, y, x].astype(np.int64), window)
    values = sums.astype(np.float32) * np.float32(scale)[:, None, None, None] + np.float32(bias)[:, None, None, None]
    return np.clip(np.rint(values), 0, 255).astype(np.int64)


def _upsample(features, factor):
    """Trilinear, centres half-way, edges go on; weights of 2 * factor an axis, first along z and y, then x."""
    whole = 2 * factor

    def along(values, axis):
        n = values.shape[axis]
        twice = 2 * np.arange(n * factor) + 1 - factor
        lower, weight = twice // whole, twice % whole
        shape = [-1 if a == axis else 1 for a in range(4)]
        below = np.take(values, np.clip(lower, 0, n - 1), axis) * (whole - weight).reshape(shape)
        return below + np.take(values, np.clip(lower + 1, 0, n - 1), axis) * weight.reshape(shape)

    lines = along(along(features, 1), 2)
    if factor == 4:  # halved, rounded up, so that sixteen bits hold what follows
        lines = (lines + 1) >> 1
    shift = {2: 6, 4: 8}[factor]
    return (along(lines, 3) + (1 << (shift - 1))) >> shift


def dense_vnet(network, region):
    """What kernels.DenseVNet is: whole volumes, one layer after another; int8 logits z, y, x, class."""
    scale, bias, pooled_zero = network["pool"]
    z, y, x = (side // 2 for side in region.shape)
    padded = np.pad(region.astype(np.int64), 1)
    inside = np.pad(np.ones(region.shape, np.int64), 1)
    total, count = (
        sum(volume[dz : dz + 2 * z : 2, dy : dy + 2 * y : 2, dx : dx + 2 * x : 2] for dz, dy, dx in np.ndindex(3, 3, 3))
        for volume in (padded, inside)
    )
    mean = total.astype(np.float32) * (np.float32(scale) / count.astype(np.float32)) + np.float32(bias)
    joined = [(np.clip(mean, 0, 255) + np.float32(0.5)).astype(np.int64)[None]]
    joined_zeros = [pooled_zero]

    features = _integer_convolution(region[None].astype(np.int64), [0], network["entry"], 2)
    zeros = [network["entry"][3]] * len(features)
    for level, stack in enumerate(network["stacks"]):
        for layer in stack:
            features = np.concatenate([features, _integer_convolution(features, zeros, layer)])
            zeros = zeros + [layer[3]] * (len(features) - len(zeros))
        drawn = _integer_convolution(features, zeros, network["skips"][level])
        joined.append(_upsample(drawn, 2**level) if level else drawn)
        joined_zeros += [network["skips"][level][3]] * len(drawn)
        if level < len(network["downs"]):
            down = network["downs"][level]
            features = _integer_convolution(features, zeros, down, 2)
            zeros = [down[3]] * len(features)
    last = _integer_convolution(np.concatenate(joined), joined_zeros, network["last"])
    return (last - 128).astype(np.int8).transpose(1, 2, 3, 0)
