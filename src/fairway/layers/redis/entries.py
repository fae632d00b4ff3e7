"""Stream entries: what scripts write for owners and sessions, and what is made of it. Pure, and part of the standard.

An inbox entry is a list of pairs of field and value, in order; `b` belongs to the field before it. Values with several
parts are MessagePack arrays. A delivery has three fields: `h`, the header; `s`, the packed state; `b`, the body.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from fairway.broker.effects import (
    Abandoned,
    Add,
    Credit,
    Delivery,
    Discard,
    Done,
    Envelope,
    Frame,
    Grant,
    GroupFrame,
    Item,
    OwnerGone,
    Policy,
    Refused,
    SaveState,
    Send,
    State,
)

pack = msgspec.msgpack.Encoder().encode

Changes = dict[str, bytes | None]


class Header(Struct, array_like=True, gc=False):
    """What travels beside a state and a body. `attempts` is how many are allowed."""

    id: str
    channel: str
    reply_channel: str = ""
    order: int = -1
    attempt: int = 1
    policy: int = 0
    retries: int = 0
    attempts: int = 5


class Readers(Struct, gc=False):
    """The channels of a shard that somebody reads at this moment: for `Inbox.has_reader`, not for the owner."""

    channels: list[str]


class Asked(Struct, gc=False):
    """A question for the owner, with the token by which its asker knows the answer."""

    token: str
    question: str
    about: str


_decode_header = msgspec.msgpack.Decoder(Header).decode
_decode_state = msgspec.msgpack.Decoder(dict[str, bytes]).decode
_decode_changes = msgspec.msgpack.Decoder(Changes).decode
_decode = msgspec.msgpack.Decoder().decode


def header_of(envelope: Envelope, attempts: int) -> bytes:
    """Return the packed header of an envelope; its state travels apart."""
    return pack(
        Header(
            envelope.id,
            envelope.channel,
            envelope.reply_channel,
            envelope.order,
            envelope.attempt,
            envelope.policy.value,
            envelope.retries,
            attempts,
        )
    )


def pack_state(state: dict[str, bytes] | None) -> bytes:
    """Return a connection's state in one piece; nothing for none."""
    return pack(state) if state is not None else b""


def delivery_of(fields: Sequence[bytes], receipt: int) -> Delivery:
    """Return the delivery of a session's entry."""
    header = _decode_header(fields[1])
    envelope = Envelope(
        header.id,
        header.channel,
        header.reply_channel,
        header.order,
        header.attempt,
        Policy(header.policy),
        None,
        _decode_state(fields[3]) if fields[3] else None,
        header.retries,
    )
    return Delivery(envelope, fields[5], receipt)


# --- for an owner ----------------------------------------------------------------------------------------------------

_ARRAYS: dict[bytes, Callable[..., Any]] = {
    b"d": Done,
    b"+": Add,
    b"-": Discard,
    b"a": Abandoned,
    b"x": Refused,
    b"c": Credit,
    b"?": Asked,
}
"""Field -> what is made of the array in its value."""


def items_of(fields: Sequence[bytes]) -> list[Any]:
    """Return the items of an inbox entry, and `Readers` and `Asked` among them.

    Fields that are not known are passed over: a newer version may write them.
    """
    found: list[Any] = []
    for place in range(0, len(fields), 2):
        field, value = fields[place], fields[place + 1]
        if field == b"b":
            continue
        if field == b"f":
            found.append(Frame(value.decode(), fields[place + 3]))
        elif field == b"g":
            group, typed, name = _decode(value)
            found.append(GroupFrame(group, fields[place + 3], bool(typed), name))
        elif field == b"s":
            found.append(State(value.decode(), _decode_changes(fields[place + 3])))
        elif field == b"o":
            found.append(OwnerGone(value.decode()))
        elif field == b"r":
            found.append(Readers(_decode(value)))
        elif field in _ARRAYS:
            found.append(_ARRAYS[field](*_decode(value)))
    return found


def size_of(fields: Sequence[bytes]) -> int:
    """Return the bytes of an inbox entry that count against the bound of its inbox."""
    size = 0
    for place in range(0, len(fields), 2):
        if fields[place] == b"b":
            size += len(fields[place + 1])
    return size


def place_of(entry: bytes) -> tuple[int, int]:
    """Return the place of an entry in its stream, as its id tells it."""
    time, _, number = entry.partition(b"-")
    return int(time), int(number)


def fields_of(effect: Send | SaveState | Grant) -> tuple[list[str | bytes], int]:
    """Return an effect for a connection as fields and values, and the bytes that count."""
    if isinstance(effect, Send):
        return ["f", effect.channel, "b", effect.body], len(effect.body)
    if isinstance(effect, SaveState):
        changes = pack(effect.changes)
        return ["s", effect.channel, "b", changes], len(changes)
    return ["c", pack([effect.channel, effect.size])], 0


def fields_of_items(items: Iterable[Item]) -> list[str | bytes]:
    """Return items that a client tells an owner of, as fields and values."""
    fields: list[str | bytes] = []
    for item in items:
        if isinstance(item, GroupFrame):
            fields += ["g", pack([item.group, item.typed, item.id]), "b", item.body]
        elif isinstance(item, Done):
            fields += ["d", pack([item.channel, item.order])]
        elif isinstance(item, Add):
            fields += ["+", pack([item.group, item.channel, item.generation])]
        elif isinstance(item, Discard):
            fields += ["-", pack([item.group, item.channel])]
    return fields
