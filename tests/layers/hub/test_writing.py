"""The writing end of a line: writers that must not wait, more than a socket takes, and whole frames only."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.broker.effects import Send
from fairway.layers import LocalLayer
from fairway.layers.hub.writing import LineLost
from fairway.wire.hub import Ping, pack
from tests.support.hubs import HubThread


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubThread]:
    with HubThread(tmp_path / "hub.sock") as hub:
        yield hub


@pytest.fixture
def layer(hub: HubThread) -> Iterator[LocalLayer]:
    layer = LocalLayer(hub.path, wait=5)
    yield layer
    layer.close()


def test_a_line_of_another_generation(layer: LocalLayer) -> None:
    layer.statistics()
    with pytest.raises(LineLost):
        layer.line.write(pack(Ping()), layer.line.generation + 1)


def test_what_is_posted_while_another_writes(hub: HubThread, layer: LocalLayer) -> None:
    """Nobody waits; whoever writes does it afterwards, in order."""
    layer.statistics()
    line = layer.line
    with line._writing:
        for _ in range(3):
            line.post(pack(Ping()))
            line.write_posted()
        assert len(line._posted) == 3
    line.write(pack(Ping()))
    assert not line._posted
    assert layer.statistics().sessions == 0


async def test_coroutines_keep_their_order_while_another_writes_and_one_is_cancelled(
    hub: HubThread, layer: LocalLayer
) -> None:
    await asyncio.to_thread(layer.statistics)
    with layer.line._writing:
        tasks = [asyncio.create_task(layer.apublish(Send("c", bytes([number])))) for number in range(50)]
        await asyncio.sleep(0)
        tasks[7].cancel()
        await asyncio.sleep(0)
    layer.line.write_posted()
    await asyncio.gather(*tasks, return_exceptions=True)
    reader = await asyncio.to_thread(layer.reader, ["c"], 50)
    taken = [await asyncio.to_thread(reader.receive, 5) for _ in tasks]
    assert [delivery.body[0] for delivery in taken if delivery] == list(range(50))


async def test_coroutines_are_told_that_the_line_broke_while_another_wrote(layer: LocalLayer) -> None:
    await asyncio.to_thread(layer.statistics)
    line = layer.line
    with line._writing:
        task = asyncio.create_task(line.awrite(pack(Ping())))
        await asyncio.sleep(0)
        line.lose(line._link, "a test")
    line.write_posted()
    with pytest.raises(LineLost):
        await task


async def test_many_coroutines_write_more_than_the_socket_takes(hub: HubThread, layer: LocalLayer) -> None:
    """The rest of each is written by a thread of its own: a pool full of writers that wait would never get to it."""
    body = b"x" * 400_000
    async with asyncio.timeout(30):
        await asyncio.gather(*(layer.apublish(Send("c", body)) for _ in range(200)))
    assert (await asyncio.to_thread(layer.statistics)).channels["c"].waiting == 200


def test_large_messages_both_ways(hub: HubThread, layer: LocalLayer) -> None:
    """A hub that cannot write does not read; the process reads while its only thread writes."""
    reader = layer.reader(["c"], window=8, threads=1)
    for _ in range(8):
        layer.publish(Send("c", b"x" * 1_000_000))
    for _ in range(24):
        delivery = reader.receive(5)
        assert delivery
        reader.commit(delivery, [Send("c", delivery.body), Send("d", b"x" * 2_000_000)])
    assert layer.statistics().channels["d"].waiting == 24
    assert layer.line.generation == 1
