"""A client for tests of consumers: it sends messages, has them consumed in the test's own thread, and sees the answers.

It is a small interface server on the layer of the test. So groups and connection state are those of a server, what a
consumer sends arrives when the consumer has finished, and what it raises is raised in the test, with its traceback.
"""

import copy
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from asgiref.sync import sync_to_async

from fairway import DEFAULT_CHANNEL_LAYER
from fairway.application import ConsumerCall
from fairway.channel import Group
from fairway.errors import InvalidMessage
from fairway.layers.codec import decode_message, unpack_value
from fairway.layers.memory import MemoryLayer
from fairway.message import Message
from fairway.routing import Consumer
from fairway.testing.commit_hooks import run_commit_hooks
from fairway.testing.connection import Connection, connection_of
from fairway.testing.delayed import NOTHING, deliver_delayed
from fairway.testing.layers import application_of, memory_layer
from fairway.testing.running import Turn, take_turn


class Client:
    """A client of consumers on any channel.

    Parameters:
        alias: which of `CHANNEL_LAYERS`; the test has put a layer of its own in its place.

    Raises:
        InvalidLayerSetting: it has not.
    """

    reply_prefix: ClassVar[str] = "test.client"
    """How the reply channels begin; it says nothing about a protocol, so anything may be answered."""

    def __init__(self, alias: str = DEFAULT_CHANNEL_LAYER) -> None:
        self.alias = alias
        self._connection = Connection(memory_layer(alias), self.reply_prefix)

    @property
    def reply_channel(self) -> str:
        """The name of the channel that answers this client."""
        return self._connection.reply_channel

    @property
    def channel_layer(self) -> MemoryLayer:
        """The layer of the test.

        Raises:
            RuntimeError: it is another one by now.
        """
        layer = self._connection.layer
        if memory_layer(self.alias) is not layer:
            msg = "this client belongs to an earlier layer, and each test has its own; make it in setUp or in the test"
            raise RuntimeError(msg)
        return layer

    @property
    def groups(self) -> set[str]:
        """The groups that this client is in."""
        return set(self._connection.groups)

    @property
    def state(self) -> dict[str, Any]:
        """What `message.state` holds for this client now, as a copy."""
        return {key: unpack_value(value) for key, value in self._connection.state.items()}

    def join_group(self, group: str) -> None:
        """Make this client a member of a group."""
        Group(group, channel_layer=self.channel_layer).add(self.reply_channel)

    # --- sending and consuming ---------------------------------------------------------------------------------------

    def send(self, to: str, content: Mapping[str, Any] | None = None) -> None:
        """Send a message of this client to a channel; it waits there to be consumed.

        Raises:
            InvalidName, InvalidMessage, MessageTooLarge: it cannot be sent, and why.
            ChannelFull: there is no room for it.
        """
        layer = self.channel_layer
        run_commit_hooks()
        filled = copy.deepcopy(dict(content or {}))
        if filled.get("reply_channel", self.reply_channel) == self.reply_channel:
            self._connection.submit(to, filled)
        else:
            layer.send(to, filled)

    def consume(self, channel: str, fail_on_none: bool = True) -> Any:  # noqa: FBT001, FBT002  as it has always been
        """Have the next message of a channel consumed.

        Returns:
            What the consumer returns: for a class-based one the instance.

        Raises:
            AssertionError: there is no message, or no consumer for it, and `fail_on_none` holds.
            Exception: what the consumer raises, also `DenyConnection` and `ConsumeLater`.
        """
        run_commit_hooks()
        turn = self._take(channel, fail_on_none)
        call = self._prepare(turn, fail_on_none) if turn else None
        return turn.run(call) if turn and call else None

    async def aconsume(self, channel: str, fail_on_none: bool = True) -> Any:  # noqa: FBT001, FBT002
        """Do as `consume`, in a coroutine."""
        await sync_to_async(run_commit_hooks)()
        turn = self._take(channel, fail_on_none)
        call = self._prepare(turn, fail_on_none) if turn else None
        return await turn.arun(call) if turn and call else None

    def send_and_consume(
        self,
        channel: str,
        content: Mapping[str, Any] | None = None,
        fail_on_none: bool = True,  # noqa: FBT001, FBT002
    ) -> Any:
        """Send a message and have it consumed. Returns and raises as `consume`."""
        self.send(channel, content)
        return self.consume(channel, fail_on_none)

    async def asend_and_consume(
        self,
        channel: str,
        content: Mapping[str, Any] | None = None,
        fail_on_none: bool = True,  # noqa: FBT001, FBT002
    ) -> Any:
        """Do as `send_and_consume`, in a coroutine."""
        await sync_to_async(self.send)(channel, content)
        return await self.aconsume(channel, fail_on_none)

    def get_consumer_by_channel(self, channel: str) -> Consumer | None:
        """Return the consumer that gets a message of a channel without any content, or None."""
        found = application_of(self.alias).router.match(Message({}, channel, self.channel_layer))
        return None if found is None else found[0]

    # --- receiving ---------------------------------------------------------------------------------------------------

    def receive(self) -> Any:
        """Return the next message that was sent to this client, or None."""
        run_commit_hooks()
        return self._next_frame()

    async def areceive(self) -> Any:
        """Do as `receive`, in a coroutine."""
        await sync_to_async(run_commit_hooks)()
        return self._next_frame()

    def deliver_delayed(self, within: timedelta = NOTHING) -> list[Message]:
        """Put the messages for later that are due within a time from now on their channels, and return them.

        Raises:
            ImproperlyConfigured: `fairway.delay` is not in `INSTALLED_APPS`.
            InvalidMessage: what somebody sent to `asgi.delay` by hand cannot be done.
            ChannelFull: a channel has no room.
        """
        return deliver_delayed(within, self.alias)

    async def adeliver_delayed(self, within: timedelta = NOTHING) -> list[Message]:
        """Do as `deliver_delayed`, in a coroutine."""
        return await sync_to_async(deliver_delayed)(within, self.alias)

    def get_next_message(self, channel: str) -> Message | None:
        """Take the next message from a channel, without consuming it."""
        return next_message(channel, self.alias)

    def _next_frame(self) -> dict[str, Any] | None:
        frames = self._connection.frames
        return frames.popleft() if frames else None

    # --- the parts of `consume` --------------------------------------------------------------------------------------

    def _take(self, channel: str, fail_on_none: bool) -> Turn | None:  # noqa: FBT001
        _forget_users()
        turn = take_turn(self.channel_layer, self.alias, channel)
        if turn is None and fail_on_none:
            raise AssertionError(f"there is no message on the channel {channel!r}")
        return turn

    def _prepare(self, turn: Turn, fail_on_none: bool) -> ConsumerCall | None:  # noqa: FBT001
        """Return the call of a message's consumer; None when nobody consumes it."""
        try:
            call, is_known = turn.prepare()
        except InvalidMessage:
            turn.drop()
            raise
        if is_known:
            return call
        turn.drop()
        if fail_on_none:
            raise AssertionError(f"no consumer for {describe(call.message)}; the routing has{turn.routes()}")
        return None


def next_message(channel: str, alias: str = DEFAULT_CHANNEL_LAYER) -> Message | None:
    """Take the next message from a channel, or from the reply channel of a client; None when there is none."""
    layer = memory_layer(alias)
    connection = connection_of(channel)
    if connection is not None:
        return Message(connection.frames.popleft(), channel, layer) if connection.frames else None
    turn = take_turn(layer, alias, channel)
    if turn is None:
        return None
    turn.drop()
    envelope = turn.delivery.envelope
    return Message(decode_message(turn.delivery.body), channel, layer, envelope=envelope)


def describe(message: Message) -> str:
    """Return a message on a line, for people."""
    shown = {key: value for key, value in message.items() if key not in ("headers", "reply_channel")}
    return f"the message on {message.channel_name!r} with {json.dumps(shown, default=repr):.300}"


def _forget_users() -> None:
    """Let the consumer see users as the test has left them in the database."""
    from fairway.auth.recent import clear_user_cache

    clear_user_cache()
