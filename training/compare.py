"""Which checkpoint is better, on crops of validation seeds (1, i) from every source, by Dice and by volume.

    python -m training.compare training/checkpoints/dense_vnet.pt training/runs/dense_vnet/checkpoint.pt

A table for each source: Dice of each structure over all crops together, and how much larger (+) or smaller (-) it is
found than it is. Thin walls that are swallowed hardly show in Dice, but they do in volumes.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.anatomies import SOURCES, load
from training.crops import draw_crop
from training.curves import STRUCTURES
from training.speed import Way
from training.train_dense_vnet import VALIDATION_SEED, half_resolution_shares, load_averaged

FIRST = 100  # second numbers from here on: those below watch trainings
SIDE, SCALE = 144, 1.15


def count_voxels(model: torch.nn.Module, image: torch.Tensor, shares: torch.Tensor, way: Way) -> NDArray[np.float64]:
    """Of each class: found in the right place, found, true; half-resolution voxels, [3, 11]."""
    with torch.no_grad(), way.autocast():
        found = model(way.move(image[None, None].float() / 255)).argmax(1).flatten().cpu().numpy()
    truth = shares.argmax(1).flatten().numpy()
    counts = [np.bincount(labels, minlength=11) for labels in (found[found == truth], found, truth)]
    return np.array(counts, float)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--crops", type=int, default=8, help="of each source")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    load(SOURCES)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    way = Way(device, False, torch.channels_last_3d)
    models = [load_averaged(file).eval().to(device, memory_format=way.memory_format) for file in options.checkpoints]
    counts = np.zeros((len(SOURCES), len(models), 3, 11))
    for number in range(options.crops * len(SOURCES)):
        source = number % len(SOURCES)
        rng = np.random.default_rng([VALIDATION_SEED, FIRST + number])
        image, structures = draw_crop(rng, SIDE, SCALE, SOURCES[source])
        shares = half_resolution_shares(structures[None])
        for index, model in enumerate(models):
            counts[source, index] += count_voxels(model, image, shares, way)
    for name, one in [*zip(SOURCES, counts, strict=True), ("all", counts.sum(0))]:
        print(f"\n{name:<12}", *(f"{s:>12}" for s in STRUCTURES), f"{'mean Dice':>10}")
        for file, (hit, found, true) in zip(options.checkpoints, one, strict=True):
            dice, bias = 2 * hit / np.maximum(found + true, 1), 100 * (found / np.maximum(true, 1) - 1)
            cells = (f"{d:.3f} {b:+5.1f}%" for d, b in zip(dice[1:], bias[1:], strict=True))
            print(f"{file.parent.name[-12:]:<12}", *(f"{c:>12}" for c in cells), f"{dice[1:].mean():>10.4f}")


if __name__ == "__main__":
    main()
