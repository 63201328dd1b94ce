"""What the binding refuses: volumes are never converted, threads and maps are checked, for every kernel alike."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest
from whs_fast import _kernels as kernels

SHAPE = (4, 5, 6)
IDENTITY = np.eye(3, 4)


def zeros(dtype):
    return np.zeros(SHAPE, dtype)


# Each kernel that takes volumes, with valid arguments, and which of them are volumes.
CALLS = {
    "resample_linear": ({"source": zeros(np.int16), "out": zeros(np.int16), "out_to_source": IDENTITY}, "out"),
    "resample_window": ({"source": zeros(np.int16), "out": zeros(np.uint8), "out_to_source": IDENTITY}, "out"),
    "resample_nearest": ({"source": zeros(np.uint8), "out": zeros(np.uint8), "out_to_source": IDENTITY}, "out"),
    "upsample_argmax": (
        {"logits": np.zeros((2, 2, 2, 3), np.int8), "out": zeros(np.uint8), "out_to_region": IDENTITY},
        "out",
    ),
    "connected_components": ({"labels": zeros(np.uint8), "out": zeros(np.uint32)}, "out"),
    "keep_parts": ({"labels": zeros(np.uint8), "rules": np.zeros((2, 3), np.int64)}, "labels"),
    "keep_group": ({"labels": zeros(np.uint8), "least_voxels": [0, 1]}, "labels"),
    "fill_holes": ({"labels": zeros(np.uint8)}, "labels"),
    "remove_thin": (
        {"labels": zeros(np.uint8), "label": 1, "box": [(0, n) for n in SHAPE], "reach": (1,) * 3, "keep": (2,) * 3},
        "labels",
    ),
    "grow_labels": (
        {
            "labels": zeros(np.uint8),
            "hu": zeros(np.int16),
            "limits": np.full((2, 2), 32767, np.int16),
            "steps": (1, 1, 1),
        },
        "labels",
    ),
    "label_statistics": ({"labels": zeros(np.uint8), "label_count": 2}, None),
    "smooth": ({"source": zeros(np.int16), "out": zeros(np.float32)}, "out"),
    "sample_linear": ({"source": zeros(np.float32), "points": np.zeros((2, 3)), "to_source": IDENTITY}, None),
    "sample_nearest": ({"source": zeros(np.uint8), "points": np.zeros((2, 3)), "to_source": IDENTITY}, None),
    "squared_depths": ({"mask": zeros(np.uint8), "out": zeros(np.int32)}, "out"),
    "cheapest_cycle": ({"cost": np.zeros((6, 5)), "bend": np.zeros(3)}, None),
}
ALONE = ("sample_linear", "sample_nearest", "squared_depths", "cheapest_cycle")  # in one thread
THREADED = [name for name in CALLS if name not in ALONE]
COPIED = ("points", "bend")  # few numbers, which may be converted
VOLUMES = [
    (name, key)
    for name, (arguments, _) in CALLS.items()
    for key, value in arguments.items()
    if isinstance(value, np.ndarray) and value is not IDENTITY and key not in COPIED
]


def call(name, **changes):
    return getattr(kernels, name)(**(CALLS[name][0] | changes))


@pytest.mark.parametrize("name", CALLS)
def test_the_valid_call_is_accepted(name):
    call(name)
    if name in THREADED:
        call(name, threads=64)


@pytest.mark.parametrize(("name", "key"), VOLUMES)
def test_another_dtype_or_layout_is_refused(name, key):
    good = CALLS[name][0][key]
    for dtype in {np.int8, np.uint16, np.int32, np.int64, np.float32, np.float64} - {good.dtype.type}:
        with pytest.raises(TypeError, match="incompatible function arguments"):
            call(name, **{key: good.astype(dtype)})
    doubled = np.repeat(good, 2, axis=-1)
    bad = [doubled[..., ::2], good[None], good.tolist(), None]
    if good.dtype.itemsize > 1:
        bad.append(good.astype(good.dtype.newbyteorder()))
    if good.ndim > 1:
        bad.append(np.asfortranarray(good))
    for volume in bad:
        with pytest.raises(TypeError, match="incompatible function arguments"):
            call(name, **{key: volume})


@pytest.mark.parametrize(("name", "output"), [(n, o) for n, (_, o) in CALLS.items() if o])
def test_a_read_only_output_is_refused_and_a_read_only_input_is_not(name, output):
    arguments = CALLS[name][0]
    for key, value in arguments.items():
        if not isinstance(value, np.ndarray):
            continue
        frozen = value.copy()
        frozen.flags.writeable = False
        if key == output:
            with pytest.raises(TypeError, match="incompatible function arguments"):
                call(name, **{key: frozen})
        else:
            call(name, **{key: frozen})


@pytest.mark.parametrize("name", THREADED)
@pytest.mark.parametrize("threads", [0, -1])
def test_threads_below_one_are_refused(name, threads):
    with pytest.raises(ValueError, match=f"threads is {threads}, must be at least 1"):
        call(name, threads=threads)


@pytest.mark.parametrize("name", [name for name, (own, _) in CALLS.items() if any(v is IDENTITY for v in own.values())])
def test_a_map_must_be_three_by_four_and_finite(name):
    (key,) = (key for key, value in CALLS[name][0].items() if value is IDENTITY)
    for value in (np.nan, np.inf):
        matrix = IDENTITY.copy()
        matrix[1, 3] = value
        with pytest.raises(ValueError, match="not finite"):
            call(name, **{key: matrix})
    for shape in ((4, 4), (3, 3), (12,)):
        with pytest.raises(TypeError, match="incompatible function arguments"):
            call(name, **{key: np.ones(shape)})
    call(name, **{key: np.asfortranarray(IDENTITY)})  # twelve numbers may be copied


@pytest.mark.parametrize("name", ["resample_linear", "resample_window"])
def test_sampling_is_checked(name):
    for samples in ((0, 1, 1), (1, 65, 1), (1, 1, -1)):
        with pytest.raises(ValueError, match="must be 1 to 64 an axis"):
            call(name, samples=samples)
    for fill in (-32769, 32768):
        with pytest.raises(ValueError, match=f"fill is {fill}, must be an int16"):
            call(name, fill=fill)


@pytest.mark.parametrize("name", ["smooth", "squared_depths", "connected_components"])
def test_the_output_must_have_the_shape_of_the_input(name):
    out = CALLS[name][0]["out"]
    with pytest.raises(ValueError, match="differ in shape"):
        call(name, out=np.zeros((5, 5, 6), out.dtype))


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (np.nan, 1.0), (0.0, np.inf)])
def test_the_window_is_checked(low, high):
    with pytest.raises(ValueError, match="must be finite with low < high"):
        call("resample_window", low=low, high=high)


def test_the_gil_is_released():
    """No thread is made to give way here, so that another can run only while a kernel has let go of the lock."""
    source = np.zeros((32, 32, 32), np.int16)
    matrix = np.array([[1, 0.1, 0, 0], [0, 1, 0.1, 0], [0.1, 0, 1, 0]], float)
    running, ran, over = (threading.Event() for _ in range(3))

    def work():
        running.set()
        for _ in range(2000):  # until the system has let the other thread run
            kernels.resample_linear(source, np.empty_like(source), matrix, samples=(4, 4, 4), threads=1)
            if ran.is_set():
                break
        over.set()

    worker = threading.Thread(target=work)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e6)
    try:
        worker.start()
        running.wait()
        in_time = not over.is_set()
        ran.set()
    finally:
        sys.setswitchinterval(interval)
    worker.join()
    assert in_time
