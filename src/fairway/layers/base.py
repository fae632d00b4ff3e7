"""The contract of a channel layer: what every backend promises, and all that a server or a worker knows of it.

Promises, each of them held by `fairway.testing.layer_conformance`:

* **Atomic.** The effects of a commit appear together with the acknowledgement of its delivery, or not at all. A
  commit whose receipt is no longer held publishes nothing and raises `DeliveryLost`.
* **At least once, committed at most once.** A delivery whose reader dies goes to another reader with attempt + 1.
* **In order.** What one sender sends to a reply channel, and one session's sends to a group, arrive in that order.
* **A membership is sure.** Once `group_add` has returned, every send that begins later reaches the member.
* **Isolated.** A message is encoded when it is sent; changing it afterwards changes nothing.
* **Bounded.** Every queue has a limit and says what happens beyond it (`fairway.limits.BrokerLimits`).
* **Cancellable.** Cancelling any coroutine of a layer leaves it as if the call had either happened or not.

The blocking and the asyncio form of a verb (`a` prefix) do the same. Sizes are bytes, times are seconds.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

from msgspec import Struct

from fairway.broker.effects import Delivery, Effect, End, Ending, Envelope, GroupSend, Item, Send
from fairway.layers.codec import DEFAULT_LIMITS, encode_message
from fairway.names import check_channel, check_group


class ChannelStatistics(Struct, frozen=True, kw_only=True):
    """One normal channel at one moment."""

    waiting: int
    waiting_bytes: int
    leased: int
    readers: int


class UpstreamStatistics(Struct, frozen=True, kw_only=True):
    """The way from a hub to the layer that joins it with others, at one moment."""

    up: bool
    forwarded: int
    waiting_bytes: int
    dropped: int
    """Effects that had to wait for too long, or found no room."""


class LayerStatistics(Struct, frozen=True, kw_only=True):
    """A layer at one moment; the counters run since it was made."""

    channels: dict[str, ChannelStatistics]
    groups: int
    sessions: int
    owners: int
    held_bytes: int
    dead_letters: int
    delivered: int
    committed: int
    repeats_dropped: int
    group_sends_dropped: int
    expired: int
    upstream: UpstreamStatistics | None = None
    """Of a hub that is joined with others."""


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A message that nobody could consume, with its history; it is kept until somebody decides about it."""

    id: str
    channel: str
    reply_channel: str
    reason: str
    """"attempts" or "retries" (used up), "full" (an effect of a commit that found no room), or that of an `Again`."""
    attempts: int
    """How often it was delivered."""
    retries: int
    """How often `ConsumeLater` has put it back."""
    age: float
    """Seconds since it became a dead letter."""
    body: bytes


class Reader(ABC):
    """One session: it takes deliveries from its channels and commits them. Threads and coroutines may share it."""

    renewals = 0
    """How often the session was opened anew: each time all that it held was lost, and its end was told to others."""

    @abstractmethod
    def receive(self, timeout: float | None = None) -> Delivery | None:
        """Wait for the next delivery, at most `timeout` seconds (None: for ever).

        Returns None when the time is over, and once the reader is paused or closed.
        """

    @abstractmethod
    async def areceive(self, timeout: float | None = None) -> Delivery | None:
        """Do as `receive`."""

    @abstractmethod
    def commit(self, delivery: Delivery, outbox: Sequence[Effect] = (), ending: End = Ending.DONE) -> None:
        """Acknowledge the delivery and publish its outbox, in one step. Never waits for room in a channel.

        Parameters:
            ending: whether the message is done, or comes again: as after `ConsumeLater`, or on the terms of an `Again`.

        Raises:
            DeliveryLost: the receipt is no longer held; nothing was published.
        """

    @abstractmethod
    async def acommit(self, delivery: Delivery, outbox: Sequence[Effect] = (), ending: End = Ending.DONE) -> None:
        """Do as `commit`."""

    @abstractmethod
    def publish(self, delivery: Delivery, effect: Effect, timeout: float = 0) -> None:
        """Publish at once, from inside a consumer run (`immediately=True`).

        The first message for the delivery's own reply channel makes the delivery one that is never repeated, in the
        same step: a response that has begun is not begun twice.

        Raises:
            DeliveryLost: the receipt is no longer held and `effect` is for the delivery's own reply channel.
            ChannelFull: as `Layer.publish`.
            ChannelGone: `effect` is for the delivery's own reply channel, and its connection has ended.
        """

    @abstractmethod
    async def apublish(self, delivery: Delivery, effect: Effect, timeout: float = 0) -> None:
        """Do as `publish`."""

    @abstractmethod
    def release(self, delivery: Delivery) -> None:
        """Give a delivery back, not begun: it goes to the front of its channel, its attempt unchanged."""

    @abstractmethod
    def widen(self, more: int) -> None:
        """Let the session hold `more` deliveries beside its window: for consumers that hold no thread."""

    @abstractmethod
    def pause(self) -> None:
        """Take no more deliveries; when this has returned, none will come, and those not begun went back."""

    @abstractmethod
    def close(self) -> None:
        """End the session. What it still holds is treated as if its process had died."""


class Inbox(ABC):
    """What the owner of reply channels reads and writes. Belongs to one event loop; no method ever waits.

    What a call does elsewhere may be seen a moment after it has returned, but calls take effect in their order.
    """

    @abstractmethod
    def drain(self) -> list[Item]:
        """Take all items that have come since the last time, in order."""

    @abstractmethod
    def submit(self, envelope: Envelope, body: bytes) -> None:
        """Send a connection's message to the workers. A `Refused` item comes back when there is no room for it.

        One with an attempt above 1 is sent again after a `Renewed`: it is dropped if the broker has it still.
        """

    @abstractmethod
    def announce(self, groups: Collection[str]) -> None:
        """Say that connections here are members of these groups; an `Announced` item answers for each."""

    @abstractmethod
    def leave(self, group: str, generation: int) -> None:
        """Say that no connection here is a member any more, as of the add with that generation."""

    @abstractmethod
    def answer(self, token: int, answer: Any) -> None:
        """Answer an `Ask`."""

    def will(self, channel: str, body: bytes, order: int, state: dict[str, bytes] | None) -> None:  # noqa: B027
        """File what the workers are to be told of a WebSocket if this process dies, and the broker lives.

        Until its `websocket.disconnect` is submitted, the broker keeps it; a broker in this process has no need of it.

        Parameters:
            channel: the connection.
            body: its `websocket.disconnect`, encoded, without the value of its last key, the order; b"" takes it back.
            order: the number of the last message that was submitted, -1 before the first.
            state: the connection's state, as of that message.
        """

    @abstractmethod
    def congest(self, channel: str) -> None:
        """Say that a connection's client reads slowly: direct sends to it wait or raise `ChannelFull`."""

    @abstractmethod
    def depart(self, channel: str) -> None:
        """Say that a connection ended while a message of it is being consumed, so that its consumer can notice.

        Taken back by `relieve`, once the message is done.
        """

    @abstractmethod
    def relieve(self, channel: str) -> None:
        """Take `congest` and `depart` back: the broker keeps nothing about the connection any more."""

    @abstractmethod
    def has_reader(self, channel: str) -> bool:
        """Say whether a worker reads this channel, and is not paused; optional messages are sent only to those."""

    @abstractmethod
    def close(self) -> None:
        """Give the prefixes up. Messages for them are dropped from now on."""


class Layer(ABC):
    """A transport for messages between servers, workers and everything else. Safe to share between threads."""

    is_shared: ClassVar[bool]
    """Whether other processes reach the same channels and groups."""

    message_limits = DEFAULT_LIMITS
    """What one message may be. A backend may take others and set them on the instance."""

    @abstractmethod
    def publish(self, effect: Effect, timeout: float = 0) -> None:
        """Publish one effect, outside any consumer run; wait up to `timeout` seconds while there is no room.

        For a reply channel there is room while its client has taken what was sent before.

        Raises:
            ChannelFull: no room for a `Send` in that time. A `GroupSend` never raises it.
            LayerUnavailable: the layer is closed or cannot be reached.
        """

    @abstractmethod
    async def apublish(self, effect: Effect, timeout: float = 0) -> None:
        """Do as `publish`."""

    def send(self, channel: str, message: Mapping[str, Any], timeout: float = 0) -> None:
        """Encode `message` and publish it to `channel`.

        Raises:
            InvalidName, InvalidMessage, MessageTooLarge: the call is wrong, and says where.
            ChannelFull, LayerUnavailable: as `publish`.
        """
        self.publish(Send(check_channel(channel), encode_message(message, self.message_limits)), timeout)

    async def asend(self, channel: str, message: Mapping[str, Any], timeout: float = 0) -> None:
        """Do as `send`."""
        await self.apublish(Send(check_channel(channel), encode_message(message, self.message_limits)), timeout)

    def send_group(self, group: str, message: Mapping[str, Any]) -> None:
        """Encode `message` and publish it to every member of `group`. Raises as `send`, but never `ChannelFull`."""
        self.publish(
            GroupSend(check_group(group), encode_message(message, self.message_limits), typed="type" in message)
        )

    async def asend_group(self, group: str, message: Mapping[str, Any]) -> None:
        """Do as `send_group`."""
        await self.apublish(
            GroupSend(check_group(group), encode_message(message, self.message_limits), typed="type" in message)
        )

    @abstractmethod
    def group_add(self, group: str, channel: str) -> None:
        """Make `channel` a member; confirmed when it returns. Nothing happens for a connection that is gone."""

    @abstractmethod
    async def agroup_add(self, group: str, channel: str) -> None:
        """Do as `group_add`."""

    @abstractmethod
    def group_discard(self, group: str, channel: str) -> None:
        """End a membership; nothing happens when there is none."""

    @abstractmethod
    async def agroup_discard(self, group: str, channel: str) -> None:
        """Do as `group_discard`."""

    @abstractmethod
    def group_channels(self, group: str) -> list[str]:
        """Return the members of `group`, asking the servers that hold them.

        Raises:
            LayerUnavailable: a server gave no answer in time.
        """

    @abstractmethod
    async def agroup_channels(self, group: str) -> list[str]:
        """Do as `group_channels`."""

    @abstractmethod
    def state(self, reply_channel: str) -> dict[str, bytes]:
        """Return the state of a connection, packed per key, asking its server; empty when it is gone.

        Raises:
            LayerUnavailable: the server gave no answer in time.
        """

    @abstractmethod
    async def astate(self, reply_channel: str) -> dict[str, bytes]:
        """Do as `state`."""

    @abstractmethod
    def reader(self, channels: Collection[str], window: int = 1, threads: int | None = None) -> Reader:
        """Open a session that reads `channels`; it may hold `window` deliveries that nobody waits for.

        `threads` says how many consumers run at once: a message goes to a session with an idle thread first, and up to
        the window may be fetched ahead. Without it (None) a delivery is fetched only for who waits for one. A channel
        that ends in `!` is a prefix that the session owns: it reads all channels below it.

        Raises:
            InvalidName: one of the channels cannot be read.
        """

    @abstractmethod
    def inbox(self, prefixes: Sequence[str], on_readable: Callable[[], None]) -> Inbox:
        """Own the channels below `prefixes` (each ends in `!`).

        `on_readable` is called, from any thread and holding no lock, when the inbox stops being empty.
        """

    @abstractmethod
    def statistics(self) -> LayerStatistics:
        """Return what the layer holds at this moment."""

    @abstractmethod
    def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """Return the dead letters that are kept, the newest first, at most `limit` of them. Blocks."""

    @abstractmethod
    def requeue_dead(self, ids: Collection[str]) -> int:
        """Put dead letters at the end of their channels, as if they had never been delivered. Blocks.

        A letter keeps its id. Its connection has been answered long ago and hears nothing of it. One for which there
        is no room stays a dead letter.

        Returns:
            How many there are that went.
        """

    @abstractmethod
    def drop_dead(self, ids: Collection[str]) -> int:
        """Drop dead letters for good. Blocks. Returns how many there were."""

    @abstractmethod
    def flush(self) -> None:
        """Drop all messages and all groups. Sessions and inboxes stay open. For tests."""

    @abstractmethod
    def close(self) -> None:
        """Let everything go; whoever waits is told. Calling it twice is fine."""
