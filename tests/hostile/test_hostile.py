"""A short run over spoilt files of every kind; `tests/hostile/run.py` makes it as long as one likes."""

import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("bounds as Linux has them", allow_module_level=True)

from hostile.bases import KINDS, make_base, opened, take
from hostile.trying import READ, nth_tries, run_tries, tally

# What a try that reads is replaced by, and what must then be found.
FAULTS = {
    "raise KeyError(1)": "raised KeyError",
    "raise SystemExit(0)": "raised SystemExit",
    "import os; os.abort()": "ended the process (-6)",
    "import ctypes; ctypes.string_at(0)": "ended the process (-11)",
    "raise InputError('another file')": "no line that names the file alone",
    "error = InputError(''); error.args = (f'{path}: two\\nlines',); raise error": "no line that names the file alone",
    "raise InputError(f'{path}: of DOE^JANE')": "no line that names the file alone",
    "print('a warning of a library', flush=True)": "printed",
    "import os; os.write(2, b'a warning')": "printed",
    "bytearray(3 << 30)": "raised MemoryError",
    "while True: pass": "ended the process (-24)",
}


@pytest.mark.parametrize("kind", KINDS)
def test_unspoilt_files_are_read(kind, tmp_path):
    files = make_base(kind, tmp_path)
    assert list(tmp_path.iterdir()) == [] and sum(map(len, files.values())) < 100_000
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    take(kind, opened(kind, tmp_path, files))


@pytest.mark.parametrize("fault", FAULTS)
def test_each_kind_of_finding_is_found_and_the_next_try_goes_on(fault):
    taking = f"""
from whs_fast.errors import InputError
def take(kind, path):
    if kind == "NRRD":
        {fault}
trying.take = take
"""
    outcomes = list(run_tries([("NIfTI", 0), ("NRRD", 0), ("NIfTI", 1)], seconds=1, taking=taking))
    assert [outcome.kind for outcome in outcomes] == ["NIfTI", "NRRD", "NIfTI"]
    assert [outcome.what for outcome in outcomes[::2]] == [READ, READ]
    assert outcomes[1].found and outcomes[1].what == FAULTS[fault]


def test_a_try_is_the_same_everywhere():
    first, again = (list(run_tries(nth_tries(len(KINDS)))) for _ in range(2))
    assert [(o.kind, o.what) for o in first] == [(o.kind, o.what) for o in again]


def test_spoilt_files_are_read_or_refused_in_one_line():
    counts, findings, *_ = tally(run_tries(nth_tries(20 * len(KINDS))))
    assert findings == []
    for kind in KINDS:
        assert counts[kind].total() == 20 and counts[kind]["refused"] > 0
    assert all(sum(count[what] for count in counts.values()) > 50 for what in (READ, "refused"))
