"""What leaves for the upstream: in order, bounded, and told of when it is lost."""

import asyncio
import logging
from pathlib import Path

import pytest

from fairway.broker.effects import Ending, GroupSend, SaveState, Send, State
from fairway.errors import ChannelFull, LayerUnavailable
from fairway.layers.base import Layer
from fairway.layers.codec import decode_message, encode_message
from fairway.layers.hub.joined import forwarding
from fairway.limits import BrokerLimits, ChannelRule
from tests.support.joined import Hosts, Server
from tests.support.waiting import await_until

BODY = encode_message({})


async def run(layer: Layer, *outbox: Send | GroupSend | SaveState, ending: Ending = Ending.DONE) -> None:
    """Let a consumer of this host do something."""
    reader = layer.reader(["work"])
    await layer.asend("work", {})
    delivery = await reader.areceive(10)
    assert delivery
    await reader.acommit(delivery, outbox, ending)
    reader.close()


def number(value: int, channel: str = "numbers") -> Send:
    return Send(channel, encode_message({"n": value}))


async def numbers(layer: Layer, count: int) -> list[int]:
    reader = layer.reader(["numbers"])
    found = []
    for _ in range(count):
        delivery = await reader.areceive(10)
        assert delivery
        found.append(decode_message(delivery.body)["n"])
        await reader.acommit(delivery)
    reader.close()
    return found


async def test_effects_wait_for_the_upstream_in_their_order(hosts: Hosts) -> None:
    client, other = hosts.clients
    server = Server(other)
    await hosts.cut_and_noticed()
    await run(client, *(number(value) for value in range(5)), SaveState("s1!1", {"k": b"v"}))
    await await_until(lambda: hosts.joined.statistics().waiting_bytes > 0, "the effects to wait")
    await hosts.restore()
    assert await numbers(other, 5) == list(range(5))
    assert await server.next(State) == State("s1!1", {"k": b"v"})
    await await_until(lambda: hosts.joined.statistics().waiting_bytes == 0, "nothing to wait")
    assert hosts.joined.statistics().forwarded >= 6
    await hosts.end()


async def test_what_waits_for_too_long_is_dropped_and_told_once_a_minute(
    hosts: Hosts, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = hosts.clients
    await hosts.cut_and_noticed()
    monkeypatch.setattr(forwarding, "QUEUE_TIME", 0.01)
    await run(client, *(number(value) for value in range(3)))
    await run(client, GroupSend("g", BODY))
    await await_until(lambda: hosts.joined.statistics().dropped == 4, "four effects to be dropped")
    assert hosts.joined.statistics().waiting_bytes == 0
    lines = [record for record in caplog.records if "were dropped" in record.getMessage()]
    assert [record.levelno for record in lines] == [logging.ERROR]
    await hosts.end()


async def test_the_queue_is_bounded(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    client, other = hosts.clients
    monkeypatch.setattr(forwarding, "QUEUE_BYTES", 2 * (forwarding.OVERHEAD + len(number(0).body)))
    await hosts.cut_and_noticed()
    await run(client, *(number(value) for value in range(4)))
    await await_until(lambda: hosts.joined.statistics().dropped == 2, "two effects to be dropped")
    await hosts.restore()
    assert await numbers(other, 2) == [0, 1]
    await hosts.end()


async def test_an_effect_without_room_is_a_dead_letter_and_holds_up_nobody_else(tmp_path: Path) -> None:
    limits = BrokerLimits(rules=(("full", ChannelRule(capacity=0)), ("*", ChannelRule())), commit_wait=0.01)
    hosts = Hosts(tmp_path, limits)
    client, other = hosts.clients
    await run(client, number(1, "full"), number(2))
    assert await numbers(other, 1) == [2]
    await await_until(lambda: hosts.hubs[0].layer.broker.post.dead, "a dead letter")
    [letter] = await asyncio.to_thread(client.dead_letters)
    assert (letter.channel, letter.reason) == ("full", "full")
    await hosts.end()


async def test_a_direct_send_is_told_what_the_upstream_says(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path, BrokerLimits(rules=(("full", ChannelRule(capacity=0)), ("*", ChannelRule()))))
    client, _ = hosts.clients
    with pytest.raises(ChannelFull, match="full"):
        await client.asend("full", {})
    with pytest.raises(ChannelFull):
        await client.asend("full", {}, 0.01)
    hosts.cut()
    for _ in range(2):
        with pytest.raises(LayerUnavailable):
            await client.asend("numbers", {})
    await hosts.end()


async def test_a_direct_send_that_is_withdrawn_does_not_happen(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path, BrokerLimits(rules=(("numbers", ChannelRule(capacity=1)), ("*", ChannelRule()))))
    client, other = hosts.clients
    await client.apublish(number(0))
    sending = asyncio.create_task(client.apublish(number(1), 10))
    await await_until(lambda: hosts.shared.broker.post.crowd > 0, "the send to wait for room")
    sending.cancel()
    await await_until(lambda: hosts.shared.broker.post.crowd == 0, "the send to be taken back")
    assert await numbers(other, 1) == [0]
    await hosts.end()


async def test_a_hub_that_stops_lets_its_effects_go_out_or_tells(
    hosts: Hosts, caplog: pytest.LogCaptureFixture
) -> None:
    client, other = hosts.clients
    await hosts.cut_and_noticed()
    await run(client, number(1))
    await await_until(lambda: hosts.joined.statistics().waiting_bytes > 0, "the effect to wait")
    client.close()
    await asyncio.to_thread(hosts.hubs[0].stop)
    assert "the hub stops, and 1 effects for other hosts are lost with it" in caplog.messages
    await run(other, number(2))
    await hosts.end()
    assert len([line for line in caplog.messages if "effects for other hosts are lost" in line]) == 1
