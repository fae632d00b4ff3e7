"""What a consumer receives: a dict that knows where it came from and where to answer."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from fairway.channel import Channel
from fairway.messages import protocol_of
from fairway.worker.outbox import current_outbox
from fairway.worker.state import ConnectionState

if TYPE_CHECKING:
    from collections.abc import Callable, ItemsView, KeysView, ValuesView

    from fairway.broker.effects import Envelope
    from fairway.layers.base import Layer

_DECORATORS = {
    "user": "fairway.auth.channel_session_user",
    "channel_session": "fairway.sessions.channel_session",
    "http_session": "fairway.sessions.http_session",
}


class Message:
    """A message as a consumer receives it: a dict (`content`) that knows where it came from and where to answer.

    Decorators add attributes of their own.

    Parameters:
        content: the message itself; kept, not copied.
        channel_name: the channel it came on.
        channel_layer: the layer it came through.
        envelope: what travelled beside it, when a worker delivers it.
    """

    channel_session: Any
    http_session: Any
    user: Any

    find_user: Callable[[Message], Any] | None = None
    """Finds `user` when it is first looked at; a decorator of `fairway.auth` sets it."""

    find_channel_session: Callable[[Message], Any] | None = None
    """The same for `channel_session`, of `fairway.sessions`. Both are given the message and do not hold it: what refers
    to itself stays until the garbage collector comes."""

    asked: tuple[type, bool] | None = None
    """The class that was last asked whether it handles this message as a coroutine, and its answer."""

    # Defaults of the class: most messages never set them.
    _reply: Channel | None = None
    _state: ConnectionState | None = None

    def __init__(
        self,
        content: dict[str, Any],
        channel_name: str | None,
        channel_layer: Layer | None,
        *,
        envelope: Envelope | None = None,
    ) -> None:
        self.content = content
        self.channel_name = channel_name
        self.channel_layer = channel_layer
        self._envelope = envelope

    @property
    def channel(self) -> Channel:
        """The channel the message came on."""
        return Channel(self.channel_name or "", channel_layer=self.channel_layer)

    @property
    def reply_channel(self) -> Channel | Any:
        """Where to answer; None for a message that came from no connection.

        Hence the `Any` in its type: nearly every consumer answers one, and knows it by its channel.
        """
        reply = self._reply
        if reply is None:
            name = self.content.get("reply_channel")
            if not name:
                return None
            reply = Channel(name, channel_layer=self.channel_layer, protocol=protocol_of(self.channel_name))
            if self._envelope is not None and name == self._envelope.reply_channel:
                reply._sendable = name  # noqa: SLF001  the server that named it made sure
            self._reply = reply
        return reply

    @property
    def id(self) -> str:
        """The id of the message: the same each time it is delivered. Empty when no worker delivered it."""
        return self._envelope.id if self._envelope else ""

    @property
    def attempt(self) -> int:
        """1 at the first delivery; more when workers died while they consumed the message."""
        return self._envelope.attempt if self._envelope else 1

    @property
    def retries(self) -> int:
        """How often the message was put back: by `ConsumeLater`, or to be tried again after a failure."""
        return self._envelope.retries if self._envelope else 0

    @property
    def is_current(self) -> bool:
        """Whether this is the message that is being consumed here: what is changed in its state is saved."""
        outbox = current_outbox.get()
        return outbox is not None and outbox.is_open and outbox.delivery.envelope is self._envelope

    @property
    def state(self) -> ConnectionState:
        """The state of the connection. What a consumer changes here is there in the connection's next message.

        Raises:
            ValueError: the message came from no connection.
        """
        state = self._state_at_hand()
        if state is None:
            name = self.content["reply_channel"]
            packed = self.channel_layer.state(name) if self.channel_layer is not None else None
            state = self._keep_state(ConnectionState(name, packed))
        return state

    async def astate(self) -> ConnectionState:
        """Do as `state`; the event loop runs on while the connection's server is asked."""
        state = self._state_at_hand()
        if state is None:
            name = self.content["reply_channel"]
            packed = await self.channel_layer.astate(name) if self.channel_layer is not None else None
            state = self._keep_state(ConnectionState(name, packed))
        return state

    def _state_at_hand(self) -> ConnectionState | None:
        """Return the state if it is known here; None when the connection's server has to be asked."""
        if self._state is not None:
            return self._state
        outbox = current_outbox.get()
        if outbox is not None and outbox.state is not None and outbox.delivery.envelope is self._envelope:
            self._state = outbox.state
            return self._state
        name = self.content.get("reply_channel")
        if not name:
            msg = f"a message without a reply channel belongs to no connection, so it has no state: {self!r}"
            raise ValueError(msg)
        envelope = self._envelope
        if envelope is not None and (envelope.state is not None or envelope.order >= 0):
            return self._keep_state(ConnectionState(name, envelope.state))
        # An application message about a connection that did not carry the state along: the connection's server knows.
        return None

    def _keep_state(self, state: ConnectionState) -> ConnectionState:
        outbox = current_outbox.get()
        if outbox is not None and outbox.delivery.envelope is self._envelope:
            outbox.state = state
        self._state = state
        return state

    def __getattr__(self, name: str) -> Any:
        """Find the user or the channel session, which are asked for when they are first looked at.

        Raises:
            AttributeError: there is no such attribute; for one that a decorator sets the text names the decorator.
        """
        if name == "user" and self.find_user is not None:
            self.user = self.find_user(self)
            return self.user
        if name == "channel_session" and self.find_channel_session is not None:
            self.channel_session = self.find_channel_session(self)
            return self.channel_session
        if name in _DECORATORS:
            remedy = f"decorate its consumer with {_DECORATORS[name]}, or set the attribute of that kind on its class"
            msg = f"this message has no {name!r}: {remedy}"
        else:
            msg = f"{type(self).__name__!r} object has no attribute {name!r}"
        raise AttributeError(msg)

    def copy(self) -> Message:
        """Return a message with a deep copy of the content, of the same channel."""
        return Message(copy.deepcopy(self.content), self.channel_name, self.channel_layer, envelope=self._envelope)

    def __getitem__(self, key: str) -> Any:
        """Return a value of the content."""
        return self.content[key]

    def __setitem__(self, key: str, value: Any) -> None:
        """Set a value in the content."""
        self.content[key] = value

    def __contains__(self, key: object) -> bool:
        """Say whether the content has a key."""
        return key in self.content

    def keys(self) -> KeysView[str]:
        """Return the keys of the content."""
        return self.content.keys()

    def values(self) -> ValuesView[Any]:
        """Return the values of the content."""
        return self.content.values()

    def items(self) -> ItemsView[str, Any]:
        """Return the items of the content."""
        return self.content.items()

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value of the content, or `default`."""
        return self.content.get(key, default)

    def __repr__(self) -> str:
        """Show channel and keys: values may be secrets."""
        return f"<Message on {self.channel_name} with {', '.join(self.content) or 'nothing'}>"
