"""One message through its consumer, as a worker does it, in the test's own thread; what the consumer raises is raised.

What is sent leaves when the consumer has finished, in one step with the acknowledgement, as `worker.endings` says. A
message whose consumer is tried again is there again at once: no test waits for a pause that is meant for the world.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from asgiref.sync import async_to_sync, sync_to_async

from fairway.application import ConsumerCall
from fairway.broker.effects import Again, Delivery, Ending, terms_of
from fairway.database import opened_connections
from fairway.layers.base import Reader
from fairway.layers.memory import MemoryLayer
from fairway.testing.commit_hooks import run_commit_hooks
from fairway.testing.connection import connection_of
from fairway.testing.layers import application_of
from fairway.worker.endings import closing_effects, conclude
from fairway.worker.outbox import Outbox, current_outbox

LATER_WAIT = 5.0
"""Seconds, beyond its pause, that a message which was put back may take to be there again."""


class Turn:
    """A message that was taken from a channel, and is to be consumed or given away.

    Parameters:
        layer: where it was taken from.
        alias: whose routing says who consumes it.
        delivery: the message.
        reader: what took it.
    """

    def __init__(self, layer: MemoryLayer, alias: str, delivery: Delivery, reader: Reader) -> None:
        self._layer = layer
        self._reader = reader
        self._application = application_of(alias)
        self.delivery = delivery
        envelope = delivery.envelope
        self.connection = connection_of(envelope.reply_channel)
        if self.connection and envelope.order >= 0:
            # As of now: the test may have put several messages in before the first was consumed.
            envelope.state = dict(self.connection.state)

    def prepare(self) -> tuple[ConsumerCall, bool]:
        """Return the call of its consumer, and whether there is one.

        Requests that the routing leaves over are Django's; a socket whose later messages are routed is accepted.
        """
        application = self._application
        call = application.prepare(self.delivery)
        channel = self.delivery.envelope.channel
        is_known = (
            channel == "http.request"
            or application.router.match(call.message) is not None
            or (channel == "websocket.connect" and application.routes_later(call.message))
        )
        return call, is_known

    def routes(self) -> str:
        """Return the routing, for people."""
        return "".join(f"\n    {entry}" for entry in self._application.router.root.routing) or " nothing"

    def run(self, call: ConsumerCall) -> Any:
        """Run the consumer; return what it returns, raise what it raises."""
        with self.ending(call) as outbox:
            if call.is_coroutine:
                _check_no_loop()
                result = async_to_sync(call.arun)(outbox)
                run_commit_hooks()
            else:
                result = _run_blocking(call, outbox)
        return result

    async def arun(self, call: ConsumerCall) -> Any:
        """Do as `run`."""
        with self.ending(call) as outbox:
            if call.is_coroutine:
                result = await call.arun(outbox)
                await sync_to_async(run_commit_hooks)()
            else:
                result = await sync_to_async(_run_blocking)(call, outbox)
        return result

    @contextmanager
    def ending(self, call: ConsumerCall | None = None) -> Iterator[Outbox]:
        """Open the outbox of a run; commit what the run left in it, however the run ends."""
        outbox = Outbox(self.delivery, self._reader, self._layer)
        with ExitStack() as stack:
            if self.connection:
                stack.enter_context(self.connection.consuming(self.delivery.envelope.channel))
            stack.callback(self._reader.close)
            token = current_outbox.set(outbox)
            try:
                yield outbox
            except BaseException as error:
                self._commit(outbox, error, call)
                raise
            else:
                self._commit(outbox)
            finally:
                current_outbox.reset(token)

    def drop(self) -> None:
        """Let the message be done, although nobody consumes it."""
        with self.ending():
            pass

    def _commit(self, outbox: Outbox, error: BaseException | None = None, call: ConsumerCall | None = None) -> None:
        outbox.close()
        envelope = self.delivery.envelope
        row, end = conclude(envelope, error, call.retry if call else None)
        if row.keeps_effects:
            for layer, effect in outbox.elsewhere:
                layer.publish(effect)
        terms = terms_of(end, envelope.retries + 1, self._layer.broker.limits) if end is not Ending.DONE else None
        if isinstance(end, Again):
            end = terms = Again(0.0, end.limit, end.reason)
        self._reader.commit(self.delivery, closing_effects(row, envelope, outbox.effects), end)
        if terms and envelope.retries < terms.limit:
            # So that the next one who takes from its channel waits for it.
            _expected.setdefault(self._layer, {})[envelope.channel] = time.monotonic() + terms.pause


_expected: WeakKeyDictionary[MemoryLayer, dict[str, float]] = WeakKeyDictionary()
"""Layer -> channel -> when a message that was put back is there again."""


def take_turn(layer: MemoryLayer, alias: str, channel: str) -> Turn | None:
    """Take the next message from a channel; None when there is none. One that was put back is waited for."""
    due = _expected.get(layer, {}).pop(channel, None)
    wait = 0.0 if due is None else max(0.0, due - time.monotonic()) + LATER_WAIT
    reader = layer.reader([channel])
    try:
        delivery = reader.receive(wait)
        if delivery is not None:
            return Turn(layer, alias, delivery, reader)
    except BaseException:
        reader.close()
        raise
    reader.close()
    return None


def _run_blocking(call: ConsumerCall, outbox: Outbox) -> Any:
    with _connections_left_alone():
        result = call.run(outbox)
    run_commit_hooks()
    return result


@contextmanager
def _connections_left_alone() -> Iterator[None]:
    """Keep a worker's care from the connections of the test: none is closed, and no query is forgotten."""
    opened = opened_connections()
    kept = dict(opened)
    opened.clear()
    try:
        yield
    finally:
        opened.update(kept)


def _check_no_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    msg = "the consumer is a coroutine, and so is this test: await client.aconsume(...) or aconnect, asend_and_consume"
    raise RuntimeError(msg)
