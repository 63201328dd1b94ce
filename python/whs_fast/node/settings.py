"""How a node is set up."""

from dataclasses import dataclass
from pathlib import Path

from whs_fast.node.sending import Destination


@dataclass(frozen=True)
class Tls:
    """Files in PEM format: our certificate, its key, and the authority that signs our peers' certificates."""

    certificate: Path
    key: Path
    authority: Path


@dataclass(frozen=True)
class Settings:
    """How a node is set up: see `whs-fast node --help`. quiet_s is in seconds; an empty `allow` means any AE title."""

    title: str
    bind: str
    port: int
    destination: Destination
    allow: tuple[str, ...]
    quiet_s: float
    queue: Path
    tls: Tls | None
