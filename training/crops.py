"""Training crops of the engine's region: drawn anatomies, rendered, in the engine's window, with their structures.

A crop has the region's proportions at a random scale: it shows more at a coarse one and small structures better at a
fine one. Half of the crops are centred on a structure that is small or hard.
"""

import numpy as np
import torch

from training.anatomies import draw, sample
from training.artefacts import shift_slabs
from training.deformation import torch_generator
from training.details import redraw_walls
from training.heart import structures_of
from training.rendering import AIR_HU, cut_field_of_view, render
from training.right_heart import draw_right_heart

REGION_MM = np.array([224.0, 224.0, 320.0])
SPACING_MM = np.array([0.7, 0.7, 1.0])
WINDOW_HU = (-300.0, 800.0)
HARD_CROPS = 0.5
HARD_MM = {  # where they are centred: chance, and about where from the valve it lies (x, y, z)
    "coronary sinus": (0.28, (4.0, 33.0, -25.0)),
    "left pulmonary veins": (0.12, (23.0, 38.0, 13.0)),
    "right pulmonary veins": (0.12, (-62.0, 42.0, 6.0)),
    "superior vena cava": (0.20, (-55.0, 11.0, 35.0)),
    "right ventricle": (0.12, (-2.0, -23.0, -22.0)),
    "lower right atrium": (0.08, (-30.0, 15.0, -35.0)),
    "left pulmonary artery": (0.08, (30.0, 32.0, 38.0)),
}
STEPPED = 0.1  # share of crops with misregistered slabs
THIN_WALLS = 0.85  # share of crops whose walls are as thick as measured ones
CUT = 0.5  # share of crops from a scan that ends inside the region


def to_window(hu: torch.Tensor) -> torch.Tensor:
    """HU -> the uint8 steps of the engine's window."""
    low, high = WINDOW_HU
    return ((hu.round() - low) * (255 / (high - low))).clamp_(0, 255).add_(0.5).floor_().to(torch.uint8)


def draw_scale(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """A scale, evenly in its logarithm."""
    return float(np.exp(rng.uniform(*np.log(bounds))))


def draw_crop(
    rng: np.random.Generator, side: int, scale: float, source: str = "atlas"
) -> tuple[torch.Tensor, torch.Tensor]:
    """One training crop at `scale` times the region's spacing: image uint8 [side]^3, structures uint8 [side]^3.

    source: where its anatomy comes from (training.anatomies.EVERY).
    """
    anatomy = draw(source, rng)
    spacing = SPACING_MM * scale
    valve = np.array(anatomy.valve_mm)
    free = np.maximum(REGION_MM - side * spacing, 0) / 2
    if rng.random() < HARD_CROPS:
        chances, places = zip(*HARD_MM.values(), strict=True)
        aim = np.array(places[rng.choice(len(places), p=chances)]) + rng.normal(0, 12, 3)
    else:
        aim = rng.normal(0, 0.6, 3) * free
    centre = valve + rng.normal(0, 4, 3) + np.clip(aim, -free, free)
    origin = centre - spacing * (side - 1) / 2
    steps = (float(spacing[0]), float(spacing[1]), float(spacing[2]))
    tissues = sample(anatomy, (side, side, side), steps, (float(origin[0]), float(origin[1]), float(origin[2])))
    if rng.random() < THIN_WALLS:
        redraw_walls(tissues, steps, rng, torch_generator(rng))
    if rng.random() < STEPPED:
        tissues = shift_slabs(tissues, steps, rng)
    muscle = draw_right_heart(tissues, steps, rng.spawn(1)[0])
    image = render(tissues, steps, rng, muscle=muscle)
    structures = structures_of(tissues)
    if rng.random() < CUT:
        z, y, x = ((valve - origin) / spacing)[::-1]
        outside = ~cut_field_of_view(image, steps, (float(z), float(y), float(x)), rng)
        image.masked_fill_(outside, AIR_HU)
        structures.masked_fill_(outside, 0)
    return to_window(image), structures
