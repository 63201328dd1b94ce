"""What inflates compressed scans: the package isal (extra `fast`) where it is installed, else Python's own zlib.

Both have the same interface, give the same bytes and notice the same damage; isal takes about half the time. Of a file
cut within its last few bytes it may hold back the last voxel, which is then refused where zlib has just read them all.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

zlib: Any = import_module("isal.isal_zlib" if find_spec("isal") else "zlib")
