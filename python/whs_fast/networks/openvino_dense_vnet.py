"""Runs the trained Dense V-Net by OpenVINO: the backend "openvino", for what our kernel has no fast form for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast.networks.openvino_model import Model
from whs_fast.volume import Box


class OpenVINODenseVNet:
    """The network as INT8 graph, compiled on first use and safe to share between threads (calls wait for one another).

    path_xml is what training.export_dense_vnet wrote; threads the number of CPU threads; device one of those that
    available_devices gives; shape that of the regions, in place of the file's. Raises ModelError where the file pair is
    missing, at once, or does not compile.
    """

    def __init__(
        self, path_xml: Path, *, threads: int, device: str = "CPU", shape: tuple[int, int, int] | None = None
    ) -> None:
        shapes = None if shape is None else (shape,)
        self._model = Model(path_xml, threads=threads, shapes=shapes, device=device)
        self._threads = threads
        self.name = self._model.name

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the graph followed by the weights (.xml, then .bin)."""
        return self._model.sha256

    def prepare(self) -> None:
        """Compiles the network now, if that was not done yet. Raises ModelError where it cannot be."""
        self._model.prepare()

    def describe(self) -> dict[str, Any]:
        """What measurements.json says of it."""
        device = ", ".join(self._model.devices())
        return {"name": "openvino", "device": device, "instructions": None, "threads": self._threads}

    def __call__(
        self, region: NDArray[np.uint8], wanted: Box | None = None, *, progress: Callable[[float], None] | None = None
    ) -> NDArray[np.int8]:
        """Logits on one integer scale, int8[z/2, y/2, x/2, 11], of a region, uint8[z, y, x].

        All are made, whichever box of them is wanted. progress is called before and after with 0 and 1, and what it
        raises ends the work there: in between lies a single inference, which nothing can interrupt.
        """
        report = progress or (lambda share: None)
        report(0.0)
        (logits,) = self._model(region)
        self._model.release_memory()
        report(1.0)
        return logits
