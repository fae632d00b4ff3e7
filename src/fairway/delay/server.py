"""The delay server: it stores what comes on `asgi.delay`, and sends what is due.

One thread does both, over one session of the layer and one database connection. It waits in `Reader.receive`, for a
request or for the time of the next message, whichever is first. What came is stored in one transaction, and then
acknowledged; what is held while the database is away is held until it is back.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable

from django.db import DataError, IntegrityError, connections
from django.db import Error as DatabaseFailure
from django.utils import timezone

from fairway import DEFAULT_CHANNEL_LAYER
from fairway.broker.effects import Again, Delivery
from fairway.delay.agenda import Agenda
from fairway.delay.limits import DelayLimits
from fairway.delay.models import milliseconds_now, moment
from fairway.delay.parsing import Request, parse_request
from fairway.delay.sending import Sender
from fairway.delay.storing import database, store
from fairway.errors import DeliveryLost, InvalidMessage, LayerUnavailable
from fairway.layers.base import Layer, Reader

logger = logging.getLogger("fairway.delay")

DELAY_CHANNEL = "asgi.delay"
LONGEST_REASON = 200


class DelayServer:
    """Keeps messages until they are due.

    Parameters:
        layer: where requests come from and messages go to.
        alias: the layer's alias: rows of other layers are let be.
        limits: what it may hold, and how long it waits for what.
    """

    def __init__(self, layer: Layer, alias: str = DEFAULT_CHANNEL_LAYER, limits: DelayLimits | None = None) -> None:
        self._layer = layer
        self._alias = alias
        self._limits = limits or DelayLimits()
        self._agenda = Agenda(self._limits)
        self._sender = Sender(layer, alias, self._limits)
        self._reader: Reader | None = None
        self._held: list[tuple[Delivery, Request]] = []
        """What was taken and is not stored yet."""
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.stored = 0
        """How many requests were stored."""
        self.is_ready = False
        """Whether it has reached both the layer and the database."""
        self.on_ready: Callable[[], object] = lambda: None
        """Called, in its thread, when it has."""

    # --- life --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Run in a thread of its own."""
        self._thread = threading.Thread(target=self.run, name="fairway-delay", daemon=True)
        self._thread.start()

    def stop(self, timeout: float | None = None) -> bool:
        """Finish what is under way, give back what is not stored, and end; from any thread.

        Returns:
            False when it has not ended within `timeout` seconds (the limits' `grace` when None).
        """
        self._stopping.set()
        if self._reader is not None:
            self._reader.pause()
        if self._thread is None:
            return True
        self._thread.join(self._limits.grace if timeout is None else timeout)
        return not self._thread.is_alive()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def sent(self) -> int:
        """How many messages have left."""
        return self._sender.sent

    def describe(self) -> str:
        """Return in words for a person what it is doing."""
        if not self.is_ready:
            return "waiting for the layer or the database"
        return f"working: {self.stored:,} messages stored, {self.sent:,} sent"

    def run(self) -> None:
        """Work until `stop` is called."""
        pause = self._limits.first_pause
        try:
            while not self._stopping.is_set():
                try:
                    self._turn()
                    pause = self._limits.first_pause
                except (DatabaseFailure, LayerUnavailable) as error:
                    logger.warning("%s; trying again", error)
                    self._recover()
                    self._stopping.wait(pause)
                    pause = min(self._limits.longest_pause, pause * 2)
        finally:
            self._close()

    def _recover(self) -> None:
        """Begin anew: with a new connection, and without what was known about the table."""
        self._agenda.forget()
        with contextlib.suppress(DatabaseFailure):
            connections[database()].close()

    def _close(self) -> None:
        try:
            if self._reader is not None:
                for delivery, _ in self._held:
                    self._reader.release(delivery)
                self._reader.close()
        finally:
            self._recover()

    # --- one turn ----------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Send what is due, wait for what comes, and store it."""
        reader = self._reader = self._reader or self._layer.reader([DELAY_CHANNEL], self._limits.batch, 1)
        self._store(reader)
        self._send()
        if not self.is_ready:
            self.is_ready = True
            self.on_ready()
        self._take(reader, self._agenda.wait(timezone.now(), time.monotonic()))
        self._store(reader)

    def _send(self) -> None:
        now = time.monotonic()
        if self._agenda.must_look(now):
            self._look()
        if not self._agenda.is_due(timezone.now(), now):
            return
        if not self._sender.send_due():
            self._agenda.hold(time.monotonic())
        self._look()

    def _look(self) -> None:
        self._agenda.set(self._sender.next_due(), time.monotonic())
        full_until = self._sender.full_until()
        if full_until is not None:
            self._agenda.retry_at(full_until)

    def _take(self, reader: Reader, wait: float) -> None:
        """Take what comes within `wait` seconds, and all else that is there then."""
        began = time.monotonic()
        delivery = reader.receive(wait)
        if delivery is None:
            # A layer that was closed returns at once.
            self._stopping.wait(max(0.0, began + wait - time.monotonic()))
        size = 0
        while delivery is not None:
            self._consider(reader, delivery)
            size += len(delivery.body)
            if len(self._held) >= self._limits.batch or size >= self._limits.batch_bytes:
                return
            delivery = reader.receive(0)

    def _consider(self, reader: Reader, delivery: Delivery) -> None:
        try:
            request = parse_request(delivery, milliseconds_now())
        except InvalidMessage as error:
            self._refuse(reader, delivery, str(error))
        else:
            self._held.append((delivery, request))

    def _refuse(self, reader: Reader, delivery: Delivery, reason: str) -> None:
        """Make a dead letter of what cannot be done."""
        logger.error("a message on %s cannot be delayed, and is a dead letter: %s", DELAY_CHANNEL, reason)
        with contextlib.suppress(DeliveryLost):
            reader.commit(delivery, (), Again(0, 0, reason[:LONGEST_REASON]))

    def _store(self, reader: Reader) -> None:
        """Store what is held, and then acknowledge it."""
        held = self._held
        if not held:
            return
        try:
            store([request for _, request in held], self._alias, self._limits)
        except (DataError, IntegrityError):
            self._store_each(reader)
            return
        self._held = []
        for delivery, request in held:
            self._acknowledge(reader, delivery, request)

    def _store_each(self, reader: Reader) -> None:
        """One of what is held is refused by the database: find out which, and store the others."""
        while self._held:
            delivery, request = self._held[0]
            try:
                store([request], self._alias, self._limits)
            except (DataError, IntegrityError) as error:
                self._held.pop(0)
                self._refuse(reader, delivery, f"the database refuses it: {error}")
            else:
                self._held.pop(0)
                self._acknowledge(reader, delivery, request)

    def _acknowledge(self, reader: Reader, delivery: Delivery, request: Request) -> None:
        self.stored += 1
        if request.body is not None:
            self._agenda.note(moment(request.due))
        # Lost: it comes again, and is stored already.
        with contextlib.suppress(DeliveryLost, LayerUnavailable):
            reader.commit(delivery)
