"""Programs that some tests need: without one a test is skipped, or fails where WHS_FAST_REQUIRE_PROGRAMS is set."""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

# What to install, and what else the program is called.
_PROGRAMS = {
    "chromium": ("Debian package chromium", ("chromium-browser", "google-chrome", "chrome")),
    "dciodvfy": ("Debian package dicom3tools", ()),
    "Orthanc": ("Debian package orthanc", ()),
    "curl": ("Debian package curl", ()),
    "g++": ("Debian package g++", ("c++", "clang++")),
    "mcs": ("Debian packages mono-mcs and mono-runtime", ()),
    "mono": ("Debian packages mono-mcs and mono-runtime", ()),
    "openssl": ("Debian package openssl", ()),
    "unshare": ("Debian package util-linux", ()),
    **dict.fromkeys(("dcmcjpeg", "dcmcjpls", "dcmcrle", "echoscu", "storescu"), ("Debian package dcmtk", ())),
    **dict.fromkeys(("segimage2itkimage", "tid1500reader"), ("Python package dcmqi", ())),
}


def need(name: str) -> str:
    """The path of a program; the test that asks ends here where it is missing."""
    path = find(name)
    if path is None:
        reason = f"{name} is not installed ({_PROGRAMS[name][0]})"
        if os.environ.get("WHS_FAST_REQUIRE_PROGRAMS"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return path


def need_own_mounts() -> list[str]:
    """What runs a command with mounts of its own (Linux); the test that asks is skipped where the system forbids it."""
    apart = [need("unshare"), "--mount", "--map-root-user"]
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("the system does not let a process have mounts of its own (unshare --mount), as in a container")
    return apart


@cache
def find(name: str) -> str | None:
    package, others = _PROGRAMS[name]
    folders = [str(Path(sys.executable).parent), *os.environ.get("PATH", "").split(os.pathsep)]
    for folder in [*folders, "/usr/sbin", "/usr/local/sbin"]:
        for called in (name, *others):
            path = shutil.which(called, path=folder)
            # pynetdicom brings programs with the names of DCMTK's.
            if path and ("dcmtk" not in package or "dcmtk" in _version(path)):
                return path
    return None


def _version(path: str) -> str:
    return subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
