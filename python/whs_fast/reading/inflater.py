"""What inflates compressed scans: the package isal (extra `fast`) where it is installed, else Python's own zlib.

Both have the same interface, give the same bytes and notice the same damage; isal takes about half the time. Of a file
cut within its last few bytes it may hold back the last voxel, which is then refused where zlib has just read them all.
"""

try:
    from isal import isal_zlib as zlib
except ImportError:
    import zlib

__all__ = ["zlib"]
