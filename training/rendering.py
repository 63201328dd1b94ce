"""Synthetic contrast CT from tissues: random contrast, mixing, blur, noise and field of view (after SynthSeg).

The ranges are far wider than any scanner's, so that a real scan is one more sample. Same conventions as heart.py.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from training.heart import (
    AIRWAY,
    AO,
    ARTERIES,
    CS,
    FAT,
    LA,
    LIVER,
    LUNG,
    LVC,
    LVM,
    OESOPHAGUS,
    PA,
    PV,
    RA,
    RIBS,
    RVC,
    SKIN_FAT,
    SOFT,
    SPINE,
    SVC,
    TISSUES,
    VEINS,
    WALL,
    smooth_noise,
    torch_generator,
)

AIR_HU = -1024


def draw_contrast(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """HU of each tissue and the amplitude of its texture in HU, both [23]."""
    hu, texture = np.zeros(TISSUES), np.zeros(TISSUES)
    left = rng.uniform(180, 650)
    right = left + rng.uniform(-80, 80) if rng.random() < 0.5 else rng.uniform(50, 650)
    spread = rng.uniform(5, 60)
    for structure in (PV, LA, LVC, AO, ARTERIES):
        hu[structure] = left + rng.normal(0, spread)
    for structure in (SVC, RA, RVC, PA, VEINS, CS):
        hu[structure] = right + rng.normal(0, spread)
    if rng.random() < 0.5:
        hu[PA] = rng.uniform(min(left, right), max(left, right))
    if rng.random() < 0.35:
        hu[SVC] = rng.uniform(400, 1300)  # dense inflow
    if rng.random() < 0.6:
        hu[CS] = rng.uniform(60, max(left, right))
    if rng.random() < 0.6:
        hu[VEINS] = rng.uniform(30, max(60, right))
    myocardium = rng.uniform(40, 170)
    hu[LVM] = min(myocardium, left - 60)
    hu[WALL] = hu[LVM] + rng.normal(0, 20) if rng.random() < 0.6 else rng.uniform(-110, 40)
    hu[AIRWAY] = rng.uniform(-1020, -920)
    hu[OESOPHAGUS] = rng.uniform(-50, 80)
    hu[LIVER] = rng.uniform(30, 160)
    hu[LUNG] = rng.uniform(-920, -650)
    hu[SPINE] = rng.uniform(120, 450)
    hu[RIBS] = rng.uniform(150, 700)
    hu[FAT] = rng.uniform(-130, -40)
    hu[SKIN_FAT] = rng.uniform(-130, -70)
    hu[SOFT] = rng.uniform(0, 90)
    hu[0] = rng.uniform(-1024, -980)

    texture[:] = rng.uniform(2, 12)
    texture[[PV, LA, LVC, AO, ARTERIES]] = rng.uniform(2, 25)
    mixing = rng.uniform(5, 40) if rng.random() < 0.5 else rng.uniform(40, 160)
    texture[[RA, SVC, VEINS]] = mixing
    texture[RVC] = mixing * rng.uniform(0.2, 1)
    texture[PA] = mixing * rng.uniform(0.05, 0.4)
    texture[LVM] = rng.uniform(3, 25)
    texture[LUNG] = rng.uniform(10, 60)
    texture[[SPINE, RIBS]] = rng.uniform(30, 150)
    texture[[FAT, LIVER, SOFT]] = rng.uniform(3, 20)
    return hu, texture


def _gaussian(volume: torch.Tensor, sigmas_voxels: tuple[float, float, float]) -> torch.Tensor:
    """Separable Gaussian blur of [z, y, x]."""
    out = volume[None, None]
    for axis, sigma in enumerate(sigmas_voxels):
        if sigma < 0.15:
            continue
        radius = max(1, int(np.ceil(2.5 * sigma)))
        kernel = torch.exp(-(torch.arange(-radius, radius + 1.0) ** 2) / (2 * sigma**2))
        shape, pad = [1, 1, 1, 1, 1], [0] * 6
        shape[axis + 2] = len(kernel)
        pad[2 * (2 - axis)] = pad[2 * (2 - axis) + 1] = radius
        out = F.conv3d(F.pad(out, pad, mode="replicate"), (kernel / kernel.sum()).reshape(shape))
    return out[0, 0]


def _field(
    shape: tuple[int, ...], spacing_mm: tuple[float, float, float], node_mm: float, generator: torch.Generator
) -> torch.Tensor:
    nodes = tuple(max(2, int(np.ceil(n * s / node_mm)) + 1) for n, s in zip(shape, spacing_mm[::-1], strict=True))
    return smooth_noise(shape, nodes, generator)[0, 0]


def _random_tissue_hu(
    shape: tuple[int, ...], spacing_mm: tuple[float, float, float], rng: np.random.Generator, generator: torch.Generator
) -> torch.Tensor:
    """HU of surroundings that follow no anatomy: blobs of lung, fat, muscle, bone, vessel and anything."""
    node_mm = float(rng.uniform(15, 50))
    palette = [-850, -100, 50, 300, rng.uniform(150, 600), rng.uniform(40, 160), rng.uniform(-900, 700)]
    best = _field(shape, spacing_mm, node_mm, generator)
    hu = torch.full(shape, float(palette[0]))
    for value in palette[1:]:
        other = _field(shape, spacing_mm, node_mm, generator) - 0.2
        wins = other > best
        hu[wins] = float(value + rng.normal(0, 20))
        best = torch.maximum(best, other)
    return hu


def render(tissues: torch.Tensor, spacing_mm: tuple[float, float, float], rng: np.random.Generator) -> torch.Tensor:
    """HU of one random acquisition of `tissues` (uint8 [z, y, x]): float32 [z, y, x], not clipped."""
    generator = torch_generator(rng)
    hu, texture = draw_contrast(rng)
    index = tissues.int()
    shape = tuple(tissues.shape)
    image = torch.from_numpy(hu).float()[index]

    # Calcium and small bright vessels, lung markings: sparse maxima of a fine field.
    fine = _field(shape, spacing_mm, float(rng.uniform(3, 6)), generator)
    coarse = _field(shape, spacing_mm, float(rng.uniform(10, 30)), generator)
    weight = float(rng.uniform(0, 1))
    pattern = (weight * fine + (1 - weight) * coarse) / np.hypot(weight, 1 - weight)
    image += torch.from_numpy(texture).float()[index] * pattern
    if rng.random() < 0.5:  # unmixed blood of the venae cavae in the right heart
        streams = _field(shape, spacing_mm, float(rng.uniform(20, 60)), generator) - float(rng.uniform(-1, 1))
        streams = torch.sigmoid(float(rng.uniform(1, 8)) * streams)
        other = float(rng.uniform(30, max(80, hu[SVC])))
        share = np.zeros(TISSUES)
        share[RA], share[VEINS], share[RVC], share[CS] = 1, rng.uniform(0, 1), rng.uniform(0, 0.6), rng.uniform(0, 1)
        blood = torch.from_numpy(share).float()[index] * streams
        image += blood * (other - torch.from_numpy(hu).float()[index])
    if rng.random() < 0.5:
        vessel = (fine > rng.uniform(1.4, 2.2)) & (tissues == LUNG)
        image[vessel] = float(rng.uniform(-300, 400))
    if rng.random() < 0.3:
        calcium = (fine > rng.uniform(1.8, 2.6)) & ((tissues == WALL) | (tissues == AO)) & (coarse > 0.5)
        image[calcium] = float(rng.uniform(500, 1500))
    if rng.random() < 0.15:
        outside = (tissues > AIRWAY) | (tissues == 0)
        rim = F.max_pool3d((~outside)[None, None].float(), 2 * int(rng.integers(1, 4)) + 1, 1)
        rim = F.interpolate(rim, size=shape)[0, 0] > 0
        image = torch.where(outside & ~rim, _random_tissue_hu(shape, spacing_mm, rng, generator), image)
    # Slow drift: beam hardening, scatter.
    image += float(rng.uniform(0, 20)) * _field(shape, spacing_mm, 80.0, generator)

    in_plane, through = rng.uniform(0.3, 0.9), rng.uniform(0.3, 1.0)
    blur_mm = np.array([through * max(1.0, spacing_mm[2]), in_plane, in_plane])
    image = _gaussian(image, tuple(blur_mm / np.array(spacing_mm[::-1])))
    noise = torch.randn(shape, generator=generator)
    if rng.random() < 0.7:  # reconstruction kernels correlate neighbouring voxels
        noise = _gaussian(noise, tuple(rng.uniform(0.2, 1.2, 3)))
        noise /= noise.std()
    return image + float(np.exp(rng.uniform(np.log(4), np.log(60)))) * noise


def cut_field_of_view(
    image: torch.Tensor,
    spacing_mm: tuple[float, float, float],
    heart_voxel: tuple[float, float, float],
    rng: np.random.Generator,
) -> torch.Tensor:
    """Mask of the voxels that a cropped acquisition would hold: bool [z, y, x].

    heart_voxel: index (z, y, x) that stays inside, the aortic valve.
    """
    shape = image.shape
    inside = torch.ones(shape, dtype=torch.bool)
    for axis, step in enumerate(spacing_mm[::-1]):
        size = rng.uniform(130, 320) / step
        low = heart_voxel[axis] - size * rng.uniform(0.35, 0.65)
        if axis == 0:  # cardiac scans end below the apex and often above the arch
            low = heart_voxel[axis] - size * rng.uniform(0.4, 0.7)
        position = torch.arange(shape[axis])
        keep = (position >= low) & (position < low + size)
        inside &= keep.reshape([-1 if a == axis else 1 for a in range(3)])
    if rng.random() < 0.25:  # round reconstruction field
        radius = rng.uniform(85, 160)
        y = (torch.arange(shape[1]) - heart_voxel[1]) * spacing_mm[1] + rng.uniform(-25, 25)
        x = (torch.arange(shape[2]) - heart_voxel[2]) * spacing_mm[0] + rng.uniform(-25, 25)
        inside &= (y[:, None] ** 2 + x[None] ** 2 < radius**2)[None]
    return inside
