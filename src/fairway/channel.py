"""What an application sends with: `Channel` and `Group`.

`send` checks and encodes at once, so a wrong or too large message raises on the line that sends it. Inside a consumer
what is sent leaves when the consumer has finished; outside, and with `immediately=True`, it leaves at once. It may also
wait for the database's commit (`transactions`), or for a moment (`scheduling`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairway import DEFAULT_CHANNEL_LAYER
from fairway.broker.effects import GroupSend, Send
from fairway.errors import InvalidMessage
from fairway.layers.codec import encode_message
from fairway.messages import Protocol, check_group_message, check_reply, protocol_of
from fairway.names import check_channel, check_group, check_not_reserved
from fairway.scheduling import cancellation, schedule
from fairway.transactions import dispatch
from fairway.worker.outbox import adispatch_effect, current_outbox

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from fairway.layers.base import Layer


_UNKNOWN = object()


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

    def send(  # noqa: PLR0913  what a message is and when it leaves, on one line
        self,
        content: dict[str, Any],
        immediately: bool = False,  # noqa: FBT001, FBT002
        *,
        timeout: float = 0,
        delay: timedelta | None = None,
        at: datetime | None = None,
        key: str | None = None,
        on_commit: bool | None = None,
    ) -> None:
        """Send a message: when the running consumer has finished, or at once outside of one.

        Parameters:
            immediately: send at once in any case. Such a message is sent again when the consumer is run again.
            timeout: how long a message that leaves at once may wait for room in a full channel.
            delay: the delay server keeps the message for so long.
            at: the delay server keeps it until then. A moment that is over is now.
            key: a name for a message with `delay` or `at`: it takes the place of the one that waits for this channel
                under this name, and `cancel` finds it.
            on_commit: in a transaction of the default database it leaves when that is committed, and never when it is
                rolled back. The setting `CHANNEL_SEND_ON_COMMIT` is the default in views and outside consumers.

        Raises:
            TypeError: `content` is no dict.
            InvalidName, InvalidMessage, MessageTooLarge: it cannot be sent, and why.
            InvalidSchedule: `delay`, `at`, `key` or `on_commit` cannot be, and why.
            ImproperlyConfigured: it is for later, and the app `fairway.delay` is not installed.
            ChannelFull, LayerUnavailable: it was to leave at once and could not.
        """
        layer = self._layer or self.channel_layer
        effect = self._effect(content, layer)
        if delay is not None or at is not None or key is not None:
            effect = schedule(effect, layer.message_limits, delay=delay, at=at, key=key)
        dispatch(effect, layer, on_commit, immediately=immediately, timeout=timeout)

    async def asend(
        self,
        content: dict[str, Any],
        immediately: bool = False,  # noqa: FBT001, FBT002
        *,
        timeout: float = 0,
        delay: timedelta | None = None,
        at: datetime | None = None,
        key: str | None = None,
    ) -> None:
        """Do as `send`, but for `on_commit`: coroutines have no transactions."""
        layer = self.channel_layer
        effect = self._effect(content, layer)
        if delay is not None or at is not None or key is not None:
            effect = schedule(effect, layer.message_limits, delay=delay, at=at, key=key)
        await adispatch_effect(effect, layer, immediately=immediately, timeout=timeout)

    def cancel(self, key: str, *, immediately: bool = False, timeout: float = 0, on_commit: bool | None = None) -> None:
        """Cancel the message that waits for this channel under `key`. Nothing happens when there is none.

        It leaves as a message does, and the parameters mean the same. What was sent under the key before it is not
        sent; what is sent under it afterwards is.

        Raises:
            InvalidName, InvalidSchedule: the channel's name or the key is none.
            ImproperlyConfigured, ChannelFull, LayerUnavailable: as `send`.
        """
        layer = self._layer or self.channel_layer
        effect = cancellation(self._check_name(), key, layer.message_limits)
        dispatch(effect, layer, on_commit, immediately=immediately, timeout=timeout)

    async def acancel(self, key: str, *, immediately: bool = False, timeout: float = 0) -> None:
        """Do as `cancel`."""
        layer = self.channel_layer
        effect = cancellation(self._check_name(), key, layer.message_limits)
        await adispatch_effect(effect, layer, immediately=immediately, timeout=timeout)

    def _effect(self, content: dict[str, Any], layer: Layer) -> Send:
        if not isinstance(content, dict):
            msg = f"a message is a dict, not {type(content).__name__}: {content!r:.100}"
            raise TypeError(msg)
        if self._protocol is not None:
            check_reply(content, self._protocol)
        name = self.name
        if name is not self._sendable:
            self._check_name()
        effect = Send(name, encode_message(content, layer.message_limits))
        if "reply_channel" in content:
            _carry_connection(effect, content["reply_channel"])
        return effect

    def _check_name(self) -> str:
        self._sendable = check_not_reserved(check_channel(self.name), "channel")
        return self.name

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

    def send(
        self,
        content: dict[str, Any],
        immediately: bool = False,  # noqa: FBT001, FBT002
        *,
        on_commit: bool | None = None,
    ) -> None:
        """Send a message to every member, when the running consumer has finished or at once outside of one.

        Parameters: as those of `Channel.send`.

        Raises:
            ValueError: `content` is no dict, or (`InvalidMessage`) not one for a group.
            InvalidSchedule: it says both `immediately` and `on_commit`.
            InvalidName, MessageTooLarge, LayerUnavailable: as `Channel.send`. A full member raises nothing.
        """
        dispatch(self._effect(content), self.channel_layer, on_commit, immediately=immediately)

    async def asend(self, content: dict[str, Any], immediately: bool = False) -> None:  # noqa: FBT001, FBT002
        """Do as `send`, but for `on_commit`: coroutines have no transactions."""
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
