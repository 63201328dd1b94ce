"""Test sets A, B and C and the robustness table: what they hold, and the command that writes them.

Fixed before training began and not to be changed after. A: 16 scans of the atlas heart. B: 8 of the parametric heart.
C: 8 of the Toronto hearts. B and C are to be scored with a model that never saw their source as well. What makes them
hard stands in this file: seeds, the table of
acquisitions below, and a renderer of their own, so that wider ranges in training/rendering.py leave them as they are.

    python -m training.testsets A FOLDER          scan_NN.nii.gz, scan_NN_labels.nii.gz and valves.json (LPS, mm)
    python -m training.testsets B FOLDER
    python -m training.testsets C FOLDER
    python -m training.testsets robustness FOLDER [--cell noise_40]   one folder a cell, the anatomies of A in each

Score with `whs-fast evaluate`: --pred the results, --ref FOLDER, --landmarks FOLDER/valves.json.

Acquisitions: every column below is dealt to the scans in an order of its own, so that easy and hard values
of different factors meet by chance. In the robustness table one factor differs from BASE at a time.
"""

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from scipy import ndimage

from training import heart as t
from training.anatomies import draw, sample
from training.deformation import rotation
from training.scans import Scan

SEEDS = {"A": 4, "B": 5, "C": 7}  # first numbers; training, validation, held-out and calibration draws have 0 to 3
SOURCES = {"A": "atlas", "B": "parametric", "C": "toronto"}
# Second numbers. Of A, draws with a myocardium above 300 g are left out: no patient of the clinic's has such a heart.
# In C each of the four hearts comes twice.
ANATOMIES = {"A": (0, 1, 2, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 19), "B": tuple(range(8)),
             "C": (0, 1, 2, 3, 4, 7, 13, 19)}  # fmt: skip
DEALING_SEED = 20261123
AIR_HU = -1024


@dataclass(frozen=True)
class Acquisition:
    """What varies between test scans. contrast_hu: left heart. noise_hu: sd in the image. field_mm: side in plane."""

    contrast_hu: float = 350.0
    noise_hu: float = 20.0
    slice_mm: float = 1.0
    rotation_deg: float = 0.0
    field_mm: float = 220.0
    height_mm: float = 200.0
    pixel_mm: float = 0.7
    right_share: float = 0.7  # contrast of the right heart relative to the left
    mixing: float = 0.3  # how uneven it is in the right atrium, relative to its contrast


BASE = Acquisition()
DEALT = {
    "contrast_hu": (150, 200, 240, 270, 300, 320, 340, 360, 380, 400, 420, 450, 480, 520, 560, 600),
    "noise_hu": (0, 5, 10, 12, 15, 18, 20, 22, 25, 28, 32, 36, 42, 50, 64, 80),
    "slice_mm": (0.5, 0.5, 0.6, 0.6, 0.75, 0.75, 0.8, 1, 1, 1, 1.25, 1.5, 1.5, 2, 2.5, 3),
    "rotation_deg": (0, 0, 0, 0, 0, 0, 3, 5, 5, 8, 10, 12, 15, 20, 25, 30),
    "field_mm": (160, 160, 160, 160, 180, 180, 200, 200, 200, 220, 220, 220, 260, 260, 320, 320),
    "height_mm": (140, 150, 160, 160, 170, 180, 180, 190, 200, 200, 220, 220, 240, 260, 280, 300),
    "pixel_mm": (0.4, 0.45, 0.5, 0.5, 0.6, 0.6, 0.65, 0.7, 0.7, 0.7, 0.75, 0.8, 0.8, 0.9, 0.9, 1.0),
    "right_share": (0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.7, 0.8, 0.8, 0.9, 1.0, 1.1, 1.2),
    "mixing": (0.05, 0.05, 0.1, 0.1, 0.15, 0.15, 0.2, 0.2, 0.25, 0.25, 0.3, 0.3, 0.4, 0.4, 0.5, 0.6),
}
CELLS = {"base": BASE} | {
    f"{name}_{value:g}": replace(BASE, **{field: float(value)})
    for name, field, values in (
        ("noise", "noise_hu", (0, 40, 60, 80)),
        ("slice", "slice_mm", (0.5, 2, 3)),
        ("contrast", "contrast_hu", (150, 250, 450, 600)),
        ("rotation", "rotation_deg", (10, 20, 30)),
        ("field", "field_mm", (160,)),
    )
    for value in values
}


def acquisitions(name: str) -> list[Acquisition]:
    """Those of a set. B and C take every other value of each column."""
    rng = np.random.default_rng([DEALING_SEED, SEEDS[name]])
    count = len(ANATOMIES[name])
    step = 16 // count
    dealt = {field: rng.permutation(np.array(values, float)[step - 1 :: step]) for field, values in DEALT.items()}
    return [Acquisition(**{field: float(v[i]) for field, v in dealt.items()}) for i in range(count)]


def render_test(
    tissues: NDArray[np.uint8],
    spacing_mm: NDArray[np.float64],
    how: Acquisition,
    rng: np.random.Generator,
    *,
    calcify: bool = True,
) -> NDArray[np.int16]:
    """HU of tissues [z, y, x] that were sampled at `spacing_mm` (z, y, x); blurred and noisy, int16.

    calcify: half of the scans get calcium at the aortic valve that the tissues do not show.
    """
    left, right = how.contrast_hu, how.contrast_hu * how.right_share
    hu = np.zeros(t.TISSUES)
    hu[[t.PV, t.LA, t.LVC, t.AO, t.ARTERIES]] = left + rng.normal(0, 0.04 * left, 5)
    hu[[t.RA, t.RVC, t.SVC, t.VEINS]] = right + rng.normal(0, 0.06 * right, 4)
    hu[t.PA] = 0.5 * (left + right) + rng.normal(0, 0.05 * left)
    hu[t.SVC] *= rng.uniform(1.0, 2.0)
    hu[t.CS] = rng.uniform(90, max(120.0, 0.8 * max(left, right)))
    hu[t.VEINS] *= rng.uniform(0.3, 1.0)
    hu[t.LVM] = min(rng.uniform(75, 140), 0.6 * left)
    hu[[t.CUSP, t.LEAFLET, t.CALCIUM]] = hu[t.LVM], hu[t.LVM], 1100
    hu[t.WALL] = rng.uniform(20, 80)
    hu[[t.AIRWAY, t.OESOPHAGUS, t.LIVER, t.LUNG]] = (
        -990,
        rng.uniform(10, 50),
        rng.uniform(50, 120),
        rng.uniform(-880, -760),
    )
    hu[[t.SPINE, t.RIBS]] = rng.uniform(150, 300), rng.uniform(250, 500)
    hu[[t.FAT, t.SKIN_FAT, t.SOFT, 0]] = rng.uniform(-110, -70), rng.uniform(-115, -90), rng.uniform(30, 65), -1010

    def smooth(node_mm: float) -> NDArray[np.float32]:
        """Noise of unit variance at nodes this far apart, interpolated."""
        count = [int(np.ceil(n * s / node_mm)) + 2 for n, s in zip(tissues.shape, spacing_mm, strict=True)]
        nodes = torch.from_numpy(rng.standard_normal(count).astype(np.float32))[None, None]
        full = torch.nn.functional.interpolate(nodes, tissues.shape, mode="trilinear", align_corners=True)
        return np.asarray(full[0, 0].numpy())

    texture = np.zeros(t.TISSUES)
    texture[[t.LUNG, t.LIVER, t.LVM, t.SOFT, t.FAT]] = 35, 8, 8, 10, 10
    texture[[t.SPINE, t.RIBS]] = 70, 90
    texture[[t.LA, t.LVC, t.AO, t.PV]] = 0.02 * left
    mixing = np.zeros(t.TISSUES)
    mixing[[t.RA, t.SVC, t.VEINS, t.RVC, t.PA]] = np.array([1, 0.7, 0.8, 0.4, 0.1]) * how.mixing * right
    image = hu.astype(np.float32)[tissues] + texture.astype(np.float32)[tissues] * smooth(4.0)
    image += mixing.astype(np.float32)[tissues] * smooth(22.0)
    if calcify and rng.random() < 0.5:  # at the aortic valve and in the wall of the aorta
        near_valve = ndimage.binary_dilation(tissues == t.LVC, iterations=2) & (tissues == t.AO)
        wall = (tissues == t.WALL) & ndimage.binary_dilation(tissues == t.AO, iterations=2)
        image[(near_valve | wall) & (smooth(5.0) > 1.3)] = rng.uniform(600, 1100)
    sigma_mm = np.array([0.42 * how.slice_mm, rng.uniform(0.35, 0.6), 0.0])
    sigma_mm[2] = sigma_mm[1]
    image = ndimage.gaussian_filter(image, sigma_mm / spacing_mm)
    noise = ndimage.gaussian_filter(rng.standard_normal(image.shape).astype(np.float32), (0, 0.6, 0.6))
    image += how.noise_hu * noise / noise.std()
    rounded: NDArray[np.int16] = np.clip(np.rint(image), -1024, 3071).astype(np.int16)
    return rounded


def make_scan(source: str, seed: tuple[int, ...], how: Acquisition) -> Scan:
    """One test scan: the anatomy of `seed`, acquired so. The slice thickness is also the distance of the slices."""
    rng = np.random.default_rng([*seed, 1])  # placing and rendering; the anatomy has its own
    anatomy = draw(source, np.random.default_rng(seed))
    pixel = max(how.pixel_mm, how.field_mm / 512)
    spacing = np.array([pixel, pixel, how.slice_mm])
    size = np.array([how.field_mm, how.field_mm, how.height_mm])
    count = np.round(size / spacing).astype(int)
    axis = rng.normal(0, 1, 3)
    axis *= np.deg2rad(how.rotation_deg) / np.linalg.norm(axis)
    direction = turn(axis)
    # The heart, left, in front of and below its valve, is in the middle of the field, give or take.
    centre = (
        np.array(anatomy.valve_mm) + np.array([6.0, 4.0, -2.0]) + rng.uniform(-1, 1, 3) * np.array([8.0, 8.0, 12.0])
    )
    origin = centre - direction @ (spacing * (count - 1) / 2)
    tissues = sample(anatomy, (int(count[2]), int(count[1]), int(count[0])), _xyz(spacing), _xyz(origin), direction)
    move = rng.uniform(-200, 200, 3)
    return Scan(
        hu=render_test(tissues.numpy(), spacing[::-1], how, rng),
        labels=t.structures_of(tissues).numpy(),
        spacing_mm=_xyz(spacing),
        origin_mm=_xyz(origin + move),
        direction=direction,
        valve_mm=_xyz(np.array(anatomy.valve_mm) + move),
    )


def turn(vector_rad: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation about an axis by its length."""
    angle = float(np.linalg.norm(vector_rad))
    if angle == 0:
        return rotation(np.zeros(3))
    x, y, z = vector_rad / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def _xyz(vector: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in vector)
    return x, y, z


def write(folder: Path, name: str, cases: list[Acquisition]) -> None:
    """Scans of set `name` acquired as in `cases`; those that are there already are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "valves.json"
    valves = json.loads(file.read_text()) if file.exists() else {}
    for index, how in enumerate(cases):
        case = f"scan_{index:02d}"
        if case in valves:
            continue
        scan = make_scan(SOURCES[name], (SEEDS[name], ANATOMIES[name][index]), how)
        sitk.WriteImage(scan.image(scan.hu), str(folder / f"{case}.nii.gz"), True, 1)
        sitk.WriteImage(scan.image(scan.labels), str(folder / f"{case}_labels.nii.gz"), True)
        valves[case] = scan.valve_mm
        file.write_text(json.dumps(valves, indent=1) + "\n")
        print(f"{folder.name}: {case} of {len(cases)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*SEEDS, "robustness"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cell", choices=CELLS, action="append", help="only this cell of the robustness table")
    options = parser.parse_args()
    if options.what in SEEDS:
        write(options.folder, options.what, acquisitions(options.what))
        return
    for cell in options.cell or CELLS:
        write(options.folder / cell, "A", [CELLS[cell]] * len(ANATOMIES["A"]))


if __name__ == "__main__":
    main()
