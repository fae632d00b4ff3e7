"""How an inbox that has lost its lines comes by new ones: a thread tries again and again, with growing pauses."""

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence

from redis.exceptions import AuthenticationError, ResponseError

from fairway.errors import LayerUnavailable
from fairway.layers.redis.inbox_opening import InboxLayer, Lines, OwnedElsewhere, Ownership, Parting, open_lines
from fairway.layers.redis.troubles import Trouble, trouble
from fairway.layers.redis.wire import ReplyError

logger = logging.getLogger("fairway.layer")

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 1.0
"""Between two attempts to reach a Redis that is away."""

STEADY = 5.0
"""Seconds that lines have to last for the next pause to be a short one again."""


class Reopening:
    """The tries of one inbox.

    Parameters:
        layer: the inbox's.
        prefixes: what it owns.
        ownership: what it is known by.
        loop: the inbox's.
        on_open: called on the loop with new lines.
    """

    def __init__(
        self,
        layer: InboxLayer,
        prefixes: Sequence[str],
        ownership: Ownership,
        loop: asyncio.AbstractEventLoop,
        on_open: Callable[[Lines], None],
    ) -> None:
        self._layer = layer
        self._prefixes = prefixes
        self._ownership = ownership
        self._loop = loop
        self._on_open = on_open
        self._stopped = threading.Event()
        self._pause = FIRST_PAUSE
        self._since = time.monotonic()

    def start(self) -> None:
        """Begin to try. A program may end meanwhile."""
        if time.monotonic() - self._since > STEADY:
            self._pause = FIRST_PAUSE
        threading.Thread(target=self._run, name="fairway-reopen", daemon=True).start()

    def stop(self) -> None:
        """Try no more. Lines that are made at this moment are still handed over."""
        self._stopped.set()

    def _run(self) -> None:
        told = ""
        while not self._stopped.wait(self._pause * random.uniform(0.5, 1)):  # noqa: S311
            self._pause = min(LONGEST_PAUSE, self._pause * 2)
            try:
                lines = open_lines(self._layer, self._prefixes, self._ownership)
            except LayerUnavailable as error:
                if _is_worth_telling(error) and str(error) != told:
                    told = str(error)
                    logger.warning("%s", error)
            else:
                self._since = time.monotonic()
                self._hand_over(lines)
                return

    def _hand_over(self, lines: Lines) -> None:
        try:
            self._loop.call_soon_threadsafe(self._on_open, lines)
        except RuntimeError:  # the loop has ended
            Parting(self._layer, self._prefixes, lines).run()


def _is_worth_telling(error: LayerUnavailable) -> bool:
    """Whether somebody has to do something about it: it is not merely away."""
    cause = error.__cause__
    if isinstance(cause, ReplyError):
        return trouble(cause) in (Trouble.REFUSED, Trouble.FULL, Trouble.BUG)
    return isinstance(error, OwnedElsewhere) or isinstance(cause, AuthenticationError | ResponseError)


def in_thread(run: Callable[[], None]) -> None:
    """Run something beside the event loop; a program does not end before it is over."""
    try:
        threading.Thread(target=run, name="fairway-parting").start()
    except RuntimeError:  # the interpreter is shutting down
        run()
