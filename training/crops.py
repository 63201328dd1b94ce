"""Training crops of the engine's region: drawn anatomies, rendered, in the engine's window, with their structures.

A crop has the region's proportions at a random scale: it shows more at a coarse one and small structures better at a
fine one. Half of the crops are centred on a structure that is small or hard.
"""

import numpy as np
import torch

from training.artefacts import shift_slabs
from training.heart import (
    CS,
    PA,
    PV,
    RA,
    RVC,
    STRUCTURES,
    SVC,
    AnatomyRanges,
    draw_anatomy,
    find_structure,
    load_atlas,
    sample_tissues,
)
from training.rendering import AIR_HU, RenderingRanges, cut_field_of_view, render

REGION_MM = np.array([224.0, 224.0, 320.0])
SPACING_MM = np.array([0.7, 0.7, 1.0])
WINDOW_HU = (-300.0, 800.0)
HARD = {CS: 0.28, PV: 0.24, SVC: 0.20, RVC: 0.12, RA: 0.08, PA: 0.08}  # what hard crops are centred on
HARD_CROPS = 0.5
STEPPED = 0.1  # share of crops with misregistered slabs
CUT = 0.5  # share of crops from a scan that ends inside the region


def to_window(hu: torch.Tensor) -> torch.Tensor:
    """HU -> the uint8 steps of the engine's window."""
    low, high = WINDOW_HU
    return ((hu.round() - low) * (255 / (high - low))).clamp_(0, 255).add_(0.5).floor_().to(torch.uint8)


def draw_scale(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """A scale, evenly in its logarithm."""
    return float(np.exp(rng.uniform(*np.log(bounds))))


def draw_crop(
    rng: np.random.Generator,
    side: int,
    scale: float,
    anatomies: AnatomyRanges | None = None,
    renderings: RenderingRanges | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One training crop at `scale` times the region's spacing: image uint8 [side]^3, structures uint8 [side]^3."""
    anatomy = draw_anatomy(rng, load_atlas(), anatomies)
    spacing = SPACING_MM * scale
    valve = np.array(anatomy.valve_mm)
    free = np.maximum(REGION_MM - side * spacing, 0) / 2
    if rng.random() < HARD_CROPS:
        structure = int(rng.choice(list(HARD), p=list(HARD.values())))
        aim = np.array(find_structure(anatomy, structure, rng)) - valve + rng.normal(0, 8, 3)
    else:
        aim = rng.normal(0, 0.6, 3) * free
    centre = valve + rng.normal(0, 4, 3) + np.clip(aim, -free, free)
    origin = centre - spacing * (side - 1) / 2
    steps = (float(spacing[0]), float(spacing[1]), float(spacing[2]))
    tissues = sample_tissues(anatomy, (side,) * 3, steps, (float(origin[0]), float(origin[1]), float(origin[2])))
    if rng.random() < STEPPED:
        tissues = shift_slabs(tissues, steps, rng)
    image = render(tissues, steps, rng, renderings)
    structures = tissues.masked_fill_(tissues >= STRUCTURES, 0)
    if rng.random() < CUT:
        z, y, x = ((valve - origin) / spacing)[::-1]
        outside = ~cut_field_of_view(image, steps, (float(z), float(y), float(x)), rng, renderings)
        image.masked_fill_(outside, AIR_HU)
        structures.masked_fill_(outside, 0)
    return to_window(image), structures
