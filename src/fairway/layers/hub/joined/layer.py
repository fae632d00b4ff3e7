"""The layer of the process that hosts a joined hub: the memory layer of this process, joined with other hubs.

The interface server of the same process uses it as any memory layer, and what concerns other hosts happens beside.
Verbs that have to ask other hosts do so on the hub's event loop, so they may be called in their blocking form from any
other thread than that loop's.
"""

import asyncio
from collections.abc import Collection, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar, cast

from msgspec.structs import replace

from fairway.broker.joined import PATIENCE, JoinedBroker
from fairway.errors import LayerUnavailable
from fairway.layers.base import DeadLetter, Layer, LayerStatistics
from fairway.layers.codec import DEFAULT_LIMITS
from fairway.layers.hub.joined.upstream import Upstream
from fairway.layers.memory import ANSWER_TIMEOUT, MemoryLayer
from fairway.limits import BrokerLimits, MessageLimits

T = TypeVar("T")


class JoinedLayer(MemoryLayer):
    """The broker of a hub that is joined with others.

    Parameters:
        upstream: the layer that joins it with them. It is closed with the hub.
        limits, message_limits, answer_timeout: as a memory layer takes them.
        patience: seconds without a reader here before a connection's messages go elsewhere.
    """

    def __init__(
        self,
        upstream: Layer,
        limits: BrokerLimits | None = None,
        message_limits: MessageLimits = DEFAULT_LIMITS,
        *,
        answer_timeout: float = ANSWER_TIMEOUT,
        patience: float = PATIENCE,
    ) -> None:
        self.broker_kind = partial(JoinedBroker, patience=patience)
        super().__init__(limits, message_limits, answer_timeout=answer_timeout)
        self.joined = self.locked.joined = Upstream(upstream, self, cast("JoinedBroker", self.broker))

    def _ask(self, work: Coroutine[Any, Any, T]) -> T:
        return self._begin(work).result()

    async def _aask(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(self._begin(work))

    def _begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        if self.closed or not self.joined.is_running:
            work.close()
            raise LayerUnavailable("the layer is closed" if self.closed else "the hub is not open")
        return asyncio.run_coroutine_threadsafe(work, self.joined.loop)

    def group_add(self, group: str, channel: str) -> None:
        """See `Layer.group_add`."""
        self._ask(self.joined.answers.group_add(group, channel))

    async def agroup_add(self, group: str, channel: str) -> None:
        """See `Layer.agroup_add`."""
        await self._aask(self.joined.answers.group_add(group, channel))

    def group_discard(self, group: str, channel: str) -> None:
        """See `Layer.group_discard`."""
        self._ask(self.joined.answers.group_discard(group, channel))

    async def agroup_discard(self, group: str, channel: str) -> None:
        """See `Layer.agroup_discard`."""
        await self._aask(self.joined.answers.group_discard(group, channel))

    def group_channels(self, group: str) -> list[str]:
        """See `Layer.group_channels`."""
        return self._ask(self.joined.answers.group_channels(group))

    async def agroup_channels(self, group: str) -> list[str]:
        """See `Layer.agroup_channels`."""
        return await self._aask(self.joined.answers.group_channels(group))

    def state(self, reply_channel: str) -> dict[str, bytes]:
        """See `Layer.state`."""
        return self._ask(self.joined.answers.state(reply_channel))

    async def astate(self, reply_channel: str) -> dict[str, bytes]:
        """See `Layer.astate`."""
        return await self._aask(self.joined.answers.state(reply_channel))

    def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """See `Layer.dead_letters`."""
        return self._ask(self.joined.answers.dead_letters(limit))

    def requeue_dead(self, ids: Collection[str]) -> int:
        """See `Layer.requeue_dead`."""
        return self._ask(self.joined.answers.requeue_dead(ids))

    def drop_dead(self, ids: Collection[str]) -> int:
        """See `Layer.drop_dead`."""
        return self._ask(self.joined.answers.drop_dead(ids))

    def statistics(self) -> LayerStatistics:
        """Return what is held here, and what is on its way to the upstream. Never waits."""
        return replace(super().statistics(), upstream=self.joined.statistics())

    def flush(self) -> None:
        """See `Layer.flush`."""
        super().flush()
        self._ask(self.joined.answers.flush())

    def close(self) -> None:
        """See `Layer.close`. An open hub closes its upstream itself."""
        super().close()
        if not self.joined.is_running:
            self.joined.layer.close()
