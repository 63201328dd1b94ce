"""`whs-fast view`."""

import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whs_fast.cli.options import output_options, threads_option
from whs_fast.machine import require_extra

if TYPE_CHECKING:
    from whs_fast.viewing.session import Session

_HELP = """Look at results in a browser, and correct them by hand.

RESULTS is a folder that run has written, with labels.nii.gz; SCAN is the scan it was made from. A page of this machine
alone opens: scroll, also through the heart's own planes, paint and erase structures with a ball, smooth them, move the
plane of the aortic valve, undo. Save writes DIR: the corrected labels, and measurements, picture and report made anew
from them. measurements.json then tells in `corrected` who changed how much of what. RESULTS stays as it is.

The address holds a random token and leads to 127.0.0.1; nothing leaves the machine. Ctrl+C ends it.

\b
Examples:
  whs-fast view results scan.nii.gz
  whs-fast view results dicom_folder -o reviewed --formats nifti,dicom-seg
  whs-fast view reviewed scan.nii.gz -o reviewed --overwrite      go on where you stopped
"""


@click.command("view", help=_HELP)
@click.argument("results", metavar="RESULTS", type=click.Path(path_type=Path))
@click.argument("scan", metavar="SCAN", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder for what is saved.  [default: RESULTS_corrected]",
)
@click.option("--series", metavar="UID", help="Series of SCAN, where run was told one.")
@click.option("--phase", metavar="PERCENT", help="Phase of SCAN, where run was told one.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@threads_option
@output_options
@click.option("--overwrite", is_flag=True, help="Replace earlier results in DIR.")
def command(
    results: Path,
    scan: Path,
    folder: Path | None,
    series: str | None,
    phase: str | None,
    no_browser: bool,
    threads: int | None,
    formats: tuple[str, ...],
    report: str,
    overwrite: bool,
) -> None:
    require_extra("view", "view")
    import signal

    from whs_fast.machine import choose_threads
    from whs_fast.service.http_server import Server
    from whs_fast.temporary import temporary_folder
    from whs_fast.viewing.serving import serve
    from whs_fast.writing.result_folder import check_folder

    place = results.with_name(f"{results.resolve().name}_corrected") if folder is None else folder
    check_folder(place, overwrite=overwrite)
    threads = choose_threads(threads)
    saved = False

    def open_session() -> "Session":
        # While the browser starts.
        from whs_fast.viewing.session import Session

        return Session(results, scan, threads=threads, series=series, phase=phase)

    def save(session: "Session", changes: bytes, by: str) -> Mapping[str, Any]:
        nonlocal saved
        session.save(changes, by, place, formats=formats, report=report, overwrite=overwrite or saved)
        saved = True
        click.echo(f"saved: {place}")
        return {"folder": str(place)}

    with temporary_folder("view") as private:

        def tell(address: str) -> None:
            click.echo(f"Open {address}")
            if not no_browser:
                # Not as an argument of the browser, which every user of the machine can see.
                door = private / "open.html"
                door.write_text(f'<script>location.replace("{address}")</script>', encoding="ascii")
                webbrowser.open(door.as_uri())

        server = Server()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda number, frame: server.stop())
        serve(open_session, save, server, tell)
