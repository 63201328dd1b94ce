"""Blood inside meshes of hearts: shells of tissue without caps become masks of voxels. For male_labels.py.

A face belongs to the sheet at the blood where most rays from in front of it meet its own shell. The winding number of
those sheets alone (Jacobson et al. 2013, doi 10.1145/2461912.2461916), which is a potential of their normals, tells
blood from the rest and closes what is open. Millimetres are x, y, z in LPS, arrays indexed z, y, x.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from training.parametric_shapes import Vector

Mask = NDArray[np.bool_]

STEP_MM = 0.8
LOW_MM, HIGH_MM = np.array([-66.0, -106.0, 398.0]), np.array([98.0, 62.0, 640.0])  # the vessels below are drawn
SHAPE = tuple(int(n) for n in np.ceil((HIGH_MM - LOW_MM) / STEP_MM)[::-1])
LOOK_MM = 2.2  # from a face, to see whether it lies at blood


def sample_surface(triangles: Vector) -> tuple[Vector, Vector]:
    """Points [n, 3] at most half a voxel apart on triangles, and the normal at each, as long as its share of area."""
    longest = np.linalg.norm(triangles - np.roll(triangles, 1, axis=1), axis=2).max(1)
    parts = np.maximum(1, np.ceil(longest / STEP_MM * 2)).astype(int)
    first, *sides = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    normal = 0.5 * np.cross(*sides)
    points, normals = [], []
    for k in np.unique(parts):
        i, j = np.indices((k, k))
        up, down = i + j < k, i + j < k - 1
        u = np.r_[i[up] + 1 / 3, i[down] + 2 / 3][:, None] / k
        v = np.r_[j[up] + 1 / 3, j[down] + 2 / 3][:, None] / k
        here = parts == k
        points.append((first[here, None] + u * sides[0][here, None] + v * sides[1][here, None]).reshape(-1, 3))
        normals.append(np.repeat(normal[here] / k**2, k * k, axis=0))
    return np.concatenate(points), np.concatenate(normals)


def box_of(points: Vector, pad: int = 8) -> tuple[slice, slice, slice]:
    low = np.maximum(0, np.floor((points.min(0) - LOW_MM) / STEP_MM).astype(int) - pad)[::-1]
    high = np.minimum(SHAPE, np.ceil((points.max(0) - LOW_MM) / STEP_MM).astype(int)[::-1] + pad + 1)
    z, y, x = (slice(int(a), max(int(a) + 1, int(b))) for a, b in zip(low, high, strict=True))
    return z, y, x


def voxels_of(points: Vector) -> Mask:
    """Voxels in which points lie."""
    out = np.zeros(SHAPE, bool)
    place = np.rint((points.reshape(-1, 3) - LOW_MM)[:, ::-1] / STEP_MM).astype(int)
    out[tuple(place[((place >= 0) & (place < SHAPE)).all(1)].T)] = True
    return out


def winding(points: Vector, normals: Vector) -> NDArray[np.float32]:
    """How often a surface, given by samples of it, winds around each voxel: [z, y, x], 0 far from it.

    Its gradient is that of the normals' potential but on the surface, so one Poisson equation gives it everywhere.
    """
    box = box_of(points)
    shape = tuple(s.stop - s.start for s in box)
    padded = tuple(fft.next_fast_len(int(1.6 * n) + 8, real=True) for n in shape)  # against its periodic images
    place = (points - LOW_MM) / STEP_MM - [s.start for s in box[::-1]]
    node = np.floor(place).astype(int)
    density = np.zeros((3, int(np.prod(padded))))
    for corner in np.ndindex(2, 2, 2):
        share = np.where(corner, place - node, 1 - place + node).prod(1)
        there = node + corner
        inside = ((there >= 0) & (there < shape[::-1])).all(1)
        index = np.ravel_multi_index(tuple(there[inside, ::-1].T), padded)
        for axis in range(3):
            density[axis] += np.bincount(index, (share * normals[:, axis])[inside], density.shape[1]) / STEP_MM**3
    z, y = (2 * np.pi * fft.fftfreq(n, STEP_MM) for n in padded[:2])
    waves = np.meshgrid(z, y, 2 * np.pi * fft.rfftfreq(padded[2], STEP_MM), indexing="ij", sparse=True)
    square = sum(wave**2 for wave in waves)
    square[0, 0, 0] = 1
    spectrum = sum(1j * waves[2 - axis] / square * fft.rfftn(density[axis].reshape(padded)) for axis in range(3))
    field = np.zeros(SHAPE, np.float32)
    field[box] = fft.irfftn(spectrum, padded)[tuple(slice(n) for n in shape)]
    return field


def enclosure(surface: Mask) -> NDArray[np.float32]:
    """Share of the 26 directions in which each voxel's ray meets a surface."""
    met = np.zeros(surface.shape, np.float32)
    for direction in (np.array(d) - 1 for d in np.ndindex(3, 3, 3) if d != (1, 1, 1)):
        axis = int(np.flatnonzero(direction)[0])
        along, sign = np.moveaxis(surface, axis, 0), int(direction[axis])
        aside = np.delete(direction, axis)
        to = tuple(slice(max(0, -d), n - max(0, d)) for d, n in zip(aside, along.shape[1:], strict=True))
        of = tuple(slice(max(0, d), n - max(0, -d)) for d, n in zip(aside, along.shape[1:], strict=True))
        ray = np.zeros_like(along)
        for layer in range(len(along) - 2, -1, -1) if sign > 0 else range(1, len(along)):
            ray[layer][to] = (along[layer + sign] | ray[layer + sign])[of]
        met += np.moveaxis(ray, 0, axis)
    return met / 26


def cavity(*shells: Vector) -> tuple[Mask, Mask]:
    """Blood inside shells of tissue, and their tissue."""
    points, normals = sample_surface(np.concatenate(shells))
    box = box_of(points)
    met = enclosure(ndimage.binary_dilation(voxels_of(points)[box]))
    ahead = points + normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12) * LOOK_MM
    place = (ahead - LOW_MM)[:, ::-1] / STEP_MM - [s.start for s in box]
    inner = ndimage.map_coordinates(met, place.T, order=1, mode="nearest") > 0.6
    return winding(points[inner], -normals[inner]) > 0.5, winding(points, normals) > 0.5


def solid(*shells: Vector) -> Mask:
    """What lies inside shells that are one sheet."""
    return np.any([np.abs(winding(*sample_surface(shell))) > 0.5 for shell in shells], axis=0)
