"""Draws the documents' pictures of the sample anew: preview.png, report.png and interactive.png.

    python docs/hooks/pictures.py     (pip install '.[report]'; Chromium)

To be run, and the pictures to be looked at, when the networks or the pages have changed.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parents[1]
SIZES = {"report": (1000, 980), "interactive": (1366, 860)}  # of the window


def photograph(page: Path, picture: Path, width: int, height: int) -> None:
    """A page as it looks in a browser when it is ready."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))))
    options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--enable-unsafe-swiftshader"]
    options += [f"--window-size={width},{height}", "--virtual-time-budget=60000", f"--screenshot={picture}"]
    subprocess.run([browser, *options, page.as_uri()], check=True, capture_output=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "demo"
        demo = [sys.executable, "-m", "whs_fast", "demo", "-o", str(out), "--report", "interactive"]
        subprocess.run(demo, check=True)
        shutil.copy(out / "preview.png", DOCS)
        photograph(out / "report.html", DOCS / "report.png", *SIZES["report"])
        photograph(out / "report_interactive.html", DOCS / "interactive.png", *SIZES["interactive"])


if __name__ == "__main__":
    main()
