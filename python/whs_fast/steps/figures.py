"""What tells how far a segmentation can be trusted: figures of one result, from what the run has found anyway.

Margins of the logits, volumes, places and neighbours of the structures, HU inside them, and how far the localiser
agrees with itself and with the labels. docs/quality.md says why each of them tells something; steps.confidence turns
them into a prediction.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast.steps.heart_box import LABELS, HeartBox
from whs_fast.structures import STRUCTURES

PV, LA, LVC, LVM, AO, CS, SVC, RA, RVC, PA = range(1, LABELS)
# Structures that open into each other, or share a wall that is labelled.
JOINED = ((PV, LA), (LA, LVC), (LVC, AO), (LVC, LVM), (CS, RA), (SVC, RA), (RA, RVC), (RVC, PA))
# Those that lie side by side with a thin wall between that is not labelled: contact is no fault.
BESIDE = ((LVM, LA), (LVM, AO), (LVM, CS), (LVM, RVC), (LVM, RA), (LA, CS), (LA, AO), (AO, PA), (SVC, PV), (PA, LA))
CUP = (LVM, LA, AO)  # what encloses the left ventricular cavity

CLEAR, UNSURE, TORN = 32, 16, 6  # of the logits' 8 bits; the scale of a network is its own, so a calibration is too
LOGIT_ML = 1.4 * 1.4 * 2.0 / 1000.0
FAR_MM = 99.0


@dataclass(frozen=True)
class Figures:
    """Figures of the whole heart by name, and of each structure by its label and name."""

    whole: dict[str, float]
    structures: dict[int, dict[str, float]] = field(repr=False)


def find_figures(
    margins: NDArray[np.int64],
    box: HeartBox | None,
    measured: Mapping[str, Any],
    contrast: Mapping[str, Any],
    *,
    residuals_mm: tuple[float, ...],
    moved_mm: float | None,
) -> Figures:
    """Figures of one result.

    margins counts logits by best label, second label and margin, int64[11, 11, 256]; box is the heart's, None where
    nothing was labelled; measured and contrast are what those steps gave. residuals_mm are those of the localiser's
    three fits; moved_mm is how far the valve of the labels lies from its point, None where the labels show none.
    """
    faces = np.zeros((LABELS, LABELS)) if box is None else count_faces(box)
    places = np.zeros((LABELS, 3)) if box is None else find_places(box)
    strange = np.zeros((2, LABELS)) if box is None else find_strangers(box, contrast)
    structures = {}
    for structure in STRUCTURES:
        entry, pool = measured["structures"][structure.key], contrast["structures"][structure.key]
        structures[structure.label] = {
            "volume_ml": entry["volume_ml"],
            "at_edge": float(entry["touches_scan_edge"] or bool(entry["touches_region_edge"])),
            **_clarity(margins, structure.label, entry["volume_ml"]),
            **_neighbours(faces, structure.label),
            **dict(zip(("left_mm", "back_mm", "up_mm"), places[structure.label].tolist(), strict=True)),
            "mean_hu": -1000.0 if pool is None else pool["mean_hu"],
            "sd_hu": 0.0 if pool is None else pool["sd_hu"],
            **dict(zip(("strange", "open"), strange[:, structure.label].tolist(), strict=True)),
        }
    volume = max(1e-3, sum(own["volume_ml"] for own in structures.values()))
    background = margins[0].sum(axis=0)
    whole = {
        "residual_mm": max(residuals_mm),
        "moved_mm": FAR_MM if moved_mm is None else moved_mm,
        "stray": float(background[:UNSURE].sum()) * LOGIT_ML / volume,
        **{f"joint_{a}_{b}_mm2": min(2000.0, float(faces[a, b])) for a, b in JOINED},
        "closed_cup": _share(faces[LVC, list(CUP)].sum(), faces[LVC].sum()),
        **{
            name: -1000.0 if contrast[name] is None else contrast[name]
            for name in ("left_blood_hu", "left_minus_muscle_hu", "left_minus_right_hu", "noise_hu", "largest_step")
        },
        "slice_spacing_mm": contrast["slice_spacing_mm"],
    }
    return Figures(whole, structures)


def _clarity(margins: NDArray[np.int64], label: int, volume_ml: float) -> dict[str, float]:
    """How clearly the logits name a structure, against background and against its rivals."""
    own = margins[label].sum(axis=0)
    total = own.sum()
    rivals = margins[label, 1:].sum(axis=0) + margins[1:, label].sum(axis=0)
    return {
        "clear": _share(np.minimum(np.arange(len(own)), CLEAR) @ own, CLEAR * total),
        "unsure": _share(own[:UNSURE].sum(), total),
        "torn": _share(own[:TORN].sum(), total),
        "missed": _share(margins[:, label, :UNSURE].sum(), total),
        "rivalled": _share(rivals[:UNSURE].sum(), total),
        "kept": min(2.0, _share(volume_ml, total * LOGIT_ML)),
    }


def _neighbours(faces: NDArray[np.float64], label: int) -> dict[str, float]:
    """Contact of a structure with those it opens into, and with those it must not touch."""
    joined = {a + b - label for a, b in JOINED if label in (a, b)}
    allowed = joined | {a + b - label for a, b in BESIDE if label in (a, b)}
    wrong = [other for other in range(1, LABELS) if other not in allowed]
    return {
        "least_joint_mm2": min(2000.0, *(float(faces[label, other]) for other in joined)),
        "joint_share": _share(faces[label, list(joined)].sum(), faces[label].sum()),
        "wrong_share": _share(faces[label, wrong].sum(), faces[label].sum()),
        "surface_mm2": float(faces[label].sum()),
    }


def count_faces(box: HeartBox) -> NDArray[np.float64]:
    """Area in mm2 in which two labels touch, float64[11, 11], symmetric, 0 on the diagonal."""
    faces = np.zeros((LABELS, LABELS))
    for axis in range(3):
        labels = np.moveaxis(box.labels, axis, 0)
        pairs = labels[1:] * np.uint8(LABELS) + labels[:-1]  # 120 at most
        area = float(np.prod(np.delete(box.steps_mm, axis)))
        faces += np.bincount(pairs[labels[1:] != labels[:-1]], minlength=LABELS * LABELS).reshape(LABELS, LABELS) * area
    return faces + faces.T


def find_places(box: HeartBox) -> NDArray[np.float64]:
    """Centre of each label from the centre of all of them, mm, LPS: float64[11, 3]; 0 for a label that is absent."""
    voxels = np.zeros(LABELS)
    sums = np.zeros((LABELS, 3))
    for axis in range(3):
        labels = np.moveaxis(box.labels, axis, 0).reshape(box.labels.shape[axis], -1)
        counts = np.stack([np.bincount(row, minlength=LABELS) for row in labels])
        voxels = counts.sum(axis=0)
        sums += (np.arange(len(counts)) @ counts)[:, None] * box.steps_mm[axis] * box.axes[axis]
    centre = sums[1:].sum(axis=0) / max(1, voxels[1:].sum())
    places = np.where(voxels[:, None] > 0, sums / np.maximum(voxels, 1)[:, None] - centre, 0.0)
    return np.asarray(places)


def agreement(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> dict[int, float]:
    """Dice of two label maps of one scan, uint8[z, y, x]: of each label, and pooled under 0; 1 where both have none."""
    sizes = [np.bincount(labels.ravel(), minlength=LABELS) for labels in (first, second)]
    both = np.bincount(first[first == second], minlength=LABELS)
    total = sizes[0] + sizes[1]
    found = {label: _share(2 * both[label], total[label], 1.0) for label in range(1, LABELS)}
    return {0: _share(2 * both[1:].sum(), total[1:].sum(), 1.0)} | found


def find_strangers(box: HeartBox, contrast: Mapping[str, Any]) -> NDArray[np.float64]:
    """What the HU say against the labels, float64[2, 11]: shares of voxels, and of the faces with background.

    Voxels of blood that are nearer to muscle, and of muscle that are nearer to blood; background that is nearer to
    blood. 0 where contrast does not tell.
    """
    pools = contrast["structures"]
    muscle, limits = pools[STRUCTURES[LVM - 1].key], np.full(LABELS, np.nan)
    for structure in STRUCTURES:
        blood = pools[STRUCTURES[LVC - 1].key if structure.label == LVM else structure.key]
        if muscle is not None and blood is not None and blood["mean_hu"] > muscle["mean_hu"]:
            limits[structure.label] = (blood["mean_hu"] + muscle["mean_hu"]) / 2
    voxels, own, faces, bright = (np.zeros(LABELS) for _ in range(4))
    voxels += np.bincount(box.labels.ravel(), minlength=LABELS)
    darker = box.hu < limits[box.labels]
    own += np.bincount(box.labels[darker], minlength=LABELS)
    own[LVM] = (box.hu[box.labels == LVM] > limits[LVM]).sum()
    for axis in range(3):
        area = float(np.prod(np.delete(box.steps_mm, axis)))
        labels, hu = np.moveaxis(box.labels, axis, 0), np.moveaxis(box.hu, axis, 0)
        for inner, outer in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
            border = (labels[inner] > 0) & (labels[outer] == 0)
            label = labels[inner][border]
            faces += np.bincount(label, minlength=LABELS) * area
            bright += np.bincount(label[hu[outer][border] > limits[label]], minlength=LABELS) * area
    return np.array([own / np.maximum(voxels, 1), bright / np.maximum(faces, 1e-9)])


def _share(part: float, total: float, otherwise: float = 0.0) -> float:
    return float(part / total) if total else otherwise
