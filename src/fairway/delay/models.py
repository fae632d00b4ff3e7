"""What a delay server stores: the messages that wait for their time."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from django.conf import settings
from django.db import models
from django.utils import timezone

from fairway import DEFAULT_CHANNEL_LAYER
from fairway.broker.effects import Send
from fairway.delay.parsing import reply_channel_of
from fairway.errors import ChannelFull
from fairway.layers.codec import decode_message, encode_message
from fairway.names import MAX_CHANNEL_LENGTH, check_channel, check_not_reserved
from fairway.scheduling import MAX_KEY_LENGTH

if TYPE_CHECKING:
    from fairway.layers.base import Layer

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def moment(milliseconds: int) -> datetime:
    """Return a time since the epoch as Django has times: aware, or with `USE_TZ = False` of the current time zone."""
    aware = _EPOCH + timedelta(milliseconds=milliseconds)
    return aware if settings.USE_TZ else timezone.make_naive(aware)


def milliseconds_now() -> int:
    """Return the time since the epoch, as Django tells it."""
    now = timezone.now()
    return ((now if settings.USE_TZ else timezone.make_aware(now)) - _EPOCH) // _MILLISECOND


def new_name() -> str:
    """Return a name for a row that no request has named. Migrations refer to it."""
    return uuid4().hex


class DelayedMessageQuerySet(models.QuerySet["DelayedMessage"]):
    """Messages that wait."""

    def is_due(self) -> "DelayedMessageQuerySet":
        """Return those whose time has come."""
        return self.filter(due_date__lte=timezone.now())

    def waiting(self) -> "DelayedMessageQuerySet":
        """Return those that are to be sent, without the traces that sent ones with a key leave for a while."""
        return self.filter(body__isnull=False)

    def send(self, channel_layer: "Layer | None" = None, requeue_delay: int = 1000) -> None:
        """Send all of these now, in the order of their times. See `DelayedMessage.send`."""
        send_all(self.order_by("due_date", "id"), channel_layer, requeue_delay)


class DelayedMessage(models.Model):
    """A message that waits for its time.

    A row may be made by hand: `DelayedMessage(channel_name="reports", content={...}, delay=60_000).save()`. A delay
    server finds it within a few seconds. `delay` is in milliseconds.
    """

    layer = models.CharField(max_length=100, default=DEFAULT_CHANNEL_LAYER)
    """The alias of the layer that carries it."""
    due_date = models.DateTimeField()
    channel_name = models.CharField(max_length=MAX_CHANNEL_LENGTH)
    key = models.CharField(max_length=MAX_KEY_LENGTH, null=True, blank=True, default=None)  # noqa: DJ001  unique, where there is one
    name = models.CharField(max_length=32, unique=True, default=new_name, editable=False)
    """Names it for good: who stores or sends it again does so under the same name."""
    sent = models.BigIntegerField(default=0, editable=False)
    """When one with a key was sent, in nanoseconds since the epoch: the later one holds."""
    reply_channel = models.CharField(max_length=MAX_CHANNEL_LENGTH, blank=True, default="")
    body = models.BinaryField(null=True, blank=True)
    """The message, encoded. Null in what remains for a while of one with a key that was sent or cancelled."""

    objects = DelayedMessageQuerySet.as_manager()

    class Meta:
        """How a delay server looks for rows."""

        verbose_name = "message for later"
        verbose_name_plural = "messages for later"
        indexes = (models.Index(fields=["layer", "due_date", "id"], name="fairway_delay_due"),)
        constraints = (models.UniqueConstraint(fields=["layer", "channel_name", "key"], name="fairway_delay_key"),)

    def __str__(self) -> str:
        return f"to {self.channel_name} at {self.due_date:%Y-%m-%d %H:%M:%S}"

    @property
    def content(self) -> dict[str, Any]:
        """The message; empty in what remains of one that was sent.

        Setting it raises `InvalidMessage` and `MessageTooLarge`, as sending it would.
        """
        return {} if self.body is None else decode_message(bytes(self.body))

    @content.setter
    def content(self, content: dict[str, Any]) -> None:
        self.body = encode_message(content)
        self.reply_channel = reply_channel_of(content)

    @property
    def delay(self) -> int:
        """Milliseconds: what was set, else what is left until it is due."""
        if "_delay" in self.__dict__:
            return self._delay
        return max(0, (self.due_date - timezone.now()) // _MILLISECOND)

    @delay.setter
    def delay(self, milliseconds: int) -> None:
        self._delay = milliseconds
        self.due_date = timezone.now() + timedelta(milliseconds=milliseconds)

    def effect(self) -> Send:
        """Return what sends it: under an id of its own, so that a layer drops a repeat.

        Raises:
            InvalidName: the row was made by hand, and its channel's name is none.
        """
        channel = check_not_reserved(check_channel(self.channel_name), "channel")
        body = bytes(self.body or b"")
        return Send(channel, body, reply_channel=self.reply_channel, id=f"delayed.{self.name}")

    def send(self, channel_layer: "Layer | None" = None, requeue_delay: int = 1000) -> None:
        """Send it now, and delete the row; when its channel is full, let it wait again.

        Parameters:
            channel_layer: what carries it; else the layer whose alias the row names.
            requeue_delay: milliseconds to wait when the channel is full.

        Raises:
            InvalidName, LayerUnavailable: it could not be sent; the row stays as it is.
        """
        send_all([self], channel_layer, requeue_delay)


def send_all(rows: Iterable[DelayedMessage], channel_layer: "Layer | None", requeue_delay: int) -> None:
    """See `DelayedMessage.send`."""
    from fairway.conf import channel_layers

    for row in rows:
        if row.body is not None:
            try:
                (channel_layer or channel_layers[row.layer]).publish(row.effect())
            except ChannelFull:
                row.delay = requeue_delay
                row.save(update_fields=["due_date"])
                continue
        # By its name: under a key another one may have taken the place of what was sent.
        DelayedMessage.objects.filter(name=row.name).delete()
