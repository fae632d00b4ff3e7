"""What the end of a connection means: come back soon, come back later, or stay away.

The one table of close codes, as docs/explanation/connection.md and the message standard have them.
`vectors/client.json` holds it for every language, and the tests of each client read it. Unlike a browser, this client
also learns why a handshake was refused.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple, get_args

from fairway.errors import UsageError

Verdict = Literal["soon", "later", "stay"]
"""What the client does after an end."""

CLOSE_CODES: Mapping[int, Verdict] = MappingProxyType(
    {
        1000: "stay",  # normal
        1001: "soon",  # going away: the socket has reached its longest life
        1002: "stay",  # the client broke the protocol, and would again
        1003: "stay",  # data of a kind that the server does not take
        1005: "stay",  # closed without a code, which is a normal end
        1006: "soon",  # lost without a word; also: there never was a connection
        1007: "stay",  # text that is not UTF-8
        1008: "stay",  # against the rules: logged out, too many messages
        1009: "stay",  # a message above the server's limit
        1011: "soon",  # a message could not be consumed
        1012: "soon",  # the server restarts
        1013: "later",  # too slow a reader, or no room
    }
)
"""By code. A code that is not here, and each of an application (3000 to 4999), is an answer: the client stays away."""

STATUSES: Mapping[int, Verdict] = MappingProxyType(
    {
        408: "soon",  # the handshake took too long
        425: "soon",  # too early
        429: "later",  # too many connections
        500: "soon",  # the consumer of the connect failed
        502: "soon",  # a proxy found no server
        503: "later",  # no room
        504: "soon",  # no worker decided in time
    }
)
"""By the HTTP status of a refused handshake. Any other is an answer, such as 403: the client stays away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """The seconds before a try: up to `first`, doubled with each failure, between `least` and `longest`."""

    least: float
    first: float
    longest: float


DELAYS: Mapping[Verdict, Delay] = MappingProxyType(
    {
        "soon": Delay(least=0, first=0.5, longest=30),
        "later": Delay(least=2, first=8, longest=30),
    }
)
"""The wait is all luck (full jitter), so that the thousand clients of a server that restarts do not come back as one;
a server that has no room is left alone for `least` at any rate."""

LASTED = 5.0
"""A connection that has lasted so many seconds was a good one: the delays begin with short ones again."""

MOST_DOUBLINGS = 10


class Closing(NamedTuple):
    """How a connection ended, or why there was none."""

    code: int
    """The close code; 1006 where there was none."""

    reason: str = ""
    status: int | None = None
    """The HTTP status of a refused handshake."""

    will_reconnect: bool = False

    def __str__(self) -> str:
        return f"{self.code} {self.reason}".strip()


def checked(own: Mapping[int, Verdict]) -> Mapping[int, Verdict]:
    """Return what codes and statuses mean to the application.

    Raises:
        UsageError: there is no such meaning.
    """
    for number, verdict in own.items():
        if verdict not in get_args(Verdict):
            msg = f"codes: {number} means one of {', '.join(get_args(Verdict))}, not {verdict!r}"
            raise UsageError(msg)
    return own


def verdict_after(closing: Closing, own: Mapping[int, Verdict] = MappingProxyType({})) -> Verdict:
    """Say what to do after an end.

    Parameters:
        closing: the end.
        own: what codes and statuses mean to the application, where that differs from the tables.
    """
    number, known = (closing.code, CLOSE_CODES) if closing.status is None else (closing.status, STATUSES)
    return own.get(number) or known.get(number, "stay")


def delay_after(verdict: Verdict, failures: int) -> float:
    """Return the seconds before the next try, after so many that failed since the last good connection."""
    delay = DELAYS[verdict]
    most = min(delay.longest, delay.first * 2 ** min(failures, MOST_DOUBLINGS))
    return random.uniform(delay.least, most)  # noqa: S311  jitter is no secret
