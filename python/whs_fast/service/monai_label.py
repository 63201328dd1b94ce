"""MONAI Label's protocol, so that the plugins which 3D Slicer and OHIF have for it use this service unchanged.

What they call for automatic segmentation: /info, /auth, /session, /datastore and /infer (docs.monai.io/projects/label).
Nothing is trained here: the lists of trainers and strategies are empty. A run is a job of the queue like any other,
for which the client waits.
"""

import asyncio
import json
import os
import re
import secrets
import threading
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request as HttpRequest
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from whs_fast.dicomweb import fetch_series
from whs_fast.outputs import FORMATS, MEASUREMENTS
from whs_fast.service.api import owner_of
from whs_fast.service.images import Images, label, labels, suffix
from whs_fast.service.owners import Owners
from whs_fast.service.queue import ENDED, Job, Queue, RefusedError, Request
from whs_fast.service.receiving import Form, receive_form
from whs_fast.structures import STRUCTURES

MODEL = "whole_heart_ct"
_TICK_S, _MOST_LOGIN_BYTES = 0.05, 1 << 12
# By the suffix that a client asks for: the format of ours that it gets.
_FORMATS = {".nii.gz": "nifti", ".nrrd": "seg.nrrd", ".seg.nrrd": "seg.nrrd"}


class MonaiLabel:
    """The routes over a queue; stopping tells when the service ends, archive is the address of a DICOMweb service."""

    def __init__(self, queue: Queue, *, stopping: threading.Event, owners: Owners, archive: str | None) -> None:
        self._queue, self._stopping, self._owners, self._archive = queue, stopping, owners, archive
        self._images = Images(queue)

    def routes(self) -> list[Route]:
        return [
            Route("/auth/", self._auth),
            Route("/auth/token", self._token, methods=["POST"]),
            Route("/auth/token/valid", self._valid),
            Route("/info/", self._info),
            Route("/session/", self._create_session, methods=["PUT"]),
            Route("/session/{id}", self._session),
            Route("/session/{id}", self._remove_session, methods=["DELETE"]),
            *(
                route
                for path in ("/datastore/", "/datastore/image")
                for route in (
                    Route(path, self._add_image, methods=["PUT"]),
                    Route(path, self._remove_image, methods=["DELETE"]),
                )
            ),
            Route("/datastore/", self._datastore),
            Route("/datastore/image", self._image),
            Route("/datastore/label", self._add_label, methods=["PUT"]),
            Route("/datastore/label", self._label),
            Route("/infer/{model}", self._infer, methods=["POST"]),
        ]

    async def _auth(self, request: HttpRequest) -> Response:
        return JSONResponse({"enabled": not self._owners.open})

    async def _token(self, request: HttpRequest) -> Response:
        """Users log in with any name and, as the password, their token."""
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MOST_LOGIN_BYTES:
                raise RefusedError(413, f"the login holds more than {_MOST_LOGIN_BYTES} bytes")
        token = dict(parse_qsl(body.decode("utf-8", "replace"))).get("password", "")
        if self._owners.find(token) is None:
            raise RefusedError(401, "the password must be a token of this service")
        return JSONResponse({"access_token": token, "token_type": "bearer"})

    async def _valid(self, request: HttpRequest) -> Response:
        return JSONResponse({})

    async def _info(self, request: HttpRequest) -> Response:
        names = {structure.name: structure.label for structure in STRUCTURES}
        model = {
            "type": "segmentation",
            "labels": names,
            "dimension": 3,
            "description": "Whole heart in contrast-enhanced cardiac CT, ten structures. Not for diagnosis.",
            "config": {},
        }
        return JSONResponse(
            {
                "name": "whs_fast",
                "description": "Whole-heart segmentation of contrast-enhanced cardiac CT",
                "version": version("whs_fast"),
                "labels": list(names),
                "models": {MODEL: model},
                "trainers": {},
                "strategies": {},
                "scoring": {},
                "train_stats": {},
                "datastore": self._status(request),
            }
        )

    def _status(self, request: HttpRequest) -> dict[str, Any]:
        images = self._images.all(owner_of(request))
        tags = [path.name.partition(".")[0] for folder in images for path in labels(folder)]
        return {
            "total": len(images),
            "completed": sum(bool(labels(folder)) for folder in images),
            "label_tags": {tag: tags.count(tag) for tag in tags},
        }

    async def _create_session(self, request: HttpRequest) -> Response:
        identifier = await self._receive_image(request, "")
        return JSONResponse({"session_id": identifier, "session_info": _session_info(identifier)})

    async def _session(self, request: HttpRequest) -> Response:
        folder = self._images.find(owner_of(request), request.path_params["id"])
        return JSONResponse(_session_info(folder.name))

    async def _remove_session(self, request: HttpRequest) -> Response:
        folder = self._images.find(owner_of(request), request.path_params["id"])
        self._queue.discard(folder)
        return JSONResponse(_session_info(folder.name))

    async def _datastore(self, request: HttpRequest) -> Response:
        if request.query_params.get("output") != "all":
            return JSONResponse(self._status(request))
        objects = {
            folder.name: {
                "image": {"ext": suffix(next((folder / "scan").iterdir())), "info": {}},
                "labels": {path.name.partition(".")[0]: {"ext": suffix(path), "info": {}} for path in labels(folder)},
            }
            for folder in self._images.all(owner_of(request))
        }
        return JSONResponse({"name": "whs_fast", "description": "", "objects": objects})

    async def _add_image(self, request: HttpRequest) -> Response:
        name = request.query_params.get("image", "")
        identifier = await self._receive_image(request, "" if name == "None" else name)
        return JSONResponse({"image": identifier})

    async def _remove_image(self, request: HttpRequest) -> Response:
        self._images.remove(owner_of(request), request.query_params.get("id", ""))
        return JSONResponse({})

    async def _image(self, request: HttpRequest) -> Response:
        folder = self._images.find(owner_of(request), request.query_params.get("image", ""))
        return FileResponse(next((folder / "scan").iterdir()))

    async def _add_label(self, request: HttpRequest) -> Response:
        folder = self._images.find(owner_of(request), request.query_params.get("image", ""))
        with self._queue.receiving() as received:
            form = await self._receive(request, received)
            files = [path for name, path in form.files if name == "label"]
            if not files:
                raise RefusedError(400, "form: expected a file 'label'")
            self._images.add_label(folder, request.query_params.get("tag") or "final", files[0])
        return JSONResponse({"image": folder.name, "label": folder.name})

    async def _label(self, request: HttpRequest) -> Response:
        query = request.query_params
        folder = self._images.find(owner_of(request), query.get("label") or query.get("image", ""))
        path = label(folder, query.get("tag", ""))
        return FileResponse(path, filename=path.name)

    async def _infer(self, request: HttpRequest) -> Response:
        if request.path_params["model"] != MODEL:
            raise RefusedError(404, f"there is no such model, only {MODEL}")
        query, owner = request.query_params, owner_of(request)
        with self._queue.receiving() as received:
            form = await self._receive(request, received)
            params = _params(form)
            kept = str(params.get("result_extension") or ".nii.gz")
            if kept not in _FORMATS:
                raise RefusedError(400, f"result_extension: found {kept!r}, expected one of {', '.join(_FORMATS)}")
            for name, path in form.files:
                if name != "file":  # scribbles, of which this model makes nothing
                    path.unlink()
            if not any((received / "scan").iterdir()):
                await self._provide(owner, query.get("session_id") or query.get("image", ""), received)
            job = self._queue.add(owner, Request(formats=(_FORMATS[kept],)), received)
        try:
            job = await self._wait(request, job)
            if job.state != "done":
                raise RefusedError(500, job.reason or f"the job was {job.state}")
            results = self._queue.folder(job) / "results"
            measurements = json.loads((results / MEASUREMENTS).read_text(encoding="utf-8"))
            labels = results / FORMATS[_FORMATS[kept]].files[0]
            return _answer(query.get("output"), measurements, labels, f"labels{kept}")
        finally:
            with suppress(RefusedError):  # it may still be stopping: it goes with the old ones
                self._queue.remove(owner, job.id)

    async def _provide(self, owner: str, name: str, received: Path) -> None:
        """Puts an image that was left here, or a series of the archive, where files that were sent would lie."""
        try:
            folder = self._images.find(owner, name)
        except RefusedError:
            # OHIF names the series that it shows.
            if self._archive is None or not re.fullmatch(r"[0-9.]{1,64}", name):
                raise
            await asyncio.to_thread(fetch_series, self._archive, name, received / "scan")
            self._queue.take(received, sum(path.stat().st_size for path in (received / "scan").iterdir()))
            return
        for path in (folder / "scan").iterdir():
            os.link(path, received / "scan" / path.name)

    async def _wait(self, request: HttpRequest, job: Job) -> Job:
        """The job when it has ended; where the client goes away or the service stops, it is cancelled."""
        while job.state not in ENDED:
            if self._stopping.is_set() or await request.is_disconnected():
                return self._queue.cancel(job.owner, job.id)
            await asyncio.sleep(_TICK_S)
            job = self._queue.find(job.owner, job.id)
        return job

    async def _receive(self, request: HttpRequest, received: Path) -> Form:
        (received / "scan").mkdir()
        return await receive_form(request, received / "scan", lambda count: self._queue.take(received, count))

    async def _receive_image(self, request: HttpRequest, name: str) -> str:
        with self._queue.receiving() as received:
            await self._receive(request, received)
            return self._images.add(owner_of(request), name, received)


def _params(form: Form) -> dict[str, Any]:
    try:
        params = json.loads(form.fields.get("params") or "{}")
    except ValueError:
        params = None
    if not isinstance(params, dict):
        raise RefusedError(400, "params: expected a JSON object")
    return params


def _answer(output: str | None, measurements: dict[str, Any], labels: Path, name: str) -> Response:
    """What a client gets of a result: parameters, labels, or both in one form, as it asks."""
    found = measurements["structures"]
    # Slicer gives the names in this order to the values that it finds: those that are not there may not be named.
    names = {s.name: s.label for s in STRUCTURES if found[s.key]["volume_ml"]}
    params = {"label_names": names, "measurements": measurements}
    if output == "json":
        return JSONResponse(params)
    content = labels.read_bytes()
    if output == "image":
        disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(content, media_type="application/octet-stream", headers=disposition)
    boundary = secrets.token_hex(16)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="params"\r\nContent-Type: application/json\r\n\r\n'
        f"{json.dumps(params)}\r\n"
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return Response(body, media_type=f"multipart/form-data; boundary={boundary}")


def _session_info(identifier: str) -> dict[str, Any]:
    return {"name": identifier}
