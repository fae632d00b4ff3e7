"""A session at several hubs: who waits takes what comes first, and nothing is asked for twice or forgotten."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.broker.effects import Send
from fairway.layers.hub.address import HubAddress
from fairway.layers.hub.several import SeveralLayer
from tests.support.hubs import HubThread
from tests.support.waiting import await_until, wait_until


@pytest.fixture
def hubs(tmp_path: Path) -> Iterator[list[HubThread]]:
    hubs = [HubThread(tmp_path / f"{name}.sock") for name in "ab"]
    yield hubs
    for hub in hubs:
        hub.stop()


@pytest.fixture
def layer(hubs: list[HubThread]) -> Iterator[SeveralLayer]:
    layer = SeveralLayer([HubAddress(path=hub.path) for hub in hubs], wait=5)
    layer.line.start()
    wait_until(lambda: all(branch.line.is_up for branch in layer.branches))
    yield layer
    layer.close()


def leased(hub: HubThread) -> int:
    channels = hub.layer.statistics().channels
    return channels["c"].leased if "c" in channels else 0


async def leave_waiting(hub: HubThread) -> None:
    """Wait until a message lies at the hub, held by nobody."""
    await await_until(lambda: hub.layer.statistics().channels["c"].waiting == 1)


@pytest.mark.parametrize("form", ["thread", "coroutine"])
async def test_an_exact_session_takes_no_more_than_it_was_asked_for(
    hubs: list[HubThread], layer: SeveralLayer, form: str
) -> None:
    """Both hubs were asked for the one; the other's goes back to it, or never comes."""
    reader = await asyncio.to_thread(layer.reader, ["c"])
    receive = reader.areceive(10) if form == "coroutine" else asyncio.to_thread(reader.receive, 10)
    receiving = asyncio.create_task(receive)
    await await_until(lambda: reader.waiting == 1)
    for hub in hubs:
        hub.layer.publish(Send("c", b"x"))
    delivery = await receiving
    assert delivery
    (other,) = [hub for number, hub in enumerate(hubs) if number != reader.part_of(delivery).branch.number]
    await leave_waiting(other)
    assert reader.waiting == 0
    reader.release(delivery)
    for hub in hubs:
        await leave_waiting(hub)


def test_the_oldest_comes_first(hubs: list[HubThread], layer: SeveralLayer) -> None:
    reader = layer.reader(["c"], window=4, threads=1)
    for number in (1, 0, 1, 0):
        hubs[number].layer.publish(Send("c", bytes([number])))
    taken = []
    for _ in range(4):
        delivery = reader.receive(5)
        assert delivery
        taken.append(delivery.body[0])
        reader.commit(delivery)
    assert sorted(taken) == [0, 0, 1, 1]


async def test_nobody_waits_any_more(hubs: list[HubThread], layer: SeveralLayer) -> None:
    """Of a coroutine that is cancelled, and a thread whose time is over, nothing is left at any hub."""
    reader = await asyncio.to_thread(layer.reader, ["c"])
    receiving = asyncio.create_task(reader.areceive())
    await await_until(lambda: reader.waiting == 1)
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving
    assert await asyncio.to_thread(reader.receive, 0.01) is None
    assert (reader.waiting, list(reader.awaiting)) == (0, [])
    await asyncio.to_thread(layer.statistics)
    for hub in hubs:
        hub.layer.publish(Send("c", b"x"))
        assert leased(hub) == 0


def test_a_pause_gives_everything_back(hubs: list[HubThread], layer: SeveralLayer) -> None:
    reader = layer.reader(["c"], window=2, threads=2)
    reader.widen(2)
    for hub in hubs:
        hub.layer.publish(Send("c", b"x"))
        wait_until(lambda: leased(hub) == 1)  # noqa: B023  called at once
    reader.pause()
    reader.pause()
    wait_until(lambda: [leased(hub) for hub in hubs] == [0, 0])
    assert reader.receive(1) is None
    reader.close()
    wait_until(lambda: [hub.layer.statistics().sessions for hub in hubs] == [0, 0])
    reader.close()


def test_it_tells_how_often_one_of_its_sessions_was_opened_anew(hubs: list[HubThread], layer: SeveralLayer) -> None:
    reader = layer.reader(["c"], window=4, threads=1)
    before = reader.renewals
    hubs[1].stop()
    hubs[1].start()
    wait_until(lambda: reader.receive(0.05) is None and reader.renewals == before + 1)
