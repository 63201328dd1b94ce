"""How far a command is: lines in a log that are few, lines of JSON that move with the work."""

import json

import pytest
from whs_fast.cli import progress as progress_module
from whs_fast.cli.progress import progress_bar, progress_lines


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = [100.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_line_every_few_seconds_and_none_for_what_is_quick(clock, capsys):
    with progress_bar() as progress:
        progress("read", 0.0)
        clock[0] += 2.0
        progress("localise", 0.1)
        assert capsys.readouterr().err == ""
        for share in (0.2, 0.4, 0.6):
            clock[0] += 3.0
            progress("segment", share)
    assert capsys.readouterr() == ("", " 20%  segment\n 60%  segment\n")


def test_json_tells_every_per_cent_once(capsys):
    with progress_lines() as progress:
        for step in range(1001):
            progress("segment", step / 1000)
        progress("clean", 1.0)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(told) == 102 and told[-1] == {"event": "progress", "step": "clean", "done": 1.0}
    assert [line["done"] for line in told] == sorted(line["done"] for line in told)
