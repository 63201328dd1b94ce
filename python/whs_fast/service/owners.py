"""Who may use the service: each owner has a token, of which only a hash is kept."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from whs_fast.errors import InputError

ANYONE = "anyone"


class Owners:
    """The owners whose tokens are accepted; with none, everybody is the same owner and needs no token."""

    def __init__(self, hashes: dict[str, str]) -> None:
        self._hashes = hashes

    @property
    def open(self) -> bool:
        """Whether no token is needed."""
        return not self._hashes

    def find(self, token: str) -> str | None:
        """Whose token it is, or None."""
        if self.open:
            return ANYONE
        given = _hash(token)
        found = [name for name, known in self._hashes.items() if hmac.compare_digest(given, known)]
        return found[0] if found else None


def make_owner(name: str) -> tuple[Owners, str]:
    """One owner, known as long as the process runs, and the token."""
    token = secrets.token_urlsafe(32)
    return Owners({name: _hash(token)}), token


def load_owners(folder: Path, names: Sequence[str]) -> tuple[Owners, dict[str, str]]:
    """The owners of these names, and the tokens of those that had none before, which nothing will tell again.

    Raises InputError for a name that cannot be one.
    """
    hashes, made = {}, {}
    for name in names:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", name) or name == ANYONE:
            raise InputError(f"owner: found {name!r}, expected up to 32 of a-z, 0-9, - and _, but not {ANYONE!r}")
        file = folder / name
        if not file.exists():
            made[name] = secrets.token_urlsafe(32)
            file.write_text(_hash(made[name]), encoding="ascii")
        hashes[name] = file.read_text(encoding="ascii")
    return Owners(hashes), made


def _hash(token: str) -> str:
    # The token is 256 random bits: there is nothing to guess, and so no need of a slow hash.
    return hashlib.sha256(token.encode()).hexdigest()
