"""Crops drawn by all cores, kept on a GPU and used several times: it takes steps faster than cores draw.

    python -m training.crop_pool FOLDER --sources atlas rooted toronto --workers 10 --minutes 9

draws them; `python -m training.train_dense_vnet --pool FOLDER` trains on what is there, any number of trainings at
once, each on the sources that it names. A crop is a file, NUMBER_SOURCE.npy: uint8 [2, z, y, x], image, structures.
"""

import argparse
import multiprocessing
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from training.anatomies import EVERY, load
from training.crops import draw_crop, draw_scale
from training.heart import STRUCTURES

TRAINING_SEED = 0
KINDS = ((128, (1.2, 1.9)), (160, (0.85, 1.25)))  # side and scales: with all the context, and as the engine sees it
LOOK_EVERY = 20  # steps between looks for new crops
NEW_A_LOOK = 60  # crops read at each of them, so that steps go on
FEWEST = 24  # crops of a kind to begin with


def draw_part(folder: Path, sources: Sequence[str], seed: int, worker: int, workers: int, minutes: float) -> None:
    """Draw the crops whose numbers fall to one worker of several."""
    torch.set_num_threads(1)
    number, end = worker, time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        rng = np.random.default_rng([TRAINING_SEED, seed, number])
        side, scales = KINDS[int(rng.integers(len(KINDS)))]
        source = sources[int(rng.integers(len(sources)))]
        image, structures = draw_crop(rng, side, draw_scale(rng, scales), source)
        file = folder / f"{number:06d}_{source}.npy"
        np.save(file.with_suffix(".part.npy"), torch.stack([image, structures]).numpy())
        file.with_suffix(".part.npy").rename(file)
        number += workers


class CropPool:
    """The crops of a folder on `device`; the oldest leave when they take more than `gib` of its memory."""

    def __init__(self, folder: Path, sources: Sequence[str], device: str, gib: float, seed: int) -> None:
        self.folder, self.sources, self.device, self.bytes = folder, frozenset(sources), device, gib * 2**30
        self.known: set[str] = set()
        self.crops: defaultdict[int, list[torch.Tensor]] = defaultdict(list)
        self.rng = np.random.default_rng([TRAINING_SEED, seed])
        self.generator = torch.Generator(device).manual_seed(seed)

    def look(self) -> None:
        files = (f for f in self.folder.glob("*.npy") if f.name not in self.known and ".part" not in f.name)
        new = sorted(f for f in files if f.stem.partition("_")[2] in self.sources)[:NEW_A_LOOK]
        for file in new:
            self.known.add(file.name)
            crop = torch.from_numpy(np.load(file)).to(self.device)
            self.crops[crop.shape[-1]].append(crop)
        for kept in self.crops.values():
            while sum(crop.numel() for crop in kept) > self.bytes / len(KINDS):
                kept.pop(0)

    def batches(self, voxels: int) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Without end: images uint8 [n, z, y, x], altered anew, structures and which are labelled; n by `voxels`."""
        while not all(len(self.crops[side]) >= FEWEST for side, _ in KINDS):
            self.look()
            time.sleep(0.2)
        step = 0
        while True:
            if step % LOOK_EVERY == 0:
                self.look()
            kept = self.crops[KINDS[step % len(KINDS)][0]]
            count = max(1, round(voxels / kept[0][0].numel()))
            chosen = torch.stack([kept[i] for i in self.rng.choice(len(kept), count, replace=False)])
            labelled = torch.ones(count, STRUCTURES, dtype=torch.bool, device=self.device)
            yield alter(chosen[:, 0], self.generator), chosen[:, 1], labelled
            step += 1


def alter(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Contrast, brightness, blur or sharpness and noise anew: uint8 [n, z, y, x]; zero, air and beyond, stays zero."""
    n = len(images)

    def uniform(low: float, high: float) -> torch.Tensor:
        drawn = torch.rand((n, 1, 1, 1, 1), generator=generator, device=images.device)
        return drawn * (high - low) + low

    x = images[:, None].float()
    x = torch.lerp(x, F.avg_pool3d(x, 3, 1, 1), uniform(-0.4, 0.5).clamp_min(0) - uniform(-0.4, 0.2).clamp_min(0))
    noise = torch.randn(x.shape, generator=generator, device=images.device)
    x = x * uniform(0.92, 1.08) + uniform(-6, 6) + noise * uniform(-6, 6).clamp_min(0)
    return (x.clamp_(0, 255).round_().to(torch.uint8))[:, 0] * (images > 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="best in memory, such as /dev/shm: a crop takes 4 to 8 MB")
    parser.add_argument("--sources", nargs="+", choices=EVERY, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--minutes", type=float, required=True)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    load(options.sources)  # before the workers are forked, so that they share it
    drawing = [
        multiprocessing.get_context("fork").Process(
            target=draw_part,
            args=(options.folder, options.sources, options.seed, worker, options.workers, options.minutes),
        )
        for worker in range(options.workers)
    ]
    for process in drawing:
        process.start()
    for process in drawing:
        process.join()


if __name__ == "__main__":
    main()
