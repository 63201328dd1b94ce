"""No example of the documents goes untested by accident: each has a test that runs it, or a reason why none can."""

import re

import pytest
from support.documents import CLAIMS, PAGES, Example, all_examples, claim, examples, there_is

LANGUAGES = {"bash", "console", "cpp", "csharp", "csv", "json", "python", "sh", "text"}


def test_every_example_has_a_test_or_a_reason():
    used = [claim(example) for example in all_examples()]
    assert set(CLAIMS) == set(used)  # an entry that nothing needs is out of date
    for *_, test in CLAIMS:
        assert test.startswith("not run: ") or there_is(test), test


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_fenced_and_says_its_language(page):
    assert {example.language for example in examples(page)} <= LANGUAGES
    without = re.sub(r"^ *```.*?^ *```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    assert not re.search(r"\n\n {4}\S", without)


def test_an_example_that_nobody_runs_is_seen():
    with pytest.raises(LookupError, match=r"service\.md: no test runs 'wget http://127\.0\.0\.1'"):
        claim(Example("service.md", "bash", "wget http://127.0.0.1"))
    assert not there_is("tests/documents/test_claims.py::test_that_is_not_there")
