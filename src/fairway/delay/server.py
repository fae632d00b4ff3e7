"""The delay server: it stores what comes on `asgi.delay`, and sends what is due.

One thread does both, over one session of the layer and one database connection. It waits in `Reader.receive`, for a
request or for the time of the next message, whichever is first. What came is stored in one transaction, and only then
acknowledged; what is held while the database is away stays held until it is back.
"""

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable

from django.db import DataError, IntegrityError, connections, reset_queries
from django.db import Error as DatabaseFailure
from django.utils import timezone

from fairway import DEFAULT_CHANNEL_LAYER
from fairway.broker.effects import Again, Delivery, Ending
from fairway.database import close_connections
from fairway.delay.absence import Absence
from fairway.delay.agenda import Agenda
from fairway.delay.database import database
from fairway.delay.limits import DelayLimits
from fairway.delay.models import milliseconds_now, moment
from fairway.delay.parsing import Request, parse_request
from fairway.delay.sending import Sender
from fairway.delay.storing import store
from fairway.errors import DeliveryLost, InvalidMessage, LayerUnavailable
from fairway.layers.base import Layer, Reader
from fairway.scheduling import DELAY_CHANNEL

logger = logging.getLogger("fairway.delay")

REFUSED = (DataError, IntegrityError, ValueError, OverflowError)
"""What a database, or its driver, says of a value that it does not take."""

LONGEST_REASON = 200
"""Characters of a dead letter's reason."""


class DelayServer:
    """Keeps messages until they are due.

    Parameters:
        layer: where requests come from and messages go to.
        alias: the layer's alias; rows of other layers are let be.
        limits: what it may hold, and how long it waits for what.
    """

    def __init__(self, layer: Layer, alias: str = DEFAULT_CHANNEL_LAYER, limits: DelayLimits | None = None) -> None:
        self._layer = layer
        self._alias = alias
        self._limits = limits or DelayLimits()
        self._agenda = Agenda(self._limits)
        self._sender = Sender(layer, alias, self._limits)
        self._database = Absence("the database", self._limits)
        self._way = Absence("the layer", self._limits)
        self._reader: Reader | None = None
        self._held: list[tuple[Delivery, Request]] = []
        """What was taken and is not stored yet."""
        self._behind_until = 0.0
        """Until then (`time.monotonic`) nothing is sent as long as requests come that have waited for a server."""
        self._worked_at = -math.inf
        """When (`time.monotonic`) it last reached both the layer and the database."""
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
        self._thread = threading.Thread(target=self._run_alone, name="fairway-delay", daemon=True)
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
        """Whether its thread runs."""
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

    def _run_alone(self) -> None:
        try:
            self.run()
        except Exception:
            logger.exception("the delay server itself failed")

    def run(self) -> None:
        """Work until `stop` is called. What is away, a database or a layer, is waited for."""
        self._fall_behind()
        try:
            while not self._stopping.is_set():
                try:
                    # A cursor that is closed while its connection breaks raises an error of the driver's own.
                    with connections[database()].wrap_database_errors:
                        self._turn()
                except DatabaseFailure as error:
                    self._rest(self._database.begin(error))
                except LayerUnavailable as error:
                    self._rest(self._way.begin(error))
        finally:
            self._close()

    def _rest(self, pause: float) -> None:
        """Wait, and begin anew: with a new connection, and without what was known about the table."""
        self._agenda.forget()
        close_connections()
        self._stopping.wait(pause)
        self._fall_behind()

    def _fall_behind(self) -> None:
        """What came while it did not work is stored first; that takes no longer than it had not worked."""
        now = time.monotonic()
        self._behind_until = now + min(self._limits.catch_up, now - self._worked_at)

    def _close(self) -> None:
        self._sender.late.tell_rest()
        close_connections()
        if self._reader is None:
            return
        with contextlib.suppress(LayerUnavailable):
            self._reader.pause()
            if self._stopping.is_set():
                for delivery, _ in self._held:
                    self._reader.release(delivery)
        # After a failure what is held counts as begun: what it is that nobody can store ends as a dead letter.
        self._reader.close()

    # --- one turn ----------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Store what was held, send what is due, and wait for what comes, until something is due."""
        reader = self._reader = self._reader or self._layer.reader([DELAY_CHANNEL], self._limits.batch, 1)
        reset_queries()  # which Django keeps where DEBUG is on
        self._store(reader)
        if self._catch_up(reader):
            return
        self._send()
        self._database.end()
        self._way.end()
        self._worked_at = time.monotonic()
        if not self.is_ready:
            self._begin()
        self._take(reader, self._agenda.wait(timezone.now(), time.monotonic()))

    def _catch_up(self, reader: Reader) -> bool:
        """Take some of what has waited while no server worked; False when there is no more.

        It may take back what has become due meanwhile, so it is stored before anything is sent.
        """
        if time.monotonic() >= self._behind_until:
            return False
        if self._take(reader, self._limits.catch_up_pause):
            return True
        self._behind_until = 0.0
        return False

    def _begin(self) -> None:
        """Tell that the work has begun, and how much of it waits."""
        count, first = self._sender.waiting()
        when = f"; the next is due at {first:%Y-%m-%d %H:%M:%S %Z}".rstrip() if first else ""
        logger.info("messages that wait for their time: %s%s", f"{count:,}", when)
        self.is_ready = True
        self.on_ready()

    def _send(self) -> None:
        if self._agenda.must_look(time.monotonic()):
            self._look()
        if self._agenda.is_due(timezone.now(), time.monotonic()):
            found = self._sender.send_due()
            self._look()
            # What was due may have been cancelled meanwhile. If it has not, another server has locked it.
            if not found and self._agenda.is_due(timezone.now(), time.monotonic()):
                self._agenda.hold(time.monotonic())
        self._sender.late.tell(time.monotonic())

    def _look(self) -> None:
        """Ask the table when the next message is due."""
        self._agenda.set(self._sender.next_due(), time.monotonic())
        again = self._sender.try_again_at()
        if again is not None:
            self._agenda.look_at(again)

    # --- requests ----------------------------------------------------------------------------------------------------

    def _take(self, reader: Reader, wait: float) -> bool:
        """Take what comes within `wait` seconds, and all else that is there then; say whether anything came."""
        until = time.monotonic() + wait
        first = delivery = reader.receive(wait)
        if delivery is None:
            # A layer that somebody has closed returns at once.
            self._stopping.wait(max(0.0, until - time.monotonic()))
        size = 0
        while delivery is not None:
            self._consider(reader, delivery)
            size += len(delivery.body)
            if len(self._held) >= self._limits.batch or size >= self._limits.batch_bytes:
                break
            delivery = reader.receive(0)
        return first is not None

    def _consider(self, reader: Reader, delivery: Delivery) -> None:
        try:
            request = parse_request(delivery, milliseconds_now(), self._layer.message_limits)
        except InvalidMessage as error:
            self._refuse(reader, delivery, str(error))
        else:
            self._held.append((delivery, request))

    def _refuse(self, reader: Reader, delivery: Delivery, reason: str) -> None:
        """Make a dead letter of what cannot be done."""
        text = "a message on %s cannot be kept for later, and is a dead letter: %s (id %s)"
        logger.error(text, DELAY_CHANNEL, reason, delivery.envelope.id)
        self._commit(reader, delivery, Again(0, 0, reason[:LONGEST_REASON]))

    def _store(self, reader: Reader) -> None:
        """Store what is held, and then acknowledge it."""
        held = self._held
        if not held:
            return
        try:
            store([request for _, request in held], self._alias, self._limits)
        except REFUSED:
            self._store_each(reader)
        else:
            self._held = []
            for delivery, request in held:
                self._acknowledge(reader, delivery, request)

    def _store_each(self, reader: Reader) -> None:
        """One of what is held is refused by the database: find out which, and store the others."""
        while self._held:
            delivery, request = self._held[0]
            try:
                store([request], self._alias, self._limits)
            except REFUSED as error:
                del self._held[0]
                self._refuse(reader, delivery, f"the database refuses it: {' '.join(str(error).split())}")
            else:
                del self._held[0]
                self._acknowledge(reader, delivery, request)

    def _acknowledge(self, reader: Reader, delivery: Delivery, request: Request) -> None:
        self.stored += 1
        if request.body is not None:
            self._agenda.note(moment(request.due))
        self._commit(reader, delivery)

    def _commit(self, reader: Reader, delivery: Delivery, ending: Again | Ending = Ending.DONE) -> None:
        # What is lost comes again; stored already, it is stored no more.
        with contextlib.suppress(DeliveryLost, LayerUnavailable):
            reader.commit(delivery, (), ending)
