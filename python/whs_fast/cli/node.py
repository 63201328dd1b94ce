"""`whs-fast node`."""

import logging
import signal
import sys
import threading
from pathlib import Path

import click

from whs_fast.cli.logs import log_to_stderr
from whs_fast.cli.options import localiser_option, threads_option
from whs_fast.errors import InputError
from whs_fast.machine import require_extra, tune_heap

_HELP = """Run a DICOM node that segments the series it receives.

The node receives CT series by C-STORE, segments each one when it is complete, and sends a Segmentation, a Structured
Report and a picture to another node. It answers C-ECHO. Its queue is on disk: a restart loses nothing. A series that
cannot be segmented is kept in QUEUE/failed with the reason; to try it again, move it back to QUEUE/ready.

The queue and the results hold the patient's data; the log does not. Without TLS, DICOM is neither encrypted nor
authenticated: AE titles guard against mistakes, not against intruders.

\b
Examples:
  whs-fast node --send-to ARCHIVE@127.0.0.1:4242
  whs-fast node --send-to ARCHIVE@pacs:104 --bind 0.0.0.0 --allow SCANNER --allow ARCHIVE
  whs-fast node --send-to ARCHIVE@pacs:2762 --tls-cert node.pem --tls-key node.key --tls-ca hospital.pem
"""


def _stop_on_signals(stop: threading.Event) -> None:
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda number, frame: stop.set())


@click.command("node", help=_HELP)
@click.option(
    "--port", type=click.IntRange(1, 65535), default=11112, show_default=True, metavar="N", help="Port to listen on."
)
@click.option(
    "--aet",
    default="WHSFAST",
    show_default=True,
    metavar="AET",
    help="Application entity title of the node, by which senders must call it: a title such as ANY-SCP is refused.",
)
@click.option("--send-to", "destination", required=True, metavar="AET@HOST:PORT", help="Node to send the results to.")
@click.option(
    "--allow", multiple=True, metavar="AET", help="Calling AE title to accept; may be repeated. Default: any."
)
@click.option("--bind", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@click.option(
    "--quiet",
    "quiet_s",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="A series is complete when its sender has released the association and nothing has arrived for this long; "
    "for ten times as long if the association was aborted.",
)
@click.option(
    "--queue",
    default="whs_fast_queue",
    show_default=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder for what was received and is not yet sent.",
)
@click.option(
    "--tls-cert", metavar="FILE", type=click.Path(path_type=Path), help="Our certificate (PEM): TLS both ways."
)
@click.option("--tls-key", metavar="FILE", type=click.Path(path_type=Path), help="Key of our certificate.")
@click.option(
    "--tls-ca", metavar="FILE", type=click.Path(path_type=Path), help="Authority that signs our peers' certificates."
)
@threads_option
@localiser_option
def command(
    port: int,
    aet: str,
    destination: str,
    allow: tuple[str, ...],
    bind: str,
    quiet_s: float,
    queue: Path,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_ca: Path | None,
    threads: int | None,
    localiser: str,
) -> None:
    if sys.platform == "win32":
        raise InputError("node: does not run on Windows; needs Linux or macOS")
    require_extra("dicom", "node")
    from whs_fast.engine import Engine
    from whs_fast.node.sending import check_title, parse_destination
    from whs_fast.node.serving import serve
    from whs_fast.node.settings import Settings, Tls

    tls = None
    if tls_cert and tls_key and tls_ca:
        tls = Tls(tls_cert, tls_key, tls_ca)
    elif tls_cert or tls_key or tls_ca:
        raise InputError("TLS: --tls-cert, --tls-key and --tls-ca belong together; give all three or none")
    settings = Settings(
        title=check_title(aet),
        bind=bind,
        port=port,
        destination=parse_destination(destination),
        allow=tuple(check_title(title) for title in allow),
        quiet_s=quiet_s,
        queue=queue,
        tls=tls,
    )
    log_to_stderr(click.get_current_context(), logging.INFO)
    tune_heap()
    stop = threading.Event()
    _stop_on_signals(stop)
    serve(settings, Engine(threads=threads, localiser=localiser), stop)
