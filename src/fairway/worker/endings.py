"""How a consumer ends, as data: what is published, what is added, and whether the connection goes on.

`outcome` names how a run ended, `TABLE` says what follows for each kind of channel, `conclude` puts both together. What
happens when no consumer ends at all (its worker is gone, its attempts are used up) is the broker's part.
"""

from enum import Enum
from typing import NamedTuple

from fairway.broker.effects import Effect, End, Ending, Envelope, GroupSend, Send
from fairway.errors import ConsumeLater, DenyConnection
from fairway.layers.codec import encode_message
from fairway.worker.retries import Retry


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
    RETRIED = "raised, and is tried again"
    SPENT = "raised, and its retries are used up"


class Row(NamedTuple):
    """One line of the table."""

    ending: Ending = Ending.DONE
    """What is committed; after a failure that a `Retry` covers, its terms."""
    keeps_effects: bool = True
    """Publish what the run sent."""
    keeps_answers: bool = True
    """Publish what the run sent to its own connection too."""
    answer: bytes | None = None
    """A message for the connection."""
    is_failure: bool = False
    """The end of a message that was not consumed: an error, logged with its traceback."""


_INTERNAL_ERROR = {
    "status": 500,
    "headers": [[b"content-type", b"text/plain; charset=utf-8"]],
    "content": b"Internal Server Error\n",
}
REFUSE_500 = encode_message({"reject": _INTERNAL_ERROR})
REFUSE_403 = encode_message({"reject": {"status": 403}})
RESPOND_500 = encode_message(_INTERNAL_ERROR)

_FAILED = Row(is_failure=True)
_RETRIED = Row(ending=Ending.LATER, keeps_effects=False)
_SPENT = Row(keeps_effects=False, is_failure=True)

TABLE: dict[tuple[Kind, Outcome], Row] = {
    # A handshake must be decided; when the socket is open already, the server closes it (1011) instead.
    (Kind.CONNECT, Outcome.RETURNED): Row(),
    (Kind.CONNECT, Outcome.LATER): Row(ending=Ending.LATER),
    (Kind.CONNECT, Outcome.DENIED): Row(keeps_answers=False, answer=REFUSE_403),
    (Kind.CONNECT, Outcome.FAILED): Row(keeps_answers=False, answer=REFUSE_500, is_failure=True),
    (Kind.CONNECT, Outcome.RETRIED): _RETRIED,
    (Kind.CONNECT, Outcome.SPENT): _SPENT._replace(answer=REFUSE_500),
    # A response that has begun cannot be taken back: on the second status the server cuts it, so that the client sees
    # it is not whole. One that is complete is not touched: its exchange has ended.
    (Kind.REQUEST, Outcome.RETURNED): Row(),
    (Kind.REQUEST, Outcome.LATER): Row(ending=Ending.LATER),
    (Kind.REQUEST, Outcome.DENIED): Row(answer=RESPOND_500, is_failure=True),
    (Kind.REQUEST, Outcome.FAILED): Row(answer=RESPOND_500, is_failure=True),
    (Kind.REQUEST, Outcome.RETRIED): _RETRIED,
    (Kind.REQUEST, Outcome.SPENT): _SPENT._replace(answer=RESPOND_500),
    # Receive, event, disconnect and application channels: what was sent is sent even when the consumer raises.
    (Kind.OTHER, Outcome.RETURNED): Row(),
    (Kind.OTHER, Outcome.LATER): Row(ending=Ending.LATER),
    (Kind.OTHER, Outcome.DENIED): _FAILED,
    (Kind.OTHER, Outcome.FAILED): _FAILED,
    # A consumer that is retried has done nothing until it has done all: the next run sends what this one has sent.
    (Kind.OTHER, Outcome.RETRIED): _RETRIED,
    (Kind.OTHER, Outcome.SPENT): _SPENT,
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


def conclude(envelope: Envelope, error: BaseException | None, retry: Retry | None = None) -> tuple[Row, End]:
    """Say what follows from a run that raised `error`, or returned.

    Parameters:
        envelope: of the message that was consumed.
        retry: how its consumer is tried again, if at all.

    Returns:
        The line of the table, and how to commit.
    """
    kind, how = _KINDS.get(envelope.channel, Kind.OTHER), outcome(error)
    if retry is None or error is None or not retry.covers(error):
        row = TABLE[kind, how]
        return row, row.ending
    how = Outcome.RETRIED if envelope.retries < retry.times else Outcome.SPENT
    return TABLE[kind, how], retry.again(envelope.retries, error)


def closing_effects(row: Row, envelope: Envelope, effects: list[Effect]) -> list[Effect]:
    """Return the effects to commit: those of the run that stay, and the answer of the table."""
    own = envelope.reply_channel
    if not row.keeps_effects:
        effects = []
    if not own:
        return effects
    if not row.keeps_answers:
        effects = [effect for effect in effects if not _is_for(effect, own)]
    return effects if row.answer is None else [*effects, Send(own, row.answer)]


def _is_for(effect: Effect, channel: str) -> bool:
    return not isinstance(effect, GroupSend) and effect.channel == channel
