"""Distances between two surfaces in mm: 95th percentile Hausdorff, mean surface distance, surface Dice.

A surface is made of elements, one for each cell of 2 x 2 x 2 voxel centres that lies neither all inside nor all outside
the structure: it has the place of the cell's middle, and the area of the polygons that cut the cell's edges half-way
between voxels inside and outside (marching cubes: Lorensen and Cline, SIGGRAPH 1987, doi 10.1145/37401.37422). All
figures weight an element by its area, as the definition of the surface Dice asks (Nikolov et al., J Med Internet Res
2021, doi 10.2196/26151): counting voxels instead would give oblique walls, and any wall of anisotropic voxels, a wrong
weight. Everything beyond the edge of the map is background.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from whs_fast.volume import Triple

TOLERANCES_MM = (1.0, 2.0)
PERCENTILE = 95.0
# Far below a voxel: a distance of 1 mm must count as within 1 mm, whatever its last bit.
_SLACK_MM = 1e-6
_CORNERS = tuple(product((0, 1), repeat=3))  # z, y, x; corner k sets bit k of a cell's code

Code = frozenset[int]


@dataclass(frozen=True, eq=False)
class Surface:
    """Elements of a surface: places_mm, float64[n, 3], along the map's axes z, y, x, and areas_mm2, float64[n]."""

    places_mm: NDArray[np.float64]
    areas_mm2: NDArray[np.float64]


@dataclass(frozen=True)
class SurfaceMeasures:
    """How far two surfaces lie apart.

    hd95_mm is the larger of the two directed 95th percentiles, msd_mm the mean distance over both surfaces, dice the
    share of both surfaces within each of TOLERANCES_MM of the other one.
    """

    hd95_mm: float
    msd_mm: float
    dice: tuple[float, ...]


def find_surface(mask: NDArray[np.bool_], spacing_mm: Triple, first: tuple[int, int, int] = (0, 0, 0)) -> Surface:
    """Surface of a structure; mask is bool[z, y, x], spacing_mm (x, y, z), first the index (z, y, x) of its corner."""
    padded = np.pad(mask, 1).view(np.uint8)
    codes = np.zeros([n - 1 for n in padded.shape], np.uint8)
    for bit, corner in enumerate(_CORNERS):
        z, y, x = (slice(c, c + n) for c, n in zip(corner, codes.shape, strict=True))
        codes |= padded[z, y, x] << np.uint8(bit)
    flat = codes.ravel()
    cut = np.flatnonzero((flat != 0) & (flat != 255))
    steps = spacing_mm[::-1]
    index = np.stack(np.unravel_index(cut, codes.shape), axis=1) + np.subtract(first, 0.5)
    return Surface(index * steps, _areas_mm2(steps)[flat[cut]])


def compare_surfaces(a: Surface, b: Surface) -> SurfaceMeasures:
    """Measures between two surfaces on the same map, neither empty; the order of the two does not matter."""
    weights = np.concatenate([a.areas_mm2, b.areas_mm2])
    from_a, from_b = distances_mm(a, b), distances_mm(b, a)
    both = np.concatenate([from_a, from_b])
    return SurfaceMeasures(
        max(weighted_percentile(from_a, a.areas_mm2, PERCENTILE), weighted_percentile(from_b, b.areas_mm2, PERCENTILE)),
        float(np.average(both, weights=weights)),
        tuple(float(weights[both <= limit + _SLACK_MM].sum() / weights.sum()) for limit in TOLERANCES_MM),
    )


def distances_mm(source: Surface, target: Surface) -> NDArray[np.float64]:
    """Distance, float64[n], of each of n elements of source to the nearest element of target."""
    # By a tree over the elements: exact, and without a distance map of the whole volume.
    tree = KDTree(target.places_mm, balanced_tree=False, compact_nodes=False)
    found: NDArray[np.float64] = tree.query(source.places_mm)[0]
    return found


def weighted_percentile(values: NDArray[np.float64], weights: NDArray[np.float64], percentile: float) -> float:
    """The least value at which the values up to it hold at least that percentage of the weight."""
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weights[order])
    # The last bit of the sum must not push the answer past the end, nor to the next value.
    place = np.searchsorted(share, share[-1] * percentile / 100.0 * (1.0 - 1e-12))
    return float(values[order[place]])


@lru_cache(maxsize=8)
def _areas_mm2(steps_mm: Triple) -> NDArray[np.float64]:
    """Area, float64[256], of the polygons in a cell of steps_mm (z, y, x), by the code of its corners."""
    return np.array([sum(_polygon_area(loop, steps_mm) for loop in _loops(code)) for code in range(256)])


def _loops(code: int) -> list[list[Code]]:
    """Closed polygons that part a cell's inner corners from its outer ones, as lists of the edges they cross.

    An edge is the set of its two corners. Each face that a polygon crosses joins two cut edges; following the faces
    around closes it. On a face with two opposite corners inside, each is cut off by itself; of a cell with more than
    four corners inside the outer ones are, so that a structure and what surrounds it have the same surface.
    """
    if code.bit_count() > 4:
        code = 255 - code
    joined: dict[Code, list[Code]] = {}
    for axis, side in product(range(3), (0, 1)):
        face = [k for k, corner in enumerate(_CORNERS) if corner[axis] == side]
        ring = [face[0], face[1], face[3], face[2]]
        inside = [bool(code >> corner & 1) for corner in ring]
        edges = [frozenset((ring[i], ring[(i + 1) % 4])) for i in range(4)]
        cut = [i for i in range(4) if inside[i] != inside[(i + 1) % 4]]
        if len(cut) == 4:
            # Two opposite corners inside: the edges before and after each of them belong together.
            pairs = [(edges[i - 1], edges[i]) for i in range(4) if inside[i]]
        else:
            pairs = [(edges[cut[0]], edges[cut[1]])] if cut else []
        for one, other in pairs:
            joined.setdefault(one, []).append(other)
            joined.setdefault(other, []).append(one)
    loops = []
    while joined:
        loop = [next(iter(joined))]
        before = loop[0]
        current = joined[before][0]
        while current != loop[0]:
            loop.append(current)
            neighbours = joined[current]
            before, current = current, neighbours[1] if neighbours[0] == before else neighbours[0]
        for edge in loop:
            del joined[edge]
        loops.append(loop)
    return loops


def _polygon_area(loop: list[Code], steps_mm: Triple) -> float:
    """Area of a polygon through the middles of edges, as a fan of triangles around its own middle."""
    points = np.array([np.mean([_CORNERS[corner] for corner in edge], axis=0) for edge in loop]) * steps_mm
    spokes = points - points.mean(axis=0)
    return float(np.linalg.norm(np.cross(spokes, np.roll(spokes, -1, axis=0)), axis=1).sum() / 2.0)
