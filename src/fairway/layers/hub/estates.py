"""What server processes have left behind whose line has ended: the ends of their connections, still to be told.

A line may end although its process lives, and holds its sockets. So nothing is told before the process is gone; and
nothing at all when it comes back and owns its prefixes again.
"""

import os
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fairway.broker.wills import Will

MOST = 100
"""Processes whose fate is unknown at a time; the oldest of more is taken for dead."""

PATIENCE = 10.0
"""Seconds until a process of which no number is known is taken for dead."""


@dataclass(frozen=True, slots=True)
class Estate:
    """The wills of one process. `process` is its number, 0 when unknown."""

    prefix: str
    wills: Mapping[str, Will]
    process: int
    since: float


class Estates:
    """All of which it is not decided yet."""

    def __init__(self) -> None:
        self._open: list[Estate] = []

    def __len__(self) -> int:
        return len(self._open)

    def add(self, estate: Estate) -> None:
        """Keep what a process has left."""
        if estate.wills:
            self._open.append(estate)

    def take_due(self, is_owned: Callable[[str], bool], now: float) -> list[Estate]:
        """Remove and return those whose process is gone; forget those whose process is back."""
        left = [estate for estate in self._open if not is_owned(estate.prefix)]
        excess = left[: max(0, len(left) - MOST)]
        due = [estate for estate in left if estate in excess or _is_gone(estate, now)]
        self._open = [estate for estate in left if estate not in due]
        return due


def process_of(peer: socket.socket | None) -> int:
    """Return the number of the process at the other end of a Unix socket; 0 where the system does not tell."""
    if peer is None or not hasattr(socket, "SO_PEERCRED"):
        return 0
    size = struct.calcsize("3i")
    try:
        process, _, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    except OSError:
        return 0
    return max(0, int(process))


def _is_gone(estate: Estate, now: float) -> bool:
    if not estate.process:
        return now - estate.since > PATIENCE
    try:
        os.kill(estate.process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it lives, under another user
        return False
    return False
