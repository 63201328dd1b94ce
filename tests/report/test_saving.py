"""The interactive page as a result: written when asked for, whole or not at all, and without the patient's name."""

import re

import pytest
from support.browser import browser_page
from support.phantom import make_models, make_phantom
from support.scans import PATIENT_TAGS, write_dicom
from whs_fast import InputError, OutputError
from whs_fast import engine as engine_module
from whs_fast import result as result_module
from whs_fast.cli import main
from whs_fast.engine import Engine

PAGE = "report_interactive.html"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def dicom(tmp_path_factory):
    return write_dicom(make_phantom(), tmp_path_factory.mktemp("DOE_JANE") / "series")


@pytest.fixture(scope="module")
def result(models, dicom):
    return Engine(threads=2, models=models).run(dicom)


def test_it_is_written_when_asked_for_and_goes_when_it_is_not(result, tmp_path):
    result.save(tmp_path / "out", report="interactive")
    assert (tmp_path / "out" / PAGE).exists() and (tmp_path / "out" / "report.html").exists()
    result.save(tmp_path / "out", overwrite=True)
    assert not (tmp_path / "out" / PAGE).exists()
    result.save(tmp_path / "other")
    assert not (tmp_path / "other" / PAGE).exists()


def test_it_holds_nothing_of_the_header_or_the_place(result, tmp_path):
    result.save(tmp_path / "out", report="interactive")
    text = (tmp_path / "out" / PAGE).read_text(encoding="utf-8")
    # What is packed cannot hold text by itself; what is in the open is looked through.
    text = re.sub(r'(?s)<script type="application/octet-stream".*?</script>', "", text)
    assert "Whole-heart segmentation" in text
    assert not [value for value in (*PATIENT_TAGS.values(), "DOE", "1.2.826", str(tmp_path)) if value in text]


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_nothing(result, tmp_path, monkeypatch, failure):
    def fail(*arguments, **options):
        raise failure

    monkeypatch.setattr(result_module, "prepare_scene", fail)
    with pytest.raises(OutputError if isinstance(failure, OSError) else KeyboardInterrupt):
        result.save(tmp_path / "out", report="interactive")
    assert list(tmp_path.iterdir()) == []


def test_another_report_is_refused(result, tmp_path):
    with pytest.raises(InputError, match="report: 'fancy' is unknown, choose from plain, interactive"):
        result.save(tmp_path / "out", report="fancy")


def test_the_same_result_gives_the_same_page(result, tmp_path):
    for name in "ab":
        result.save(tmp_path / name, report="interactive")
    images = [
        re.findall(
            r'(?s)<script type="application/octet-stream".*?</script>', (tmp_path / name / PAGE).read_text("utf-8")
        )
        for name in "ab"
    ]
    assert images[0] == images[1] and len(images[0]) == 4


def test_the_command_line_writes_it(models, dicom, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(engine_module, "models_folder", lambda: models)
    assert main(["run", str(dicom), "-o", str(tmp_path / "out"), "--threads", "2", "--report", "interactive"]) == 0
    assert str(tmp_path / "out" / PAGE) in capsys.readouterr().out and (tmp_path / "out" / PAGE).exists()


def test_without_the_extra_nothing_is_begun(dicom, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("whs_fast.machine.find_spec", lambda name: None)
    monkeypatch.setattr(engine_module, "read", lambda *a, **k: pytest.fail("the scan was read"))
    assert main(["run", str(dicom), "-o", str(tmp_path / "out"), "--report", "interactive"]) == 2
    assert "pip install 'whs-fast[report]'" in capsys.readouterr().err


@pytest.mark.slow
def test_what_was_found_is_shown_at_the_valve(result, tmp_path):
    result.save(tmp_path / "out", report="interactive")
    with browser_page() as page:
        page.open(tmp_path / "out" / PAGE)
        page.wait_for("document.documentElement.dataset.ready === 'all'")
        at = [float(n) for n in re.findall(r"-?\d+\.\d", page.ask("document.getElementById('point').textContent"))]
        assert max(abs(a - b) for a, b in zip(at, result.aortic_valve_mm, strict=True)) <= 0.5 + 0.1
        assert page.ask("document.querySelector('.scene').data.length") == 10 + 1  # ten structures and the letters
