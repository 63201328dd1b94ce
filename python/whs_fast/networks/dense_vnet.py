"""Runs the trained Dense V-Net by our own kernel: the backend "native".

Its integer layers are constants of the IR that OpenVINO runs as well (training.dense_vnet_ir).

The kernel streams the region plane by plane, so memory is a choice of planes a step and the result is not, and its
integer sums are exact, so neither the number of threads nor the processor's set of instructions changes a bit. Set
WHS_FAST_INSTRUCTIONS to one of those that `whs-fast info` lists to run it as on a lesser processor.

Architecture: Gibson et al., IEEE Trans Med Imaging 2018, doi 10.1109/TMI.2018.2806309.
"""

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast import _kernels
from whs_fast.errors import InputError, ModelError
from whs_fast.networks.constants import read_constants
from whs_fast.networks.installed import check_installed, ir_files
from whs_fast.volume import Box

Layer = tuple[NDArray[np.int8], list[float], list[float], int]


class DenseVNet:
    """The network, read on first use and safe to share between threads.

    path_xml is what training.export_dense_vnet wrote; threads the number of CPU threads; planes_per_step that of planes
    at half resolution made at a time. Raises ModelError where the file is missing, at once, or cannot be read, and
    InputError where WHS_FAST_INSTRUCTIONS names none that this machine has.
    """

    def __init__(self, path_xml: Path, *, threads: int, planes_per_step: int = 2) -> None:
        self.name = path_xml.stem
        self._files, self._threads, self._planes_per_step = ir_files(path_xml), threads, planes_per_step
        self.instructions = chosen_instructions()

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the graph followed by the weights (.xml, then .bin). Raises ModelError if altered."""
        return check_installed(self._files)

    def prepare(self) -> None:
        """Reads and packs the layers now, if that was not done yet. Raises ModelError where they cannot be read."""
        _ = self._packed

    def describe(self) -> dict[str, Any]:
        """What measurements.json says of it."""
        return {"name": "native", "device": "CPU", "instructions": self.instructions, "threads": self._threads}

    def __call__(
        self, region: NDArray[np.uint8], wanted: Box | None = None, *, progress: Callable[[float], None] | None = None
    ) -> NDArray[np.int8]:
        """Logits on one integer scale, int8[z/2, y/2, x/2, 11], of a region, uint8[z, y, x], sides multiples of 8.

        wanted is the box of logits to make; the others are 0. progress is called now and then with the share that is
        done; what it raises ends the work.
        """
        return self.time_stages(region, wanted, progress=progress)[0]

    def time_stages(
        self, region: NDArray[np.uint8], wanted: Box | None = None, *, progress: Callable[[float], None] | None = None
    ) -> tuple[NDArray[np.int8], list[tuple[str, float]]]:
        """The logits, and each stage of the network with its seconds of work, of all threads together."""
        z, y, x = (side // 2 for side in region.shape)
        logits = np.empty((z, y, x, len(self._layers["last"][0])), np.int8)
        times = self._packed(
            region,
            logits,
            wanted=wanted,
            planes_per_step=self._planes_per_step,
            threads=self._threads,
            progress=progress,
        )
        return logits, times

    @cached_property
    def _packed(self) -> _kernels.DenseVNet:
        try:
            return _kernels.DenseVNet(**self._layers, instructions=self.instructions)
        except ValueError as error:
            raise ModelError(f"{self._files[0]}: does not hold the layers of a network ({error})") from error

    @cached_property
    def _layers(self) -> dict[str, Any]:
        """What the file holds, as the kernel takes it."""
        _ = self.sha256  # raises for a model that was altered
        try:
            constants = read_constants(self._files[0])
            names = [key.removesuffix("/weights") for key in constants if key.endswith("/weights")]
            names.sort(key=lambda name: (len(name), name))  # the tenth of a stack after its second
            layers = {name: _layer(constants, name) for name in names}
            stacks = sorted({name.split(".")[0] for name in names if name.startswith("stack_")})
            return {
                "pool": (constants["pool/scale"].item(), constants["pool/bias"].item(), _zero(constants, "pool")),
                "entry": layers["entry"],
                "stacks": [[layers[name] for name in names if name.startswith(f"{stack}.")] for stack in stacks],
                "skips": [layers[name] for name in names if name.startswith("skip_")],
                "downs": [layers[name] for name in names if name.startswith("down_")],
                "last": layers["last"],
            }
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{self._files[0]}: does not hold the layers of a network ({error})") from error


def chosen_instructions() -> str:
    """The fastest set of instructions, or the one that WHS_FAST_INSTRUCTIONS names."""
    sets = _kernels.instruction_sets()
    chosen = os.environ.get("WHS_FAST_INSTRUCTIONS", sets[0])
    if chosen not in sets:
        raise InputError(f"WHS_FAST_INSTRUCTIONS is {chosen!r}; this machine has {', '.join(sets)}")
    return chosen


def _layer(constants: dict[str, NDArray[Any]], name: str) -> Layer:
    weights, scale, bias = (constants[f"{name}/{part}"] for part in ("weights", "scale", "bias"))
    return weights, scale.ravel().tolist(), bias.ravel().tolist(), _zero(constants, name)


def _zero(constants: dict[str, NDArray[Any]], name: str) -> int:
    return -int(constants[f"{name}/lowest"])
