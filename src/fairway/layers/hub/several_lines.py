"""Lines to several hubs, read as if they were one: whoever leads waits for all of them at once.

Each line is made again by a thread of its own, its keeper, so that a hub that hangs holds up no other.
"""

import contextlib
import logging
import select
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

from fairway.errors import LayerUnavailable
from fairway.layers.hub.line import FIRST_PAUSE, LONGEST_PAUSE, Line
from fairway.layers.hub.link import Link
from fairway.layers.hub.meeting import SILENCE
from fairway.layers.hub.tcp_address import TcpAddress

logger = logging.getLogger("fairway.layer")


class Keeper:
    """Makes one line, and makes it again whenever it is lost.

    Parameters:
        line: the line.
    """

    def __init__(self, line: Line) -> None:
        self.line = line
        self.asked = 0.0
        """Since when a ping is not answered; 0 when all are."""
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_told = False

    def start(self) -> None:
        """Begin, unless that has been done."""
        self._wanted.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep, name="fairway-keeper", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """The line is lost, or closed."""
        self._wanted.set()

    def forget(self) -> None:
        """Start anew in a forked process, which has no such thread."""
        self._thread = None
        self._wanted = threading.Event()

    def _keep(self) -> None:
        line, wanted = self.line, self._wanted
        while not line.closed and self._wanted is wanted:
            wanted.wait()
            wanted.clear()
            pause = FIRST_PAUSE
            while not line.closed and not self._try():
                line.pause(pause)
                pause = min(LONGEST_PAUSE, pause * 2)

    def _try(self) -> bool:
        try:
            self.line.ensure(0)
        except LayerUnavailable as error:
            # A line that was lost has told; one that never was there has not.
            if not self._is_told and self.line.is_new and not self.line.closed:
                self._is_told = True
                logger.warning("%s; trying again until it is there", error)
            return False
        except Exception:
            logger.exception("the line to the hub at %s cannot be made; trying again", self.line.path)
            return False
        return True


class SeveralLines:
    """What `Turns` and a session see of several lines: the part of `Line` that they use.

    Parameters:
        lines: one for each hub.
    """

    generation = 0
    """It never changes: that of a hub's own line tells whether what was read over it is void."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = lines
        self.keepers = [Keeper(line) for line in lines]
        self.closed = False
        self._up = threading.Event()
        self._poll = select.poll()
        self._watched: dict[int, tuple[int, Link]] = {}
        """Descriptor -> the number of its line, and the connection."""
        self._has_changed = True
        self._looked = 0.0
        """When all of them were read that had something to be read."""
        self._alarm, self._bell = _bell()

    # --- coming and going --------------------------------------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        """Whether there is a connection to any of them, as far as is known."""
        return self._up.is_set()

    def start(self) -> None:
        """Have all lines made, and kept."""
        if not self.closed:
            for keeper in self.keepers:
                keeper.start()

    def made(self, number: int) -> None:
        """There is a new connection: whoever reads the others is to read it, too."""
        self.keepers[number].asked = 0.0
        self._up.set()
        self._change()

    def lost(self, number: int) -> None:
        """A connection is lost."""
        if not any(line.is_up for line in self.lines):
            self._up.clear()
            if any(line.is_up for line in self.lines):  # meanwhile
                self._up.set()
        self._change()
        self.keepers[number].wake()

    def _change(self) -> None:
        self._has_changed = True
        with contextlib.suppress(OSError):  # it has been rung already, or it is all over
            self._bell.send(b"!")

    def ensure(self, wait: float) -> None:
        """Return when there is a connection to one of them.

        Raises:
            LayerUnavailable: there was none in that time.
        """
        self.start()
        if not self._up.wait(max(0.0, wait)) or self.closed:
            raise self.unavailable()

    def unavailable(self) -> LayerUnavailable:
        """Return why nothing can be sent."""
        if self.closed:
            return LayerUnavailable("the layer is closed")
        reasons = "; ".join(line.failure or f"the hub at {line.path} is away" for line in self.lines)
        return LayerUnavailable(f"none of {len(self.lines)} hubs can be reached: {reasons}")

    def pause(self, seconds: float) -> bool:
        """Wait for a connection; return True when the lines were closed meanwhile."""
        self._up.wait(seconds)
        return self.closed

    def close(self) -> None:
        """End all lines for good."""
        self.closed = True
        for line, keeper in zip(self.lines, self.keepers, strict=True):
            line.close()
            keeper.wake()
        self._up.set()
        self._bell.close()  # whoever waits for the others looks up
        self._alarm.close()

    def forget(self) -> None:
        """Start anew in a forked process."""
        self._up = threading.Event()
        self._poll, self._watched, self._has_changed = select.poll(), {}, True
        self._alarm.close()
        self._bell.close()
        self._alarm, self._bell = _bell()
        for keeper in self.keepers:
            keeper.forget()

    # --- writing and reading -----------------------------------------------------------------------------------------

    def post(self, data: bytes) -> None:
        """Have a ping written to all of them, and give up those on other hosts that answer none."""
        for line, keeper in zip(self.lines, self.keepers, strict=True):
            if not line.is_up:
                continue
            # What nobody has read is no silence.
            is_silent = keeper.asked and self._looked - keeper.asked > SILENCE
            if is_silent and isinstance(line.address, TcpAddress):
                line.give_up(f"no sign of life for {SILENCE:g} s")
            else:
                keeper.asked = keeper.asked or time.monotonic()
                line.post(data)

    def write_posted(self) -> None:
        """Write what was posted to any of them."""
        for line in self.lines:
            line.write_posted()

    def read(self, timeout: float | None, generation: int | None = None) -> list[Any]:
        """Return what has come, as (number of the line, generation, frames); wait for it for `timeout` seconds."""
        del generation  # each line has its own
        if self._has_changed and (early := self._watch()):
            return early
        if self.closed:  # there is nothing left to wait for, and nobody who would ring
            return []
        found: list[Any] = []
        for descriptor, _ in self._poll.poll(None if timeout is None else max(0.0, timeout) * 1000):
            number, link = self._watched.get(descriptor, (-1, None))
            if link is None:
                with contextlib.suppress(OSError):
                    self._alarm.recv(4096)
                continue
            line = self.lines[number]
            its = line.generation
            if not line.is_current(link):
                self._has_changed = True
            elif frames := line.read_link(link):
                self.keepers[number].asked = 0.0
                found.append((number, its, frames))
        self._looked = time.monotonic()
        return found

    def _watch(self) -> list[Any]:
        """Wait for the connections that there are now; return what has come over them with their welcome."""
        self._has_changed = False
        self._poll, self._watched = select.poll(), {}
        early: list[Any] = []
        if self.closed:
            self._has_changed = True
            return early
        with contextlib.suppress(ValueError):  # it is all over since
            self._poll.register(self._alarm, select.POLLIN)
        for number, line in enumerate(self.lines):
            link, generation = line.link, line.generation
            if link is None or not line.is_current(link):  # the number is that of this connection, or of none
                self._has_changed = self._has_changed or link is not None
                continue
            try:
                descriptor = link.socket.fileno()
                self._poll.register(descriptor, select.POLLIN)
            except (OSError, ValueError):  # it was lost just now
                self._has_changed = True
                continue
            self._watched[descriptor] = number, link
            if link.early:
                early.append((number, generation, link.early))
                link.early = []
        return early


def _bell() -> tuple[socket.socket, socket.socket]:
    alarm, bell = socket.socketpair()
    alarm.setblocking(False)  # noqa: FBT003
    bell.setblocking(False)  # noqa: FBT003
    return alarm, bell
