"""Blocks of drawn scans, kept while trainings cut crops from them: a GPU takes steps faster than cores draw.

    python -m training.crop_pool FOLDER --sources atlas rooted toronto --workers 10 --minutes 9

draws them; `python -m training.train_dense_vnet --pool FOLDER` trains on what is there, any number of trainings at
once, each on the sources that it names. A block is a file, NUMBER_SOURCE.npy: uint8 [2, z, y, x], image, structures. It
is larger than the crops, because an anatomy costs more than its voxels: one of 240^3 takes twice as long as one of
160^3.
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
KINDS = ((144, (1.2, 1.9)), (240, (0.85, 1.2)))  # side and scales: with all the context, and as the engine sees it
COARSE_EVERY = 4  # steps; all others are as the engine sees it
LOOK_EVERY = 20  # steps between looks for new blocks
NEW_A_LOOK = 60  # blocks read at each of them, so that steps go on
FEWEST = 8  # blocks of a kind to begin with


def draw_part(folder: Path, sources: Sequence[str], seed: int, worker: int, workers: int, minutes: float) -> None:
    """Draw the blocks whose numbers fall to one worker of several, but those that are there."""
    torch.set_num_threads(1)
    number, end = worker, time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        rng = np.random.default_rng([TRAINING_SEED, seed, number])
        side, scales = KINDS[int(rng.integers(len(KINDS)))]
        source = sources[int(rng.integers(len(sources)))]
        file = folder / f"{number:06d}_{source}.npy"
        number += workers
        if file.exists():
            continue
        image, structures = draw_crop(rng, side, draw_scale(rng, scales), source)
        np.save(file.with_suffix(".part.npy"), torch.stack([image, structures]).numpy())
        file.with_suffix(".part.npy").rename(file)


class CropPool:
    """Crops of the blocks of a folder on `device`; the oldest leave when they take more than `gib` of its memory."""

    def __init__(self, folder: Path, sources: Sequence[str], device: str, gib: float, seed: tuple[int, int]) -> None:
        """seed: the training's, and the step that it begins with."""
        self.folder, self.sources, self.device, self.bytes = folder, frozenset(sources), device, gib * 2**30
        self.known: set[str] = set()
        self.blocks: defaultdict[int, list[torch.Tensor]] = defaultdict(list)
        self.rng = np.random.default_rng([TRAINING_SEED, *seed])
        self.generator = torch.Generator(device).manual_seed(int(self.rng.integers(2**31)))

    def look(self) -> None:
        files = (f for f in self.folder.glob("*.npy") if f.name not in self.known and ".part" not in f.name)
        new = sorted(f for f in files if f.stem.partition("_")[2] in self.sources)[:NEW_A_LOOK]
        for file in new:
            self.known.add(file.name)
            block = torch.from_numpy(np.load(file, mmap_mode="c")).to(self.device)  # without a GPU it stays on the disk
            self.blocks[block.shape[-1]].append(block)
        for kept in self.blocks.values():
            while sum(block.numel() for block in kept) > self.bytes / len(KINDS):
                kept.pop(0)

    def batches(self, sides: tuple[int, int], count: int) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Without end: images uint8 [n, z, y, x], altered anew, structures and which are labelled.

        sides: of the crops of the two kinds; count: n of the second kind; the first has as many voxels.
        """
        while not all(len(self.blocks[side]) >= FEWEST for side, _ in KINDS):
            self.look()
            time.sleep(0.2)
        counts = (max(1, round(count * (sides[1] / sides[0]) ** 3)), count)
        step = 0
        while True:
            if step % LOOK_EVERY == 0:
                self.look()
            kind = int(step % COARSE_EVERY > 0)
            kept = self.blocks[KINDS[kind][0]]
            crops = [self._cut(kept[i], sides[kind]) for i in self.rng.integers(len(kept), size=counts[kind])]
            chosen = torch.stack(crops)
            labelled = torch.ones(len(crops), STRUCTURES, dtype=torch.bool, device=self.device)
            yield alter(chosen[:, 0], self.generator), chosen[:, 1], labelled
            step += 1

    def _cut(self, block: torch.Tensor, side: int) -> torch.Tensor:
        z, y, x = self.rng.integers(block.shape[-1] - side + 1, size=3)
        return block[:, z : z + side, y : y + side, x : x + side]


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
    parser.add_argument("folder", type=Path, help="best in memory, such as /dev/shm: a block takes 6 or 28 MB")
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
