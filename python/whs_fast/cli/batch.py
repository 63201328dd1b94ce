"""`whs-fast batch`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whs_fast.cli.options import batch_options
from whs_fast.cli.progress import progress_bar

if TYPE_CHECKING:
    from whs_fast.batching.running import Batch

_HELP = """Segment many scans, and put one row a scan into one table.

INPUTS are scans, folders that hold scans (DICOM images are one scan a study), lists of these (.txt, one a line), or CSV
files with the columns id and path, and where wanted series and phase. Without an id, a scan is called by its path in
the folder. Ids appear in the table and in names of files: keep patients' names out of them.

DIR receives table.csv and table.parquet (one row a scan), cohort.html (volumes, outliers, and pictures with the most
suspicious first), and scans/NAME with what `run` writes. Called again, it does only what is missing: scans that are
new, were changed, or failed. Scans that were refused, such as damaged ones, are tried again with --retry-failed.

Scans run at the same time, one a worker, in processes of this machine, or with --scheduler on the workers of a Dask
cluster, which must reach INPUTS and DIR under the same paths. A scan that ends its worker twice is given up.

\b
Examples:
  whs-fast batch scans -o cohort
  whs-fast batch scans.csv -o cohort --only measurements
  whs-fast batch study_1 study_2 -o cohort --phases --formats nifti,dicom-seg
  whs-fast batch scans -o cohort --scheduler tcp://host:8786
"""


@click.command("batch", help=_HELP, short_help="Segment many scans, and put one row a scan into one table.")
@click.argument("inputs", metavar="INPUTS", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    "folder",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder for the table and all results; one of an earlier call is gone on with.",
)
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Scans at a time. Default: as many as fit.")
@click.option(
    "--threads-per-worker",
    type=click.IntRange(min=1),
    metavar="M",
    help="CPU threads for each scan. Default: what the workers leave, with --scheduler 1.",
)
@click.option("--scheduler", metavar="ADDRESS", help="Scheduler of a Dask cluster to use, such as tcp://host:8786.")
@click.option("--dashboard", is_flag=True, help="Show Dask's dashboard at http://127.0.0.1:8787 meanwhile.")
@click.option(
    "--only",
    type=click.Choice(["measurements"]),
    help="Write the table and its page alone, without results and pictures.",
)
@click.option("--phases", is_flag=True, help="Give each phase of a DICOM scan a row and results of its own.")
@click.option("--retry-failed", is_flag=True, help="Try again what an earlier call refused, too.")
@batch_options
def command(inputs: tuple[str, ...], folder: Path, only: str | None, **options: Any) -> None:
    from whs_fast.batching.running import prepare

    found = prepare(inputs, folder, only_measurements=only is not None, **options)
    if found.label_maps:
        click.echo(f"passed over by their names: {found.label_maps} label maps", err=True)
    _run(found)
    rows = found.rows()
    done = sum(row["status"] == "done" for row in rows)
    click.echo(f"{done} of {len(rows)} done: {folder / 'table.csv'}, {folder / 'cohort.html'}")
    if done < len(rows):
        first = next(row for row in rows if row["status"] != "done")
        others = "" if len(rows) - done == 1 else f", and {len(rows) - done - 1} more: see the table"
        click.echo(
            f"whs-fast: {len(rows) - done} of {len(rows)} failed: {first['id']} ({first['reason']}){others}", err=True
        )
        raise click.exceptions.Exit(4)


def _run(found: "Batch") -> None:
    """Does what is to do, with a bar that tells the rate and the time left."""
    total, before = len(found.names), len(found.done)
    failed = sum(row["status"] != "done" for row in found.rows())
    start = time.monotonic()
    with progress_bar() as progress:
        if found.tasks:
            progress(f"{before} of {total}, starting workers", before / total)
        for number, rows in enumerate(found, 1):
            failed += any(row["status"] != "done" for row in rows)
            rate = number / (time.monotonic() - start)
            parts = [f"{before + number} of {total}", f"{60 * rate:.1f} a minute"]
            parts += [f"{_duration((len(found.tasks) - number) / rate)} left"] if number < len(found.tasks) else []
            parts += [f"{failed} failed"] if failed else []
            progress(", ".join(parts), (before + number) / total)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes == 0:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
