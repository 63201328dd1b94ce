"""Closed contours in a plane: what planners read from an annulus, and planes to lay them in."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whs_fast.volume import Triple

Points = NDArray[np.float64]

DIRECTIONS = 180  # in which a contour's diameter is looked for, 1 degree apart


@dataclass(frozen=True)
class Plane:
    """A plane in the patient: a point in it and its unit normal, mm, LPS; two unit vectors in it, right-handed."""

    centre_mm: Points
    normal: Points
    across: Points
    along: Points

    @classmethod
    def through(cls, centre_mm: Points, normal: Points) -> "Plane":
        """The plane through a point with this normal, of any length; its first axis points to the patient's left."""
        normal = normal / np.linalg.norm(normal)
        left = np.array([1.0, 0.0, 0.0]) if abs(normal[0]) < 0.9 else np.array([0.0, 0.0, 1.0])
        across = left - (left @ normal) * normal
        across /= np.linalg.norm(across)
        return cls(centre_mm, normal, across, np.cross(normal, across))

    def moved(self, mm: float) -> "Plane":
        """The parallel plane so many mm onwards along the normal."""
        return Plane(self.centre_mm + mm * self.normal, self.normal, self.across, self.along)

    def turned(self, angle: float) -> "Plane":
        """The same plane, its two axes turned by an angle (rad)."""
        across = np.cos(angle) * self.across + np.sin(angle) * self.along
        return Plane(self.centre_mm, self.normal, across, np.cross(self.normal, across))

    @property
    def frame(self) -> Points:
        """Matrix [4, 4] that takes places (across, along, over the plane, 1) to points (x, y, z, 1), mm, LPS."""
        frame = np.eye(4)
        frame[:3] = np.stack([self.across, self.along, self.normal, self.centre_mm], -1)
        return frame

    def height(self, points_mm: Points) -> Points:
        """Signed distance of points [..., 3] from the plane, mm."""
        return np.asarray((points_mm - self.centre_mm) @ self.normal)

    def flat(self, points_mm: Points) -> Points:
        """Coordinates [..., 2] in the plane of points [..., 3]."""
        return np.stack([(points_mm - self.centre_mm) @ self.across, (points_mm - self.centre_mm) @ self.along], -1)

    def lift(self, flat: Points) -> Points:
        """Points [..., 3] in mm, LPS, of coordinates [..., 2] in the plane."""
        return np.asarray(self.centre_mm + flat[..., :1] * self.across + flat[..., 1:] * self.along)


@dataclass(frozen=True)
class Shape:
    """Sizes of a closed contour: area in mm2, perimeter, least and greatest diameter through its centre in mm."""

    area_mm2: float
    perimeter_mm: float
    dmin_mm: float
    dmax_mm: float
    centre: Points  # [2], in the plane

    @property
    def area_diameter_mm(self) -> float:
        """Diameter of the circle of the same area."""
        return float(2 * np.sqrt(self.area_mm2 / np.pi))


def measure_contour(flat: Points) -> Shape:
    """Sizes of the polygon [n, 2], mm, whose corners go around once."""
    onwards = np.roll(flat, -1, 0)
    cross = flat[:, 0] * onwards[:, 1] - onwards[:, 0] * flat[:, 1]
    area = cross.sum() / 2
    centre = ((flat + onwards) * cross[:, None]).sum(0) / (6 * area)
    away = flat - centre
    angles = np.unwrap(np.arctan2(away[:, 1], away[:, 0]))
    if angles[-1] < angles[0]:
        angles, away = angles[::-1], away[::-1]
    radii = np.linalg.norm(away, axis=1)
    turns = np.arange(2 * DIRECTIONS) * np.pi / DIRECTIONS + angles[0]
    radius = np.interp(turns, np.r_[angles, angles[0] + 2 * np.pi], np.r_[radii, radii[0]])
    diameters = radius[:DIRECTIONS] + radius[DIRECTIONS:]
    return Shape(
        float(abs(area)),
        float(np.linalg.norm(onwards - flat, axis=1).sum()),
        float(diameters.min()),
        float(diameters.max()),
        centre,
    )


def describe_shape(shape: Shape) -> dict[str, float]:
    """Sizes of a contour as they stand in measurements.json."""
    return {
        "area_mm2": round(shape.area_mm2, 1),
        "perimeter_mm": round(shape.perimeter_mm, 1),
        "area_diameter_mm": round(shape.area_diameter_mm, 1),
        "perimeter_diameter_mm": round(shape.perimeter_mm / np.pi, 1),
        "dmin_mm": round(shape.dmin_mm, 1),
        "dmax_mm": round(shape.dmax_mm, 1),
        "eccentricity": round(1 - shape.dmin_mm / shape.dmax_mm, 2),
    }


def rounded(point_mm: Points, digits: int = 2) -> Triple:
    """A point or a vector as it stands in measurements.json."""
    x, y, z = (round(float(v), digits) + 0.0 for v in point_mm)
    return x, y, z
