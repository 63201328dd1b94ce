"""The models that ship: each small, each named in the list with its scores."""

import pytest
from whs_fast.networks.installed import describe_models, models_folder

FILES = sorted(file for file in models_folder().iterdir() if file.suffix in (".bin", ".npz", ".xml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_file_that_ships_is_over_5_mb(file):
    assert 0 < file.stat().st_size <= 5_000_000


def test_every_network_is_listed_with_hashes_and_scores():
    models = describe_models(models_folder())
    assert set(models) == {"dense_vnet", "squeezenet", "vgg16"}
    assert {name for model in models.values() for name in model["sha256"]} == {file.stem for file in FILES}
    assert all(model["scores"] for model in models.values())
