"""A request with what the server knows about it: who sent it, when, and over which scheme; its scope, its log line."""

import logging
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from msgspec import Struct
from msgspec.structs import replace

from fairway.errors import BadRequest
from fairway.server.config import Access, Action
from fairway.server.forwarding import Address
from fairway.server.outgoing import Scope
from fairway.server.proxies import Proxies
from fairway.wire.events import Headers, RequestReceived
from fairway.wire.handshake import header
from fairway.wire.origin import check_origin

logger = logging.getLogger("fairway.server")

_NO_HEADERS: Headers = []


class Exchange(Struct, gc=False):
    """A request on its connection, from its head to the end of its response or of its WebSocket."""

    request: RequestReceived
    client: Address | None
    """Who asks: the peer, or whom a proxy names."""
    is_secure: bool
    host: bytes
    """What the client asked for, as the origin of a page must name it."""
    began: float

    def scope(self, server: Address | None, root_path: str) -> Scope:
        """Return what a worker is told.

        Raises:
            BadRequest: the path is not UTF-8.
        """
        request = self.request
        try:
            path = unquote_to_bytes(request.path).decode()
        except UnicodeDecodeError:
            raise BadRequest("the path is not UTF-8") from None
        return Scope(
            reply_channel="",
            path=path,
            query_string=request.query,
            headers=request.headers,
            scheme=self.scheme,
            http_version=request.http_version,
            client=self.client,
            server=server,
            root_path=root_path,
            method=None if request.upgrade else request.method,
        )

    @property
    def scheme(self) -> str:
        """The scheme of the request's URL."""
        if self.request.upgrade:
            return "wss" if self.is_secure else "ws"
        return "https" if self.is_secure else "http"

    def is_origin_allowed(self, trusted: Sequence[str]) -> bool:
        """Whether the page that opens this WebSocket may; a refusal is logged."""
        headers = self.request.headers
        host = self.host or header(headers, b"host") or b""
        origin = header(headers, b"origin")
        is_allowed = check_origin(origin, scheme=self.scheme, host=host, trusted=trusted)
        if not is_allowed:
            what = "WebSocket %r refused: origin %r is not allowed for host %r"
            logger.warning(what, self.request.path.decode("latin-1"), origin, host)
        return is_allowed

    def shed(self) -> None:
        """Let the headers go: cookies and the like are not kept for the life of a socket."""
        self.request = replace(self.request, headers=_NO_HEADERS)


def new_exchange(request: RequestReceived, peer: Address | None, proxies: Proxies, now: float) -> Exchange:
    """Return the exchange that a request begins. Headers set anything only where the peer is a proxy."""
    if not proxies.trusts(peer):
        return Exchange(request, peer, is_secure=False, host=b"", began=now)
    told = proxies.read(peer, request.headers)
    return Exchange(request, told.client, told.is_secure, told.host or b"", now)


class Step(Struct, gc=False):
    """Something that happened to a connection, for the access log."""

    action: Action
    status: int
    size: int = 0
    channel: str = ""


def access_of(step: Step, exchange: Exchange | None, peer: Address | None, now: float) -> Access:
    """Return the line of the access log; without an exchange it tells of something that was no request."""
    agent = referer = ""
    for name, value in exchange.request.headers if exchange else ():
        if name == b"user-agent":
            agent = value.decode("latin-1")
        elif name == b"referer":
            referer = value.decode("latin-1")
    return Access(
        action=step.action,
        client=_shown(exchange.client if exchange else peer),
        method=exchange.request.method if exchange else "",
        path=exchange.request.target.decode("latin-1") if exchange else "",
        http_version=exchange.request.http_version if exchange else "",
        status=step.status,
        size=step.size,
        seconds=now - exchange.began if exchange else 0.0,
        connection=step.channel,
        user_agent=agent,
        referer=referer,
    )


def _shown(address: Address | None) -> str:
    return f"{address[0]}:{address[1]}" if address else ""


def address_of(name: Any) -> Address | None:
    """Return host and port of a socket name; None for a Unix socket, which has neither."""
    return (name[0], name[1]) if isinstance(name, tuple) else None
