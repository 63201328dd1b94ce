"""The examples of the documents, and the test that runs each. What cannot be run stands here too, with its reason."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TOP = Path(__file__).parents[2]
DOCS = TOP / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), TOP / "README.md", TOP / "CONTRIBUTING.md"]
_FENCED = re.compile(r"^( *)```(\S*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
SHELLS = ("sh", "bash", "console")


@dataclass(frozen=True)
class Example:
    """A command line, or a whole block of any other language."""

    page: str
    language: str
    text: str


@cache
def examples(page: Path) -> tuple[Example, ...]:
    """Those of a page, in order. In a block of the language console, what follows `$ ` is a command."""
    found = []
    for indent, language, text in _FENCED.findall(page.read_text("utf-8")):
        text = re.sub(f"^{indent}", "", text, flags=re.MULTILINE)
        if language not in SHELLS or text.startswith("#!"):
            found.append(Example(page.name, language, text))
            continue
        lines = text.replace("\\\n", " ").splitlines()
        if language == "console":
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        found += [Example(page.name, language, re.sub(r" +# .*", "", line)) for line in lines]
    return tuple(found)


def all_examples() -> Iterator[Example]:
    for page in PAGES:
        yield from examples(page)


_COMMANDS = "tests/documents/test_commands.py::"
PHANTOM = _COMMANDS + "test_a_command_runs"
SAMPLE = _COMMANDS + "test_a_command_that_wants_a_heart_runs"
BATCH = _COMMANDS + "test_a_cohort_comes_from_a_folder_of_scans"
SERVICE = "tests/documents/test_service.py::test_a_scan_goes_to_the_service_and_results_come_back_by_curl"
NODE = "tests/documents/test_node.py::test_the_node_answers_and_takes_a_series_from_dcmtk"
PROGRAMS = "tests/documents/test_programs.py::"
CHECKED = "tests/documents/test_checked.py::"

SLURM = "tests/batching/test_slurm.py::test_the_documented_script_is_that_of_dask_jobqueue"
CLUSTER = "tests/batching/test_faults.py::test_a_cluster_started_by_hand_takes_the_work"
ORTHANC = "tests/test_dicomweb.py::test_a_series_comes_out_of_orthanc_and_its_results_go_back"
VIEW = "tests/viewing/test_serving.py::test_the_command_serves_until_it_is_told_to_stop"
HOSTILE = "tests/hostile/test_hostile.py::test_spoilt_files_are_read_or_refused_in_one_line"
DOCUMENTED = "tests/test_docs.py::"

_INSTALLS = "needs a registry of packages; .ci/run installs by README's lines, test_every_extra_exists checks extras"
_DOCKER = "needs Docker; test_the_image_is_made_of_what_is_there tells what is checked"

# Page, how an example begins, and the test that runs it or else, after "not run: ", why none does. The first that fits.
CLAIMS = (
    ("api.md", "", DOCUMENTED + "test_the_examples_of_the_interface_run"),
    ("openvino.md", "import", DOCUMENTED + "test_the_network_runs_in_plain_openvino_as_in_the_engine"),
    ("openvino.md", "#include", PROGRAMS + "test_the_network_runs_in_plain_openvino_in_cpp"),
    ("tutorial.md", "import", DOCUMENTED + "test_the_example_of_the_tutorial_runs"),
    ("README.md", "import", DOCUMENTED + "test_the_example_of_the_readme_runs"),
    ("integrate.md", '{"event"', CHECKED + "test_lines_of_json_are_what_a_run_prints"),
    ("integrate.md", "#include", PROGRAMS + "test_a_program_shows_progress_and_passes_on_the_status"),
    ("integrate.md", "using", PROGRAMS + "test_a_program_shows_progress_and_passes_on_the_status"),
    ("view.md", '"corrected"', CHECKED + "test_the_correction_is_as_the_schema_has_it"),
    ("node.md", '{"DicomModalities"', CHECKED + "test_orthanc_is_told_of_the_node_as_in_the_container"),
    ("evaluation.md", "case,", CHECKED + "test_landmarks_are_read_as_csv_and_as_json"),
    ("evaluation.md", '{"case_01"', CHECKED + "test_landmarks_are_read_as_csv_and_as_json"),
    ("batch.md", "#!/usr/bin/env bash", SLURM),
    ("batch.md", "from dask_jobqueue", SLURM),
    ("batch.md", "dask ", CHECKED + "test_dask_has_the_options"),
    ("batch.md", "whs-fast batch /data", CLUSTER),
    ("batch.md", "", BATCH),
    ("README.md", "whs-fast batch", BATCH),
    ("README.md", "whs-fast run dicom_folder", SAMPLE),
    ("fine-tuning.md", "patients/train", "not run: a picture of folders"),
    ("fine-tuning.md", "pip ", "not run: " + _INSTALLS),
    ("fine-tuning.md", "", "tests/training/test_fine_tuning.py::test_the_page_leads_from_labelled_scans_to_scores"),
    ("architecture.md", " path", "not run: a drawing"),
    ("service.md", "curl", SERVICE),
    ("service.md", "whs-fast serve", SERVICE),
    ("README.md", "whs-fast serve", SERVICE),
    ("node.md", "", NODE),
    ("README.md", "whs-fast node", NODE),
    ("README.md", "whs-fast view", VIEW),
    ("view.md", "whs-fast view", VIEW),
    ("README.md", "whs-fast bench", "tests/cli/test_bench.py::test_the_table_and_json_tell_what_was_met"),
    ("small-machines.md", "whs-fast bench", "tests/test_memory.py::test_one_thread_inside_two_gibibytes"),
    ("small-machines.md", "systemd-run", "not run: needs a user's systemd; test_memory.py sets the same limit itself"),
    ("container.md", "docker", "not run: " + _DOCKER),
    ("tutorial.md", "python3 -m venv", "not run: " + _INSTALLS),
    ("tutorial.md", "whs/bin/pip", "not run: " + _INSTALLS),
    ("view.md", "pip", "not run: " + _INSTALLS),
    ("licences.md", "pip", "not run: needs a registry and a list of known weaknesses; the workflow `release` runs it"),
    ("offline.md", "/opt/whs_fast/bin/whs-fast", SAMPLE),
    ("offline.md", "", "not run: " + _INSTALLS),
    ("tutorial.md", "whs/bin/whs-fast series", PHANTOM),
    ("tutorial.md", "whs/bin/whs-fast", SAMPLE),
    ("valves.md", "", SAMPLE),
    ("service.md", "whs-fast run", ORTHANC),
    ("README.md", "whs-fast run --from-dicomweb", ORTHANC),
    ("README.md", "python3 -m venv", CHECKED + "test_what_ci_runs_is_in_its_script"),
    ("README.md", ".venv/bin/pip", CHECKED + "test_what_ci_runs_is_in_its_script"),
    ("CONTRIBUTING.md", "python3 -m venv", "not run: " + _INSTALLS),
    ("CONTRIBUTING.md", ".venv/bin/pip", "not run: " + _INSTALLS),
    ("CONTRIBUTING.md", "bash tests/run_fuzz.sh", "not run: takes ten minutes a kernel, and clang"),
    ("CONTRIBUTING.md", ".venv/bin/python tests/hostile", HOSTILE),
    ("CONTRIBUTING.md", "", CHECKED + "test_what_ci_runs_is_in_its_script"),
    ("*", "whs-fast ", PHANTOM),
)


def claim(example: Example) -> tuple[str, str, str]:
    """The entry of CLAIMS for an example. Raises LookupError where there is none."""
    for entry in CLAIMS:
        if entry[0] in (example.page, "*") and example.text.startswith(entry[1]):
            return entry
    raise LookupError(f"{example.page}: no test runs {example.text!r}: see CLAIMS in tests/support/documents.py")


def claimed_by(test: str) -> list[Example]:
    return [example for example in all_examples() if claim(example)[2] == test]


def there_is(test: str) -> bool:
    """Whether a file of tests has a test of this name (`tests/file.py::test_name`)."""
    file, _, name = test.partition("::")
    path = TOP / file
    return path.is_file() and any(
        isinstance(node, ast.FunctionDef) and node.name == name for node in ast.parse(path.read_text("utf-8")).body
    )
