"""The few productions of RFC 9110 that requests, responses and handshakes share.

Every check is one call into C over the whole value, so its time grows with the length and with nothing else.
"""

import re

TOKEN_CHARACTERS = rb"!#$%&'*+\-.^_`|~0-9A-Za-z"

is_token = re.compile(rb"[" + TOKEN_CHARACTERS + rb"]+").fullmatch
"""RFC 9110, 5.6.2: method, header name, subprotocol."""

VALUE_SENT = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
"""RFC 9110, 5.5: what a header value may hold: visible characters, space, tab, and opaque bytes above ASCII."""

VALUE_RECEIVED = VALUE_SENT.replace(b"\x85", b"")
"""The same from a peer, less 0x85: in Latin-1 that is a line end to `str.splitlines`, and a later parser may use it."""


def odd_bytes(value: bytes, allowed: bytes) -> bytes:
    """Return the bytes of `value` that are not in `allowed`."""
    return value.translate(None, allowed)


def list_items(value: bytes) -> list[bytes]:
    """Return the members of a comma-separated list without quoted strings, empty ones left out (RFC 9110, 5.6.1)."""
    return [item for part in value.split(b",") if (item := part.strip(b" \t"))]
