"""A DICOM node: receives series by C-STORE, segments them, sends Segmentation, report and picture back.

One thread runs series one after another, one sends results, and pynetdicom's receive. A series is complete when every
association that carried part of it has been released and nothing more has arrived for a while. Where one of them was
aborted instead, or the node itself was restarted, the wait is ten times as long: the sender will try again, and part of
a heart must not pass for the whole.

Logs name a series by a hash of its UID and say nothing else about it. Why a series was refused is written beside it in
the queue, not in the log: such messages may quote its description.
"""

import logging
import shutil
import ssl
import tempfile
import threading
import time
import warnings
from typing import Any

from pydicom import config
from pynetdicom import _config

from whs_fast.engine import Engine
from whs_fast.errors import InputError
from whs_fast.node.queue import Queue
from whs_fast.node.receiving import STALLED_S, listen, make_context
from whs_fast.node.sending import SendingError, send
from whs_fast.node.settings import Settings
from whs_fast.writing.dicom.objects import write_picture

LOG = logging.getLogger("whs_fast.node")

_INTERRUPTED = 10.0  # as a multiple of the quiet time
_MOST_ATTEMPTS = 5
_FIRST_DELAY_S, _LONGEST_DELAY_S = 5.0, 600.0
_DISK_DELAY_S = 60.0
_TICK_S = 0.2


def serve(settings: Settings, engine: Engine, stop: threading.Event) -> None:
    """Receives, runs and sends until `stop` is set; then finishes what is quick and leaves the rest in the queue.

    Changes settings of the process: the messages of pydicom and pynetdicom, which could show patients' data, are
    silenced, and temporary files go to the queue's folder. Raises InputError where the port or the queue is in use, a
    certificate cannot be used, or any AE title could call from other machines; OutputError where the queue cannot be
    made.
    """
    if settings.bind not in ("127.0.0.1", "::1", "localhost") and not settings.allow:
        raise InputError(
            f"bind: other machines can reach {settings.bind}; name the AE titles that may call, with --allow AET"
        )
    contexts = (
        None
        if settings.tls is None
        else (make_context(settings.tls, server=True), make_context(settings.tls, server=False))
    )
    _silence()
    queue = Queue(settings.queue)
    try:
        # A received instance goes straight to disk, and from there into the queue by a rename.
        _config.STORE_RECV_CHUNKED_DATASET = True
        tempfile.tempdir = str(queue.partial.absolute())
        arrivals = _Arrivals(settings.quiet_s, queue.incoming())
        entity = listen(settings, queue, arrivals.note, contexts and contexts[0])
        LOG.info("listening as %s on %s port %d", settings.title, settings.bind, settings.port)
        LOG.info("queue: %s", ", ".join(f"{count} {state}" for state, count in queue.counts().items()))
        sender = threading.Thread(target=_send_all, args=(settings, queue, contexts and contexts[1], stop))
        sender.start()
        try:
            while not stop.wait(_TICK_S):
                try:
                    queue.drop_broken_off(2.0 * STALLED_S)
                    for series in arrivals.take_complete():
                        if (job := queue.promote(series)) is not None:
                            LOG.info("series %s is complete", job)
                    _run_next(queue, engine, stop)
                except OSError as error:  # such as a full disk, for which the series is not to blame
                    LOG.error("queue: %s; trying again in %.0f s", error.strerror, _DISK_DELAY_S)
                    stop.wait(_DISK_DELAY_S)
        finally:
            stop.set()
            entity.shutdown()
            sender.join()
            LOG.info("stopped; queue: %s", ", ".join(f"{count} {state}" for state, count in queue.counts().items()))
    finally:
        tempfile.tempdir = None
        queue.close()


class _Arrivals:
    """When each series last received something, and over which associations."""

    def __init__(self, quiet_s: float, series: list[str]) -> None:
        self._quiet_s = quiet_s
        self._lock = threading.Lock()
        # What an earlier process was still receiving, its end has interrupted.
        self._last = dict.fromkeys(series, time.monotonic())
        self._associations: dict[str, set[Any]] = {name: {None} for name in series}

    def note(self, series: str, association: Any) -> None:
        with self._lock:
            self._last[series] = time.monotonic()
            # A later transfer of the same series makes up for an interrupted one.
            known = {known for known in self._associations.get(series, ()) if known and known.is_alive()}
            self._associations[series] = known | {association}

    def take_complete(self) -> list[str]:
        complete = []
        with self._lock:
            for series, associations in list(self._associations.items()):
                if any(association is not None and association.is_alive() for association in associations):
                    continue
                released = all(association is not None and association.is_released for association in associations)
                wait_s = self._quiet_s * (1.0 if released else _INTERRUPTED)
                if time.monotonic() - self._last[series] >= wait_s:
                    complete.append(series)
                    del self._associations[series], self._last[series]
        return complete


class _StoppedError(Exception):
    """Raised between two steps of a run to end it."""


def _run_next(queue: Queue, engine: Engine, stop: threading.Event) -> None:
    """Runs the next job, if there is any."""
    begun = queue.begin()
    if begun is None:
        return
    job, folder, attempt = begun
    if attempt > _MOST_ATTEMPTS:
        LOG.error("series %s set aside: the node died %d times while it ran", job, _MOST_ATTEMPTS)
        queue.fail(job, f"the node died {_MOST_ATTEMPTS} times while this series ran")
        return

    def progress(step: str, done: float) -> None:
        if stop.is_set():
            raise _StoppedError

    results = queue.partial / job
    started = time.monotonic()
    try:
        result = engine.run(folder, progress=progress)
        result.save(results, formats=("dicom-seg",))
        assert result.source is not None  # or dicom-seg would have been refused
        write_picture(results, (results / "preview.png").read_bytes(), result.source, result.measurements)
        for path in results.iterdir():
            if path.suffix != ".dcm":
                path.unlink()
        queue.finish(job, results)
    except _StoppedError:
        queue.put_back(job)
    except OSError:  # OutputError is one
        queue.put_back(job)
        raise
    except InputError as error:
        LOG.warning("series %s refused and set aside, with the reason beside it", job)
        queue.fail(job, " ".join(str(error).split()))
    except Exception as error:
        # Whatever happened, the node carries on. The text of the error may quote the patient's data.
        LOG.error("series %s failed with %s and is set aside", job, type(error).__name__)
        queue.fail(job, " ".join(f"{type(error).__name__}: {error}".split()))
    else:
        LOG.info("series %s done in %.1f s", job, time.monotonic() - started)
    finally:
        shutil.rmtree(results, ignore_errors=True)


def _send_all(settings: Settings, queue: Queue, context: ssl.SSLContext | None, stop: threading.Event) -> None:
    """Sends queued results until `stop` is set; what fails is tried again after a delay that doubles."""
    delays: dict[str, tuple[float, float]] = {}  # job: when to try again, and how long to wait after that
    while not stop.wait(_TICK_S):
        for folder in queue.outgoing():
            due, delay = delays.get(folder.name, (0.0, _FIRST_DELAY_S))
            if time.monotonic() < due or stop.is_set():
                continue
            try:
                send(folder, settings.destination, title=settings.title, tls=context)
            except SendingError as error:
                LOG.warning("results of %s not sent: %s; trying again in %.0f s", folder.name, error, delay)
            except Exception as error:
                name = type(error).__name__
                LOG.error("results of %s not sent: %s; trying again in %.0f s", folder.name, name, delay)
            else:
                LOG.info("results of %s sent", folder.name)
                delays.pop(folder.name, None)
                continue
            delays[folder.name] = (time.monotonic() + delay, min(2.0 * delay, _LONGEST_DELAY_S))


def _silence() -> None:
    for name in ("pydicom", "pynetdicom", "highdicom"):
        library = logging.getLogger(name)
        library.propagate = False
        library.handlers = [logging.NullHandler()]
    warnings.simplefilter("ignore")
    config.settings.reading_validation_mode = config.IGNORE
    config.settings.writing_validation_mode = config.IGNORE
