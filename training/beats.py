"""Drawn hearts in end-diastole and end-systole, and how far their ejection fractions come out wrong.

    python -m training.beats render FOLDER --count 8     heart_NN_ed.nii.gz, heart_NN_es.nii.gz and their labels
    python -m training.beats score FOLDER                the whole engine against the volumes of the drawn labels

Seeds are (12, i). Both phases are one heart: only the chambers' volumes differ, the left ventricular mass does not.
Contrast medium and noise level are the same in both, the noise itself is not.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from whs_fast.engine import Engine
from whs_fast.structures import BY_KEY
from whs_fast.study.function import measure_function

from training.heart import structures_of
from training.parametric import ParametricAnatomy, deformed, sample_parametric
from training.parametric_heart import draw_sizes
from training.parametric_placing import place_heart
from training.testsets import Acquisition, render_test

SEED = 12
SPACING_MM = (0.7, 0.7, 1.0)
FIELD_MM = (200.0, 200.0, 180.0)
VENTRICLES = ("left_ventricle", "right_ventricle")


def draw_phase(seed: int, index: int, phase: str) -> ParametricAnatomy:
    """One phase of a heart: "ed" or "es"."""
    rng = np.random.default_rng([seed, index])
    sizes = draw_sizes(rng)
    own = np.random.default_rng([seed, index, 1])
    lv, rv, la, ra = own.uniform(90, 200), own.uniform(90, 190), own.uniform(50, 110), own.uniform(50, 110)
    lv_left, rv_left = 1 - own.uniform(0.25, 0.72), 1 - own.uniform(0.3, 0.65)
    filled = phase == "es"  # the atria are
    sizes = replace(
        sizes,
        lv_cavity_ml=lv * (lv_left if filled else 1),
        rv_ml=rv * (rv_left if filled else 1),
        la_ml=la * (1.0 if filled else 0.6),
        ra_ml=ra * (1.0 if filled else 0.6),
    )
    return deformed(place_heart(sizes, rng), None, rng)


def render(folder: Path, count: int, seed: int) -> None:
    """Scans and labels of both phases; those that are there already are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        for phase in ("ed", "es"):
            case = folder / f"heart_{index:02d}_{phase}.nii.gz"
            if case.exists():
                continue
            anatomy = draw_phase(seed, index, phase)
            rng = np.random.default_rng([seed, index, 2])
            how = Acquisition(contrast_hu=float(rng.uniform(280, 500)), noise_hu=float(rng.uniform(12, 35)))
            x, y, z = (int(f / s) for f, s in zip(FIELD_MM, SPACING_MM, strict=True))
            corner = np.array(anatomy.valve_mm) - np.multiply(SPACING_MM, (x, y, z)) / 2
            origin = (float(corner[0]), float(corner[1]), float(corner[2]))
            tissues = sample_parametric(anatomy, (z, y, x), SPACING_MM, origin)
            noise = np.random.default_rng([seed, index, 3 + (phase == "es")])
            hu = render_test(tissues.numpy(), np.array(SPACING_MM[::-1]), how, noise)
            for file, array in ((f"{case.name[:-7]}_labels.nii.gz", structures_of(tissues).numpy()), (case.name, hu)):
                image = sitk.GetImageFromArray(array)
                image.SetSpacing(SPACING_MM)
                image.SetOrigin(origin)
                sitk.WriteImage(image, str(folder / file), True, 1)
            print(case.name, flush=True)


def score(folder: Path, threads: int) -> str:
    """A line a heart and ventricle: true and found ejection fraction; then bias, sd and greatest error."""
    engine, errors, lines = (
        Engine(threads=threads),
        [],
        ["| heart | ventricle | true, % | found, % |", "|---|---|---|---|"],
    )
    for file in sorted(folder.glob("heart_??_ed.nii.gz")):
        phases = {}
        true: dict[str, list[float]] = {name: [] for name in VENTRICLES}
        for phase in ("ed", "es"):
            scan = file.with_name(file.name.replace("_ed", f"_{phase}"))
            labels = sitk.ReadImage(str(scan).replace(".nii.gz", "_labels.nii.gz"))
            counts = np.bincount(sitk.GetArrayViewFromImage(labels).ravel(), minlength=11)
            for name in VENTRICLES:
                true[name].append(float(counts[BY_KEY[f"{name}_cavity"].label]))
            phases[phase] = engine.run(scan, valves=False).measurements
        function = measure_function(phases)
        for name in VENTRICLES:
            wanted = 100 * (1 - true[name][1] / true[name][0])
            found = function[name].get("ejection_fraction_percent")
            told = function[name].get("not_measurable") if found is None else f"{found:.1f}"
            lines.append(f"| {file.name[:8]} | {name} | {wanted:.1f} | {told} |")
            if found is not None:
                errors.append((name, found - wanted))
    for name in VENTRICLES:
        own = np.array([error for which, error in errors if which == name])
        lines.append(
            f"{name}: {len(own)} hearts, bias {own.mean():+.1f}, sd {own.std(ddof=1):.1f}, median size "
            f"{np.median(np.abs(own)):.1f}, worst {np.abs(own).max():.1f} points"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("render", "score"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.command == "render":
        render(options.folder, options.count, options.seed)
    else:
        print(score(options.folder, options.threads))


if __name__ == "__main__":
    main()
