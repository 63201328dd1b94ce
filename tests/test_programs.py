"""In CI a program that is missing is a failure: a test that nobody runs protects nothing."""

import pytest
from support import programs


@pytest.fixture
def nothing_installed(monkeypatch):
    monkeypatch.setattr(programs, "find", lambda name: None)


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize(("required", "ending"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_a_missing_program_skips_and_in_ci_fails(monkeypatch, required, ending):
    monkeypatch.setenv("WHS_FAST_REQUIRE_PROGRAMS", required)
    with pytest.raises(ending, match=r"Orthanc is not installed \(Debian package orthanc\)"):
        programs.need("Orthanc")
