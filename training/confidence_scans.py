"""Scans to learn a confidence from and to judge it by, half of them spoilt (training/faults.py).

Fixed before any of them was scored. Each anatomy gives two scans: an ordinary one, in every fourth case by the renderer
of the test sets, and one with a fault; the faults are dealt out in turn. Calibration and judgement share no anatomy:
their seeds are (8, i) and (9, i). Grids are coarse, 1 to 1.5 mm, so that drawing and running stay cheap.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from training.anatomies import SOURCES, draw, sample
from training.bodies import PARTS, draw_part
from training.deformation import rotation
from training.faults import FAULTS, OF_HEARTS, labels_of, render_ordinary
from training.scans import Scan
from training.testsets import DEALT, Acquisition, render_test

SEEDS = {"calibration": 8, "judgement": 9}
ANATOMIES = {"calibration": 300, "judgement": 100}  # two scans each
OTHER_RENDERER = 4  # every 4th ordinary scan


@dataclass(frozen=True)
class Recipe:
    """One scan: anatomy of seed (SEEDS[part], index) from `source`; fault is one of FAULTS or None."""

    part: str
    index: int
    fault: str | None

    @property
    def name(self) -> str:
        return f"{self.index:03d}_{self.fault or 'ordinary'}"

    @property
    def source(self) -> str:
        return SOURCES[self.index % len(SOURCES)]


def recipes(part: str) -> list[Recipe]:
    """All scans of a part, ordinary and spoilt ones in turn."""
    faults = (None, *FAULTS)
    return [
        Recipe(part, index, fault)
        for index in range(ANATOMIES[part])
        for fault in (None, faults[1 + index % len(FAULTS)])
    ]


def draw_scan(recipe: Recipe) -> Scan:
    """HU and the labels that a reader would draw, on a grid of their own."""
    seed = (SEEDS[recipe.part], recipe.index)
    rng = np.random.default_rng([*seed, 1 + (recipe.fault is not None)])
    wide = rng.random() < 0.25
    pixel = float(rng.uniform(1.3, 1.5) if wide else rng.uniform(1.0, 1.4))
    spacing = (pixel, pixel, float(rng.uniform(1.0, 2.5)))
    side, height = rng.uniform(200, 260) if wide else rng.uniform(150, 200), rng.uniform(130, 200)
    shape = (round(height / spacing[2]), round(side / pixel), round(side / pixel))
    direction = rotation(rng.normal(0, 1, 3) * float(rng.choice([0.0, 0.08])))
    if recipe.fault in PARTS:
        hu = draw_part(recipe.fault, shape, spacing, rng)
        return Scan(hu, np.zeros(shape, np.uint8), spacing, (0.0, 0.0, 0.0), direction, (0.0, 0.0, 0.0))
    anatomy = draw(recipe.source, np.random.default_rng(seed))
    centre = np.array(anatomy.valve_mm) + np.array([6.0, 4.0, -2.0]) + rng.uniform(-1, 1, 3) * 12.0
    origin = centre - direction @ (np.array(spacing) * (np.array(shape[::-1]) - 1) / 2)
    tissues = sample(anatomy, shape, spacing, (float(origin[0]), float(origin[1]), float(origin[2])), direction)
    if recipe.fault is not None:
        hu, labels = OF_HEARTS[recipe.fault](tissues, spacing, rng)
    elif recipe.index % OTHER_RENDERER == OTHER_RENDERER - 1:
        how = Acquisition(**{field: float(rng.choice(values)) for field, values in DEALT.items()})
        hu, labels = render_test(tissues.numpy(), np.array(spacing[::-1]), how, rng), labels_of(tissues)
    else:
        hu, labels = render_ordinary(tissues, spacing, rng)
    return Scan(hu, labels, spacing, (0.0, 0.0, 0.0), direction, (0.0, 0.0, 0.0))


def write(folder: Path, part: str) -> None:
    """The scans of a part into FOLDER/PART: NAME.nii.gz and NAME_labels.nii.gz; those that are there stay."""
    folder = folder / part
    folder.mkdir(parents=True, exist_ok=True)
    for number, recipe in enumerate(recipes(part)):
        file = folder / f"{recipe.name}.nii.gz"
        if file.exists():
            continue
        scan = draw_scan(recipe)
        sitk.WriteImage(scan.image(scan.labels), str(folder / f"{recipe.name}_labels.nii.gz"), True, 1)
        aside = file.with_name(f"aside_{file.name}")
        sitk.WriteImage(scan.image(scan.hu), str(aside), True, 1)
        aside.rename(file)  # a scan that is there is whole
        if number % 20 == 19:
            print(f"{part}: {number + 1} of {len(recipes(part))} scans drawn", flush=True)
