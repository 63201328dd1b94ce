"""Finds NiiVue in the installed package ipyniivue, which ships it for notebooks, and makes it usable in a page.

The bundle gives its widget away, not the viewer's class. The class is the one that the widget itself makes an instance
of, and one more export names it; nothing else is changed.
"""

import re
from importlib.util import find_spec
from pathlib import Path

from whs_fast.errors import InputError

_MADE = re.compile(rb"Creating new Niivue instance.{0,200}?\bnew ([\w$]+)\([\w$]*\)\}", re.DOTALL)


def niivue_script() -> bytes:
    """A JavaScript module that exports the class Niivue. Raises InputError where the installed bundle is another."""
    spec = find_spec("ipyniivue")  # not imported: it brings half of Jupyter with it
    places = (Path(place) / "static" / "widget.js" for place in (spec and spec.submodule_search_locations) or ())
    text = b"".join(place.read_bytes() for place in places if place.exists())
    found = _MADE.search(text)
    if found is None:
        raise InputError("view: the installed ipyniivue holds no viewer as expected: pip install 'whs-fast[view]'")
    return text + b"\nexport { %b as Niivue };\n" % found[1]
