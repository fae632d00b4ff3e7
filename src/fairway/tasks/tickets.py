"""Tickets: the messages that tell workers that there is a task to be run.

Each queue has a channel of its own, `tasks.<queue>`, so that a worker may read some and leave others. A backend whose
`QUEUES` is empty takes tasks of any queue, which nobody can list; all their tickets go to the channel `tasks`.
"""

from datetime import datetime
from typing import NamedTuple

from fairway.broker.effects import Send
from fairway.errors import InvalidMessage
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
    effect = Send(channel, encode_message(ticket._asdict(), layer.message_limits))
    if at is None:
        return effect
    return schedule(effect, layer.message_limits, delay=None, at=at, key=None)


def send_ticket(effect: Send, layer: Layer) -> None:
    """Send a ticket at once: it does not wait for the end of a consumer that enqueues, since the row does not either.

    Raises:
        ChannelFull, LayerUnavailable, DeliveryLost: it could not be sent.
    """
    dispatch_effect(effect, layer, immediately=True)


def read_ticket(message: Message) -> Ticket:
    """Return what a message says.

    Raises:
        InvalidMessage: it is no ticket.
    """
    backend, queue = message.get("backend"), message.get("queue")
    if not isinstance(backend, str) or not isinstance(queue, str):
        msg = f"a ticket has the texts 'backend' and 'queue'; {message!r} on {message.channel_name!r} is none"
        raise InvalidMessage(msg)
    return Ticket(backend, queue)
