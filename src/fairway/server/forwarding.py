"""The grammar of forwarding headers: `X-Forwarded-*`, and `Forwarded` of RFC 7239. Pure, and nothing is believed here.

Every function takes time in proportion to the bytes it looks at, and a list is read only as far as somebody asks.
"""

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from fairway.wire.grammar import TOKEN_CHARACTERS

Address = tuple[str, int]

_ENTRY = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15}))(?::([0-9]{1,5}))?|([0-9A-Fa-f:.]{2,45})")
"""An address as proxies write it: `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]:80`, `2001:db8::1`."""

_PAIR = re.compile(
    rb"[ \t]*(?:([" + TOKEN_CHARACTERS + rb"]+)=(?:([" + TOKEN_CHARACTERS + rb':\[\]]+)|"((?:[^"\\]|\\.)*)"))?'
    rb"[ \t]*(;|,|\Z)",
)
"""One `name=value` of RFC 7239, 4, or nothing, and what ends it. An address with a port is taken without quotes too."""

_HOST = re.compile(rb"(?:[A-Za-z0-9._\-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def parse_ip(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address; None for anything else. IPv4 that travels as IPv6 (`::ffff:192.0.2.1`) is IPv4."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def parse_entry(entry: bytes, port: int = 0) -> Address | None:
    """Return the host and port that an entry of a list names; None when it is no address.

    Parameters:
        entry: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`, with white space around it.
        port: what stands for a port that is not told.
    """
    match = _ENTRY.fullmatch(entry.strip(b" \t").decode("latin-1"))
    if match is None:
        return None
    bracketed, v4, told, v6 = match.groups()
    address = parse_ip(bracketed or v4 or v6)
    if address is None or (bracketed and ":" not in bracketed):
        return None
    return str(address), parse_port(told.encode()) if told else port


def parse_port(value: bytes) -> int:
    """Return a port number, 0 for what is none."""
    port = int(value) if value.isdigit() and len(value) <= 5 else 0
    return port if port <= 65535 else 0


def parse_host(value: bytes) -> bytes | None:
    """Return a host, with its port if it has one; None for what is none."""
    return value if _HOST.fullmatch(value) else None


def last_item(values: Sequence[bytes]) -> bytes:
    """Return the last member of a list that may be spread over several header lines: the nearest proxy wrote it."""
    return values[-1].rpartition(b",")[2].strip(b" \t") if values else b""


def from_the_right(values: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the members of such a list, the last one first; each is cut off only when it is asked for."""
    for value in reversed(values):
        end = len(value)
        while end >= 0:
            comma = value.rfind(b",", 0, end)
            yield value[comma + 1 : end]
            end = comma if comma >= 0 else -1


def parse_elements(value: bytes) -> list[dict[bytes, bytes]] | None:
    """Return the elements of a `Forwarded` line as their parameters; None when the line is malformed anywhere.

    One malformed byte voids the line: an open quote on its left would swallow what a proxy has written on its right.
    """
    elements: list[dict[bytes, bytes]] = []
    element: dict[bytes, bytes] = {}
    pos = 0
    while True:
        match = _PAIR.match(value, pos)
        if match is None:
            return None
        name, plain, quoted, delimiter = match.groups()
        if name:
            if name.lower() in element:
                return None
            element[name.lower()] = plain if plain is not None else re.sub(rb"\\(.)", rb"\1", quoted)
        if delimiter != b";":
            if element:
                elements.append(element)
            element = {}
        if not delimiter:
            return elements
        pos = match.end()
