"""Keeps compiled networks between processes, so that a second start need not compile them again.

They lie in the user's cache folder, or in the one that WHS_FAST_CACHE names, or nowhere where that is "off". Nothing in
them comes from a scan. A file bears the hash of its content and appears whole or not at all, so that what is cut short
or altered counts as absent and processes do not get in each other's way. A home without permission or room to write is
no fault: the networks are then compiled as without a cache. A folder that others may write to is not used, because what
comes from it is run.
"""

import hashlib
import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path

VARIABLE = "WHS_FAST_CACHE"
MOST_FILES = 24  # the oldest go: those of other versions, models and numbers of threads


def cache_folder() -> Path | None:
    """Where compiled networks are kept, or None where they are not."""
    named = os.environ.get(VARIABLE, "").strip()
    if named.lower() == "off":
        return None
    try:
        if named:
            base = Path(named)
        elif sys.platform == "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "whs_fast"
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches" / "whs_fast"
        else:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "whs_fast"
    except RuntimeError:  # no home
        return None
    return base / "compiled" if base.is_absolute() else None


def load(key: str) -> bytes | None:
    """What was stored under a key, or None where nothing whole was."""
    folder = cache_folder()
    if folder is None:
        return None
    with suppress(OSError):
        if _is_ours(folder):
            content = _file(folder, key).read_bytes()
            if hashlib.sha256(content[32:]).digest() == content[:32]:
                return content[32:]
    return None


def store(key: str, content: bytes) -> None:
    """Stores content under a key (letters and digits), where that is possible."""
    folder = cache_folder()
    if folder is None:
        return
    aside = folder / f"{key}.{secrets.token_hex(4)}.network"
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_ours(folder):
            return
        try:
            aside.write_bytes(hashlib.sha256(content).digest() + content)
            aside.replace(_file(folder, key))
        finally:
            aside.unlink(missing_ok=True)
        files = sorted(folder.glob("*.network"), key=lambda file: file.stat().st_mtime)
        for file in files[:-MOST_FILES]:
            file.unlink(missing_ok=True)


def _file(folder: Path, key: str) -> Path:
    return folder / f"{key}.network"


def _is_ours(folder: Path) -> bool:
    if sys.platform == "win32":
        return True
    status = folder.stat()
    return status.st_uid == os.getuid() and not status.st_mode & 0o022
