"""docs/fine-tuning.md, word for word on a tiny example, and the rendered patients it was tried on."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("nncf")

from training import foreign  # noqa: E402
from training.toronto import CASES  # noqa: E402

TOP = Path(__file__).parents[2]
# What makes the example small; each must stand in the page.
TINY = {
    "--minutes 30": "--steps 0 2 --threads 2 --workers 0",
    "--sides 112 112": "--sides 24 24",
    "--sources atlas parametric": "--sources parametric",
    "--crops 4 --side 128": "--crops 1 --side 16",
}


def commands():
    """The page's blocks in order, as arguments of a process each."""
    text = (TOP / "docs" / "fine-tuning.md").read_text("utf-8")
    for page, tiny in TINY.items():
        assert text.count(page) == 1
        text = text.replace(page, tiny)
    for language, block in re.findall(r"```(bash|python)\n(.*?)```", text, re.DOTALL):
        lines = [["python", "-c", block]] if language == "python" else map(shlex.split, block.splitlines())
        yield from (line for line in lines if line[0] != "pip")


@pytest.mark.slow
def test_the_page_leads_from_labelled_scans_to_scores(tmp_path):
    for part in ("training", "python"):
        (tmp_path / part).symlink_to(TOP / part)
    for part, name in (("train", "a"), ("train", "b"), ("test", "x")):
        folder = tmp_path / "patients" / part
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(resources.files("whs_fast") / "data" / "sample.nii.gz", folder / f"{name}.nii.gz")
        shutil.copy(TOP / "tests" / "data" / "sample_labels.nii.gz", folder / f"{name}_labels.nii.gz")
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = [command[0] for command in commands()]
    for command in commands():
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ | {"PATH": programs}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stderr}"
    assert ran == ["python", "python", "cp", "python", "python", "whs-fast", "whs-fast"]
    patients = tmp_path / "patients"
    assert len(json.loads((patients / "train" / "manifest.json").read_text())) == 2
    hashes = set()
    for name in ("before", "after"):
        hashes.add(json.loads((patients / name / "x" / "measurements.json").read_text())["models"]["dense_vnet"])
        assert (patients / f"evaluation_{name}" / "evaluation.html").exists()
    assert len(hashes) == 2  # the model that was exported was used


def test_no_heart_of_the_rendered_patients_is_on_both_sides():
    hearts = {
        part: [CASES[int(np.random.default_rng((foreign.SEED, number)).integers(len(CASES)))] for number in numbers]
        for part, numbers in foreign.NUMBERS.items()
    }
    assert set(hearts["train"]) == {"regular", "case14"} and set(hearts["test"]) == {"case15", "case16_marfan"}
    assert [len(numbers) for numbers in foreign.NUMBERS.values()] == [20, 8]
    assert {foreign.acquire(0).slice_mm, foreign.acquire(4).slice_mm} <= {1.25, 1.5, 2.0}
    assert foreign.acquire(0) != foreign.acquire(1)
