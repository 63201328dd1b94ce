"""What tests of the service share: a scan, an engine that is quick, and a service over it."""

import pytest
import SimpleITK as sitk
from support.local_service import Quick, running
from support.phantom import make_models, make_phantom, to_image
from whs_fast.engine import Engine


@pytest.fixture(scope="package")
def phantom():
    return make_phantom(spacing_mm=(3.0, 3.0, 6.0), shape=(30, 62, 64))


@pytest.fixture(scope="package")
def scan(phantom, tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "Doe^Jane 1970.nii.gz"
    sitk.WriteImage(to_image(phantom), path)
    return path


@pytest.fixture(scope="package")
def result(scan, tmp_path_factory):
    return Engine(threads=2, models=make_models(tmp_path_factory.mktemp("models"))).run(scan)


@pytest.fixture
def engine(result):
    return Quick(result)


@pytest.fixture
def service(engine, tmp_path):
    with running(engine, tmp_path / "queue") as service:
        yield service
