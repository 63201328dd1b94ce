"""Do drawn hearts cover what patients' hearts measure? Volumes over many draws beside published values.

`python -m training.population --source parametric --draws 1000` prints a table: quartiles and extremes of the volumes
in the engine's region, the quartiles of the paper's Table 3, normal limits, and the share of each range (in its
logarithm) that lies between the 1st and the 99th percentile of the draws. A grid of 4 mm is fine enough for that,
but for the coronary sinus, which it makes a fifth smaller.

Table 3: Sharobeem et al., J Cardiovasc Transl Res 2021, doi 10.1007/s12265-021-10166-0; eight patients before valve
replacement, end-systole. Normal limits are means -+ 1.96 SD of men and women, end-systole to end-diastole, joined:
- left ventricle, low, and its mass: Kang et al., Korean J Radiol 2017;18:664, doi 10.3348/kjr.2017.18.4.664 (CT);
- left ventricle, high, right ventricle, left atrium: Hudsmith et al., J Cardiovasc Magn Reson 2005;7:775-782,
  doi 10.1080/10976640500295516 (magnetic resonance, atrium at its largest).
The other structures have no published norm as this project cuts them.
"""

import argparse

import numpy as np
import torch
from numpy.typing import NDArray
from whs_fast.structures import STRUCTURES

from training.anatomies import EVERY, draw, sample
from training.heart import LVM

POPULATION_SEED = 6  # first number of the seeds: no training, test or calibration draws these
REGION_MM = np.array([224.0, 224.0, 320.0])
STEP_MM = 4.0
GRAMS_PER_ML = 1.05

# Quartiles of Table 3 and normal limits, mL (the myocardium in g).
TABLE_3 = {
    "pulmonary_veins": (10, 12, 18), "left_atrium": (69, 88, 106), "left_ventricle_cavity": (17, 29, 42),
    "left_ventricle_myocardium": (129, 135, 177), "aorta": (122, 133, 148), "coronary_sinus": (1.94, 2.39, 2.82),
    "superior_vena_cava": (7, 15, 21), "right_atrium": (63, 83, 100), "right_ventricle_cavity": (31, 47, 50),
    "pulmonary_artery": (51, 60, 73),
}  # fmt: skip
NORMAL = {
    "left_atrium": (48, 162), "left_ventricle_cavity": (10, 217), "left_ventricle_myocardium": (69, 202),
    "right_ventricle_cavity": (21, 255),
}  # fmt: skip


def region_sizes(source: str, seed: tuple[int, ...], step_mm: float = STEP_MM) -> NDArray[np.float64]:
    """mL (g for the myocardium) of the ten structures of one draw inside the region around its valve: [10]."""
    anatomy = draw(source, np.random.default_rng(seed))
    count = np.round(REGION_MM / step_mm).astype(int)
    x, y, z = (float(v) for v in np.array(anatomy.valve_mm) - (count - 1) * step_mm / 2)
    shape = (int(count[2]), int(count[1]), int(count[0]))
    tissues = sample(anatomy, shape, (step_mm, step_mm, step_mm), (x, y, z)).numpy()
    sizes = np.bincount(tissues.ravel(), minlength=11)[1:11] * step_mm**3 / 1000
    sizes[LVM - 1] *= GRAMS_PER_ML
    return sizes


def covered(sizes: NDArray[np.float64], low: float, high: float) -> float:
    """Share of [low, high], in its logarithm, that lies within the 1st and 99th percentile of `sizes`."""
    first, last = np.log(np.maximum(np.percentile(sizes, (1, 99)), 1e-3))
    inside = min(last, np.log(high)) - max(first, np.log(low))
    return float(max(0.0, inside) / np.log(high / low))


def table(sizes: NDArray[np.float64]) -> str:
    """Markdown of [draws, 10] sizes beside the published ones."""
    names = "structure", "least", "1 %", "Q1", "median", "Q3", "99 %", "most", "Table 3", "covered", "normal", "covered"
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for structure, column in zip(STRUCTURES, sizes.T, strict=True):
        figures = np.percentile(column, (0, 1, 25, 50, 75, 99, 100))
        low, _, high = TABLE_3[structure.key]
        unit = "g" if structure.label == LVM else "mL"
        normal = NORMAL.get(structure.key)
        limits = f"{normal[0]}-{normal[1]} | {covered(column, *normal):.0%}" if normal else "- | -"
        lines.append(f"| {structure.key} ({unit}) | " + " | ".join(f"{f:.3g}" for f in figures)
            + f" | {low}-{high} | {covered(column, low, high):.0%} | {limits} |")  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", choices=EVERY, required=True)
    parser.add_argument("--draws", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)  # many small steps: threads cost more than they save
    rows = []
    for index in range(options.draws):
        rows.append(region_sizes(options.source, (POPULATION_SEED, index)))
        if (index + 1) % 50 == 0 and index + 1 < options.draws:
            print(f"{index + 1} of {options.draws} drawn", flush=True)
    print(table(np.array(rows)))


if __name__ == "__main__":
    main()
