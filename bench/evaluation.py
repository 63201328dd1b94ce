"""Time and memory of `whs-fast evaluate` on 20 cases of 512 x 512 x 300. Goal: under 3 minutes and 1.5 GB on 2 cores.

`python bench/evaluation.py [--cases 20] [--cores 2]`. The maps are the heart of training/anatomy, rotated, scaled and
shifted at random, against itself a little moved; they are made first, compressed, in the temporary folder. The surface
measures of one case are then timed beside those of surface-distance, the reference implementation, and must agree.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from whs_fast.study.evaluation.surfaces import compare_surfaces, find_surface

ATLAS = Path(__file__).parents[1] / "training" / "anatomy" / "vhf_thorax_labels.nii.gz"
SIZE, SPACING_MM = (512, 512, 300), (0.42, 0.42, 0.6)
MOST_S, MOST_MB = 180.0, 1500.0


def make_case(heart: sitk.Image, centre: np.ndarray, rng: np.random.Generator, folder: Path, name: str) -> None:
    for side, wobble in (("reference", 0.0), ("prediction", 1.0)):
        if side == "reference":
            place = sitk.Similarity3DTransform()
            place.SetCenter(centre.tolist())
            place.SetRotation((1.0, 0.4, 0.2), float(rng.normal(0, 0.15)))
            place.SetScale(float(np.exp(rng.normal(0, 0.08))))
        moved = sitk.CompositeTransform(place)
        moved.AddTransform(sitk.TranslationTransform(3, (rng.normal(0, 1.0, 3) * wobble).tolist()))
        origin = centre - np.array(SPACING_MM) * (np.array(SIZE) - 1) / 2
        grid = (SIZE, moved, sitk.sitkNearestNeighbor, origin.tolist(), SPACING_MM)
        (folder / side).mkdir(exist_ok=True)
        sitk.WriteImage(sitk.Resample(heart, *grid), folder / side / f"{name}.nii.gz", useCompression=True)


def compare_with_peer(folder: Path) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from surface_distance import metrics

        ours_s = peer_s = 0.0
        maps = [
            sitk.GetArrayFromImage(sitk.ReadImage(folder / side / "00.nii.gz")) for side in ("prediction", "reference")
        ]
        for label in range(1, 11):
            masks = [labels == label for labels in maps]
            where = np.nonzero(masks[0] | masks[1])
            box = tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in where)
            a, b = (np.ascontiguousarray(mask[box]) for mask in masks)
            start = time.perf_counter()
            ours = compare_surfaces(find_surface(a, SPACING_MM), find_surface(b, SPACING_MM))
            ours_s += time.perf_counter() - start
            start = time.perf_counter()
            found = metrics.compute_surface_distances(a, b, SPACING_MM[::-1])
            theirs = (
                metrics.compute_robust_hausdorff(found, 95),
                metrics.compute_surface_dice_at_tolerance(found, 1.0),
            )
            peer_s += time.perf_counter() - start
            np.testing.assert_allclose((ours.hd95_mm, ours.dice[0]), theirs, atol=0.05)
    print(f"surfaces of one case, one thread: ours {ours_s:.2f} s, surface-distance {peer_s:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    atlas = sitk.ReadImage(ATLAS)
    heart = sitk.Mask(atlas, atlas <= 10)
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(sitk.Cast(heart > 0, sitk.sitkUInt8))
    centre = np.array(shape.GetCentroid(1))
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for number in range(options.cases):
            make_case(heart, centre, rng, folder, f"{number:02d}")
        command = [sys.executable, "-m", "whs_fast", "evaluate", "--pred", str(folder / "prediction")]
        command += ["--ref", str(folder / "reference"), "-o", str(folder / "out"), "--threads", str(options.cores)]
        cores = sorted(os.sched_getaffinity(0))[-options.cores :]
        start = time.perf_counter()
        subprocess.run(
            command, check=True, preexec_fn=lambda: os.sched_setaffinity(0, cores), stdout=subprocess.DEVNULL
        )
        seconds = time.perf_counter() - start
        peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
        print(f"{options.cases} cases on {options.cores} cores: {seconds:.0f} s, peak {peak_mb:.0f} MB")
        compare_with_peer(folder)
    if options.cases == 20 and (seconds > MOST_S or peak_mb > MOST_MB):
        raise SystemExit(f"expected at most {MOST_S:.0f} s and {MOST_MB:.0f} MB")


if __name__ == "__main__":
    main()
