"""docs/node.md: the node as its command starts it, called by DCMTK as the page has it."""

import json
import re
import shlex
import subprocess
import sys

import pytest
from support import scans
from support.documents import NODE, TOP, claimed_by
from support.phantom import make_phantom
from support.programs import need
from support.waiting import answers, free_port, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="as the node")]


def healthcheck(port, here):
    """The Dockerfile's, for a node at another port."""
    text = (TOP / "container/Dockerfile").read_text("utf-8").replace("\\\n", " ")
    return json.loads(re.search(r"^HEALTHCHECK .* CMD +(\[.*\])", text, re.MULTILINE)[1].replace(port, here))


def test_the_node_answers_and_takes_a_series_from_dcmtk(tmp_path):
    series = scans.write_dicom(make_phantom(spacing_mm=(3.0, 3.0, 6.0), shape=(30, 62, 64)), tmp_path / "dicom_folder")
    count, port, readme_port = len(list(series.iterdir())), free_port(), free_port()
    archive = f"127.0.0.1:{free_port()}"
    here = {"192.0.2.10:104": archive, "HOST:PORT": archive, "0.0.0.0": "127.0.0.1", "192.0.2.20": "127.0.0.1"}
    here |= {"11112": str(port), "/var/lib/whs_fast/queue": str(tmp_path / "queue")}
    lines = []
    for example in claimed_by(NODE):
        line = example.text
        for named, meant in here.items():
            line = line.replace(named, meant)
        lines.append(line)
    nodes = [line for line in lines if line.startswith("whs-fast node")]
    nodes[1] += f" --port {readme_port} --queue '{tmp_path / 'other'}'"
    started = [subprocess.Popen([sys.executable, "-m", "whs_fast", *shlex.split(node)[1:]]) for node in nodes]
    try:
        wait_for(lambda: answers(port) and answers(readme_port))
        calls = [shlex.split(line) for line in lines if not line.startswith("whs-fast")]
        assert [call[0] for call in calls] == ["echoscu", "storescu"]
        for program, *arguments in calls:
            subprocess.run([need(program), *arguments], cwd=tmp_path, check=True)
        subprocess.run([sys.executable, *healthcheck("11112", str(readme_port))[1:]], check=True)
        assert len(list((tmp_path / "queue").rglob("*.dcm"))) == count
    finally:
        for node in started:
            node.terminate()
        assert [node.wait(30) for node in started] == [0, 0]
