"""Folders for what shall not last, which a later start removes where a process was killed before it could.

    PLACE/NAME/lock     locked for as long as the process lives that made the folder
    PLACE/NAME/files    what it holds

The lock (flock) tells whether a folder is in use. Numbers of processes would not: they mean something else in another
container or on another machine. Where there are no such locks, as on Windows, what killed processes left stays. A
process that was killed before it locked its folder has left it empty, and that goes after a day.
"""

import atexit
import os
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from whs_fast.errors import OutputError

if sys.platform != "win32":
    import fcntl

_PREFIX = "whs_fast_"
_DAY_S = 86_400
_held: set[Path] = set()


@contextmanager
def temporary_folder(name: str) -> Iterator[Path]:
    """Gives an empty folder for temporary files, which this user alone can read, until the block ends.

    Removes those that killed processes left. Raises OutputError, which says that `name` needs it, where there is no
    place for one.
    """
    sweep_temporary()
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(held_folder(Path(tempfile.gettempdir()), _PREFIX))
        except OSError as error:
            reason = (error.strerror or "none was found").lower()
            raise OutputError(
                f"{name}: needs a temporary folder, and none can be written ({reason}): set TMPDIR to one that can"
            ) from error
        yield folder


def sweep_temporary() -> None:
    """Removes the temporary folders that killed processes of this user left."""
    with suppress(OSError):
        sweep(Path(tempfile.gettempdir()), _PREFIX)


@contextmanager
def held_folder(place: Path, prefix: str) -> Iterator[Path]:
    """Gives an empty folder below `place`, and removes it with all that it then holds when the block ends."""
    folder = place / f"{prefix}{secrets.token_hex(8)}"
    lock: IO[str] | None = None
    _held.add(folder)
    try:
        folder.mkdir(mode=0o700)
        lock = _lock(folder)
        (folder / "files").mkdir()
        yield folder / "files"
    finally:
        if lock is not None:
            lock.close()  # first, because a file that is open cannot be removed everywhere
        shutil.rmtree(folder, ignore_errors=True)
        _held.discard(folder)


def sweep(place: Path, prefix: str, *, rescue: Callable[[Path], None] | None = None) -> None:
    """Removes the folders below `place` that held_folder made for processes of this user that live no more.

    rescue is called before with the folder that a process was given.
    """
    if sys.platform == "win32":
        return
    with os.scandir(place) as entries:
        found = [entry for entry in entries if entry.name.startswith(prefix)]
    for entry in found:
        with suppress(OSError):
            status = entry.stat(follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
                continue
            if not (Path(entry) / "lock").exists():
                if time.time() - status.st_mtime > _DAY_S:
                    (Path(entry) / "new").unlink(missing_ok=True)
                    Path(entry).rmdir()  # which only an empty one lets happen
                continue
            with (Path(entry) / "lock").open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if rescue is not None:
                    rescue(Path(entry) / "files")
                shutil.rmtree(Path(entry) / "files", ignore_errors=True)
            shutil.rmtree(entry, ignore_errors=True)


def _lock(folder: Path) -> IO[str] | None:
    """Locks a new folder, where the system has locks; None where it has none."""
    if sys.platform == "win32":
        return None
    lock = (folder / "new").open("w")
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # It gets its name when it is locked: a file of that name without a lock belongs to nobody.
        (folder / "new").rename(folder / "lock")
    return lock


@atexit.register
def _remove_held() -> None:
    """Removes what an interrupt in the middle of the removing has left."""
    for folder in list(_held):
        shutil.rmtree(folder, ignore_errors=True)
