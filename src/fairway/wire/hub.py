"""The frames between a hub and its clients: bytes in, frames out, and no I/O. `docs/transport.md` is the standard.

A frame is four bytes of length (unsigned, big-endian) and one MessagePack array: its number, then its fields in order.
Message bodies are `bin` values in it that nobody decodes on the way. A receiver ignores fields beyond those it knows,
and takes the default for those that are missing, so that fields can be added at the end without a new version.

A line begins with `Hello` from the client and `Welcome` or `Refusal` from the hub, over TCP with `Challenge` and
`Proof` in between; all that follows has the version that `Welcome` names. Version 2 added what version 1 lacks:
`Open.threads`, `Will`, `Recalled` and `Readers`.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Struct

from fairway.broker.effects import Again, Delivery, Effect, Ending, Envelope, Item
from fairway.errors import MessageTooLarge, PeerError

MAGIC = "fairway"
VERSIONS = (1, 2)
"""The oldest and the newest version of the protocol that this code speaks."""

HELLO_LIMIT = 4096
"""Bytes of a frame before the hello is done: nobody has shown yet who he is."""

FRAME_LIMIT = 80 * 1024 * 1024
"""Bytes of any other frame: a full outbox (64 MiB) and what is around it."""

_PREFIX = 4
_read_size = struct.Struct(">I").unpack_from


class FrameBroken(PeerError):
    """What came is no frame: too long, no MessagePack, or not of a known kind and shape."""


class Frame(Struct, array_like=True, gc=False):
    """Base of all frames."""


# --- the beginning ---------------------------------------------------------------------------------------------------


class Hello(Frame, tag=1):
    """A client's first frame: the versions it speaks, and how the log is to call it."""

    magic: str
    oldest: int
    newest: int
    name: str = ""
    features: list[str] = []
    nonce: bytes = b""
    """Over TCP, what the hub's proof must be about; see `hub_secret`."""


class Welcome(Frame, tag=2):
    """The hub's answer: the version of all that follows, and the epoch of its memory."""

    version: int
    epoch: str
    features: list[str] = []
    proof: bytes = b""
    """Over TCP, that the hub knows the secret."""


class Refusal(Frame, tag=3):
    """The hub's last frame: why it closes the line."""

    reason: str


class Challenge(Frame, tag=4):
    """The hub's answer to a hello over TCP: what the client's proof must be about."""

    nonce: bytes


class Proof(Frame, tag=5):
    """The client's answer to that: it knows the secret. Then comes `Welcome`, or `Refusal`."""

    proof: bytes


REFUSED = "refused"
"""All that a hub tells a stranger who has not proved to know the secret."""

STOPS = "the hub stops"
"""The reason of a refusal by which a hub that was told to stop says goodbye."""


# --- sessions: from the client ---------------------------------------------------------------------------------------


class Open(Frame, tag=10):
    """Open a session. It may hold `window` deliveries; `threads` of them can be begun at once (0: all).

    With a window of 0 nothing is sent but what `Demand` asks for, and a commit makes no room for more.
    """

    reader: int
    token: int
    channels: list[str]
    window: int
    threads: int = 0


class Commit(Frame, tag=11):
    """Acknowledge a delivery, and publish its outbox in the same step. Its place in the window is free again.

    `again` are the terms of an `Ending.LATER`, the hub's own when there are none.
    """

    reader: int
    receipt: int
    ending: Ending
    outbox: Sequence[Effect]
    again: Again | None = None


class Release(Frame, tag=12):
    """Give deliveries back that were not begun. Their places in the window stay taken until `Demand` frees them."""

    reader: int
    receipts: list[int]


class Demand(Frame, tag=13):
    """Let the session hold so many deliveries more: places that `Release` left taken, or a wider window.

    A negative number takes back what has not been sent yet. `ahead` of them are no places of an idle thread, so that
    other sessions with one come first.
    """

    reader: int
    more: int
    ahead: int = 0


class Pause(Frame, tag=15):
    """Send no more deliveries; answered when none will come."""

    reader: int
    token: int


class Shut(Frame, tag=16):
    """End the session: what it still holds is delivered again."""

    reader: int


class PublishDuring(Frame, tag=17):
    """Publish to the connection that a held delivery came from."""

    reader: int
    receipt: int
    token: int
    effect: Effect
    timeout: float = 0


# --- calls: from the client, each answered by `Answer` with its token ------------------------------------------------


class Publish(Frame, tag=20):
    """Publish one effect, waiting at most `timeout` seconds for room."""

    token: int
    effect: Effect
    timeout: float = 0


class Withdraw(Frame, tag=21):
    """Take a publish back that still waits for room. Not answered."""

    token: int


class Call(Frame, tag=22):
    """Ask the hub for anything else: `verb` is one of those in the standard, `arguments` what it takes."""

    token: int
    verb: str
    arguments: list[Any] = []


class Ping(Frame, tag=23):
    """Say that the process is alive. Answered by `Pong`."""


# --- owners: from the client -----------------------------------------------------------------------------------------


class Own(Frame, tag=30):
    """Own the channels below `prefixes`; answered by `Answer`."""

    token: int
    prefixes: list[str]


class Submit(Frame, tag=31):
    """Send a connection's message to the workers."""

    envelope: Envelope
    body: bytes


class Leave(Frame, tag=32):
    """No connection here is in the group any more, as of the add with that generation."""

    group: str
    generation: int


class Reply(Frame, tag=33):
    """Answer an `Ask` item."""

    token: int
    answer: list[str] | dict[str, bytes] | None


class Mark(Frame, tag=34):
    """Say about a connection: "congested", "departed", or "" for neither."""

    channel: str
    mark: Literal["congested", "departed", ""]


class Announce(Frame, tag=35):
    """Connections here are in these groups; an `Announced` item answers for each."""

    groups: list[str]


class Will(Frame, tag=36):
    """Say what the workers are told of a WebSocket if this process dies (version 2).

    `body` is its `websocket.disconnect` as far as the value of its last key, the order, which the hub appends: `order`
    plus one, counted on with each message that is submitted. `state` is kept up to date in the same way. No body takes
    it back; so does the submitted `websocket.disconnect`.
    """

    channel: str
    body: bytes
    order: int
    state: dict[str, bytes] | None = None


# --- from the hub ----------------------------------------------------------------------------------------------------


class Delivered(Frame, tag=50):
    """A delivery for a session."""

    reader: int
    delivery: Delivery


class Recalled(Frame, tag=51):
    """These deliveries are not held any more: commits of them publish nothing (version 2)."""

    reader: int
    receipts: list[int]


class Answer(Frame, tag=52):
    """The result of a call, or its error: the name of the error's class and its arguments."""

    token: int
    value: Any = None
    error: list[Any] | None = None


class Items(Frame, tag=53):
    """Inbox items for an owner, in order."""

    items: list[Item]


class Readers(Frame, tag=54):
    """All channels that somebody reads at this moment; for owners (version 2)."""

    channels: list[str]


class Pong(Frame, tag=55):
    """The answer to `Ping`."""


FromClient = (
    Hello
    | Proof
    | Open
    | Commit
    | Release
    | Demand
    | Pause
    | Shut
    | PublishDuring
    | Publish
    | Withdraw
    | Call
    | Ping
    | Own
    | Submit
    | Leave
    | Reply
    | Mark
    | Announce
    | Will
)
FromHub = Welcome | Refusal | Challenge | Delivered | Recalled | Answer | Items | Readers | Pong

F = TypeVar("F")

_encode = msgspec.msgpack.Encoder().encode


def pack(frame: Frame) -> bytes:
    """Return a frame as bytes, ready to be sent.

    Raises:
        MessageTooLarge: no receiver takes so much.
    """
    data = _encode(frame)
    if len(data) > FRAME_LIMIT:
        raise MessageTooLarge("what is sent to or by a hub at once", len(data), FRAME_LIMIT)
    return len(data).to_bytes(_PREFIX, "big") + data


def pack_items(items: list[Item]) -> Iterator[bytes]:
    """Return inbox items as bytes, in as many frames as they need: they may be more than one frame holds."""
    try:
        yield pack(Items(items))
    except MessageTooLarge:
        if len(items) == 1:
            raise
        half = len(items) // 2
        yield from pack_items(items[:half])
        yield from pack_items(items[half:])


class FrameReader(Generic[F]):
    """Cuts the bytes of one peer into frames.

    Parameters:
        kinds: the union of the frames that this peer may send.
        limit: bytes that one frame may have; can be raised later.
    """

    __slots__ = ("_buffer", "_decode", "_needed", "limit")

    def __init__(self, kinds: Any, limit: int = HELLO_LIMIT) -> None:
        self._decode = msgspec.msgpack.Decoder(kinds).decode
        self._buffer = bytearray()
        self._needed = 0
        """How long the buffer must be before there is a frame in it."""
        self.limit = limit

    @property
    def is_unfinished(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._buffer)

    def receive(self, data: bytes) -> list[F]:
        """Return the frames that these bytes complete.

        Raises:
            FrameBroken: the peer sent something else; its line is of no use any more.
        """
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed:
                return []
            data = bytes(self._buffer)
            self._buffer.clear()
        frames: list[F] = []
        view, decode = memoryview(data), self._decode
        start, end = 0, len(data)
        while end - start >= _PREFIX:
            begin = start + _PREFIX
            (size,) = _read_size(data, start)
            if size > self.limit:
                msg = f"a frame of {size} bytes, above the limit of {self.limit}"
                raise FrameBroken(msg)
            stop = begin + size
            if stop > end:
                self._needed = _PREFIX + size
                break
            try:
                frames.append(decode(view[begin:stop]))
            except (msgspec.DecodeError, RecursionError, ValueError) as error:
                msg = f"no frame of this protocol: {error}"
                raise FrameBroken(msg) from error
            start = stop
        else:
            self._needed = _PREFIX
        if start < end:
            self._buffer += view[start:]
        return frames
