"""The reloading half of `runserver`: the workers, and nothing that a browser is connected to.

Django's autoreload runs the command in a thread and ends the process from the main thread when a file has changed.
So the work is done in Django's thread, and stopped from the main one.
"""

import contextlib
import signal
import threading
from typing import ClassVar

from fairway import DEFAULT_CHANNEL_LAYER
from fairway.application import DjangoApplication, application_for
from fairway.conf import channel_layers
from fairway.devserver import beside
from fairway.devserver.config import GRACE
from fairway.devserver.orders import Orders
from fairway.errors import InvalidLayerSetting
from fairway.layers.hub.client import LocalLayer
from fairway.limits import WorkerLimits
from fairway.routing import Consumer
from fairway.signals import worker_process_ready, worker_ready
from fairway.supervisor.notify import Notifier
from fairway.worker.loop import Worker
from fairway.worker.process import WorkerProcess

LIMITS = WorkerLimits(grace=GRACE)

STOP_WAIT = GRACE + beside.STOP_WAIT
"""Seconds that a stop may take in all."""


class DevChild:
    """A process of workers for the interface that its parent has.

    Parameters:
        orders: what the parent told.
        threads: blocking consumers that run at once on each layer.
        make_beside: makes what is to run beside the workers.
    """

    def __init__(self, orders: Orders, threads: int, make_beside: beside.Make = beside.make_none) -> None:
        self.orders = orders
        self.threads = threads
        self._make_beside = make_beside
        self._notifier = Notifier()
        self._lock = threading.Lock()
        self._process: WorkerProcess | None = None
        self._retired: list[WorkerProcess] = []
        """Those that hold a consumer over its time limit, which nobody can end."""
        self._is_stopping = False
        self._ended = threading.Event()

    def prepare(self) -> None:
        """Make this process one that does what its parent wants. Call it in the main thread."""
        # Ctrl-C reaches us too. Only the parent acts on it: it closes the sockets, and then ends us. Hence a handler
        # that does nothing; the programs that consumers start would inherit SIG_IGN.
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        if self.orders.hub:
            # Where the setting is wrong by now, the system checks that follow say so.
            with contextlib.suppress(InvalidLayerSetting):
                limits = channel_layers[DEFAULT_CHANNEL_LAYER].message_limits
                channel_layers.set(DEFAULT_CHANNEL_LAYER, LocalLayer(self.orders.hub, message_limits=limits))

    def work(self, http_consumer: Consumer) -> None:
        """Consume messages until `stop` is called, in another thread.

        Raises:
            InvalidLayerSetting: a layer cannot be used, or there is no default one any more.
        """
        aliases = dict.fromkeys([DEFAULT_CHANNEL_LAYER, *channel_layers])
        applications = [application_for(alias, http_consumer=http_consumer) for alias in aliases]
        workers = self._make_workers(applications)
        process = self._next_process(workers)
        if process is None:
            return
        worker_process_ready.send(workers[0])
        try:
            with beside.running(self._make_beside):
                process.run()
                # Elsewhere the whole process is replaced. Here it would be missed until a file changes.
                while not process.has_ended and (following := self._next_process(self._make_workers(applications))):
                    self._retired.append(process)
                    process = following
                    process.run()
        finally:
            self._ended.set()

    def _make_workers(self, applications: list[DjangoApplication]) -> list[Worker]:
        return [Worker(one.layer, one, threads=self.threads, limits=LIMITS) for one in applications]

    def _next_process(self, workers: list[Worker]) -> WorkerProcess | None:
        """Return what runs these workers, None when everything stops."""
        with self._lock:
            if self._is_stopping:
                return None
            self._process = process = WorkerProcess(workers, LIMITS, self._notifier, worker_ready.send)
        return process

    def stop(self) -> bool:
        """Stop the work: what runs may finish within the grace, and the rest is delivered again.

        Call it in the main thread, last of all: SIGTERM does nothing from then on, as the process ends by itself.

        Returns:
            False when a consumer runs on, which would keep the process from ending.
        """
        try:
            return self._stop_work()
        finally:
            # Django's handler would raise SystemExit in whatever is called at exit, with a traceback. Should that
            # hang, the parent kills us, and without a parent the lifeline ends us.
            signal.signal(signal.SIGTERM, lambda *_: None)

    def _stop_work(self) -> bool:
        with self._lock:
            self._is_stopping = True
            process = self._process
        if process is None:
            return True
        process.stop("runserver ends this process")
        self._ended.wait(STOP_WAIT)
        return all(each.has_ended for each in (process, *self._retired))


class DevWorker:
    """A child behind the face of a `socketserver`, for Django's `run`. The address is the parent's."""

    child: ClassVar[DevChild]
    daemon_threads = True

    def __init__(self, _address: tuple[str, int], _handler_class: type, *, ipv6: bool = False) -> None:
        del ipv6
        self.server_port = self.child.orders.port
        self._http_consumer: Consumer

    def set_app(self, http_consumer: Consumer) -> None:
        """Take what answers `http.request`; the routing finds all other consumers."""
        self._http_consumer = http_consumer

    def serve_forever(self) -> None:
        """Work until the process ends."""
        self.child.work(self._http_consumer)


def dev_worker_class(child: DevChild) -> type[DevWorker]:
    """Return the class for Django to make the "server" from."""
    return type("DevWorker", (DevWorker,), {"child": child})
