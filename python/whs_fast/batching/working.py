"""What a worker does with one scan: segment, save, and write down that it is done.

Each worker process holds one engine, which is made at its first scan. Whatever is wrong with a scan becomes its row;
what is wrong with the disk or the installation is raised, for it would be so for every scan.
"""

import errno
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from whs_fast.batching.inputs import PHASE_MARK, Scan
from whs_fast.batching.records import (
    Places,
    Record,
    Row,
    count_try,
    put,
    read_record,
    remove_results,
    write_record,
)
from whs_fast.batching.rows import DONE, FAILED, REFUSED, lay_flat
from whs_fast.engine import Engine
from whs_fast.errors import InputError, ModelError, OutputError
from whs_fast.machine import tune_heap
from whs_fast.outputs import PICTURE
from whs_fast.reading.dicom.opening import is_dicom
from whs_fast.reading.naming import printable
from whs_fast.reading.scan import ScanPhase, open_phases
from whs_fast.report.picture import draw_thumbnail

MOST_TRIES = 2
# Where the disk is full or read-only, the next scan would fare no better.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class _StopError(OutputError):
    """Nothing more can be written, whatever the scan."""


@dataclass(frozen=True)
class Settings:
    """What is asked of every scan, as `Engine` and `Result.save` have it; tables alone where formats is None."""

    threads: int
    localiser: str
    backend: str
    device: str
    formats: tuple[str, ...] | None
    report: str
    phases: bool
    models: Path | None


@dataclass(frozen=True, repr=False)
class Task:
    """One scan to do, and the key under which it will be found done."""

    scan: Scan
    output: Path
    key: str
    installation: str
    settings: Settings

    @property
    def places(self) -> Places:
        return Places(self.output)


def describe_asked(settings: Settings) -> dict[str, Any]:
    """All that decides about the results: the options (not the threads), the models by their hashes, the version."""
    options = {name: value for name, value in asdict(settings).items() if name not in ("threads", "models")}
    # The device of the workers may be one that this machine lacks.
    engine = Engine(localiser=settings.localiser, models=settings.models)
    return options | {"installation": engine.fingerprint}


def do(task: Task) -> list[Row]:
    """Does one scan, unless it is done already, and returns its rows.

    Raises OutputError where nothing more can be written, ModelError for a damaged installation, and InputError where
    this worker has other models or another version than whoever asks.
    """
    places, name = task.places, task.scan.name
    record = read_record(places, name)
    if record is not None and record.key == task.key and all(row["status"] == DONE for row in record.rows):
        return record.rows  # by a worker that was lost before it could tell
    engine = _warm_engine(task.settings)
    if engine.fingerprint != task.installation:
        raise InputError("a worker has other models or another version of whs_fast: install the same on all machines")
    tries = count_try(places, name)
    rows = [ended_workers(task, tries)] if tries >= MOST_TRIES else list(_segment(task, engine))
    write_record(places, name, Record(task.key, rows))
    return rows


def ended_workers(task: Task, tries: int) -> Row:
    """The row of a scan that ended its workers."""
    remove_results(task.places, task.scan.name)
    reason = f"ended its worker {tries} times, by a crash or for lack of memory"
    return _identify(task.scan, FAILED, reason)


_lock = threading.Lock()
_warm: dict[Settings, Engine] = {}


def _warm_engine(settings: Settings) -> Engine:
    """The engine of this process; one that was asked for with other settings makes room."""
    with _lock:
        if settings not in _warm:
            _warm.clear()
            tune_heap()
            _warm[settings] = Engine(
                threads=settings.threads,
                localiser=settings.localiser,
                backend=settings.backend,
                device=settings.device,
                models=settings.models,
            )
        return _warm[settings]


def _segment(task: Task, engine: Engine) -> Iterator[Row]:
    scan = task.scan
    try:
        if not (task.settings.phases and is_dicom(scan.path)):
            yield _segment_one(task, engine, scan.path, scan.series, scan.phase)
            return
        with open_phases(scan.path, series=scan.series, threads=task.settings.threads) as phases:
            for phase in phases:
                yield _segment_one(task, engine, phase)
    except (ModelError, _StopError):
        raise
    except Exception as error:
        yield _fail(scan, error)


def _segment_one(
    task: Task, engine: Engine, source: Path | ScanPhase, series: str | None = None, number: str | None = None
) -> Row:
    phase = source if isinstance(source, ScanPhase) else None
    name, scan, settings = _name(task.scan, phase), task.scan, task.settings
    remove_results(task.places, name)  # of other options: they must not stand beside a failure
    try:
        result = engine.run(source, series=series, phase=number)
    except ModelError:
        raise
    except Exception as error:
        return _fail(scan, error, phase)
    row = _identify(scan, DONE, "", phase, result.measurements["source"]["phase"]) | lay_flat(result.measurements)
    if settings.formats is None:
        return row
    folder, lacking = task.places.results(name), {}
    try:
        result.save(folder, formats=settings.formats, report=settings.report)
    except Exception as error:
        if _is_full(error):
            raise _StopError(str(error)) from error
        if not (folder / PICTURE).exists():
            return _fail(scan, error, phase)
        lacking = _failure(scan, error, folder)  # a format that could not be made; everything else was written
    _put(task.places.thumbnail(name), draw_thumbnail((folder / PICTURE).read_bytes()))
    return row | lacking


def _put(file: Path, content: bytes) -> None:
    try:
        put(file, content)
    except OutputError as error:
        raise _StopError(str(error)) from error


def _is_full(error: BaseException | None) -> bool:
    """Whether a full or read-only disk is at the bottom of an error."""
    return error is not None and (getattr(error, "errno", None) in _NO_ROOM or _is_full(error.__cause__))


def _fail(scan: Scan, error: Exception, phase: ScanPhase | None = None) -> Row:
    return _identify(scan, FAILED, "", phase) | _failure(scan, error, scan.path)


def _failure(scan: Scan, error: Exception, path: Path) -> Row:
    """Status and reason: one line that calls the scan by its id. What an internal error says may quote the header."""
    if isinstance(error, MemoryError):
        reason = "needs more memory than the worker has"
    elif isinstance(error, (InputError, OutputError)):
        reason = str(error).replace(printable(path), scan.id)
    else:
        reason = f"internal error, {type(error).__name__}"
    return {"status": REFUSED if isinstance(error, InputError) else FAILED, "reason": reason}


def _name(scan: Scan, phase: ScanPhase | None) -> str:
    return scan.name if phase is None else f"{scan.name}{PHASE_MARK}{phase.folder}"


def _identify(scan: Scan, status: str, reason: str, phase: ScanPhase | None = None, label: str | None = None) -> Row:
    """The columns that every row has, and the name of its files."""
    own = scan.id if phase is None else f"{scan.id}{PHASE_MARK}{phase.folder}"
    return {
        "id": own,
        "scan": scan.id,
        "phase": label if phase is None else phase.label,
        "status": status,
        "reason": reason,
        "files": _name(scan, phase),
    }
