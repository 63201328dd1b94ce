"""Headless Chromium, driven over its DevTools: opens a page from the disk, watches its console and its requests."""

import base64
import json
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.programs import need

_DEADLINE_S = 60.0


class Gone(AssertionError):
    """The page was left while it was asked."""


class Page:
    """One open page. problems are errors and warnings of the console, requests the addresses it asked for."""

    def __init__(self, address: str) -> None:
        import websocket

        self._socket = websocket.create_connection(address, timeout=_DEADLINE_S, suppress_origin=True)
        self._number = 0
        self.problems: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._number:
                if "navigated" in message.get("error", {}).get("message", ""):
                    raise Gone(message["error"])
                assert "error" not in message, message
                return dict(message["result"])
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        method, found = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = found["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and found["type"] in ("error", "warning", "assert"):
            self.problems.append(" ".join(str(part.get("value", part)) for part in found["args"]))
        elif method == "Log.entryAdded" and found["entry"]["level"] in ("error", "warning"):
            self.problems.append(found["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(found["request"]["url"])

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited where it is a promise."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Until the expression is true, on this page or on one that it leads to."""
        end = time.monotonic() + _DEADLINE_S
        while not self._holds(expression):
            assert time.monotonic() < end, f"never true: {expression}; console: {self.problems}"
            time.sleep(0.05)

    def _holds(self, expression: str) -> bool:
        try:
            return bool(self.ask(f"Boolean({expression})"))
        except Gone:
            return False

    def settle(self) -> None:
        """Until what was asked for is drawn."""
        self.ask("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    def resize(self, width: int, height: int, *, scale: float = 1.0) -> None:
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )
        self.settle()

    def open(self, path: Path, fragment: str = "") -> None:
        self.send("Page.navigate", url=path.as_uri() + fragment)
        self.wait_for("document.readyState === 'complete'")

    def key(self, name: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=name, code=name)
        self.settle()

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)
        self.settle()

    def click(self, x: float, y: float) -> None:
        """Press and release; the page may be left by it, so what comes of it is to be waited for."""
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def choose_files(self, selector: str, *paths: Path) -> None:
        """What a user does with a field for files."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def picture(self) -> bytes:
        """The window as PNG."""
        return base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])

    def close(self) -> None:
        self._socket.close()


def browser_command(profile: str | Path) -> list[str]:
    """Starts a browser that has no network: every name and address leads nowhere. What it opens is to be added."""
    return [
        need("chromium"),
        "--headless=new",
        "--no-sandbox",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-dev-shm-usage",
        "--disable-extensions",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--proxy-server=127.0.0.1:9",
        "--use-angle=swiftshader",
        "--enable-unsafe-swiftshader",
        "--remote-debugging-port=0",
        "--remote-allow-origins=*",
        f"--user-data-dir={profile}",
    ]


@contextmanager
def browser_page() -> Iterator[Page]:
    """A page of a browser of its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [*browser_command(profile), "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            page = Page(page_address(Path(profile), "about:blank"))
            try:
                yield page
            finally:
                page.close()
        finally:
            process.terminate()
            process.wait(timeout=_DEADLINE_S)


def page_address(profile: Path, url: str) -> str:
    """Where a browser lets its page of an address, or what begins with it, be driven, once it is there."""
    return str(_wait(lambda: _target(profile, url))["webSocketDebuggerUrl"])


def devtools_port(profile: Path) -> str:
    """The port on which the browser of a profile is driven, once it has one."""
    return str(_wait(lambda: _port(profile)))


def _wait(found: Callable[[], Any]) -> Any:
    end = time.monotonic() + _DEADLINE_S
    while not (value := found()):
        assert time.monotonic() < end, "the browser did not start"
        time.sleep(0.05)
    return value


def _port(profile: Path) -> str | None:
    file = profile / "DevToolsActivePort"
    return file.read_text().splitlines()[0] if file.exists() and "\n" in file.read_text() else None


def _target(profile: Path, url: str) -> dict[str, Any] | None:
    port = _port(profile)
    if port is None:
        return None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/json/list") as answer:
        pages = [page for page in json.load(answer) if page["type"] == "page" and page["url"].startswith(url)]
    return pages[0] if pages else None
