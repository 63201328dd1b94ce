"""The planes that pictures and pages show: the body's three, and those of the heart's own axes.

The heart's axes come from the centres of the mitral, tricuspid and aortic valve and the apex of the left ventricle, and
are laid out as cardiologists see them: apex above in the long axes, the left ventricle on the right of the four-chamber
and short-axis view, the short axis seen from the apex, the aortic valve from the aorta.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast import _kernels
from whs_fast.steps.region import REACH_MM
from whs_fast.structures import BY_KEY, CHAMBERS
from whs_fast.valves.contours import Plane, Points
from whs_fast.volume import Grid, Triple, index_map

LEAST_MM = 45.0  # shown on either side of the valve, however small the labels are
_COARSE_MM = 4.0
_MARGIN_MM = 15.0
_VALVE_SIDE_MM = 80.0
_ABOVE_VALVE_MM = 2.0  # in its very plane two labels meet, and contours would be of noise
_ENDS = (("L", "R"), ("P", "A"), ("H", "F"))  # towards which x, y and z grow, and away from it
_CHAMBERS = [BY_KEY[key].label for key in CHAMBERS]
_VENTRICLE = [BY_KEY[key].label for key in ("left_ventricle_cavity", "left_ventricle_myocardium")]


@dataclass(frozen=True, eq=False)
class View:
    """A square image through the patient: its centre (x, y, z in mm, LPS), the unit vectors to its right and downwards,
    and its side in mm."""

    name: str
    centre_mm: Points
    across: Points
    down: Points
    side_mm: float

    @property
    def normal(self) -> Points:
        """Away from the reader."""
        return np.cross(self.across, self.down)

    @property
    def letters(self) -> tuple[str, str, str, str]:
        """What lies at the left, right, top and bottom of the image: R, L, A, P, H or F, whichever is nearest."""
        right, bottom = _letter(self.across), _letter(self.down)
        return _letter(-self.across), right, _letter(-self.down), bottom

    def grid(self, pixels: int) -> Grid:
        """The image's pixels as a grid of one plane, [1, pixels, pixels]."""
        step = self.side_mm / pixels
        origin = self.centre_mm - (self.across + self.down) * step * (pixels - 1) / 2
        a, b, c, d, e, f, g, h, i = np.stack([self.across, self.down, self.normal], 1).ravel().tolist()
        return Grid((1, pixels, pixels), (step,) * 3, tuple(origin.tolist()), (a, b, c, d, e, f, g, h, i))

    def place(self, point_mm: Points) -> tuple[float, float]:
        """Where a point appears, as shares of the side from the left and from the top."""
        x, y = (float((point_mm - self.centre_mm) @ axis) / self.side_mm + 0.5 for axis in (self.across, self.down))
        return x, y


@dataclass(frozen=True, eq=False)
class Seen:
    """A coarse look at the labels around the valve, upright: all that choosing views needs."""

    labels: NDArray[np.uint8]
    grid: Grid

    @cached_property
    def bounds_mm(self) -> tuple[Points, Points]:
        """Lowest and highest (x, y, z) of what is worth showing: the labels with a margin, and LEAST_MM around the
        valve, which lies in the middle."""
        middle = np.mean(self.grid.box_mm, axis=0)
        low, high = middle - LEAST_MM, middle + LEAST_MM
        first = np.subtract(self.grid.origin_mm, _COARSE_MM / 2)
        for axis in range(3):
            present = np.flatnonzero(self.labels.any(axis=tuple(other for other in range(3) if other != 2 - axis)))
            if len(present):
                low[axis] = min(low[axis], first[axis] + present[0] * _COARSE_MM - _MARGIN_MM)
                high[axis] = max(high[axis], first[axis] + (present[-1] + 1) * _COARSE_MM + _MARGIN_MM)
        return low, high

    @cached_property
    def chambers(self) -> tuple[Points, NDArray[np.uint8]]:
        """Centres (x, y, z) of the voxels of the chambers and the myocardium, and their labels."""
        wanted = np.zeros(256, bool)
        wanted[_CHAMBERS] = True
        places = np.nonzero(wanted[self.labels])
        return np.stack(places[::-1], 1) * _COARSE_MM + np.asarray(self.grid.origin_mm), self.labels[places]


def look(labels: NDArray[np.uint8], grid: Grid, valve_mm: Triple, *, threads: int) -> Seen:
    """The coarse look at labels, uint8[z, y, x] on grid, as far as the region around the valve reaches."""
    x, y, z = (2 * np.asarray(REACH_MM) / _COARSE_MM).astype(int).tolist()
    first = np.subtract(valve_mm, REACH_MM) + _COARSE_MM / 2
    coarse = Grid((z, y, x), (_COARSE_MM,) * 3, tuple(first.tolist()))
    seen = np.empty(coarse.shape, np.uint8)
    _kernels.resample_nearest(labels, seen, index_map(coarse, grid), 0, threads=threads)
    return Seen(seen, coarse)


def body_views(seen: Seen, valve_mm: Triple) -> list[View]:
    """Axial from the feet, coronal from the front, sagittal from the left, through the valve and on one scale."""
    low, high = seen.bounds_mm
    x, y, z = np.eye(3)
    side = float((high - low).max())
    views = []
    for name, across, down in (("Axial", x, y), ("Coronal", x, -z), ("Sagittal", y, -z)):
        inside = np.abs(across) + np.abs(down) > 0
        views.append(View(name, np.where(inside, (low + high) / 2, valve_mm), across, down, side))
    return views


def heart_views(seen: Seen, valves: Mapping[str, Any]) -> list[View]:
    """Four-chamber, three-chamber, short axis and aortic valve, as far as the planes of the valves let them be laid.

    valves is the entry of measurements.json.
    """
    centres = {name: np.array(one["centre_mm"]) for name, one in valves.items() if "centre_mm" in one}
    views = []
    mitral = centres.get("mitral")
    apex = None if mitral is None else _apex(seen, mitral)
    if mitral is not None and apex is not None:
        axis = (apex - mitral) / np.linalg.norm(apex - mitral)
        for name, other, sign in (("Four-chamber", "tricuspid", -1.0), ("Three-chamber", "aortic", 1.0)):
            if other in centres:
                across = _beside(sign * (centres[other] - mitral), axis)
                views.append(_framed(name, (apex + mitral) / 2, across, -axis, seen))
        if "tricuspid" in centres:
            across = _beside(mitral - centres["tricuspid"], axis)
            views.append(_framed("Short axis", (apex + mitral) / 2, across, np.cross(-axis, across), seen))
    if "aortic" in centres:
        plane = Plane.through(centres["aortic"], np.array(valves["aortic"]["normal"])).moved(_ABOVE_VALVE_MM)
        views.append(View("Aortic valve", plane.centre_mm, plane.across, -plane.along, _VALVE_SIDE_MM))
    return views


def _apex(seen: Seen, mitral_mm: Points) -> Points | None:
    """The middle of the hundredth of the left ventricle farthest from its inlet; None where it has no length."""
    points, labels = seen.chambers
    ventricle = points[np.isin(labels, _VENTRICLE)]
    away = np.linalg.norm(ventricle - mitral_mm, axis=1)
    if not len(away) or away.max() < _COARSE_MM:
        return None
    return np.asarray(ventricle[away >= np.quantile(away, 0.99)].mean(axis=0))


def _beside(towards: Points, axis: Points) -> Points:
    """The unit vector at a right angle to the axis that comes nearest to a direction."""
    across = towards - (towards @ axis) * axis
    length = float(np.linalg.norm(across))
    return across / length if length > 1e-6 else Plane.through(axis, axis).across


def _framed(name: str, centre: Points, across: Points, down: Points, seen: Seen) -> View:
    """The view through a point, moved and sized in its plane to show all that it cuts of the chambers."""
    away = seen.chambers[0] - centre
    away = away[np.abs(away @ np.cross(across, down)) < _COARSE_MM]
    flat = np.stack([away @ across, away @ down], 1) if len(away) else np.zeros((1, 2))
    low, high = flat.min(0) - _MARGIN_MM, flat.max(0) + _MARGIN_MM
    x, y = (low + high) / 2
    return View(name, centre + x * across + y * down, across, down, max(float((high - low).max()), 2 * LEAST_MM))


def _letter(direction: Points) -> str:
    axis = int(np.argmax(np.abs(direction)))
    return _ENDS[axis][0 if direction[axis] > 0 else 1]
