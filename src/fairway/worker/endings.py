"""How a consumer ends, as data: what is published, what is added, and whether the connection goes on.

`outcome` names how a run ended, `TABLE` says what follows for each kind of channel. What happens when no consumer
ends at all (its worker is gone, its attempts are used up) is the broker's part.
"""

from enum import Enum
from typing import NamedTuple

from fairway.broker.effects import Effect, Ending, Envelope, GroupSend, Send
from fairway.errors import ConsumeLater, DenyConnection
from fairway.layers.codec import encode_message


class Kind(Enum):
    """What kind of channel a message came on, as far as its end is concerned."""

    CONNECT = "websocket.connect"
    REQUEST = "http.request"
    OTHER = "everything else"


class Outcome(Enum):
    """How a consumer run ended."""

    RETURNED = "returned"
    LATER = "ConsumeLater"
    DENIED = "DenyConnection"
    FAILED = "raised"


class Row(NamedTuple):
    """One line of the table."""

    ending: Ending = Ending.DONE
    keeps_answers: bool = True
    """Publish what the run sent to its own connection too."""
    answer: bytes | None = None
    """A message for the connection."""
    is_failure: bool = False
    """Log it with its traceback."""


_INTERNAL_ERROR = {
    "status": 500,
    "headers": [[b"content-type", b"text/plain; charset=utf-8"]],
    "content": b"Internal Server Error\n",
}
REFUSE_500 = encode_message({"reject": _INTERNAL_ERROR})
REFUSE_403 = encode_message({"reject": {"status": 403}})
RESPOND_500 = encode_message(_INTERNAL_ERROR)

_FAILED = Row(is_failure=True)

TABLE: dict[tuple[Kind, Outcome], Row] = {
    # A handshake must be decided; when the socket is open already, the server closes it (1011) instead.
    (Kind.CONNECT, Outcome.RETURNED): Row(),
    (Kind.CONNECT, Outcome.LATER): Row(ending=Ending.LATER),
    (Kind.CONNECT, Outcome.DENIED): Row(keeps_answers=False, answer=REFUSE_403),
    (Kind.CONNECT, Outcome.FAILED): Row(keeps_answers=False, answer=REFUSE_500, is_failure=True),
    # A response that has begun cannot be taken back: on the second status the server cuts it, so that the client sees
    # it is not whole. One that is complete is not touched: its exchange has ended.
    (Kind.REQUEST, Outcome.RETURNED): Row(),
    (Kind.REQUEST, Outcome.LATER): Row(ending=Ending.LATER),
    (Kind.REQUEST, Outcome.DENIED): Row(answer=RESPOND_500, is_failure=True),
    (Kind.REQUEST, Outcome.FAILED): Row(answer=RESPOND_500, is_failure=True),
    # Receive, event, disconnect and application channels: what was sent is sent even when the consumer raises.
    (Kind.OTHER, Outcome.RETURNED): Row(),
    (Kind.OTHER, Outcome.LATER): Row(ending=Ending.LATER),
    (Kind.OTHER, Outcome.DENIED): _FAILED,
    (Kind.OTHER, Outcome.FAILED): _FAILED,
}

_KINDS = {kind.value: kind for kind in (Kind.CONNECT, Kind.REQUEST)}


def outcome(error: BaseException | None) -> Outcome:
    """Name how a run ended that raised `error`, or returned."""
    if error is None:
        return Outcome.RETURNED
    if isinstance(error, ConsumeLater):
        return Outcome.LATER
    if isinstance(error, DenyConnection):
        return Outcome.DENIED
    return Outcome.FAILED


def row_for(channel: str, error: BaseException | None) -> Row:
    """Return the line of the table for a message of `channel` whose consumer raised `error`, or returned."""
    return TABLE[_KINDS.get(channel, Kind.OTHER), outcome(error)]


def closing_effects(row: Row, envelope: Envelope, effects: list[Effect]) -> list[Effect]:
    """Return the effects to commit: those of the run that stay, and the answer of the table."""
    own = envelope.reply_channel
    if not own:
        return effects
    if not row.keeps_answers:
        effects = [effect for effect in effects if not _is_for(effect, own)]
    return effects if row.answer is None else [*effects, Send(own, row.answer)]


def _is_for(effect: Effect, channel: str) -> bool:
    return not isinstance(effect, GroupSend) and effect.channel == channel
