"""What a joined broker asks its shell to do at the upstream, the layer that joins it with other brokers.

As all signals they are acted on after the command that brought them about has ended, in their order.
"""

from fairway.broker.effects import Delivery, Effect, End, Envelope, Outward, Send
from fairway.broker.inbox import Mark

# --- messages --------------------------------------------------------------------------------------------------------


class Forward(Outward, gc=False):
    """Publish an effect that has no recipient here, or not only here.

    With a `token` its sender waits until `deadline` (0: not at all), and `settle` tells how it ended. Without one it
    is part of a commit: nobody waits, and what finds no room becomes a dead letter.
    """

    effect: Effect
    token: int = 0
    deadline: float = 0


class ForwardSubmit(Outward, gc=False):
    """Submit a connection's message, which no worker here reads."""

    owner: int
    envelope: Envelope
    body: bytes


class Withdrawn(Outward, gc=False):
    """Whoever has sent the effect with this token waits no more."""

    token: int


# --- deliveries that came from the upstream --------------------------------------------------------------------------


class Committed(Outward, gc=False):
    """Commit the upstream's delivery, with all its effects: it was consumed here."""

    session: int
    delivery: Delivery
    outbox: list[Effect]
    ending: End


class GivenBack(Outward, gc=False):
    """Give the upstream's delivery back: it was not begun."""

    session: int
    delivery: Delivery


class Answering(Outward, gc=False):
    """Publish an answer to the upstream's delivery from inside its run; `settle` tells how it ended."""

    session: int
    delivery: Delivery
    effect: Send
    token: int
    deadline: float


# --- who is here -----------------------------------------------------------------------------------------------------


class SessionCame(Outward, gc=False):
    """A session reads these channels."""

    session: int
    channels: tuple[str, ...]


class SessionPaused(Outward, gc=False):
    """A session takes no more."""

    session: int


class SessionLeft(Outward, gc=False):
    """A session is gone, with what it held."""

    session: int


class Hungry(Outward, gc=False):
    """A session that had nothing to do with more deliveries (`wants_more`) would take one now."""

    session: int


class OwnerCame(Outward, gc=False):
    """An owner reads the channels below these prefixes."""

    owner: int
    prefixes: tuple[str, ...]


class OwnerLeft(Outward, gc=False):
    """An owner is gone."""

    owner: int


class Marked(Outward, gc=False):
    """An owner has said something about one of its connections that concerns senders elsewhere."""

    owner: int
    channel: str
    mark: Mark | None


class GroupCame(Outward, gc=False):
    """A group has its first member here."""

    group: str


class GroupLeft(Outward, gc=False):
    """A group has no member here any more."""

    group: str


class Announcing(Outward, gc=False):
    """An owner that is back wants to be told when its groups are known, here and at the upstream."""

    owner: int
    groups: tuple[str, ...]
