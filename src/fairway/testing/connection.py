"""The server's end of a test client: an inbox of its own, and what a server keeps about a connection.

It does without event loop and thread: the layer calls when there is something, and it is dealt with at once, by
whoever has sent it. So a test sees what was sent as soon as `send` has returned.
"""

import itertools
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakMethod, WeakValueDictionary

from fairway.broker.effects import (
    Abandoned,
    Add,
    Ask,
    Discard,
    Envelope,
    Frame,
    GroupFrame,
    Item,
    Refused,
    State,
)
from fairway.errors import ChannelFull
from fairway.layers.codec import decode_message, encode_message
from fairway.layers.memory import MemoryLayer

Actions = list[Callable[[], object]]
"""What is to be done once our lock is free: each of it may call us again, or another connection."""

_known: "WeakValueDictionary[str, Connection]" = WeakValueDictionary()


def connection_of(reply_channel: str) -> "Connection | None":
    """Return the connection behind a reply channel, if it is one of ours."""
    return _known.get(reply_channel) if reply_channel else None


class Connection:
    """One connection.

    Parameters:
        layer: where its messages go, and what is for it comes from.
        kind: how its reply channel begins.
    """

    def __init__(self, layer: MemoryLayer, kind: str) -> None:
        prefix = f"{kind}.{secrets.token_hex(5)}!"
        self.layer = layer
        self.reply_channel = f"{prefix}c1"
        self.frames: deque[dict[str, Any]] = deque()
        """What was sent to the client, and not yet received."""
        self.groups: dict[str, int] = {}
        """The groups it is in, each with the generation that `leave` names."""
        self.state: dict[str, bytes] = {}
        self.order = 0
        """The number of the next message."""
        self.path = "/"
        self._has_connected = False
        self._has_ended = False
        self._held: list[dict[str, Any]] | None = None
        """What groups send while a consumer runs for us that makes us wait for it."""
        self._holds_all = False
        self._joined: set[str] = set()
        self._refused: Refused | None = None
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._inbox = layer.inbox([prefix], _weak(self._take))
        _known[self.reply_channel] = self

    # --- to the workers ----------------------------------------------------------------------------------------------

    def submit(self, channel: str, content: Mapping[str, Any]) -> None:
        """Send a message of this connection to the consumers. One of a protocol gets its number.

        Raises:
            InvalidName, InvalidMessage, MessageTooLarge: it cannot be sent, and why.
            ChannelFull: there is no room for it.
        """
        with self._lock:
            content = {"reply_channel": self.reply_channel, **content}
            order = -1
            if channel.startswith(("websocket.", "http.")):
                order = self._number(channel, content)
                if channel.startswith("websocket."):
                    content.setdefault("order", order)
            body = encode_message(content, self.layer.message_limits)
            envelope = Envelope(f"{self.reply_channel}-{next(self._numbers)}", channel, self.reply_channel, order=order)
            self._refused = None
        self._inbox.submit(envelope, body)
        if self._refused:
            raise ChannelFull(channel)

    def _number(self, channel: str, content: Mapping[str, Any]) -> int:
        if channel == "websocket.connect":
            self._begin()
            self.path = content.get("path") or self.path
        elif channel == "websocket.disconnect":
            self._end()
        order: int = content.get("order", self.order)
        self.order = order + 1
        return order

    def _begin(self) -> None:
        """Be a new connection, if we have been one before."""
        if self._has_connected:
            self._end()
            self.state, self.order = {}, 0
            self.frames.clear()
        self._has_connected, self._has_ended = True, False

    def _end(self) -> None:
        """Leave all groups: those of a socket end with it."""
        self._has_ended = True
        groups, self.groups = self.groups, {}
        for group, generation in groups.items():
            self._inbox.leave(group, generation)

    @contextmanager
    def consuming(self, channel: str) -> Iterator[None]:
        """Hold back what groups send while a consumer runs for us, as a server does.

        During the connect that is everything, later what comes from groups that are joined meanwhile.
        """
        with self._lock:
            self._held, self._holds_all, self._joined = [], channel == "websocket.connect", set()
        try:
            yield
        finally:
            with self._lock:
                held, self._held = self._held, None
                if not (self._holds_all and any("reject" in frame for frame in self.frames)):
                    self.frames.extend(held)

    # --- from the layer ----------------------------------------------------------------------------------------------

    def _take(self) -> None:
        actions: Actions = []
        with self._lock:
            for item in self._inbox.drain():
                self._handle(item, actions)
        for act in actions:
            act()

    def _handle(self, item: Item, actions: Actions) -> None:
        if isinstance(item, Frame):
            self.frames.append(decode_message(item.body))
        elif isinstance(item, GroupFrame):
            self._handle_group(item, actions)
        elif isinstance(item, Add):
            if self._has_ended:
                actions.append(lambda: self._inbox.leave(item.group, item.generation))
            else:
                self.groups[item.group] = item.generation
                self._joined.add(item.group)
        elif isinstance(item, Discard):
            generation = self.groups.pop(item.group, None)
            if generation is not None:
                actions.append(lambda: self._inbox.leave(item.group, generation))
        elif isinstance(item, State):
            merged = {**self.state, **item.changes}
            self.state = {key: value for key, value in merged.items() if value is not None}
        elif isinstance(item, Ask):
            answer = self._answer(item)
            actions.append(lambda: self._inbox.answer(item.token, answer))
        elif isinstance(item, Abandoned):
            self.frames.append({"close": 1011})
        elif isinstance(item, Refused):
            self._refused = item

    def _handle_group(self, item: GroupFrame, actions: Actions) -> None:
        if item.group not in self.groups:
            return
        content = decode_message(item.body)
        if item.typed:
            event = {"path": self.path, "event": content}
            actions.append(lambda: self.submit("websocket.event", event))
        elif self._held is not None and (self._holds_all or item.group in self._joined):
            self._held.append(content)
        else:
            self.frames.append(content)

    def _answer(self, item: Ask) -> Any:
        if item.question == "members":
            return [self.reply_channel] if item.about in self.groups else []
        return dict(self.state)


def _weak(method: Callable[[], None]) -> Callable[[], None]:
    """Return what calls a method as long as its object lives: a layer keeps no client that its test has let go."""
    reference = WeakMethod(method)

    def call() -> None:
        living = reference()
        if living:
            living()

    return call
