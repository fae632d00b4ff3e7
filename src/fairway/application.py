"""The callable that a worker runs: a delivery becomes a message, the routing finds its consumer, Django is cared for.

Around each consumer: the signals, and the database connections as Django has it around each request. Connections that
are broken or too old are closed before and after; inside a transaction, as in a test case, nothing is touched.

What the routing leaves over:

===========================  ===========================================================================
``http.request``             Django's views
``websocket.connect``        accepted when another channel routes this path; else a view's that takes WebSockets
                             (``fairway.views``); else 404 and a line in the log
the other websocket channels  dropped: the connection's messages must be read by someone
any other channel            an error in the log
===========================  ===========================================================================
"""

import inspect
import logging
from collections.abc import Callable, Collection
from typing import Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, async_to_sync, sync_to_async
from django.utils.module_loading import import_string

from fairway import DEFAULT_CHANNEL_LAYER
from fairway.broker.effects import Delivery, Send
from fairway.conf import channel_layers
from fairway.consumers.background import retry_of, time_limit_of
from fairway.consumers.calls import is_coroutine_consumer
from fairway.database import close_connections, opened_connections, tend_connections
from fairway.errors import ChannelSocketException, InvalidLayerSetting
from fairway.layers.base import Layer
from fairway.layers.codec import decode_message, encode_message
from fairway.limits import ViewLimits
from fairway.message import Message
from fairway.routing import Consumer, Router
from fairway.signals import consumer_finished, consumer_started
from fairway.worker.contract import Companion
from fairway.worker.loop import Worker
from fairway.worker.outbox import Outbox, dispatch_effect
from fairway.worker.retries import Retry

logger = logging.getLogger("fairway.routing")

WEBSOCKET_CHANNELS = ("websocket.connect", "websocket.receive", "websocket.event", "websocket.disconnect")
VIEW_SOCKETS = "fairway.views.sockets.ViewSockets"
"""What takes the sockets of views. It is built on all this, so it is named, and not imported."""

VIEW_KEY = "fairway.view"
"""In a connection's state: the channel by which the view hears of it, in whatever process it is."""

LATER_CHANNELS = WEBSOCKET_CHANNELS[1:]
"""A path is routed when one of these is, though its connect is not."""


class DjangoApplication:
    """Runs the consumers of one layer.

    Parameters:
        layer: where the messages come from.
        router: who consumes them.
        http_consumer: takes the requests that the routing does not; Django's views when None.
        view_limits: what views that own a WebSocket may hold.
    """

    def __init__(
        self,
        layer: Layer,
        router: Router,
        *,
        http_consumer: Consumer | None = None,
        view_limits: ViewLimits | None = None,
    ) -> None:
        self.layer = layer
        self.router = router
        self.channels = sorted({*router.channels, *WEBSOCKET_CHANNELS, "http.request"})
        self._view_sockets = import_string(VIEW_SOCKETS)(layer, view_limits)
        self._fallbacks: dict[str, Callable[..., Any]] = {
            "http.request": http_consumer or _view_consumer(),
            "websocket.connect": self.connect_unrouted,
            "websocket.receive": _ignore,
            "websocket.event": _drop_event,
            "websocket.disconnect": _disconnect_unrouted,
        }

    def prepare(self, delivery: Delivery) -> "ConsumerCall":
        """Decode and route one delivery."""
        envelope = delivery.envelope
        message = Message(decode_message(delivery.body), envelope.channel, self.layer, envelope=envelope)
        found = self.router.match(message)
        if found is not None:
            return ConsumerCall(message, found[0], found[1])
        return ConsumerCall(message, self._fallbacks.get(envelope.channel, _drop), {})

    def time_limit(self, delivery: Delivery) -> float:
        """Return the time limit that the consumer of a delivery has of its own, infinity without one."""
        return time_limit_of(self.prepare(delivery).consumer)

    @property
    def companions(self) -> Collection[Companion]:
        """What runs views that own a WebSocket."""
        return (self._view_sockets,)

    def leave_thread(self) -> None:
        """Close the database connections of this thread."""
        close_connections()

    def connect_unrouted(self, message: Message, **_kwargs: Any) -> None:
        """Decide about a socket whose connect nobody consumes."""
        if message.reply_channel is None:
            return
        if self.routes_later(message):
            message.reply_channel.send({"accept": True})
            return
        if self._view_sockets.take(message):
            return
        logger.warning("Not Found: %.200r (no WebSocket consumer for this path)", message.get("path"))
        message.reply_channel.send({"reject": {"status": 404}})

    def routes_later(self, message: Message) -> bool:
        """Say whether a later message of the socket that is connecting may have a consumer."""
        probe = {key: message[key] for key in ("reply_channel", "path") if key in message}
        return any(self.router.covers(Message(probe, channel, self.layer)) for channel in LATER_CHANNELS)


class ConsumerCall:
    """One message and its consumer."""

    __slots__ = ("consumer", "is_coroutine", "kwargs", "message")

    def __init__(self, message: Message, consumer: Consumer, kwargs: dict[str, Any]) -> None:
        self.message = message
        self.consumer = consumer
        self.kwargs = kwargs
        self.is_coroutine = is_coroutine_consumer(consumer, message)

    @property
    def retry(self) -> Retry | None:
        """How the consumer is tried again; it is asked when it has failed."""
        return retry_of(self.consumer)

    def run(self, outbox: Outbox) -> Any:
        """Run a blocking consumer in this thread; return what it returns."""
        result = None
        opened = opened_connections()
        if opened:
            tend_connections(opened)
        try:
            if consumer_started.receivers:
                consumer_started.send(Worker, environ={})
            result = self.consumer(self.message, **self.kwargs)
            if result is not None and inspect.iscoroutine(result):  # a coroutine consumer that did not look like one
                result = async_to_sync(_awaited)(result)
        except ChannelSocketException as error:
            error.run(self.message)
        finally:
            try:
                if outbox.state is not None:
                    outbox.save_state()
            finally:
                if consumer_finished.receivers:
                    consumer_finished.send_robust(Worker)
                if opened:
                    tend_connections(opened)
        return result

    async def arun(self, outbox: Outbox) -> Any:
        """Do as `run` for a coroutine consumer. Blocking code that it awaits (the ORM) gets a thread of its own."""
        result = None
        async with ThreadSensitiveContext() as context:
            try:
                if consumer_started.receivers:
                    await consumer_started.asend(Worker, environ={})
                result = await self.consumer(self.message, **self.kwargs)
            except ChannelSocketException as error:
                error.run(self.message)
            finally:
                try:
                    outbox.save_state()
                finally:
                    if consumer_finished.receivers:
                        await consumer_finished.asend_robust(Worker)
                    # That thread ends with this context, and its connections would linger until they are collected.
                    if context in SyncToAsync.context_to_thread_executor:
                        await sync_to_async(close_connections)()
        return result


def application_for(
    alias: str = DEFAULT_CHANNEL_LAYER,
    *,
    http_consumer: Consumer | None = None,
    view_limits: ViewLimits | None = None,
) -> DjangoApplication:
    """Return the application of a configured layer, with the routing that its setting names.

    Raises:
        InvalidLayerSetting: the layer's setting is wrong, or names no routing.
        ImproperlyConfigured: the routing is wrong.
    """
    routing = channel_layers.setting(alias).routing
    if routing is None:
        msg = f"CHANNEL_LAYERS[{alias!r}] has no 'ROUTING'; name one, such as 'mysite.routing.channel_routing' (or [])"
        raise InvalidLayerSetting(msg)
    layer = channel_layers[alias]
    return DjangoApplication(layer, Router(routing), http_consumer=http_consumer, view_limits=view_limits)


async def _awaited(result: Any) -> Any:
    return await result


def _view_consumer() -> Consumer:
    from fairway.http.consumers import ViewConsumer

    return ViewConsumer()


def _ignore(_message: Message, **_kwargs: Any) -> None:
    """Consume a message that nobody asked for."""


def _disconnect_unrouted(message: Message, **_kwargs: Any) -> None:
    """Pass the end of a view's socket on to its view: it comes here when the server died that should have told it."""
    channel = message.state.get(VIEW_KEY) if message.get("reply_channel") else None
    if channel and message.channel_layer is not None:
        dispatch_effect(Send(channel, encode_message(message.content)), message.channel_layer)


def _drop_event(message: Message, **_kwargs: Any) -> None:
    event = message.get("event") or {}
    logger.warning("no consumer for the event %.100r on path %.200r", event.get("type"), message.get("path"))


def _drop(message: Message, **_kwargs: Any) -> None:
    logger.error("no route for message %s on channel %s: dropped", message.id, message.channel_name)
