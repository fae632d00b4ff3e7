"""TLS on a hub's line, apart from its socket: threads read and write at the same time, which OpenSSL does not allow.

What is read is opened here, and what is written is closed, in memory and under one lock; the socket stays a plain one.
"""

import contextlib
import socket
import ssl
import threading
from pathlib import Path

from fairway.errors import InvalidLayerSetting
from fairway.wire.hub_secret import bind_to

CHUNK = 64 * 1024


class Seal:
    """A client's TLS on one connection.

    Parameters:
        context: what is trusted.
        host: the name that the certificate must have.
    """

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._lock = threading.Lock()

    def shake_hands(self, made: socket.socket) -> None:
        """Begin, waiting as long as the socket does.

        Raises:
            OSError: the other side is not whom it should be, or speaks no TLS.
        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._send(made)
                data = made.recv(CHUNK)
                if not data:
                    msg = "it hung up during the TLS handshake"
                    raise ConnectionError(msg) from None
                self._incoming.write(data)
            except ssl.SSLError:
                with contextlib.suppress(OSError):  # tell what is wrong, if it is there to listen
                    self._send(made)
                raise
            else:
                self._send(made)
                return

    def _send(self, made: socket.socket) -> None:
        if self._outgoing.pending:
            made.sendall(self._outgoing.read())

    @property
    def binding(self) -> bytes:
        """What proofs on this connection are bound to."""
        return bind_to(self._tls.getpeercert(binary_form=True) or b"")

    def close(self, data: bytes) -> bytes:
        """Return bytes as they are to be written.

        Raises:
            OSError: the connection cannot go on.
        """
        with self._lock:
            view = memoryview(data)
            while view:
                view = view[self._tls.write(view) :]
            return self._outgoing.read()

    def open(self, data: bytes) -> bytes:
        """Return what is in bytes that were read; it may be nothing yet.

        Raises:
            OSError: somebody has tampered with them.
        """
        with self._lock:
            self._incoming.write(data)
            found = []
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                while piece := self._tls.read(CHUNK):
                    found.append(piece)
            return b"".join(found)


def client_context(ca: str) -> ssl.SSLContext:
    """Return what a client trusts: the authorities in a file, or the system's for `""`.

    Raises:
        InvalidLayerSetting: the file cannot be used.
    """
    try:
        return _without_surprises(ssl.create_default_context(cafile=ca or None))
    except OSError as error:
        msg = (
            f"ca = {ca!r} cannot be read: {_reason(error)}; it holds the hub's certificate, or its authority's, as PEM"
        )
        raise InvalidLayerSetting(msg) from error


def server_context(certificate: str, key: str) -> tuple[ssl.SSLContext, bytes]:
    """Return a hub's TLS, and what proofs are bound to.

    Raises:
        InvalidLayerSetting: certificate or key cannot be used.
    """
    context = _without_surprises(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.num_tickets = 0  # a line lives long: there is nothing to resume
    try:
        context.load_cert_chain(certificate, key or None, password=lambda: "")
        text = Path(certificate).read_text("ascii", "replace")
    except OSError as error:
        msg = (
            f"--hub-certificate {certificate} and --hub-key {key or certificate} cannot be used: {_reason(error)}; "
            "they are PEM files that this user can read, and the key is that of the certificate, without a password"
        )
        raise InvalidLayerSetting(msg) from error
    begin, end = text.index(ssl.PEM_HEADER), text.index(ssl.PEM_FOOTER) + len(ssl.PEM_FOOTER)
    return context, bind_to(ssl.PEM_cert_to_DER_cert(text[begin:end]))


def _without_surprises(context: ssl.SSLContext) -> ssl.SSLContext:
    context.options |= getattr(ssl, "OP_NO_RENEGOTIATION", 0)
    return context


def _reason(error: OSError) -> str:
    return (error.reason if isinstance(error, ssl.SSLError) else error.strerror) or str(error)
