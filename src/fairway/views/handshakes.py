"""Handshakes that no view has decided: until then each holds a place of the worker's window, which is widened for it.

A view may look around for long before it first looks at its socket. Without places of their own a few hundred of such
connects would keep requests and all other messages from the worker. A window that is wide from the start would fetch
thousands of messages that no thread can begin; so it grows with the need, by steps.
"""

import threading

from fairway.views.connection import Connection, Phase

STEP = 100
"""Places that are made at a time."""


class Handshakes:
    """The undecided handshakes of one worker. Threads share it.

    Parameters:
        most: how many there may be, and so how far the window is widened.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._undecided: set[Connection] = set()
        self._places = 0

    def add(self, connection: Connection) -> None:
        """Note one more, and make places if they run short."""
        with self._lock:
            self._undecided.add(connection)
            more = self._missing()
            self._places += more
        if more:
            connection.outbox.reader.widen(more)

    def remove(self, connection: Connection) -> None:
        """Forget one whose view has ended."""
        with self._lock:
            self._undecided.discard(connection)

    def _missing(self) -> int:
        if len(self._undecided) < self._places:
            return 0
        # Who decides does not tell; it is looked at only here.
        self._undecided = {one for one in self._undecided if one.phase is Phase.HANDSHAKE}
        is_short = 2 * len(self._undecided) >= self._places
        return min(STEP, self._most - self._places) if is_short else 0
