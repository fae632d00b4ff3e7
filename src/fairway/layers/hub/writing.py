"""Writing to a line: threads take turns at it, coroutines never wait in it, and no frame is written into another.

What the socket does not take at once is written by a thread of its own.
"""

import asyncio
import concurrent.futures
import socket
import threading
from abc import ABC, abstractmethod
from collections import deque

from fairway.errors import LayerUnavailable
from fairway.layers.hub.link import Link
from fairway.layers.hub.tls import Seal

_Done = concurrent.futures.Future[None]


class LineLost(LayerUnavailable):
    """The line broke before something was written to it as a whole: the hub has not acted on it, and will not."""


class Writing(ABC):
    """The writing end of a line. Whoever makes the line says which connection there is."""

    path: str
    """The hub, for a person to read."""

    def __init__(self) -> None:
        self.generation = 0
        """Counts the connections; 0 before the first."""
        self._link: Link | None = None
        self._writing = threading.Lock()
        self._posted: deque[tuple[bytes, int, _Done | None]] = deque()

    @abstractmethod
    def lose(self, link: Link | None, reason: str) -> None:
        """Give a connection up, unless that has been done."""

    def forget_writing(self) -> None:
        """Start anew in a forked process."""
        self._writing = threading.Lock()
        self._posted.clear()

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
                if link.seal is not None:
                    data = self._close(link, link.seal, data)
                self._write(link, data)
        finally:
            if self._posted:
                self.write_posted()

    def _current(self, generation: int) -> Link:
        link = self._link
        if link is None or (generation and generation != self.generation):
            msg = f"there is no connection to the hub at {self.path}"
            raise LineLost(msg)
        return link

    def _write(self, link: Link, data: bytes) -> None:
        try:
            link.socket.sendall(data)
        except OSError as error:
            raise self._broken(link, error) from error

    def _close(self, link: Link, seal: Seal, data: bytes) -> bytes:
        try:
            return seal.close(data)
        except OSError as error:
            raise self._broken(link, error) from error

    def _broken(self, link: Link, error: OSError) -> LineLost:
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
            if link.seal is not None:
                data = self._close(link, link.seal, data)
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

    def _write_rest(self, link: Link, rest: bytes, done: _Done) -> None:
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
