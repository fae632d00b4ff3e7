"""One connection that comes back by itself: sockets one after the other, by the tables of `machine` and `closing`.

It knows nothing about what is in a frame. All that happens to the connection happens in one task.
"""

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, Protocol

from fairway.client.closing import LASTED, Closing, Verdict, delay_after, verdict_after
from fairway.client.machine import TRANSITIONS, Happening, State
from fairway.client.sockets import ABNORMAL, Address, NoConnection, Socket, open_socket
from fairway.errors import ConnectionLost
from fairway.limits import UNLIMITED, ClientLimits

logger = logging.getLogger("fairway.client")

Token = str | Callable[[], str | Awaitable[str]]
"""A token, or what is asked for one before each connection."""


class Try(NamedTuple):
    """A try that is to come."""

    attempt: int
    """1 for the first since the last good connection."""

    delay: float
    """Seconds until then."""


class Watcher(Protocol):
    """Who is told, and who has the frames to send."""

    def opened(self) -> None:
        """There is a connection."""

    def received(self, frame: str | bytes) -> None:
        """A frame has come."""

    def ended(self, closing: Closing) -> None:
        """A connection has ended, or a try has failed."""

    def reconnecting(self, next_try: Try) -> None:
        """There will be a try."""

    def connecting(self) -> None:
        """There is one."""

    def failed(self, error: Exception) -> None:
        """The token could not be had."""

    async def write(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Send what there is to be sent, until that raises `ConnectionLost`."""


class Link:
    """The connection.

    Parameters:
        address: where to.
        limits: how long to wait.
        codes: what close codes and statuses mean to the application.
        watcher: who is told.
    """

    def __init__(
        self, address: Address, limits: ClientLimits, codes: Mapping[int, Verdict], watcher: Watcher, token: Token
    ) -> None:
        self.state: State = "new"
        self.token = ""
        self.last: Closing | None = None
        self._address = address
        self._limits = limits
        self._codes = codes
        self._watcher = watcher
        self._ask_token = token
        self._failures = 0
        self._heard = 0
        self._retry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> bool:
        """Begin. Returns False if it has begun before."""
        if not self._step("start"):
            return False
        self._task = asyncio.get_running_loop().create_task(self._run())
        return True

    def reconnect(self) -> None:
        """Connect now, out of any wait."""
        if self._step("retry"):
            self._retry.set()

    async def close(self) -> None:
        """End it for good, and wait until the socket is closed. Cancelled, that goes on by itself."""
        if self._step("close"):
            self._end(Closing(1000))
            if self._task is not None:
                self._task.cancel()
        if self._task is not None and self._task is not asyncio.current_task():
            await asyncio.wait([self._task])

    def _step(self, happening: Happening) -> bool:
        """Change the state; return False where the table has no such change."""
        following = TRANSITIONS[self.state].get(happening)
        if following is None:
            return False
        self.state = following
        return True

    def _end(self, closing: Closing) -> None:
        self.last = closing
        self._watcher.ended(closing)

    async def _run(self) -> None:
        why = "the client's task was cancelled"  # not by `close`: such as by a loop that comes to its end
        try:
            while self.state == "connecting":
                self._watcher.connecting()
                closing = await self._connect()
                await self._after(closing)
        except Exception as error:
            why = f"the client has failed: {error!r}"
            logger.exception("the client of %s has failed", self._address.url)
        finally:
            if self._step("close"):
                self._end(Closing(ABNORMAL, why))

    async def _connect(self) -> Closing:
        """Open a socket and use it; return how it ended, or why there was none."""
        timeout = self._limits.connect_timeout
        try:
            async with asyncio.timeout(None if timeout == UNLIMITED else timeout):
                self.token = await self._fresh_token()
                socket = await open_socket(self._address, self._limits)
        except NoConnection as error:
            return error.closing
        except TimeoutError:
            return Closing(ABNORMAL, f"no connection within connect_timeout ({timeout:g} s)")
        self._step("opened")
        return await self._use(socket)

    async def _fresh_token(self) -> str:
        """Return the token.

        Raises:
            NoConnection: it could not be had.
        """
        if isinstance(self._ask_token, str):
            return self._ask_token
        try:
            token = self._ask_token()
            return await token if inspect.isawaitable(token) else token
        except Exception as error:
            self._watcher.failed(error)
            raise NoConnection(Closing(ABNORMAL, f"no token: {error!r}")) from error

    async def _use(self, socket: Socket) -> Closing:
        loop = asyncio.get_running_loop()
        opened_at = loop.time()
        helpers = []
        try:
            self._watcher.opened()
            helpers = [loop.create_task(work) for work in (self._write(socket), self._beat(socket))]
            return await socket.read(self._received)
        finally:
            if loop.time() - opened_at > LASTED:
                self._failures = 0
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            await socket.close()

    def _received(self, frame: str | bytes) -> None:
        self._heard += 1
        self._watcher.received(frame)

    async def _write(self, socket: Socket) -> None:
        try:
            await self._watcher.write(socket.send)
        except ConnectionLost:
            pass  # of which the reader tells
        except Exception as error:
            logger.exception("the client of %s cannot send", self._address.url)
            socket.abort(f"sending failed: {error!r}")

    async def _beat(self, socket: Socket) -> None:
        """Give the socket up when there is no sign of life. Any frame is one, while a ping may wait in a full pipe."""
        while (seconds := self._limits.heartbeat) != UNLIMITED:
            heard = self._heard
            await asyncio.sleep(seconds)
            if heard != self._heard:
                continue
            with contextlib.suppress(TimeoutError, ConnectionLost):
                async with asyncio.timeout(seconds):
                    await socket.answers()
                continue
            if heard == self._heard:
                socket.abort(f"no sign of life in twice heartbeat ({seconds:g} s)")

    async def _after(self, closing: Closing) -> None:
        """Tell of an end, and wait for the next try if there is to be one."""
        verdict = verdict_after(closing, self._codes)
        is_final = verdict == "stay"
        if not self._step("ended" if is_final else "lost"):
            return  # it was closed in the same moment
        self._retry.clear()
        self._end(closing._replace(will_reconnect=not is_final))
        if is_final:
            return
        delay = delay_after(verdict, self._failures)
        self._failures += 1
        if self.state == "waiting":  # whoever was told may have decided otherwise
            self._watcher.reconnecting(Try(self._failures, delay))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._retry.wait()
        self._step("due")
