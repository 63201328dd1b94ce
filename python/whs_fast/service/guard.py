"""What every request must pass: the name it was sent to, the site it comes from, the token, the size it announces.

A page that the user has open elsewhere must not reach a service on this machine. Its name for the service may lead here
by DNS rebinding: the Host header then holds that name, and only addresses, localhost and names that the operator has
given are answered. And what it sends bears its Origin or, from browsers, Sec-Fetch-Site.
"""

import ipaddress
from collections.abc import Collection
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whs_fast.service.owners import Owners
from whs_fast.service.queue import RefusedError

# What anybody may ask the service for: the page without its data, the description, how MONAI Label's clients log in.
SERVICE_OPEN = frozenset(("/", "/page.js", "/page.css", "/openapi.json", "/auth/", "/auth/token", "/api/login"))
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """ASGI middleware; puts the name of the owner into the scope's state."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        owners: Owners,
        hosts: Collection[str],
        origins: Collection[str],
        cookie: str,
        most_bytes: int,
        open_paths: frozenset[str] = SERVICE_OPEN,
    ) -> None:
        self._open = open_paths
        self._app, self._owners, self._cookie, self._most_bytes = app, owners, cookie, most_bytes
        self._hosts, self._origins = {"localhost", *(host.lower() for host in hosts)}, set(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        try:
            self._check_host(headers)
            self._check_site(headers, scope["path"])
            self._check_size(headers)
            owner = self._owners.find(self._token(headers))
            if owner is None and scope["path"] not in self._open:
                raise RefusedError(401, "the token is missing or wrong")
        except RefusedError as error:
            bearer = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
            # What is still being sent is not read: the connection ends.
            response = JSONResponse({"error": str(error)}, error.status, headers=bearer | {"Connection": "close"})
            await response(scope, receive, send_guarded)
            return
        scope.setdefault("state", {})["owner"] = owner
        # A fault has been answered, and its kind logged (`api.failed`). The server would log its text too, which may
        # quote what was sent.
        with suppress(Exception):
            await self._app(scope, receive, send_guarded)

    def _check_host(self, headers: Headers) -> None:
        name = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        try:
            ipaddress.ip_address(name)
        except ValueError:
            if name not in self._hosts:
                text = "this service does not answer to that name, unless its operator allows it (--allow-host)"
                raise RefusedError(403, text) from None

    def _check_site(self, headers: Headers, path: str) -> None:
        origin = headers.get("origin")
        if origin is not None:
            if origin in self._origins or urlsplit(origin).netloc == headers.get("host"):
                return
            raise RefusedError(403, "requests from other sites are refused")
        if path != "/" and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise RefusedError(403, "requests from other sites are refused")

    def _check_size(self, headers: Headers) -> None:
        if int(headers.get("content-length", 0)) > self._most_bytes:
            raise RefusedError(413, f"the upload is larger than the limit of {self._most_bytes} bytes")

    def _token(self, headers: Headers) -> str:
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return token.strip()
        return cookie_parser(headers.get("cookie", "")).get(self._cookie, "")
