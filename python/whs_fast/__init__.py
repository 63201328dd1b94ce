"""Whole-heart segmentation of contrast-enhanced cardiac CT on an ordinary CPU.

    import whs_fast
    result = whs_fast.run("scan.nii.gz")

Every public name is looked up on first use (PEP 562), so that `import whs_fast` loads neither the networks' runtime nor
the image library: a program that only sometimes segments a heart pays for it only then.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whs_fast.batching.running import batch
    from whs_fast.engine import Engine, run
    from whs_fast.errors import InputError, ModelError, OutputError
    from whs_fast.measure_labels import measure
    from whs_fast.reading.scan import list_series, open_phases
    from whs_fast.result import Result
    from whs_fast.structures import STRUCTURES
    from whs_fast.study.evaluation.evaluating import evaluate
    from whs_fast.volume import Volume

    __version__: str

__all__ = [
    "STRUCTURES",
    "Engine",
    "InputError",
    "ModelError",
    "OutputError",
    "Result",
    "Volume",
    "__version__",
    "batch",
    "evaluate",
    "list_series",
    "measure",
    "open_phases",
    "run",
]

_HOMES = {
    "STRUCTURES": "structures",
    "Engine": "engine",
    "InputError": "errors",
    "ModelError": "errors",
    "OutputError": "errors",
    "Result": "result",
    "Volume": "volume",
    "batch": "batching.running",
    "evaluate": "study.evaluation.evaluating",
    "list_series": "reading.scan",
    "measure": "measure_labels",
    "open_phases": "reading.scan",
    "run": "engine",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        value: object = importlib.import_module("importlib.metadata").version("whs_fast")
    elif name in _HOMES:
        value = getattr(importlib.import_module(f"whs_fast.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
