"""Messages for later, in a test: nobody waits for their time; the test says how far ahead of it they are delivered.

Requests take the way they take through a delay server, over `asgi.delay` into the table and out of it, in the test's
own thread and transaction. So a key replaces, a cancelled message is gone, and one that no server would keep fails the
test that sent it.
"""

from collections.abc import Iterator
from datetime import timedelta

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from fairway import DEFAULT_CHANNEL_LAYER
from fairway.broker.effects import Delivery
from fairway.layers.memory import MemoryLayer
from fairway.message import Message
from fairway.scheduling import DELAY_APP, DELAY_CHANNEL
from fairway.testing.commit_hooks import run_commit_hooks
from fairway.testing.layers import memory_layer

NOTHING = timedelta(0)

ROUNDING = timedelta(milliseconds=1)
"""By as much may a message be due later than its sender said."""


def deliver_delayed(within: timedelta = NOTHING, alias: str = DEFAULT_CHANNEL_LAYER) -> list[Message]:
    """Put the messages for later on their channels that are due now, or within a time from now, and return them.

    They come in the order of their times. No clock is moved: what their consumers send for later is due that much later
    than now, so a further call delivers it.

    Parameters:
        within: how far ahead.
        alias: the layer's.

    Raises:
        ImproperlyConfigured: `fairway.delay` is not in `INSTALLED_APPS`.
        InvalidLayerSetting: the layer is not that of a test.
        InvalidMessage: what somebody sent to `asgi.delay` by hand cannot be done.
        ChannelFull: a channel has no room.
    """
    if not apps.is_installed(DELAY_APP):
        msg = f"there are no messages for later without {DELAY_APP!r} in INSTALLED_APPS"
        raise ImproperlyConfigured(msg)
    from fairway.delay.models import DelayedMessage

    layer = memory_layer(alias)
    run_commit_hooks()
    _store_requests(layer, alias)
    due = DelayedMessage.objects.waiting().filter(layer=alias, due_date__lte=timezone.now() + within + ROUNDING)
    delivered = []
    for row in due.order_by("due_date", "id"):
        layer.publish(row.effect())
        delivered.append(Message(row.content, row.channel_name, layer))
        row.delete()
    return delivered


def _store_requests(layer: MemoryLayer, alias: str) -> None:
    """Do what a delay server does with what has come."""
    from fairway.delay.limits import DelayLimits
    from fairway.delay.models import milliseconds_now
    from fairway.delay.parsing import parse_request
    from fairway.delay.storing import store

    now = milliseconds_now()
    requests = [parse_request(delivery, now, layer.message_limits) for delivery in _taken(layer)]
    store(requests, alias, DelayLimits())


def _taken(layer: MemoryLayer) -> Iterator[Delivery]:
    """Take the requests that wait; each is done with, whatever becomes of it."""
    reader = layer.reader([DELAY_CHANNEL])
    try:
        while delivery := reader.receive(0):
            reader.commit(delivery)
            yield delivery
    finally:
        reader.close()
