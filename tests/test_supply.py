"""What the package runs and whom it talks to: no pickles, no code from data, no network."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk
import whs_fast
from support.phantom import make_models, make_phantom, to_image
from support.streams import without_progress

SOURCES = sorted(Path(whs_fast.__file__).parent.rglob("*.py"))
PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "torch", "yaml"}
NETWORK = {"socket", "ssl", "http", "urllib", "urllib3", "requests", "httpx", "ftplib", "smtplib", "xmlrpc", "asyncio"}
NETWORK |= {"starlette", "uvicorn", "dicomweb_client", "pynetdicom"}
# Whose purpose it is: the DICOM node, the service and DICOMweb, none of which a run touches unless it is asked to.
MAY = {
    "node": {"ssl", "pynetdicom"},
    "service": {"asyncio", "socket", "ssl", "starlette", "uvicorn", "urllib"},
    "viewing": {"starlette"},
}
MAY_DICOMWEB = {"dicomweb_client", "requests"}
RUN_CODE = {"eval", "exec", "compile", "__import__"}


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def faults(code):
    """What a module may not do, in words."""
    tree = ast.parse(code)
    found = [f"imports {name}" for name in imported(tree) if name in PICKLES | NETWORK]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RUN_CODE:
            found.append(f"calls {node.func.id}")
        if isinstance(node, ast.keyword) and node.arg in ("allow_pickle", "shell"):
            found.append(f"passes {node.arg}")
    return found


def test_no_module_unpickles_runs_code_from_data_or_opens_a_connection():
    """But for the parts whose purpose it is."""
    assert len(SOURCES) > 80
    for path in SOURCES:
        may = MAY_DICOMWEB if path.name == "dicomweb.py" else MAY.get(path.parent.name, set())
        found = [what for what in faults(path.read_text("utf-8")) if what.removeprefix("imports ") not in may]
        assert not found, path


@pytest.mark.parametrize(
    "code",
    ["import pickle", "from torch import load", "import urllib.request", "eval('1')", "np.load(f, allow_pickle=True)"],
)
def test_what_may_not_be_is_seen(code):
    assert len(faults(code)) == 1


# Ends the process with status 9 at the first thing that Python asks of the network.
OFFLINE = """
import os, sys
from pathlib import Path
def watch(event, arguments):
    if event.startswith(("socket.", "urllib.", "http.", "ftplib.", "smtplib.")):
        os.write(2, f"{event} {arguments}".encode())
        os._exit(9)
sys.addaudithook(watch)
from whs_fast import engine
from whs_fast.cli import main
models = Path(sys.argv.pop(1))
engine.models_folder = lambda: models
if sys.argv[1] == "connect":
    import socket
    socket.create_connection(("192.0.2.1", 80), timeout=1)
sys.exit(main())
"""


@pytest.fixture(scope="module")
def run_offline(tmp_path_factory):
    """Runs the command line where the system has no network, as far as it lets us, and where any use of it is seen."""
    folder = tmp_path_factory.mktemp("offline")
    models = make_models(folder)
    sitk.WriteImage(to_image(make_phantom()), folder / "scan.nii.gz")
    apart = ["unshare", "--net", "--map-root-user"]
    allowed = (
        shutil.which("unshare") and not subprocess.run([*apart, "true"], capture_output=True, check=False).returncode
    )

    def run(*arguments):
        command = [*(apart if allowed else []), sys.executable, "-c", OFFLINE, models, *arguments]
        environment = os.environ | {"WHS_FAST_CACHE": str(folder / "cache")}
        return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)

    return run


@pytest.mark.skipif(sys.platform == "win32", reason="namespaces as Linux has them")
def test_a_run_uses_no_network(run_offline):
    done = run_offline("run", "scan.nii.gz", "-o", "out", "--formats", "nifti,stl", "--report", "interactive")
    assert (done.returncode, without_progress(done.stderr)) == (0, "")
    assert run_offline("measure", "out/labels.nii.gz").returncode == 0
    assert run_offline("info").returncode == 0
    assert run_offline("connect").returncode == 9
