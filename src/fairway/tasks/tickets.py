"""Tickets: the messages that tell workers that there is a task to be run.

Each queue has a channel of its own, `tasks.<queue>`, so that a worker may read some and leave others. A backend whose
`QUEUES` is empty takes tasks of any queue, which nobody can list; all their tickets go to the channel `tasks`.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from django.utils import timezone

from fairway.broker.effects import Send
from fairway.errors import BackendError, ChannelFull, InvalidMessage
from fairway.layers.base import Layer
from fairway.layers.codec import encode_message
from fairway.message import Message
from fairway.names import check_channel
from fairway.scheduling import schedule
from fairway.worker.outbox import dispatch_effect

ANY_QUEUE = "tasks"


class Ticket(NamedTuple):
    """What a ticket says."""

    backend: str
    queue: str
    due: str = ""
    """When the task is due for which it was made, in ISO 8601; "" for at once.

    The delay server may have another clock than the worker. What it has sent is due, whatever the worker's clock says.
    """


def channel_of(queue: str, queues: set[str]) -> str:
    """Return the channel of a queue, given those that the backend names.

    Raises:
        InvalidName: it makes no name of a channel.
    """
    return check_channel(f"{ANY_QUEUE}.{queue}") if queues else ANY_QUEUE


def channels_of(queues: set[str]) -> list[str]:
    """Return the channels of all queues of a backend.

    Raises:
        InvalidName: as `channel_of`.
    """
    return [channel_of(queue, queues) for queue in sorted(queues)] or [ANY_QUEUE]


def make_ticket(ticket: Ticket, channel: str, layer: Layer, at: datetime | None = None) -> Send:
    """Return the message that is a ticket, or the one that lets the delay server send it when its time has come.

    Raises:
        InvalidSchedule: `at` is no moment that can be waited for.
        ImproperlyConfigured: it is for later, and the app `fairway.delay` is not installed.
    """
    if at is None:
        return Send(channel, encode_message(ticket._asdict(), layer.message_limits))
    later = ticket._replace(due=at.isoformat())
    effect = Send(channel, encode_message(later._asdict(), layer.message_limits))
    return schedule(effect, layer.message_limits, delay=None, at=at, key=None)


def send_ticket(effect: Send, layer: Layer) -> None:
    """Send a ticket at once: it does not wait for the end of a consumer that enqueues, since the row does not either.

    Raises:
        ChannelFull, LayerUnavailable, DeliveryLost: it could not be sent.
    """
    dispatch_effect(effect, layer, immediately=True)


def send_or_note(effect: Send, layer: Layer, note_loss: Callable[[], None]) -> None:
    """Send a ticket at once, or note that there was no room for it: whoever consumes one of the others sends it then.

    Raises:
        LayerUnavailable, DeliveryLost: as `send_ticket`; the loss is not noted.
    """
    try:
        send_ticket(effect, layer)
    except ChannelFull:
        note_loss()
        # The tickets that took the room may all have been consumed before this was noted. Then there is room now.
        with suppress(BackendError):
            send_ticket(effect, layer)


def read_ticket(message: Message) -> Ticket:
    """Return what a message says.

    Raises:
        InvalidMessage: it is no ticket.
    """
    backend, queue, due = message.get("backend"), message.get("queue"), message.get("due", "")
    if not isinstance(backend, str) or not isinstance(queue, str) or not isinstance(due, str):
        msg = f"a ticket has the texts 'backend' and 'queue'; {message!r} on {message.channel_name!r} is none"
        raise InvalidMessage(msg)
    return Ticket(backend, queue, due)


def due_by(ticket: Ticket) -> datetime:
    """Return the moment by which tasks are due, for who holds this ticket: now, or a little later by a slow clock.

    Raises:
        InvalidMessage: what the ticket says is no moment.
    """
    now = timezone.now()
    if not ticket.due:
        return now
    try:
        return max(now, datetime.fromisoformat(ticket.due))
    except (ValueError, TypeError) as error:  # TypeError: one has a time zone, and the other has none
        msg = f"a ticket is due at a moment in ISO 8601, not {ticket.due!r:.100}; was USE_TZ changed?"
        raise InvalidMessage(msg) from error
