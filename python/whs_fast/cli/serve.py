"""`whs-fast serve`."""

import logging
import signal
import sys
from pathlib import Path

import click

from whs_fast.cli.logs import log_to_stderr
from whs_fast.cli.options import localiser_option, parse_size, threads_option
from whs_fast.errors import InputError
from whs_fast.machine import require_extra, tune_heap

_HELP = """Serve a page to drop scans on, and an HTTP interface.

Open the address that it prints. A token is made for each owner when it is first named, and printed once; jobs and
results of one owner are closed to all others. The queue is on disk: a restart loses nothing, and runs again what was
running. 3D Slicer and OHIF use the service through their MONAI Label plugins. docs/service.md has the interface.

QUEUE holds patients' data; the log does not.

\b
Examples:
  whs-fast serve
  whs-fast serve --owner radiology --owner research --allow-folder /data/scans
  whs-fast serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem --allow-host heart.example.org
  whs-fast serve --no-token --allow-origin http://127.0.0.1:3000 --from-dicomweb http://127.0.0.1:8042/dicom-web
  curl -H "Authorization: Bearer $TOKEN" -F file=@scan.nii.gz http://127.0.0.1:8000/api/jobs
"""


class _Size(click.ParamType[int]):
    name = "size"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return parse_size(value, "size")


@click.command("serve", help=_HELP)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8000, show_default=True, metavar="N", help="Port to listen on."
)
@click.option(
    "--owner",
    "owners",
    multiple=True,
    metavar="NAME",
    help="Person or program with a token and jobs of its own; may be repeated.  [default: owner]",
)
@click.option("--no-token", is_flag=True, help="Let everybody on this machine use it, without a token.")
@click.option(
    "--queue",
    default="whs_fast_service",
    show_default=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder for jobs, results and hashes of tokens.",
)
@click.option(
    "--allow-folder",
    "folders",
    multiple=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder whose scans may be named by their path instead of being uploaded; may be repeated.",
)
@click.option("--allow-host", "hosts", multiple=True, metavar="NAME", help="Name that the service may be called by.")
@click.option("--allow-origin", "origins", multiple=True, metavar="URL", help="Site whose pages may use the service.")
@click.option(
    "--from-dicomweb", "archive", metavar="URL", help="Archive whose series MONAI Label's clients may name (DICOMweb)."
)
@click.option("--max-upload", type=_Size(), default="4G", show_default=True, metavar="SIZE", help="Largest upload.")
@click.option(
    "--max-disk", type=_Size(), default="50G", show_default=True, metavar="SIZE", help="Most that QUEUE may hold."
)
@click.option(
    "--max-jobs", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="Most jobs that wait."
)
@click.option(
    "--keep",
    "keep_days",
    type=click.FloatRange(min=0, min_open=True),
    default=7.0,
    show_default=True,
    metavar="DAYS",
    help="How long results stay.",
)
@click.option("--tls-cert", metavar="FILE", type=click.Path(path_type=Path), help="Certificate (PEM): HTTPS.")
@click.option("--tls-key", metavar="FILE", type=click.Path(path_type=Path), help="Key of the certificate.")
@threads_option
@localiser_option
def command(
    host: str,
    port: int,
    owners: tuple[str, ...],
    no_token: bool,
    queue: Path,
    folders: tuple[Path, ...],
    hosts: tuple[str, ...],
    origins: tuple[str, ...],
    archive: str | None,
    max_upload: int,
    max_disk: int,
    max_jobs: int,
    keep_days: float,
    tls_cert: Path | None,
    tls_key: Path | None,
    threads: int | None,
    localiser: str,
) -> None:
    if sys.platform == "win32":
        raise InputError("serve: does not run on Windows; needs Linux or macOS")
    require_extra("serve", "serve")
    if archive is not None:
        require_extra("dicomweb", "--from-dicomweb")
    from whs_fast.engine import Engine
    from whs_fast.service.http_server import Server
    from whs_fast.service.queue import Limits
    from whs_fast.service.serving import Settings, serve

    if no_token and owners:
        raise InputError("--no-token: found with --owner, expected one of them: owners are told apart by their tokens")
    if (tls_cert is None) != (tls_key is None):
        raise InputError("TLS: --tls-cert and --tls-key belong together; give both or none")
    settings = Settings(
        host=host,
        port=port,
        queue=queue,
        owners=() if no_token else owners or ("owner",),
        folders=folders,
        hosts=hosts,
        origins=origins,
        archive=archive,
        limits=Limits(max_upload, max_disk, max_jobs),
        keep_days=keep_days,
        tls=(tls_cert, tls_key) if tls_cert and tls_key else None,
    )
    log_to_stderr(click.get_current_context(), logging.INFO)
    tune_heap()
    server = Server()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda number, frame: server.stop())
    serve(settings, Engine(threads=threads, localiser=localiser), server, click.echo)
