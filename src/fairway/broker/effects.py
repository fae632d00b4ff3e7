"""What passes between the rooms around a broker: the vocabulary, without behaviour.

* An **effect** is one thing a consumer run wants done; its outbox is an ordered list of them.
* An **envelope** is what travels beside a message's encoded body; the broker never looks into a body.
* An **inbox item** is what a broker tells the server that owns a connection. Items are typed, so nothing that an
  application can put into a message body is ever mistaken for one.
* A **signal** is what the broker tells the shell around it: the only way a pure broker can act on the world.

All are msgspec structs: they cost a tenth of a dataclass to make, and encode themselves where a wire needs it. Those
that travel do so as arrays: a receiver ignores fields beyond those it knows, so new ones are added at the end, with a
default.
"""

from enum import IntEnum
from hashlib import blake2b
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from fairway.limits import BrokerLimits

LONGEST_ID = 64
"""Characters of a message's id from which the ids of what its consumer sends are made; of a longer one, its hash."""


class Policy(IntEnum):
    """What happens to a message whose worker is gone."""

    AGAIN = 0
    """Delivered again: at least once."""
    ONCE = 1
    """Never delivered twice: its connection is told that it was lost."""


class Envelope(Struct, array_like=True, gc=False):
    """What travels beside a body.

    `order` is the message's place in its connection, -1 without one. `attempt` counts deliveries from 1.
    `expires` is a point on the broker's clock, or None. `state` is the connection's state, packed per key.
    `retries` counts how often `ConsumeLater` has put the message back.
    """

    id: str
    channel: str
    reply_channel: str = ""
    order: int = -1
    attempt: int = 1
    policy: Policy = Policy.AGAIN
    expires: float | None = None
    state: dict[str, bytes] | None = None
    retries: int = 0

    def is_expired(self, now: float) -> bool:
        """Whether its time is over. Once it has been begun it has no such time any more."""
        return self.expires is not None and self.expires <= now

    def run_name(self) -> str:
        """Return what names the effects of this run: a repeat of it names them alike, the run after a pause does not.

        A job that sends itself on for ever would make its id longer each time, so a long one is replaced by its hash.
        """
        name = self.id if len(self.id) <= LONGEST_ID else blake2b(self.id.encode(), digest_size=16).hexdigest()
        return f"{name}~{self.retries}" if self.retries else name

    def for_another_run(self, *, attempt: int, retries: int) -> "Envelope":
        """Return the envelope for the next run of a message that has been begun.

        It expires no more; only a single-reader channel keeps its time, since it goes as a whole when nobody reads it.
        """
        expires = self.expires if "?" in self.channel else None
        return replace(self, attempt=attempt, retries=retries, expires=expires)


class Delivery(Struct, array_like=True, gc=False):
    """A message handed to a worker, with the receipt that commits it."""

    envelope: Envelope
    body: bytes
    receipt: int


# --- effects ---------------------------------------------------------------------------------------------------------


class Send(Struct, array_like=True, gc=False, tag="send"):
    """One message for one channel. `id` names it for good, so that a repeat is dropped; "" lets the broker choose."""

    channel: str
    body: bytes
    reply_channel: str = ""
    state: dict[str, bytes] | None = None
    id: str = ""


class GroupSend(Struct, array_like=True, gc=False, tag="group"):
    """One message for all members of a group. `typed` ones go to the members' consumers, others to their sockets."""

    group: str
    body: bytes
    typed: bool = False
    id: str = ""


class SaveState(Struct, array_like=True, gc=False, tag="state"):
    """Changes to a connection's state, packed per key; None removes the key."""

    channel: str
    changes: dict[str, bytes | None]


class Grant(Struct, array_like=True, gc=False, tag="grant"):
    """Allow the server to send `size` more body bytes of the request behind `channel`."""

    channel: str
    size: int


Effect = Send | GroupSend | SaveState | Grant


class Ending(IntEnum):
    """What a commit does with the connection's gate."""

    DONE = 0
    """The message is consumed: its connection's next one may go out."""
    LATER = 1
    """`ConsumeLater`: the same message comes again after a pause, and the next one waits."""


class Again(Struct, array_like=True, gc=False, tag="again"):
    """`Ending.LATER` on terms of one's own.

    The message comes again after `pause` seconds. Once it would have come again more than `limit` times it is a dead
    letter with this `reason` instead; with a limit of 0 at once.
    """

    pause: float
    limit: int
    reason: str


End = Ending | Again
"""How a commit ends its delivery."""


def terms_of(ending: End, retries: int, limits: BrokerLimits) -> Again:
    """Return when, and how often at most, a message comes again that has come again `retries` - 1 times before."""
    if isinstance(ending, Again):
        return ending
    return Again(limits.requeue_pause * 2.0 ** (retries - 1), limits.requeues, "retries")


# --- what a server reads from its inbox ------------------------------------------------------------------------------


class Frame(Struct, array_like=True, gc=False, tag="frame"):
    """A message for one connection."""

    channel: str
    body: bytes


class GroupFrame(Struct, array_like=True, gc=False, tag="group"):
    """A group message; the server takes it to every member it holds. `typed` ones go through each member's gate."""

    group: str
    body: bytes
    typed: bool
    id: str


class Done(Struct, array_like=True, gc=False, tag="done"):
    """The connection's messages up to and including `order` are consumed."""

    channel: str
    order: int


class Add(Struct, array_like=True, gc=False, tag="add"):
    """The connection joins a group. `generation` is what `leave` must name when the last local member has left."""

    group: str
    channel: str
    generation: int


class Discard(Struct, array_like=True, gc=False, tag="discard"):
    """The connection leaves a group."""

    group: str
    channel: str


class State(Struct, array_like=True, gc=False, tag="state"):
    """The connection's state changes."""

    channel: str
    changes: dict[str, bytes | None]


class Abandoned(Struct, array_like=True, gc=False, tag="abandoned"):
    """The message will not be consumed.

    `reason` is "attempts" or "retries" (used up), "lost" (its worker died and it may not run twice), or "expired" (no
    worker began it in time).
    """

    channel: str
    order: int
    reason: str
    attempts: int


class Refused(Struct, array_like=True, gc=False, tag="refused"):
    """A message that the server submitted was not taken: no room ("capacity"), or its one reader is gone ("gone")."""

    channel: str
    order: int
    source: str
    reason: str


class Credit(Struct, array_like=True, gc=False, tag="credit"):
    """The worker took `size` bytes of the request body; so many more may travel."""

    channel: str
    size: int


class OwnerGone(Struct, array_like=True, gc=False, tag="owner_gone"):
    """The process that owned the channels below `prefix` has died."""

    prefix: str


class Ask(Struct, array_like=True, gc=False, tag="ask"):
    """A question only the owner of the connections can answer: "members" of a group, "state" of a channel."""

    token: int
    question: str
    about: str


class Severed(Struct, array_like=True, gc=False, tag="severed"):
    """The broker cannot be reached now: what is submitted reaches nobody until `Renewed`. Told by the owner's shell."""


class Renewed(Struct, array_like=True, gc=False, tag="renewed"):
    """The broker knows nothing of this owner any more, since it lost its memory or its line, or is another one.

    What came before this item is of the old broker, what comes after it of the new one. The owner announces its groups
    and marks, and submits again what is not done: same id, attempt + 1. Told by the owner's shell.
    """


class Announced(Struct, array_like=True, gc=False, tag="announced"):
    """The answer to `announce`: the owner is in the group. `generation` is what `leave` must name, as with `Add`."""

    group: str
    generation: int


Item = (
    Frame
    | GroupFrame
    | Done
    | Add
    | Discard
    | State
    | Abandoned
    | Refused
    | Credit
    | OwnerGone
    | Ask
    | Severed
    | Renewed
    | Announced
)


# --- signals ---------------------------------------------------------------------------------------------------------


class Deliver(Struct, gc=False, tag="deliver"):
    """Hand this delivery to the session that asked for one."""

    session: int
    delivery: Delivery


class Readable(Struct, gc=False, tag="readable"):
    """The owner's inbox was empty and is not any more."""

    owner: int


class Settled(Struct, gc=False, tag="settled"):
    """A publish that waited is over: `error` is "", or why there was no room, or what the upstream raised."""

    token: int
    error: str | Exception


class Answered(Struct, gc=False, tag="answered"):
    """An owner answered a question (`Ask`)."""

    token: int
    answer: Any


class Mislaid(Struct, gc=False, tag="mislaid"):
    """A message ended without being consumed, and somebody should read about it in the log."""

    envelope: Envelope
    reason: str


class Outward(Struct, gc=False):
    """What a joined broker asks of the layer that joins it with others; see `outward`."""


Signal = Deliver | Readable | Settled | Answered | Mislaid | Outward
