"""What spoils cardiac CT: streaks, metal, calcium, pacemaker leads, motion, steps between heart beats, effusion.

All is painted over tissues or Hounsfield units on the grid at hand and asks nothing of where the tissues came from, so
it suits the atlas heart and any other. Volumes are indexed z, y, x; spacings are x, y, z in mm. What lies in a chamber
(a lead, calcium) keeps the chamber's label.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from training.deformation import along, stretch

LA, LVC, LVM, AO, SVC, RA, RVC, LUNG = 2, 3, 4, 5, 7, 8, 9, 17
STRIDE = 4  # structures are looked for on every 4th voxel

Spacing = tuple[float, float, float]


def shift_slabs(tissues: torch.Tensor, spacing_mm: Spacing, rng: np.random.Generator) -> torch.Tensor:
    """Misregistered steps: slabs of 15 to 45 mm, one for each heart beat, moved in plane by up to 3 mm."""
    out = tissues.clone()
    first = int(rng.integers(1, max(2, int(30 / spacing_mm[2]))))
    while first < tissues.shape[0]:
        last = first + max(2, int(rng.uniform(15, 45) / spacing_mm[2]))
        for axis in (1, 2):
            move, count = round(rng.normal(0, 1.5) / spacing_mm[2 - axis]), tissues.shape[axis]
            out[first:last] = out[first:last].index_select(axis, (torch.arange(count) - move).clamp_(0, count - 1))
        first = last
    return out


def blur_motion(image: torch.Tensor, spacing_mm: Spacing, rng: np.random.Generator, generator: torch.Generator) -> None:
    """Double contours of a heart that moved by up to 4 mm while it was seen, here more and there less; in place."""
    moves = [round(m / s) for m, s in zip(rng.normal(0, [2.0, 2.0, 1.5]), spacing_mm, strict=True)]
    weight = torch.randn((1, 4, 4, 4), generator=generator)
    share = stretch(weight, tuple(image.shape))[0].mul_(2).sigmoid_().mul_(float(rng.uniform(0.3, 0.6)))
    image.lerp_(torch.roll(image, moves, (2, 1, 0)), share)


def add_streaks(
    image: torch.Tensor,
    centre_yx: tuple[float, float],
    rows: torch.Tensor,
    amplitude_hu: float,
    spacing_mm: Spacing,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> None:
    """Dark and bright rays in axial planes from a dense object, weaker with distance; in place.

    rows: how strongly each slice is struck, float32 [z].
    """
    y = (torch.arange(image.shape[1]) - centre_yx[0])[:, None] * spacing_mm[1]
    x = (torch.arange(image.shape[2]) - centre_yx[1])[None] * spacing_mm[0]
    radius = (y.square() + x.square()).sqrt()
    angle = torch.atan2(y, x).add_(np.pi).div_(2 * np.pi)
    fade = amplitude_hu * (1 - torch.exp(-radius / 6)) * torch.exp(-radius / float(rng.uniform(15, 60)))
    count = int(rng.integers(16, 90))
    for _ in range(2):  # two sets of rays that come and go along z
        rays = torch.randn(count + 1, generator=generator) - 0.2
        rays[-1] = rays[0]
        place = angle * count
        low = place.floor().clamp_max_(count - 1).long()
        plane = torch.lerp(rays[low], rays[low + 1], place - low) * fade
        nodes = max(2, int(image.shape[0] * spacing_mm[2] / 12))
        come = stretch(torch.randn((1, nodes, 1, 1), generator=generator), (image.shape[0], 1, 1))[0]
        image.addcmul_(come * rows[:, None, None], plane[None])


def streaks_of_dense_blood(
    image: torch.Tensor,
    tissues: torch.Tensor,
    excess_hu: float,
    spacing_mm: Spacing,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> None:
    """Streaks from a superior vena cava that is `excess_hu` denser than what a scanner copes with; in place."""
    found = _coarse_points(tissues, (SVC,))
    if len(found) < 3:
        return
    centre = found.mean(0)
    rows = torch.zeros(tissues.shape[0])
    rows[max(0, int(found[:, 0].min())) : int(found[:, 0].max()) + STRIDE] = 1
    amplitude = float(min(250.0, rng.uniform(0.05, 0.3) * excess_hu))
    add_streaks(image, (centre[1], centre[2]), rows, amplitude, spacing_mm, rng, generator)


def _coarse_points(tissues: torch.Tensor, labels: tuple[int, ...]) -> NDArray[np.float64]:
    """Indices (z, y, x) of every STRIDE-th voxel that has one of the labels: [n, 3]."""
    coarse = tissues[::STRIDE, ::STRIDE, ::STRIDE]
    wanted = torch.isin(coarse, torch.tensor(labels, dtype=torch.uint8))
    return wanted.nonzero().double().mul_(STRIDE).numpy()


def place_lead(
    image: torch.Tensor,
    tissues: torch.Tensor,
    spacing_mm: Spacing,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> None:
    """A pacemaker lead from the SVC through the right atrium to the right ventricle, with its streaks; in place."""
    cava, atrium, ventricle = (_coarse_points(tissues, (label,)) for label in (SVC, RA, RVC))
    if min(len(cava), len(atrium), len(ventricle)) < 4:
        return
    cava = cava[np.argsort(-cava[:, 0])]
    third = max(1, len(cava) // 3)
    middle, inflow = atrium.mean(0), 0.5 * (atrium.mean(0) + ventricle.mean(0))
    far = ventricle[np.argsort(((ventricle - middle) ** 2).sum(1))[-max(1, len(ventricle) // 50) :]]
    stations = [cava[:third].mean(0), cava[-third:].mean(0), middle + rng.normal(0, 3, 3), inflow]
    stations.append(far[rng.integers(len(far))])
    nodes = np.array(stations)
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(nodes, axis=0), axis=1))])
    if np.diff(lengths).min() < 1:
        return
    path = CubicSpline(lengths, nodes)(np.linspace(0, lengths[-1], int(3 * lengths[-1])))
    radius = rng.uniform(0.6, 1.6)
    reach = [int(np.ceil(radius / s)) for s in spacing_mm[::-1]]
    ball = np.stack(np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), -1).reshape(-1, 3)
    ball = ball[((ball * np.array(spacing_mm[::-1])) ** 2).sum(1) <= radius**2]
    voxels = np.unique((np.rint(path)[:, None] + ball[None]).reshape(-1, 3).astype(int), axis=0)
    voxels = voxels[((voxels >= 0) & (voxels < np.array(tissues.shape))).all(1)]
    image[tuple(torch.from_numpy(voxels.T))] = float(rng.uniform(1200, 3071))
    rows = torch.zeros(tissues.shape[0])
    rows[np.unique(voxels[:, 0])] = 1
    for station in (nodes[1], nodes[-1]):
        struck = rows * torch.exp(-((torch.arange(len(rows)) - station[0]) * spacing_mm[2] / 25).square())
        amplitude = float(rng.uniform(10, 120))
        add_streaks(image, (station[1], station[2]), struck, amplitude, spacing_mm, rng, generator)


def _valve_box(
    tissues: torch.Tensor, first: int, second: int, spacing_mm: Spacing, reach_mm: float
) -> tuple[slice, slice, slice] | None:
    """The box, with `reach_mm` around it, in which two chambers lie beside each other."""
    coarse = tissues[::STRIDE, ::STRIDE, ::STRIDE]
    one, two = (F.max_pool3d((coarse == label)[None, None].float(), 3, 1, 1)[0, 0] > 0 for label in (first, second))
    found = (one & two).nonzero()
    if len(found) < 2:
        return None
    low, high = found.amin(0) * STRIDE, (found.amax(0) + 1) * STRIDE
    slices = []
    for axis, step in enumerate(spacing_mm[::-1]):
        room = int(reach_mm / step)
        slices.append(slice(max(0, int(low[axis]) - room), int(high[axis]) + room))
    return slices[0], slices[1], slices[2]


def near(mask: torch.Tensor, reach_mm: float, spacing_mm: Spacing) -> torch.Tensor:
    """Voxels within about `reach_mm` of a mask, by boxes."""
    out = mask.float()
    for axis, step in enumerate(spacing_mm[::-1]):
        place = torch.arange(mask.shape[axis])
        reach = (place[:, None] - place).abs() <= max(1, round(reach_mm / step))
        out = along(reach.float(), out, axis)
    return out > 0.5


def alter_valve(
    image: torch.Tensor,
    tissues: torch.Tensor,
    chambers: tuple[int, int],
    prosthesis: bool,
    spacing_mm: Spacing,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> None:
    """Calcium on the leaflets between two chambers, or a metal frame around them, with its streaks; in place."""
    height = float(rng.uniform(4, 14)) if prosthesis else float(rng.uniform(1.5, 4))
    box = _valve_box(tissues, *chambers, spacing_mm, height)
    if box is None:
        return
    here = tissues[box]
    blood = torch.isin(here, torch.tensor(chambers, dtype=torch.uint8))
    at_valve = near(here == chambers[0], height, spacing_mm) & near(here == chambers[1], height, spacing_mm) & blood
    rim = at_valve & near(~blood, 1.2, spacing_mm)
    nodes = tuple(max(2, int(n * s / rng.uniform(2, 5))) for n, s in zip(here.shape, spacing_mm[::-1], strict=True))
    grain = stretch(torch.randn((1, *nodes), generator=generator), tuple(here.shape))[0]
    if prosthesis:
        painted, hu = rim & (grain > float(rng.uniform(-0.5, 0.3))), float(rng.uniform(1200, 3071))
    else:
        level = float(rng.uniform(0.4, 1.2))
        painted = (rim & (grain > level - 0.4)) | (at_valve & (grain > level))
        hu = float(rng.uniform(450, 1500))
    image[box].masked_fill_(painted, hu)
    places = painted.nonzero().double()
    if prosthesis and len(places):
        centre = places.mean(0)
        rows = torch.zeros(tissues.shape[0])
        rows[box[0].start + int(places[:, 0].min()) : box[0].start + int(places[:, 0].max()) + 1] = 1
        middle = (box[1].start + float(centre[1]), box[2].start + float(centre[2]))
        add_streaks(image, middle, rows, float(rng.uniform(20, 180)), spacing_mm, rng, generator)


def add_effusion(image: torch.Tensor, tissues: torch.Tensor, rng: np.random.Generator) -> None:
    """Fluid behind the lungs, up to a level that differs from side to side; in place."""
    lung = _coarse_points(tissues, (LUNG,))
    if len(lung) < 10:
        return
    level = np.quantile(lung[:, 1], rng.uniform(0.6, 0.97)) + rng.normal(0, 0.04 * tissues.shape[1], 2)
    middle = float(lung[:, 2].mean())
    y = torch.arange(tissues.shape[1])[:, None]
    tilted = torch.where(torch.arange(tissues.shape[2])[None] < middle, float(level[0]), float(level[1]))
    image.masked_fill_((tissues == LUNG) & (y > tilted), float(rng.uniform(-5, 40)))
