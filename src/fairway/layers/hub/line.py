"""A client's end of a line to the hub: making it, again and again, and writing. Who reads it is decided in `turns`.

The socket blocks: a thread that waits for the hub costs one system call. A coroutine never waits in it: what the
socket does not take at once is written by a thread.
"""

import asyncio
import concurrent.futures
import logging
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from fairway.errors import LayerUnavailable
from fairway.layers.hub.greeting import CHUNK, HubRefuses, check_welcome, dial, hello, limit_sends, receive_some
from fairway.wire.hub import FRAME_LIMIT, STOPS, Frame, FrameBroken, FrameReader, FromHub, Refusal, Welcome, pack

logger = logging.getLogger("fairway.layer")

SEND_TIMEOUT = 10.0
"""A hub that takes nothing for so long is taken for dead."""

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 1.0
"""Between two attempts to reach a hub that is away."""


_Done = concurrent.futures.Future[None]


class LineLost(LayerUnavailable):
    """The line broke before something was written to it as a whole: the hub has not acted on it, and will not."""


class _Link:
    """One connection, and what belongs to it alone."""

    __slots__ = ("early", "frames", "opening", "socket")

    def __init__(self, made: socket.socket, frames: FrameReader[Any], early: list[Frame]) -> None:
        self.socket = made
        self.frames = frames
        self.early = early
        """Frames that came with the welcome."""
        self.opening = b""
        """What has to be written to it before anything else."""


class Line:
    """One connection to a hub at a time, made again when it breaks.

    Locks are taken in this order: `_writing`, `_connecting`, then whatever `on_made` and `on_lost` take.

    Parameters:
        path: the hub's socket.
        versions: the oldest and the newest version of the protocol that is spoken.
        on_made: called when there is a new connection, with a function that puts it to use. It calls that with what is
            to be written before anything else, while it keeps the state still that this is made of.
        on_lost: called, in any thread, when the line has broken, and before it is made again.
    """

    def __init__(
        self,
        path: str,
        versions: tuple[int, int],
        on_made: Callable[[Callable[[bytes], None]], None],
        on_lost: Callable[[], None],
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
        self._link: _Link | None = None
        self._connecting = threading.RLock()
        self._attempts = 0
        self._failure = ""
        """Why the last attempt to connect failed."""
        self._refusal = ""
        """The refusal that the log has told about."""
        self._writing = threading.Lock()
        self._posted: deque[tuple[bytes, int, _Done | None]] = deque()
        self._is_away = False
        self._away_since = 0.0
        self._closing = threading.Event()
        self._stale: list[socket.socket] = []
        """Broken connections. They are closed later: a thread may be about to read one, and numbers are used again."""

    @property
    def is_up(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._link is not None

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
        if self._link is not None:
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
        self.write(b"")

    def _make(self) -> None:
        self._close_stale()
        try:
            link, welcome = self._greet()
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
        self._on_made(partial(self._use, link, welcome))

    def _use(self, link: _Link, welcome: Welcome, opening: bytes) -> None:
        self.version, self.epoch = welcome.version, welcome.epoch
        link.opening = opening
        # In this order: whoever sees the new connection sees its number, too.
        self.generation += 1
        self._link = link

    def _greet(self) -> tuple[_Link, Welcome]:
        made = dial(self.path)
        try:
            frames: FrameReader[Any] = FrameReader(FromHub)
            made.sendall(pack(hello(self._versions)))
            received: list[Frame] = []
            while not received:
                received = frames.receive(receive_some(made, self.path))
            welcome = check_welcome(received[0], self.path)
            frames.limit = FRAME_LIMIT
            made.settimeout(None)
            limit_sends(made, SEND_TIMEOUT)
        except BaseException as error:
            made.close()
            if isinstance(error, OSError | FrameBroken):
                msg = f"the hub at {self.path} did not greet: {error}"
                raise LayerUnavailable(msg) from error
            raise
        return _Link(made, frames, received[1:]), welcome

    def lose(self, link: _Link | None, reason: str) -> None:
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
        self._writing = threading.Lock()
        self._posted.clear()
        self._is_away = False
        self._away_since = 0.0
        self._closing = threading.Event()
        if self.closed:
            self._closing.set()

    # --- writing -----------------------------------------------------------------------------------------------------

    def write(self, data: bytes, generation: int = 0) -> None:
        """Write bytes; wait while the hub is behind.

        Parameters:
            data: whole frames.
            generation: the connection that they are for; 0 for any.

        Raises:
            LineLost: there is no such connection (any more).
        """
        try:
            with self._writing:
                link = self._current(generation)
                if link.opening:
                    data, link.opening = link.opening + data, b""
                self._write(link, data)
        finally:
            if self._posted:
                self.write_posted()

    def _current(self, generation: int) -> _Link:
        link = self._link
        if link is None or (generation and generation != self.generation):
            msg = f"there is no connection to the hub at {self.path}"
            raise LineLost(msg)
        return link

    def _write(self, link: _Link, data: bytes) -> None:
        try:
            link.socket.sendall(data)
        except OSError as error:
            raise self._broken(link, error) from error

    def _broken(self, link: _Link, error: OSError) -> LineLost:
        self.lose(link, str(error))
        return LineLost(f"the connection to the hub at {self.path} broke: {error}")

    async def awrite(self, data: bytes, generation: int = 0) -> None:
        """Do as `write`; the event loop does not wait. When it is cancelled, the frames are written all the same."""
        if not self._posted and self._writing.acquire(blocking=False):
            done = self._write_at_once(data, generation, None)
            if self._posted:
                self.write_posted()
        else:
            # In the queue, as the frames of one loop keep their order, also when whoever waits for one is cancelled.
            done = concurrent.futures.Future()
            self._posted.append((data, generation, done))
            self.write_posted()
        if done:
            await asyncio.shield(asyncio.wrap_future(done))

    def post(self, data: bytes) -> None:
        """Have something written soon that is of no use any more once this connection is lost; `write_posted` does it.

        What is posted is written in the order in which it was posted.
        """
        self._posted.append((data, self.generation, None))

    def write_posted(self) -> None:
        """Write what was posted, without waiting for anybody: a thread that is writing right now does this, too."""
        while self._posted and self._writing.acquire(blocking=False):
            try:
                data, generation, done = self._posted.popleft()
            except IndexError:
                self._writing.release()
                continue
            try:
                if self._write_at_once(data, generation, done):
                    return
            except LineLost as error:
                if done:
                    done.set_exception(error)
            else:
                if done:
                    done.set_result(None)

    def _write_at_once(self, data: bytes, generation: int, done: _Done | None) -> _Done | None:
        """Write what the socket takes now; a thread of its own writes the rest, if there is any.

        Called with the lock, which is let go at the end of it: nobody may write in the middle of a frame. The rest
        never waits for a pool of threads, whose threads may all wait for the lock.

        Returns:
            what is done (`done`, if given) when the rest is written; None when there is no rest.
        """
        rest = b""
        try:
            link = self._current(generation)
            if link.opening:
                data, link.opening = link.opening + data, b""
            try:
                rest = data[link.socket.send(data, socket.MSG_DONTWAIT) :]
            except BlockingIOError:
                rest = data
            except OSError as error:
                raise self._broken(link, error) from error
        finally:
            if not rest:
                self._writing.release()
        if not rest:
            return None
        done = done or concurrent.futures.Future()
        writer = threading.Thread(target=self._write_rest, args=(link, rest, done), name="fairway-write", daemon=True)
        try:
            writer.start()
        except RuntimeError as error:  # there can be no more threads; half a frame is of no use
            self._writing.release()
            raise self._broken(link, OSError(str(error))) from error
        return done

    def _write_rest(self, link: _Link, rest: bytes, done: _Done) -> None:
        error: LineLost | None = None
        try:
            self._write(link, rest)
        except LineLost as lost:
            error = lost
        finally:
            self._writing.release()
        if error:
            done.set_exception(error)
        else:
            done.set_result(None)
        self.write_posted()

    # --- reading -----------------------------------------------------------------------------------------------------

    def read(self, timeout: float | None) -> list[Any]:
        """Return the frames that have come, waiting for the next; none when the time is over, or the line broke."""
        link = self._link
        if link is None:
            return []
        if link.early:
            early, link.early = link.early, []
            return early
        try:
            if timeout is not None and not _wait_readable(link.socket, timeout):
                return []
            data = link.socket.recv(CHUNK)
            if data:
                return self._check(link, link.frames.receive(data))
        except (OSError, ValueError) as error:
            self.lose(link, str(error))
        except FrameBroken as error:
            self.lose(link, error.reason)
        else:
            self.lose(link, "it hung up")
        return []

    def _check(self, link: _Link, frames: list[Any]) -> list[Any]:
        if frames and type(frames[-1]) is Refusal:
            self.lose(link, frames[-1].reason)
        return frames


def _wait_readable(made: socket.socket, timeout: float) -> bool:
    poll = select.poll()
    poll.register(made, select.POLLIN)
    return bool(poll.poll(max(0.0, timeout) * 1000))
