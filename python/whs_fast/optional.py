"""Libraries that only some commands need, and the one line that says how to get them."""

from importlib.util import find_spec

from whs_fast.errors import InputError

# By extra: module and the package that holds it.
_MODULES = {
    "cohort": {"scipy": "scipy", "matplotlib": "matplotlib"},
    "dicom": {"pydicom": "pydicom", "highdicom": "highdicom", "pynetdicom": "pynetdicom"},
    "mesh": {"skimage": "scikit-image", "scipy": "scipy"},
    "report": {"plotly": "plotly", "skimage": "scikit-image", "scipy": "scipy"},
}


def require_extra(extra: str, purpose: str) -> None:
    """Checks that an extra is installed.

    Args:
        extra: its name in pyproject.toml.
        purpose: what needs it, as the message begins: "meshes", "the command cohort-table".

    Raises:
        InputError: a library of the extra is missing; the line names it and how to install it.
    """
    missing = [package for module, package in _MODULES[extra].items() if find_spec(module) is None]
    if missing:
        raise InputError(f"{purpose} needs {' and '.join(missing)}: pip install 'whs-fast[{extra}]'")
