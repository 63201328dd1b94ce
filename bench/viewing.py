"""How long it takes from a double-click on results to a page that scrolls: `python bench/viewing.py RESULTS SCAN`.

Goal: under 2 s for 512 x 512 x 400. The time begins with the start of `whs-fast view` and ends when a turn of the wheel
has changed the slices that are drawn: the pixels are read back before and after, so that nothing is still on its way to
the graphics. Chromium without a window, WebGL in software; started by the command, and running already. Given, too:
when all of the scan's voxels are there, and the planes of the heart.

With --alone (Linux, root) the command and the browser are scheduled before all else, as if nothing else ran.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from whs_fast.networks.openvino_model import describe_runtime

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from support.browser import Page, browser_command, devtools_port, page_address

_HOST = "http://127.0.0.1:"
# Draws, reads all pixels back, and does so again after the next turn of the wheel.
_WATCH = """(() => {
  const pixels = () => {
    viewer.drawScene();
    const { gl } = viewer, [w, h] = [gl.drawingBufferWidth, gl.drawingBufferHeight], read = new Uint8Array(4 * w * h);
    gl.readPixels(0, 0, w, h, gl.RGBA, gl.UNSIGNED_BYTE, read);
    let sum = 0;
    for (let i = 0; i < read.length; i += 4) sum = (31 * sum + read[i]) | 0;
    return sum;
  };
  const before = pixels();
  const turned = new Promise((done) => viewer.canvas.addEventListener("wheel", done, { once: true }));
  const drawn = turned.then(() => new Promise(requestAnimationFrame));
  window.scrolled = drawn.then(() => [pixels() !== before, Date.now() / 1000]);
})()"""


def measure(results: Path, scan: Path, opener: Path, profile: Path) -> tuple[float, float]:
    """Seconds until the page scrolls, and until everything is there."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "whs_fast", "view", str(results), str(scan), "-o", str(Path(folder) / "out")]
        begin = time.time()
        environment = os.environ | {"BROWSER": f"{opener} %s &"}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        try:
            page = Page(page_address(profile, _HOST))
            page.send("Network.disable")  # to watch what is loaded takes time of its own
            page.wait_for("document.documentElement.dataset.ready")
            page.ask(_WATCH)
            page.send("Input.dispatchMouseEvent", type="mouseWheel", x=800, y=200, deltaX=0, deltaY=120)
            changed, end = page.ask("scrolled")
            assert changed, "the wheel changed nothing"
            page.wait_for("document.documentElement.dataset.ready === 'all'")
            whole = time.time()
            assert page.problems == []
            page.send("Page.close")
            return end - begin, whole - begin
        finally:
            process.terminate()
            process.wait()


@contextmanager
def starting(folder: Path) -> Iterator[tuple[Path, Path]]:
    """What opens an address in a browser of its own, and the profile of that."""
    profile, script = folder / "profile", folder / "browser"
    line = " ".join(f"'{word}'" for word in browser_command(profile))
    lines = ("#!/bin/sh", f'echo $$ > "{folder}/pid"', f'exec {line} --window-size=1366,768 "$1" > "{folder}/log" 2>&1')
    script.write_text("\n".join(lines))
    script.chmod(0o755)
    yield script, profile
    subprocess.run(["kill", (folder / "pid").read_text().strip()], check=False)
    time.sleep(1.0)


@contextmanager
def running(folder: Path) -> Iterator[tuple[Path, Path]]:
    """The same in a browser that runs."""
    command = [*browser_command(folder / "profile"), "--window-size=1366,768", "about:blank"]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    port, script = devtools_port(folder / "profile"), folder / "browser"
    script.write_text(f'#!/bin/sh\nexec curl -s -X PUT "http://127.0.0.1:{port}/json/new?$1"\n')
    script.chmod(0o755)
    yield script, folder / "profile"
    browser.terminate()
    browser.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("scan", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--alone", action="store_true")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    alone = ", before all else" * options.alone
    print(f"{describe_runtime()['cpu']}, {os.cpu_count()} cores, load {load:.1f}{alone}; seconds")
    print("| browser | scrolls: median (least - most) | all there: median |\n|---|---|---|")
    if options.alone:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))  # what is started here inherits it
    for name, opening in (("started by the command", starting), ("running", running)):
        found = []
        for _ in range(options.rounds):
            with (
                tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
                opening(Path(folder)) as (opener, profile),
            ):
                found.append(measure(options.results, options.scan, opener, profile))
        scrolls, whole = zip(*found, strict=True)
        middle = f"{statistics.median(scrolls):.2f} ({min(scrolls):.2f} - {max(scrolls):.2f})"
        print(f"| {name} | {middle} | {statistics.median(whole):.2f} |")


if __name__ == "__main__":
    main()
