"""The robustness table: Dice of the whole engine where one thing at a time makes scans harder.

`python -m training.robustness SCANS -o TABLE.csv` runs the engine over the cells that `python -m training.testsets
robustness SCANS` wrote, 16 scans of the anatomies of test set A each, and prints `overall_pooled` of each cell as a
Markdown table: median, quartiles and lowest over its scans. TABLE.csv keeps the figure of every scan; scans that are in
it already are not run again.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import whs_fast
from whs_fast.structures import STRUCTURES
from whs_fast.study.evaluation.maps import read_map
from whs_fast.study.evaluation.overlap import count_pairs, overall_figures
from whs_fast.study.evaluation.schemes import LABEL_SETS

from training.export_dense_vnet import MODELS
from training.testsets import CELLS

FIGURE = "overall_pooled"


def read_scores(table: Path) -> dict[tuple[str, str], float]:
    """FIGURE by cell and scan."""
    if not table.exists():
        return {}
    with table.open(newline="") as file:
        return {(row["cell"], row["scan"]): float(row[FIGURE]) for row in csv.DictReader(file)}


def score(engine: whs_fast.Engine, scan: Path) -> float:
    found = engine.run(scan).labels
    truth = read_map(scan.with_name(scan.name.replace(".nii", "_labels.nii")), LABEL_SETS["whs-fast"]).labels
    labels = [structure.label for structure in STRUCTURES]
    value = overall_figures(count_pairs(found, truth, len(labels) + 1), labels)[FIGURE]
    assert value is not None
    return value


def tabulate(scores: dict[tuple[str, str], float]) -> str:
    """Markdown, a row a cell in the order of CELLS."""
    lines = [f"| cell | scans | {FIGURE}, median (Q1-Q3) | lowest |", "|---|---|---|---|"]
    for cell in CELLS:
        values = np.array([value for (own, _), value in scores.items() if own == cell])
        if len(values):
            low, middle, high = np.percentile(values, (25, 50, 75))
            lines.append(f"| {cell} | {len(values)} | {middle:.3f} ({low:.3f}-{high:.3f}) | {values.min():.3f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    engine = whs_fast.Engine(threads=options.threads, models=options.models)
    scores = read_scores(options.out)
    cases = [(cell, file) for cell in CELLS for file in sorted((options.scans / cell).glob("scan_??.nii.gz"))]
    for cell, file in cases:
        name = file.name.removesuffix(".nii.gz")
        if (cell, name) not in scores:
            scores[cell, name] = score(engine, file)
            with options.out.open("a", newline="") as table:
                writer = csv.writer(table)
                if table.tell() == 0:
                    writer.writerow(("cell", "scan", FIGURE))
                writer.writerow((cell, name, f"{scores[cell, name]:.6f}"))
            print(f"{cell} {name}: {scores[cell, name]:.3f}", flush=True)
    print(tabulate(scores))


if __name__ == "__main__":
    main()
