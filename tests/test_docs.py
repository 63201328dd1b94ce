"""The examples of the documents run, in order, as one program; the schema describes what is written."""

import json
import re
import runpy
import shlex
import shutil
from importlib import resources
from pathlib import Path

import click
import jsonschema
import numpy as np
import pytest
import SimpleITK as sitk
import whs_fast
from support.dicom_cases import tagged, write
from support.documents import there_is
from support.phantom import make_models, make_phantom, to_image
from support.scans import write_dicom
from whs_fast.cli.commands import COMMANDS, cli
from whs_fast.networks.dense_vnet import DenseVNet
from whs_fast.reading.scan import read
from whs_fast.steps.region import REGION_SHAPE, REGION_SPACING_MM
from whs_fast.steps.segment import read_region
from whs_fast.volume import axis_aligned_grid, index_to_mm

DOCS = Path(__file__).parents[1] / "docs"
DOCUMENTS = [*DOCS.glob("*.md"), *DOCS.parent.glob("*.md")]
SCHEMA = json.loads((resources.files("whs_fast") / "data" / "measurements.schema.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the examples read: a scan, DICOM folders with one phase and with several, and label maps to compare."""
    folder = tmp_path_factory.mktemp("docs")
    phantom = make_phantom()
    sitk.WriteImage(to_image(phantom), folder / "scan.nii.gz")
    write_dicom(phantom, folder / "dicom_folder")
    for percent in (35, 75):
        phase = tagged(NominalPercentageOfCardiacPhase=percent)
        write(phantom, folder / "phases_folder", series=f"1.{percent}", edit=phase)
    labels = np.clip(phantom.array // 60, 0, 10).astype(np.uint8)
    image = sitk.GetImageFromArray(labels)
    for side in ("predictions", "references"):
        (folder / side).mkdir()
        sitk.WriteImage(image, folder / side / "case_01.nii.gz")
    return folder


@pytest.fixture(scope="module")
def small_models(tmp_path_factory):
    return make_models(tmp_path_factory.mktemp("models"))


def examples(document, language="python"):
    return re.findall(rf"```{re.escape(language)}\n(.*?)```", (DOCS / document).read_text("utf-8"), re.DOTALL)


def test_the_examples_of_the_interface_run(folder, small_models, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("whs_fast.engine.models_folder", lambda: small_models)
    namespace = {}
    for example in examples("api.md"):
        exec(example, namespace)
    said = capsys.readouterr().out
    assert "<Result: 10 structures" in said and "cancelled" in said and "no_such_scan.nii.gz" in said
    written = json.loads((folder / "out" / "measurements.json").read_text("utf-8"))
    jsonschema.validate(written, SCHEMA)
    jsonschema.validate(json.loads((folder / "results/dicom_folder/measurements.json").read_text("utf-8")), SCHEMA)
    jsonschema.validate(namespace["corrected"], SCHEMA)


def test_the_network_runs_in_plain_openvino_as_in_the_engine(folder, small_models, monkeypatch):
    monkeypatch.chdir(folder)
    for suffix in (".xml", ".bin"):
        shutil.copy(small_models / f"dense_vnet{suffix}", folder)
    (example,) = examples("openvino.md")
    namespace = {}
    exec(example, namespace)
    region, logits = namespace["region"], namespace["logits"]
    grid = axis_aligned_grid(namespace["valve_mm"], REGION_SHAPE, REGION_SPACING_MM)
    engines = read_region(read(str(folder / "scan.nii.gz")), grid, threads=2)
    assert np.abs(region.astype(int) - engines).max() <= 1  # which way halves are rounded
    expected = DenseVNet(small_models / "dense_vnet.xml", threads=2)(region).argmax(-1)
    assert (logits.argmax(-1) == expected).mean() > 0.99
    labels = sitk.ReadImage(folder / "half_resolution_labels.nii.gz")
    assert len(np.unique(sitk.GetArrayViewFromImage(labels))) == 11
    np.testing.assert_allclose(
        labels.TransformContinuousIndexToPhysicalPoint([79.5] * 3), index_to_mm(grid, (159.5,) * 3), atol=1e-3
    )


def test_the_example_of_the_tutorial_runs(folder, small_models, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("whs_fast.engine.models_folder", lambda: small_models)
    (example,) = examples("tutorial.md")
    exec(example, {})
    assert re.match(r"[\d.]+ mL\n(True|False) \[", capsys.readouterr().out)
    assert (folder / "results_of_python" / "report.html").is_file()


def test_the_example_of_the_readme_runs(folder, small_models, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("whs_fast.engine.models_folder", lambda: small_models)
    (example,) = examples("../README.md")
    exec(example, {"paths": [Path("scan.nii.gz"), Path("dicom_folder")]})
    assert {path.name for path in (folder / "out").iterdir()} >= {"scan.nii", "dicom_folder"}


def commands_in(text):
    """The command lines of whs-fast in the blocks of a document, without what is said beside them."""
    blocks = re.findall(r"^```\w*\n(.*?)^```|((?:^    .*\n)+)", text, re.DOTALL | re.MULTILINE)
    for line in "\n".join(a or b for a, b in blocks).replace("\\\n", " ").splitlines():
        # In a container the program is the image's, which is called alike.
        if found := re.match(r"\s*(?:\$ )?(?:docker run .* |systemd-run .* |\S*bin/)?whs-fast ([a-z].*)", line):
            yield re.sub(r"( {2,}(?!-)| #| \|| && ).*", "", found[1])


def _context(command):
    return click.Context(command, **cli.context_settings)


def test_every_command_in_the_documents_has_options_that_are_there():
    checked = set()
    for document in DOCUMENTS:
        for line in commands_in(document.read_text("utf-8")):
            name, *arguments = shlex.split(line)
            assert name in COMMANDS, f"{document.name}: {line}"
            command = cli.get_command(_context(cli), name)
            try:
                command.make_parser(_context(command)).parse_args(arguments)
            except click.UsageError as error:
                pytest.fail(f"{document.name}: {line}: {error.format_message()}")
            checked.add(name)
    assert checked == set(COMMANDS)


def test_the_manual_page_tells_of_every_command_and_option():
    made = runpy.run_path(str(DOCS / "hooks" / "command_line.py"))
    page = made["manual"]().replace("\\-", "-")
    for name in COMMANDS:
        assert f".SH WHS-FAST {name.upper()}\n" in page
        for parameter in cli.get_command(_context(cli), name).params:
            assert all(option in page for option in parameter.opts if option.startswith("-"))
    assert "143 by SIGTERM" in page


def test_the_interface_documents_every_public_name():
    text = (DOCS / "api.md").read_text("utf-8")
    assert all(f"`{name}`" in text for name in whs_fast.__all__ if name != "__version__")


def test_the_schema_describes_every_field_and_refuses_others_meaning(folder, small_models):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    measurements = whs_fast.Engine(threads=2, models=small_models).run(folder / "dicom_folder").measurements
    assert set(measurements) == set(SCHEMA["properties"]) - {"corrected"}  # which a correction alone writes
    for key in ("source", "backend"):
        assert set(measurements[key]) == set(SCHEMA["properties"][key]["properties"])
    for change in ({"schema": 2}, {"aortic_valve_mm": [1.0, 2.0]}, {"warnings": [""]}, {"models": {"a": "b"}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(measurements | change, SCHEMA)


def test_links_between_documents_lead_somewhere():
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text("utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_on_pypi_every_link_and_picture_of_the_readme_has_a_whole_address():
    whole = runpy.run_path(str(DOCS / "hooks" / "addresses.py"))["whole"]
    text = (DOCS.parent / "README.md").read_text("utf-8")
    made = whole(text, "owner/name", "v1.2.3")
    assert "](https://raw.githubusercontent.com/owner/name/v1.2.3/docs/preview.png)" in made
    assert "](https://github.com/owner/name/blob/v1.2.3/docs/api.md)" in made
    before, after = (re.findall(r"\]\(([^)]+)\)", document) for document in (text, made))
    assert all(new.startswith("https://") and new.endswith(old) for old, new in zip(before, after, strict=True))


def test_every_promise_names_a_test_that_is_there():
    text = (DOCS / "reliability.md").read_text("utf-8")
    rows = re.findall(r"^\| (?!promise|---).*$", text, re.MULTILINE)
    assert len(rows) > 30
    for row in rows:
        assert re.search(r"`tests/[\w/]+\.py::test_\w+` \|$", row), row
    for test in re.findall(r"`(tests/\S+::test_\w+)`", text):
        assert there_is(test), test
