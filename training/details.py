"""Small things that label maps lack: thin walls of any thickness, mixing blood, vessels in fat and liver.

All is drawn on the grid at hand, whatever source the tissues came from. Volumes are indexed z, y, x; spacings are
x, y, z in mm. Structures keep their labels: only what lies around them changes, or what their blood looks like.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage

from training.artefacts import Spacing
from training.deformation import smooth_noise, stretch
from training.heart import AO, CS, FAT, LA, LIVER, LUNG, LVC, PA, PV, RA, RVC, SOFT, SVC, TISSUES, VEINS, WALL

# Bounds of the thickness of the wall around each pool, mm: measured ones (right ventricle 2 to 5 mm, atria about 2 mm,
# great vessels 1 to 2.5 mm) and somewhat beyond.
WALL_MM = {PV: (0.4, 1.6), LA: (1.0, 3.2), LVC: (2.0, 3.0), AO: (1.0, 2.8), CS: (0.3, 1.2), SVC: (0.5, 1.6),
           RA: (1.0, 3.2), RVC: (1.8, 5.0), PA: (0.8, 2.2)}  # fmt: skip
RIGHT, LEFT = (SVC, RA, VEINS, RVC, PA, CS), (PV, LA, LVC, AO)
STRIDE = 4  # blood is mixed on every 4th voxel


def redraw_walls(
    tissues: torch.Tensor, spacing_mm: Spacing, rng: np.random.Generator, generator: torch.Generator
) -> None:
    """Give each pool a wall of a drawn thickness; what was wall beyond it becomes fat. In place.

    Moving walls (heart.py) leave pools that grew without one and pools that shrank with a thick one: a network that has
    seen that cannot know where blood ends.
    """
    pools = torch.isin(tissues, torch.tensor(list(WALL_MM), dtype=torch.uint8)).numpy()
    if not pools.any():
        return
    distance, index = ndimage.distance_transform_edt(~pools, sampling=spacing_mm[::-1], return_indices=True)
    nearest = torch.from_numpy(tissues.numpy()[tuple(index)])
    thickness = torch.zeros(TISSUES)
    for pool, bounds in WALL_MM.items():
        thickness[pool] = float(rng.uniform(*bounds))
    nodes = tuple(max(2, int(np.ceil(n * s / 18)) + 1) for n, s in zip(tissues.shape, spacing_mm[::-1], strict=True))
    uneven = smooth_noise(tuple(tissues.shape), nodes, generator)[0, 0].mul_(0.2).add_(1).clamp_(0.5, 1.6)
    depth = torch.from_numpy(distance.astype(np.float32)).sub_(0.5 * float(np.mean(spacing_mm)))
    within = depth < thickness[nearest.int()] * uneven
    wall = tissues == WALL
    soft = torch.isin(tissues, torch.tensor([WALL, LUNG, FAT, SOFT], dtype=torch.uint8))
    tissues.masked_fill_(wall & ~within & (depth < 12), FAT)
    tissues.masked_fill_(soft & within, WALL)


def mix_blood(image: torch.Tensor, tissues: torch.Tensor, reach_mm: float, spacing_mm: Spacing) -> None:
    """Let the blood of neighbouring pools, left and right hearts apart, pass into each other over a distance; in place.

    Without it each pool ends where its brightness does, and a vena cava could be told from its atrium by that alone.
    """
    coarse = tissues[::STRIDE, ::STRIDE, ::STRIDE]
    hu = image[::STRIDE, ::STRIDE, ::STRIDE]
    farthest = [(n - 1) // 2 for n in coarse.shape]  # no window is larger than the volume
    reach = [min(f, max(1, round(reach_mm / s / STRIDE / 2))) for f, s in zip(farthest, spacing_mm[::-1], strict=True)]
    size = [2 * r + 1 for r in reach]
    for group in (RIGHT, LEFT):
        inside = torch.isin(coarse, torch.tensor(group, dtype=torch.uint8)).float()
        if not inside.any():
            continue
        both = torch.stack([inside, inside * hu])[None]
        for _ in range(2):
            both = F.avg_pool3d(both, size, 1, reach, count_include_pad=True)
        share, sums = both[0]
        nodes = F.pad((sums / share.clamp_min(1e-4))[None, None], (0, 1) * 3, mode="replicate")[0]
        mean = stretch(nodes, tuple(image.shape), (1 / STRIDE,) * 3)[0]
        here = torch.isin(tissues, torch.tensor(group, dtype=torch.uint8))
        image.copy_(torch.where(here, mean, image))


def draw_vessels(
    image: torch.Tensor,
    where: torch.Tensor,
    radius_mm: float,
    hu: float,
    spacing_mm: Spacing,
    generator: torch.Generator,
) -> None:
    """Winding vessels in the voxels `where`, of about this radius: coronary arteries in fat, veins in the liver."""
    node_mm = 12 * radius_mm + 8
    nodes = tuple(max(2, int(np.ceil(n * s / node_mm)) + 1) for n, s in zip(image.shape, spacing_mm[::-1], strict=True))
    square = smooth_noise(tuple(image.shape), nodes, generator, 2)[0].square_().sum(0)
    image.masked_fill_(where & (square < (1.3 * radius_mm / node_mm) ** 2), hu)


def congest_liver(image: torch.Tensor, tissues: torch.Tensor, coarse: torch.Tensor, amplitude_hu: float) -> None:
    """The mottled liver of a late arterial phase or of a failing right heart; in place. coarse: unit noise."""
    image.add_(torch.where(tissues == LIVER, coarse, 0.0), alpha=amplitude_hu)


def dissect_aorta(
    image: torch.Tensor,
    tissues: torch.Tensor,
    spacing_mm: Spacing,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> None:
    """A membrane that winds along the aorta and a false lumen that is less bright, or brighter; in place."""
    nodes = tuple(max(2, int(np.ceil(n * s / 60)) + 1) for n, s in zip(image.shape, spacing_mm[::-1], strict=True))
    side = smooth_noise(tuple(image.shape), nodes, generator)[0, 0].add_(float(rng.normal(0, 0.3)))
    aorta = tissues == AO
    false = float(rng.uniform(0.3, 1.15))
    image.copy_(torch.where(aorta & (side > 0), image * false, image))
    image.masked_fill_(aorta & (side.abs() < float(rng.uniform(0.5, 1.5)) / 40), float(rng.uniform(30, 120)))


def vessel_hu(hu: NDArray[np.float64], rng: np.random.Generator) -> float:
    """Blood of a small vessel: arterial, venous or anything between."""
    return float(rng.uniform(min(hu[AO], hu[VEINS], 60), max(hu[AO], hu[VEINS], 90)))
