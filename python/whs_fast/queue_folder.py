"""The folder of a queue on disk: readable by its user alone, and used by one process at a time."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from whs_fast.errors import InputError, OutputError

if sys.platform != "win32":
    import fcntl


def hold_folder(root: Path, names: Sequence[str], *, user: str) -> IO[str]:
    """Makes the folders `names` below root, where they are missing, and returns the lock on them; closing it ends it.

    `partial` among them, for what is being written or removed, is emptied. Raises OutputError where a folder cannot be
    made, and InputError where another process, a `user` such as "node", holds the lock.
    """
    try:
        for folder in (root, *(root / name for name in names)):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (root / "lock").open("w")
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise OutputError(f"{root}: cannot be made ({reason}); the queue needs a writable folder") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise InputError(f"{root}: another {user} is using this queue; give each its own (--queue)") from error
    for left in (root / "partial").iterdir():
        remove(left)
    return lock


def remove(path: Path) -> None:
    """Removes a file or a folder, as far as it can be."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
