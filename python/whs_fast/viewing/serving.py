"""Serves the page of one correction to this machine, until it is told to stop.

The address holds a random token behind its #, which a browser sends to nobody; the page's script sends it back with
each request for data. The same guard as the service's checks it, and the names and sites that requests come from.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from whs_fast.errors import InputError, OutputError
from whs_fast.service.guard import Guard
from whs_fast.service.http_server import Server, listen
from whs_fast.service.owners import make_owner
from whs_fast.viewing.niivue import niivue_script

if TYPE_CHECKING:
    from whs_fast.viewing.session import Session

_PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/drawing.js": ("drawing.js", "text/javascript; charset=utf-8"),
    "/oblique.js": ("oblique.js", "text/javascript; charset=utf-8"),
    "/editing.js": ("editing.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
}
_NIIVUE = "/niivue.js"
_VOXELS = "application/octet-stream"
_MOST_BYTES = 1 << 30  # of changes: 200 million voxels
# NiiVue keeps its fonts and workers in itself, as data.
_POLICY = (
    "default-src 'none'; script-src 'self'; worker-src blob: data:; style-src 'self'; connect-src 'self' data: blob:; "
    "img-src 'self' data: blob:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
Save = Callable[["Session", bytes, str], Mapping[str, Any]]


def serve(open_session: Callable[[], "Session"], save: Save, server: Server, tell: Callable[[str], None]) -> None:
    """Serves the page on 127.0.0.1 and a free port.

    open_session reads results and scan, once; tell gets the address. save writes what the page sends: the changes and
    who made them. Raises InputError where results or scan cannot be read.
    """
    script = niivue_script()
    owners, token = make_owner("viewer")
    with listen("127.0.0.1", 0) as listener, ThreadPoolExecutor(1) as reading:
        tell(f"http://127.0.0.1:{listener.getsockname()[1]}/#{token}")
        # Meanwhile the browser starts, and gets the page.
        opening = reading.submit(open_session)

        async def session() -> "Session":
            return await run_in_threadpool(opening.result)

        async def refused(request: Request, error: Exception) -> Response:
            return JSONResponse({"error": str(error)}, 400)

        async def page(request: Request) -> Response:
            name, kind = _PAGE[request.url.path]
            content = (resources.files("whs_fast.viewing") / "page" / name).read_bytes()
            return Response(content, media_type=kind, headers={"Content-Security-Policy": _POLICY})

        async def niivue(request: Request) -> Response:
            return Response(script, media_type="text/javascript; charset=utf-8")

        async def facts(request: Request) -> Response:
            return JSONResponse(await run_in_threadpool((await session()).facts))

        async def coarse(request: Request) -> Response:
            return Response(await run_in_threadpool((await session()).coarse), media_type=_VOXELS)

        async def scan(request: Request) -> Response:
            return StreamingResponse((await session()).scan(), media_type=_VOXELS)

        async def view(request: Request) -> Response:
            try:
                block = await run_in_threadpool((await session()).view, request.path_params["number"])
            except IndexError:
                return JSONResponse({"error": "there is no such view"}, 404)
            return Response(block, media_type=_VOXELS)

        async def labels(request: Request) -> Response:
            return Response(await run_in_threadpool((await session()).labels_bytes), media_type=_VOXELS)

        async def saved(request: Request) -> Response:
            by = " ".join(request.query_params.get("by", "").split())[:64]
            if not by:
                return JSONResponse({"error": "by: nothing found, expected who corrected the labels"}, 400)
            try:
                found = await run_in_threadpool(save, await session(), await request.body(), by)
            except (OutputError, RuntimeError) as error:
                return JSONResponse({"error": str(error)}, 500)
            return JSONResponse(found)

        routes = [
            *(Route(path, page) for path in _PAGE),
            Route(_NIIVUE, niivue),
            Route("/facts", facts),
            Route("/coarse", coarse),
            Route("/scan", scan),
            Route("/views/{number:int}", view),
            Route("/labels", labels),
            Route("/save", saved, methods=["POST"]),
        ]
        guarded = Guard(
            Starlette(routes=routes, exception_handlers={InputError: refused}),
            owners=owners,
            hosts=(),
            origins=(),
            cookie="",
            most_bytes=_MOST_BYTES,
            open_paths=frozenset((*_PAGE, _NIIVUE)),
        )
        opening.add_done_callback(lambda done: server.stop() if done.exception() else None)
        server.run(guarded, listener, None)
        opening.result()
