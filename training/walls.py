"""How far the wall thickness by the engine's own labels lies from that by the true ones, segment by segment.

python -m training.walls FOLDER [--threads 2]     scan_NN.nii.gz and scan_NN_labels.nii.gz, as training.testsets makes
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from whs_fast.engine import Engine
from whs_fast.reading.labels import read_labels
from whs_fast.structures import STRUCTURES
from whs_fast.valves.planes import find_planes
from whs_fast.valves.wall import SEGMENTS, describe_wall
from whs_fast.volume import Grid

TABLE = {structure.label: structure.label for structure in STRUCTURES}
WHOLE = {"touches_scan_edge": False, "touches_region_edge": False}


def thickness(labels: np.ndarray, grid: Grid) -> np.ndarray:
    """Of the segments, mm; NaN where there is none."""
    told: dict[str, Any] = describe_wall(labels, grid, find_planes(labels, grid, threads=1)["mitral"], WHOLE)
    return np.array([segment.get("thickness_mm", np.nan) for segment in told.get("segments", [{}] * len(SEGMENTS))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    engine, errors = Engine(threads=options.threads), []
    for file in sorted(options.folder.glob("scan_??_labels.nii.gz")):
        labels, grid = read_labels(file, TABLE)
        result = engine.run(str(file).replace("_labels", ""), valves=False)
        true, own = thickness(labels, grid), thickness(result.labels, grid)
        errors.append(own - true)
        print(
            f"{file.name[:7]}: true mean {np.nanmean(true):.1f} mm, error {np.nanmean(errors[-1]):+.1f} mm", flush=True
        )
    segments = np.array(errors)
    hearts = np.abs(np.nanmean(segments, 1))
    print(f"segments: median size {np.nanmedian(np.abs(segments)):.2f} mm, bias {np.nanmean(segments):+.2f} mm; "
          f"hearts: median size {np.median(hearts):.2f} mm, worst {hearts.max():.2f} mm")  # fmt: skip


if __name__ == "__main__":
    main()
