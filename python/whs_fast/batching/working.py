"""What a worker does with one scan: segment, save, and write down that it is done.

Each worker process holds one engine, which is made at its first scan. Whatever is wrong with a scan becomes its row;
what is wrong with the disk or the installation is raised, for it would be so for every scan.
"""

import errno
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
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
from whs_fast.networks.installed import hash_files, ir_files, models_folder
from whs_fast.outputs import PICTURE
from whs_fast.reading.dicom.opening import is_dicom
from whs_fast.reading.naming import printable
from whs_fast.reading.scan import ScanPhase, open_phases
from whs_fast.report.picture import draw_thumbnail
from whs_fast.steps.localise import AXES

MOST_TRIES = 2
# Where the disk is full or read-only, the next scan would fare no better.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


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
    return options | {"installation": describe_installation(settings)}


def describe_installation(settings: Settings) -> str:
    """Version and hashes of the models in one text. Raises ModelError where one is missing."""
    folder = settings.models or models_folder()
    names = ["dense_vnet", *(f"{settings.localiser}_{axis}" for axis in AXES)]
    hashes = [hash_files(ir_files(folder / f"{name}.xml")) for name in names]
    return " ".join([version("whs_fast"), *hashes])


def do(task: Task) -> list[Row]:
    """Does one scan, unless it is done already, and returns its rows.

    Raises OutputError where nothing more can be written, ModelError for a damaged installation, and InputError where
    this worker has other models or another version than whoever asks.
    """
    places, name = task.places, task.scan.name
    record = read_record(places, name)
    if record is not None and record.key == task.key and record.rows[0]["status"] == DONE:
        return record.rows  # by a worker that was lost before it could tell
    engine, installation = _warm_engine(task.settings)
    if installation != task.installation:
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
_warm: dict[Settings, tuple[Engine, str]] = {}


def _warm_engine(settings: Settings) -> tuple[Engine, str]:
    """The engine of this process and what it is made of; one that was asked for with other settings makes room."""
    with _lock:
        if settings not in _warm:
            _warm.clear()
            engine = Engine(
                threads=settings.threads,
                localiser=settings.localiser,
                backend=settings.backend,
                device=settings.device,
                models=settings.models,
            )
            _warm[settings] = engine, describe_installation(settings)
        return _warm[settings]


def _segment(task: Task, engine: Engine) -> Iterator[Row]:
    scan = task.scan
    try:
        if not (task.settings.phases and is_dicom(scan.path)):
            yield _segment_one(task, engine, scan.path, series=scan.series, phase=scan.phase)
            return
        with open_phases(scan.path, series=scan.series, threads=task.settings.threads) as phases:
            for phase in phases:
                yield _segment_one(task, engine, phase)
    except (ModelError, OutputError) as error:
        if isinstance(error, ModelError) or _is_full(error):
            raise
        yield _fail(task, error)
    except Exception as error:
        yield _fail(task, error)


def _segment_one(task: Task, engine: Engine, source: "Path | ScanPhase", **choice: str | None) -> Row:
    phase = source if isinstance(source, ScanPhase) else None
    name, places = _name(task.scan, phase), task.places
    try:
        measured = engine.run(source, **choice)
        row = _identify(task.scan, DONE, "", phase, measured.measurements["source"]["phase"])
        if task.settings.formats is None:
            return row | lay_flat(measured.measurements)
        lacking = None
        try:
            measured.save(
                places.results(name), formats=task.settings.formats, report=task.settings.report, overwrite=True
            )
        except OutputError:
            raise
        except (InputError, RuntimeError) as error:
            if not (places.results(name) / PICTURE).exists():
                raise
            lacking = error  # one format could not be made; everything else was written
        put(places.thumbnail(name), draw_thumbnail((places.results(name) / PICTURE).read_bytes()))
        failure = {} if lacking is None else {"status": FAILED, "reason": _explain(task.scan, lacking)}
        return row | lay_flat(measured.measurements) | failure
    except (ModelError, OutputError) as error:
        if isinstance(error, ModelError) or _is_full(error):
            raise
        return _fail(task, error, phase)
    except Exception as error:
        return _fail(task, error, phase)


def _is_full(error: BaseException | None) -> bool:
    """Whether a full or read-only disk is at the bottom of an error."""
    return error is not None and (getattr(error, "errno", None) in _NO_ROOM or _is_full(error.__cause__))


def _fail(task: Task, error: Exception, phase: ScanPhase | None = None) -> Row:
    remove_results(task.places, _name(task.scan, phase))
    status = REFUSED if isinstance(error, InputError) else FAILED
    return _identify(task.scan, status, _explain(task.scan, error), phase)


def _explain(scan: Scan, error: Exception) -> str:
    """One line that calls the scan by its id; what an internal error says may quote the header, and is left out."""
    if isinstance(error, MemoryError):
        return "needs more memory than the worker has"
    if isinstance(error, (InputError, OutputError)):
        return str(error).replace(printable(scan.path), scan.id)
    return f"internal error, {type(error).__name__}"


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
