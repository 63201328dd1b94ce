"""Train Dense V-Net on drawn hearts: `python -m training.train_dense_vnet --out FOLDER [--resume]`.

Two stages of one run: first the whole region at twice its spacing (cheap steps that see all anatomy), then crops at
the region's own spacing. The loss is soft Dice + cross-entropy against the share of each structure in a half-resolution
voxel, so that the trilinear upsampling of the logits puts borders between voxels. Seeds: every sample is drawn from
(0, seed, step, item); held-out scans use another first number.
"""

import argparse
import csv
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

from training.crops import draw_crop, draw_scale, to_window
from training.heart import STRUCTURES, load_atlas
from training.networks import DenseVNet

TRAINING_SEED = 0


class Crops(Dataset):
    def __init__(self, first: int, steps: int, side: int, scale: float, seed: int) -> None:
        self.first, self.steps, self.side, self.scale, self.seed = first, steps, side, scale, seed

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        torch.set_num_threads(1)
        return draw_crop(np.random.default_rng([TRAINING_SEED, self.seed, self.first + step]), self.side, self.scale)


def half_resolution_shares(structures: torch.Tensor) -> torch.Tensor:
    """Structures uint8 [n, z, y, x] -> share of each in a 2x2x2 block: float32 [n, 11, z/2, y/2, x/2]."""
    n, z, y, x = structures.shape
    blocks = structures.view(n, z // 2, 2, y // 2, 2, x // 2, 2).permute(0, 1, 3, 5, 2, 4, 6).reshape(n, -1, 8)
    shares = torch.zeros(n, blocks.shape[1], STRUCTURES)
    shares.scatter_add_(2, blocks.long(), torch.full(blocks.shape, 0.125))
    return shares.transpose(1, 2).reshape(n, STRUCTURES, z // 2, y // 2, x // 2)


def loss_of(logits: torch.Tensor, shares: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Soft Dice over the classes present + cross-entropy; also the Dice of each class for the log."""
    logits = logits.float()
    log_p = F.log_softmax(logits, 1)
    cross = -(shares * log_p).sum(1).mean()
    p = log_p.exp()
    axes = (0, 2, 3, 4)
    dice = (2 * (p * shares).sum(axes) + 1) / ((p * p).sum(axes) + (shares * shares).sum(axes) + 1)
    present = shares.sum(axes) > 20
    return cross + 1 - dice[present].mean(), torch.where(present, dice, torch.nan).detach()


def load_averaged(checkpoint: Path) -> DenseVNet:
    """The averaged weights of a training run."""
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")["averaged"]
    model = DenseVNet()
    model.load_state_dict({key.removeprefix("module."): value for key, value in state.items() if key != "n_averaged"})
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--steps", type=int, nargs=2, default=(1800, 700), help="steps of the coarse and the fine stage"
    )
    parser.add_argument("--sides", type=int, nargs=2, default=(112, 160), help="crop sides of the two stages in voxels")
    parser.add_argument(
        "--rates", type=float, nargs=2, default=(3e-3, 1e-3), help="highest learning rate of the stages"
    )
    parser.add_argument("--threads", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--start", type=Path, help="begin from the averaged weights of another run's checkpoint")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    load_atlas()

    model = DenseVNet() if options.start is None else load_averaged(options.start)
    model = model.to(options.device, memory_format=torch.channels_last_3d)
    averaged = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99), use_buffers=True
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=options.rates[0], weight_decay=1e-4)
    checkpoint, done = options.out / "checkpoint.pt", 0
    if options.resume and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        averaged.load_state_dict(state["averaged"])
        optimiser.load_state_dict(state["optimiser"])
        done = state["step"]

    total = sum(options.steps)
    with (options.out / "log.csv").open("a" if done else "w", newline="") as file:
        log = csv.writer(file)
        if not done:
            log.writerow(["step", "loss", "seconds", *[f"dice_{i}" for i in range(STRUCTURES)]])
        for stage, scale in enumerate((2.0, 1.0)):
            start, end = (0, options.steps[0]) if stage == 0 else (options.steps[0], total)
            first = max(start, done)
            crops = Crops(first, end - first, options.sides[stage], scale, options.seed)
            if first >= end:
                continue
            for step, (image, structures) in enumerate(
                DataLoader(crops, num_workers=options.workers, prefetch_factor=4 if options.workers else None), first
            ):
                began = time.perf_counter()
                share = (step - start) / (end - start)
                warm = min(1.0, (step - start + 1) / 50)
                optimiser.param_groups[0]["lr"] = (
                    options.rates[stage] * warm * (0.02 + 0.49 * (1 + math.cos(math.pi * share)))
                )
                target = half_resolution_shares(structures).to(options.device)
                batch = (image[:, None].float() / 255).to(options.device, memory_format=torch.channels_last_3d)
                with torch.autocast(options.device, dtype=torch.bfloat16):
                    logits = model(batch)
                loss, dice = loss_of(logits, target)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                optimiser.step()
                averaged.update_parameters(model)
                log.writerow(
                    [
                        step,
                        f"{loss.item():.4f}",
                        f"{time.perf_counter() - began:.2f}",
                        *[f"{d:.3f}" for d in dice.tolist()],
                    ]
                )
                if (step + 1) % 50 == 0 or step + 1 == total:
                    file.flush()
                    torch.save(
                        {
                            "model": model.state_dict(),
                            "averaged": averaged.state_dict(),
                            "optimiser": optimiser.state_dict(),
                            "step": step + 1,
                        },
                        checkpoint,
                    )


if __name__ == "__main__":
    main()
