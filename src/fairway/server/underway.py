"""The messages of connections that are under way: sent to the workers, and not done.

They are kept because the broker may lose them: then they are sent again. There are never more of them than the gates
let out, one a connection and some for a pinned one, and a connection with nothing under way keeps nothing here.

What becomes of them when there is a broker again:

=================================  ===================================================================================
a message of a connection          is sent again: same id, attempt + 1, or 1 if it was made while there was no broker
a request that may run once        is lost, unless no broker has had it: it may have run
a request that is being answered   is not sent; its answer goes on, if its worker lives
a request whose client has left    is not sent; its consumer is told, if it lives
=================================  ===================================================================================

For the last two `Done` may come still, if only the line to the broker was cut. At the second loss they are forgotten.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from msgspec.structs import replace

from fairway.broker.effects import Abandoned, Envelope, Policy

Entry = tuple[Envelope, bytes, "Entry | None"]
"""The last message of a connection, its body, and the entry of the one before it: a chain, since it is mostly alone.

The body is empty where the message is not sent again.
"""


class Answering(Protocol):
    """A connection, as far as this module knows it."""

    @property
    def is_answering(self) -> bool:
        """Whether the answer to its message has begun: it goes on, and may not be begun twice."""


@dataclass(slots=True)
class Renewal:
    """What is to be done with all that was under way."""

    kept: dict[str, Entry] = field(default_factory=dict)
    """Reply channel -> what is under way from now on."""
    again: list[tuple[Envelope, bytes]] = field(default_factory=list)
    lost: list[Abandoned] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    """Reply channels of which nothing more is expected."""


def renew(underway: Mapping[str, Entry], streams: Mapping[str, Answering]) -> Renewal:
    """Decide about everything that is under way, now that there is a broker again."""
    found = Renewal()
    for channel, entry in underway.items():
        stream = streams.get(channel)
        if stream is None or stream.is_answering:
            if entry[0].attempt > 1:
                found.forgotten.append(channel)
            else:
                found.kept[channel] = replace(entry[0], attempt=entry[0].attempt + 1), b"", None
            continue
        kept = []
        for envelope, body in in_order(entry):
            if envelope.policy is Policy.ONCE and envelope.attempt:
                found.lost.append(Abandoned(channel, envelope.order, "lost", envelope.attempt))
                continue
            envelope = replace(envelope, attempt=envelope.attempt + 1)  # noqa: PLW2901
            found.again.append((envelope, body))
            kept.append((envelope, body if envelope.policy is Policy.AGAIN else b""))
        if left := chain(kept):
            found.kept[channel] = left
    return found


def in_order(entry: Entry | None) -> list[tuple[Envelope, bytes]]:
    """Return the messages of a connection, the first one first."""
    found = []
    while entry:
        envelope, body, entry = entry
        found.append((envelope, body))
    return found[::-1]


def chain(messages: Iterable[tuple[Envelope, bytes]]) -> Entry | None:
    """Return the entry for these messages, the first one first; None for no message."""
    entry: Entry | None = None
    for envelope, body in messages:
        entry = envelope, body, entry
    return entry


def after(entry: Entry, order: int) -> Entry | None:
    """Return what is left when all up to and including `order` are done."""
    return chain(message for message in in_order(entry) if message[0].order > order)


def without(entry: Entry, order: int) -> Entry | None:
    """Return what is left when one message will not be consumed."""
    return chain(message for message in in_order(entry) if message[0].order != order)
