"""Runs the jobs of the queue, one after another, in one thread with one engine."""

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from whs_fast.errors import InputError
from whs_fast.outputs import MEASUREMENTS
from whs_fast.result import Result
from whs_fast.service.queue import CancelledError, Job, Queue
from whs_fast.service.receiving import SUFFIXES
from whs_fast.steps.clock import Progress

LOG = logging.getLogger("whs_fast.service")
_TICK_S = 0.05


class Runs(Protocol):
    """What an engine does here."""

    def run(self, source: str, *, series: str | None, phase: str | None, progress: Progress) -> Result: ...


class _StoppedError(Exception):
    """Raised between two steps of a run to end it."""


def work(queue: Queue, engine: Runs, folders: Sequence[Path], stop: threading.Event) -> None:
    """Runs jobs until `stop` is set; a job that runs then is left for the next start.

    folders are those below which the path of a scan may lie.
    """
    while not stop.wait(_TICK_S):
        job = queue.begin()
        if job is not None:
            _run(queue, engine, job, folders, stop)


def _run(queue: Queue, engine: Runs, job: Job, folders: Sequence[Path], stop: threading.Event) -> None:
    def progress(step: str, share: float) -> None:
        if stop.is_set():
            raise _StoppedError
        queue.report(job, step, share)

    request, results, started = job.request, queue.folder(job) / "results", time.monotonic()
    source = queue.folder(job) / "scan" if request.source is None else Path(request.source)
    try:
        source = uploaded(source) if request.source is None else allowed(request.source, folders)
        result = engine.run(str(source), series=request.series, phase=request.phase, progress=progress)
        result.save(results, formats=request.formats, report=request.report, progress=progress)
    except _StoppedError:
        queue.put_back(job)
    except CancelledError:
        LOG.info("job %s cancelled", job.id)
        queue.end(job, "cancelled")
    except (InputError, OSError) as error:  # OutputError is one of the latter, such as on a full disk
        # The reason goes to the owner, not into the log: it may quote a description of the series.
        LOG.warning("job %s refused: %s", job.id, type(error).__name__)
        reason = str(error).replace(str(source), "the scan").replace(str(results), "results")
        _fail(queue, job, " ".join(reason.split()))
    except Exception as error:
        # Whatever happened, the service goes on. The text of the error may quote the patient's data.
        LOG.error("job %s failed with %s", job.id, type(error).__name__)
        _fail(queue, job, f"internal error: {type(error).__name__}")
    else:
        queue.end(job, "done")
        LOG.info("job %s done in %.1f s", job.id, time.monotonic() - started)


def _fail(queue: Queue, job: Job, reason: str) -> None:
    """Ends a job that has failed; where only some format could not be made, the others are its results."""
    partly = (queue.folder(job) / "results" / MEASUREMENTS).exists()
    queue.end(job, "done" if partly else "failed", reason)


def uploaded(folder: Path) -> Path:
    """What to read of an upload: its only file, or the folder, where it is DICOM."""
    files = sorted(folder.iterdir())
    if len(files) == 1 and files[0].name.endswith(tuple(set(SUFFIXES) - {".dcm"})):
        return files[0]
    return folder


def allowed(path: str, folders: Sequence[Path]) -> Path:
    """A path as it is after all links, if it lies below one of the folders. Raises InputError where it does not."""
    try:
        real = Path(path).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        real = None
    if real is None or not any(real.is_relative_to(folder) for folder in folders):
        # The same words for both: what exists elsewhere is nobody's business.
        raise InputError("path: found nothing there that this service may read, expected one below an allowed folder")
    return real
