"""A client for tests of views that own a WebSocket: the view runs in a thread, beside the test that talks to it.

Middleware, URLconf and view run as in a worker. What the view does in the database it does over the connection of the
test, and so in its transaction. What it raises is raised in the test, unless it only says that the client has left.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, ClassVar, Self

from django.db import connections

from fairway import DEFAULT_CHANNEL_LAYER
from fairway.broker.effects import Delivery
from fairway.database import care_by_message
from fairway.errors import ChannelGone, DeliveryLost
from fairway.layers.base import Reader
from fairway.layers.memory import MemoryLayer
from fairway.limits import ViewLimits
from fairway.testing.browser import BrowserClient
from fairway.testing.connection import Connection
from fairway.testing.layers import application_of
from fairway.views.connection import Connection as ViewConnection
from fairway.views.helpers import HelperThreads
from fairway.views.runner import ViewRun
from fairway.views.sockets import ViewSockets
from fairway.views.threads import ViewThreads
from fairway.worker.outbox import Outbox, current_outbox

CONNECT = "websocket.connect"

HANDSHAKE = ([b"connection", b"Upgrade"], [b"upgrade", b"websocket"])
"""Headers that each handshake has; by one of them caches tell it from a plain request."""

LEAVE = 10.0
"""Seconds that a view may take to end when its test is over; then the test's connections are taken from it."""


class ViewClient(BrowserClient):
    """A browser that opens WebSockets to views.

    Parameters:
        alias: which of `CHANNEL_LAYERS`.
        timeout: seconds that the view has for whatever the test waits for.
    """

    reply_prefix: ClassVar[str] = "websocket.send"

    def __init__(self, alias: str = DEFAULT_CHANNEL_LAYER, *, timeout: float = 5.0) -> None:
        super().__init__(alias)
        self._timeout = timeout

    def open(self, path: str = "/", *, subprotocols: Sequence[str] = ()) -> "ViewSocket":
        """Return a socket to the view at `path`, which may have a query string. Use it in a `with`.

        Raises:
            AssertionError: no view takes WebSockets there, or it does not decide about the handshake in time.
            Exception: what the view has raised.
        """
        scope = {"scheme": "ws", "subprotocols": list(subprotocols), **self.request_scope(path, {})}
        scope["headers"] = [*scope["headers"], *HANDSHAKE]
        return ViewSocket(self.channel_layer, self.alias, scope, self._timeout)


class ViewSocket:
    """One WebSocket to a view, as its client sees it.

    Parameters:
        layer: that of the test.
        alias: its alias.
        scope: what the connect tells.
        timeout: see `ViewClient`.
    """

    def __init__(self, layer: MemoryLayer, alias: str, scope: dict[str, Any], timeout: float) -> None:
        self.status = 0
        """101 when the socket was accepted, else the status of the HTTP response."""
        self.response: dict[str, Any] = {}
        """The HTTP response in place of the handshake: `status`, `headers`, `content`."""
        self.subprotocol: str | None = None
        """What the view has chosen."""
        self.close_code: int | None = None
        """The code with which it was closed; None while it is open."""
        self.timeout = timeout
        """Seconds that the view has for what the test waits for."""
        self._wire = _Wire(layer, ViewClient.reply_prefix)
        self._channel = ""
        self._stack = ExitStack()
        try:
            self._begin(layer, alias, scope)
            self._await_decision(scope["path"])
        except BaseException:
            self._stack.close()
            raise

    def _begin(self, layer: MemoryLayer, alias: str, scope: dict[str, Any]) -> None:
        self._stack.enter_context(care_by_message())  # nobody is to close the connections of the test
        self._stack.enter_context(_shared_connections())
        self._sockets = _Sockets(layer)
        self._stack.callback(self._end_view)
        reader = layer.reader([CONNECT])
        self._stack.callback(reader.close)
        self._wire.submit(CONNECT, scope)
        delivery = reader.receive(self.timeout)
        if delivery is None:
            raise AssertionError("the connect was taken by somebody else; is there a worker on the layer of the test?")
        self._stack.callback(_settle, reader, delivery)
        outbox = Outbox(delivery, reader, layer)
        token = current_outbox.set(outbox)
        try:
            is_taken = self._sockets.take(application_of(alias).prepare(delivery).message)
        finally:
            current_outbox.reset(token)
        if not outbox.is_handed_over:
            reader.commit(delivery, outbox.effects)
        if not is_taken:
            msg = f"no view takes WebSockets at {scope['path']!r}: decorate it with fairway.views.accept_websocket"
            raise AssertionError(msg)

    def _await_decision(self, path: str) -> None:
        first = self._wire.take(self.timeout)
        if first is None:
            msg = f"the view at {path!r} has neither looked at its socket nor answered in {self.timeout:g} s"
            raise AssertionError(msg)
        if "reject" in first:
            self._raise_failure()
            self.response = first["reject"]
            self.status = self.response["status"]
            return
        self.status = 101
        self.subprotocol = first.get("subprotocol")
        self._channel = first["receive_channel"]

    # --- the socket --------------------------------------------------------------------------------------------------

    def send(self, message: str | bytes) -> None:
        """Send a text or a binary message to the view."""
        self._submit({"bytes" if isinstance(message, bytes) else "text": message})

    def receive(self) -> str | bytes | None:
        """Wait for the next message of the view, and return it; None once the view has closed the socket.

        Raises:
            AssertionError: none has come in time.
            Exception: what the view has raised.
        """
        if self.close_code is not None:
            return None
        frame = self._wire.take(self.timeout)
        if frame is None:
            self._raise_failure()
            msg = f"the view has sent nothing in {self.timeout:g} s"
            raise AssertionError(msg)
        if frame.get("close"):
            self.close_code = 1000 if frame["close"] is True else frame["close"]
            self._raise_failure()
            return None
        text: str | None = frame.get("text")
        return text if text is not None else frame["bytes"]

    def close(self, code: int = 1000) -> None:
        """Close the socket, and wait until the view has ended.

        Raises:
            AssertionError: the view runs on.
            Exception: what the view has raised.
        """
        if self._channel:
            self._submit({"code": code})
            self._channel = ""
        if self.close_code is None and self.status == 101:
            self.close_code = code
        if not self._sockets.wait_idle(self.timeout):
            msg = f"the view runs on, {self.timeout:g} s after its socket was closed"
            raise AssertionError(msg)
        self._raise_failure()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.close()
        finally:
            self._stack.close()

    def _submit(self, content: dict[str, Any]) -> None:
        if not self._channel:
            raise AssertionError("the socket is closed")
        self._wire.submit(self._channel, {"path": self._wire.path, **content})

    def _raise_failure(self) -> None:
        connection = self._sockets.connection
        if connection is None or connection.failure is None:
            return
        failure = connection.failure
        if isinstance(failure, ChannelGone) and failure.channel == connection.reply_channel:
            return  # a view may let it through
        self._sockets.connection = None  # raised once
        raise failure

    def _end_view(self) -> None:
        self._sockets.pause()
        self._sockets.close()
        self._sockets.wait_idle(LEAVE)


class _Wire(Connection):
    """The server's end, which a test can wait at."""

    def __init__(self, layer: MemoryLayer, kind: str) -> None:
        self._arrived = threading.Condition()
        super().__init__(layer, kind)

    def _take(self) -> None:
        super()._take()
        with self._arrived:
            self._arrived.notify_all()

    def take(self, timeout: float) -> dict[str, Any] | None:
        """Wait for the next message, and return it; None when none has come."""
        with self._arrived:
            return self.frames.popleft() if self._arrived.wait_for(lambda: self.frames, timeout) else None


class _Sockets(ViewSockets):
    """Runs one view, on the database connections of the test."""

    connection: ViewConnection | None = None

    def __init__(self, layer: MemoryLayer) -> None:
        self._given = {alias: connections[alias] for alias in connections}
        super().__init__(layer)
        self._threads = _Threads(self._given)

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._helpers = HelperThreads(1, lambda: _use(self._given))

    def _start(self, run: ViewRun, *, is_coroutine: bool) -> bool:
        self.connection = run.connection
        return super()._start(run, is_coroutine=is_coroutine)


class _Threads(ViewThreads):
    """Threads that have database connections given, and leave them as they are."""

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__(ViewLimits().threads)
        self._given = given

    def _run(self, view: Callable[[], None]) -> None:
        _use(self._given)
        try:
            view()
        finally:
            for alias in self._given:
                del connections[alias]
            self._end(threading.current_thread())


def _settle(reader: Reader, delivery: Delivery) -> None:
    """Acknowledge a connect that its view has not decided, or the next client would have it."""
    with suppress(DeliveryLost):
        reader.commit(delivery)


def _use(given: dict[str, Any]) -> None:
    for alias, connection in given.items():
        connections[alias] = connection


def _shared_connections() -> ExitStack:
    """Let other threads use the connections of this one."""
    stack = ExitStack()
    for connection in connections.all():
        connection.inc_thread_sharing()
        stack.callback(connection.dec_thread_sharing)
    return stack
