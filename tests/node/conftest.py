"""What tests of the node share: a series, an engine that is quick, and a process that stays as it was."""

import copy
import logging
import socketserver
import warnings
from dataclasses import replace

import pydicom
import pytest
from support import scans
from support.phantom import make_models, make_phantom
from whs_fast.engine import Engine
from whs_fast.reading.scan import read


class Quick:
    """Reads what it is given, as an engine does, and finds in it what an engine has found in the whole series."""

    def __init__(self, result):
        self.result = result

    def run(self, folder, progress):
        volume = read(folder)
        progress("measure", 0.9)
        measurements = copy.deepcopy(self.result.measurements)
        scan = replace(self.result.scan, source=volume.source)
        return replace(self.result, scan=scan, measurements=measurements)


@pytest.fixture(scope="package")
def whole_engine(tmp_path_factory):
    return Engine(threads=2, models=make_models(tmp_path_factory.mktemp("models")))


@pytest.fixture(scope="package")
def series(tmp_path_factory):
    return scans.write_dicom(make_phantom(spacing_mm=(3.0, 3.0, 6.0), shape=(30, 62, 64)), tmp_path_factory.mktemp("p"))


@pytest.fixture(scope="package")
def engine(whole_engine, series):
    return Quick(whole_engine.run(series))


@pytest.fixture(autouse=True)
def unchanged_process(monkeypatch):
    """A node may change settings of its process, which these tests share with others."""
    # Servers look every half second otherwise whether they are to stop.
    monkeypatch.setattr(socketserver.BaseServer.serve_forever, "__defaults__", (0.02,))
    before = {name: logging.getLogger(name).propagate for name in ("pydicom", "pynetdicom", "highdicom")}
    modes = pydicom.config.settings.reading_validation_mode, pydicom.config.settings.writing_validation_mode
    with warnings.catch_warnings():
        yield
    for name, propagate in before.items():
        logging.getLogger(name).propagate = propagate
    pydicom.config.settings.reading_validation_mode, pydicom.config.settings.writing_validation_mode = modes
