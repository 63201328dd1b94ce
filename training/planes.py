"""Twelve planes of a result to look at: six axial, three coronal and three sagittal, labels over the scan.

`python -m training.planes SCAN RESULT -o PICTURE.png`, RESULT being the folder that `whs-fast run SCAN -o RESULT` left.
`--without-scan` draws the labels alone, where the scan itself must not be shown. Planes lie along the patient's axes,
evenly over what is labelled, and are shown as radiologists look at them: patient's right on the left, head up.
"""

import argparse
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from whs_fast.structures import STRUCTURES

PIXEL_MM, MARGIN_MM = 0.8, 12.0
WINDOW_HU = (-250.0, 800.0)
PLANES = (("axial", 0, 6), ("coronal", 1, 3), ("sagittal", 2, 3))  # name, axis among z, y, x, how many
TINT, COLUMNS = 0.5, 4


def upright(image: sitk.Image, box: tuple[list[float], list[int]], fill: float, *, labels: bool) -> NDArray[np.float32]:
    """The image on a grid of PIXEL_MM along the patient's axes: [z, y, x], `box` being its origin and its size."""
    origin, size = box
    how = sitk.sitkNearestNeighbor if labels else sitk.sitkLinear
    still, upright = sitk.Transform(), np.eye(3).ravel().tolist()
    found = sitk.Resample(image, size, still, how, origin, (PIXEL_MM,) * 3, upright, fill, sitk.sitkFloat32)
    return np.asarray(sitk.GetArrayFromImage(found))


def find_box(labels: sitk.Image) -> tuple[list[float], list[int]]:
    """Origin in mm and size in pixels of the box around what is labelled."""
    z, y, x = np.nonzero(sitk.GetArrayViewFromImage(labels))
    indices = np.stack([x, y, z], axis=1)[:: max(1, len(x) // 100_000)].astype(float)
    matrix = np.reshape(labels.GetDirection(), (3, 3)) * labels.GetSpacing()
    points = indices @ matrix.T + labels.GetOrigin()
    low, high = points.min(axis=0) - MARGIN_MM, points.max(axis=0) + MARGIN_MM
    return low.tolist(), np.ceil((high - low) / PIXEL_MM).astype(int).tolist()


def draw(scan: sitk.Image | None, labels: sitk.Image) -> Figure:
    box = find_box(labels)
    found = upright(labels, box, 0, labels=True).astype(np.uint8)
    grey = np.full(found.shape, 0.12, np.float32)
    if scan is not None:
        low, high = WINDOW_HU
        grey = np.clip((upright(scan, box, -1024, labels=False) - low) / (high - low), 0, 1)
    tints = np.zeros((len(STRUCTURES) + 1, 3), np.float32)
    for structure in STRUCTURES:
        tints[structure.label] = np.array(structure.colour) / 255
    share = TINT if scan is not None else 1.0
    figure = Figure(figsize=(10, 8.6), facecolor="#0e1014", layout="constrained")
    panels = iter(figure.subplots(3, COLUMNS).flat)
    for name, axis, count in PLANES:
        for part in (np.arange(count) + 1) / (count + 1):
            index = round(part * (found.shape[axis] - 1))
            own, image = np.take(found, index, axis), np.take(grey, index, axis)[..., None].repeat(3, axis=-1)
            image = np.where(own[..., None] > 0, (1 - share) * image + share * tints[own], image)
            panel = next(panels)
            panel.imshow(image, origin="upper" if axis == 0 else "lower", interpolation="nearest")
            mm = box[0][2 - axis] + index * PIXEL_MM
            panel.set_title(f"{name}, {'zyx'[axis]} = {mm:.0f} mm", color="#e8eaee", fontsize=8)
            panel.axis("off")
    names = [Line2D([], [], marker="s", ls="", color=np.array(s.colour) / 255, label=s.name) for s in STRUCTURES]
    figure.legend(handles=names, loc="outside lower center", ncols=5, fontsize=8, labelcolor="#e8eaee", frameon=False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", type=Path, help="a single file")
    parser.add_argument("result", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--without-scan", action="store_true")
    options = parser.parse_args()
    scan = None if options.without_scan else sitk.ReadImage(str(options.scan))
    draw(scan, sitk.ReadImage(str(options.result / "labels.nii.gz"))).savefig(options.out, dpi=110)


if __name__ == "__main__":
    main()
