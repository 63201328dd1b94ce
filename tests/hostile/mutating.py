"""Spoils files in the ways that disks, networks and attackers do; each way is decided by a random generator alone."""

import gzip
import io
import re
import struct
import zipfile
from collections.abc import Callable
from random import Random

from hostile.bases import Files

_HEADER = 700  # bytes; where the numbers are that decide what the rest means
_TEXTS = (
    b"0", b"-1", b"1", b"3", b"4", b"256", b"65536", b"2147483647", b"2147483648", b"4294967296",
    b"9223372036854775807", b"99999999999999999999999", b"nan", b"inf", b"-inf", b"1e308", b"1e-308", b"-0", b"0x10",
    b"1_0", b"", b"\xd9\xa3", b"1" * 5000, b"%s%n", b"../../../../etc/passwd", b"\0", b"\xff\xfe", b"true", b"LIST",
)  # fmt: skip
_BINARY = tuple(
    struct.pack(form, value)
    for form, values in (
        ("<b", (0, -1, 127, -128)),
        ("<h", (0, 1, -1, 32767, -32768)),
        ("<i", (0, 1, -1, 2**31 - 1, -(2**31), 2**16)),
        ("<q", (0, -1, 2**63 - 1, -(2**63), 2**32, 2**40)),
        ("<f", (0.0, -1.0, float("nan"), float("inf"), 1e38, 1e-38, 3e9)),
        ("<d", (float("nan"), float("-inf"), 1e308, 5e-324)),
    )
    for value in values
)

Way = Callable[[bytearray, Random, bytes], bytes | bytearray]


def _place(content: bytearray, rng: Random, room: int = 1) -> int:
    """Half of the time within the header."""
    end = len(content) if rng.random() < 0.5 else min(len(content), _HEADER)
    return rng.randrange(max(1, end - room + 1))


def _flip(content: bytearray, rng: Random, other: bytes) -> bytearray:
    for _ in range(rng.choice((1, 2, 5, 20, 200))):
        content[_place(content, rng)] ^= 1 << rng.randrange(8)
    return content


def _truncate(content: bytearray, rng: Random, other: bytes) -> bytearray:
    return content[: rng.choice((0, 1, _place(content, rng), _place(content, rng), len(content) - 1))]


def _extend(content: bytearray, rng: Random, other: bytes) -> bytearray:
    more = rng.choice((bytes(rng.randrange(1, 5000)), bytes(content), other, rng.randbytes(rng.randrange(1, 5000))))
    return content + more


def _swap(content: bytearray, rng: Random, other: bytes) -> bytearray:
    size = rng.choice((4, 16, 64, 512))
    first, second = _place(content, rng, size), _place(content, rng, size)
    kept = content[first : first + size]
    content[first : first + size] = content[second : second + size]
    content[second : second + size] = kept
    return content


def _overwrite(content: bytearray, rng: Random, other: bytes) -> bytearray:
    for _ in range(rng.choice((1, 1, 2, 4))):
        number = rng.choice(_BINARY)
        number = number[::-1] if rng.random() < 0.2 else number
        place = _place(content, rng, len(number)) & ~(rng.choice((1, 2, 4)) - 1)
        content[place : place + len(number)] = number
    return content


def _rewrite(content: bytearray, rng: Random, other: bytes) -> bytes:
    """Sets numbers, or words, of a header that is text."""
    pattern = rng.choice((rb"-?\d[\d.e+-]*", rb"[A-Za-z_]{3,}", rb"(?<=[:=])[^\r\n]*"))
    found = [match.span() for match in re.finditer(pattern, bytes(content[:_HEADER]))]
    for start, end in sorted(rng.sample(found, min(len(found), rng.choice((1, 1, 2)))), reverse=True):
        content[start:end] = rng.choice(_TEXTS)
    return content


def _blank(content: bytearray, rng: Random, other: bytes) -> bytearray:
    size = rng.choice((1, 8, 100, 2000))
    start = _place(content, rng, size)
    size = len(content[start : start + size])
    content[start : start + size] = rng.choice((bytes(size), b"\xff" * size, rng.randbytes(size)))
    return content


def _cut_out(content: bytearray, rng: Random, other: bytes) -> bytearray:
    start = _place(content, rng)
    del content[start : start + rng.choice((1, 2, 8, 500))]
    return content


def _repeat(content: bytearray, rng: Random, other: bytes) -> bytearray:
    start = _place(content, rng)
    block = content[start : start + rng.choice((1, 8, 500))]
    content[start:start] = block * rng.choice((1, 1, 50))
    return content


def _splice(content: bytearray, rng: Random, other: bytes) -> bytearray:
    return content[: _place(content, rng)] + other[rng.randrange(max(1, len(other))) :]


WAYS: tuple[Way, ...] = (
    _flip, _truncate, _extend, _swap, _overwrite, _overwrite, _rewrite, _rewrite, _blank, _cut_out, _repeat, _splice,
)  # fmt: skip


def _spoil(content: bytes, rng: Random, other: bytes) -> bytes:
    spoilt = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if spoilt:
            spoilt = bytearray(rng.choice(WAYS)(spoilt, rng, other))
    return bytes(spoilt)


def _spoil_inside(content: bytes, rng: Random, other: bytes) -> bytes:
    """Spoils what a gzip file or zip holds, and packs it again: the checksums are right then."""
    if content.startswith(b"\x1f\x8b"):
        return gzip.compress(_spoil(gzip.decompress(content), rng, other), 1, mtime=0)
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(packed, "w") as target:
        chosen = rng.randrange(len(source.infolist()))
        for number, entry in enumerate(source.infolist()):
            inside = source.read(entry)
            target.writestr(entry, _spoil(inside, rng, other) if number == chosen else inside)
    return packed.getvalue()


def mutate(files: Files, rng: Random, other: bytes) -> Files:
    """The files with one of them, sometimes more, spoilt; other is a file of another kind to splice with."""
    spoilt = dict(files)
    for name in rng.sample(sorted(files), min(len(files), rng.choice((1, 1, 1, 3)))):
        inside = files[name].startswith((b"\x1f\x8b", b"PK")) and rng.random() < 0.5
        spoilt[name] = (_spoil_inside if inside else _spoil)(files[name], rng, other)
    if len(files) > 3 and rng.random() < 0.1:
        first, second = rng.sample(sorted(files), 2)
        spoilt[first], spoilt[second] = spoilt[second], spoilt[first]
    return spoilt
