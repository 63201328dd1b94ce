"""What makes a segmentation wrong: faults rendered on purpose, for training.confidence to learn and be judged by.

Each fault takes an anatomy's tissues on a grid (uint8 [z, y, x]) and gives a scan with the labels that a reader would
still draw. Wrong parts of the body are drawn in training/bodies.py.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from training.artefacts import Spacing, add_streaks
from training.bodies import PARTS
from training.deformation import torch_generator
from training.heart import AO, ARTERIES, FAT, LA, LUNG, LVC, LVM, PA, RA, RVC, SOFT, STRUCTURES, VEINS, WALL
from training.rendering import PHASES, RenderingRanges, render

Spoilt = tuple[NDArray[np.int16], NDArray[np.uint8]]
CONTRASTED = tuple((name, chance) for name, chance in PHASES.items() if name != "none")
ORDINARY = RenderingRanges(phases=CONTRASTED, odd_surroundings=0.0)
LEAST_FIELD_MM = 65.0
CHAMBERS = (LA, LVC, AO, RA, RVC, PA)


def labels_of(tissues: torch.Tensor) -> NDArray[np.uint8]:
    """The ten structures among the tissues."""
    return np.asarray(torch.where(tissues < STRUCTURES, tissues, 0).to(torch.uint8).numpy())


def _finish(image: torch.Tensor, tissues: torch.Tensor) -> Spoilt:
    return image.round().clamp(-1024, 3071).to(torch.int16).numpy(), labels_of(tissues)


def render_ordinary(tissues: torch.Tensor, spacing_mm: Spacing, rng: np.random.Generator) -> Spoilt:
    return _finish(render(tissues, spacing_mm, rng, ORDINARY), tissues)


def _native(tissues: torch.Tensor, spacing_mm: Spacing, rng: np.random.Generator) -> Spoilt:
    return _finish(render(tissues, spacing_mm, rng, replace(ORDINARY, phases=(("none", 1.0),))), tissues)


def _wrong_phase(tissues: torch.Tensor, spacing_mm: Spacing, rng: np.random.Generator) -> Spoilt:
    """Contrast in the right heart alone, or long gone."""
    phase = "early" if rng.random() < 0.5 else "gone"
    return _finish(render(tissues, spacing_mm, rng, replace(ORDINARY, phases=((phase, 1.0),))), tissues)


def _noise(tissues: torch.Tensor, spacing_mm: Spacing, rng: np.random.Generator) -> Spoilt:
    return _finish(render(tissues, spacing_mm, rng, replace(ORDINARY, noise_hu=(90.0, 350.0))), tissues)


def _dissection(tissues: torch.Tensor, spacing_mm: Spacing, rng: np.random.Generator) -> Spoilt:
    return _finish(render(tissues, spacing_mm, rng, replace(ORDINARY, dissection=1.0)), tissues)


def _metal(tissues: torch.Tensor, spacing_mm: Spacing, rng: np.random.Generator) -> Spoilt:
    """Prostheses and a lead, and streaks from two to four more dense things anywhere in the heart."""
    image = render(tissues, spacing_mm, rng, replace(ORDINARY, prosthesis=0.7, lead=0.7))
    generator = torch_generator(rng)
    heart = (tissues[::4, ::4, ::4] < STRUCTURES).logical_and(tissues[::4, ::4, ::4] > 0).nonzero() * 4
    for z, y, x in heart[rng.integers(len(heart), size=int(rng.integers(2, 5)))].tolist():
        away_mm = (torch.arange(tissues.shape[0]) - z) * spacing_mm[2]
        rows = torch.exp(-(away_mm / float(rng.uniform(8, 40))).square())
        add_streaks(image, (y, x), rows, float(rng.uniform(150, 700)), spacing_mm, rng, generator)
    return _finish(image, tissues)


def _motion(tissues: torch.Tensor, spacing_mm: Spacing, rng: np.random.Generator) -> Spoilt:
    """Slabs of single heart beats, far apart from each other, or double contours of a centimetre, or both."""
    image = render(tissues, spacing_mm, rng, ORDINARY)
    labels = tissues.clone()
    kind = rng.integers(3)
    if kind != 1:
        first = int(rng.integers(1, max(2, int(30 / spacing_mm[2]))))
        while first < len(image):
            last = first + max(2, int(rng.uniform(12, 40) / spacing_mm[2]))
            moves = [round(float(rng.normal(0, 6)) / spacing_mm[1 - axis]) for axis in (0, 1)]
            for volume in (image, labels):
                volume[first:last] = torch.roll(volume[first:last], moves, (1, 2))
            first = last
    if kind != 0:
        copies = [image]
        for _ in range(int(rng.integers(1, 4))):
            moves = [round(float(rng.normal(0, 6)) / step) for step in spacing_mm]
            copies.append(torch.roll(image, moves, (2, 1, 0)))
        image = torch.stack(copies).mean(0)
    return _finish(image, labels)


def _cut_off(tissues: torch.Tensor, spacing_mm: Spacing, rng: np.random.Generator) -> Spoilt:
    """The scan ends within the heart, on one side or two, but shows what the engine accepts."""
    hu, labels = render_ordinary(tissues, spacing_mm, rng)
    for _ in range(int(rng.integers(1, 3))):
        axis = int(rng.integers(3))
        inside = np.flatnonzero(labels.any(axis=tuple(a for a in range(3) if a != axis)))
        if len(inside) < 20:
            break
        place = int(np.quantile(inside, rng.uniform(0.2, 0.7)))
        least = int(np.ceil(LEAST_FIELD_MM / spacing_mm[2 - axis]))
        first = rng.random() < 0.5
        kept = slice(max(0, min(place, hu.shape[axis] - least)), None) if first else slice(None, max(place, least))
        part = tuple(kept if a == axis else slice(None) for a in range(3))
        hu, labels = hu[part], labels[part]
    return np.ascontiguousarray(hu), np.ascontiguousarray(labels)


def _mirrored(tissues: torch.Tensor, spacing_mm: Spacing, rng: np.random.Generator) -> Spoilt:
    """Left and right exchanged, as in situs inversus or a file that was written the wrong way round."""
    return render_ordinary(tissues.flip(2), spacing_mm, rng)


def _missing(tissues: torch.Tensor, spacing_mm: Spacing, rng: np.random.Generator) -> Spoilt:
    changed = tissues.clone()
    chamber = CHAMBERS[int(rng.integers(len(CHAMBERS)))]
    changed[changed == chamber] = (FAT, LUNG, WALL, LVM)[int(rng.integers(4))]
    return render_ordinary(changed, spacing_mm, rng)


def _doubled(tissues: torch.Tensor, spacing_mm: Spacing, rng: np.random.Generator) -> Spoilt:
    """A second chamber beside the heart, as bright as the first, which nobody would label."""
    changed = tissues.clone()
    chamber = CHAMBERS[int(rng.integers(len(CHAMBERS)))]
    way = rng.normal(0, 1, 3)
    way *= rng.uniform(45, 85) / np.linalg.norm(way)
    moves = [round(float(move) / step) for move, step in zip(way, spacing_mm, strict=True)]
    copy = torch.roll(tissues == chamber, moves, (2, 1, 0))
    free = torch.isin(tissues, torch.tensor([0, WALL, FAT, SOFT, LUNG], dtype=torch.uint8)) | (tissues >= STRUCTURES)
    changed[copy & free] = VEINS if chamber in (RA, RVC, PA) else ARTERIES
    return render_ordinary(changed, spacing_mm, rng)


OF_HEARTS: dict[str, Callable[[torch.Tensor, Spacing, np.random.Generator], Spoilt]] = {
    "native": _native,
    "noise": _noise,
    "metal": _metal,
    "cut_off": _cut_off,
    "motion": _motion,
    "wrong_phase": _wrong_phase,
    "mirrored": _mirrored,
    "dissection": _dissection,
    "missing": _missing,
    "doubled": _doubled,
}
FAULTS = (*PARTS, *OF_HEARTS)
