"""Train Dense V-Net on drawn hearts: `python -m training.train_dense_vnet --out FOLDER [--resume]`.

Two stages of one run, each with its own crops and learning rate: the first draws coarse scales (cheap steps that see
all anatomy), the second those around the region's own spacing. The loss is soft Dice + cross-entropy against the share
of each structure in a half-resolution voxel, so that the trilinear upsampling of the logits puts borders between
voxels. Structures that are not labelled (in the scans of a manifest) count as background in both: the marginal loss of
Shi et al. 2021 (doi 10.1016/j.media.2021.101979). Seeds: every crop is drawn from (0, seed, its number), validation
from (1, i); held-out scans use other first numbers.
"""

import argparse
import csv
import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

from training.anatomies import EVERY, load
from training.crop_pool import CropPool
from training.crops import draw_crop, draw_scale
from training.curves import draw_curve
from training.heart import STRUCTURES
from training.networks import DenseVNet
from training.speed import Way, fastest_way, keep_memory
from training.stepping import Stepper

TRAINING_SEED, VALIDATION_SEED = 0, 1
SAVE_EVERY, SAVE_SECONDS = 50, 60  # steps, but no oftener than that
NO_END = 10**9  # steps of a run that time ends
TRIAL_SIDE = 64  # of the crop with which the machine is timed

Sample = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # image, structures, which structures are labelled (bool [11])


class Crops(Dataset[Sample]):
    """Crop `step` of a run: drawn, or in a share of steps from the labelled scans of a manifest."""

    def __init__(self, options: argparse.Namespace, side: int, scales: tuple[float, float], steps: range) -> None:
        self.options, self.side, self.scales, self.steps = options, side, scales, steps
        self.scans: Sequence[Any] = ()
        if options.manifest:
            from training.manifest import read_manifest

            self.scans = read_manifest(options.manifest)

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> Sample:
        torch.set_num_threads(1)
        rng = np.random.default_rng([TRAINING_SEED, self.options.seed, self.steps[index]])
        scale = draw_scale(rng, self.scales)
        if self.scans and rng.random() < self.options.manifest_share:
            from training.manifest import draw_labelled_crop

            return draw_labelled_crop(self.scans[int(rng.integers(len(self.scans)))], rng, self.side, scale)
        source = self.options.sources[int(rng.integers(len(self.options.sources)))]
        return *draw_crop(rng, self.side, scale, source), torch.ones(STRUCTURES, dtype=torch.bool)


def half_resolution_shares(structures: torch.Tensor) -> torch.Tensor:
    """Structures uint8 [n, z, y, x] -> share of each in a 2x2x2 block: float32 [n, 11, z/2, y/2, x/2].

    With voxels that are background for certain (label 11, see manifest.py) a twelfth channel has their share.
    """
    n, z, y, x = structures.shape
    classes = max(STRUCTURES, int(structures.max()) + 1)
    blocks = structures.view(n, z // 2, 2, y // 2, 2, x // 2, 2).permute(0, 1, 3, 5, 2, 4, 6).reshape(n, -1, 8)
    shares = torch.zeros(n, blocks.shape[1], classes, device=blocks.device)
    shares.scatter_add_(2, blocks.long(), torch.full(blocks.shape, 0.125, device=blocks.device))
    return shares.transpose(1, 2).reshape(n, classes, z // 2, y // 2, x // 2)


def loss_of(
    logits: torch.Tensor, shares: torch.Tensor, labelled: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Soft Dice over the classes present + cross-entropy; also the Dice of each class for the log.

    logits, shares: [n, 11, z, y, x]. labelled: bool [n, 11]; what is not labelled in full may lie in the background:
    there its probability counts as the background's, but for the certain background of a twelfth channel of shares.
    """
    log_p = F.log_softmax(logits.float(), 1)
    certain, shares = shares[:, STRUCTURES:].sum(1), shares[:, :STRUCTURES]
    cross = -(certain * log_p[:, 0]).mean()
    counted = torch.ones(STRUCTURES, dtype=torch.bool, device=logits.device)
    if labelled is not None and not bool(labelled.all()):
        structures = labelled.clone()
        structures[:, 0] = False
        background = log_p.masked_fill(structures[:, :, None, None, None], -torch.inf).logsumexp(1, keepdim=True)
        log_p = torch.cat([background, log_p[:, 1:]], 1)
        counted = labelled.all(0)
    cross = cross - (shares * log_p).sum(1).mean()
    if labelled is not None:  # what may lie in the background is background to Dice
        in_part = (shares * ~labelled[:, :, None, None, None]).sum(1)
        shares = torch.cat([(shares[:, 0] + in_part + certain)[:, None], shares[:, 1:]], 1)
    p = log_p.exp()
    axes = (0, 2, 3, 4)
    dice = (2 * (p * shares).sum(axes) + 1) / ((p * p).sum(axes) + (shares * shares).sum(axes) + 1)
    present = (shares.sum(axes) > 20) & counted
    return cross + 1 - dice[present].mean(), torch.where(present, dice, torch.nan).detach()


def load_averaged(checkpoint: Path) -> DenseVNet:
    """The averaged weights of a training run."""
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")["averaged"]
    model = DenseVNet()
    model.load_state_dict({key.removeprefix("module."): value for key, value in state.items() if key != "n_averaged"})
    return model


def _as_batch(image: torch.Tensor, way: Way) -> torch.Tensor:
    return way.move(image[:, None].float() / 255)


def validate(model: torch.nn.Module, crops: Iterable[tuple[torch.Tensor, torch.Tensor]], way: Way) -> list[float]:
    """Dice of each class over all crops (image, structures) together, at half resolution."""
    counts = np.zeros((3, STRUCTURES))
    model.eval()
    for image, structures in crops:
        with torch.no_grad(), way.autocast():
            found = model(_as_batch(image[None], way)).argmax(1).cpu().ravel()
        truth = half_resolution_shares(structures[None]).argmax(1).ravel()
        for row, labels in enumerate((found[found == truth], found, truth)):
            counts[row] += np.bincount(labels.numpy(), minlength=STRUCTURES)
    model.train()
    return [float(d) for d in 2 * counts[0] / np.maximum(counts[1] + counts[2], 1)]


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--steps", type=int, nargs=2, default=(1800, 700), help="steps of the coarse and the fine stage"
    )
    parser.add_argument("--sides", type=int, nargs=2, default=(112, 160), help="crop sides of the two stages in voxels")
    parser.add_argument(
        "--rates", type=float, nargs=2, default=(3e-3, 1e-3), help="highest learning rate of the stages"
    )
    parser.add_argument(
        "--scale", type=float, nargs=2, default=(0.85, 2.2), metavar=("LOW", "HIGH"),
        help="voxels of the crops in voxels of the region: the coarse stage draws the upper half, the fine the lower",
    )  # fmt: skip
    parser.add_argument("--sources", nargs="+", choices=EVERY, default=["atlas"], help="where anatomies come from")
    parser.add_argument("--pool", type=Path, help="train on blocks that training.crop_pool draws there")
    parser.add_argument("--pool-gib", type=float, default=12, help="memory of the device for them")
    parser.add_argument("--manifest", type=Path, help="labelled scans to learn from as well (see training/manifest.py)")
    parser.add_argument("--manifest-share", type=float, default=0.5, help="share of steps that see them")
    parser.add_argument("--validate-every", type=int, default=250, help="steps between validations; 0: never")
    parser.add_argument("--minutes", type=float, help="train the fine stage for so long, instead of a number of steps")
    parser.add_argument("--batch", type=int, default=1, help="crops a step")
    parser.add_argument("--threads", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--start", type=Path, help="begin from the averaged weights of another run's checkpoint")
    options = parser.parse_args()
    if options.manifest:
        from whs_fast import InputError  # needed for patients' scans alone: where a GPU is, it may not be installed

        from training.manifest import read_manifest

        try:
            read_manifest(options.manifest)
        except InputError as error:
            parser.error(str(error))
    return options


def main() -> None:
    options = parse_options()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    keep_memory()
    if not options.pool:
        load(options.sources)

    model = DenseVNet() if options.start is None else load_averaged(options.start)
    way = fastest_way(model, torch.rand(1, 1, *[TRIAL_SIDE] * 3), options.device)
    model = model.to(options.device, memory_format=way.memory_format)
    averaged = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99), use_buffers=True
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=options.rates[0], weight_decay=1e-4)
    take_step = Stepper(model, optimiser)
    checkpoint, done, used = options.out / "checkpoint.pt", 0, 0.0
    if options.resume and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        averaged.load_state_dict(state["averaged"])
        optimiser.load_state_dict(state["optimiser"])
        done, used = state["step"], state.get("seconds", 0.0)

    saved = 0.0

    def save(step: int) -> None:
        nonlocal saved
        saved = time.perf_counter()
        parts = {"model": model, "averaged": averaged, "optimiser": optimiser}
        part = checkpoint.with_suffix(".part")
        states = {name: value.state_dict() for name, value in parts.items()}
        torch.save({**states, "step": step, "seconds": time.perf_counter() - started}, part)
        part.replace(checkpoint)
        draw_curve(options.out)

    validation: list[tuple[torch.Tensor, torch.Tensor]] = []
    dice_columns = [f"dice_{i}" for i in range(STRUCTURES)]
    stages = (0, NO_END) if options.minutes else options.steps
    total, middle, started = sum(stages), math.sqrt(math.prod(options.scale)), time.perf_counter() - used
    mode = "a" if done else "w"
    with (
        (options.out / "log.csv").open(mode, newline="") as file,
        (options.out / "validation.csv").open(mode, newline="") as checked,
    ):
        log, checks = csv.writer(file), csv.writer(checked)
        # By what the files hold, not by `done`: a process killed before its first flush leaves them empty.
        if file.tell() == 0:
            log.writerow(["step", "loss", "seconds", *dice_columns])
        if checked.tell() == 0:
            checks.writerow(["step", *dice_columns])
        for stage, scales in enumerate(((middle, options.scale[1]), (options.scale[0], middle))):
            start, end = (0, stages[0]) if stage == 0 else (stages[0], total)
            first = max(start, done)
            if first >= end:
                continue
            loader: Iterable[Sample]
            if options.pool:
                begun = (options.seed, first)
                pool = CropPool(options.pool, options.sources, options.device, options.pool_gib, begun)
                loader = pool.batches(options.sides, options.batch)
            else:
                crops = Crops(options, options.sides[stage], scales, range(first * options.batch, end * options.batch))
                ahead = 4 if options.workers else None
                loader = DataLoader(crops, options.batch, num_workers=options.workers, prefetch_factor=ahead)
            began = time.perf_counter()
            for step, (image, structures, labelled) in enumerate(loader, first):
                if options.minutes:
                    share = (time.perf_counter() - started) / (60 * options.minutes)
                    if share >= 1:
                        file.flush()
                        save(step)
                        return
                else:
                    share = (step - start) / (end - start)
                warm = min(1.0, (step - start + 1) / 50)
                optimiser.param_groups[0]["lr"] = (
                    options.rates[stage] * warm * (0.02 + 0.49 * (1 + math.cos(math.pi * share)))
                )
                target = half_resolution_shares(structures).to(options.device)
                with way.autocast():
                    logits = model(_as_batch(image, way))
                loss, dice = loss_of(logits, target, labelled.to(options.device))
                if take_step(loss):
                    averaged.update_parameters(model)
                seconds, began = time.perf_counter() - began, time.perf_counter()
                log.writerow([step, f"{loss.item():.4f}", f"{seconds:.2f}", *[f"{d:.3f}" for d in dice.tolist()]])
                if options.validate_every and (step + 1) % options.validate_every == 0:
                    for i in range(len(validation), 6):
                        validation.append(
                            draw_crop(
                                np.random.default_rng([VALIDATION_SEED, i]),
                                options.sides[1],
                                1.0,
                                options.sources[i % len(options.sources)],
                            )
                        )
                    found = validate(averaged, validation, way)
                    checks.writerow([step + 1, *[f"{d:.4f}" for d in found]])
                    checked.flush()
                due = (step + 1) % SAVE_EVERY == 0 and time.perf_counter() - saved > SAVE_SECONDS
                if due or step + 1 == total:
                    file.flush()
                    save(step + 1)


if __name__ == "__main__":
    main()
