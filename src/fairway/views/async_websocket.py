"""`request.websocket` of a coroutine view: the same names, each to be awaited."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from fairway.broker.effects import Effect
from fairway.errors import DeliveryLost, LayerUnavailable
from fairway.layers.waiters import LoopWaiter
from fairway.limits import ViewLimits
from fairway.views.connection import NOTHING, OVER, Connection, Phase
from fairway.views.pinned import Pinned


class AsyncWebSocket:
    """A WebSocket that a coroutine view reads and writes. See `WebSocket`: the methods do the same, and are awaited."""

    def __init__(self, connection: Connection, pinned: Pinned, limits: ViewLimits) -> None:
        self._connection = connection
        self._pinned = pinned
        self._limits = limits
        self._deciding = asyncio.Lock()
        self._is_decided = False

    @property
    def closed(self) -> bool:
        """See `WebSocket.closed`."""
        return self._connection.is_over

    @property
    def reply_channel(self) -> str:
        """See `WebSocket.reply_channel`."""
        return self._connection.reply_channel

    @property
    def subprotocols(self) -> list[str]:
        """See `WebSocket.subprotocols`."""
        return list(self._connection.subprotocols)

    async def accept(self, subprotocol: str | None = None, headers: Iterable[Any] = ()) -> None:
        """See `WebSocket.accept`."""
        if self._is_decided:
            return
        async with self._deciding:  # a view may have tasks of its own; what they send follows the acceptance
            if self._connection.phase is Phase.HANDSHAKE:
                self._pinned.add(self._connection)
                await self._commit(self._connection.accept(subprotocol, headers))
            self._is_decided = True

    async def wait(self) -> str | bytes | None:
        """See `WebSocket.wait`."""
        await self.accept()
        found = self._connection.take()
        while found is NOTHING:
            waiter = LoopWaiter()
            found = self._connection.take(waiter)
            if found is NOTHING:
                try:
                    await waiter.wait()
                finally:
                    self._connection.forget(waiter)
                found = self._connection.take()
        return await self._taken(found)

    async def read(self, fallback: Any = None) -> Any:
        """See `WebSocket.read`."""
        await self.accept()
        found = self._connection.take()
        return fallback if found is NOTHING or found is OVER else await self._taken(found)

    async def has_messages(self) -> bool:
        """See `WebSocket.has_messages`."""
        return await self.count_messages() > 0

    async def count_messages(self) -> int:
        """See `WebSocket.count_messages`."""
        await self.accept()
        return self._connection.count()

    async def send(self, message: Any) -> None:
        """See `WebSocket.send`."""
        await self.accept()
        await self._connection.layer.apublish(self._connection.message(message), self._limits.send)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """See `WebSocket.close`."""
        if effects := self._connection.reject({"status": 403}):
            await self._commit(effects)
        elif effect := self._connection.close(code, reason):
            await self._connection.layer.apublish(effect, self._limits.end)

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Yield the messages until the socket is closed."""
        while (message := await self.wait()) is not None:
            yield message

    async def _taken(self, found: Any) -> str | bytes | None:
        if found is OVER:
            self._connection.note_in_vain()
            return None
        delivery, message = found
        try:
            await self._pinned.acommit(delivery)
        except asyncio.CancelledError:
            self._connection.put_back(found)  # a wait that is timed out loses nothing
            raise
        return message  # type: ignore[no-any-return]

    async def _commit(self, effects: list[Effect]) -> None:
        outbox = self._connection.outbox
        try:
            if effects:
                await outbox.reader.acommit(outbox.delivery, effects)
        except (DeliveryLost, LayerUnavailable):
            self._connection.end()
