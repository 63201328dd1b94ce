"""Batches in processes of their own, on small phantoms, with a way to make a scan deadly to whoever opens it.

Every Python process that is started with `environment` runs SITE first: it finds the small models, and where a file's
name says so, opening it ends the process as the system would for lack of memory.
"""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from support.phantom import make_models, make_phantom, to_image

import SimpleITK as sitk  # isort: skip

SITE = """
import os, signal, sys, time
from pathlib import Path
from whs_fast.networks import installed

models, seen = Path(os.environ["BATCH_TEST_MODELS"]), set()
installed.models_folder = lambda: models

def watch(event, arguments):
    if event != "open" or not isinstance(arguments[0], (str, bytes, os.PathLike)) or "w" in str(arguments[1]):
        return
    name = os.path.basename(os.fsdecode(arguments[0]))
    if not name.endswith(".nii.gz"):
        return
    if name.startswith("poison"):
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("slow") and name not in seen:
        seen.add(name)
        with open(os.environ["BATCH_TEST_LOG"], "a") as log:
            log.write(f"{os.getpid()} {name}\\n")
        time.sleep(1.5)

sys.addaudithook(watch)
"""


class Site:
    """A folder with the models and what every process runs first."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(SITE)
        self.models = make_models(folder)
        self.log = folder / "begun.log"
        self.environment = os.environ | {
            "PYTHONPATH": str(folder),
            "BATCH_TEST_MODELS": str(self.models),
            "BATCH_TEST_LOG": str(self.log),
            "WHS_FAST_CACHE": str(folder / "cache"),
        }

    def start(self, *arguments, module="whs_fast"):
        command = [sys.executable, "-m", module, *map(str, arguments)]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment
        )

    def run(self, *arguments):
        """Status, standard output and the lines of standard error, without those of progress."""
        process = self.start(*arguments)
        said, errors = process.communicate(timeout=240)
        lines = [line for line in errors.splitlines() if line[:4].strip().rstrip("%").isdigit() is False]
        return process.returncode, said, lines

    def begun(self):
        """Process and file of every slow scan that was begun with."""
        return [line.split() for line in self.log.read_text().splitlines()] if self.log.exists() else []


def write_phantom(path: Path, seed: int = 0) -> Path:
    """A phantom that differs a little from those of other seeds."""
    volume = make_phantom(spacing_mm=(2.0 + 0.02 * seed, 2.0, 2.0))
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(to_image(volume), path)
    return path


def read_table(output: Path):
    with (output / "table.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def without_clock(rows):
    """Rows without what differs from run to run: seconds and memory."""
    return [{k: v for k, v in row.items() if not k.endswith("_s") and k != "peak_memory_mb"} for row in rows]


def labels_of(output: Path):
    """The label map of each scan."""
    found = {}
    for path in sorted((output / "scans").glob("*/labels.nii.gz")):
        found[path.parent.name] = sitk.GetArrayFromImage(sitk.ReadImage(path))
    return found


def stamps(output: Path):
    """When each record was written."""
    return {path.name: path.stat().st_mtime_ns for path in (output / "rows").glob("*.json")}


def same_labels(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def measurements_of(output: Path, name: str):
    return json.loads((output / "scans" / name / "measurements.json").read_text("utf-8"))
