"""28 rendered patients of a clinic that the shipped weights do not know: what docs/fine-tuning.md is tried on.

    python -m training.foreign FOLDER          FOLDER/train: 20 scans, labels and manifest.json; FOLDER/test: 8 more

The hearts are those of Toronto, drawn by the test sets' renderer as one scanner with one protocol makes them: thin
contrast, less of it and uneven in the right heart, noise, thick slices. The 20 are drawn from two hearts, the 8 from
the other two, so that no heart is on both sides.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from training.testsets import BASE, Acquisition, make_scan

SEED = 12  # first number
NUMBERS = {  # second numbers
    "train": (4, 5, 6, 7, 8, 9, 14, 15, 16, 19, 20, 21, 22, 24, 44, 47, 50, 53, 54, 59),  # regular and case14
    "test": (0, 1, 2, 3, 10, 11, 12, 13),  # case15 and case16_marfan
}
CLINIC = replace(BASE, field_mm=180.0, height_mm=160.0, pixel_mm=0.9, mixing=0.4, right_share=0.5)


def acquire(number: int) -> Acquisition:
    """How the clinic scans its patient `number`."""
    rng = np.random.default_rng((SEED, number, 2))
    contrast, noise, slices = rng.uniform(220, 340), rng.uniform(25, 45), rng.choice([1.25, 1.5, 2.0])
    return replace(CLINIC, contrast_hu=float(contrast), noise_hu=float(noise), slice_mm=float(slices))


def write(folder: Path, part: str) -> None:
    """Scans of a part, their labels and their manifest; those that are there already are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in NUMBERS[part]:
        name = f"patient_{number:02d}"
        image, labels = folder / f"{name}.nii.gz", folder / f"{name}_labels.nii.gz"
        if not labels.exists():
            scan = make_scan("toronto", (SEED, number), acquire(number))
            sitk.WriteImage(scan.image(scan.hu), str(image), True, 1)
            sitk.WriteImage(scan.image(scan.labels), str(labels), True)
            print(f"{part}: {name}", flush=True)
        lines.append({"image": image.name, "labels": labels.name, "set": "whs-fast"})
    (folder / "manifest.json").write_text(json.dumps(lines, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    for part in NUMBERS:
        write(options.folder / part, part)


if __name__ == "__main__":
    main()
