"""Smooth deformations of the atlas: velocity fields drawn at random and integrated to diffeomorphisms.

Everything that changes the shape of a thorax without changing its topology is summed into one stationary velocity
field on a coarse grid, and scaling and squaring (Arsigny et al. 2006, doi 10.1007/11866565_113) turns it into a map
that can be inverted: chambers keep touching where valves are, walls stay closed, however strong the parts are. Where
the discrete map folds all the same, the field is weakened until it does not.

Millimetres are x, y, z relative to the atlas's aortic valve, arrays are indexed z, y, x. The maps go backward, from
the patient to the atlas: to grow a chamber the field points to its centre.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

SQUARINGS = 6
LEAST_JACOBIAN = 0.1  # of the map between nodes: nothing is squeezed to less than a tenth, nothing folds


@dataclass(frozen=True)
class Place:
    """Where the atlas grows and shrinks on its own: centre in mm from the valve, reach (sd of a Gaussian) in mm.

    size: bounds of the logarithm of its linear scale at the centre. stretch: sd of that along each axis, x, y, z.
    """

    centre_mm: tuple[float, float, float]
    reach_mm: float
    size: tuple[float, float]
    stretch: tuple[float, float, float] = (0.08, 0.08, 0.08)


PLACES = {
    "left ventricle": Place((28, -4, -24), 42, (-0.28, 0.45), (0.09, 0.09, 0.09)),
    "left ventricular cavity": Place((30, -4, -28), 22, (-0.35, 0.60), (0.12, 0.12, 0.12)),
    "septum": Place((14, -14, -24), 16, (-0.20, 0.20), (0.15, 0.15, 0.10)),
    "apex": Place((44, -18, -50), 20, (-0.25, 0.25)),
    "left atrium": Place((-10, 30, 7), 32, (-0.32, 0.52), (0.10, 0.12, 0.10)),
    "left appendage": Place((20, 7, 20), 13, (-0.60, 0.45), (0.15, 0.15, 0.15)),
    "right atrium": Place((-34, 7, -20), 30, (-0.32, 0.50), (0.10, 0.10, 0.12)),
    "right appendage": Place((-39, -19, -2), 14, (-0.55, 0.45), (0.15, 0.15, 0.15)),
    "right ventricle": Place((-2, -23, -22), 32, (-0.25, 0.72), (0.10, 0.12, 0.10)),
    "aortic root": Place((-2, 0, 8), 14, (-0.20, 0.25)),
    "ascending aorta": Place((-31, -4, 40), 24, (-0.28, 0.35), (0.10, 0.10, 0.25)),
    "arch": Place((-14, 15, 70), 22, (-0.25, 0.30), (0.20, 0.15, 0.20)),
    "upper descending aorta": Place((8, 74, 25), 20, (-0.35, 0.35), (0.15, 0.15, 0.10)),
    "lower descending aorta": Place((12, 77, -55), 26, (-0.35, 0.35), (0.15, 0.15, 0.10)),
    "pulmonary trunk": Place((6, -12, 30), 18, (-0.30, 0.35), (0.12, 0.12, 0.12)),
    "right pulmonary artery": Place((-42, 30, 32), 20, (-0.40, 0.35), (0.12, 0.15, 0.15)),
    "left pulmonary artery": Place((32, 32, 38), 18, (-0.40, 0.35), (0.15, 0.15, 0.15)),
    "upper SVC": Place((-58, 14, 50), 16, (-0.70, 0.35), (0.25, 0.25, 0.05)),
    "lower SVC": Place((-50, 6, 16), 14, (-0.60, 0.35), (0.20, 0.20, 0.05)),
    "coronary sinus": Place((4, 33, -25), 14, (-0.50, 0.40), (0.15, 0.15, 0.15)),
    "IVC": Place((-28, 31, -45), 16, (-0.40, 0.35), (0.15, 0.15, 0.05)),
    "left lower vein": Place((21, 46, 6), 12, (-0.40, 0.40), (0.15, 0.15, 0.15)),
    "left upper vein": Place((25, 28, 21), 12, (-0.40, 0.40), (0.15, 0.15, 0.15)),
    "right lower vein": Place((-58, 57, 0), 12, (-0.40, 0.40), (0.15, 0.15, 0.15)),
    "right upper vein": Place((-66, 26, 13), 13, (-0.40, 0.40), (0.15, 0.15, 0.15)),
}
HEART_MM = (5.0, 5.0, -5.0)  # centre of the heart, about which it turns within its thorax
HEART_REACH_MM = 62.0
DOMES_MM = ((-55.0, 0.0, -65.0), (45.0, 0.0, -70.0))  # of the diaphragm


@dataclass(frozen=True)
class ShapeRanges:
    """How far anatomies go. Lengths in mm, angles in rad; sd where it says so, else the largest magnitude.

    strength: bounds of the factor on everything that grows by itself (places and noise).
    """

    tilt_sd: float = 0.18  # of the patient, about each axis
    wild_tilt: float = 0.7  # of every eighth patient, about any axis
    heart_turn_sd: float = 0.14
    heart_shift_sd: float = 7.0
    heart_log_size_sd: float = 0.08
    chest_log_size_sd: float = 0.09
    chest_log_stretch_sd: float = 0.07
    spine_bend: float = 14.0
    dome_height_sd: float = 12.0
    strength: tuple[float, float] = (0.5, 1.15)
    noise: tuple[tuple[float, float], ...] = ((80.0, 7.0), (40.0, 3.2), (20.0, 1.1))  # node spacing, sd
    places: dict[str, Place] = field(default_factory=lambda: dict(PLACES))


def rotation(angles_rad: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles_rad):
        c, s = np.cos(angle), np.sin(angle)
        one = np.eye(3)
        i, j = [k for k in range(3) if k != axis]
        one[i, i], one[i, j], one[j, i], one[j, j] = c, -s, s, c
        matrix = one @ matrix
    return matrix


def along(matrix: torch.Tensor, volume: torch.Tensor, axis: int) -> torch.Tensor:
    """Apply matrix [m, n] along one axis (0: z, of length n) of [..., z, y, x]."""
    if axis == 2:
        return volume @ matrix.T
    if axis == 1:
        return matrix @ volume
    return (matrix @ volume.flatten(-2)).unflatten(-1, volume.shape[-2:])


def stretch(
    coarse: torch.Tensor, shape: tuple[int, ...], steps: tuple[float, float, float] | None = None
) -> torch.Tensor:
    """Linear interpolation of [c, z, y, x] to [c, *shape], one axis after the other.

    steps: coarse nodes an output voxel, from the first node on; without them first and last voxels fall on first and
    last nodes. As products with banded matrices this takes a fraction of torch's own trilinear interpolation.
    """
    out = coarse
    for axis in (2, 1, 0):
        nodes, count = coarse.shape[axis + 1], shape[axis]
        step = (nodes - 1) / max(count - 1, 1) if steps is None else steps[axis]
        place = torch.arange(count, dtype=torch.float64) * step
        weights = (1 - (place[:, None] - torch.arange(nodes)).abs()).clamp_min_(0).float()
        out = along(weights, out, axis)
    return out


def smooth_noise(
    shape: tuple[int, ...], nodes: tuple[int, ...], generator: torch.Generator, channels: int = 1
) -> torch.Tensor:
    """Noise of unit variance at its `nodes`, interpolated to `shape`: float32 [1, channels, z, y, x]."""
    return stretch(torch.randn((channels, *nodes), generator=generator), shape)[None]


def torch_generator(rng: np.random.Generator) -> torch.Generator:
    return torch.Generator().manual_seed(int(rng.integers(2**62)))


def draw_velocity(
    rng: np.random.Generator, generator: torch.Generator, points: torch.Tensor, node_mm: float, ranges: ShapeRanges
) -> torch.Tensor:
    """A random velocity field in mm, float32 [3, z, y, x], on `points`: mm from the valve [3, z, y, x]."""
    nodes = tuple(points.shape[1:])
    strength = rng.uniform(*ranges.strength)
    velocity = torch.zeros(3, *nodes)
    for spacing, amplitude in ranges.noise:
        count = tuple(int(np.ceil((n - 1) * node_mm / spacing)) + 1 for n in nodes)
        velocity += strength * amplitude * smooth_noise(nodes, count, generator, 3)[0]
    velocity = F.avg_pool3d(velocity, 3, 1, 1, count_include_pad=False)  # no creases at the noise's own nodes

    for place in ranges.places.values():
        change = np.diag(rng.uniform(*place.size) + rng.normal(0, 1, 3) * place.stretch) + rng.normal(0, 0.05, (3, 3))
        _add_linear(velocity, points, -strength * change, np.zeros(3), place.centre_mm, place.reach_mm)
    x, y, z = rng.normal(0, ranges.heart_turn_sd, 3)
    turn = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) - np.eye(3) * rng.normal(0, ranges.heart_log_size_sd)
    _add_linear(velocity, points, turn, rng.normal(0, ranges.heart_shift_sd, 3), HEART_MM, HEART_REACH_MM)
    for dome in DOMES_MM:
        lift = np.array([0, 0, rng.normal(0, ranges.dome_height_sd)])
        _add_linear(velocity, points, np.zeros((3, 3)), lift, dome, 45.0)
    for axis in (0, 1):  # scoliosis and kyphosis
        wave = torch.sin(points[2] * float(2 * np.pi / rng.uniform(220, 450)) + float(rng.uniform(0, 2 * np.pi)))
        velocity[axis] += float(rng.uniform(0, ranges.spine_bend)) * wave
    return velocity


def _add_linear(
    velocity: torch.Tensor,
    points: torch.Tensor,
    matrix: NDArray[np.float64],
    shift: NDArray[np.float64],
    centre: tuple[float, float, float],
    reach_mm: float,
) -> None:
    """Add (matrix @ (p - centre) + shift), faded by a Gaussian, to velocity [3, z, y, x]."""
    away = points - torch.tensor(centre, dtype=points.dtype)[:, None, None, None]
    fade = (away.square().sum(0) * (-0.5 / reach_mm**2)).exp_()
    linear = torch.from_numpy(matrix).float() @ away.flatten(1) + torch.from_numpy(shift).float()[:, None]
    velocity += fade * linear.unflatten(1, points.shape[1:])


def integrate(velocity: torch.Tensor, node_mm: float) -> torch.Tensor:
    """Displacement in mm of the flow of `velocity` over unit time, both float32 [3, z, y, x] on the same nodes."""
    moved = (velocity / 2**SQUARINGS)[None]
    shape = torch.tensor(velocity.shape[:0:-1], dtype=torch.float32)
    axes = [torch.linspace(-1, 1, n) for n in velocity.shape[1:]]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    identity = torch.stack([x, y, z], -1)[None]
    to_unit = 2 / (node_mm * (shape - 1))
    for _ in range(SQUARINGS):
        grid = identity + moved.permute(0, 2, 3, 4, 1) * to_unit
        moved = moved + F.grid_sample(moved, grid, padding_mode="border", align_corners=True)
    return moved[0]


def least_jacobian(displacement: torch.Tensor, node_mm: float) -> float:
    """Smallest determinant of the map x + displacement over the cells of its grid, by forward differences."""
    inner = displacement[:, :-1, :-1, :-1]
    columns = [
        (displacement[:, :-1, :-1, 1:] - inner) / node_mm,
        (displacement[:, :-1, 1:, :-1] - inner) / node_mm,
        (displacement[:, 1:, :-1, :-1] - inner) / node_mm,
    ]
    a, b, c = (column + torch.eye(3)[axis][:, None, None, None] for axis, column in enumerate(columns))
    return float((torch.linalg.cross(a, b, dim=0) * c).sum(0).min())


def draw_displacement(
    rng: np.random.Generator, points: torch.Tensor, node_mm: float, ranges: ShapeRanges
) -> torch.Tensor:
    """A random displacement in mm that can be inverted: float32 [3, z, y, x] on `points` (mm from the valve)."""
    velocity = draw_velocity(rng, torch_generator(rng), points, node_mm, ranges)
    while least_jacobian(displacement := integrate(velocity, node_mm), node_mm) < LEAST_JACOBIAN:
        velocity = velocity * 0.8
    return displacement
