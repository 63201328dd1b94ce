"""Models of the installation are small, and known by their hashes; those in other folders are their owners' affair."""

import shutil

import pytest
from support.streams import without_progress
from whs_fast.cli import main
from whs_fast.engine import Engine
from whs_fast.errors import ModelError
from whs_fast.networks import installed
from whs_fast.networks.dense_vnet import DenseVNet
from whs_fast.networks.openvino_model import Model

from training.hashes import list_hashes

SHIPPED = sorted(file for file in installed.models_folder().iterdir() if file.suffix in (".xml", ".bin"))
LISTED = sorted([*SHIPPED, installed.models_folder() / "confidence.json"])
FILES = [f"{name}.{end}" for name in ("dense_vnet", "squeezenet_axial", "squeezenet_coronal") for end in ("xml", "bin")]


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
    path_xml = (folder / name).with_suffix(".xml")
    if name.startswith("dense_vnet"):
        DenseVNet(path_xml, threads=1).prepare()
    else:
        Model(path_xml, threads=1, shapes=((1, 1, 192, 192),)).prepare()


def alter(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_every_model_is_listed_with_its_hash():
    listed = (installed.models_folder() / "SHA256SUMS").read_text("utf-8").split()[1::2]
    assert sorted(listed) == [file.name for file in LISTED]
    installed.check_installed(LISTED)


def test_the_training_writes_the_list(copy):
    before = (copy / "SHA256SUMS").read_text("utf-8")
    (copy / "SHA256SUMS").unlink()
    list_hashes(copy)
    assert sorted((copy / "SHA256SUMS").read_text("utf-8").splitlines()) == sorted(before.splitlines())


@pytest.mark.parametrize("file", LISTED, ids=lambda file: file.name)
def test_no_file_that_ships_is_over_5_mb(file):
    assert 0 < file.stat().st_size <= 5_000_000


def test_the_calibration_was_fitted_to_the_network_that_ships():
    content = installed.read_calibration_file(installed.models_folder())
    assert content["network"] == installed.hash_files(installed.ir_files(installed.models_folder() / "dense_vnet.xml"))


def test_an_altered_calibration_is_not_used(copy):
    alter(copy / "confidence.json")
    with pytest.raises(ModelError, match=r"confidence\.json: not the file that was installed"):
        installed.read_calibration_file(copy)


def test_every_network_is_described_with_hashes_and_scores():
    models = installed.describe_models(installed.models_folder())
    assert set(models) == {"dense_vnet", "squeezenet", "vgg16"}
    assert {name for model in models.values() for name in model["sha256"]} == {file.stem for file in SHIPPED}
    assert all(model["scores"] for model in models.values())


@pytest.mark.parametrize("name", FILES)
def test_an_altered_model_is_not_run(name, copy):
    prepare(copy, name)
    alter(copy / name)
    with pytest.raises(ModelError) as caught:
        prepare(copy, name)
    message = f"{copy / name}: not the file that was installed, by its hash in SHA256SUMS; install whs_fast again"
    assert str(caught.value) == message


@pytest.mark.parametrize("spoil", [lambda file: file.unlink(), lambda file: file.write_text("")])
def test_without_its_list_no_model_is_run(spoil, copy):
    spoil(copy / "SHA256SUMS")
    for name in FILES[:2]:
        with pytest.raises(ModelError, match=r"SHA256SUMS"):
            prepare(copy, name)


def test_the_command_says_so_in_one_line(copy, tmp_path, capsys):
    alter(copy / "dense_vnet.bin")
    assert main(["demo", "-o", str(tmp_path / "out"), "--threads", "1"]) == 1
    error = without_progress(capsys.readouterr().err)
    assert "whs-fast: internal error: ModelError: " in error and "SHA256SUMS" in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", FILES[:1])
def test_models_of_ones_own_need_no_list(name, tmp_path):
    shutil.copytree(installed.models_folder(), tmp_path / "own", ignore=shutil.ignore_patterns("SHA256SUMS"))
    prepare(tmp_path / "own", name)
    Engine(threads=1, models=tmp_path / "own")
