"""Takes the connects that lead to views from a worker, and runs the views beside its consumers.

The thread that took the connect only finds the view and hands the delivery over: a view may take as long as its socket
lives. Blocking views get a thread each, coroutine views one event loop. A worker that stops tells them, waits, and
then ends the session that brings their messages, which closes their sockets.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.urls import Resolver404, get_resolver
from django.utils.translation import get_language_from_path, override

from fairway.broker.effects import Delivery
from fairway.layers.base import Layer
from fairway.limits import ViewLimits
from fairway.message import Message
from fairway.views.async_websocket import AsyncWebSocket
from fairway.views.connection import Connection, Phase
from fairway.views.decorators import accepts, are_used
from fairway.views.handler import ViewHandler, first_blocking_middleware
from fairway.views.handshakes import Handshakes
from fairway.views.helpers import HelperThreads
from fairway.views.pinned import Pinned
from fairway.views.requests import AsyncWebSocketRequest, WebSocketRequest, path_of
from fairway.views.runner import ViewRun
from fairway.views.threads import ViewThreads
from fairway.views.websocket import WebSocket
from fairway.worker.executor import CoroutineExecutor, Job
from fairway.worker.outbox import Outbox, current_outbox
from fairway.worker.running import Running, name_all

logger = logging.getLogger("fairway.views")

EVENT_LOOP = "the event loop of the views"

ENDINGS = (Exception, asyncio.CancelledError, SystemExit, KeyboardInterrupt)
"""What may end a coroutine view: of all these the event loop, which others run on, hears nothing."""

FULL = {"status": 503, "headers": [(b"retry-after", b"5")], "content": b"Service Unavailable\n"}


class ViewSockets:
    """The views of one worker that own a WebSocket. Threads share it; nothing is begun before the first socket.

    Parameters:
        layer: where the sockets are.
        limits: how many there may be, and what they may hold.
    """

    def __init__(self, layer: Layer, limits: ViewLimits | None = None) -> None:
        self._layer = layer
        self._limits = limits or ViewLimits()
        self._threads = ViewThreads(self._limits.threads)
        self._starting = threading.Lock()
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Make ready for a worker; in development there may be one after the other."""
        self._pinned = Pinned(self._layer, self._limits)
        self._coroutines = CoroutineExecutor(self._limits.coroutines)
        self._helpers = HelperThreads(self._limits.helpers)
        self._handshakes = Handshakes(self._limits.threads + self._limits.coroutines)
        self._live: dict[Connection, None] = {}
        self._is_stopping = False

    # --- one more socket ---------------------------------------------------------------------------------------------

    def take(self, message: Message) -> bool:
        """Take a socket that is connecting, in the run of the consumer of its connect.

        Returns:
            False when its path leads to no view, or sockets in views are not used at all.
        """
        outbox = current_outbox.get()
        if outbox is None:
            return False
        try:
            view = _view_at(path_of(message))
            if not accepts(view):
                return are_used() and _reject(message, "this view takes no WebSockets")
            kind = AsyncWebSocketRequest if iscoroutinefunction(view) else WebSocketRequest
            self._hand_over(kind(message), outbox)
        except UnicodeDecodeError:
            return _reject(message, "it is not UTF-8")
        except Resolver404:
            return False
        return True

    def _hand_over(self, request: WebSocketRequest, outbox: Outbox) -> None:
        channel = self._pinned.new_channel()
        connection = Connection(outbox, channel, request.message.get("subprotocols") or ())
        run = ViewRun(request, connection, self._pinned, self._limits)
        with self._starting:
            if self._is_stopping:
                outbox.hand_over()
                outbox.reader.release(outbox.delivery)  # another worker has it
                return
            self._live[connection] = None
        outbox.hand_over()
        self._handshakes.add(connection)
        try:
            if self._start(run, is_coroutine=isinstance(request, AsyncWebSocketRequest)):
                return
        except Exception:
            logger.exception("a view with a WebSocket could not be begun")
            run.fail()
        self._forget(connection)
        if connection.phase is Phase.ENDED:
            return
        logger.warning("no room for one more view with a WebSocket (%s): answered with 503", request.path)
        outbox.reader.commit(outbox.delivery, connection.reject(FULL))

    def _start(self, run: ViewRun, *, is_coroutine: bool) -> bool:
        delivery = run.connection.outbox.delivery
        if is_coroutine and not self._blocking_middleware:
            return self._coroutines.submit(Job(delivery, lambda _job: self._arun(run)), 0)
        kind = AsyncWebSocket if is_coroutine else WebSocket
        return self._threads.submit(delivery, partial(self._run, run, kind))

    def _run(self, run: ViewRun, kind: type[WebSocket | AsyncWebSocket]) -> None:
        try:
            run.run(self._handler, kind)
        except BaseException:  # also SystemExit: a view cannot end the worker, and its socket must not stay
            logger.exception("a view with a WebSocket failed")
            run.fail()
        finally:
            self._forget(run.connection)

    async def _arun(self, run: ViewRun) -> None:
        try:
            async with self._helpers.one():
                await run.arun(self._async_handler)
        except ENDINGS as error:
            if not (isinstance(error, asyncio.CancelledError) and run.connection.phase is Phase.ENDED):
                logger.exception("a view with a WebSocket failed")
            await asyncio.to_thread(run.fail)
        finally:
            self._forget(run.connection)

    def _forget(self, connection: Connection) -> None:
        self._live.pop(connection, None)
        self._handshakes.remove(connection)

    @cached_property
    def _handler(self) -> ViewHandler:
        return ViewHandler(is_async=False)

    @cached_property
    def _async_handler(self) -> ViewHandler:
        return ViewHandler(is_async=True)

    @cached_property
    def _blocking_middleware(self) -> str:
        path = first_blocking_middleware()
        if path:
            logger.warning(
                "coroutine views with a WebSocket take a thread each, of %d, because the middleware %s is not "
                "async_capable; see django.utils.decorators.sync_and_async_middleware",
                self._limits.threads,
                path,
            )
        return path

    # --- a companion of the worker -----------------------------------------------------------------------------------

    def pause(self) -> None:
        """Take no more sockets, and tell the views that the worker stops."""
        with self._starting:
            self._is_stopping = True
            live = list(self._live)
        for connection in live:
            connection.stop()

    def wait_idle(self, timeout: float) -> bool:
        """Wait until no view runs any more; False when the time was not enough."""
        deadline = time.monotonic() + timeout
        is_idle = self._threads.wait_idle(timeout)
        return self._coroutines.wait_idle(max(0.0, deadline - time.monotonic())) and is_idle

    def running(self) -> list[tuple[Delivery, float, str]]:
        """Return what runs: its connect, for how many seconds, and where."""
        now = time.monotonic()
        jobs = [(job.delivery, now - job.began, EVENT_LOOP) for job in self._coroutines.running()]
        return self._threads.running() + jobs

    def close(self) -> None:
        """Cut off what still runs: its socket is closed, and what it waits for ends."""
        if running := [Running(*one) for one in self.running()]:
            logger.warning("the worker stops although views still run; their sockets close: %s", name_all(running))
        self._pinned.close()
        for connection in list(self._live):
            connection.end()
        self._coroutines.stop()
        self._helpers.close()
        self._begin_anew()


def _view_at(path: str) -> Callable[..., Any]:
    """Return the view of a path, in the language of the path: no middleware has set one by now.

    Raises:
        Resolver404: there is none.
    """
    with override(get_language_from_path(path) or settings.LANGUAGE_CODE):
        return get_resolver().resolve(path).func  # not `resolve`: this thread may have a URLconf set


def _reject(message: Message, reason: str) -> bool:
    logger.warning("Bad Request: %.200r (%s)", message.get("path"), reason)
    message.reply_channel.send({"reject": {"status": 400}})
    return True
