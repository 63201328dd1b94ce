"""How a node receives: instances by C-STORE, each from its association straight to disk.

What a peer can hold up or take is bounded: by how long it may be silent in the middle of a message, by the length of a
message, and by how many may call at once.
"""

import logging
import ssl
from collections.abc import Callable
from typing import Any

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    JPEG2000,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    LegacyConvertedEnhancedCTImageStorage,
    RLELossless,
)
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification

from whs_fast.errors import InputError
from whs_fast.node.queue import Queue
from whs_fast.node.settings import Settings, Tls

LOG = logging.getLogger("whs_fast.node")

_CT = (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
# In order of preference: those that need no decoding come first.
_TRANSFER_SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEGLosslessSV1,
    JPEGLossless,
    JPEGLSLossless,
    JPEG2000Lossless,
    RLELossless,
    JPEGLSNearLossless,
    JPEG2000,
    JPEGExtended12Bit,
]
_HANDSHAKE_S, STALLED_S = 15.0, 30.0
_MOST_ASSOCIATIONS = 100
_MOST_PDU_BYTES = 1 << 20  # ours are 16 KiB; the request for an association may be longer
_STORED, _NO_ROOM, _NOT_UNDERSTOOD = 0x0000, 0xA700, 0xC000


def listen(settings: Settings, queue: Queue, note: Callable[[str, Any], None], context: ssl.SSLContext | None) -> AE:
    """Starts to receive; `note` is told of each instance that is in the queue: its series and its association.

    Raises InputError where the port is in use.
    """
    entity = AE(ae_title=settings.title)
    entity.require_called_aet = True
    entity.require_calling_aet = list(settings.allow)
    entity.maximum_associations = _MOST_ASSOCIATIONS
    entity.acse_timeout = STALLED_S
    entity.add_supported_context(Verification)
    for sop_class in _CT:
        entity.add_supported_context(sop_class, _TRANSFER_SYNTAXES)

    def store(event: evt.Event) -> int:
        try:
            header = dcmread(event.dataset_path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
            series_uid, instance_uid = header.get("SeriesInstanceUID"), event.request.AffectedSOPInstanceUID
        except (InvalidDicomError, EOFError, ValueError, OSError):
            series_uid = instance_uid = None
        if not series_uid or not instance_uid:
            LOG.warning("refused an instance that cannot be read or does not name its series")
            return _NOT_UNDERSTOOD
        try:
            note(queue.add(event.dataset_path, str(series_uid), str(instance_uid)), event.assoc)
        except OSError as error:
            LOG.error("refused an instance: %s", error.strerror)
            return _NO_ROOM
        return _STORED

    def rejected(event: evt.Event) -> None:
        LOG.warning("rejected an association: %s", _why_rejected(event.assoc.requestor.primitive, settings))

    handlers = [(evt.EVT_CONN_OPEN, _open), (evt.EVT_C_STORE, store), (evt.EVT_REJECTED, rejected)]
    try:
        entity.start_server(
            (settings.bind, settings.port),
            block=False,
            ssl_context=context,
            evt_handlers=handlers,
        )
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise InputError(f"{settings.bind} port {settings.port}: {reason}; choose another one (--port)") from error
    return entity


def _why_rejected(request: Any, settings: Settings) -> str:
    """Which title was wrong, in the order in which pynetdicom looks."""
    calling, called = (str(title).strip() for title in (request.calling_ae_title, request.called_ae_title))
    if called != settings.title:
        return f"it calls {called!r}, and this node is {settings.title!r} (--aet)"
    if settings.allow and calling not in settings.allow:
        return f"{calling!r} is not among the titles that may call (--allow)"
    return f"more than {_MOST_ASSOCIATIONS} at once"


def _open(event: evt.Event) -> None:
    """Bounds what a peer can hold up and take, and lets it show its certificate, in a thread of its own."""
    connection, messages = event.assoc.dul.socket, event.assoc.dimse
    receive, take = connection.recv, messages.receive_primitive

    def receive_bounded(count: int) -> bytearray:
        if count > _MOST_PDU_BYTES:
            raise OSError("a PDU beyond all bounds")
        return bytearray(receive(count))

    def take_or_end(primitive: Any) -> None:
        try:
            take(primitive)
        except OSError as error:  # no room for the instance: pynetdicom's thread would die of it, the connection open
            LOG.error("broke off an association: %s", error.strerror)
            connection.socket.close()

    connection.recv, messages.receive_primitive = receive_bounded, take_or_end
    if isinstance(connection.socket, ssl.SSLSocket):
        connection.socket.settimeout(_HANDSHAKE_S)
        try:
            connection.socket.do_handshake()
        except OSError as error:  # SSLError and TimeoutError are such
            reason = getattr(error, "reason", None) or error.strerror or str(error)
            LOG.warning("refused a TLS handshake of %s: %s", event.address[0], reason)
            connection.socket.close()
            return
    connection.socket.settimeout(STALLED_S)


class _ServerContext(ssl.SSLContext):
    """Leaves the handshake to `_open`: pynetdicom would accept nobody else until it is done."""

    def wrap_socket(self, sock: Any, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        return super().wrap_socket(sock, *args, **(kwargs | {"do_handshake_on_connect": False}))


def make_context(tls: Tls, *, server: bool) -> ssl.SSLContext:
    """A context in which both sides show certificates that the authority has signed, TLS 1.2 or later."""
    context = _ServerContext(ssl.PROTOCOL_TLS_SERVER) if server else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        context.load_verify_locations(tls.authority)
    except OSError as error:  # SSLError is one
        raise InputError(
            f"TLS: the files cannot be used ({error.strerror or 'no such file'}); needs certificate, key without a "
            "password, and authority, in PEM format"
        ) from error
    return context
