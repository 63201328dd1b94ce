"""Train the localisers.

    python -m training.train_localisers draw --pool FOLDER --count 500 [--first 0] [--kind 0]
    python -m training.train_localisers train --pool FOLDER --out FOLDER --backbone squeezenet --axis axial

`draw` writes drawn thoraces; `train` takes whatever the pool holds, looks for new ones now and then, keeps a checkpoint
and goes on from it. The learning rate follows the share of the minutes (or steps) that is used up. Neither needs the
engine: `training.export_localisers` makes INT8 models of the checkpoints and scores them.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from training.localisers import (
    AXES,
    BACKBONES,
    ENTRY_POOL,
    NEAR_MM,
    SIDE,
    Thorax,
    alter_batch,
    build,
    calibration_slices,
    draw_slice,
    draw_thorax,
    load_thorax,
    load_trained,
    save_thorax,
    slice_loss,
)
from training.networks import load_imagenet
from training.speed import fastest_way, keep_memory
from training.stepping import Stepper

SEED_FAMILY = 1000  # localisers draw from (kind, 1000, number)


def draw(pool: Path, first: int, count: int, kind: int) -> None:
    pool.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        file = pool / f"{kind}_{number:05d}.npy"
        if not file.exists():
            save_thorax(draw_thorax((kind, SEED_FAMILY, number)), file)


def draw_batch(
    thoraces: list[Thorax], axis: str, size: int, rng: np.random.Generator, chances: NDArray[np.float64] | None = None
) -> tuple[torch.Tensor, torch.Tensor, NDArray[np.int64]]:
    """Altered slices float32 [n, 1, 96, 96] in 0..1, what they should tell [n, 3] and the thoraces' numbers [n].

    Every other slice is zoomed.

    chances: of each thorax to be drawn; all the same without them.
    """
    chosen = rng.choice(len(thoraces), size, p=chances)
    drawn = [draw_slice(thoraces[number], axis, rng, zoomed=i % 2 == 1) for i, number in enumerate(chosen)]
    slices = F.avg_pool2d(torch.from_numpy(np.stack([s for s, _ in drawn]))[:, None].float() / 255, ENTRY_POOL)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    wanted = torch.from_numpy(np.stack([w for _, w in drawn]))
    slices, wanted[:, 1:] = alter_batch(slices, wanted[:, 1:], generator)
    return slices, wanted, chosen


def chances_of(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Thoraces that are read badly are drawn more often, up to three times the average."""
    weights = np.clip(losses / max(losses.mean(), 1e-9), 0.5, 3.0)
    return weights / weights.sum()


def train(
    pool: Path, out: Path, backbone: str, axis: str, *, minutes: float, steps: int | None = None, batch: int = 16,
    rate: float = 1.5e-3, seed: int = 1, imagenet: Path | None = None, start: Path | None = None,
    width: float | None = None, device: str = "cpu",
) -> Path:  # fmt: skip
    """Train one network and return its checkpoint {"model", "averaged", "step", ...}."""
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    network = build(backbone, width)
    way = fastest_way(network, torch.rand(batch, 1, SIDE // ENTRY_POOL, SIDE // ENTRY_POOL), device)
    network = network.to(device, memory_format=way.memory_format)
    if imagenet is not None:
        load_imagenet(network, torch.load(imagenet, weights_only=True))
    if start is not None:
        if start.suffix == ".xml":
            from training.export_localisers import recover

            begun = recover(start, calibration_slices(pool, axis, 64))
        else:
            begun = load_trained(start, backbone)
        network.load_state_dict(begun.state_dict())
    averaged = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995), use_buffers=True
    )
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-4)
    take_step = Stepper(network, optimiser)
    checkpoint, step, used = out / f"{backbone}_{axis}.pt", 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["model"])
        averaged.load_state_dict(state["averaged"])
        optimiser.load_state_dict(state["optimiser"])
        step, used = state["step"], state["seconds"]

    def save() -> None:
        state = {"model": network.state_dict(), "averaged": averaged.state_dict(), "optimiser": optimiser.state_dict()}
        temporary = checkpoint.with_suffix(".part")
        torch.save({**state, "step": step, "seconds": used}, temporary)
        temporary.replace(checkpoint)

    thoraces: list[Thorax] = []
    known: set[Path] = set()
    losses = np.zeros(0)  # running loss of each thorax
    with (out / f"{backbone}_{axis}.csv").open("a", newline="") as file:
        log = csv.writer(file)
        while True:
            share = step / steps if steps else used / (60 * minutes)
            if share >= 1:
                break
            began = time.perf_counter()
            if step % 100 == 0 or not thoraces:
                found = [f for f in sorted(pool.glob("0_*.npy")) if f not in known and ".part" not in f.name]
                known.update(found)
                thoraces += [load_thorax(f) for f in found]
            rng = np.random.default_rng([0, seed, step, AXES.index(axis)])
            losses = np.concatenate(
                [losses, np.full(len(thoraces) - len(losses), losses.mean() if len(losses) else 1.0)]
            )
            slices, wanted, chosen = draw_batch(thoraces, axis, batch, rng, chances_of(losses))
            drawn = time.perf_counter()
            decay = 0.01 + 0.99 * (1 + np.cos(np.pi * share)) / 2
            optimiser.param_groups[0]["lr"] = float(rate * min(1, (step + 1) / 50) * decay)
            with way.autocast():
                predicted = network(way.move(slices))
            each = slice_loss(predicted.float(), wanted.to(device))
            loss = each.mean()
            if take_step(loss):
                averaged.update_parameters(network)
            step += 1
            losses[chosen] = 0.8 * losses[chosen] + 0.2 * each.detach().cpu().numpy().clip(max=50)
            near = wanted[:, 0].abs() < NEAR_MM
            told = predicted.detach().float().cpu()[near]
            off = torch.stack([told[:, 0] - wanted[near, 0].abs(), *(told[:, 2:] - wanted[near, 1:]).T]).abs().mean(1)
            times = (drawn - began, time.perf_counter() - drawn)
            figures = (loss.item(), *off.tolist(), *times)
            log.writerow([step, *map("{:.3f}".format, figures), len(thoraces)])
            used += time.perf_counter() - began
            if step % 100 == 0:
                file.flush()
                save()
    save()
    return checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    drawing = commands.add_parser("draw")
    drawing.add_argument("--pool", type=Path, required=True)
    drawing.add_argument("--count", type=int, default=500)
    drawing.add_argument("--first", type=int, default=0)
    drawing.add_argument("--kind", type=int, default=0, help="0 to train, 1 to validate")
    training = commands.add_parser("train")
    training.add_argument("--pool", type=Path, required=True)
    training.add_argument("--out", type=Path, required=True)
    training.add_argument("--backbone", choices=tuple(BACKBONES), default="squeezenet")
    training.add_argument("--axis", choices=AXES, required=True)
    training.add_argument("--minutes", type=float, default=8.0)
    training.add_argument("--steps", type=int, help="instead of minutes")
    training.add_argument("--batch", type=int, default=16)
    training.add_argument("--rate", type=float, default=1.5e-3)
    training.add_argument("--seed", type=int, default=1)
    training.add_argument("--imagenet", type=Path, help="weights as torchvision stores them")
    training.add_argument("--start", type=Path, help="checkpoint, or INT8 model of VGG-16, to begin from")
    training.add_argument("--width", type=float, help="features of VGG-16 against the published 64 to 512")
    training.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    for command in (drawing, training):
        command.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_memory()
    if options.command == "draw":
        draw(options.pool, options.first, options.count, options.kind)
    else:
        train(
            options.pool, options.out, options.backbone, options.axis, minutes=options.minutes, steps=options.steps,
            batch=options.batch, rate=options.rate, seed=options.seed, imagenet=options.imagenet,
            start=options.start, width=options.width, device=options.device,
        )  # fmt: skip


if __name__ == "__main__":
    main()
