"""A batch from its inputs to its table: what is to do, what was done before, and the files that show all of it."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from whs_fast.batching.inputs import gather
from whs_fast.batching.page import PAGE, render_page
from whs_fast.batching.records import Places, Row, make_key, put, read_record
from whs_fast.batching.rows import DONE, FAILED
from whs_fast.batching.scheduling import run_tasks, size_cluster
from whs_fast.batching.table import CSV, PARQUET, to_csv, to_parquet
from whs_fast.batching.working import Settings, Task, describe_asked
from whs_fast.errors import InputError
from whs_fast.machine import require_extra
from whs_fast.outputs import check_formats, check_localiser, check_report
from whs_fast.writing.result_folder import check_folder

_REFRESH_S = 30.0  # at the most often; a large table takes its time, and is written for a tenth of the time at most


@dataclass
class Batch:
    """What is to do, and the rows of what was done, by the name of the scan.

    Iterating does it, and gives the rows of one scan after another as they end.
    """

    output: Path
    names: tuple[str, ...]  # of all scans, in the order of the table
    tasks: tuple[Task, ...]
    label_maps: int
    workers: int
    scheduler: str | None
    dashboard: bool
    done: dict[str, list[Row]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[list[Row]]:
        due = time.monotonic() + _REFRESH_S
        try:
            for task, rows in run_tasks(
                self.tasks, workers=self.workers, scheduler=self.scheduler, dashboard=self.dashboard
            ):
                self.done[task.scan.name] = rows
                yield rows
                if time.monotonic() > due:
                    start = time.monotonic()
                    self._write_table()
                    due = time.monotonic() + max(_REFRESH_S, 9.0 * (time.monotonic() - start))
        finally:
            self._write_table()
            put(self.output / PAGE, render_page(self.rows()).encode())

    def rows(self) -> list[Row]:
        """The rows so far, in the order of the scans' ids whatever the order in which they ended."""
        return [row for name in self.names if name in self.done for row in self.done[name]]

    def _write_table(self) -> None:
        rows = self.rows()
        put(self.output / PARQUET, to_parquet(rows))
        put(self.output / CSV, to_csv(rows))


def prepare(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    workers: int | None = None,
    threads_per_worker: int | None = None,
    scheduler: str | None = None,
    localiser: str = "squeezenet",
    backend: str = "auto",
    device: str = "CPU",
    formats: Sequence[str] = ("nifti",),
    report: str = "plain",
    only_measurements: bool = False,
    phases: bool = False,
    retry_failed: bool = False,
    dashboard: bool = False,
    models: Path | None = None,
) -> Batch:
    """Finds out what is to do; arguments and errors as for `batch`."""
    require_extra("batch", "a batch")
    check_localiser(localiser)
    check_formats(formats)
    check_report(report)
    if scheduler is not None and (workers is not None or dashboard):
        raise InputError("workers and dashboard: belong to a cluster of this machine, expected none with a scheduler")
    if dashboard and find_spec("bokeh") is None:
        raise InputError("the dashboard needs bokeh: pip install bokeh")
    place = Path(os.path.abspath(output))  # noqa: PTH100  (workers may run in another folder; links stay links)
    check_folder(place, overwrite=True, names=())
    workers, threads = size_cluster(workers, threads_per_worker) if scheduler is None else (0, threads_per_worker or 1)
    settings = Settings(
        threads, localiser, backend, device, None if only_measurements else tuple(formats), report, phases, models
    )
    gathered = gather([inputs] if isinstance(inputs, (str, os.PathLike)) else inputs, place)
    asked, places = describe_asked(settings), Places(place)
    tasks, done = [], {}
    for scan in gathered.scans:
        key = make_key(asked, scan)
        record = read_record(places, scan.name)
        if record is None or record.key != key or _to_redo(record.rows, retry_failed):
            tasks.append(Task(scan, place, key, asked["installation"], settings))
        else:
            done[scan.name] = record.rows
    names = tuple(scan.name for scan in gathered.scans)
    return Batch(place, names, tuple(tasks), gathered.label_maps, workers, scheduler, dashboard, done)


def batch(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    **options: Any,
) -> Iterator[Row]:
    """Segments many scans and yields their rows: first those of earlier calls, then each as it ends.

    When the last is taken, or the iterator is closed, `output` holds table.csv, table.parquet and cohort.html. What was
    done by an earlier call with the same models, options and files is not done again.

    Args:
        inputs: scans, folders that hold scans, lists (.txt) of these, or CSVs with the columns id and path (and, where
            wanted, series and phase).
        output: the folder of the batch, which every worker must reach under this path.
        workers: processes of a cluster on this machine; as many as its processors and memory allow where None.
        threads_per_worker: CPU threads of each worker; results do not depend on it.
        scheduler: address of a Dask scheduler, whose workers then do the work.
        localiser, backend, device, models: as for `Engine`.
        formats, report: as for `Result.save`.
        only_measurements: whether to write the table alone, without results, pictures and links to them.
        phases: whether each phase of a DICOM scan gets a row and results of its own.
        retry_failed: whether to try again what was refused, too.
        dashboard: whether Dask's dashboard runs at http://127.0.0.1:8787 meanwhile.

    Raises:
        InputError: the inputs or an option cannot be used, or no scheduler answers.
        OutputError: `output` cannot be written. What was done until then stays, and is not done again.
        ModelError: a model of the installation is missing or damaged.
    """
    found = prepare(inputs, output, **options)
    yield from found.rows()
    for rows in found:
        yield from rows


def _to_redo(rows: Sequence[Row], retry_failed: bool) -> bool:
    """Whether a scan that was tried is tried again: what failed by no fault of its own always is."""
    return any(row["status"] == FAILED or (retry_failed and row["status"] != DONE) for row in rows)
