"""The HTTP interface: jobs, their progress and their results, and the page. openapi.json describes it."""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from whs_fast.errors import InputError
from whs_fast.outputs import check_formats, check_report
from whs_fast.service.queue import ENDED, Job, Queue, RefusedError, Request
from whs_fast.service.receiving import Form, receive_form

LOG = logging.getLogger("whs_fast.service")
_TICK_S, _BEAT_S = 0.1, 15.0
_PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/openapi.json": ("openapi.json", "application/json"),
}
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
# Pages of results run their own scripts, in a sandbox that can reach nothing, this service's interface included.
_RESULT_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; connect-src data: blob:; worker-src blob:"
)


class Api:
    """The routes over a queue; stopping tells when the service ends, cookie is the name of the page's."""

    def __init__(self, queue: Queue, *, stopping: threading.Event, cookie: str, secure: bool) -> None:
        self._queue, self._stopping, self._cookie, self._secure = queue, stopping, cookie, secure

    def routes(self) -> list[Route]:
        return [
            *(Route(path, self._page) for path in _PAGE),
            Route("/api/login", self._login, methods=["POST"]),
            Route("/api/jobs", self._list),
            Route("/api/jobs", self._create, methods=["POST"]),
            Route("/api/jobs/{id}", self._show),
            Route("/api/jobs/{id}", self._remove, methods=["DELETE"]),
            Route("/api/jobs/{id}/cancel", self._cancel, methods=["POST"]),
            Route("/api/jobs/{id}/events", self._events),
            Route("/api/events", self._all_events),
            Route("/api/jobs/{id}/results/{name:path}", self._result),
        ]

    async def _page(self, request: HttpRequest) -> Response:
        name, kind = _PAGE[request.url.path]
        content = (resources.files("whs_fast.service") / "page" / name).read_bytes()
        return Response(content, media_type=kind, headers={"Content-Security-Policy": _PAGE_POLICY})

    async def _login(self, request: HttpRequest) -> Response:
        """Lets a browser keep the token in a cookie that no script can read and no other site can have sent."""
        if owner_of(request) is None:
            raise RefusedError(401, "the token is missing or wrong")
        answer = Response(status_code=204)
        _, _, token = request.headers.get("authorization", "").partition(" ")
        if token:
            answer.set_cookie(self._cookie, token, httponly=True, samesite="strict", secure=self._secure)
        return answer

    async def _list(self, request: HttpRequest) -> Response:
        return JSONResponse([self.describe(job) for job in self._queue.jobs(owner_of(request))])

    async def _create(self, request: HttpRequest) -> Response:
        with self._queue.receiving() as folder:
            (folder / "scan").mkdir()
            form = await receive_form(request, folder / "scan", lambda count: self._queue.take(folder, count))
            job = self._queue.add(owner_of(request), _asked(form), folder)
        return JSONResponse(self.describe(job), 201, headers={"Location": f"/api/jobs/{job.id}"})

    async def _show(self, request: HttpRequest) -> Response:
        return JSONResponse(self.describe(self._find(request)))

    async def _remove(self, request: HttpRequest) -> Response:
        self._queue.remove(owner_of(request), request.path_params["id"])
        return Response(status_code=204)

    async def _cancel(self, request: HttpRequest) -> Response:
        return JSONResponse(self.describe(self._queue.cancel(owner_of(request), request.path_params["id"])))

    async def _events(self, request: HttpRequest) -> Response:
        job = self._find(request)
        return StreamingResponse(self._follow(owner_of(request), job.id), media_type="text/event-stream")

    async def _all_events(self, request: HttpRequest) -> Response:
        # For the page: a browser holds six connections to a service, and must not spend one on each job.
        return StreamingResponse(self._follow(owner_of(request)), media_type="text/event-stream")

    async def _follow(self, owner: str, only: str | None = None) -> AsyncIterator[str]:
        """An event whenever one of the owner's jobs changes, and comments that keep proxies awake; of one job alone
        until it has ended."""
        told: dict[str, tuple[Job, int]] = {}
        silent_s = 0.0
        while not self._stopping.is_set():
            jobs = [job for job in reversed(self._queue.jobs(owner)) if only in (None, job.id)]
            for job in jobs:
                now = (job, self._before(job))
                if told.get(job.id) != now:
                    yield f"event: job\ndata: {json.dumps(self.describe(job))}\n\n"
                    told[job.id], silent_s = now, 0.0
            if only is not None and (not jobs or jobs[0].state in ENDED):
                return
            if silent_s >= _BEAT_S:
                yield ":\n\n"
                silent_s = 0.0
            await asyncio.sleep(_TICK_S)
            silent_s += _TICK_S

    async def _result(self, request: HttpRequest) -> Response:
        job, name = self._find(request), request.path_params["name"]
        if job.state != "done" or name not in self._files(job):
            raise RefusedError(404, "the job has no such result")
        return FileResponse(
            self._queue.folder(job) / "results" / name, headers={"Content-Security-Policy": _RESULT_POLICY}
        )

    def _find(self, request: HttpRequest) -> Job:
        return self._queue.find(owner_of(request), request.path_params["id"])

    def _before(self, job: Job) -> int:
        return self._queue.before(job) if job.state == "queued" else 0

    def _files(self, job: Job) -> list[str]:
        folder = self._queue.folder(job) / "results"
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())

    def describe(self, job: Job) -> dict[str, Any]:
        """What is told of a job: nothing that was in its files or their names."""
        return {
            "id": job.id,
            "state": job.state,
            "created": _time(job.created),
            "ended": None if job.ended is None else _time(job.ended),
            "before": self._before(job),
            "step": job.step if job.state == "running" else "",
            "done": 1.0 if job.state == "done" else job.share,
            "reason": job.reason,
            "formats": list(job.request.formats),
            "report": job.request.report,
            "results": self._files(job) if job.state == "done" else [],
        }


def owner_of(request: HttpRequest) -> Any:
    """Whose request it is: the guard has found out."""
    return request.state.owner


def refused(request: HttpRequest, error: Exception) -> Response:
    """The answer to what was refused in one line."""
    if isinstance(error, RefusedError):
        status = error.status
    elif isinstance(error, InputError):
        status = 400
    else:
        raise error
    # What is still being sent is not read: the connection ends.
    return JSONResponse({"error": str(error)}, status, headers={"Connection": "close"})


def failed(request: HttpRequest, error: Exception) -> Response:
    """The answer to a fault of ours. The text of the error may quote what was sent, and so the patient."""
    LOG.error("a request failed with %s", type(error).__name__)
    return JSONResponse({"error": f"internal error: {type(error).__name__}"}, 500)


def _asked(form: Form) -> Request:
    fields = {name: value.strip() for name, value in form.fields.items() if value.strip()}
    unknown = set(fields) - {"path", "formats", "report", "series", "phase"}
    if unknown:
        expected = "file, path, formats, report, series, phase"
        raise RefusedError(400, f"form: found {min(unknown)!r}, expected {expected}")
    if bool(form.files) == ("path" in fields):
        raise RefusedError(400, "form: expected either files or a path")
    formats = tuple(dict.fromkeys(name.strip() for name in fields.get("formats", "nifti").split(",")))
    report = fields.get("report", "plain")
    check_formats(formats)
    check_report(report)
    return Request(formats, report, fields.get("series"), fields.get("phase"), fields.get("path"))


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
