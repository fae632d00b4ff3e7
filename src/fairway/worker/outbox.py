"""The outbox: the ordered effects of one consumer run, kept until the run ends.

While a consumer runs, `current_outbox` holds its outbox, and `dispatch_effect` puts effects there; they leave with the
commit of the message that is being consumed. Outside a consumer an effect leaves at once.

A context variable is inherited by the tasks and threads that a consumer starts. One that outlives its consumer finds
the outbox closed; then it sends directly, and is told so by a `RuntimeWarning`, because nothing holds its messages
back any more and nothing repeats them.
"""

import sys
import warnings
from contextvars import ContextVar

from fairway.broker.effects import Delivery, Effect, GroupSend, SaveState, Send
from fairway.errors import MessageTooLarge
from fairway.layers.base import Layer, Reader
from fairway.limits import MessageLimits
from fairway.worker.state import ConnectionState

DEFAULT_LIMIT = MessageLimits().outbox
_SENDS = (Send, GroupSend)


class Outbox:
    """What one run of a consumer wants done.

    Parameters:
        delivery: the message that is being consumed.
        reader: the session it came through.
        layer: the layer it came through. Effects for other layers are kept apart, since one commit reaches one layer.
        limit: bytes in all.
    """

    __slots__ = (
        "delivery",
        "effects",
        "elsewhere",
        "is_handed_over",
        "is_open",
        "layer",
        "limit",
        "reader",
        "size",
        "state",
    )

    def __init__(self, delivery: Delivery, reader: Reader, layer: Layer, limit: int = DEFAULT_LIMIT) -> None:
        self.delivery = delivery
        self.reader = reader
        self.layer = layer
        self.limit = limit
        self.is_open = True
        self.is_handed_over = False
        """Somebody else commits the delivery."""
        self.size = 0
        self.effects: list[Effect] = []
        self.elsewhere: list[tuple[Layer, Effect]] = []
        self.state: ConnectionState | None = None
        """The connection's state, once the consumer has looked at it."""

    def append(self, effect: Effect, layer: Layer) -> None:
        """Keep an effect until the commit.

        Raises:
            MessageTooLarge: the outbox would hold more than its limit.
        """
        size = self.size + (len(effect.body) if type(effect) is Send else effect_size(effect))
        if size > self.limit:
            what = "outbox (what one consumer run may send; immediately=True sends at once)"
            raise MessageTooLarge(what, size, self.limit)
        self.size = size
        if layer is self.layer:
            self.effects.append(effect)
        else:
            self.elsewhere.append((layer, self._named(effect)))

    def save_state(self) -> None:
        """Put what the run changed in the connection's state among the effects.

        Raises:
            InvalidMessage, MessageTooLarge: a list or dict in the state was changed into something that cannot travel.
        """
        if self.state is not None:
            changes = self.state.changes()
            if changes:
                self.append(SaveState(self.state.owner, changes), self.layer)
                self._carry_along(self.state)

    def hand_over(self) -> None:
        """Let somebody else commit the delivery, or release it, when the run is long over; nothing more is taken.

        Whoever it is commits `effects` with it.
        """
        self.is_handed_over = True
        self.close()

    def close(self) -> None:
        """The run is over: from now on effects are no longer taken."""
        self.is_open = False

    def _carry_along(self, state: ConnectionState) -> None:
        """Let messages about the connection carry its state as the run leaves it.

        They leave when the run has ended, and so when its decorators have saved what they save: who consumes such a
        message finds the session that its sender has just written to.
        """
        packed = None
        for effect in (*self.effects, *(effect for _, effect in self.elsewhere)):
            if isinstance(effect, Send) and effect.reply_channel == state.owner:
                packed = state.packed() if packed is None else packed
                effect.state = packed

    def _named(self, effect: Effect) -> Effect:
        """Give an effect for another layer an id of its own, so that a repeated run does not send it twice.

        Two aliases may lead to one broker, which names the effects of a commit by itself: hence the letter.
        """
        if isinstance(effect, _SENDS):
            effect.id = f"{self.delivery.envelope.run_name()}.e{len(self.elsewhere)}"
        return effect


current_outbox: ContextVar[Outbox | None] = ContextVar("fairway_outbox", default=None)
"""The outbox of the consumer that runs in this context."""


def effect_size(effect: Effect) -> int:
    """Return the bytes an effect holds in memory, as far as they matter."""
    if isinstance(effect, _SENDS):
        return len(effect.body)
    changes = getattr(effect, "changes", {})
    return sum(len(value) for value in changes.values() if value is not None)


def dispatch_effect(effect: Effect, layer: Layer, *, immediately: bool = False, timeout: float = 0) -> None:
    """Put an effect into the open outbox of this context, or publish it at once when there is none.

    Raises:
        MessageTooLarge: the outbox is full.
        ChannelFull, LayerUnavailable, DeliveryLost: it was published at once, and the layer says no.
    """
    outbox = current_outbox.get()
    if outbox is not None and not outbox.is_open:
        _warn_late(outbox)
        outbox = None
    if outbox is None:
        layer.publish(effect, timeout)
    elif not immediately:
        outbox.append(effect, layer)
    elif layer is outbox.layer:
        outbox.reader.publish(outbox.delivery, effect, timeout)
    else:
        layer.publish(effect, timeout)


async def adispatch_effect(effect: Effect, layer: Layer, *, immediately: bool = False, timeout: float = 0) -> None:
    """Do as `dispatch_effect`."""
    outbox = current_outbox.get()
    if outbox is not None and not outbox.is_open:
        _warn_late(outbox)
        outbox = None
    if outbox is None:
        await layer.apublish(effect, timeout)
    elif not immediately:
        outbox.append(effect, layer)
    elif layer is outbox.layer:
        await outbox.reader.apublish(outbox.delivery, effect, timeout)
    else:
        await layer.apublish(effect, timeout)


def _warn_late(outbox: Outbox) -> None:
    text = (
        f"the consumer of {outbox.delivery.envelope.channel!r} has ended, so this message is sent directly; "
        "await what a consumer starts, or send with immediately=True before it ends"
    )
    warnings.warn(text, RuntimeWarning, stacklevel=_level_of_sender())


def _level_of_sender() -> int:
    """Return the `stacklevel` at which `_warn_late` points at the code that sends: the first that is not ours."""
    frame, level = sys._getframe(1), 1  # noqa: SLF001  the only way to walk the stack without reading source files
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("fairway."):
        frame, level = frame.f_back, level + 1
    return level
