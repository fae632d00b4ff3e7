"""A client's end of a line to the hub: the socket, the hello, and writing. Who reads it is decided in `turns`.

The socket blocks: a thread that waits for the hub costs one system call. A coroutine never waits in it: what the
socket does not take at once is written by a thread.
"""

import asyncio
import logging
import os
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from fairway.errors import LayerUnavailable
from fairway.wire.hub import (
    FRAME_LIMIT,
    MAGIC,
    VERSIONS,
    Frame,
    FrameBroken,
    FrameReader,
    FromHub,
    Hello,
    Refusal,
    Welcome,
    pack,
)

logger = logging.getLogger("fairway.layer")

CHUNK = 64 * 1024
HELLO_TIMEOUT = 5.0
SEND_TIMEOUT = 10.0
"""A hub that takes nothing for so long is taken for dead."""

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 1.0
"""Between two attempts to reach a hub that is away."""


class LineLost(LayerUnavailable):
    """The line broke, before or while something was written to it."""


class Line:
    """One connection to a hub at a time, made again when it breaks.

    Parameters:
        path: the hub's socket.
        versions: the oldest and the newest version of the protocol that is spoken.
        on_lost: called, in any thread, when the line has broken.
        on_made: called when it has been made; returns what is written to it before anything else.
    """

    def __init__(
        self, path: str, versions: tuple[int, int], on_made: Callable[[], bytes], on_lost: Callable[[], None]
    ) -> None:
        self.path = path
        self.generation = 0
        """Counts the connections; 0 before the first."""
        self.version = 0
        self.epoch = ""
        self.closed = False
        self._versions = versions
        self._on_made = on_made
        self._on_lost = on_lost
        self._socket: socket.socket | None = None
        self._frames: FrameReader[Any] = FrameReader(FromHub)
        self._early: list[Frame] = []
        self._connecting = threading.RLock()
        self._writing = threading.Lock()
        self._is_away = False
        self._closing = threading.Event()
        self._stale: list[socket.socket] = []
        """Broken connections. They are closed later: a thread may be about to read one, and numbers are used again."""

    @property
    def is_up(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._socket is not None

    # --- making it ---------------------------------------------------------------------------------------------------

    def ensure(self, wait: float) -> None:
        """Return when there is a connection; try for `wait` seconds.

        Raises:
            LayerUnavailable: the hub could not be reached.
        """
        if self._socket is not None:
            return
        deadline = time.monotonic() + wait
        pause = FIRST_PAUSE
        while True:
            try:
                self.connect()
            except LayerUnavailable:
                left = deadline - time.monotonic()
                if left <= 0 or self._closing.wait(min(pause, left)):
                    raise
                pause = min(LONGEST_PAUSE, pause * 2)
            else:
                return

    def connect(self) -> None:
        """Make the connection, unless there is one.

        Raises:
            LayerUnavailable: the hub cannot be reached, or refuses.
        """
        with self._connecting:
            if self._socket is not None:
                return
            if self.closed:
                msg = "the layer is closed"
                raise LayerUnavailable(msg)
            self._close_stale()
            made, welcome = self._greet()
            if self._is_away:
                self._is_away = False
                logger.warning("the hub at %s is back", self.path)
            self.version, self.epoch = welcome.version, welcome.epoch
            # In this order: whoever sees the new socket sees its number, too.
            self.generation += 1
            try:
                made.sendall(self._on_made())
            except OSError as error:
                made.close()
                msg = f"the hub at {self.path} hung up: {error}"
                raise LayerUnavailable(msg) from error
            self._socket = made

    def _greet(self) -> tuple[socket.socket, Welcome]:
        made = dial(self.path)
        try:
            made.settimeout(HELLO_TIMEOUT)
            frames: FrameReader[Any] = FrameReader(FromHub)
            made.sendall(pack(hello(self._versions)))
            received: list[Frame] = []
            while not received:
                received = frames.receive(receive_some(made, self.path))
            welcome = check_welcome(received[0], self.path)
            frames.limit = FRAME_LIMIT
            self._frames, self._early = frames, received[1:]
            made.settimeout(None)
            if sys.platform != "win32":
                span = struct.pack("ll", int(SEND_TIMEOUT), 0)
                made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, span)
        except BaseException as error:
            made.close()
            if isinstance(error, OSError | FrameBroken):
                msg = f"the hub at {self.path} did not greet: {error}"
                raise LayerUnavailable(msg) from error
            raise
        return made, welcome

    def lose(self, made: socket.socket | None, reason: str) -> None:
        """Give a connection up, unless that has been done."""
        with self._connecting:
            if made is None or self._socket is not made:
                return
            self._socket = None
            if not self.closed and not self._is_away:
                self._is_away = True
                logger.warning("the hub at %s is away (%s); trying again until it is back", self.path, reason)
        try:
            made.shutdown(socket.SHUT_RDWR)
        except OSError:  # it is gone already
            logger.debug("the line was closed by the other side")
        self._stale.append(made)
        self._on_lost()

    def close(self) -> None:
        """End the line for good."""
        self.closed = True
        self._closing.set()
        self.lose(self._socket, "closed")
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
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._connecting = threading.RLock()
        self._writing = threading.Lock()
        self._is_away = False

    # --- writing -----------------------------------------------------------------------------------------------------

    def write(self, data: bytes, generation: int = 0) -> None:
        """Write bytes; wait while the hub is behind.

        Parameters:
            data: whole frames.
            generation: the connection that they are for; 0 for any.

        Raises:
            LineLost: there is no such connection (any more).
        """
        with self._writing:
            self._write(self._current(generation), data)

    def _current(self, generation: int) -> socket.socket:
        made = self._socket
        if made is None or (generation and generation != self.generation):
            msg = f"there is no connection to the hub at {self.path}"
            raise LineLost(msg)
        return made

    def _write(self, made: socket.socket, data: bytes) -> None:
        try:
            made.sendall(data)
        except OSError as error:
            raise self._broken(made, error) from error

    def _broken(self, made: socket.socket, error: OSError) -> LineLost:
        self.lose(made, str(error))
        return LineLost(f"the connection to the hub at {self.path} broke: {error}")

    async def awrite(self, data: bytes, generation: int = 0) -> None:
        """Do as `write`; the event loop does not wait."""
        if not self._writing.acquire(blocking=False):
            await asyncio.to_thread(self.write, data, generation)
            return
        rest = b""
        try:
            made = self._current(generation)
            try:
                rest = data[made.send(data, socket.MSG_DONTWAIT) :]
            except BlockingIOError:
                rest = data
            except OSError as error:
                raise self._broken(made, error) from error
        finally:
            if not rest:
                self._writing.release()
        if rest:
            # The lock goes to the thread: nobody may write in the middle of a frame.
            loop = asyncio.get_running_loop()
            await asyncio.shield(loop.run_in_executor(None, self._write_rest, made, rest))

    def _write_rest(self, made: socket.socket, rest: bytes) -> None:
        try:
            self._write(made, rest)
        finally:
            self._writing.release()

    # --- reading -----------------------------------------------------------------------------------------------------

    def read(self, timeout: float | None) -> list[Any]:
        """Return the frames that have come, waiting for the next; none when the time is over, or the line broke."""
        made = self._socket
        if made is None:
            return []
        if self._early:
            early, self._early = self._early, []
            return early
        try:
            if timeout is not None and not _wait_readable(made, timeout):
                return []
            data = made.recv(CHUNK)
            if data:
                return self._check(made, self._frames.receive(data))
        except (OSError, ValueError) as error:
            self.lose(made, str(error))
        except FrameBroken as error:
            self.lose(made, error.reason)
        else:
            self.lose(made, "it hung up")
        return []

    def _check(self, made: socket.socket, frames: list[Any]) -> list[Any]:
        if frames and type(frames[-1]) is Refusal:
            self.lose(made, frames[-1].reason)
        return frames


def dial(path: str) -> socket.socket:
    """Return a socket that is connected to a hub.

    Raises:
        LayerUnavailable: nobody listens there.
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.settimeout(HELLO_TIMEOUT)
        made.connect(path)
    except OSError as error:
        made.close()
        reason = error.strerror or str(error)
        msg = f"no hub answers at {path} ({reason}); start `fairway serve`, or correct the path of the layer"
        raise LayerUnavailable(msg) from error
    return made


def receive_some(made: socket.socket, path: str) -> bytes:
    """Return what comes next from a hub that has not greeted yet.

    Raises:
        LayerUnavailable: it hung up.
    """
    data = made.recv(CHUNK)
    if not data:
        msg = f"the hub at {path} hung up instead of greeting"
        raise LayerUnavailable(msg)
    return data


def hello(versions: tuple[int, int] = VERSIONS) -> Hello:
    """Return a client's first frame."""
    name = os.path.basename(sys.argv[0]) if sys.argv else ""  # noqa: PTH119
    return Hello(MAGIC, *versions, f"{name or 'python'}[{os.getpid()}]")


def check_welcome(frame: Frame, path: str) -> Welcome:
    """Return the hub's first frame, if it is a welcome.

    Raises:
        LayerUnavailable: it is not.
    """
    if isinstance(frame, Welcome):
        return frame
    reason = frame.reason if isinstance(frame, Refusal) else f"it said {type(frame).__name__}"
    msg = f"the hub at {path} refuses this client: {reason}"
    raise LayerUnavailable(msg)


def _wait_readable(made: socket.socket, timeout: float) -> bool:
    poll = select.poll()
    poll.register(made, select.POLLIN)
    return bool(poll.poll(max(0.0, timeout) * 1000))
