"""Runs networks by OpenVINO: the only module that knows it.

A model is an OpenVINO IR file pair of fixed input shape, memory-mapped and compiled for a device of this machine when
it is first needed; what was compiled is kept for the next process (compiled_cache). Precision is pinned to float32
beside int8, because OpenVINO otherwise takes bfloat16 silently where the CPU has it, and results would then differ from
one machine to the next. Nothing leaves the machine: `import openvino` by itself would write an identifier into the home
folder and report the import to its maker, so its reporting module is hidden from it.
"""

import hashlib
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast.errors import ModelError
from whs_fast.machine import cpu_features
from whs_fast.networks import compiled_cache
from whs_fast.networks.installed import check_installed, ir_files

_hidden = sys.modules.get("openvino_telemetry")
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # OpenVINO then falls back on a stub of its own
try:
    import openvino
finally:
    if _hidden is None:
        del sys.modules["openvino_telemetry"]
    else:
        sys.modules["openvino_telemetry"] = _hidden

# One stream and one request: a single inference already uses every thread, a second beside it would only double the
# memory. Threads are not pinned: several processes on one machine would share the first cores and leave the rest idle.
_CPU_OPTIONS = {
    "PERFORMANCE_HINT": "LATENCY",
    "INFERENCE_PRECISION_HINT": "f32",
    "NUM_STREAMS": 1,
    "ENABLE_CPU_PINNING": False,
}
_OTHER_OPTIONS = {"PERFORMANCE_HINT": "LATENCY", "EXECUTION_MODE_HINT": "ACCURACY"}


@cache
def _core() -> Any:
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": True})
    return core


class Model:
    """One network, compiled on first use and safe to share between threads (calls wait for one another).

    path_xml is the IR file; shapes fix those of the inputs, in their order, in place of the file's; threads is the
    number of CPU threads; device one of those that available_devices gives. Raises ModelError where the file pair is
    missing, at once, not on first use.
    """

    def __init__(
        self,
        path_xml: Path,
        *,
        threads: int,
        shapes: Sequence[tuple[int, ...]] | None = None,
        device: str = "CPU",
    ) -> None:
        self.name = path_xml.stem
        self._files = ir_files(path_xml)
        self._threads = threads
        self._shapes = shapes
        self._device = device
        self._lock = threading.Lock()
        self._request: Any = None
        self._sha256: str | None = None

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the graph followed by the weights (.xml, then .bin). Raises ModelError if altered."""
        if self._sha256 is None:
            self._sha256 = check_installed(self._files)
        return self._sha256

    def __call__(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Outputs of the network for inputs of its fixed shapes and types; the arrays returned are the caller's own.

        Raises TypeError or ValueError where number, type or shape of the inputs are not the network's.
        """
        self.prepare()
        with self._lock:
            arrays = self._checked(inputs)
            outputs = tuple(np.empty(tuple(p.shape), p.element_type.to_dtype()) for p in self._request.model_outputs)
            # All tensors lie in NumPy's memory, so nothing is copied. OpenVINO keeps the addresses, not the arrays:
            # they are replaced here before every inference, and the memory goes when the caller lets go of it.
            for index, array in enumerate(arrays):
                self._request.set_input_tensor(index, openvino.Tensor(array, shared_memory=True))
            for index, array in enumerate(outputs):
                self._request.set_output_tensor(index, openvino.Tensor(array, shared_memory=True))
            self._request.infer()
            return outputs

    def devices(self) -> list[str]:
        """Where it runs, which AUTO decides when it compiles."""
        self.prepare()
        return list(self._request.get_compiled_model().get_property("EXECUTION_DEVICES"))

    def release_memory(self) -> None:
        """Gives back what the network holds between calls for its intermediate results; the next call takes it anew."""
        with self._lock:
            if self._request is not None:
                self._request.get_compiled_model().release_memory()

    def _checked(self, inputs: tuple[NDArray[Any], ...]) -> list[NDArray[Any]]:
        ports = self._request.model_inputs
        if len(inputs) != len(ports):
            raise TypeError(f"{self.name}: found {len(inputs)} inputs, expected {len(ports)}")
        for array, port in zip(inputs, ports, strict=True):
            dtype, shape = port.element_type.to_dtype(), tuple(port.shape)
            if array.dtype != dtype:
                raise TypeError(f"{self.name}: found input of type {array.dtype}, expected {dtype}")
            if array.shape != shape:
                raise ValueError(f"{self.name}: found input of shape {array.shape}, expected {shape}")
        return [np.ascontiguousarray(array) for array in inputs]

    def prepare(self) -> None:
        """Compiles the network now, if that was not done yet. Raises ModelError where it cannot be or was altered."""
        with self._lock:
            if self._request is None:
                self._request = self._compile()

    def _compile(self) -> Any:
        options = self._options()
        key = self._key(options)  # by the files' hash, which raises for a model that was altered
        kept = compiled_cache.load(key)
        if kept is not None:
            with suppress(RuntimeError):  # not to be used after all
                return _core().import_model(kept, self._device, options).create_infer_request()
        try:
            network = _core().read_model(self._files[0])
            if self._shapes is not None:
                network.reshape({index: list(shape) for index, shape in enumerate(self._shapes)})
            ready = _core().compile_model(network, self._device, options)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise ModelError(f"{self._files[0]}: does not compile ({reason})") from error
        with suppress(RuntimeError):
            compiled_cache.store(key, ready.export_model().getvalue())
        return ready.create_infer_request()

    def _options(self) -> dict[str, Any]:
        cpu = {**_CPU_OPTIONS, "INFERENCE_NUM_THREADS": self._threads}
        if self._device == "CPU":
            return cpu
        if self._device == "AUTO":  # from the start on the device that it settles for
            return {**_OTHER_OPTIONS, "ENABLE_STARTUP_FALLBACK": False, "DEVICE_PROPERTIES": {"CPU": cpu}}
        return _OTHER_OPTIONS

    def _key(self, options: dict[str, Any]) -> str:
        """Names all on which the compiled network depends: model, shapes, device, options, OpenVINO, CPU and limits."""
        limits = [os.environ.get(name) for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")]
        device = (self._device, _core().get_property(self._device, "FULL_DEVICE_NAME"))
        facts = (self.sha256, self._shapes, device, options, sorted(describe_runtime().items()), cpu_features(), limits)
        return hashlib.sha256(repr(facts).encode()).hexdigest()


def predict_batches(model: Model, images: NDArray[np.uint8], *, batch: int) -> NDArray[np.float32]:
    """What a slice network of a fixed batch tells of uint8[n, 1, rows, columns], float32[n, 4] in mm.

    The absolute and the signed distance to the slice that holds the valve, and the valve's row and column beside the
    middle of the slice.

    The last batch is filled up with zeros, whose answers are dropped: the shape never changes, so nothing is compiled
    again, memory does not grow, and an image gets the same answer whatever the number of its companions.
    """
    told = np.empty((len(images), 4), np.float32)
    block = np.zeros((batch, *images.shape[1:]), np.uint8)
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        block[: len(part)] = part
        block[len(part) :] = 0
        told[start : start + len(part)] = model(block)[0][: len(part)]
    return told


def available_devices() -> list[str]:
    """The kinds of devices that OpenVINO finds here, "CPU" among them, and "AUTO", which chooses one of them."""
    return [*dict.fromkeys(name.split(".")[0] for name in _core().available_devices), "AUTO"]


def describe_runtime() -> dict[str, str]:
    """Version of OpenVINO, the CPU it sees and the number formats it can use there."""
    return {
        "openvino": str(openvino.get_version()),
        "cpu": str(_core().get_property("CPU", "FULL_DEVICE_NAME")).strip(),
        "formats": ", ".join(sorted(_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))),
    }
