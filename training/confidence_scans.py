"""Scans to learn a confidence from and to judge it by, half of them spoilt (training/faults.py).

Fixed before any of them was scored. Each anatomy gives two scans on one grid: an ordinary one, in every fourth case by
the renderer of the test sets, and one with a fault; the faults are dealt out in turn. Calibration and judgement share
no anatomy: their seeds are (8, i) and (14, i); (9, i) and (13, i) judged what shipped before. Grids are coarse, 1
to 1.5 mm, so that drawing and running stay cheap.
"""

from collections.abc import Iterator
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

SEEDS = {"calibration": 8, "judgement": 14}
ANATOMIES = {"calibration": 260, "judgement": 100}  # two scans each
OTHER_RENDERER = 4  # every 4th ordinary scan


@dataclass(frozen=True)
class Case:
    """One scan: of the anatomy that seed (SEEDS[part], index) draws; fault is one of FAULTS, or None."""

    part: str
    index: int
    fault: str | None

    @property
    def name(self) -> str:
        return f"{self.index:03d}_{self.fault or 'ordinary'}"


def cases(part: str) -> list[Case]:
    """All scans of a part, an ordinary and a spoilt one of each anatomy."""
    return [
        Case(part, index, fault)
        for index in range(ANATOMIES[part])
        for fault in (None, FAULTS[index % len(FAULTS)])
    ]


def draw_pair(part: str, index: int) -> Iterator[tuple[Case, Scan]]:
    """The two scans of an anatomy: HU, and the labels that a reader would draw."""
    seed = SEEDS[part], index
    rng = np.random.default_rng([*seed, 1])  # place and grid; the anatomy has its own
    wide = rng.random() < 0.25
    pixel = float(rng.uniform(1.3, 1.5) if wide else rng.uniform(1.0, 1.4))
    spacing = (pixel, pixel, float(rng.uniform(1.0, 2.5)))
    side, height = rng.uniform(195, 250) if wide else rng.uniform(150, 190), rng.uniform(130, 190)
    shape = (round(height / spacing[2]), round(side / pixel), round(side / pixel))
    direction = rotation(rng.normal(0, 1, 3) * float(rng.choice([0.0, 0.08])))
    anatomy = draw(SOURCES[index % len(SOURCES)], np.random.default_rng(seed))
    centre = np.array(anatomy.valve_mm) + np.array([6.0, 4.0, -2.0]) + rng.uniform(-1, 1, 3) * 12.0
    x, y, z = (float(v) for v in centre - direction @ (np.array(spacing) * (np.array(shape[::-1]) - 1) / 2))
    tissues = sample(anatomy, shape, spacing, (x, y, z), direction)
    for number, case in enumerate(case for case in cases(part) if case.index == index):
        rng = np.random.default_rng([*seed, 2 + number])
        if case.fault in PARTS:
            hu, labels = draw_part(case.fault, shape, spacing, rng), np.zeros(shape, np.uint8)
        elif case.fault is not None:
            hu, labels = OF_HEARTS[case.fault](tissues, spacing, rng)
        elif index % OTHER_RENDERER == OTHER_RENDERER - 1:
            how = Acquisition(**{field: float(rng.choice(values)) for field, values in DEALT.items()})
            hu, labels = render_test(tissues.numpy(), np.array(spacing[::-1]), how, rng), labels_of(tissues)
        else:
            hu, labels = render_ordinary(tissues, spacing, rng)
        yield case, Scan(hu, labels, spacing, (0.0, 0.0, 0.0), direction, (0.0, 0.0, 0.0))


def write(folder: Path, part: str) -> None:
    """The scans of a part into FOLDER/PART: NAME.nii and NAME_labels.nii.gz; those that are there stay."""
    folder = folder / part
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(ANATOMIES[part]):
        if all((folder / f"{case.name}.nii").exists() for case in cases(part) if case.index == index):
            continue
        for case, scan in draw_pair(part, index):
            sitk.WriteImage(scan.image(scan.labels), str(folder / f"{case.name}_labels.nii.gz"), True, 1)
            aside = folder / f"{case.name}.part.nii"
            sitk.WriteImage(scan.image(scan.hu), str(aside))
            aside.rename(folder / f"{case.name}.nii")  # a scan that is there is whole
        print(f"{part}: {index + 1} of {ANATOMIES[part]} anatomies drawn", flush=True)
