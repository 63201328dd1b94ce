"""Receives multipart forms: files go to disk as they arrive, under names of ours, and never into memory.

The name that a file comes with may be a patient's. Only what it ends with is kept, which tells formats apart.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from whs_fast.service.queue import RefusedError

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".zip", ".dcm")
_MOST_FIELD_BYTES, _MOST_FILES, _IDLE_S = 1 << 16, 20_000, 60.0


@dataclass
class Form:
    """The fields of a form, and the files that lie in the folder now, by the name of their field."""

    fields: dict[str, str] = field(default_factory=dict)
    files: list[tuple[str, Path]] = field(default_factory=list)


async def receive_form(request: Request, folder: Path, take: Callable[[int], None]) -> Form:
    """Reads a form from a request; take is told of every count of bytes before they are written, and may refuse.

    Raises RefusedError where it is no form, is cut short or has too many or too large parts.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise RefusedError(415, "expected a form (multipart/form-data)")
    writer = _Writer(folder, take)
    with ExitStack() as stack:
        stack.callback(writer.close)
        try:
            parser = MultipartParser(options[b"boundary"], writer.callbacks())  # type: ignore[arg-type]
            async for chunk in _chunks(request):
                parser.write(chunk)
            parser.finalize()
        except (FormParserError, UnicodeDecodeError) as error:
            raise RefusedError(400, "the form cannot be read") from error
        except ClientDisconnect as error:
            raise RefusedError(400, "the upload was cut short") from error
    if not writer.ended:
        raise RefusedError(400, "the upload was cut short")
    return writer.form


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    stream = request.stream()
    while True:
        try:
            yield await asyncio.wait_for(anext(stream), _IDLE_S)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise RefusedError(408, f"nothing has arrived for {_IDLE_S:.0f} s") from error


class _Writer:
    """Turns what the parser finds into fields and files."""

    def __init__(self, folder: Path, take: Callable[[int], None]) -> None:
        self.form, self.ended = Form(), False
        self._folder, self._take = folder, take
        self._header, self._value, self._disposition = b"", b"", b""
        self._name, self._text = "", bytearray()
        self._file: BinaryIO | None = None
        self._field_bytes = 0

    def callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._disposition, self._text = b"", bytearray()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode()
        if b"filename" not in options:
            return
        if len(self.form.files) >= _MOST_FILES:
            raise RefusedError(413, f"the upload has more than {_MOST_FILES} files")
        name = options[b"filename"].decode("utf-8", "replace").lower()
        suffix = next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")
        path = self._folder / f"{len(self.form.files):05d}{suffix}"
        self.form.files.append((self._name, path))
        self._file = path.open("wb")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._take(end - start)
            self._file.write(data[start:end])
            return
        self._field_bytes += end - start
        if self._field_bytes > _MOST_FIELD_BYTES:
            raise RefusedError(413, f"the fields of the form hold more than {_MOST_FIELD_BYTES} bytes")
        self._text += data[start:end]

    def _part_end(self) -> None:
        if self._file is None:
            self.form.fields[self._name] = self._text.decode()
        self.close()

    def close(self) -> None:
        """Closes the file that is being written, if there is one."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _end(self) -> None:
        self.ended = True
