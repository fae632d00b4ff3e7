"""Requests on their way: those that wait to be sent, in order, and those that wait for their answers.

A request moves from the first to the second in the moment in which it is given to the socket. So when the connection
breaks it is known which ones the server cannot have seen: they wait for the next connection. Of the others only those
are sent again that do no harm twice.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from fairway.client.deadlines import within
from fairway.client.frames import ID_PREFIX, encode
from fairway.client.link import Link
from fairway.client.sockets import TURN
from fairway.errors import ClientClosed, ConnectionLost, QueueFull, RequestFailed
from fairway.limits import ClientLimits

NO_DATA = msgspec.UNSET
"""A request without `data`; None is sent as `null`."""


@dataclass(slots=True, eq=False)
class Waiting:
    """A request, or a frame without an answer, until it is settled.

    What is sent stands in two halves: between them comes the token, which a new connection may have changed.
    """

    id: str
    what: str
    head: bytes
    tail: bytes
    future: asyncio.Future[Any]
    idempotent: bool = False
    is_request: bool = True
    then: Callable[[Any, Exception | None], None] | None = None
    """Called with the result or the error at once: what the server says next may already be read."""

    @property
    def size(self) -> int:
        """Its bytes, without the token."""
        return len(self.head) + len(self.tail)

    def fail(self, error: Exception) -> None:
        """Settle it with an error, if nobody has done so."""
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # nobody may be waiting
            if self.then is not None:
                self.then(None, error)

    def succeed(self, result: Any) -> None:
        """Settle it, if nobody has done so."""
        if not self.future.done():
            self.future.set_result(result)
            if self.then is not None:
                self.then(result, None)


class Requests:
    """All requests of a client.

    Parameters:
        link: the connection.
        limits: how many there may be, of how many bytes.
    """

    def __init__(self, link: Link, limits: ClientLimits) -> None:
        self._link = link
        self._limits = limits
        # Ordered: taking the first of a plain dict again and again costs its length each time.
        self._queue: OrderedDict[str, Waiting] = OrderedDict()
        self._in_flight: dict[str, Waiting] = {}
        self._unsent = 0
        self._last = 0
        self._more = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._link.state == "open"

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many wait to be sent, how many for answers, and the bytes of the first."""
        return len(self._queue), len(self._in_flight), self._unsent

    def begin(self, kind: str, data: Any = NO_DATA, *, idempotent: bool = False) -> Waiting:
        """Put a request on its way; its future gets the `data` of the answer.

        Raises:
            ClientClosed, InvalidMessage, MessageTooLarge, QueueFull: it cannot be sent.
        """
        waiting = self._request(kind, data, idempotent=idempotent)
        self._check(waiting)
        self._put(waiting)
        return waiting

    def begin_first(self, kind: str, all_data: Iterable[Any], *, idempotent: bool) -> list[Waiting]:
        """Put requests of one kind on their way, before all that wait; no limit keeps them back."""
        made = [self._request(kind, data, idempotent=idempotent) for data in all_data]
        for waiting in reversed(made):
            self._put(waiting)
            self._queue.move_to_end(waiting.id, last=False)
        return made

    async def request(
        self, kind: str, data: Any = NO_DATA, *, timeout: float | None = None, idempotent: bool = False
    ) -> Any:
        """Send a request, now or when there is a connection; return the `data` of the answer.

        Raises: see `Client.request`.
        """
        return await self.settled(self.begin(kind, data, idempotent=idempotent), timeout)

    async def post(self, frame: dict[str, Any], what: str, timeout: float | None = None) -> None:
        """Send a frame that has no answer; return when it is given to the socket.

        Raises: see `Stream.send`.
        """
        encoded = encode(frame, what, self._limits.max_message)
        waiting = Waiting(self._next_id(), what, b"", encoded, _future(), is_request=False)
        self._check(waiting)
        self._put(waiting)
        await self.settled(waiting, timeout)

    async def settled(self, waiting: Waiting, timeout: float | None = None) -> Any:
        """Return what became of it; whoever waits no longer takes it back, as far as it is not sent.

        Raises: see `request`.
        """
        seconds = self._limits.timeout if timeout is None else timeout
        try:
            return await within(waiting.future, seconds, lambda: self._describe(waiting))
        finally:
            self.withdraw(waiting)

    def withdraw(self, waiting: Waiting) -> bool:
        """Forget it. Returns whether the server cannot have seen it."""
        self._in_flight.pop(waiting.id, None)
        if self._queue.pop(waiting.id, None) is None:
            return False
        self._unsent -= waiting.size
        return True

    def answer(self, frame: dict[str, Any]) -> None:
        """Take an answer; nobody may wait for it any more."""
        waiting = self._in_flight.pop(frame["id"], None)
        if waiting is None:
            return
        if frame.get("error") is not None:
            waiting.fail(RequestFailed(frame))
        else:
            waiting.succeed(frame.get("data"))

    # --- what the connection does ------------------------------------------------------------------------------------

    async def write(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Send what waits, and what comes, for as long as that goes well.

        Raises: what `send` raises.
        """
        token = msgspec.json.encode(self._link.token) if self._link.token else b""
        while True:
            for _ in range(TURN):
                waiting = await self._next()
                if waiting.is_request:
                    await send(_with_token(waiting, token))
                else:
                    await send(waiting.tail)
                    self._in_flight.pop(waiting.id, None)
                    waiting.succeed(None)
            await asyncio.sleep(0)

    def lost(self, why: str) -> None:
        """There is no connection any more. What may be sent again goes before what was not sent yet."""
        lost, self._in_flight = self._in_flight, {}
        for waiting in reversed(lost.values()):
            if waiting.idempotent:
                self._put(waiting)
                self._queue.move_to_end(waiting.id, last=False)
            else:
                waiting.fail(ConnectionLost(f"the connection broke before {waiting.what} was settled: {why}"))

    def closed(self, why: str) -> None:
        """There will be none."""
        waiting = [*self._in_flight.values(), *self._queue.values()]
        self._in_flight.clear()
        self._queue.clear()
        self._unsent = 0
        for each in waiting:
            each.fail(ClientClosed(f"the client was closed before {each.what} was settled: {why}"))

    async def _next(self) -> Waiting:
        """Take the next one that is to be sent; from now on the server may have seen it."""
        while not self._queue:
            self._more.clear()
            await self._more.wait()
        message_id, waiting = self._queue.popitem(last=False)
        self._unsent -= waiting.size
        self._in_flight[message_id] = waiting
        return waiting

    def _request(self, kind: str, data: Any, *, idempotent: bool) -> Waiting:
        message_id = self._next_id()
        what = f"the request {kind!r:.100}"
        head = encode({"type": kind, "id": message_id}, what, self._limits.max_message)[:-1]
        tail = b"}"
        if data is not NO_DATA:
            tail = b',"data":%b}' % encode(data, f"the data of {what}", self._limits.max_message)
        return Waiting(message_id, what, head, tail, _future(), idempotent)

    def _next_id(self) -> str:
        self._last += 1
        return f"{ID_PREFIX}{self._last}"

    def _put(self, waiting: Waiting) -> None:
        self._queue[waiting.id] = waiting
        self._unsent += waiting.size
        self._more.set()

    def _check(self, waiting: Waiting) -> None:
        """Refuse what has no room, or no future.

        Raises:
            ClientClosed, QueueFull: it does not.
        """
        link, limits = self._link, self._limits
        if link.state == "new":
            raise ClientClosed(f"{waiting.what} cannot be sent yet: use 'async with connect(...) as client'")
        if link.state == "closed":
            raise ClientClosed(f"{waiting.what} cannot be sent: the client is closed ({link.last})")
        queued = len(self._queue)
        if not self.is_open and queued >= limits.max_queue:
            msg = f"{queued:,} requests wait for a connection; max_queue is {limits.max_queue:,} ({link.last})"
            raise QueueFull(msg)
        present = queued + len(self._in_flight)
        if present >= limits.max_in_flight:
            raise QueueFull(f"{present:,} requests wait; max_in_flight is {limits.max_in_flight:,}")
        if self._unsent + waiting.size > limits.max_unsent:
            raise QueueFull(f"{self._unsent:,} bytes wait to be sent; max_unsent is {limits.max_unsent:,}")

    def _describe(self, waiting: Waiting) -> str:
        if waiting.id not in self._queue:
            return f"no answer to {waiting.what}"
        how = "the server reads nothing" if self.is_open else f"there was no connection ({self._link.last})"
        return f"{waiting.what} could not be sent, because {how}"


def _with_token(waiting: Waiting, token: bytes) -> bytes:
    if not token:
        return waiting.head + waiting.tail
    return b'%b,"auth_jwt":%b%b' % (waiting.head, token, waiting.tail)


def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()
