"""One delivery through the application, and its commit.

No exception gets past this module: what a consumer raises decides how the delivery ends (`endings`), and whatever
fails besides is logged, so that no message can end the loop that brought it.
"""

import asyncio
import logging
import time
from functools import partial

from fairway.broker.effects import Again, Delivery, Effect, End, Ending
from fairway.errors import DeliveryLost, InvalidMessage
from fairway.layers.base import Layer, Reader
from fairway.layers.codec import decode_message
from fairway.worker.contract import Application, Call
from fairway.worker.endings import Row, closing_effects, conclude
from fairway.worker.executor import Job
from fairway.worker.outbox import Outbox, current_outbox

logger = logging.getLogger("fairway.worker")

_DONE = Ending.DONE
"""Looked up once: finding a member of an enum costs as much as a call."""

ELSEWHERE_WAIT = 2.0
"""How long the effects for other layers wait for room in full channels, all together: as long as a commit does."""


class Dispatcher:
    """Runs the deliveries of one session. Threads share it."""

    def __init__(self, layer: Layer, reader: Reader, application: Application) -> None:
        self._layer = layer
        self._reader = reader
        self._application = application

    def dispatch(self, delivery: Delivery) -> Job | None:
        """Run a delivery to its commit.

        Returns:
            None when it is done, or handed over to somebody who commits it; for a coroutine consumer, what is to run
            on the event loop.
        """
        outbox = Outbox(delivery, self._reader, self._layer)
        call = None
        # The thread keeps its context, as under WSGI: Django's caches live in it, with their connections.
        token = current_outbox.set(outbox)
        try:
            call = self._application.prepare(delivery)
            if call.is_coroutine:
                return Job(delivery, partial(self._adispatch, call, outbox))
            call.run(outbox)
        except BaseException as error:  # noqa: BLE001  also SystemExit: a consumer cannot end the worker
            effects, ending = self._conclude(outbox, error, call)
        else:
            effects, ending = outbox.effects, _DONE
            outbox.is_open = False
        finally:
            current_outbox.reset(token)
        if outbox.elsewhere:
            self._publish_elsewhere(outbox)
        if outbox.is_handed_over:
            return None
        try:
            self._reader.commit(delivery, effects, ending)
        except Exception as failure:  # noqa: BLE001  logged
            _log_commit(delivery, failure)
        return None

    async def _adispatch(self, call: Call, outbox: Outbox, job: Job) -> None:
        current_outbox.set(outbox)
        error: BaseException | None = None
        try:
            await call.arun(outbox)
        except BaseException as raised:  # noqa: BLE001  as above
            error = raised
        job.is_committing = True
        if isinstance(error, asyncio.CancelledError) and job.cancelled_at is not None:
            error = _overdue(job, error)
        if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
            outbox.close()
            logger.warning("cancelled, since the worker stops: %s", describe(outbox.delivery))
            return
        effects, ending = self._conclude(outbox, error, call)
        error = None
        if outbox.elsewhere:
            await asyncio.to_thread(self._publish_elsewhere, outbox)
        try:
            await self._reader.acommit(outbox.delivery, effects, ending)
        except Exception as failure:  # noqa: BLE001  logged
            _log_commit(outbox.delivery, failure)

    def _conclude(self, outbox: Outbox, error: BaseException | None, call: Call | None) -> tuple[list[Effect], End]:
        """Close the outbox; say what to commit for a run that raised `error`, or returned."""
        outbox.close()
        if error is None:
            return outbox.effects, _DONE
        delivery = outbox.delivery
        row, end = conclude(delivery.envelope, error, call.retry if call else None)
        if not row.keeps_effects:
            outbox.elsewhere.clear()
        if row.is_failure or isinstance(end, Again):
            _log_failure(delivery, error, row, end)
        return closing_effects(row, delivery.envelope, outbox.effects), end

    def _publish_elsewhere(self, outbox: Outbox) -> None:
        """Publish what goes to other layers, before the commit: a run that is repeated drops it by its id."""
        deadline = time.monotonic() + ELSEWHERE_WAIT
        for layer, effect in outbox.elsewhere:
            try:
                layer.publish(effect, max(0.0, deadline - time.monotonic()))
            except Exception:
                logger.exception("a message for another layer was lost: %s", describe(outbox.delivery))


def describe(delivery: Delivery) -> str:
    """Name a delivery for the log: channel, path, reply channel, message id and attempt."""
    envelope = delivery.envelope
    parts = [f"channel {envelope.channel}"]
    try:
        path = decode_message(delivery.body).get("path")
    except InvalidMessage:
        path = None
    if path is not None:
        parts.append(f"path {path!r:.200}")
    if envelope.reply_channel:
        parts.append(f"reply channel {envelope.reply_channel}")
    return ", ".join([*parts, f"message {envelope.id}", f"attempt {envelope.attempt}"])


def _log_failure(delivery: Delivery, error: BaseException, row: Row, end: End) -> None:
    """Write to the log what a consumer has raised, and what becomes of its message."""
    retries, what = delivery.envelope.retries, describe(delivery)
    if not isinstance(end, Again):
        logger.error("consumer failed: %s", what, exc_info=error)
    elif row.is_failure:
        logger.error("consumer failed after %d retries, a dead letter now: %s", retries, what, exc_info=error)
    else:
        text = "consumer failed, retry %d of %d follows in %.3g s: %s"
        logger.warning(text, retries + 1, end.limit, end.pause, what, exc_info=error)


def _overdue(job: Job, cancelled: BaseException) -> TimeoutError:
    """Make a failure like any other of a coroutine that was cancelled because it ran for too long."""
    if job.task is not None:
        job.task.uncancel()
    seconds = time.monotonic() - job.began
    error = TimeoutError(f"cancelled after {seconds:.3g} s: longer than its time limit of {job.limit:g} s")
    error.__cause__ = cancelled  # its traceback shows where the coroutine was
    return error


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _log_commit(delivery: Delivery, failure: Exception) -> None:
    if isinstance(failure, DeliveryLost):
        logger.warning("not committed, another worker has it now: %s", describe(delivery))
    else:
        logger.error("the commit failed: %s", describe(delivery), exc_info=failure)
