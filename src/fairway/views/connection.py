"""One WebSocket as its view sees it, whether the view is blocking or a coroutine: its phase, and what is unread.

::

    HANDSHAKE ──first look at the socket──▶ OPEN ──close, of either side──▶ ENDED
        └──────────────the view has answered otherwise─────────────────────▶┘

Here is what both forms share: it decides, under a lock, and never waits. What is to be committed or published it gives
to its callers as data. Messages come from the thread of the session (`pinned`), and are taken by the view's.
"""

import threading
import time
from collections import deque
from collections.abc import Iterable
from enum import IntEnum
from typing import Any

from fairway.application import VIEW_KEY
from fairway.broker.effects import Delivery, Effect, SaveState, Send
from fairway.errors import ChannelGone
from fairway.layers.codec import encode_message, pack_value
from fairway.layers.waiters import Waiter
from fairway.messages import Protocol, check_reply
from fairway.worker.outbox import Outbox

NOTHING: Any = object()
"""No message is there yet."""

OVER: Any = object()
"""No message will come any more."""


IN_VAIN = 1000
"""So often a view may wait for a message after it was told that none will come. Then it is taken for a loop without an
end, which would keep its thread, or the event loop of all coroutine views, for good."""


class Phase(IntEnum):
    """Where a view's socket is in its life."""

    HANDSHAKE = 0
    OPEN = 1
    ENDED = 2


class Connection:
    """A WebSocket that a view owns.

    Parameters:
        outbox: that of its connect, which was handed over.
        channel: where the server sends its messages.
        subprotocols: what the client offers.
    """

    def __init__(self, outbox: Outbox, channel: str, subprotocols: Iterable[str] = ()) -> None:
        self.outbox = outbox
        self.layer = outbox.layer
        self.channel = channel
        self.reply_channel = outbox.delivery.envelope.reply_channel
        self.subprotocols = list(subprotocols)
        self.began = time.monotonic()
        self.failure: Exception | None = None
        """What the view has raised."""
        self._lock = threading.Lock()
        self._phase = Phase.HANDSHAKE
        self._unread: deque[tuple[Delivery, str | bytes]] = deque()
        self._waiters: list[Waiter] = []
        self._last_order = 0
        self._in_vain = 0
        self._is_stopping = False

    @property
    def phase(self) -> Phase:
        """Where it is in its life."""
        return self._phase

    @property
    def is_stopping(self) -> bool:
        """Whether its worker stops."""
        return self._is_stopping

    @property
    def is_over(self) -> bool:
        """Whether nothing comes any more; what is unread can still be read."""
        return self._phase is Phase.ENDED or self._is_stopping

    # --- the handshake -----------------------------------------------------------------------------------------------

    def accept(self, subprotocol: str | None = None, headers: Iterable[Any] = ()) -> list[Effect]:
        """Open the socket; return what is to be committed with the connect, nothing when it was decided before.

        Raises:
            InvalidMessage: the subprotocol or a header cannot be sent.
        """
        message: dict[str, Any] = {"accept": True, "receive_channel": self.channel}
        if subprotocol is not None:
            message["subprotocol"] = subprotocol
        if headers := list(headers):
            message["headers"] = headers
        check_reply(message, Protocol.WEBSOCKET)
        body = encode_message(message, self.layer.message_limits)
        if not self._decide(Phase.OPEN):
            return []
        state: dict[str, bytes | None] = {VIEW_KEY: pack_value(self.channel, VIEW_KEY)}
        own = self.reply_channel
        return [*self.outbox.effects, SaveState(own, state), Send(own, body)]

    def reject(self, answer: dict[str, Any]) -> list[Effect]:
        """End the handshake with an HTTP response; return what is to be committed with the connect."""
        body = encode_message({"reject": answer}, self.layer.message_limits)
        return [*self.outbox.effects, Send(self.reply_channel, body)] if self._decide(Phase.ENDED) else []

    def _decide(self, phase: Phase) -> bool:
        with self._lock:
            if self._phase is not Phase.HANDSHAKE:
                return False
            self._phase = phase
            return True

    # --- from the client ---------------------------------------------------------------------------------------------

    def put(self, delivery: Delivery, payload: str | bytes) -> bool:
        """Keep a message for the view.

        Returns:
            False when nobody will take it: it came too late, or a second time.
        """
        order = delivery.envelope.order
        with self._lock:
            if self.is_over:
                return False
            if order <= self._last_order:
                return self._replace(delivery)
            self._last_order = order
            self._unread.append((delivery, payload))
            waiters, self._waiters = self._waiters, []
        _wake(waiters)
        return True

    def _replace(self, delivery: Delivery) -> bool:
        """Take the new receipt of a message that was delivered again while it was unread."""
        for index, (unread, payload) in enumerate(self._unread):
            if unread.envelope.order == delivery.envelope.order:
                self._unread[index] = (delivery, payload)
                return True
        return False

    def take(self, waiter: Waiter | None = None) -> Any:
        """Return the next message with its delivery, or OVER, or NOTHING: then the waiter is woken when it changes."""
        with self._lock:
            if self._unread:
                return self._unread.popleft()
            if self.is_over:
                return OVER
            if waiter is not None:
                self._waiters.append(waiter)
            return NOTHING

    def put_back(self, found: tuple[Delivery, str | bytes]) -> None:
        """Let what was taken be the next message again: whoever took it was cancelled."""
        with self._lock:
            self._unread.appendleft(found)
            waiters, self._waiters = self._waiters, []
        _wake(waiters)

    def forget(self, waiter: Waiter) -> None:
        """Wake this one no more: it was cancelled."""
        with self._lock:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def note_in_vain(self) -> None:
        """Note that the view was told that no message will come any more.

        Raises:
            RuntimeError: it goes on waiting.
        """
        self._in_vain += 1
        if self._in_vain > IN_VAIN:
            msg = (
                f"wait() was called {IN_VAIN} times after the socket had closed. It returns None then: "
                "end the loop, or use 'for message in request.websocket'"
            )
            raise RuntimeError(msg)

    def count(self) -> int:
        """Return how many messages are unread."""
        return len(self._unread)

    # --- to the client -----------------------------------------------------------------------------------------------

    def message(self, message: Any) -> Send:
        """Return what sends a message: bytes as a binary frame, anything else as text.

        Raises:
            ChannelGone: the socket is closed.
            MessageTooLarge: it is above the limit of the layer.
        """
        if self._phase is Phase.ENDED:
            raise ChannelGone(self.reply_channel)
        if isinstance(message, bytes | bytearray | memoryview):
            content: dict[str, Any] = {"bytes": bytes(message)}
        else:
            content = {"text": message if isinstance(message, str) else str(message)}
        return Send(self.reply_channel, encode_message(content, self.layer.message_limits))

    def close(self, code: int = 1000, reason: str = "") -> Send | None:
        """Close an open socket; return what tells the server, None when it was closed before.

        Raises:
            InvalidMessage: the code or the reason cannot be sent.
        """
        content = {"close": code, "reason": reason} if reason else {"close": code}
        check_reply(content, Protocol.WEBSOCKET)
        was_open = self._phase is Phase.OPEN
        self.end()
        return Send(self.reply_channel, encode_message(content)) if was_open else None

    # --- the end -----------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Note that the socket is closed. The view still gets what it has not read."""
        with self._lock:
            self._phase = Phase.ENDED
            waiters, self._waiters = self._waiters, []
        _wake(waiters)

    def stop(self) -> None:
        """Tell the view that the worker stops: nothing comes any more, though the socket is open."""
        with self._lock:
            self._is_stopping = True
            waiters, self._waiters = self._waiters, []
        _wake(waiters)

    def take_unread(self) -> list[Delivery]:
        """Return what the view has left unread, when it has ended."""
        with self._lock:
            unread = [delivery for delivery, _ in self._unread]
            self._unread.clear()
        return unread


def _wake(waiters: list[Waiter]) -> None:
    for waiter in waiters:
        waiter.wake()
