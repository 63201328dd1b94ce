"""The programs of the documents, compiled and run: those that run whs_fast by process, and that without whs_fast."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from support.documents import PROGRAMS, claimed_by
from support.phantom import make_models, make_phantom, to_image
from support.programs import need
from whs_fast.networks.dense_vnet import DenseVNet
from whs_fast.steps.region import REGION_SHAPE

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="compilers as Linux has them")]
WARNINGS = ["-std=c++17", "-Wall", "-Wextra", "-Werror"]
JSON_AND_XML = ["-r:System.Runtime.Serialization.dll", "-r:System.Xml.dll", "-r:System.Xml.Linq.dll"]


def text_of(test, language):
    (text,) = (example.text for example in claimed_by(PROGRAMS + test) if example.language == language)
    return text


def compiled(language, folder):
    """The command that runs a page's program."""
    source = folder / f"client.{language}"
    source.write_text(text_of("test_a_program_shows_progress_and_passes_on_the_status", language), encoding="utf-8")
    if language == "cpp":
        subprocess.run([need("g++"), *WARNINGS, source, "-o", folder / "client"], check=True)
        return [folder / "client"]
    subprocess.run([need("mcs"), "-warnaserror", *JSON_AND_XML, source, f"-out:{folder}/client.exe"], check=True)
    return [need("mono"), folder / "client.exe"]


@pytest.mark.parametrize(("language", "last_line"), [("cpp", r"segmented"), ("csharp", r"\d+\.\d g")])
def test_a_program_shows_progress_and_passes_on_the_status(language, last_line, tmp_path):
    program, scan = compiled(language, tmp_path), tmp_path / "the scan.nii.gz"
    sitk.WriteImage(to_image(make_phantom()), scan)
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    def ask():
        command = [*program, scan, tmp_path / "results"]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"PATH": paths})

    done = ask()
    *shares, last = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(last_line, last)
    assert len(shares) > 10 and shares[-1] == "100 %"
    assert (tmp_path / "results" / "measurements.json").is_file()
    again = ask()
    assert again.returncode == 2 and "holds earlier results" in again.stderr


MAIN = """
#include <cstdio>

int main() {
    std::vector<std::uint8_t> region(320 * 320 * 320);
    std::FILE* file = std::fopen("region", "rb");
    if (std::fread(region.data(), 1, region.size(), file) != region.size())
        return 1;
    const auto labels = label(region);
    std::fwrite(labels.data(), 1, labels.size(), std::fopen("labels", "wb"));
}
"""


def test_the_network_runs_in_plain_openvino_in_cpp(tmp_path):
    text = text_of("test_the_network_runs_in_plain_openvino_in_cpp", "cpp")
    (tmp_path / "label.cpp").write_text(text + MAIN, encoding="utf-8")
    openvino = Path(importlib.util.find_spec("openvino").origin).parent
    (library,) = (openvino / "libs").glob("libopenvino.so.*")
    linked = ["-isystem", openvino / "include", library, f"-Wl,-rpath,{openvino / 'libs'}"]
    subprocess.run([need("g++"), *WARNINGS, "label.cpp", *linked, "-o", "label"], cwd=tmp_path, check=True)
    models = make_models(tmp_path)
    region = np.broadcast_to(np.linspace(0, 255, REGION_SHAPE[2]).astype(np.uint8), REGION_SHAPE).copy()
    region.tofile(tmp_path / "region")
    subprocess.run([tmp_path / "label"], cwd=tmp_path, check=True)
    labels = np.fromfile(tmp_path / "labels", np.uint8).reshape(160, 160, 160)
    assert len(np.unique(labels)) > 5
    assert (labels == DenseVNet(models / "dense_vnet.xml", threads=2)(region).argmax(-1)).mean() > 0.99
