"""Composes the service: the queue, a thread that runs its jobs, and the HTTP server over both."""

import logging
import ssl
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from whs_fast.errors import InputError
from whs_fast.service.api import Api, failed, refused
from whs_fast.service.guard import Guard
from whs_fast.service.http_server import Server, listen
from whs_fast.service.monai_label import MonaiLabel
from whs_fast.service.owners import load_owners
from whs_fast.service.queue import Limits, Queue, RefusedError
from whs_fast.service.worker import Runs, work

LOG = logging.getLogger("whs_fast.service")
_FORM_BYTES = 1 << 20  # what a form may hold beside the files
_DAY_S, _SWEEP_S = 86_400.0, 3600.0


@dataclass(frozen=True)
class Settings:
    """How a service is set up: see `whs-fast serve --help`. No owners: no token is needed."""

    host: str
    port: int
    queue: Path
    owners: tuple[str, ...]
    folders: tuple[Path, ...]
    hosts: tuple[str, ...]
    origins: tuple[str, ...]
    archive: str | None
    limits: Limits
    keep_days: float
    tls: tuple[Path, Path] | None


def serve(settings: Settings, engine: Runs, server: Server, tell: Callable[[str], None]) -> None:
    """Serves until the server is told to stop; a job that runs then is left in the queue.

    tell gets the lines that the user must read: the address, and new tokens, once. Temporary files of the process go to
    the queue's folder. Raises InputError where the address, the port or the queue is in use, or something cannot be
    used, OutputError where the queue cannot be made.
    """
    folders = [_resolve(folder) for folder in settings.folders]
    if not settings.owners and not _is_loopback(settings.host):
        raise InputError(f"host: other machines can reach {settings.host}; --no-token is for this machine alone")
    if settings.tls:
        _check_tls(*settings.tls)
    with ExitStack() as stack:
        listener = stack.enter_context(listen(settings.host, settings.port))
        queue = Queue(settings.queue, settings.limits)
        stack.callback(queue.close)
        tempfile.tempdir = str(queue.partial)
        stack.callback(setattr, tempfile, "tempdir", None)
        owners, made = load_owners(queue.root / "owners", settings.owners)
        _tell(settings, made, tell)
        LOG.info("queue: %s", ", ".join(f"{count} {state}" for state, count in queue.counts().items()))
        api = Api(queue, stopping=server.stopping, cookie=f"whs_fast_{settings.port}", secure=settings.tls is not None)
        monai = MonaiLabel(queue, stopping=server.stopping, owners=owners, archive=settings.archive)
        application = Starlette(
            routes=[*api.routes(), *monai.routes()],
            exception_handlers={RefusedError: refused, InputError: refused, Exception: failed},
        )
        guarded: ASGIApp = Guard(
            application,
            owners=owners,
            hosts=settings.hosts,
            origins=settings.origins,
            cookie=f"whs_fast_{settings.port}",
            most_bytes=settings.limits.upload + _FORM_BYTES,
        )
        if settings.origins:
            guarded = CORSMiddleware(
                guarded, allow_origins=settings.origins, allow_methods=["*"], allow_headers=["Authorization"]
            )
        threads = [
            threading.Thread(target=work, args=(queue, engine, folders, server.stopping)),
            threading.Thread(target=_sweep, args=(queue, settings.keep_days, server.stopping)),
        ]
        for thread in threads:
            thread.start()
        try:
            server.run(guarded, listener, settings.tls)
        finally:
            server.stop()
            for thread in threads:
                thread.join()
            LOG.info("stopped; queue: %s", ", ".join(f"{count} {state}" for state, count in queue.counts().items()))


def _tell(settings: Settings, made: dict[str, str], tell: Callable[[str], None]) -> None:
    scheme = "https" if settings.tls else "http"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"{scheme}://{host}:{settings.port}/"
    tell(f"Serving on {address}")
    for name, token in made.items():
        tell(f"Token of {name}, told only now: {token}")
        tell(f"  {address}#{token}")
    if not settings.tls and not _is_loopback(settings.host):
        tell("warning: tokens and scans cross the network unencrypted; give --tls-cert and --tls-key")


def _sweep(queue: Queue, keep_days: float, stop: threading.Event) -> None:
    while True:
        if count := queue.sweep(time.time() - keep_days * _DAY_S):
            LOG.info("removed %d jobs and images older than %g days", count, keep_days)
        if stop.wait(_SWEEP_S):
            return


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def _resolve(folder: Path) -> Path:
    if not folder.is_dir():
        raise InputError(f"{folder}: found no folder, expected one whose scans may be named by their path")
    return folder.resolve()


def _check_tls(certificate: Path, key: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: b"")
    except OSError as error:  # SSLError is one
        raise InputError(
            f"TLS: the files cannot be used ({error.strerror or 'no such file'}); needs certificate and key without a "
            "password, in PEM format"
        ) from error
