"""`request.websocket` of a blocking view."""

import contextlib
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from fairway.broker.effects import Effect, Send
from fairway.database import opened_connections, tend_connections
from fairway.errors import DeliveryLost, LayerUnavailable
from fairway.layers.waiters import BlockingWaiter
from fairway.limits import ViewLimits
from fairway.views.connection import NOTHING, OVER, Connection, Phase
from fairway.views.pinned import Pinned


class WebSocket:
    """A WebSocket that a view reads and writes.

    It is accepted when the view first reads, writes, or looks whether there is something to read. Until then the view
    may answer with an ordinary HTTP response. When the view returns it is closed.
    """

    def __init__(self, connection: Connection, pinned: Pinned, limits: ViewLimits) -> None:
        self._connection = connection
        self._pinned = pinned
        self._limits = limits
        self._deciding = threading.Lock()
        self._is_decided = False

    @property
    def closed(self) -> bool:
        """Whether the socket is closed, by either side, or its worker stops. What came before can still be read."""
        return self._connection.is_over

    @property
    def reply_channel(self) -> str:
        """The connection's channel: it may join groups with it, whose messages go to the client."""
        return self._connection.reply_channel

    @property
    def subprotocols(self) -> list[str]:
        """The subprotocols that the client offers, in its order."""
        return list(self._connection.subprotocols)

    def accept(self, subprotocol: str | None = None, headers: Iterable[Any] = ()) -> None:
        """Accept the socket now, with a subprotocol or headers. Nothing happens when it is decided already.

        Raises:
            InvalidMessage: the subprotocol or a header cannot be sent.
        """
        if self._is_decided:
            return
        with self._deciding:  # a view may have threads of its own; what they send follows the acceptance
            if self._connection.phase is Phase.HANDSHAKE:
                self._pinned.add(self._connection)
                self._commit(self._connection.accept(subprotocol, headers))
            self._is_decided = True

    def wait(self) -> str | bytes | None:
        """Wait for the next message; None once the socket is closed. A binary frame is bytes.

        Raises:
            RuntimeError: the view goes on waiting although it was told that the socket is closed.
        """
        self.accept()
        found = self._connection.take()
        while found is NOTHING:
            if opened := opened_connections():
                tend_connections(opened)  # it may be long until the next query
            waiter = BlockingWaiter()
            found = self._connection.take(waiter)
            if found is NOTHING:
                waiter.wait()
                found = self._connection.take()
        return self._taken(found)

    def read(self, fallback: Any = None) -> Any:
        """Return the next message if there is one, else `fallback`."""
        self.accept()
        found = self._connection.take()
        return fallback if found is NOTHING or found is OVER else self._taken(found)

    def has_messages(self) -> bool:
        """Say whether there is a message to read."""
        return self.count_messages() > 0

    def count_messages(self) -> int:
        """Return how many messages there are to read, of at most 32 that the server sends ahead."""
        self.accept()
        return self._connection.count()

    def send(self, message: Any) -> None:
        """Send a message: bytes as a binary frame, anything else as the text that it is as a `str`.

        Waits while the client does not read.

        Raises:
            ChannelGone: the socket is closed. A view that lets it through has ended, and nothing is logged.
            ChannelFull: the client has read nothing for 20 s.
            MessageTooLarge: the message is above the limit of the layer.
            LayerUnavailable: the layer cannot be reached.
        """
        self.accept()
        self._publish(self._connection.message(message), self._limits.send)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the socket. In the handshake it is refused, with 403. Nothing happens when it is closed already.

        Raises:
            InvalidMessage: the code or the reason cannot be sent.
        """
        if effects := self._connection.reject({"status": 403}):
            self._commit(effects)
        elif effect := self._connection.close(code, reason):
            self._publish(effect, self._limits.end)

    def __iter__(self) -> Iterator[str | bytes]:
        """Yield the messages until the socket is closed."""
        while (message := self.wait()) is not None:
            yield message

    def _taken(self, found: Any) -> str | bytes | None:
        if found is OVER:
            self._connection.note_in_vain()
            return None
        delivery, message = found
        self._pinned.commit(delivery)
        return message  # type: ignore[no-any-return]

    def _commit(self, effects: list[Effect]) -> None:
        """Decide the handshake; where that comes too late, since another worker does, the socket has ended here."""
        outbox = self._connection.outbox
        if effects:
            with self._ending_when_lost():
                outbox.reader.commit(outbox.delivery, effects)

    def _publish(self, effect: Send, timeout: float) -> None:
        self._connection.layer.publish(effect, timeout)

    @contextlib.contextmanager
    def _ending_when_lost(self) -> Iterator[None]:
        try:
            yield
        except (DeliveryLost, LayerUnavailable):
            self._connection.end()
