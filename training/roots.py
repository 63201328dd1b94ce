"""Scans with known aortic roots, and how far the engine's figures lie from the truth.

    python -m training.roots render FOLDER --count 12     scan_NN.nii.gz, scan_NN_labels.nii.gz and truths.json
    python -m training.roots score FOLDER --labels true   the engine's measuring on the true labels
    python -m training.roots score FOLDER --labels own    the whole engine

Seeds are (10, i); development had (11, i). Slices of 0.4 to 1.0 mm, noise of 10 to 40 HU, half of the valves calcified.
Tissues are sampled at about half a millimetre, also along thick slices, so that a slice holds the shares of a cusp
and of blood that it should.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from training.heart import structures_of
from training.parametric import draw_rooted, sample_parametric
from training.root_truth import root_truth
from training.testsets import Acquisition, render_test

SEED = 10
FINE_MM = 0.6


def acquisition(rng: np.random.Generator, field_mm: float, height_mm: float) -> Acquisition:
    """As planning scans are made: well filled with contrast, thin slices."""
    return Acquisition(
        contrast_hu=float(rng.uniform(280, 520)),
        noise_hu=float(rng.uniform(10, 40)),
        slice_mm=float(rng.uniform(0.4, 1.0)),
        field_mm=field_mm,
        height_mm=height_mm,
        pixel_mm=float(rng.uniform(0.45, 0.7)),
        right_share=float(rng.uniform(0.3, 1.0)),
    )


def render(folder: Path, first: int, count: int, seed: int, field_mm: float, height_mm: float) -> None:
    """Scans of the seeds (seed, first) onwards; those that are there already are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "truths.json"
    truths = json.loads(file.read_text()) if file.exists() else {}
    for index in range(first, first + count):
        case = f"scan_{index:02d}"
        if case in truths:
            continue
        anatomy = draw_rooted(np.random.default_rng([seed, index]))
        rng = np.random.default_rng([seed, index, 1])
        how = acquisition(rng, field_mm, height_mm)
        thick = int(np.ceil(how.slice_mm / FINE_MM))
        spacing = np.array([how.pixel_mm, how.pixel_mm, how.slice_mm / thick])
        nx, ny, nz = (np.array([field_mm, field_mm, height_mm]) / spacing).astype(int)
        middle = np.array(anatomy.valve_mm) + rng.uniform(-6, 6, 3)
        origin = middle - spacing * (np.array([nx, ny, nz]) - 1) / 2
        shape, steps, corner = (int(nz), int(ny), int(nx)), _xyz(spacing), _xyz(origin)
        tissues = sample_parametric(anatomy, shape, steps, corner)
        hu = render_test(tissues.numpy(), spacing[::-1], how, rng, calcify=False)
        kept = slice((thick - 1) // 2, None, thick)
        for name, array in ((case, hu[kept]), (f"{case}_labels", structures_of(tissues).numpy()[kept])):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing((steps[0], steps[1], thick * steps[2]))
            image.SetOrigin((corner[0], corner[1], corner[2] + kept.start * steps[2]))
            sitk.WriteImage(image, str(folder / f"{name}.nii.gz"), True, 1)
        truths[case] = root_truth(anatomy).figures() | {"noise_hu": how.noise_hu, "slice_mm": how.slice_mm}
        file.write_text(json.dumps(truths, indent=1) + "\n")
        print(case, flush=True)


def _xyz(vector: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in vector)
    return x, y, z


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    drawing = commands.add_parser("render")
    drawing.add_argument("folder", type=Path)
    drawing.add_argument("--first", type=int, default=0)
    drawing.add_argument("--count", type=int, default=40)
    drawing.add_argument("--seed", type=int, default=SEED)
    drawing.add_argument("--field", type=float, default=150.0, help="side in plane, mm")
    drawing.add_argument("--height", type=float, default=130.0, help="mm")
    options = parser.parse_args()
    render(options.folder, options.first, options.count, options.seed, options.field, options.height)


if __name__ == "__main__":
    main()
