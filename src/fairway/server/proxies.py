"""Which peers are proxies, and what their headers tell about a request: its client, its scheme, the host it asked for.

A header says what its sender likes. So the headers of a peer that is not named as a proxy set nothing; they travel on
as any other. Of a list of addresses only the part that proxies wrote is believed: it is walked from the right, and the
first address that is no proxy is the client. What stands left of it the client may have written itself. What is no
address (`unknown`, an obfuscated name, garbage) ends the walk: the proxy that passed it on stands for the client.

One family of headers counts, never a mix: `X-Forwarded-*` where there is an `X-Forwarded-For`, or no `Forwarded`
(RFC 7239); else `Forwarded`.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network

from msgspec import Struct

from fairway.errors import UsageError
from fairway.server.forwarding import (
    Address,
    from_the_right,
    last_item,
    parse_elements,
    parse_entry,
    parse_host,
    parse_ip,
    parse_port,
)
from fairway.wire.events import Headers

UNIX = "unix"
"""The entry that trusts every peer on a Unix socket: who may connect there, the mode of its file says."""

_SECURE = {b"https": True, b"wss": True, b"http": False, b"ws": False}
"""Traefik tells a WebSocket's own scheme, so `wss` is read as `https`."""

_NAMES = frozenset(
    (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-port", b"x-forwarded-host", b"forwarded"),
)


class Forwarded(Struct, frozen=True, gc=False):
    """What is to be believed about a request."""

    client: Address | None
    is_secure: bool = False
    host: bytes | None = None
    """The host that the client asked for, if a proxy tells; None: the request's own Host header."""


class Proxies:
    """The peers that are trusted to tell who their clients are.

    Parameters:
        entries: addresses (`127.0.0.1`, `::1`), networks (`10.0.0.0/8`), or `unix` for every peer on a Unix socket.

    Raises:
        UsageError: an entry is none of these; it is named.
    """

    __slots__ = ("_networks", "_trusts_host", "_trusts_unix")

    def __init__(self, entries: Sequence[str]) -> None:
        self._trusts_unix = UNIX in entries
        self._networks = tuple(_network(entry) for entry in entries if entry != UNIX)
        # A server has few proxies and asks for each request; the networks of a CDN may be many.
        self._trusts_host = lru_cache(maxsize=256)(self._is_listed)

    def trusts(self, peer: Address | None) -> bool:
        """Whether this peer is a proxy; None is a peer on a Unix socket."""
        if peer is None:
            return self._trusts_unix
        return bool(self._networks) and self._trusts_host(peer[0])

    def _is_listed(self, host: str) -> bool:
        address = parse_ip(host.partition("%")[0])
        return address is not None and any(address in network for network in self._networks)

    def read(self, peer: Address | None, headers: Headers) -> Forwarded:
        """Return what is to be believed about a request of this peer."""
        if not self.trusts(peer):
            return Forwarded(peer)
        found: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            if name in _NAMES:
                found.setdefault(name, []).append(value)
        if not found:
            return Forwarded(peer)
        if b"forwarded" in found and b"x-forwarded-for" not in found:
            return self._read_standard(peer, found[b"forwarded"])
        return Forwarded(
            self._find_client(peer, found.get(b"x-forwarded-for", ()), found.get(b"x-forwarded-port", ())),
            _SECURE.get(last_item(found.get(b"x-forwarded-proto", ())).lower(), False),
            parse_host(last_item(found.get(b"x-forwarded-host", ()))),
        )

    def _find_client(self, peer: Address | None, chain: Sequence[bytes], ports: Sequence[bytes]) -> Address | None:
        """Walk from the nearest proxy towards the client, as far as proxies have written."""
        port = parse_port(last_item(ports))
        client = peer
        for entry in from_the_right(chain):
            address = parse_entry(entry, port)
            if address is None:
                break
            client = address
            if not self.trusts(address):
                break
        return client

    def _read_standard(self, peer: Address | None, lines: Sequence[bytes]) -> Forwarded:
        """Read `Forwarded`. Scheme and host are those of the client's own element: the outermost proxy wrote it."""
        told = Forwarded(peer)
        for line in reversed(lines):
            elements = parse_elements(line)
            if elements is None:
                break
            for element in reversed(elements):
                address = parse_entry(element.get(b"for", b""))
                if address is None:
                    return told
                is_secure = _SECURE.get(element.get(b"proto", b"").lower(), False)
                told = Forwarded(address, is_secure, parse_host(element.get(b"host", b"")))
                if not self.trusts(address):
                    return told
        return told


def _network(entry: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(entry)
    except ValueError as error:
        raise UsageError(
            f"proxies: {entry!r} is neither an address nor a network ({error}); "
            f"write 127.0.0.1, ::1, 10.0.0.0/8, or {UNIX} for all peers on a Unix socket"
        ) from None
