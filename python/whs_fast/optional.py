"""Libraries that only some commands need, and the one line that says how to get them."""

from importlib.util import find_spec

from whs_fast.errors import InputError


def require_extra(extra: str, *modules: str) -> None:
    """Raises InputError, which names what to install, unless all modules (top-level names) of an extra can be found."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise InputError(f"found no {', '.join(missing)} installed, expected it: pip install 'whs-fast[{extra}]'")
