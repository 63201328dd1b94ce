"""Signed distance fields of simple shapes on an axis-aligned lattice: what the parametric heart is built from.

A field is a float32 tensor [z, y, x] of millimetres, negative inside. Distances are right near a surface and only
roughly so far from it, which is all that unions, cuts and walls need. Smooth unions follow the usual polynomial blend.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

FAR_MM = 45.0  # a tube is not evaluated farther away than its reach; fields start at this value

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Lattice:
    """Nodes at multiples of `step_mm`: first node (x, y, z) in mm, shape z, y, x."""

    first_mm: tuple[float, float, float]
    shape: tuple[int, int, int]
    step_mm: float

    def axis(self, which: int) -> torch.Tensor:
        """Coordinates in mm of the nodes along x (0), y (1) or z (2), float32, shaped to broadcast."""
        nodes = self.first_mm[which] + self.step_mm * torch.arange(self.shape[2 - which], dtype=torch.float32)
        return nodes.reshape([-1 if axis == 2 - which else 1 for axis in range(3)])

    def along(self, centre: Vector, direction: Vector) -> torch.Tensor:
        """(p - centre) . direction at every node."""
        x, y, z = (float(d) * (self.axis(i) - float(c)) for i, (d, c) in enumerate(zip(direction, centre, strict=True)))
        return x + y + z

    def part(self, span: tuple[slice, slice, slice]) -> "Lattice":
        first = [f + self.step_mm * s.start for f, s in zip(self.first_mm, span[::-1], strict=True)]
        depth, height, width = (s.stop - s.start for s in span)
        return Lattice((first[0], first[1], first[2]), (depth, height, width), self.step_mm)

    def around(self, centre: Vector, radius_mm: float) -> torch.Tensor:
        """Distance of every node from a ball, negative inside."""
        return sum((self.axis(i) - float(c)).square() for i, c in enumerate(centre)).sqrt() - radius_mm  # type: ignore[union-attr]

    def start(self) -> torch.Tensor:
        return torch.full(self.shape, FAR_MM)


def lattice_around(low_mm: Vector, high_mm: Vector, step_mm: float) -> Lattice:
    """The lattice that covers a box with a node to spare on each side."""
    first, last = np.floor(low_mm / step_mm) - 1, np.ceil(high_mm / step_mm) + 1
    count = (last - first + 1).astype(int)
    x, y, z = (float(f) for f in first * step_mm)
    return Lattice((x, y, z), (int(count[2]), int(count[1]), int(count[0])), step_mm)


@dataclass(frozen=True)
class Tube:
    """A polyline [n, 3] in mm with a radius [n] at each point: a chain of round cones."""

    points: Vector
    radii: Vector


def curve(points: list[Vector], radii: list[float], step_mm: float = 5.0) -> Tube:
    """A tube along the Catmull-Rom spline through `points` (centripetal enough for evenly set points)."""
    control = np.concatenate([np.stack(points), np.asarray(radii, float)[:, None]], 1)
    control = np.concatenate([2 * control[:1] - control[1:2], control, 2 * control[-1:] - control[-2:-1]])
    out = []
    for i in range(1, len(control) - 2):
        before, start, end, after = control[i - 1 : i + 3]
        count = max(1, int(np.ceil(np.linalg.norm((end - start)[:3]) / step_mm)))
        t = (np.arange(count) / count)[:, None]
        out.append(
            0.5 * (2 * start + (end - before) * t + (2 * before - 5 * start + 4 * end - after) * t**2
                   + (3 * start - before - 3 * end + after) * t**3)
        )  # fmt: skip
    out.append(control[-2:-1])
    chain = np.concatenate(out)
    return Tube(chain[:, :3], np.maximum(chain[:, 3], 0.4))


def span_of(lattice: Lattice, low: Vector, high: Vector) -> tuple[slice, slice, slice] | None:
    slices = []
    for axis in (2, 1, 0):
        start = int(np.floor((low[axis] - lattice.first_mm[axis]) / lattice.step_mm))
        stop = int(np.ceil((high[axis] - lattice.first_mm[axis]) / lattice.step_mm)) + 1
        start, stop = max(0, start), min(lattice.shape[2 - axis], stop)
        if start >= stop:
            return None
        slices.append(slice(start, stop))
    return slices[0], slices[1], slices[2]


def add_tube(field: torch.Tensor, lattice: Lattice, tube: Tube, *, reach_mm: float = 20.0) -> torch.Tensor:
    """Union of a field and a tube, in place. Farther than `reach_mm` from the tube the field stays as it is."""
    for start, end, r0, r1 in zip(tube.points[:-1], tube.points[1:], tube.radii[:-1], tube.radii[1:], strict=True):
        margin = max(r0, r1) + reach_mm
        span = span_of(lattice, np.minimum(start, end) - margin, np.maximum(start, end) + margin)
        if span is None:
            continue
        offset = [lattice.axis(i)[tuple(span[k] if k == 2 - i else slice(None) for k in range(3))] - float(start[i])
                  for i in range(3)]  # fmt: skip
        towards = end - start
        t = sum(o * float(d) for o, d in zip(offset, towards, strict=True)) / max(float(towards @ towards), 1e-6)
        t = t.clamp_(0, 1)  # type: ignore[union-attr]
        square = sum((o - t * float(d)).square_() for o, d in zip(offset, towards, strict=True))
        distance = square.sqrt_() - (float(r0) + t * float(r1 - r0))  # type: ignore[union-attr]
        field[span] = torch.minimum(field[span], distance)
    return field


def tube(lattice: Lattice, *tubes: Tube, reach_mm: float = 20.0) -> torch.Tensor:
    """Union of tubes."""
    field = lattice.start()
    for one in tubes:
        add_tube(field, lattice, one, reach_mm=reach_mm)
    return field


def ellipsoid(
    lattice: Lattice,
    centre: Vector,
    axes: Vector,
    semi_mm: Vector,
    backward_mm: float | None = None,
) -> torch.Tensor:
    """An ellipsoid with unit axes in the rows of `axes`; `backward_mm`: another semi-axis for the negative third.

    Farther than FAR_MM from its box the field is FAR_MM.
    """
    field = lattice.start()
    longest = np.array([*semi_mm[:2], max(semi_mm[2], backward_mm or 0.0)])
    reach = np.sqrt(((axes * longest[:, None]) ** 2).sum(0)) + FAR_MM
    span = span_of(lattice, centre - reach, centre + reach)
    if span is None:
        return field
    part = lattice.part(span)
    q = [part.along(centre, axis) for axis in axes]
    semi: list[float | torch.Tensor] = [float(s) for s in semi_mm]
    if backward_mm is not None:
        semi[2] = torch.where(q[2] > 0, float(semi_mm[2]), float(backward_mm))
    first, second = torch.zeros(part.shape), torch.zeros(part.shape)
    for along, size in zip(q, semi, strict=True):
        scaled = along / size
        first += scaled.square()
        second += (scaled / size).square_()
    first.sqrt_()
    field[span] = (first * (first - 1) / second.sqrt_().clamp_(min=1e-6)).clamp_(max=FAR_MM)
    return field


def smooth_union(one: torch.Tensor, other: torch.Tensor, blend_mm: float) -> torch.Tensor:
    near = (blend_mm - (one - other).abs()).clamp_(min=0)
    return torch.minimum(one, other) - near.square_() / (4 * blend_mm)


def plane(lattice: Lattice, centre: Vector, normal: Vector) -> tuple[torch.Tensor, torch.Tensor]:
    """Height of every node above a plane, and its distance from the axis through `centre`."""
    height = lattice.along(centre, normal)
    square = sum((lattice.axis(i) - float(c)).square() for i, c in enumerate(centre))
    return height, (square - height.square()).clamp_(min=0).sqrt_()


def carve(field: torch.Tensor, other: torch.Tensor, gap_mm: float = 0.0) -> torch.Tensor:
    """What is farther than `gap_mm` from `other`."""
    return torch.maximum(field, gap_mm - other)


def volume_ml(field: torch.Tensor, lattice: Lattice) -> float:
    """Volume inside, with the share of the nodes' cells that the surface cuts."""
    return float((0.5 - field / lattice.step_mm).clamp(0, 1).sum()) * lattice.step_mm**3 / 1000
