"""The HTTP server under the service and under the page for corrections: a socket, and how to end it."""

import socket
import threading
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from whs_fast.errors import InputError


class Server:
    """The HTTP server, and how another thread or a signal ends it."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._server: uvicorn.Server | None = None

    def run(self, application: ASGIApp, listener: socket.socket, tls: tuple[Path, Path] | None) -> None:
        """Answers requests until it is stopped."""
        config = uvicorn.Config(
            application,
            log_config=None,
            access_log=False,  # addresses that were asked for
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=3,
            ssl_certfile=tls and tls[0],
            ssl_keyfile=tls and tls[1],
        )
        self._server = uvicorn.Server(config)
        if not self.stopping.is_set():
            self._server.run([listener])

    def stop(self) -> None:
        """Ends it; may be called at any time, from any thread."""
        self.stopping.set()
        if self._server is not None:
            self._server.should_exit = True


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on an address; port 0 is any free one. Raises InputError where it is in use."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise InputError(f"{host} port {port}: {reason}; choose another one (--host, --port)") from error
