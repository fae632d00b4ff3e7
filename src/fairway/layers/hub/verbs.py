"""What a layer asks of a hub: each verb as a frame, in a blocking form and an asyncio form.

How the frame gets to a hub, and which one that is where there are several, is told by `call` and `acall`.
"""

from abc import abstractmethod
from collections.abc import Callable, Collection
from typing import Any

import msgspec

from fairway.broker.effects import Effect, GroupSend
from fairway.layers.base import DeadLetter, Layer, LayerStatistics
from fairway.names import check_channel, check_group
from fairway.wire.hub import Call, Frame, Publish


class HubVerbs(Layer):
    """The verbs of a layer, over calls to a hub."""

    @abstractmethod
    def call(self, make: Callable[[int], Frame], timeout: float, generation: int = 0, about: str = "") -> Any:
        """Send a frame, and wait for its answer.

        Parameters:
            make: returns the frame for a token.
            timeout: how long the hub may let the caller wait on purpose.
            generation: the connection that the frame is for; 0 for any.
            about: the channel that it is about, which one hub of several may be nearer to.

        Raises:
            LayerUnavailable: the hub is away, went away, or did not answer. What was asked may have happened.
        """

    @abstractmethod
    async def acall(self, make: Callable[[int], Frame], timeout: float, generation: int = 0, about: str = "") -> Any:
        """Do as `call`."""

    def _ask(self, verb: str, *arguments: Any, about: str = "") -> Any:
        return self.call(lambda token: Call(token, verb, list(arguments)), 0, about=about)

    async def _aask(self, verb: str, *arguments: Any, about: str = "") -> Any:
        return await self.acall(lambda token: Call(token, verb, list(arguments)), 0, about=about)

    # --- sending -----------------------------------------------------------------------------------------------------

    def publish(self, effect: Effect, timeout: float = 0) -> None:
        """See `Layer.publish`."""
        self.call(lambda token: Publish(token, effect, timeout), timeout, about=channel_of(effect))

    async def apublish(self, effect: Effect, timeout: float = 0) -> None:
        """See `Layer.apublish`."""
        await self.acall(lambda token: Publish(token, effect, timeout), timeout, about=channel_of(effect))

    # --- groups and questions ----------------------------------------------------------------------------------------

    def group_add(self, group: str, channel: str) -> None:
        """See `Layer.group_add`."""
        self._ask("group_add", check_group(group), check_channel(channel), about=channel)

    async def agroup_add(self, group: str, channel: str) -> None:
        """See `Layer.agroup_add`."""
        await self._aask("group_add", check_group(group), check_channel(channel), about=channel)

    def group_discard(self, group: str, channel: str) -> None:
        """See `Layer.group_discard`."""
        self._ask("group_discard", check_group(group), check_channel(channel), about=channel)

    async def agroup_discard(self, group: str, channel: str) -> None:
        """See `Layer.agroup_discard`."""
        await self._aask("group_discard", check_group(group), check_channel(channel), about=channel)

    def group_channels(self, group: str) -> list[str]:
        """See `Layer.group_channels`."""
        return msgspec.convert(self._ask("group_channels", check_group(group)), list[str])

    async def agroup_channels(self, group: str) -> list[str]:
        """See `Layer.agroup_channels`."""
        return msgspec.convert(await self._aask("group_channels", check_group(group)), list[str])

    def state(self, reply_channel: str) -> dict[str, bytes]:
        """See `Layer.state`."""
        return msgspec.convert(self._ask("state", check_channel(reply_channel), about=reply_channel), dict[str, bytes])

    async def astate(self, reply_channel: str) -> dict[str, bytes]:
        """See `Layer.astate`."""
        return msgspec.convert(
            await self._aask("state", check_channel(reply_channel), about=reply_channel), dict[str, bytes]
        )

    # --- the whole ---------------------------------------------------------------------------------------------------

    def statistics(self) -> LayerStatistics:
        """See `Layer.statistics`."""
        return msgspec.convert(self._ask("statistics"), LayerStatistics)

    def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """See `Layer.dead_letters`."""
        return msgspec.convert(self._ask("dead_letters", limit), list[DeadLetter])

    def requeue_dead(self, ids: Collection[str]) -> int:
        """See `Layer.requeue_dead`."""
        return msgspec.convert(self._ask("requeue_dead", list(ids)), int)

    def drop_dead(self, ids: Collection[str]) -> int:
        """See `Layer.drop_dead`."""
        return msgspec.convert(self._ask("drop_dead", list(ids)), int)

    def flush(self) -> None:
        """See `Layer.flush`."""
        self._ask("flush")


def channel_of(effect: Effect) -> str:
    """Return the channel that an effect is about; "" when it is about a group."""
    return "" if isinstance(effect, GroupSend) else effect.channel
