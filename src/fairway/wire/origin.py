"""Whether a page of one origin may open a WebSocket to this host (RFC 6455, 10.2).

A browser opens WebSockets across origins without asking, with the user's cookies. The rule is that of Django's CSRF
check: the origin of the request itself, or one of `CSRF_TRUSTED_ORIGINS`. What is odd is refused.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

_ORIGIN = re.compile(r"(https?)://([a-z0-9._\-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_TRUSTED = re.compile(r"(https?)://(\*\.)?([a-z0-9._\-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_SCHEMES = {"ws": "http", "wss": "https", "http": "http", "https": "https"}
_PORTS = {"http": 80, "https": 443}


def check_origin(origin: bytes | None, *, scheme: str, host: bytes, trusted: Sequence[str]) -> bool:
    """Tell whether `origin`, the Origin header, may connect to `scheme` and `host`, those of the request.

    An absent origin is allowed: no browser leaves it out, and another client could write what it likes. `null`, as
    sandboxed frames and local files send it, is refused. `trusted` has entries of the form `https://example.com`,
    `https://example.com:8443` and `https://*.example.com`, which covers `example.com` too, as in Django.
    """
    if origin is None:
        return True
    theirs = _parse_origin(origin)
    if theirs is None:
        return False
    own = _SCHEMES.get(scheme)
    if own is not None and theirs == _parse_origin(b"%b://%b" % (own.encode("ascii"), host)):
        return True
    return any(_matches(entry, theirs) for entry in trusted)


def _parse_origin(origin: bytes) -> tuple[str, str, int] | None:
    """Return scheme, host and port of a serialised origin (RFC 6454, 6.2), or None when it is none."""
    match = _ORIGIN.fullmatch(origin.decode("latin-1").lower())
    if match is None:
        return None
    scheme, host, port = match.groups()
    return scheme, host, int(port) if port else _PORTS[scheme]


def _matches(entry: str, theirs: tuple[str, str, int]) -> bool:
    trusted = _parse_trusted(entry)
    if trusted is None:
        return False
    scheme, host, port, below = trusted
    if (scheme, port) != (theirs[0], theirs[2]):
        return False
    # CVE-2022-42975: without the dot, `*.example.com` would match `evilexample.com`.
    return theirs[1] == host or (below and theirs[1].endswith("." + host))


@lru_cache(maxsize=256)
def _parse_trusted(entry: str) -> tuple[str, str, int, bool] | None:
    """Return scheme, host, port, and whether sub-domains count; None for an entry that can match nothing."""
    match = _TRUSTED.fullmatch(entry.lower())
    if match is None:
        return None
    scheme, star, host, port = match.groups()
    return scheme, host, int(port) if port else _PORTS[scheme], bool(star)
