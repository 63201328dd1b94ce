"""Models of the installation are known by their hashes; those in a folder of somebody's own are the owner's affair."""

import shutil

import numpy as np
import pytest
from whs_fast.cli import main
from whs_fast.engine import Engine
from whs_fast.errors import ModelError
from whs_fast.networks import installed
from whs_fast.networks.dense_vnet import DenseVNet
from whs_fast.networks.openvino_model import Model

FILES = ("dense_vnet.npz", *(f"squeezenet_{axis}.{end}" for axis in ("axial", "coronal") for end in ("xml", "bin")))


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """The installation's models where a test may alter them."""
    folder = tmp_path / "models"
    shutil.copytree(installed.models_folder(), folder)
    monkeypatch.setattr(installed, "_INSTALLED", folder)
    monkeypatch.setattr("whs_fast.engine.models_folder", lambda: folder)
    return folder


def prepare(folder, name):
    """Reads a network as a run does."""
    if name.endswith(".npz"):
        DenseVNet(folder / name, threads=1)(np.zeros((8, 8, 8), np.uint8))
    else:
        Model((folder / name).with_suffix(".xml"), threads=1, shapes=((1, 1, 192, 192),)).prepare()


def alter(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_every_model_is_listed_with_its_hash():
    listed = {path.name for path in installed.models_folder().iterdir() if path.suffix in (".npz", ".xml", ".bin")}
    assert set(installed._listed(installed.models_folder() / "SHA256SUMS")) == listed
    installed.check_installed([installed.models_folder() / name for name in sorted(listed)])


@pytest.mark.parametrize("name", FILES)
def test_an_altered_model_is_not_run(name, copy):
    prepare(copy, name)
    alter(copy / name)
    with pytest.raises(ModelError) as caught:
        prepare(copy, name)
    message = f"{copy / name}: found a file that SHA256SUMS beside it does not name, expected the one installed"
    assert str(caught.value) == message


@pytest.mark.parametrize("spoil", [lambda file: file.unlink(), lambda file: file.write_text("")])
def test_without_its_list_no_model_is_run(spoil, copy):
    spoil(copy / "SHA256SUMS")
    for name in FILES[:2]:
        with pytest.raises(ModelError, match=r"SHA256SUMS"):
            prepare(copy, name)


def test_the_command_says_so_in_one_line(copy, tmp_path, capsys):
    alter(copy / "dense_vnet.npz")
    assert main(["demo", "-o", str(tmp_path / "out"), "--threads", "1"]) == 1
    error = capsys.readouterr().err
    assert "whs-fast: ModelError: " in error and "SHA256SUMS" in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", FILES[:1])
def test_models_of_ones_own_need_no_list(name, tmp_path):
    shutil.copytree(installed.models_folder(), tmp_path / "own", ignore=shutil.ignore_patterns("SHA256SUMS"))
    prepare(tmp_path / "own", name)
    Engine(threads=1, models=tmp_path / "own")
