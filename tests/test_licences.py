"""Licences of what is installed beside the package: each may be shipped with it, and docs/licences.md lists it."""

import re
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

EXTRAS = ("batch", "cohort", "dicom", "dicomweb", "fast", "mesh", "report", "rtstruct", "serve", "view")
LISTED = Path(__file__).parents[1] / "docs" / "licences.md"
# Those that ask for no more than to be named; MPL asks too that files of it that one changes stay under it.
ALLOWED = {
    *(
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC0-1.0",
        "ISC",
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "PSF-2.0",
        "Zlib",
    ),
    *(
        "Apache 2.0",
        "Apache Software License",
        "BSD",
        "BSD License",
        "ISC License (ISCL)",
        "MIT License",
        "Python Software Foundation License",
    ),
    *("MPL-2.0", "Mozilla Public License 2.0 (MPL 2.0)"),
}


def installed_beside(name: str, extras: tuple[str, ...]) -> dict[str, Distribution]:
    """A package and all that it needs with some extras, by their names."""
    found: dict[str, Distribution] = {}
    waiting, done = [(name, extras)], set()
    while waiting:
        one = waiting.pop()
        if one in done:
            continue
        done.add(one)
        package = distribution(one[0])
        found[package.metadata["Name"].lower().replace("_", "-")] = package
        for text in package.requires or ():
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *one[1])):
                waiting.append((needed.name, tuple(sorted(needed.extras))))
    return found


def licences(metadata: object) -> set[str]:
    """What a package says of its licence: an SPDX expression, else its classifiers, else the line of an old field."""
    if expression := metadata.get("License-Expression"):
        return set(re.split(r" (?:AND|OR) ", expression.strip("()")))
    classifiers = [text for text in metadata.get_all("Classifier") or () if text.startswith("License :: ")]
    return {text.split(" :: ")[-1] for text in classifiers} or {(metadata.get("License") or "none").splitlines()[0]}


BESIDE = installed_beside("whs_fast", EXTRAS)


@pytest.mark.parametrize("name", sorted(BESIDE))
def test_what_is_installed_beside_may_be_shipped_with_it(name: str) -> None:
    assert licences(BESIDE[name].metadata) <= ALLOWED


def test_every_package_is_listed() -> None:
    listed = set(re.findall(r"^\| ([\w-]+) \|", LISTED.read_text("utf-8"), re.MULTILINE))
    assert set(BESIDE) - {"whs-fast"} <= listed


@pytest.mark.parametrize(
    "stated",
    [
        {"License-Expression": "MIT AND GPL-3.0-or-later"},
        {"License-Expression": "LGPL-2.1-only"},
        {"License": "GPLv3"},
        {"License": "Proprietary\nand more"},
        {},
    ],
)
def test_another_licence_is_seen(stated: dict[str, str]) -> None:
    class Metadata(dict):
        def get_all(self, key: str) -> None:
            return None

    assert not licences(Metadata(stated)) <= ALLOWED
