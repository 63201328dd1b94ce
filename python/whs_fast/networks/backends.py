"""Chooses what runs Dense V-Net: our own kernel or OpenVINO. Both read one file pair and take a region to logits."""

from pathlib import Path

from whs_fast.errors import InputError
from whs_fast.networks.dense_vnet import DenseVNet, chosen_instructions
from whs_fast.networks.openvino_dense_vnet import OpenVINODenseVNet
from whs_fast.networks.openvino_model import available_devices
from whs_fast.outputs import BACKENDS


def load_dense_vnet(path_xml: Path, *, backend: str, device: str, threads: int) -> DenseVNet | OpenVINODenseVNet:
    """The network, ready to be called. Raises what choose_backend raises, and ModelError where a file is missing."""
    if choose_backend(backend, device) == "native":
        return DenseVNet(path_xml, threads=threads)
    return OpenVINODenseVNet(path_xml, threads=threads, device=device)


def choose_backend(backend: str, device: str) -> str:
    """Which of "native" and "openvino" runs.

    "auto" is native on a CPU whose instructions the kernel has a fast form for, and else OpenVINO. Raises InputError
    for a backend that is not known, and for a device that this machine lacks or the backend does not run on.
    """
    if backend not in BACKENDS:
        raise InputError(f"backend: {backend!r} is unknown, choose one of {', '.join(BACKENDS)}")
    if device == "CPU":
        # Not looked up: looking for devices loads what drives the others, 15 MB.
        fast = chosen_instructions() != "portable"
        return ("native" if fast else "openvino") if backend == "auto" else backend
    devices = available_devices()
    if device not in devices:
        raise InputError(f"device: this machine has no {device!r}, choose one of {', '.join(devices)}")
    if backend == "native":
        raise InputError(f"device: the native backend runs only on the CPU; openvino has {', '.join(devices)}")
    return "openvino"
