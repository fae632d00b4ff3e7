"""A client's end of a line to the hub: making it, again and again, and reading. Who reads it is decided in `turns`.

The socket blocks: a thread that waits for the hub costs one system call. How it is written to is told in `writing`.
"""

import logging
import select
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from fairway.errors import LayerUnavailable
from fairway.layers.hub.greeting import HubRefuses
from fairway.layers.hub.link import Link
from fairway.layers.hub.meeting import SILENCE, Address, meet
from fairway.layers.hub.reaching import FIRST_PAUSE, LONGEST_PAUSE, reach
from fairway.layers.hub.writing import LineLost, Writing
from fairway.wire.hub import STOPS, FrameBroken, Refusal, Welcome

__all__ = ["FIRST_PAUSE", "LONGEST_PAUSE", "Line", "LineLost"]

logger = logging.getLogger("fairway.layer")

"""Between two attempts to reach a hub that is away."""


class Line(Writing):
    """One connection to a hub at a time, made again when it breaks.

    Locks are taken in this order: `_writing`, `_connecting`, then whatever `on_made` and `on_lost` take.

    Parameters:
        address: where the hub is.
        versions: the oldest and the newest version of the protocol that is spoken.
        on_made: called when there is a new connection, with a function that puts it to use. It calls that with what is
            to be written before anything else, while it keeps the state still that this is made of.
        on_lost: called, in any thread, when the line has broken, and before it is made again.
        numbering: the number of the connections begins after the first, in steps of the second.
    """

    def __init__(
        self,
        address: Address,
        versions: tuple[int, int],
        on_made: Callable[[Callable[[bytes], None]], None],
        on_lost: Callable[[], None],
        numbering: tuple[int, int] = (0, 1),
    ) -> None:
        super().__init__()
        self.generation, self._step = numbering
        self.address = address
        self.path = address.name
        self.version = 0
        self.epoch = ""
        self.closed = False
        self._versions = versions
        self._on_made = on_made
        self._on_lost = on_lost
        self._connecting = threading.RLock()
        self._attempts = 0
        self._failure = ""
        """Why the last attempt to connect failed."""
        self._refusal = ""
        """The refusal that the log has told about."""
        self._is_away = False
        self._away_since = 0.0
        self._closing = threading.Event()
        self._stale: list[socket.socket] = []
        """Broken connections. They are closed later: a thread may be about to read one, and numbers are used again."""

    @property
    def is_up(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._link is not None

    @property
    def is_new(self) -> bool:
        """Whether there never was a connection."""
        return self.generation < self._step

    @property
    def failure(self) -> str:
        """Why the last attempt to connect failed; "" when it did not."""
        return self._failure

    @property
    def link(self) -> Link | None:
        """The connection, if there is one."""
        return self._link

    def is_current(self, link: Link) -> bool:
        """Say whether this is still the connection."""
        return self._link is link

    def give_up(self, reason: str) -> None:
        """Give the connection up, for a reason that the other side knows nothing of."""
        self.lose(self._link, reason)

    # --- making it ---------------------------------------------------------------------------------------------------

    def deadline(self, wait: float) -> float:
        """Return until when a call that may wait for `wait` seconds waits for the hub.

        All calls together wait once for a hub that is away: whoever saves a thousand objects meanwhile, each of which
        sends something, is not held up a thousand times.
        """
        now = time.monotonic()
        return (self._away_since if self._away_since and self._link is None else now) + wait

    def ensure(self, wait: float) -> None:
        """Return when there is a connection; try for `wait` seconds, and at least once.

        Raises:
            LayerUnavailable: the hub could not be reached.
        """
        reach(self, wait)

    def connect(self) -> None:
        """Make the connection, unless there is one. Who has to wait for another's attempt shares its result.

        Raises:
            LayerUnavailable: the hub cannot be reached, or refuses.
        """
        attempts = self._attempts
        with self._connecting:
            if self._link is not None:
                return
            if self.closed:
                msg = "the layer is closed"
                raise LayerUnavailable(msg)
            if self._attempts != attempts and self._failure:
                raise LayerUnavailable(self._failure)
            self._make()
        if self.closed:  # meanwhile
            self.lose(self._link, "closed")
            self._close_stale()
        self.write(b"")

    def _make(self) -> None:
        self._close_stale()
        try:
            link, welcome = meet(self.address, self._versions)
        except LayerUnavailable as error:
            self._failure = str(error)
            self._away_since = self._away_since or time.monotonic()
            if isinstance(error, HubRefuses) and self._refusal != self._failure:
                self._refusal = self._failure
                logger.warning("%s", error)
            raise
        finally:
            self._attempts += 1
        if self._is_away:
            logger.warning("the hub at %s is back", self.path)
        self._is_away = False
        self._away_since = 0.0
        self._failure = self._refusal = ""
        try:
            self._on_made(partial(self._use, link, welcome))
        except BaseException:
            link.socket.close()
            raise

    def _use(self, link: Link, welcome: Welcome, opening: bytes) -> None:
        self.version, self.epoch = welcome.version, welcome.epoch
        link.opening = opening
        # In this order: whoever sees the new connection sees its number, too.
        self.generation += self._step
        self._link = link

    def lose(self, link: Link | None, reason: str) -> None:
        """Give a connection up, unless that has been done."""
        if link is None or self._link is not link:
            return
        with self._connecting:
            if self._link is not link:
                return
            self._link = None
            is_news = not self.closed and not self._is_away
            self._is_away = True
            self._away_since = time.monotonic()
            try:
                link.socket.shutdown(socket.SHUT_RDWR)
            except OSError:  # it is gone already
                logger.debug("the line was closed by the other side")
            self._stale.append(link.socket)
            self._on_lost()
        if is_news:
            # Whoever stops a hub knows that its clients wait for the next one.
            level = logging.INFO if reason == STOPS else logging.WARNING
            logger.log(level, "the hub at %s is away (%s); trying again until it is back", self.path, reason)

    def close(self) -> None:
        """End the line for good."""
        self.closed = True
        self._closing.set()
        self.lose(self._link, "closed")
        self._close_stale()

    def _close_stale(self) -> None:
        stale, self._stale = self._stale, []
        for made in stale:
            made.close()

    def pause(self, seconds: float) -> bool:
        """Wait before the next attempt; return True when the line was closed meanwhile."""
        return self._closing.wait(seconds)

    def forget(self) -> None:
        """Start anew in a forked process: the connection is the parent's."""
        if self._link is not None:
            self._link.socket.close()
        self._link = None
        self._close_stale()
        self._connecting = threading.RLock()
        self.forget_writing()
        self._is_away = False
        self._away_since = 0.0
        self._closing = threading.Event()
        if self.closed:
            self._closing.set()

    # --- reading -----------------------------------------------------------------------------------------------------

    def read(self, timeout: float | None, generation: int | None = None) -> list[Any]:
        """Return the frames that have come, waiting for the next; none when the time is over, or the line broke.

        With a generation, also none when there is another connection by now: it takes a caller that knows of it.
        """
        link = self._link
        if link is None or generation not in (None, self.generation):
            return []
        if link.early:
            early, link.early = link.early, []
            return early
        try:
            if timeout is not None and not _wait_readable(link.socket, timeout):
                return []
        except (OSError, ValueError) as error:
            self.lose(link, str(error))
            return []
        return self.read_link(link)

    def read_link(self, link: Link) -> list[Any]:
        """Return what comes next over a connection; none when it broke."""
        try:
            frames = link.receive()
            if frames is not None:
                return self._check(link, frames)
        except BlockingIOError:
            self.lose(link, f"no sign of life for {SILENCE:g} s")
        except (OSError, ValueError) as error:
            self.lose(link, str(error))
        except FrameBroken as error:
            self.lose(link, error.reason)
        else:
            self.lose(link, "it hung up")
        return []

    def _check(self, link: Link, frames: list[Any]) -> list[Any]:
        if frames and type(frames[-1]) is Refusal:
            self.lose(link, frames[-1].reason)
        return frames


def _wait_readable(made: socket.socket, timeout: float) -> bool:
    poll = select.poll()
    poll.register(made, select.POLLIN)
    return bool(poll.poll(max(0.0, timeout) * 1000))
