"""Runs Dense V-Net over slabs of the region, so that memory is a choice of slab height and the result is not.

The network is stored in three parts, cut where its quantised graph holds 8-bit integers. The field of view of one
output voxel is about 300 voxels, so tiles with halos could not be exact; but only the half-resolution layers are large,
and they reach a few rows. So the encoder (entry convolution, first dense stack, its skip and stride-2 convolution) runs
over slabs along z, the context (second and third stack) on the whole volume at 1/4 and 1/8, and the decoder (upsampled
skips, last convolution) over slabs again. Each window is slid to lie inside the region, so that zero padding happens at
its true borders only, and the rows that a cut edge of the window spoils are left to the neighbouring window. All
tensors between the parts are integers: the logits are the same to the bit for any slab height.

Architecture: Gibson et al., IEEE Trans Med Imaging 2018, doi 10.1109/TMI.2018.2806309.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whs_fast.network import Model

# Half-resolution rows of a window that its cut edge spoils: one of the entry convolution, five of the dense stack and
# one of the skip for the encoder, two of the upsampling from 1/8 and one of the last convolution for the decoder;
# rounded up to keep the windows on the grids of the stride-2 convolution and of the 1/8 resolution.
ENCODER_HALO = 8
DECODER_HALO = 4

ReadRows = Callable[[int, NDArray[np.uint8]], None]


class DenseVNet:
    """The three parts, compiled on first use and safe to share between threads.

    shape is that of the region (z, y, x), multiples of 8. encoder_rows and decoder_rows are the half-resolution rows of
    a window, multiples of 4; 160 rows of a region of 320 are the whole. The defaults keep the peak
    memory of a scan of 512 x 512 x 400 below 700 MB (bench/RESULTS.md).
    """

    def __init__(
        self,
        folder: Path,
        *,
        shape: tuple[int, int, int],
        threads: int,
        encoder_rows: int = 36,
        decoder_rows: int = 20,
    ) -> None:
        z, y, x = (side // 2 for side in shape)
        self._rows, self._plane = z, (y, x)
        self._encoder_rows, self._decoder_rows = min(encoder_rows, z), min(decoder_rows, z)
        e, d = self._encoder_rows, self._decoder_rows
        inputs = {
            "encoder": ((1, 1, 2 * e, 2 * y, 2 * x),),
            "context": ((1, z // 2, y // 2, x // 2, 24),),
            "decoder": (
                (1, d, y, x, 1),
                (1, d, y, x, 12),
                (1, d // 2, y // 2, x // 2, 24),
                (1, d // 4, y // 4, x // 4, 24),
            ),
        }
        self.models = tuple(
            Model(folder / f"dense_vnet_{part}.xml", threads=threads, shapes=shapes) for part, shapes in inputs.items()
        )

    def __call__(self, read_rows: ReadRows) -> NDArray[np.int8]:
        """Logits of the region on one shared integer scale, int8[z/2, y/2, x/2, 11] (whs_fast.segmentation.Network).

        read_rows(first, out) fills out, uint8[rows, y, x], with the region's rows from `first` on.
        """
        encoder, context, decoder = self.models
        z, (y, x) = self._rows, self._plane
        pooled = np.empty((1, z, y, x, 1), np.uint8)
        skip_2 = np.empty((1, z, y, x, 12), np.uint8)
        down_4 = np.empty((1, z // 2, y // 2, x // 2, 24), np.uint8)
        window = np.empty((1, 1, 2 * self._encoder_rows, 2 * y, 2 * x), np.uint8)
        for start, first, end in _windows(z, self._encoder_rows, ENCODER_HALO):
            read_rows(2 * start, window[0, 0])
            rows = slice(first - start, end - start)
            new_pooled, new_skip, new_down = encoder(window)
            pooled[:, first:end] = new_pooled[:, rows]
            skip_2[:, first:end] = new_skip[:, rows]
            down_4[:, first // 2 : end // 2] = new_down[:, rows.start // 2 : rows.stop // 2]
        del window
        encoder.release_memory()

        skip_4, skip_8 = context(down_4)
        del down_4
        context.release_memory()

        logits = np.empty((z, y, x, 11), np.int8)
        for start, first, end in _windows(z, self._decoder_rows, DECODER_HALO):
            stop = start + self._decoder_rows
            (new_logits,) = decoder(
                pooled[:, start:stop],
                skip_2[:, start:stop],
                skip_4[:, start // 2 : stop // 2],
                skip_8[:, start // 4 : stop // 4],
            )
            logits[first:end] = new_logits[0, first - start : end - start]
        decoder.release_memory()
        return logits


def _windows(rows: int, height: int, halo: int) -> Iterator[tuple[int, int, int]]:
    """(start of the window, first row to keep, end of the rows to keep) of windows that cover all rows in order."""
    first = 0
    while first < rows:
        start = max(0, min(first - halo, rows - height))
        end = rows if start + height >= rows else start + height - halo
        yield start, first, end
        first = end
