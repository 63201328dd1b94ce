"""Whole rendered scans with their labels: the held-out test set and the sample that ships with the package.

`python -m training.scans heldout FOLDER` writes 20 scans of seeds (2, i), which training (0), validation (1) and
calibration (3) never draw: scan_NN.nii.gz, scan_NN_labels.nii.gz and valves.json (LPS, mm).
`python -m training.scans sample` writes the sample of `whs-fast demo`.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from training.anatomies import draw, sample
from training.deformation import rotation
from training.heart import structures_of
from training.rendering import AIR_HU, cut_field_of_view, render

HELD_OUT_SEED = 2
HELD_OUT_SCANS = 20
SAMPLE_SEED = 1004  # second number: a held-out seed as well
SAMPLE = Path(__file__).parents[1] / "python" / "whs_fast" / "data" / "sample.nii.gz"


@dataclass(frozen=True)
class Scan:
    """A rendered scan: hu int16 and labels uint8 [z, y, x]; valve_mm, spacing_mm and origin_mm are x, y, z, LPS."""

    hu: NDArray[np.int16]
    labels: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    direction: NDArray[np.float64]
    valve_mm: tuple[float, float, float]

    def image(self, array: NDArray[np.int16] | NDArray[np.uint8]) -> sitk.Image:
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(self.spacing_mm)
        image.SetOrigin(self.origin_mm)
        image.SetDirection(self.direction.ravel().tolist())
        return image


def draw_scan(
    rng: np.random.Generator,
    spacing_mm: tuple[float, float, float],
    field_mm: tuple[float, float, float],
    *,
    tilt_rad: float = 0.0,
    cut: bool = False,
    source: str = "atlas",
) -> Scan:
    """Render one scan of `field_mm` (x, y, z) around a point near the aortic valve, at a random place in space."""
    anatomy = draw(source, rng)
    shape = tuple(round(f / s) for f, s in zip(field_mm[::-1], spacing_mm[::-1], strict=True))
    direction = rotation(rng.normal(0, 1, 3) * tilt_rad)
    half = np.array(spacing_mm) * (np.array(shape[::-1]) - 1) / 2
    room = np.maximum(np.array(field_mm) / 2 - 60, 10)  # the heart stays in the field
    centre = np.array(anatomy.valve_mm) + rng.uniform(-0.35, 0.35, 3) * room
    origin = centre - direction @ half
    tissues = sample(anatomy, shape, spacing_mm, tuple(map(float, origin)), direction)
    image = render(tissues, spacing_mm, rng)
    labels = structures_of(tissues)
    if cut:
        valve = (direction.T @ (np.array(anatomy.valve_mm) - origin) / np.array(spacing_mm))[::-1]
        outside = ~cut_field_of_view(image, spacing_mm, tuple(map(float, valve)), rng)
        image[outside], labels[outside] = AIR_HU, 0
    move = rng.uniform(-200, 200, 3)
    return Scan(
        hu=image.round().clamp(-1024, 3071).to(torch.int16).numpy(),
        labels=labels.numpy(),
        spacing_mm=spacing_mm,
        origin_mm=tuple(float(v) for v in origin + move),
        direction=direction,
        valve_mm=tuple(float(v) for v in np.array(anatomy.valve_mm) + move),
    )


def draw_held_out(index: int) -> Scan:
    """Scan `index` of the held-out set: grids of 0.4 to 2 mm, every other field of view under 200 mm in plane."""
    rng = np.random.default_rng([HELD_OUT_SEED, index])
    in_plane, slices = float(rng.uniform(0.4, 1.2)), float(rng.uniform(0.4, 2.0))
    small = index % 2 == 0
    side = float(rng.uniform(160, 199)) if small else float(rng.uniform(200, 320))
    height = float(rng.uniform(160, 199)) if small else float(rng.uniform(180, 300))
    in_plane = max(in_plane, side / 512)
    tilt = float(rng.choice([0.0, 0.08]))
    return draw_scan(rng, (in_plane, in_plane, slices), (side, side, height), tilt_rad=tilt)


def write_held_out(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    valves = {}
    for index in range(HELD_OUT_SCANS):
        scan = draw_held_out(index)
        name = f"scan_{index:02d}"
        sitk.WriteImage(scan.image(scan.hu), str(folder / f"{name}.nii.gz"), True, 1)
        sitk.WriteImage(scan.image(scan.labels), str(folder / f"{name}_labels.nii.gz"), True)
        valves[name] = scan.valve_mm
    (folder / "valves.json").write_text(json.dumps(valves, indent=1) + "\n")


def write_sample(path: Path) -> None:
    """A cardiac field of view at 1.2 x 1.2 x 1.5 mm in steps of 8 HU, which keeps the file under 4 MB."""
    rng = np.random.default_rng([HELD_OUT_SEED, SAMPLE_SEED])
    scan = draw_scan(rng, (1.2, 1.2, 1.5), (204.0, 204.0, 210.0))
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(scan.image((scan.hu + 4) // 8 * 8), str(path), True, 9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    commands.add_parser("heldout").add_argument("folder", type=Path)
    commands.add_parser("sample")
    options = parser.parse_args()
    write_sample(SAMPLE) if options.command == "sample" else write_held_out(options.folder)


if __name__ == "__main__":
    main()
