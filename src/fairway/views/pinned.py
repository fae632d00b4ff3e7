"""The session that brings the messages of all sockets that views of this process own.

Each socket's messages come to a channel of its own below one prefix, which this process owns. One thread takes them and
puts them where the view finds them; a message stays uncommitted until the view takes it, so what is unread is bounded
by what the server sends ahead of a commit. When the process dies, or the session ends, the servers hear of it and close
the sockets (1012).
"""

import logging
import threading
import time
from itertools import count

from fairway.application import VIEW_KEY
from fairway.broker.effects import Delivery
from fairway.errors import DeliveryLost, InvalidMessage, LayerUnavailable
from fairway.layers.base import Layer, Reader
from fairway.layers.codec import decode_message
from fairway.limits import ViewLimits
from fairway.names import random_part
from fairway.views.connection import Connection

LOOK_EVERY = 5.0
"""Seconds after which it is looked whether the session has been lost, and after that, what is lost with it."""

logger = logging.getLogger("fairway.views")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
"""After a failed `receive` it is tried again, after a pause, ever longer."""


class Pinned:
    """The channels of this process's sockets. Threads share it; the session is opened when the first is made.

    Parameters:
        layer: where the sockets are.
        limits: how many there may be, and how much of each may be unread.
    """

    def __init__(self, layer: Layer, limits: ViewLimits) -> None:
        self._layer = layer
        self._window = (limits.threads + limits.coroutines) * limits.unread
        self._prefix = f"websocket.view.{random_part()}!"
        self._numbers = count(1)
        self._connections: dict[str, Connection] = {}
        self._opening = threading.Lock()
        self._reader: Reader | None = None
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        self._renewals = 0
        self._lost_at: float | None = None
        """When it was noticed that the session had been lost, until it was looked what is lost with it."""

    def new_channel(self) -> str:
        """Return a channel for one more socket.

        Raises:
            LayerUnavailable: the session cannot be opened.
        """
        with self._opening:
            if self._reader is None:
                self._reader = self._layer.reader([self._prefix], self._window, 1)
                self._thread = threading.Thread(
                    target=self._take_all, args=(self._reader,), name="fairway-view-sockets", daemon=True
                )
                self._thread.start()
        return f"{self._prefix}{next(self._numbers)}"

    def add(self, connection: Connection) -> None:
        """Bring the messages of this socket to it from now on, until that of its end."""
        self._connections[connection.channel] = connection

    def connections(self) -> list[Connection]:
        """Return the sockets of which neither the end has come nor the view has ended."""
        return list(self._connections.values())

    def forget(self, connection: Connection) -> None:
        """Bring nothing to this socket any more: its view has ended. What still comes for it is done at once."""
        self._connections.pop(connection.channel, None)

    def close(self) -> None:
        """End the session: the servers close what is open."""
        self._closed.set()
        with self._opening:
            if self._reader is not None:
                self._reader.close()

    # --- what is taken -----------------------------------------------------------------------------------------------

    def commit(self, delivery: Delivery) -> None:
        """Acknowledge a message that the view has taken, or that nobody will take."""
        try:
            self._reader.commit(delivery)  # type: ignore[union-attr]  # it brought the delivery
        except (DeliveryLost, LayerUnavailable) as error:
            logger.debug("a message of a view was not committed, since its session was lost: %s", error)

    async def acommit(self, delivery: Delivery) -> None:
        """Do as `commit`."""
        try:
            await self._reader.acommit(delivery)  # type: ignore[union-attr]  # as above
        except (DeliveryLost, LayerUnavailable) as error:
            logger.debug("a message of a view was not committed, since its session was lost: %s", error)

    def _take_all(self, reader: Reader) -> None:
        pause = FIRST_PAUSE
        while not self._closed.is_set():
            try:
                began = time.monotonic()
                delivery = reader.receive(LOOK_EVERY)
                if delivery is not None:
                    if not self._bring(delivery):
                        self.commit(delivery)
                elif time.monotonic() - began < LOOK_EVERY:
                    break  # the session is closed, or its layer
                if reader.renewals != self._renewals:
                    self._renewals, self._lost_at = reader.renewals, time.monotonic()
                if self._lost_at is not None and time.monotonic() - self._lost_at >= LOOK_EVERY:
                    self._end_lost(self._lost_at)
                    self._lost_at = None
                pause = FIRST_PAUSE
            except Exception:
                logger.exception("no message could be taken for the views; trying again in %g s", pause)
                self._closed.wait(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
        for connection in self.connections():  # nobody brings them anything any more
            connection.end()

    def _end_lost(self, lost_at: float) -> None:
        """End the sockets that have gone while the session was lost: then nobody could tell of their end.

        By now the servers have heard of the loss, too. Sockets that were accepted since are those of the new session.
        """
        for connection in self.connections():
            if connection.began < lost_at and not self._layer.state(connection.reply_channel).get(VIEW_KEY):
                self.forget(connection)
                connection.end()

    def _bring(self, delivery: Delivery) -> bool:
        """Put a message where its view finds it; False when nobody is to take it."""
        channel = delivery.envelope.channel
        connection = self._connections.get(channel)
        if connection is None:
            return False
        try:
            message = decode_message(delivery.body)
        except InvalidMessage:
            logger.exception("a message of the view socket %s was dropped", connection.reply_channel)
            return False
        if "code" in message:
            self.forget(connection)
            connection.end()
            return False
        if "event" in message:
            logger.warning(
                "a group message with a 'type' came for %s, which a view reads: it was dropped. "
                "Send groups of such sockets a 'text'",
                connection.reply_channel,
            )
            return False
        text = message.get("text")
        return connection.put(delivery, message.get("bytes", b"") if text is None else text)
