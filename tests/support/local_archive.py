"""A real archive, Orthanc, in a process of its own; with its DICOMweb plugin where a test wants that."""

import json
import os
import subprocess
import urllib.request
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from support.programs import need
from support.waiting import answers, free_port, wait_for

_PLACES = ("/usr/share/orthanc/plugins", "/usr/lib/orthanc", "/usr/local/share/orthanc/plugins")


class Orthanc:
    """A running archive: its ports, and what it holds."""

    def __init__(self, folder, plugins=(), more=None):
        self.dicom, self.http, self._known = free_port(), free_port(), {}
        settings = {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "DicomPort": self.dicom,
            "HttpPort": self.http,
            "DicomAet": "ORTHANC",
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "Plugins": [str(plugin) for plugin in plugins],
            **(more or {}),
        }
        (folder / "orthanc.json").write_text(json.dumps(settings))
        with (folder / "orthanc.log").open("wb") as log:
            self.process = subprocess.Popen([need("Orthanc"), str(folder / "orthanc.json")], stdout=log, stderr=log)
        wait_for(lambda: self.process.poll() is not None or (answers(self.dicom) and answers(self.http)))
        self.dicomweb = f"http://127.0.0.1:{self.http}/dicom-web"

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=10) as answer:
            return answer.read()

    def made_of(self, series_uid):
        """{modality: data set} of what refers to a series, in whatever way its kind does."""
        for identifier in set(json.loads(self.get("/instances"))) - set(self._known):
            content = pydicom.dcmread(BytesIO(self.get(f"/instances/{identifier}/file")))
            self._known[identifier] = content, [element.value for element in content.iterall() if element.VR == "UI"]
        found = [content for content, values in self._known.values() if refers(values, series_uid)]
        return {content.Modality: content for content in found}


def refers(values, series_uid):
    """Whether any of them is the UID of the series, or of one of its instances as they are made here."""
    return any(f"{value}.".startswith(f"{series_uid}.") for value in values)


@contextmanager
def running_orthanc(folder, *, dicomweb=False, more=None):
    """An archive as long as the block lasts; `more` are settings beside those that each test needs."""
    orthanc = Orthanc(folder, [_dicomweb_plugin()] if dicomweb else [], more)
    try:
        yield orthanc
    finally:
        orthanc.process.terminate()
        orthanc.process.wait(30)


def _dicomweb_plugin():
    need("Orthanc")
    for place in _PLACES:
        if (found := Path(place) / "libOrthancDicomWeb.so").exists():
            return found
    reason = "Orthanc's DICOMweb plugin is not installed (Debian package orthanc-dicomweb)"
    (pytest.fail if os.environ.get("WHS_FAST_REQUIRE_PROGRAMS") else pytest.skip)(reason)
