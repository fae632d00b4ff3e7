"""What comes unasked, and to whom it goes: the feeds of pushes, of messages, and of a demultiplexer's streams."""

from collections.abc import Iterator
from typing import Any, TypeVar
from weakref import WeakSet

from fairway.client.feeds import Feed, Overflow
from fairway.client.frames import Push
from fairway.client.requests import Requests
from fairway.limits import ClientLimits

SomeFeed = TypeVar("SomeFeed", bound=Feed[Any])


class Stream(Feed[Any]):
    """One stream of a demultiplexer: an asynchronous iterator over its payloads, and the way to send some.

    Parameters:
        name: its name.
        requests: how a frame is sent.
        limits: how much it holds.
        overflow: what happens to the rest.
    """

    def __init__(self, name: str, requests: Requests, limits: ClientLimits, overflow: Overflow) -> None:
        super().__init__(f"the stream {name!r:.100}", limits, overflow)
        self.name = name
        self._requests = requests

    async def send(self, payload: Any, *, timeout: float | None = None) -> None:
        """Send a payload, now or when there is a connection; return when it is given to the socket.

        Raises:
            TimedOut, ConnectionLost, ClientClosed, QueueFull, InvalidMessage, MessageTooLarge: as `Client.request`.
        """
        frame = {"stream": self.name, "payload": payload}
        await self._requests.post(frame, f"a payload for {self.name!r:.100}", timeout)


class Feeds:
    """The feeds that somebody holds; others are forgotten.

    Parameters:
        requests: how streams send.
        limits: how much each holds.
    """

    def __init__(self, requests: Requests, limits: ClientLimits) -> None:
        self._requests = requests
        self._limits = limits
        self._pushes: WeakSet[Feed[Push]] = WeakSet()
        self._messages: WeakSet[Feed[dict[str, Any]]] = WeakSet()
        self._streams: dict[str, WeakSet[Stream]] = {}
        self._is_closed = False
        self._error: Exception | None = None

    def pushes(self, overflow: Overflow) -> Feed[Push]:
        """Make one for all pushes."""
        feed: Feed[Push] = Feed("the pushes", self._limits, overflow)
        self._pushes.add(feed)
        return self._begun(feed)

    def messages(self, overflow: Overflow) -> Feed[dict[str, Any]]:
        """Make one for frames that belong to nothing."""
        feed: Feed[dict[str, Any]] = Feed("the messages", self._limits, overflow)
        self._messages.add(feed)
        return self._begun(feed)

    def stream(self, name: str, overflow: Overflow) -> Stream:
        """Make one for a stream."""
        stream = Stream(name, self._requests, self._limits, overflow)
        # Names that nobody holds a stream of any more.
        for empty in [known for known, streams in self._streams.items() if not streams]:
            del self._streams[empty]
        self._streams.setdefault(name, WeakSet()).add(stream)
        return self._begun(stream)

    def push(self, push: Push, size: int) -> None:
        """Hand on a push."""
        for feed in list(self._pushes):
            feed.put(push, size)

    def message(self, frame: dict[str, Any], size: int) -> None:
        """Hand on a message."""
        for feed in list(self._messages):
            feed.put(frame, size)

    def payload(self, stream: str, payload: Any, size: int) -> None:
        """Hand on what came on a stream."""
        for feed in list(self._streams.get(stream, ())):
            feed.put(payload, size)

    def closed(self, error: Exception | None) -> None:
        """End all of them, and those that are still to be made."""
        self._is_closed = True
        self._error = error
        for feed in self._all():
            feed.end(error)

    def _begun(self, feed: SomeFeed) -> SomeFeed:
        if self._is_closed:
            feed.end(self._error)
        return feed

    def _all(self) -> Iterator[Feed[Any]]:
        yield from list(self._pushes)
        yield from list(self._messages)
        for streams in list(self._streams.values()):
            yield from list(streams)
