"""An owner of connections for the tests of inboxes: its inbox, and everything that has come to it."""

import logging

import pytest

from fairway.broker.effects import Envelope, Item
from fairway.layers.base import Reader
from fairway.layers.redis.inbox_opening import owner_in
from fairway.layers.redis.layer import RedisLayer
from tests.support.redis import RedisServer
from tests.support.waiting import await_until


class Owner:
    """An inbox, and everything that has come to it."""

    def __init__(self, layer: RedisLayer, *prefixes: str) -> None:
        self.items: list[Item] = []
        self.inbox = layer.inbox(prefixes or ["s!"], self.take)
        self.take()

    def take(self) -> None:
        if hasattr(self, "inbox"):
            self.items += self.inbox.drain()

    async def wait_for(self, item: Item) -> None:
        await await_until(lambda: item in self.items, lambda: f"{item} in {self.items}")

    async def wait_kind(self, kind: type[Item], count: int = 1) -> list[Item]:
        def found() -> list[Item]:
            return [item for item in self.items if isinstance(item, kind)]

        await await_until(lambda: len(found()) >= count, lambda: f"{count} {kind} in {self.items}")
        return found()

    def submit(self, order: int, body: bytes = b"x", channel: str = "c", attempt: int = 1) -> None:
        self.inbox.submit(Envelope(f"m{order}", channel, "s!1", order, attempt), body)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def owner_of(layer: RedisLayer, server: RedisServer, shard: str = "s!") -> str:
    return owner_in(server.call("GET", layer.shards.key(shard, "state")))


async def receive(reader: Reader) -> Envelope:
    delivery = await reader.areceive(10)
    assert delivery is not None
    await reader.acommit(delivery)
    return delivery.envelope


async def wait_waiting(layer: RedisLayer, count: int) -> None:
    """Wait until so many messages wait on channel c."""

    def is_there() -> bool:
        found = layer.statistics().channels.get("c")
        return found is not None and found.waiting == count

    await await_until(is_there)
