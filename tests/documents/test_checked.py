"""What is checked of examples that are no programs: JSON and CSV, Dask's options, CI's script, the container."""

import json
import re
import shlex
import tomllib

import click
import jsonschema
import SimpleITK as sitk
import yaml
from distributed.cli import dask_scheduler, dask_worker
from support.documents import CHECKED, TOP, all_examples, claimed_by
from support.phantom import make_models, make_phantom, to_image
from whs_fast.cli import main
from whs_fast.cli.commands import cli
from whs_fast.study.evaluation.landmarks import read_landmarks

SCHEMA = json.loads((TOP / "python/whs_fast/data/measurements.schema.json").read_text("utf-8"))


def of(test):
    return claimed_by(CHECKED + test)


def test_lines_of_json_are_what_a_run_prints(tmp_path, monkeypatch, capsys):
    (example,) = of("test_lines_of_json_are_what_a_run_prints")
    monkeypatch.setattr("whs_fast.engine.models_folder", lambda: make_models(tmp_path))
    sitk.WriteImage(to_image(make_phantom(spacing_mm=(3.0, 3.0, 4.0), shape=(44, 62, 64))), tmp_path / "scan.nii.gz")
    assert main(["run", str(tmp_path / "scan.nii.gz"), "-o", str(tmp_path / "results"), "--json"]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    documented = [json.loads(line) for line in example.text.splitlines()]
    kinds = {line["event"]: {key: type(value) for key, value in line.items()} for line in printed}
    assert {line["event"]: {key: type(value) for key, value in line.items()} for line in documented} == kinds
    steps = {line["step"] for line in printed if line["event"] == "progress"}
    listed = re.search(r"`step` \((.*?)\)", (TOP / "docs/integrate.md").read_text("utf-8"))[1]
    assert steps == set(listed.split(", "))
    assert documented[0]["step"] in steps
    assert documented[1]["measurements"] == {"schema": printed[-1]["measurements"]["schema"], "...": "..."}


def test_the_correction_is_as_the_schema_has_it():
    (example,) = of("test_the_correction_is_as_the_schema_has_it")
    corrected = json.loads(f"{{{example.text}}}")
    jsonschema.validate(corrected["corrected"], SCHEMA["properties"]["corrected"])
    assert set(corrected) == {"corrected"} and len(corrected["corrected"]) == 1


def test_orthanc_is_told_of_the_node_as_in_the_container():
    (example,) = of("test_orthanc_is_told_of_the_node_as_in_the_container")
    (told,) = json.loads(example.text)["DicomModalities"].items()
    (tried,) = json.loads((TOP / "container/orthanc.json").read_text("utf-8"))["DicomModalities"].items()
    assert (told[0], told[1][0], told[1][2]) == (tried[0], tried[1][0], tried[1][2])


def test_landmarks_are_read_as_csv_and_as_json(tmp_path):
    read = []
    for example in of("test_landmarks_are_read_as_csv_and_as_json"):
        path = tmp_path / f"valves.{example.language}"
        path.write_text(example.text)
        read.append(read_landmarks(path))
    assert read == [{"case_01": (12.5, -31.0, 204.2)}] * 2


def test_dask_has_the_options():
    lines = [shlex.split(example.text) for example in of("test_dask_has_the_options")]
    assert [line[:2] for line in lines] == [["dask", "scheduler"], ["dask", "worker"]]
    for program, line in zip((dask_scheduler.main, dask_worker.main), lines, strict=True):
        program.make_context(line[1], line[2:])


def test_what_ci_runs_is_in_its_script():
    script = (TOP / ".ci/run").read_text("utf-8")
    workflow = (TOP / ".github/workflows/checks.yml").read_text("utf-8")
    assert "README.md" in script  # whose two lines it takes from there
    for example in of("test_what_ci_runs_is_in_its_script"):
        if example.page == "CONTRIBUTING.md":
            line = example.text.replace(" PYTHON", "").replace(" --site-dir /tmp/site", "")
            assert line in script + workflow, line


def test_every_extra_exists():
    extras = tomllib.loads((TOP / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = [re.search(r"\[([\w,-]+)\]'", example.text) for example in all_examples() if "pip " in example.text]
    assert len([found for found in named if found]) > 5
    for found in filter(None, named):
        assert set(found[1].split(",")) <= set(extras), found[0]


def test_the_image_is_made_of_what_is_there():
    """Docker is nowhere needed to test: what the Dockerfile and the compose file name is there, and parses."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text("utf-8"))["project"]
    dockerfile = (TOP / "container/Dockerfile").read_text("utf-8").replace("\\\n", " ")
    (extras,) = re.findall(r"'/source\[(.*?)\]'", dockerfile)
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    (program,) = json.loads(re.search(r"^ENTRYPOINT (.*)", dockerfile, re.MULTILINE)[1])
    assert program in project["scripts"]
    for copied, options in re.findall(r"^COPY (?:--from=build (\S+)|(\S+)) ", dockerfile, re.MULTILINE):
        assert f"venv {copied}" in dockerfile if copied else (TOP / options).exists()
    services = yaml.safe_load((TOP / "container/compose.yml").read_text("utf-8"))["services"]
    build = services["node"]["build"]
    assert (TOP / "container" / build["context"] / build["dockerfile"]).is_file()
    name, *given = services["node"]["command"]
    cli.get_command(click.Context(cli), name).make_context(name, given)
    mounted = [volume.split(":")[0] for volume in services["orthanc"]["volumes"] if volume.startswith("./")]
    assert len(mounted) == 2 and all((TOP / "container" / path).is_file() for path in mounted)
