"""The admin endpoint: whether this server is well, what it holds, and the same as metrics. For loopback.

=============  ==========================================================================
`/healthz`     200 `ok`; 503 with the reason while the server starts or drains, or its layer is lost
`/status`      everything `status` returns, as JSON
`/metrics`     the numbers among it, in the text form of Prometheus
=============  ==========================================================================

It has a bind of its own and runs on the server's event loop, beside the sockets; so it says nothing while the loop
hangs, which is an answer too. A connection carries one request and is closed; it has `TIMEOUT` seconds, and there are
at most `CONNECTIONS` of them. There is no authentication: whoever reaches the bind may read.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

import msgspec

from fairway.errors import PeerError
from fairway.limits import KIB, HttpLimits
from fairway.server.binds import Listener, listen
from fairway.server.metrics import CONTENT_TYPE, render
from fairway.wire.events import PeerFailed, RequestReceived
from fairway.wire.http1 import Http1Parser
from fairway.wire.http1_response import ResponseEncoder, error_response

logger = logging.getLogger("fairway.server")

TIMEOUT = 5.0
CONNECTIONS = 32

_LIMITS = HttpLimits(request_line=2 * KIB, header_bytes=8 * KIB, header_count=64)
_TEXT = b"text/plain; charset=utf-8"
_METHODS = ("GET", "HEAD")

Status = Callable[[], dict[str, Any]]
Health = Callable[[], str]
Answer = tuple[int, bytes, bytes]
"""Status, content type, content."""


class Admin:
    """An admin endpoint.

    Parameters:
        bind: where it listens, as for a server.
        status: returns what `/status` shows; see `Server.status`.
        health: returns why the server is not well; `""` when it is.
    """

    def __init__(self, bind: str, status: Status, health: Health) -> None:
        self._bind = bind
        self._status = status
        self._health = health
        self._listener: Listener | None = None
        self._connections: set[_AdminConnection] = set()

    @property
    def bound(self) -> tuple[str, int] | None:
        """Host and port; None while it does not listen, and for a Unix socket."""
        return next(iter(self._listener.addresses), None) if self._listener else None

    async def start(self) -> None:
        """Listen.

        Raises:
            CannotListen: with the address and the reason.
        """
        self._listener = await listen(lambda: _AdminConnection(self), self._bind)

    async def stop(self) -> None:
        """Listen no more, and cut what is open. Twice is fine."""
        if self._listener:
            self._listener.close()
            self._listener = None
        for connection in tuple(self._connections):
            connection.abort()

    def enter(self, connection: "_AdminConnection") -> bool:
        """Note a connection; False when there are too many."""
        if self._listener is None or len(self._connections) >= CONNECTIONS:
            return False
        self._connections.add(connection)
        return True

    def leave(self, connection: "_AdminConnection") -> None:
        """Forget a connection."""
        self._connections.discard(connection)

    def answer(self, path: bytes) -> Answer:
        """Return the answer for a path."""
        match path:
            case b"/healthz":
                trouble = self._health()
                return (503, _TEXT, f"{trouble}\n".encode()) if trouble else (200, _TEXT, b"ok\n")
            case b"/status":
                return 200, b"application/json", msgspec.json.encode(self._status()) + b"\n"
            case b"/metrics":
                return 200, CONTENT_TYPE, render(self._status()).encode()
            case _:
                return 404, _TEXT, b"there are /healthz, /status and /metrics\n"


class _AdminConnection(asyncio.Protocol):
    """One request, one answer."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self._parser = Http1Parser(_LIMITS)
        self._transport = cast("asyncio.Transport", None)
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._admin.enter(self):
            self._timer = asyncio.get_running_loop().call_later(TIMEOUT, self.abort)
        else:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._admin.leave(self)
        if self._timer:
            self._timer.cancel()

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        # The head decides: what comes behind it is not waited for, and not read.
        for event in self._parser.receive(data)[:1]:
            if isinstance(event, RequestReceived):
                self._respond(event)
            elif isinstance(event, PeerFailed):
                self._end(_refusal(event.error))

    def _respond(self, request: RequestReceived) -> None:
        if request.method not in _METHODS:
            self._end(error_response(405, "only GET and HEAD", headers=[(b"allow", b"GET, HEAD")]))
            return
        try:
            status, content_type, content = self._admin.answer(request.path)
        except Exception:
            logger.exception("the admin endpoint cannot answer %r", request.path)
            status, content_type, content = 500, _TEXT, b"the server's log tells why\n"
        headers = [(b"content-type", content_type), (b"cache-control", b"no-store")]
        self._end(ResponseEncoder(request).whole(status, headers, content, keep_alive=False))

    def _end(self, response: bytes) -> None:
        self._transport.write(response)
        self._transport.close()


def _refusal(error: PeerError) -> bytes:
    return error_response(error.status, error.reason)
