"""A service in a thread of the test, over an engine of the test's choice, and what asks it."""

import copy
import json
import threading
from contextlib import contextmanager
from dataclasses import replace
from importlib import resources

import requests
from support.waiting import free_port, wait_for
from whs_fast.reading.scan import read
from whs_fast.service.http_server import Server
from whs_fast.service.queue import Limits
from whs_fast.service.serving import Settings, serve

LIMITS = Limits(upload=50 << 20, disk=500 << 20, jobs=10)
SAMPLE = resources.files("whs_fast") / "data" / "sample.nii.gz"


class Quick:
    """Reads what it is given, as an engine does, and finds in it what an engine has found in that scan once.

    Each run waits for `go`, which is set unless a test holds it back.
    """

    def __init__(self, result):
        self.result, self.go, self.sources = result, threading.Event(), []
        self.go.set()

    def run(self, source, *, series, phase, progress):
        self.sources.append((source, series, phase))
        volume = read(source, series=series, phase=phase)
        progress("segment", 0.4)
        while not self.go.wait(0.01):
            progress("segment", 0.5)
        progress("measure", 0.9)
        scan = replace(self.result.scan, source=volume.source)
        return replace(self.result, scan=scan, measurements=copy.deepcopy(self.result.measurements))


class Service:
    """A running service, and the tokens of its owners."""

    def __init__(self, settings, told):
        scheme = "https" if settings.tls else "http"
        self.settings, self.told, self.url = settings, told, f"{scheme}://127.0.0.1:{settings.port}"

    @property
    def tokens(self):
        lines = [line.split() for line in self.told if line.startswith("Token of")]
        return {words[2].rstrip(","): words[-1] for words in lines}

    def ask(self, method, path, *, owner="alice", **how):
        headers = {"Authorization": f"Bearer {self.tokens[owner]}"} if owner in self.tokens else {}
        return requests.request(method, self.url + path, headers=headers | how.pop("headers", {}), timeout=60, **how)

    def send(self, *paths, owner="alice", **fields):
        parts = [("file", (path.name, path.read_bytes())) for path in paths]
        parts += [(name, (None, value)) for name, value in fields.items()]
        return self.ask("POST", "/api/jobs", owner=owner, files=parts)

    def end(self, identifier, *, owner="alice"):
        """A job when it has ended."""
        return wait_for(
            lambda: (job := self.ask("GET", f"/api/jobs/{identifier}", owner=owner).json())["ended"] and job
        )


@contextmanager
def running(engine, queue, **changes):
    """A service in a thread, as long as the block lasts."""
    settings = {
        "host": "127.0.0.1",
        "port": free_port(),
        "queue": queue,
        "owners": ("alice", "bob"),
        "folders": (),
        "hosts": (),
        "origins": (),
        "archive": None,
        "limits": LIMITS,
        "keep_days": 7.0,
        "tls": None,
    }
    told, failure, server = [], [], Server()
    service = Service(Settings(**(settings | changes)), told)

    def target():
        try:
            serve(service.settings, engine, server, told.append)
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    try:
        wait_for(lambda: failure or (server._server and server._server.started))
        yield service
    finally:
        server.stop()
        thread.join(30)
        assert not thread.is_alive()
        if failure:
            raise failure[0]


def events(answer):
    """The jobs that server-sent events tell of."""
    return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
