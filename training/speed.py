"""The fastest way to train on the machine at hand: bfloat16 or float32, channels last or contiguous.

No rule tells: with AMX bfloat16 is twice as fast as float32, and on a processor without its instructions fourteen times
slower. So each way is tried for a few steps when a training starts.
"""

import copy
import ctypes
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import nn

TRIES = 3  # after one that is not timed
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h


def keep_memory() -> None:
    """Have the C library keep what is freed; without, a fifth of a step on a CPU goes to fetching the same pages again.

    Does nothing where that library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)


@dataclass(frozen=True)
class Way:
    """How steps are computed on `device`."""

    device: str
    bfloat16: bool
    memory_format: torch.memory_format

    def autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.bfloat16)

    def move(self, batch: torch.Tensor) -> torch.Tensor:
        return batch.to(self.device, memory_format=self.memory_format)


def _seconds(model: nn.Module, batch: torch.Tensor, way: Way) -> float:
    """Of the fastest of TRIES steps of a copy of the model."""
    model = copy.deepcopy(model).to(way.device, memory_format=way.memory_format)  # type: ignore[call-overload]
    batch, times = way.move(batch), []
    for _ in range(1 + TRIES):
        began = time.perf_counter()
        with way.autocast():
            found = model(batch)
        found.float().square().mean().backward()
        if way.device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return min(times[1:])


def fastest_way(model: nn.Module, batch: torch.Tensor, device: str) -> Way:
    """The way whose steps of `model` on a batch [n, c, (z,) y, x] are fastest."""
    last = torch.channels_last_3d if batch.dim() == 5 else torch.channels_last
    ways = [Way(device, low, memory) for low in (True, False) for memory in (last, torch.contiguous_format)]
    seconds = [_seconds(model, batch, way) for way in ways]
    best = ways[seconds.index(min(seconds))]
    for way, one in zip(ways, seconds, strict=True):
        name = f"{'bfloat16' if way.bfloat16 else 'float32'}, {str(way.memory_format).removeprefix('torch.')}"
        print(f"{name}: {one:.3f} s a step{', taken' if way is best else ''}", flush=True)
    return best
