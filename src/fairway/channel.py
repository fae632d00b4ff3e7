"""What an application sends with and what its consumers receive: `Channel`, `Group` and `Message`.

`send` checks and encodes at once, so a wrong or too large message raises on the line that sends it. Inside a consumer
what is sent leaves when the consumer has finished; outside, and with `immediately=True`, it leaves at once.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from fairway import DEFAULT_CHANNEL_LAYER
from fairway.broker.effects import Envelope, GroupSend, Send
from fairway.errors import InvalidMessage
from fairway.layers.codec import encode_message
from fairway.messages import Protocol, check_group_message, check_reply, protocol_of
from fairway.names import check_channel, check_group, check_not_reserved
from fairway.worker.outbox import adispatch_effect, current_outbox, dispatch_effect
from fairway.worker.state import ConnectionState

if TYPE_CHECKING:
    from collections.abc import Callable, ItemsView, KeysView, ValuesView

    from fairway.layers.base import Layer


_UNKNOWN = object()

_DECORATORS = {
    "user": "fairway.auth.channel_session_user",
    "channel_session": "fairway.sessions.channel_session",
    "http_session": "fairway.sessions.http_session",
}


def _text(name: str | bytes | None) -> str:
    return name.decode("ascii") if isinstance(name, bytes) else name  # type: ignore[return-value]  # checked at send


def _layer(alias: str) -> Layer:
    from fairway.conf import channel_layers

    return channel_layers[alias]


class Channel:
    """A channel to send to.

    Parameters:
        name: its name; checked when something is sent.
        alias: which of `CHANNEL_LAYERS`.
        channel_layer: a layer, instead of an alias.
        protocol: what waits at the other end of a reply channel, where the name alone does not tell.
    """

    __slots__ = ("_alias", "_layer", "_protocol", "_sendable", "name")

    def __init__(
        self,
        name: str | bytes,
        alias: str = DEFAULT_CHANNEL_LAYER,
        channel_layer: Layer | None = None,
        *,
        protocol: Protocol | None = None,
    ) -> None:
        self.name: str = name if type(name) is str else _text(name)
        self._alias = alias
        self._layer = channel_layer
        if protocol is None and isinstance(self.name, str) and "!" in self.name:
            protocol = protocol_of(self.name)
        self._protocol = protocol
        self._sendable: object = _UNKNOWN
        """The name that was found to be one that may be sent to."""

    @property
    def channel_layer(self) -> Layer:
        """The layer that carries the channel."""
        if self._layer is None:
            self._layer = _layer(self._alias)
        return self._layer

    def send(self, content: dict[str, Any], immediately: bool = False, *, timeout: float = 0) -> None:  # noqa: FBT001, FBT002
        """Send a message: when the running consumer has finished, or at once outside of one.

        Parameters:
            immediately: send at once in any case. Such a message is sent again when the consumer is run again.
            timeout: how long a message that leaves at once may wait for room in a full channel.

        Raises:
            TypeError: `content` is no dict.
            InvalidName, InvalidMessage, MessageTooLarge: it cannot be sent, and why.
            ChannelFull, LayerUnavailable: it was to leave at once and could not.
        """
        layer = self._layer or self.channel_layer
        dispatch_effect(self._effect(content, layer), layer, immediately=immediately, timeout=timeout)

    async def asend(self, content: dict[str, Any], immediately: bool = False, *, timeout: float = 0) -> None:  # noqa: FBT001, FBT002
        """Do as `send`."""
        layer = self.channel_layer
        await adispatch_effect(self._effect(content, layer), layer, immediately=immediately, timeout=timeout)

    def _effect(self, content: dict[str, Any], layer: Layer) -> Send:
        if not isinstance(content, dict):
            msg = f"a message is a dict, not {type(content).__name__}: {content!r:.100}"
            raise TypeError(msg)
        if self._protocol is not None:
            check_reply(content, self._protocol)
        name = self.name
        if name is not self._sendable:
            self._sendable = check_not_reserved(check_channel(name), "channel")
        effect = Send(name, encode_message(content, layer.message_limits))
        if "reply_channel" in content:
            _carry_connection(effect, content["reply_channel"])
        return effect

    def __str__(self) -> str:
        """Return the name."""
        return str(self.name)

    def __repr__(self) -> str:
        """Show the name."""
        return f"<Channel {self.name}>"


class Group:
    """A group of channels: what is sent to it reaches every member.

    Parameters: as for `Channel`. A group name is any text of 1 to 200 characters.
    """

    __slots__ = ("_alias", "_layer", "name")

    def __init__(
        self, name: str | bytes, alias: str = DEFAULT_CHANNEL_LAYER, channel_layer: Layer | None = None
    ) -> None:
        self.name = _text(name)
        self._alias = alias
        self._layer = channel_layer

    @property
    def channel_layer(self) -> Layer:
        """The layer that knows the group."""
        if self._layer is None:
            self._layer = _layer(self._alias)
        return self._layer

    def add(self, channel: Channel | str) -> None:
        """Make `channel` a member, at once: what anybody sends from now on reaches it."""
        self.channel_layer.group_add(self._checked(), _name_of(channel))

    async def aadd(self, channel: Channel | str) -> None:
        """Do as `add`."""
        await self.channel_layer.agroup_add(self._checked(), _name_of(channel))

    def discard(self, channel: Channel | str) -> None:
        """End a membership, at once. Nothing happens when there is none."""
        self.channel_layer.group_discard(self._checked(), _name_of(channel))

    async def adiscard(self, channel: Channel | str) -> None:
        """Do as `discard`."""
        await self.channel_layer.agroup_discard(self._checked(), _name_of(channel))

    def channels(self) -> list[str]:
        """Return the names of all members."""
        return self.channel_layer.group_channels(self._checked())

    async def achannels(self) -> list[str]:
        """Do as `channels`."""
        return await self.channel_layer.agroup_channels(self._checked())

    def send(self, content: dict[str, Any], immediately: bool = False) -> None:  # noqa: FBT001, FBT002
        """Send a message to every member, when the running consumer has finished or at once outside of one.

        Raises:
            ValueError: `content` is no dict, or (`InvalidMessage`) not one for a group.
            InvalidName, MessageTooLarge, LayerUnavailable: as `Channel.send`. A full member raises nothing.
        """
        dispatch_effect(self._effect(content), self.channel_layer, immediately=immediately)

    async def asend(self, content: dict[str, Any], immediately: bool = False) -> None:  # noqa: FBT001, FBT002
        """Do as `send`."""
        await adispatch_effect(self._effect(content), self.channel_layer, immediately=immediately)

    def _effect(self, content: dict[str, Any]) -> GroupSend:
        if not isinstance(content, dict):
            msg = f"a message is a dict, not {type(content).__name__}: {content!r:.100}"
            raise InvalidMessage(msg)
        check_group_message(content)
        body = encode_message(content, self.channel_layer.message_limits)
        return GroupSend(self._checked(), body, typed="type" in content)

    def _checked(self) -> str:
        return check_not_reserved(check_group(self.name), "group")

    def __str__(self) -> str:
        """Return the name."""
        return str(self.name)

    def __repr__(self) -> str:
        """Show the name."""
        return f"<Group {self.name}>"


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

    find_user: Callable[[], Any] | None = None
    """Finds `user` when it is first looked at; a decorator of `fairway.auth` sets it."""

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
        """How often `ConsumeLater` has put the message back."""
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
        """Find the user, who is asked for when they are first looked at.

        Raises:
            AttributeError: there is no such attribute; for one that a decorator sets the text names the decorator.
        """
        if name == "user" and self.find_user is not None:
            self.user = self.find_user()
            return self.user
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


def _name_of(channel: Channel | str) -> str:
    return channel.name if isinstance(channel, Channel) else channel


def _carry_connection(effect: Send, reply_channel: object) -> None:
    """Let a message about the current connection carry that connection's reply channel and state along."""
    outbox = current_outbox.get()
    if outbox is None or not outbox.is_open:
        return
    envelope = outbox.delivery.envelope
    if reply_channel and reply_channel == envelope.reply_channel:
        effect.reply_channel = envelope.reply_channel
        effect.state = outbox.state.packed() if outbox.state is not None else envelope.state
