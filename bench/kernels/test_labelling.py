"""Labels on the scan's grid from half-resolution logits beside torch. Goal: 10 times as fast.

torch interpolates 160^3 logits of 11 classes in float32 to 512 x 512 x 400 voxels and takes the argmax, as
max().indices, which is nine times as fast as argmax across classes. At once that is 4.6 GB; its users cut it into
slabs, or go class by class with a running maximum: both are timed. Slabs keep two rows of logits to spare on either
side, so that they equal the whole.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate
from whs_fast import _kernels as kernels

SHAPE = (400, 512, 512)
GOAL = 10
STEP, SPARE = 16, 2  # rows of logits of a slab, in which 2 make 5 slices


def by_slabs(logits: torch.Tensor, out: torch.Tensor) -> None:
    for first in range(0, 160, STEP):
        low, high = max(0, first - SPARE), min(160, first + STEP + SPARE)
        slab = interpolate(
            logits[:, :, low:high].float(),
            size=((high - low) * 5 // 2, *SHAPE[1:]),
            mode="trilinear",
            align_corners=False,
        )
        begin = (first - low) * 5 // 2
        out[first * 5 // 2 : (first + STEP) * 5 // 2] = slab[0, :, begin : begin + STEP * 5 // 2].max(0).indices


def by_classes(logits: torch.Tensor, out: torch.Tensor) -> None:
    best = torch.full(SHAPE, -torch.inf)
    for label in range(logits.shape[1]):
        value = interpolate(logits[:, label : label + 1].float(), size=SHAPE, mode="trilinear", align_corners=False)
        better = value[0, 0] > best
        out[better] = label
        torch.maximum(best, value[0, 0], out=best)


@pytest.mark.parametrize("way", [by_slabs, by_classes])
@pytest.mark.parametrize("threads", [1, 4])
@torch.inference_mode()
def test_labels(work, race, threads, way):
    torch.set_num_threads(threads)
    ours, theirs = np.empty(SHAPE, np.uint8), torch.empty(SHAPE, dtype=torch.uint8)
    logits = torch.from_numpy(np.ascontiguousarray(np.moveaxis(work.logits, 3, 0)))[None]
    scale = 320 / np.array(SHAPE)  # the same voxel centres as torch's with align_corners=False
    matrix = np.column_stack([np.diag(scale), scale / 2 - 0.5])

    def label() -> None:
        kernels.upsample_argmax(work.logits, ours, matrix, threads=threads)

    label()
    way(logits, theirs)
    # Weights of 8 fractional bits move a border between labels by a 500th of a voxel at most.
    assert (ours != theirs.numpy()).mean() < 2e-3
    assert len(np.unique(ours)) == 11
    race(f"upsample_argmax, {threads} threads, torch {way.__name__}", label, lambda: way(logits, theirs), GOAL, 3)
