"""Sending results to the destination of a node by C-STORE.

Objects are sent in Explicit or, failing that, Implicit VR Little Endian, which every archive accepts; those that are
deflated on disk are inflated on the way.
"""

from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext

from pydicom import dcmread
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from pynetdicom import AE

from whs_fast.errors import InputError

_CLASSES = (SegmentationStorage, Comprehensive3DSRStorage, SecondaryCaptureImageStorage)
_STORED_WITH_WARNING = (0xB000, 0xB006, 0xB007)


class SendingError(Exception):
    """Results could not be sent this time; the message says why, and nothing about the results."""


@dataclass(frozen=True)
class Destination:
    """Where results go: application entity title, host, port."""

    title: str
    host: str
    port: int


def parse_destination(text: str) -> Destination:
    """AET@HOST:PORT, with an IPv6 address in brackets. Raises InputError for anything else."""
    title, at, address = text.rpartition("@")
    host, colon, port = address.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not (at and colon and host and port.isdecimal() and 0 < int(port) < 65536):
        raise InputError(f"destination: found {text!r}, expected AET@HOST:PORT")
    return Destination(check_title(title), host, int(port))


def check_title(title: str) -> str:
    """An application entity title without surrounding spaces. Raises InputError where it is not a valid one."""
    stripped = title.strip()
    if not 1 <= len(stripped) <= 16 or not stripped.isascii() or not stripped.isprintable() or "\\" in stripped:
        raise InputError(f"AE title: found {title!r}, expected 1 to 16 printable ASCII characters")
    return stripped


def send(folder: Path, destination: Destination, *, title: str, tls: SSLContext | None) -> None:
    """Sends each DICOM file of a folder and removes it as soon as it is stored; then the folder.

    title is the sender's. Raises SendingError where a file could not be stored; that file and those after it stay.
    """
    entity = AE(ae_title=title)
    entity.connection_timeout = entity.acse_timeout = 30
    for sop_class in _CLASSES:
        entity.add_requested_context(sop_class, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    association = entity.associate(
        destination.host,
        destination.port,
        ae_title=destination.title,
        tls_args=None if tls is None else (tls, destination.host),
    )
    if not association.is_established:
        raise SendingError("the destination rejected the association" if association.is_rejected else "no connection")
    try:
        for path in sorted(folder.glob("*.dcm")):
            dataset = dcmread(path)
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            try:
                status = association.send_c_store(dataset).get("Status")
            except (ValueError, RuntimeError) as error:
                what = dataset.SOPClassUID.name
                raise SendingError(f"the destination does not accept a {what}, or ended the association") from error
            if status is None:
                raise SendingError("the destination ended the association")
            if status != 0x0000 and status not in _STORED_WITH_WARNING:
                raise SendingError(f"the destination answered with status 0x{status:04X}")
            path.unlink()
    finally:
        if association.is_established:
            association.release()
    folder.rmdir()
