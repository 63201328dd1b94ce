"""How well a scan shows the heart: blood and muscle in HU, noise, slices, steps between heart beats.

Blood of the left heart should be far above muscle and alike everywhere. docs/quality.md defines every figure.

What the limits stand on: blood without contrast has 30 to 60 HU, as muscle has, and coronary CT angiography aims at
more than 250 HU in the aorta: textbook values. The limit for steps is above what ordinary rendered scans
(training/confidence_scans.py, calibration) have; only large steps pass it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast.steps.heart_box import LABELS, HeartBox
from whs_fast.structures import BY_KEY, STRUCTURES
from whs_fast.volume import Volume

MUSCLE = BY_KEY["left_ventricle_myocardium"].label
LEFT = tuple(BY_KEY[key].label for key in ("left_atrium", "left_ventricle_cavity", "aorta"))
RIGHT = tuple(BY_KEY[key].label for key in ("right_atrium", "right_ventricle_cavity", "pulmonary_artery"))
MIXING = tuple(BY_KEY[key].label for key in ("right_atrium", "right_ventricle_cavity"))

FEWEST_ML = 0.2  # of a pool's core, for a mean that means something
BLOCK_MM = 8.0  # side of the squares in which noise is measured, as readers draw them in the aorta
FEWEST_BLOCKS = 8

NATIVE_HU, NATIVE_ABOVE_MUSCLE_HU = 100.0, 40.0
WEAK_HU = 200.0
UNMIXED_HU = 60.0  # sd beside noise: streams a hundred HU and more apart
NOISY_HU = 60.0
THICK_MM = 3.0
STEP_RATIO = 2.5
LEAST_CHANGE_HU = 5.0  # what neighbouring slices always differ by


def measure_contrast(volume: Volume, box: HeartBox | None) -> dict[str, Any]:
    """The entry `contrast` of measurements.json, HU and mm; null where nothing was found to measure it in."""
    pools: dict[str, dict[str, float] | None] = {structure.key: None for structure in STRUCTURES}
    left = right = noise = steps = None
    if box is not None:
        core = box.core()
        labels, hu = box.labels[core], box.hu[core].astype(np.float64)
        voxels: NDArray[Any] = np.bincount(labels, minlength=LABELS)
        sums, squares = (np.bincount(labels, weights=of, minlength=LABELS).astype(float) for of in (hu, hu * hu))
        fewest = FEWEST_ML / box.voxel_ml
        for structure in STRUCTURES:
            count = voxels[structure.label]
            if count >= fewest:
                mean = sums[structure.label] / count
                spread = np.sqrt(max(0.0, squares[structure.label] / count - mean * mean))
                pools[structure.key] = {"mean_hu": round(float(mean), 1), "sd_hu": round(float(spread), 1)}
        left, right = (_mean(voxels, sums, side, fewest) for side in (LEFT, RIGHT))
        noise = _noise(box, core)
        steps = _largest_step(box)
    muscle = pools["left_ventricle_myocardium"]
    axis = np.abs(volume.grid.affine[2, :3])
    slices_mm = float(np.linalg.norm(volume.grid.affine[:3, int(np.argmax(axis))]))
    return {
        "structures": pools,
        "left_blood_hu": left,
        "right_blood_hu": right,
        "left_minus_right_hu": None if left is None or right is None else round(left - right, 1),
        "left_minus_muscle_hu": None if left is None or muscle is None else round(left - muscle["mean_hu"], 1),
        "noise_hu": noise,
        "slice_spacing_mm": round(slices_mm, 3),
        "largest_step": steps,
        "ecg_gated": None if volume.source is None else volume.source.gated,
    }


def _mean(
    voxels: NDArray[Any], sums: NDArray[np.float64], side: tuple[int, ...], fewest: float
) -> float | None:
    count = int(voxels[list(side)].sum())
    return round(float(sums[list(side)].sum()) / count, 1) if count >= fewest else None


def _noise(box: HeartBox, core: NDArray[np.bool_]) -> float | None:
    """Median over squares within one slice and one pool of the left heart, or else of muscle, of the sd of their HU."""
    rows, columns = (max(4, round(BLOCK_MM / step)) for step in box.steps_mm[1:])
    depth, height, width = (n // size for n, size in zip(box.labels.shape, (1, rows, columns), strict=True))
    shape = depth, height, rows, width, columns
    labels, hu = (
        array[:, : height * rows, : width * columns].reshape(shape).transpose(0, 1, 3, 2, 4).reshape(-1, rows * columns)
        for array in (np.where(core, box.labels, 0), box.hu)
    )
    whole = (labels == labels[:, :1]).all(axis=1)
    for wanted in (LEFT, (MUSCLE,)):
        chosen = whole & np.isin(labels[:, 0], wanted)
        if chosen.sum() >= FEWEST_BLOCKS:
            return round(float(np.median(hu[chosen].astype(np.float64).std(axis=1, ddof=1))), 1)
    return None


def _largest_step(box: HeartBox) -> float | None:
    """How much more two neighbouring slices differ than those around them do: the largest ratio along the scan.

    Slices of two heart beats that were not in the same place differ at once and everywhere, which anatomy does not.
    """
    inside = box.labels > 0
    pairs = inside[1:] & inside[:-1]
    counts = pairs.sum(axis=(1, 2))
    differences = np.minimum(np.abs(np.diff(box.hu.astype(np.int32), axis=0)), 400)
    kept = np.flatnonzero(counts * box.steps_mm[1] * box.steps_mm[2] > 1000.0)  # mm^2
    if len(kept) < 9:
        return None
    change = np.array([differences[z][pairs[z]].mean() for z in kept])
    usual = np.array([np.median(np.delete(change[max(0, i - 4) : i + 5], min(i, 4))) for i in range(len(change))])
    return round(float((change / np.maximum(usual, LEAST_CHANGE_HU)).max()), 2)


def find_contrast_doubts(contrast: Mapping[str, Any]) -> list[str]:
    """Warnings in plain words that the figures of `measure_contrast` give reason for."""
    doubts = []
    left, above = contrast["left_blood_hu"], contrast["left_minus_muscle_hu"]
    if lacks_contrast(contrast):
        muscle = "" if above is None else f", muscle {left - above:.0f} HU"
        doubts.append(f"no contrast in the left heart: its blood has {left:.0f} HU{muscle}; do not trust the volumes")
    elif left is not None and left < WEAK_HU:
        doubts.append(f"little contrast in the left heart: its blood has {left:.0f} HU, expected over {WEAK_HU:.0f}")
    noise = contrast["noise_hu"]
    spreads = [contrast["structures"][s.key] for s in STRUCTURES if s.label in MIXING]
    spread = max((pool["sd_hu"] for pool in spreads if pool is not None), default=0.0)
    mixing = float(np.sqrt(max(0.0, spread**2 - (noise or 0.0) ** 2)))
    if mixing > UNMIXED_HU:
        doubts.append(
            f"blood of the right heart is unmixed: it varies by {mixing:.0f} HU (sd) beside noise, expected up to "
            f"{UNMIXED_HU:.0f}; its borders are uncertain"
        )
    if noise is not None and noise > NOISY_HU:
        doubts.append(f"much noise: {noise:.0f} HU, expected up to {NOISY_HU:.0f}")
    if contrast["slice_spacing_mm"] > THICK_MM:
        doubts.append(f"thick slices: {contrast['slice_spacing_mm']:.1f} mm, expected up to {THICK_MM:.0f}")
    if contrast["largest_step"] is not None and contrast["largest_step"] > STEP_RATIO:
        doubts.append(
            f"neighbouring slices do not fit together somewhere: they differ {contrast['largest_step']:.1f} times as "
            "much as those around; the heart may have moved between heart beats"
        )
    if contrast["ecg_gated"] is False:
        doubts.append("not ECG-gated, by its DICOM header: borders of the heart are blurred by motion")
    return doubts


def lacks_contrast(contrast: Mapping[str, Any]) -> bool:
    """Whether blood of the left heart looks as it does without contrast."""
    left, above = contrast["left_blood_hu"], contrast["left_minus_muscle_hu"]
    return left is not None and (left < NATIVE_HU or (above is not None and above < NATIVE_ABOVE_MUSCLE_HU))
