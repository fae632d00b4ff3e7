"""The worker process of a live server: the project's consumers and views, with the settings and databases of a test.

A spawned one is this module as a program; a forked one calls `run_worker`. What a consumer raises is written to a file
that the test reads: as text, since not every exception can travel.
"""

import asyncio
import json
import sys
import traceback
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from fairway.broker.effects import Delivery
from fairway.layers.hub.client import LocalLayer
from fairway.limits import WorkerLimits
from fairway.worker.contract import Application, Call, Companion
from fairway.worker.dispatch import describe
from fairway.worker.endings import conclude
from fairway.worker.loop import Worker
from fairway.worker.outbox import Outbox
from fairway.worker.retries import Retry

if TYPE_CHECKING:
    from fairway.delay.server import DelayServer

LIMITS = WorkerLimits(grace=10.0)


class WorkerOrders(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is to do.

    `hub` is the path of the hub's socket, `errors` that of the file for what consumers raise.
    """

    alias: str
    hub: str
    errors: str
    threads: int
    serve_static: bool


def run_worker(orders: WorkerOrders) -> int:
    """Work until a signal comes, or the test is gone; return the exit code. Django is set up."""
    from fairway.application import application_for
    from fairway.conf import channel_layers
    from fairway.devserver import beside
    from fairway.management.commands.runworker import log_to_stderr
    from fairway.management.worker_process import run_workers

    log_to_stderr(1)
    channel_layers.set(orders.alias, LocalLayer(orders.hub))
    application = application_for(orders.alias, http_consumer=_http_consumer(static=orders.serve_static))
    watched = WatchedApplication(application, Path(orders.errors))
    worker = Worker(channel_layers[orders.alias], watched, threads=orders.threads, limits=LIMITS)
    with beside.running(lambda: _delay_servers(orders.alias)):
        return run_workers([worker], LIMITS)


class Failure(NamedTuple):
    """What a consumer raised: the name of the class, and the message and the traceback as text."""

    kind: str
    text: str


def read_failures(path: Path) -> list[Failure]:
    """Return what consumers raised so far."""
    if not path.exists():
        return []
    return [Failure(*json.loads(line)) for line in path.read_text().splitlines()]


class WatchedApplication:
    """An application of which the failures are written down.

    Parameters:
        application: what does the work.
        path: the file.
    """

    def __init__(self, application: Application, path: Path) -> None:
        self._application = application
        self._path = path

    @property
    def channels(self) -> Collection[str]:
        """See `Application.channels`."""
        return self._application.channels

    def prepare(self, delivery: Delivery) -> "WatchedCall":
        """See `Application.prepare`."""
        try:
            return WatchedCall(self, delivery, self._application.prepare(delivery))
        except Exception as error:
            self.note(delivery, error)
            raise

    def time_limit(self, delivery: Delivery) -> float:
        """See `Application.time_limit`."""
        return self._application.time_limit(delivery)

    @property
    def companions(self) -> Collection[Companion]:
        """See `Application.companions`."""
        return self._application.companions

    def leave_thread(self) -> None:
        """See `Application.leave_thread`."""
        self._application.leave_thread()

    def note(self, delivery: Delivery, error: BaseException, retry: Retry | None = None) -> None:
        """Write a failure down. What a consumer raises to say how it ends is none, nor is what is tried again."""
        if isinstance(error, asyncio.CancelledError) or not conclude(delivery.envelope, error, retry)[0].is_failure:
            return
        text = f"{describe(delivery)}\n\n{''.join(traceback.format_exception(error))}"
        with self._path.open("a") as file:
            file.write(json.dumps([type(error).__name__, text]) + "\n")


class WatchedCall:
    """A call of which the failure is written down."""

    def __init__(self, watched: WatchedApplication, delivery: Delivery, call: Call) -> None:
        self._watched = watched
        self._delivery = delivery
        self._call = call

    @property
    def is_coroutine(self) -> bool:
        """See `Call.is_coroutine`."""
        return self._call.is_coroutine

    @property
    def retry(self) -> Retry | None:
        """See `Call.retry`."""
        return self._call.retry

    def run(self, outbox: Outbox) -> None:
        """See `Call.run`."""
        try:
            self._call.run(outbox)
        except BaseException as error:
            self._watched.note(self._delivery, error, self.retry)
            raise

    async def arun(self, outbox: Outbox) -> None:
        """See `Call.arun`."""
        try:
            await self._call.arun(outbox)
        except BaseException as error:
            self._watched.note(self._delivery, error, self.retry)
            raise


def _http_consumer(*, static: bool) -> Any:
    from django.apps import apps
    from django.conf import settings

    if static and settings.STATIC_URL and apps.is_installed("django.contrib.staticfiles"):
        from fairway.http.static import StaticFilesConsumer

        return StaticFilesConsumer()
    from fairway.http.consumers import ViewConsumer

    return ViewConsumer()


def _delay_servers(alias: str) -> "Sequence[DelayServer]":
    """Return what delivers delayed messages. A test's database has all tables, whether there are migrations or not."""
    from django.apps import apps

    from fairway.conf import channel_layers
    from fairway.scheduling import DELAY_APP

    if not apps.is_installed(DELAY_APP):
        return []
    from fairway.delay.server import DelayServer

    return [DelayServer(channel_layers[alias], alias)]


def main(arguments: list[str]) -> int:
    """Work as the orders in a file say; return the exit code."""
    from fairway.testing.live_settings import DjangoSnapshot

    snapshot, orders = msgspec.msgpack.decode(Path(arguments[0]).read_bytes(), type=tuple[DjangoSnapshot, WorkerOrders])
    snapshot.restore()
    return run_worker(orders)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
