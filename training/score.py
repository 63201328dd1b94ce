"""Score the shipped models on held-out rendered scans: `python -m training.score FOLDER` (made by training.scans).

Prints a table and writes the figures into models.json beside the models, from where `whs-fast info` reads them. The
whole engine runs, as a user would run it, once with each localiser.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from whs_fast import STRUCTURES, Engine
from whs_fast.localising import localise
from whs_fast.reading import read

from training.export_dense_vnet import MODELS
from training.localisers import slice_predictors

SEVEN = ("left_atrium", "left_ventricle_cavity", "left_ventricle_myocardium", "aorta", "right_atrium",
         "right_ventricle_cavity", "pulmonary_artery")  # fmt: skip


def overlaps(found: NDArray[np.uint8], reference: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Voxels of each label 0..10 in both maps, in `found` and in `reference`: [11, 3]."""
    both = np.bincount(reference[found == reference].ravel(), minlength=11)
    return np.stack([both, np.bincount(found.ravel(), minlength=11), np.bincount(reference.ravel(), minlength=11)], 1)


def score(folder: Path, localiser: str, threads: int | None) -> tuple[dict[str, float], dict[str, float]]:
    """Figures of the segmentation and of the localiser over all scans of a folder."""
    valves = json.loads((folder / "valves.json").read_text())
    engine = Engine(threads=threads, localiser=localiser)
    predict = slice_predictors(MODELS, localiser)
    per_scan, errors, localised, unions = [], [], [], []
    for name, valve in sorted(valves.items()):
        scan = read(folder / f"{name}.nii.gz")
        result = engine.run(scan)
        reference = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"{name}_labels.nii.gz")))
        counts = overlaps(result.labels, reference)
        per_scan.append(counts)
        union = ((result.labels > 0) & (reference > 0)).sum()
        unions.append(2 * union / (counts[1:, 1].sum() + counts[1:, 2].sum()))
        errors.append(float(np.linalg.norm(np.subtract(result.aortic_valve_mm, valve))))
        point_mm = localise(scan, predict, threads=1).point_mm
        localised.append(float(np.linalg.norm(np.subtract(point_mm, valve))))
        dice = 2 * counts[1:, 0] / np.maximum(counts[1:, 1:].sum(1), 1)
        print(
            f"{name} {localiser} valve {localised[-1]:5.1f} -> {errors[-1]:5.1f} mm  "
            + " ".join(f"{d:.3f}" for d in dice),
            flush=True,
        )
    counts = np.stack(per_scan)[:, 1:].astype(float)
    with np.errstate(invalid="ignore"):
        dice = np.where(counts[..., 2] > 0, 2 * counts[..., 0] / (counts[..., 1] + counts[..., 2]), np.nan)
    named = {s.key: np.nanmean(dice[:, s.label - 1]) for s in STRUCTURES}
    pooled = 2 * counts[..., 0].sum(1) / (counts[..., 1].sum(1) + counts[..., 2].sum(1))
    segmentation = {
        "overall_union": float(np.mean(unions)),
        "overall_pooled": float(pooled.mean()),
        "mean_structures": float(np.nanmean(dice)),
        "mean_seven_large": float(np.mean([named[key] for key in SEVEN])),
        **{f"dice_{key}": float(value) for key, value in named.items()},
    }
    localisation = {
        "scans": len(errors),
        "valve_error_mm_median": float(np.median(errors)),
        "valve_error_mm_worst": float(np.max(errors)),
        "valve_within_10_mm": sum(e <= 10 for e in errors),
        "localiser_error_mm_median": float(np.median(localised)),
        "localiser_error_mm_worst": float(np.max(localised)),
        "localiser_within_10_mm": sum(e <= 10 for e in localised),
    }
    return {k: round(v, 4) for k, v in segmentation.items()}, {k: round(v, 2) for k, v in localisation.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    scores = {}
    for localiser in ("vgg16", "squeezenet"):  # the default last: its segmentation is the one reported
        scores["dense_vnet"], scores[localiser] = score(options.folder, localiser, options.threads)
    text = json.dumps({name: scores[name] for name in ("dense_vnet", "squeezenet", "vgg16")}, indent=2)
    (MODELS / "models.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
