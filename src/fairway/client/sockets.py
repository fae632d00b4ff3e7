"""One WebSocket, by `websockets`: the only module of the client that knows the library."""

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, cast

from fairway.client.closing import Closing
from fairway.errors import ConnectionLost, MissingExtra, UsageError
from fairway.limits import ClientLimits

try:
    from websockets.asyncio.client import ClientConnection, connect
    from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
    from websockets.frames import Opcode
    from websockets.uri import parse_uri
except ImportError as error:
    raise MissingExtra(f"the client ({error})", "client") from error

CLOSE_TIMEOUT = 5.0
"""Seconds for the server's half of the closing handshake; then the transport is cut."""

ABNORMAL = 1006

MOST_PIECES = 1_024
"""Of one message, as at the server: each takes memory, also an empty one."""

TURN = 100
"""Frames after which other tasks have their turn: `websockets` waits for nothing that is in its buffers."""


class Handshake(TypedDict, total=False):
    """What the handshake carries."""

    headers: Mapping[str, str]
    """More headers, such as a cookie or the origin."""

    protocols: Sequence[str]
    """Subprotocols to offer."""

    ssl: ssl.SSLContext
    """Where the system's own certificates are not enough, for `wss:`."""

    proxy: str | None
    """The address of a proxy, None for none; left out, what the system says."""


_NAMES = {"headers": "additional_headers", "protocols": "subprotocols", "ssl": "ssl", "proxy": "proxy"}


class _Connect(connect):
    """Follows no redirect, as no browser does: what `headers` hold is for one server alone."""

    def process_redirect(self, exc: Exception) -> Exception:
        """Take it for a refusal."""
        return exc


class Connection(ClientConnection):
    """Is cut where `websockets` would be patient.

    That is with a server that has said that it closes, and does not; and with one that sends a message in ever more
    pieces, which may be empty.
    """

    why_cut = ""
    _cutting: asyncio.TimerHandle | None = None
    _pieces = 0

    def cut(self, why: str) -> None:
        """End it at once."""
        self.why_cut = why
        self.transport.abort()

    def process_event(self, event: Any) -> None:
        """Take a frame, or the answer to the handshake."""
        self._pieces = self._pieces + 1 if getattr(event, "opcode", None) is Opcode.CONT else 0
        if self._pieces > MOST_PIECES:
            self.cut(f"the server sent a message in more than {MOST_PIECES:,} pieces")
            return
        super().process_event(event)

    def data_received(self, data: bytes) -> None:
        """Take what has come; see whether it was the last."""
        super().data_received(data)
        if self._cutting is None and self.protocol.close_expected():
            self._cutting = self.loop.call_later(CLOSE_TIMEOUT, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Learn that the end has come by itself."""
        if self._cutting is not None:
            self._cutting.cancel()
        super().connection_lost(exc)


class NoConnection(Exception):
    """A try failed. `closing` tells how."""

    def __init__(self, closing: Closing) -> None:
        super().__init__(str(closing))
        self.closing = closing


class Address:
    """Where to connect, and with what.

    Parameters:
        url: with `ws:`, `wss:`, `http:` or `https:`.
        handshake: what the handshake carries.

    Raises:
        UsageError: it is no such address.
    """

    def __init__(self, url: str, handshake: Handshake) -> None:
        self.url = url.replace("http", "ws", 1) if url.startswith(("http://", "https://")) else url
        try:
            is_secure = parse_uri(self.url).secure
        except (InvalidURI, ValueError) as error:
            msg = f"the address of a server begins with ws://, wss://, http:// or https:// and its name; {error}"
            raise UsageError(msg) from error
        unknown = sorted(set(handshake) - set(_NAMES))
        if unknown:
            msg = f"connect() knows no {', '.join(unknown)}; a handshake has {', '.join(_NAMES)}"
            raise UsageError(msg)
        if "ssl" in handshake and not is_secure:
            msg = f"an ssl context is for wss:// or https://, not {url!r}"
            raise UsageError(msg)
        self.options: dict[str, Any] = {_NAMES[name]: value for name, value in handshake.items()}


class Socket:
    """An open socket. One task reads, one writes.

    Parameters:
        connection: as `websockets` gives it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def read(self, received: Callable[[str | bytes], None]) -> Closing:
        """Hand on each message until the socket ends; return how it did."""
        recv = self._connection.recv
        try:
            while True:
                for _ in range(TURN):
                    received(await recv())
                await asyncio.sleep(0)
        except ConnectionClosed as error:
            return self._closing(error)

    async def send(self, text: bytes) -> None:
        """Send a text frame, as UTF-8. It waits while the server reads nothing.

        Raises:
            ConnectionLost: the socket has ended.
        """
        try:
            await self._connection.send(text, text=True)
        except ConnectionClosed as error:
            raise ConnectionLost(str(error)) from error

    async def answers(self) -> None:
        """Return once the server has answered a ping.

        Raises:
            ConnectionLost: the socket has ended.
        """
        try:
            await (await self._connection.ping())
        except ConnectionClosed as error:
            raise ConnectionLost(str(error)) from error

    async def close(self) -> None:
        """End it, if it has not ended, and wait for the server to agree, for a while."""
        await self._connection.close()

    def abort(self, why: str) -> None:
        """Cut it: the other side does not answer."""
        self._connection.cut(why)

    def _closing(self, error: ConnectionClosed) -> Closing:
        if self._connection.why_cut:
            return Closing(ABNORMAL, self._connection.why_cut)
        if error.rcvd is not None and (error.rcvd_then_sent is not False):
            return Closing(error.rcvd.code, error.rcvd.reason)
        # This side has ended it because of what the server sent, as a browser would: there is no word of the server.
        return Closing(ABNORMAL, str(error))


async def open_socket(address: Address, limits: ClientLimits) -> Socket:
    """Open a socket. The caller sees to the time that takes.

    Raises:
        NoConnection: there is none.
    """
    try:
        connection = await _Connect(
            address.url,
            open_timeout=None,
            ping_interval=None,  # the link asks by itself, and takes any frame for a sign of life
            close_timeout=CLOSE_TIMEOUT,
            create_connection=Connection,
            max_size=limits.max_received,
            **address.options,
        )
    except InvalidStatus as error:
        status = error.response.status_code
        reason = f"the server refused the handshake: HTTP {status} {error.response.reason_phrase}".rstrip()
        if (elsewhere := error.response.headers.get("Location")) is not None:
            reason = f"{reason}; a redirect is not followed, and this one leads to {elsewhere!r:.200}"
        raise NoConnection(Closing(ABNORMAL, reason, status)) from error
    except (OSError, WebSocketException) as error:
        raise NoConnection(Closing(ABNORMAL, f"no connection: {error}")) from error
    return Socket(cast("Connection", connection))
