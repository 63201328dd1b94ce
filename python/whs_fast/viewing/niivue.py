"""Finds NiiVue in the installed package ipyniivue, which ships it for notebooks, and makes it usable in a page.

The bundle gives its widget away, not the viewer's class. The class is the one that the widget itself makes an instance
of, and one more export names it; nothing else is changed.
"""

import re
from importlib.resources import files

from whs_fast.errors import InputError

_MADE = re.compile(r"Creating new Niivue instance.{0,200}?\bnew ([\w$]+)\([\w$]*\)\}", re.DOTALL)


def niivue_script() -> bytes:
    """A JavaScript module that exports the class Niivue. Raises InputError where the installed bundle is another."""
    text = (files("ipyniivue") / "static" / "widget.js").read_text(encoding="utf-8")
    found = _MADE.search(text)
    if found is None:
        raise InputError("view: the installed ipyniivue holds no viewer as expected: pip install 'whs-fast[view]'")
    return f"{text}\nexport {{ {found[1]} as Niivue }};\n".encode()
