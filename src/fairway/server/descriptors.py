"""How many descriptors this process may have, and so how many connections a server can take.

A server that runs out of descriptors fails in odd places: its log, its layer, its admin endpoint; and the event loops
differ in what they do with a connection that they cannot accept. So it stops short of that, by its own rule: the last
ones are kept for itself, and a connection too many is accepted and closed at once, with one line in the log.
"""

import logging
from contextlib import suppress

from fairway.limits import UNLIMITED

logger = logging.getLogger("fairway.server")

RESERVE = 64
"""Descriptors for everything but connections: listening sockets, files, the layer, the admin endpoint. At least, and
at least a twentieth of all, because a hub has a connection to each process."""


def most_connections(wanted: int) -> int:
    """Return how many connections a server may take: as many as wanted, and as descriptors are there."""
    limit = open_files()
    if limit == UNLIMITED:
        return wanted
    room = max(1, limit - max(RESERVE, limit // 20))
    if 0 <= wanted <= room:
        return wanted
    text = "this process may have %d open files, so it takes %d connections; raise the limit (ulimit -n, LimitNOFILE=)"
    logger.info(text, limit, room)
    return room


def open_files() -> int:
    """Return how many descriptors this process may have; `UNLIMITED` where there is no such limit."""
    with suppress(ImportError):  # Windows has none
        import resource

        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return UNLIMITED if limit == resource.RLIM_INFINITY else limit
    return UNLIMITED


def raise_open_files() -> None:
    """Take as many descriptors as the system lets this process have, as a program that is a server should."""
    with suppress(ImportError, OSError, ValueError):  # macOS refuses what it calls unlimited
        import resource

        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
