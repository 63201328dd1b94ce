"""Labelled scans of patients for the training: a manifest names images, label maps and what is labelled in them.

A manifest is a JSON list; paths are relative to its folder:

    [{"image": "a.nii.gz", "labels": "a_seg.nii.gz", "set": "mm-whs"},
     {"image": "b.nii.gz", "labels": "b_masks", "set": "totalsegmentator", "labelled": ["left_atrium", "aorta"]}]

`set` says what the values mean: one of the label sets of `whs-fast evaluate` (whs-fast, mm-whs, totalsegmentator) or
imagecas. For totalsegmentator, `labels` may be its usual folder of masks, one file a structure. `labelled` lists the
structures that are drawn in full; without it those of the set, but for MM-WHS, whose aorta and pulmonary artery end
early: their voxels are learnt, but background beyond them says nothing against them. What is not labelled in full may
lie anywhere in the background (the marginal loss of train_dense_vnet). ImageCAS draws coronary arteries alone: its
voxels are told to be no structure of ours, all others tell nothing.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from whs_fast import InputError, _kernels
from whs_fast.reading.labels import read_labels
from whs_fast.reading.scan import read
from whs_fast.steps.segment import read_region
from whs_fast.structures import BY_KEY
from whs_fast.study.evaluation.schemes import LABEL_SETS
from whs_fast.volume import Grid, Volume, index_map

from training.crops import SPACING_MM
from training.deformation import rotation, torch_generator
from training.heart import STRUCTURES

NO_STRUCTURE = STRUCTURES  # label of voxels that are background for certain
IN_PART = {"mm-whs": ("aorta", "pulmonary_artery")}
MASKS = {  # TotalSegmentator's files of one structure
    "heart_myocardium": "left_ventricle_myocardium", "heart_atrium_left": "left_atrium",
    "atrial_appendage_left": "left_atrium", "heart_ventricle_left": "left_ventricle_cavity",
    "heart_atrium_right": "right_atrium", "heart_ventricle_right": "right_ventricle_cavity", "aorta": "aorta",
    "pulmonary_artery": "pulmonary_artery", "pulmonary_vein": "pulmonary_veins",
    "superior_vena_cava": "superior_vena_cava",
}  # fmt: skip
SETS = (*LABEL_SETS, "imagecas")
KEPT_SCANS = 4  # scans that each worker keeps in memory


@dataclass(frozen=True)
class LabelledScan:
    """One line of a manifest; labelled: our labels of the structures that are drawn in full."""

    image: Path
    labels: Path
    label_set: str
    labelled: frozenset[int]


def read_manifest(path: Path) -> tuple[LabelledScan, ...]:
    """The scans of a manifest. Raises InputError where it is not as described above."""
    try:
        lines = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: found no JSON ({error}), expected a list of scans") from error
    if not isinstance(lines, list) or not lines:
        raise InputError(f"{path}: found no list of scans, expected at least one")
    return tuple(_scan(line, f"{path}: scan {number}", path.parent) for number, line in enumerate(lines, 1))


def _scan(line: object, name: str, folder: Path) -> LabelledScan:
    needed = {"image", "labels", "set"}
    if not isinstance(line, dict) or not needed <= set(line) <= needed | {"labelled"}:
        found = ", ".join(line) if isinstance(line, dict) else repr(line)
        raise InputError(f"{name}: found {found}, expected image, labels, set and maybe labelled")
    label_set = line["set"]
    if label_set not in SETS:
        raise InputError(f"{name}: found the set {label_set!r}, expected one of {', '.join(SETS)}")
    image, labels = folder / str(line["image"]), folder / str(line["labels"])
    for file in (image, labels):
        if not file.exists():
            raise InputError(f"{name}: found no {file}, expected a scan and its labels")
    if label_set == "imagecas":
        known: set[str] = set()
    elif labels.is_dir():
        known = {key for mask, key in MASKS.items() if _mask(labels, mask).exists()}
    else:
        known = set(LABEL_SETS[label_set].values.values()) - set(IN_PART.get(label_set, ()))
    keys = set(line.get("labelled", known))
    if not keys <= set(BY_KEY):
        raise InputError(f"{name}: found {', '.join(sorted(keys - set(BY_KEY)))}, expected keys of structures")
    return LabelledScan(image, labels, label_set, frozenset(BY_KEY[key].label for key in keys))


def _mask(folder: Path, name: str) -> Path:
    return folder / f"{name}.nii.gz"


def _read_labels(scan: LabelledScan) -> tuple[NDArray[np.uint8], Grid]:
    """Our labels, and NO_STRUCTURE, on the grid of the label map."""
    if scan.label_set == "imagecas":
        return read_labels(scan.labels, {1: NO_STRUCTURE})
    if not scan.labels.is_dir():
        return read_labels(scan.labels, LABEL_SETS[scan.label_set].table)
    merged: tuple[NDArray[np.uint8], Grid] | None = None
    for mask, key in MASKS.items():
        file = _mask(scan.labels, mask)
        if not file.exists():
            continue
        found, grid = read_labels(file, {1: BY_KEY[key].label})
        if merged is None:
            merged = found, grid
        elif found.shape != merged[0].shape:
            raise InputError(
                f"{file}: found {found.shape} voxels, expected {merged[0].shape} as in the masks beside it"
            )
        else:
            np.copyto(merged[0], found, where=found > 0)
    if merged is None:
        raise InputError(f"{scan.labels}: found no mask of a structure, expected {', '.join(MASKS)}")
    return merged


@lru_cache(maxsize=KEPT_SCANS)
def _load(scan: LabelledScan) -> tuple[Volume, NDArray[np.uint8], Grid, dict[int, NDArray[np.float64]]]:
    """The scan, its labels with their grid, and some points of each label in mm."""
    labels, grid = _read_labels(scan)
    points = {}
    for label in np.unique(labels[labels > 0]).tolist():
        where = np.argwhere(labels == label)
        where = where[:: max(1, len(where) // 2000)][:, ::-1]
        points[label] = where @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    if not points:
        raise InputError(f"{scan.labels}: found no labelled voxel, expected labels")
    return read(scan.image), labels, grid, points


def draw_labelled_crop(
    scan: LabelledScan, rng: np.random.Generator, side: int, scale: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A crop around the labels, tilted a little, as the engine would resample it, a little brighter or noisier.

    Returns image uint8 [side]^3, structures uint8 [side]^3 (NO_STRUCTURE included) and which of the 11 classes are
    labelled in full, bool [11].
    """
    volume, labels, grid, points = _load(scan)
    if rng.random() < 0.5:  # any structure, large or small
        places = points[int(rng.choice(list(points)))]
        centre = places[rng.integers(len(places))] + rng.normal(0, 8, 3)
    else:
        centre = np.concatenate(list(points.values())).mean(0) + rng.normal(0, 20, 3)
    direction = rotation(rng.normal(0, 0.1, 3))
    spacing = SPACING_MM * scale
    origin = centre - direction @ spacing * (side - 1) / 2
    numbers = [tuple(float(v) for v in np.ravel(part)) for part in (spacing, origin, direction)]
    region = Grid((side, side, side), *numbers)  # type: ignore[arg-type]
    structures = np.empty(region.shape, np.uint8)
    _kernels.resample_nearest(labels, structures, index_map(region, grid), threads=1)
    seen = torch.from_numpy(read_region(volume, region, threads=1))
    altered = seen * float(rng.uniform(0.9, 1.1)) + float(rng.uniform(-10, 10))
    altered += float(rng.uniform(0, 8)) * torch.randn(seen.shape, generator=torch_generator(rng))
    labelled = torch.zeros(STRUCTURES, dtype=torch.bool)
    labelled[[0, *scan.labelled]] = True
    altered = altered.clamp_(0, 255).round_().to(torch.uint8).masked_fill_(seen == 0, 0)  # air stays air
    return altered, torch.from_numpy(structures), labelled
