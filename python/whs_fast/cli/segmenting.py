"""What `run` and `demo` share: segment one scan, with a progress bar, and say what was found."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from whs_fast.structures import STRUCTURES

if TYPE_CHECKING:
    from whs_fast.pipeline import Progress


def segment(
    source: Path,
    folder: Path,
    *,
    series: str | None,
    threads: int | None,
    localiser: str,
    formats: tuple[str, ...],
    report: str,
    overwrite: bool,
) -> None:
    """Segments a scan into a folder and prints the volumes; warnings go to standard error."""
    from whs_fast.pipeline import Engine
    from whs_fast.placing import check_folder

    check_folder(folder, overwrite=overwrite)
    with _progress_bar() as progress:
        result = Engine(threads, localiser).run(source, series=series, progress=progress)
        result.save(folder, formats, overwrite, progress, report=report)
    for warning in result.measurements["warnings"]:
        click.echo(f"warning: {warning}", err=True)
    for structure in STRUCTURES:
        volume = result.measurements["structures"][structure.key]["volume_ml"]
        click.echo(f"{structure.name:<28}{volume:9.1f} mL" if volume else f"{structure.name:<28}not found")
    click.echo(f"{'LV myocardial mass':<28}{result.measurements['lv_myocardium_mass_g']:9.1f} g")
    page = folder / ("report_interactive.html" if report == "interactive" else "report.html")
    click.echo(f"Done in {result.measurements['timings_s']['total']:.1f} s: {page}")


@contextmanager
def _progress_bar() -> "Iterator[Progress | None]":
    if not sys.stderr.isatty():
        yield None  # nothing but our own lines may reach a log
        return
    with click.progressbar(length=1000, file=sys.stderr, show_eta=False, item_show_func=lambda step: step) as bar:

        def progress(step: str, done: float) -> None:
            bar.update(round(done * 1000) - bar.pos, step)

        yield progress
