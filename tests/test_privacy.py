"""Planted names, numbers and dates of a patient are in no log, report, cache, temporary file's name or result.

DICOM objects are the exception: there they belong.
"""

import gzip
import os
import subprocess
import sys
import zipfile

import pytest
from support.dicom_cases import tagged, write
from support.phantom import make_models, make_phantom

PLANTED = {
    "PatientName": "Quetzalcoatl^Wilhelmina",
    "PatientID": "MRN-7741-X",
    "OtherPatientIDs": "SSN-90210-Y",
    "PatientBirthDate": "19440229",
    "PatientAddress": "Nimmerleinweg",
    "StudyDate": "20230417",
    "SeriesDate": "20230418",
    "AcquisitionDate": "20230419",
    "ContentDate": "20230420",
    "AccessionNumber": "ACC778899",
    "InstitutionName": "Sankt Pangratius",
    "ReferringPhysicianName": "Mabuse^Kaligari",
    "StudyID": "STUDY66554",
    "StudyInstanceUID": "1.2.826.0.1.3680043.2.1125.4711.42",
}
WORDS = (
    "Quetzalcoatl", "Wilhelmina", "Mabuse", "Kaligari", "MRN-7741", "SSN-90210", "Nimmerleinweg", "ACC778899",
    "Pangratius", "STUDY66554", ".4711.42", "19440229", "1944-02-29", "29.02.1944",
    *(form.format(day) for day in range(17, 21) for form in ("202304{}", "2023-04-{}", "{}.04.2023")),
)  # fmt: skip

PROGRAM = """
import os, sys
from pathlib import Path
from whs_fast import engine
from whs_fast.cli import main
from whs_fast.reading.dicom import series
models = Path(sys.argv.pop(1))
engine.models_folder = lambda: models
arrange = series.arrange
def told(*arguments):
    for path in Path(os.environ["TMPDIR"]).rglob("*"):
        print("temporary:", path.name, file=sys.stderr)
    return arrange(*arguments)
series.arrange = told
sys.exit(main())
"""


def planted_in(content):
    """The planted words that bytes hold, in any of the codings that files here have."""
    plain = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    return [
        word
        for word in WORDS
        if any(word.lower().encode(coding) in plain.lower() for coding in ("utf-8", "utf-16-le", "utf-16-be"))
    ]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run from a zip whose files bear the patient's name, with every format and report and all that is logged."""
    place = tmp_path_factory.mktemp("privacy")
    study = write(make_phantom(), place / "study", edit=tagged(**PLANTED))
    assert set(WORDS[:3]) <= set(planted_in((study / "1_0003").read_bytes()))
    with zipfile.ZipFile(place / "scan.zip", "w") as archive:
        for path in study.iterdir():
            archive.write(path, f"Quetzalcoatl_Wilhelmina_19440229/{path.name}")
    (place / "temporary").mkdir()
    models = make_models(place)
    places = {"TMPDIR": str(place / "temporary"), "WHS_FAST_CACHE": str(place / "cache"), "HOME": str(place)}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, models, "run", "scan.zip", "-o", "out", "-v", "--report", "interactive"]
        + ["--formats", "nifti,nifti-each,seg.nrrd,dicom-seg,rtstruct,stl,glb"],
        cwd=place,
        capture_output=True,
        env=os.environ | places,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return place, run


def test_the_words_are_seen_where_they_are(done):
    """The DICOM objects hold them, and so the search can fail."""
    place, _ = done
    objects = list((place / "out").rglob("*.dcm"))
    assert objects and all(set(WORDS[:2]) <= set(planted_in(path.read_bytes())) for path in objects)


def test_results_and_reports_hold_none(done):
    place, _ = done
    files = [path for path in (place / "out").rglob("*") if path.is_file() and path.suffix != ".dcm"]
    assert {path.suffix for path in files} >= {".gz", ".nrrd", ".json", ".html", ".png", ".stl", ".glb"}
    assert {path.name: planted_in(path.read_bytes()) for path in files if planted_in(path.read_bytes())} == {}
    assert planted_in("\n".join(path.name for path in (place / "out").rglob("*")).encode()) == []


def test_logs_and_names_of_temporary_files_hold_none(done):
    _, run = done
    assert run.stderr.count(b"temporary:") > 80 and b"DEBUG" in run.stderr
    assert planted_in(run.stdout + run.stderr) == []


def test_the_cache_holds_none_and_nothing_temporary_stays(done):
    place, _ = done
    kept = [path for path in (place / "cache").rglob("*") if path.is_file()]
    assert len(kept) == 3
    assert [word for path in kept for word in planted_in(path.name.encode() + path.read_bytes())] == []
    assert list((place / "temporary").iterdir()) == []
    assert {path.name for path in place.iterdir() if path.is_dir()} == {"study", "temporary", "cache", "out"}
