"""The client: what a script holds. Its parts know each other only through it."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Self, Unpack

from fairway.client.closing import Closing, Verdict, checked
from fairway.client.deadlines import within
from fairway.client.events import Emitter
from fairway.client.feeds import Feed, Overflow
from fairway.client.frames import Frame, Push, read_frame
from fairway.client.link import Link, Token, Try
from fairway.client.machine import State
from fairway.client.requests import NO_DATA, Requests
from fairway.client.sockets import Address, Handshake
from fairway.client.streams import Feeds, Stream
from fairway.client.subscriptions import Group, Subscription, Subscriptions
from fairway.errors import ClientClosed
from fairway.limits import ClientLimits

logger = logging.getLogger("fairway.client")

DEFAULTS = ClientLimits()

NORMAL = 1000


class Statistics(NamedTuple):
    """What a client holds at the moment."""

    queued: int
    """Requests and payloads that wait to be sent, of `unsent` bytes."""

    in_flight: int
    """Requests that wait for their answers."""

    unsent: int


class Client(Emitter):
    """A connection that comes back by itself, in an `async with`. Made by `connect`; it belongs to one event loop.

    Parameters:
        link: makes the connection, for whoever watches it.
        limits: what it waits for, and holds.
    """

    def __init__(self, link: Callable[["Client"], Link], limits: ClientLimits) -> None:
        super().__init__()
        self._limits = limits
        self._link = link(self)
        self._requests = Requests(self._link, limits)
        self._subscriptions = Subscriptions(self._requests, limits, self.failed)
        self._feeds = Feeds(self._requests, limits)
        self._openings: set[asyncio.Future[None]] = set()

    async def __aenter__(self) -> Self:
        if not self._link.start():
            raise ClientClosed("a client is opened once; make another one with connect()")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def state(self) -> State:
        """`new`, `connecting`, `open`, `waiting` or `closed`."""
        return self._link.state

    @property
    def statistics(self) -> Statistics:
        """What it holds at the moment."""
        queued, in_flight, unsent = self._requests.counts
        return Statistics(queued, in_flight, unsent)

    async def request(
        self,
        type: str,  # noqa: A002  as the wire has it
        data: Any = NO_DATA,
        *,
        timeout: float | None = None,
        idempotent: bool = False,
    ) -> Any:
        """Send a request, now or when there is a connection; return the `data` of the answer.

        Parameters:
            type: which handler is to answer.
            data: what JSON can say; also dates, UUIDs, dataclasses, and what else `msgspec` knows.
            timeout: seconds from the call on; `UNLIMITED` is allowed. None: as the limits say.
            idempotent: it does no harm twice: when the connection breaks, it is sent again on the next.

        Raises:
            RequestFailed: the server answered with an error.
            TimedOut: no answer in time.
            ConnectionLost: the connection broke before the answer came.
            ClientClosed: the client is closed.
            QueueFull: too many wait.
            InvalidMessage, MessageTooLarge: the data cannot be sent.
        """
        return await self._requests.request(type, data, timeout=timeout, idempotent=idempotent)

    async def ping(self, *, timeout: float | None = None) -> float:
        """Ask the application whether it is there; return the seconds until its answer. Raises as `request`."""
        began = time.perf_counter()  # finer than the clock of some event loops
        await self.request("ping", timeout=timeout)
        return time.perf_counter() - began

    def subscribe(
        self, group: Group, *, timeout: float | None = None, overflow: Overflow = Overflow.DROP_OLDEST
    ) -> Subscription:
        """Return the changes that a group is told of: `async with` it, or `await` it and `unsubscribe()` at the end.

        Parameters:
            group: what the application calls it: usually a type and an id.
            timeout: seconds until the server has to agree; as in `request`.
            overflow: what happens when nobody takes the changes.

        Raises: awaited, what `request` raises; `RequestFailed` if the server refuses.
        """
        seconds = self._limits.timeout if timeout is None else timeout
        return Subscription(self._subscriptions, group, seconds, overflow)

    def pushes(self, *, overflow: Overflow = Overflow.DROP_OLDEST) -> Feed[Push]:
        """Return the changes that any group of this connection is told of, from now on."""
        return self._feeds.pushes(overflow)

    def messages(self, *, overflow: Overflow = Overflow.DROP_OLDEST) -> Feed[dict[str, Any]]:
        """Return the frames that answer nothing, and belong to no group and no stream, from now on."""
        return self._feeds.messages(overflow)

    def stream(self, name: str, *, overflow: Overflow = Overflow.DROP_OLDEST) -> Stream:
        """Return one stream of a demultiplexer: its payloads from now on, and the way to send some."""
        return self._feeds.stream(name, overflow)

    async def wait_open(self, timeout: float | None = None) -> None:
        """Return once there is a connection. What is sent needs not wait for that.

        Raises:
            TimedOut: there was none in time.
            ClientClosed: there will be none.
        """
        if self.state == "open":
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.state in ("new", "closed"):
            raise ClientClosed(f"the client is {self.state} ({self._link.last})")
        self._openings.add(future)
        seconds = self._limits.timeout if timeout is None else timeout
        try:
            await within(future, seconds, lambda: f"no connection ({self._link.last})")
        finally:
            self._openings.discard(future)

    def reconnect(self) -> None:
        """Connect now, out of any wait. An open connection stays, and a closed client stays closed."""
        self._link.reconnect()

    async def close(self) -> None:
        """End it, and wait until the socket is closed. What still waits raises `ClientClosed`."""
        await self._link.close()

    # --- what the link tells -----------------------------------------------------------------------------------------

    def connecting(self) -> None:
        """See `Watcher`."""
        self.emit("state", self.state)

    def opened(self) -> None:
        """See `Watcher`."""
        self._subscriptions.opened()
        for future in self._openings:
            if not future.done():
                future.set_result(None)
        self.emit("open", None)
        self.emit("state", self.state)

    def received(self, frame: str | bytes) -> None:
        """See `Watcher`."""
        self._route(read_frame(frame), len(frame))

    def ended(self, closing: Closing) -> None:
        """See `Watcher`."""
        why = str(closing)
        if closing.will_reconnect:
            self._requests.lost(why)
        else:
            self._closed(closing)
        self.emit("close", closing)
        self.emit("state", self.state)

    def reconnecting(self, next_try: Try) -> None:
        """See `Watcher`."""
        self.emit("reconnecting", next_try)

    def failed(self, error: Exception) -> None:
        """See `Watcher`."""
        if not self.emit("error", error):
            logger.warning("%s: %s", type(error).__name__, error)

    async def write(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """See `Watcher`."""
        await self._requests.write(send)

    def _closed(self, closing: Closing) -> None:
        self._requests.closed(str(closing))
        error = None if closing.code == NORMAL else ClientClosed(f"the client was closed: {closing}")
        for future in self._openings:
            if not future.done():
                future.set_exception(ClientClosed(f"the client was closed: {closing}"))
        self._subscriptions.closed(error)
        self._feeds.closed(error)

    def _route(self, frame: Frame, size: int) -> None:
        content = frame.content
        match frame.kind:
            case "answer":
                self._requests.answer(content)
            case "push":
                self._subscriptions.push(content, size)
                self._feeds.push(content, size)
                self.emit("push", content)
            case "stream":
                self._feeds.payload(frame.stream, content, size)
            case "message":
                self._feeds.message(content, size)
                self.emit("message", content)
            case "error":
                self.failed(content)


def connect(
    url: str,
    *,
    token: Token = "",
    limits: ClientLimits = DEFAULTS,
    codes: Mapping[int, Verdict] = MappingProxyType({}),
    **handshake: Unpack[Handshake],
) -> Client:
    """Return a client that connects in its `async with`, and comes back by itself.

    It does not wait for the connection: what is sent meanwhile waits, as long as its time limit allows.

    Parameters:
        url: with `ws:`, `wss:`, `http:` or `https:`.
        token: sent with each request as `auth_jwt`. A function, also a coroutine function, is asked before each
            connection.
        limits: what the client waits for, and holds.
        codes: "soon", "later" or "stay" for close codes, and for HTTP statuses of a refused handshake, that mean
            something else to the application than in `closing.CLOSE_CODES` and `closing.STATUSES`.
        handshake: `headers`, `protocols`, `ssl` and `proxy`.

    Raises:
        UsageError: the address, the codes or the handshake cannot be used.
        MissingExtra: `websockets` is not installed.
    """
    address, meant = Address(url, handshake), checked(codes)
    return Client(lambda watcher: Link(address, limits, meant, watcher, token), limits)
