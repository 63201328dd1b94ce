"""Synthetic contrast CT from tissues: random contrast, mixing, blur, noise and field of view (after SynthSeg).

The ranges are far wider than any scanner's, so that a real scan is one more sample. Same conventions as heart.py. What
spoils scans (metal, streaks, motion) is in artefacts.py.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from training.artefacts import (
    Spacing,
    add_effusion,
    alter_valve,
    blur_motion,
    near,
    place_lead,
    streaks_of_dense_blood,
)
from training.deformation import along, smooth_noise, torch_generator
from training.details import congest_liver, dissect_aorta, draw_vessels, mix_blood, vessel_hu
from training.heart import (
    AIRWAY,
    AO,
    ARTERIES,
    CALCIUM,
    CS,
    CUSP,
    FAT,
    LA,
    LEAFLET,
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
)

AIR_HU = -1024
PHASES = {"none": 0.04, "left": 0.34, "mixed": 0.24, "both": 0.18, "right": 0.08, "late": 0.12}


@dataclass(frozen=True)
class RenderingRanges:
    """How scans differ: bounds (drawn evenly, those marked * evenly in their logarithm) and chances.

    contrast_hu: the left heart in arterial phases. phases: chances of PHASES. slice_mm *: thickness of slices.
    kernel_mm *: sd of the blur in plane. sharpening: overshoot of sharp kernels, in the given share of scans.
    noise_hu *: sd. field_mm: sides of a cut field of view.
    """

    contrast_hu: tuple[float, float] = (150.0, 750.0)
    phases: tuple[tuple[str, float], ...] = tuple(PHASES.items())
    slice_mm: tuple[float, float] = (0.4, 3.0)
    kernel_mm: tuple[float, float] = (0.25, 1.1)
    sharpening: tuple[float, float] = (0.2, 1.3)
    sharp: float = 0.4
    noise_hu: tuple[float, float] = (4.0, 80.0)
    field_mm: tuple[float, float] = (125.0, 320.0)
    unmixed: float = 0.6
    dense_inflow: float = 0.35
    streaks: float = 0.35
    motion: float = 0.2
    lead: float = 0.1
    valve_calcium: float = 0.3
    prosthesis: float = 0.07
    effusion: float = 0.12
    compact_bone: float = 0.8
    odd_surroundings: float = 0.05
    mixed_blood: float = 0.5
    fat_vessels: float = 0.6
    liver_vessels: float = 0.6
    congestion: float = 0.2
    dissection: float = 0.05


def _draw_blood(rng: np.random.Generator, ranges: RenderingRanges) -> tuple[float, float, bool]:
    """HU of the left and of the right heart, and whether there is contrast at all."""
    names, chances = zip(*ranges.phases, strict=True)
    phase = str(rng.choice(names, p=np.array(chances) / sum(chances)))
    if phase == "none":
        blood = float(rng.uniform(25, 65))
        return blood, blood, False
    if phase == "gone":  # only in scans spoilt on purpose, as is "early"
        blood = float(rng.uniform(60, 100))
        return blood, blood + float(rng.normal(0, 8)), True
    if phase == "early":
        return float(rng.uniform(30, 75)), float(rng.uniform(250, 900)), True
    if phase == "late":
        blood = float(rng.uniform(90, 220))
        return blood, blood + float(rng.normal(0, 15)), True
    if phase == "right":
        return float(rng.uniform(70, 300)), float(rng.uniform(250, 800)), True
    left = float(rng.uniform(*ranges.contrast_hu))
    if phase == "left":
        return left, float(rng.uniform(40, max(80, 0.7 * left))), True
    if phase == "both":
        return left, left + float(rng.uniform(-120, 250)), True
    return left, float(rng.uniform(60, 650)), True


def draw_contrast(rng: np.random.Generator, ranges: RenderingRanges) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """HU of each tissue and the amplitude of its texture in HU, both [23]."""
    hu, texture = np.zeros(TISSUES), np.zeros(TISSUES)
    left, right, contrast = _draw_blood(rng, ranges)
    spread = rng.uniform(5, 60) if contrast else rng.uniform(0, 6)
    for structure in (PV, LA, LVC, AO, ARTERIES):
        hu[structure] = left + rng.normal(0, spread)
    for structure in (SVC, RA, RVC, PA, VEINS, CS):
        hu[structure] = right + rng.normal(0, spread)
    if contrast:
        if rng.random() < 0.5:
            hu[PA] = rng.uniform(min(left, right), max(left, right))
        if rng.random() < ranges.dense_inflow:
            hu[SVC] = rng.uniform(400, 1800)
        if rng.random() < 0.6:
            hu[CS] = rng.uniform(60, max(left, right, 100))
        if rng.random() < 0.6:
            hu[VEINS] = rng.uniform(30, max(60, right))
        hu[LVM] = min(rng.uniform(40, 180), max(left - 50, 0.55 * left))
    else:
        hu[LVM] = left + rng.normal(0, 10)
    hu[WALL] = hu[LVM] + rng.normal(0, 20) if rng.random() < 0.85 else rng.uniform(-110, 40)
    hu[[CUSP, LEAFLET, CALCIUM]] = hu[LVM], hu[LVM], 1000
    hu[AIRWAY] = rng.uniform(-1020, -920)
    hu[OESOPHAGUS] = rng.uniform(-50, 80)
    hu[LIVER] = rng.uniform(30, 180)
    hu[LUNG] = rng.uniform(-930, -600)
    hu[SPINE] = rng.uniform(50, 450)
    hu[RIBS] = rng.uniform(150, 700)
    hu[FAT] = rng.uniform(-130, -40) if rng.random() < 0.9 else rng.uniform(-100, 40)
    hu[SKIN_FAT] = rng.uniform(-130, -70)
    hu[SOFT] = rng.uniform(0, 90)
    hu[0] = rng.uniform(-1024, -980)

    texture[:] = rng.uniform(2, 12)
    texture[[PV, LA, LVC, AO, ARTERIES]] = rng.uniform(2, 25)
    mixing = rng.uniform(5, 40) if rng.random() < 0.5 or not contrast else rng.uniform(40, 170)
    texture[[RA, SVC, VEINS]] = mixing
    texture[RVC] = mixing * rng.uniform(0.2, 1)
    texture[PA] = mixing * rng.uniform(0.05, 0.4)
    texture[LVM] = rng.uniform(3, 25)
    texture[LUNG] = rng.uniform(10, 60)
    texture[[SPINE, RIBS]] = rng.uniform(30, 150)
    texture[[FAT, LIVER, SOFT]] = rng.uniform(3, 20)
    if not contrast:
        texture[1 : VEINS + 1] *= 0.2
    return hu, texture


def _field(shape: tuple[int, ...], spacing_mm: Spacing, node_mm: float, generator: torch.Generator) -> torch.Tensor:
    nodes = tuple(max(2, int(np.ceil(n * s / node_mm)) + 1) for n, s in zip(shape, spacing_mm[::-1], strict=True))
    return smooth_noise(shape, nodes, generator)[0, 0]


def _of_tissue(values: NDArray[np.float64], index: torch.Tensor) -> torch.Tensor:
    """A value per tissue -> float32 of the shape of `index` (int32)."""
    return torch.from_numpy(values).float().index_select(0, index.view(-1)).view(index.shape)


def _odd_surroundings(
    image: torch.Tensor,
    tissues: torch.Tensor,
    spacing_mm: Spacing,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> None:
    """Surroundings that follow no anatomy: blobs of lung, fat, muscle, bone, vessel and anything; in place."""
    shape = tuple(image.shape)
    node_mm = float(rng.uniform(15, 50))
    palette = [-850, -100, 50, 300, rng.uniform(150, 600), rng.uniform(40, 160), rng.uniform(-900, 700)]
    best = _field(shape, spacing_mm, node_mm, generator)
    hu = torch.full(shape, float(palette[0]))
    for value in palette[1:]:
        other = _field(shape, spacing_mm, node_mm, generator).sub_(0.2)
        hu.masked_fill_(other > best, float(value + rng.normal(0, 20)))
        torch.maximum(best, other, out=best)
    outside = (tissues > AIRWAY) | (tissues == 0)
    outside &= ~near(~outside, float(rng.uniform(1, 4)), spacing_mm)
    image.copy_(torch.where(outside, hu, image))


def _unmix(
    image: torch.Tensor,
    index: torch.Tensor,
    hu: NDArray[np.float64],
    spacing_mm: Spacing,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> None:
    """Blood of one vena cava that has not met the other's: streams, layers, or a lower atrium without contrast."""
    shape = tuple(image.shape)
    streams = _field(shape, spacing_mm, float(rng.uniform(15, 60)), generator).mul_(float(rng.uniform(0.2, 1)))
    atrium = (index[::4, ::4, ::4] == RA).nonzero().float().mul_(4)
    if len(atrium) and rng.random() < 0.7:
        slope = rng.normal(0, 0.5, 3) + np.array([-1.0, 0, 0])  # mostly the lower part, z first
        slope *= rng.uniform(0.5, 2.5) / np.linalg.norm(slope) / 25
        centre = atrium.mean(0)
        for axis, step in enumerate(spacing_mm[::-1]):
            ramp = (torch.arange(shape[axis]) - centre[axis]) * float(step * slope[axis])
            streams += ramp.view([-1 if a == axis else 1 for a in range(3)])
    streams.add_(float(rng.uniform(-0.8, 0.8))).mul_(float(rng.uniform(1, 8))).sigmoid_()
    other = float(rng.uniform(30, max(80, hu[SVC])))
    share = np.zeros(TISSUES)
    share[RA], share[VEINS], share[RVC], share[CS] = 1, rng.uniform(0, 1), rng.uniform(0, 0.6), rng.uniform(0, 1)
    image.addcmul_(_of_tissue(share * (other - hu), index), streams)


def _fill_upper_veins(
    image: torch.Tensor, tissues: torch.Tensor, dense_hu: float, spacing_mm: Spacing, rng: np.random.Generator
) -> None:
    """Dense blood in the brachiocephalic veins, as it comes from the arm, not in the superior vena cava alone."""
    levels = (tissues == SVC).any(2).any(1).nonzero()
    if len(levels):
        above = max(0, int(levels.max()) - round(15 / spacing_mm[2]))
        image[above:].masked_fill_(tissues[above:] == VEINS, dense_hu * float(rng.uniform(0.7, 1.2)))


def _draw_bone(image: torch.Tensor, tissues: torch.Tensor, spacing_mm: Spacing, rng: np.random.Generator) -> None:
    """Compact bone around the marrow, and discs between the vertebrae; in place."""
    spine = tissues == SPINE
    bones = spine | (tissues == RIBS)
    if not bones.any():
        return
    compact = bones & near(~bones, float(rng.uniform(0.5, 2.0)), spacing_mm)
    image.copy_(torch.where(compact, 0.4 * image + float(rng.uniform(250, 900)), image))
    z, y = (torch.arange(tissues.shape[axis]) * spacing_mm[2 - axis] for axis in (0, 1))
    place = z[:, None] + float(rng.normal(0, 0.25)) * y + float(rng.uniform(0, 40))
    discs = place % float(rng.uniform(24, 38)) < float(rng.uniform(3, 9))
    image.masked_fill_(spine & discs[..., None], float(rng.uniform(40, 130)))


def _banded(positions: torch.Tensor, count: int, sigma: float) -> torch.Tensor:
    """Rows of Gaussian weights over `count` voxels around each position (voxels): float32 [n, count]."""
    weights = (-(positions[:, None] - torch.arange(count)).square() / (2 * sigma**2)).exp()
    return weights / weights.sum(1, keepdim=True)


def acquire(
    image: torch.Tensor,
    spacing_mm: Spacing,
    rng: np.random.Generator,
    generator: torch.Generator,
    ranges: RenderingRanges,
) -> torch.Tensor:
    """Kernel, slice profile and noise of a scanner whose slices may be thicker than the grid's: float32 [z, y, x]."""
    kernel_mm, slice_mm, noise_hu = (
        float(np.exp(rng.uniform(*np.log(bounds)))) for bounds in (ranges.kernel_mm, ranges.slice_mm, ranges.noise_hu)
    )
    overshoot = float(rng.uniform(*ranges.sharpening)) if rng.random() < ranges.sharp else 0.0
    grain = float(rng.uniform(0.0, 0.8)) * kernel_mm if rng.random() < 0.7 else 0.0
    # Slices lie closer than they are thick; where they lie farther apart than the grid's, noise is drawn on them.
    step = max(slice_mm * float(rng.uniform(0.5, 1.0)), spacing_mm[2]) / spacing_mm[2]
    depth = image.shape[0]
    slices = torch.arange(int(np.ceil((depth - 1) / step)) + 1) * step
    image = along(_banded(slices, depth, max(0.3 * slice_mm / spacing_mm[2], 0.35)), image, 0)
    noise = torch.randn(image.shape, generator=generator)
    for axis, pixel in ((1, spacing_mm[1]), (2, spacing_mm[0])):
        count = image.shape[axis]
        sharp = _banded(torch.arange(count), count, max(kernel_mm / pixel, 0.35))
        wide = _banded(torch.arange(count), count, (kernel_mm + 0.6) / pixel)
        image = along((1 + overshoot) * sharp - overshoot * wide, image, axis)
        if grain / pixel > 0.25:
            noise = along(_banded(torch.arange(count), count, grain / pixel), noise, axis)
    image.add_(noise, alpha=noise_hu / float(noise[:: max(1, len(noise) // 8)].std()))
    if len(slices) == depth:
        return image
    between = (1 - (torch.arange(depth)[:, None] / step - torch.arange(len(slices))).abs()).clamp_min(0)
    return along(between, image, 0)


def render(
    tissues: torch.Tensor,
    spacing_mm: Spacing,
    rng: np.random.Generator,
    ranges: RenderingRanges | None = None,
    muscle: torch.Tensor | None = None,
) -> torch.Tensor:
    """HU of one random acquisition of `tissues` (uint8 [z, y, x]): float32 [z, y, x], not clipped.

    muscle: the share of muscle in each voxel of blood (right_heart.py), float32 [z, y, x].
    """
    ranges = RenderingRanges() if ranges is None else ranges
    generator = torch_generator(rng)
    hu, texture = draw_contrast(rng, ranges)
    index = tissues.int()
    shape = tuple(tissues.shape)
    image = _of_tissue(hu, index)
    if rng.random() < ranges.mixed_blood:
        mix_blood(image, tissues, float(rng.uniform(6, 30)), spacing_mm)
    for tissue, chance, radius in ((FAT, ranges.fat_vessels, (0.6, 2.0)), (LIVER, ranges.liver_vessels, (1.0, 5.0))):
        if rng.random() < chance:
            size = float(rng.uniform(*radius))
            draw_vessels(image, tissues == tissue, size, vessel_hu(hu, rng), spacing_mm, generator)
    if rng.random() < ranges.dissection:
        dissect_aorta(image, tissues, spacing_mm, rng, generator)

    fine = _field(shape, spacing_mm, float(rng.uniform(3, 6)), generator)
    coarse = _field(shape, spacing_mm, float(rng.uniform(10, 30)), generator)
    weight = float(rng.uniform(0, 1))
    scale = float(np.hypot(weight, 1 - weight))
    image.addcmul_(_of_tissue(texture, index), torch.lerp(coarse, fine, weight), value=1 / scale)
    if rng.random() < ranges.congestion:
        congest_liver(image, tissues, coarse, float(rng.uniform(10, 45)))
    if rng.random() < ranges.unmixed:
        _unmix(image, index, hu, spacing_mm, rng, generator)
    if hu[SVC] > 350 and rng.random() < 0.6:
        _fill_upper_veins(image, tissues, hu[SVC], spacing_mm, rng)
    if muscle is not None:
        image.lerp_(torch.tensor(float(hu[LVM])), muscle)
    if rng.random() < ranges.compact_bone:
        _draw_bone(image, tissues, spacing_mm, rng)
    if rng.random() < 0.5:  # lung vessels
        image.masked_fill_((fine > rng.uniform(1.4, 2.2)) & (tissues == LUNG), float(rng.uniform(-300, 400)))
    if rng.random() < 0.3:  # calcified walls
        calcium = (fine > rng.uniform(1.5, 2.4)) & ((tissues == WALL) | (tissues == AO)) & (coarse > 0.5)
        image.masked_fill_(calcium, float(rng.uniform(500, 1500)))
    del fine, coarse
    if rng.random() < ranges.effusion:
        add_effusion(image, tissues, rng)
    if rng.random() < ranges.odd_surroundings:
        _odd_surroundings(image, tissues, spacing_mm, rng, generator)
    for chambers in ((LVC, AO), (LA, LVC)):
        prosthesis = rng.random() < ranges.prosthesis
        if prosthesis or rng.random() < ranges.valve_calcium:
            alter_valve(image, tissues, chambers, prosthesis, spacing_mm, rng, generator)
    if rng.random() < ranges.lead:
        place_lead(image, tissues, spacing_mm, rng, generator)
    if rng.random() < ranges.motion:
        blur_motion(image, spacing_mm, rng, generator)
    if hu[SVC] > 350 and rng.random() < ranges.streaks:
        streaks_of_dense_blood(image, tissues, hu[SVC] - 200, spacing_mm, rng, generator)
    drift = _field(shape, spacing_mm, 80.0, generator)  # beam hardening, scatter
    return acquire(image.add_(drift, alpha=float(rng.uniform(0, 20))), spacing_mm, rng, generator, ranges)


def cut_field_of_view(
    image: torch.Tensor,
    spacing_mm: Spacing,
    heart_voxel: tuple[float, float, float],
    rng: np.random.Generator,
    ranges: RenderingRanges | None = None,
) -> torch.Tensor:
    """Mask of the voxels that a cropped acquisition would hold: bool [z, y, x].

    heart_voxel: index (z, y, x) that stays inside, the aortic valve.
    """
    ranges = RenderingRanges() if ranges is None else ranges
    shape = image.shape
    inside = torch.ones(shape, dtype=torch.bool)
    for axis, step in enumerate(spacing_mm[::-1]):
        size = rng.uniform(*ranges.field_mm) / step
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
