"""How a WebSocket ends: slow and dead peers, every time limit and every refusal."""

import asyncio

import pytest

from fairway.layers.memory import MemoryLayer
from fairway.limits import DEFAULT_RULES, UNLIMITED, BrokerLimits, ChannelRule
from tests.server.support import PING, PONG, TEXT, await_until, frame, limits, serving, upgrade

pytestmark = pytest.mark.usefixtures("quick", "loop_factory")


def layer_with(*rules, **changes):
    """A layer in which some channels have other rules."""
    return MemoryLayer(BrokerLimits(rules=(*rules, *DEFAULT_RULES), **changes))


async def let_die(house):
    """Take the next delivery, and lose its worker."""
    work = await house.take()
    house.reader.close()
    house.reader = house.layer.reader(["websocket.connect", "websocket.receive", "websocket.disconnect"])
    return work


def flood(house, connect):
    """Send a socket 10 MB through a group, which waits for nobody."""
    house.layer.group_add("flood", connect.reply)
    for _ in range(100):
        house.layer.send_group("flood", {"bytes": b"x" * 100_000})


# --- 10: slow readers -------------------------------------------------------------------------------------------------


async def test_more_than_the_limit_unsent_closes_with_1013():
    async with serving(limits(websocket={"unsent": 100_000, "close_timeout": 0.1})) as house:
        _, connect = await house.open(rcvbuf=4096, limit=2048)
        house.layer.group_add("g", connect.reply)
        await house.settle()
        stream = house.gateway._streams[connect.reply]
        for _ in range(300):
            house.layer.send_group("g", {"text": "x" * 50_000})
            await asyncio.sleep(0)
            assert stream._port.unsent() <= 100_000 + 60_000
        await house.settle()
        assert not len(house.gateway.fanout)
        disconnect = await house.take("websocket.disconnect")
        assert disconnect.message["code"] == 1013


async def test_a_client_that_takes_nothing_for_too_long_is_closed_with_1013():
    quick = {"stall": 0.2, "high_water": 1000, "unsent": 100_000_000, "close_timeout": 0.05}
    async with serving(limits(websocket=quick)) as house:
        _, connect = await house.open(rcvbuf=4096, limit=2048)
        flood(house, connect)
        disconnect = await house.take("websocket.disconnect")
        assert disconnect.message["code"] == 1013


async def test_a_client_that_reads_slowly_but_reads_stays():
    quick = {"stall": 0.4, "high_water": 1000, "unsent": 100_000_000}
    async with serving(limits(websocket=quick)) as house:
        peer, connect = await house.open(rcvbuf=4096, limit=2048)
        flood(house, connect)
        stream = house.gateway._streams[connect.reply]
        await await_until(lambda: stream._pulse.is_stalled)
        for _ in range(20):
            await asyncio.sleep(0.03)
            await peer.read(400_000)
            assert stream._phase.name == "OPEN"


# --- who fails --------------------------------------------------------------------------------------------------------


async def test_an_abandoned_connect_is_500_and_its_disconnect_is_told(caplog):
    async with serving(layer=layer_with(("websocket.connect", ChannelRule(attempts=1)))) as house:
        peer = await house.peer(upgrade())
        await let_die(house)
        assert (await peer.response()).status == 500
        assert (await house.take("websocket.disconnect")).order == 1


async def test_an_abandoned_message_closes_with_1011_and_the_next_are_told(caplog):
    async with serving(layer=layer_with(("websocket.receive", ChannelRule(attempts=1)))) as house:
        peer, _ = await house.open()
        peer.say("poison")
        peer.say("next")
        assert (await let_die(house)).message["text"] == "poison"
        assert await peer.closed() == 1011
        assert (await house.take("websocket.receive")).commit().message["text"] == "next"
        peer.close(1011)
        assert (await house.take("websocket.disconnect")).message["code"] == 1011


async def test_a_worker_that_dies_is_nothing_a_client_sees():
    async with serving() as house:
        peer, _ = await house.open()
        peer.say("x")
        await let_die(house)
        again = await house.take("websocket.receive")
        assert again.delivery.envelope.attempt == 2
        again.commit({"text": "fine"})
        assert await peer.text() == "fine"


async def test_a_connect_that_finds_no_room_is_503_and_leaves_no_record():
    async with serving(layer=layer_with(("websocket.connect", ChannelRule(capacity=1)))) as house:
        house.reader.close()
        await house.peer(upgrade())
        peer = await house.peer(upgrade())
        answer = await peer.response()
        assert (answer.status, answer.header("retry-after")) == (503, "5")
        assert len(house.gateway) == 1


async def test_a_message_that_finds_no_room_closes_with_1013():
    async with serving(layer=layer_with(("websocket.receive", ChannelRule(capacity=0)))) as house:
        peer, _ = await house.open()
        peer.say("x")
        assert await peer.closed() == 1013
        peer.close(1013)
        assert (await house.take("websocket.disconnect")).message["code"] == 1013


async def test_an_unanswered_handshake_is_504_and_its_disconnect_is_told():
    async with serving(limits(websocket={"connect_timeout": 0.05})) as house:
        peer = await house.peer(upgrade())
        connect = await house.take("websocket.connect")
        assert (await peer.response()).status == 504
        connect.commit({"accept": True})
        assert (await house.take("websocket.disconnect")).order == 1


@pytest.mark.parametrize("patient", [False, True])
async def test_a_handshake_that_no_worker_sees_is_504_without_a_disconnect(patient):
    """Whoever stands at the door first: nobody was told of the connection, so nobody is told of its end."""
    layer = layer_with(("websocket.connect", ChannelRule(expiry=0.1)))
    async with serving(limits(websocket={"connect_timeout": 5 if patient else 0.02}), layer=layer) as house:
        house.reader.close()
        peer = await house.peer(upgrade())
        assert (await peer.response()).status == 504
        await await_until(lambda: not len(house.gateway))
        assert "websocket.disconnect" not in layer.statistics().channels


# --- times ------------------------------------------------------------------------------------------------------------


async def test_an_idle_socket_is_pinged_and_lives_on_its_pongs():
    async with serving(limits(websocket={"ping_interval": 0.05, "ping_timeout": 0.1})) as house:
        peer, _ = await house.open()
        for _ in range(4):
            assert await peer.frame() == (0x80 | PING, b"")
            peer.send(frame(PONG))


async def test_a_dead_peer_is_given_up():
    async with serving(limits(websocket={"ping_interval": 0.05, "ping_timeout": 0.05})) as house:
        peer, _ = await house.open()
        assert await peer.is_closed()
        assert (await house.take("websocket.disconnect")).message["code"] == 1006


async def test_the_longest_life_of_a_socket():
    async with serving(limits(websocket={"lifetime": 0.1})) as house:
        peer, _ = await house.open()
        assert await peer.closed() == 1001


async def test_no_pings_but_the_other_times_still_run():
    async with serving(limits(websocket={"lifetime": 0.1, "ping_interval": UNLIMITED})) as house:
        peer, _ = await house.open()
        assert await peer.closed() == 1001


async def test_everything_may_be_unlimited():
    """-1 means unlimited everywhere: none of it may be taken for a time that is long over."""
    names = ("ping_interval", "ping_timeout", "lifetime", "message_time", "stall", "connect_timeout", "close_timeout")
    endless = dict.fromkeys(names, UNLIMITED)
    async with serving(limits(websocket={**endless, "high_water": 1000, "unsent": 100_000_000})) as house:
        peer, connect = await house.open(rcvbuf=4096, limit=2048)
        flood(house, connect)
        peer.send(frame(TEXT, b"part", fin=False))
        await asyncio.sleep(0.1)
        assert not len(house.gateway.deadlines)
        assert house.gateway._streams[connect.reply]._phase.name == "OPEN"


async def test_a_ping_that_may_wait_for_ever_is_not_the_last_look():
    unlimited = {"ping_interval": 0.02, "ping_timeout": UNLIMITED, "lifetime": 0.2}
    async with serving(limits(websocket=unlimited)) as house:
        peer, _ = await house.open()
        assert await peer.closed() == 1001


async def test_a_peer_that_leaves_our_close_unanswered_is_cut():
    async with serving(limits(websocket={"close_timeout": 0.05})) as house:
        peer, connect = await house.open()
        house.layer.send(connect.reply, {"close": 4000})
        assert await peer.closed() == 4000
        assert await peer.is_closed()
        assert (await house.take("websocket.disconnect")).message["code"] == 4000


async def test_a_close_of_ours_reaches_a_client_that_is_far_ahead():
    """Reading was paused; for the client's close frame it goes on, and what came before is dropped."""
    async with serving(limits(websocket={"close_timeout": 60})) as house:
        peer, connect = await house.open()
        for number in range(40):
            peer.say(str(number))
        stream = house.gateway._streams[connect.reply]
        await await_until(lambda: stream._port.reading_paused)
        house.layer.send(connect.reply, {"close": 4000})
        assert await peer.closed() == 4000
        for _ in range(300):
            peer.say("x" * 50_000)
        peer.close(4000)
        assert await peer.is_closed()
        await await_until(lambda: not house.server.connections, deadline=2)


async def test_the_rate_of_messages_is_limited():
    async with serving(limits(rates={"messages": 0.001, "messages_burst": 3})) as house:
        peer, _ = await house.open()
        for number in range(4):
            peer.say(str(number))
        assert await peer.closed() == 1008
        peer.close()
        for _ in range(3):
            (await house.take("websocket.receive")).commit()
        assert (await house.take("websocket.disconnect")).message["code"] == 1008


async def test_a_control_frame_that_came_in_two_pieces_is_not_held_against_its_client():
    async with serving(limits(websocket={"message_time": 0.05})) as house:
        peer, connect = await house.open()
        pong = frame(PONG, b"hello")
        peer.send(pong[:3])
        stream = house.gateway._streams[connect.reply]
        await await_until(lambda: stream._pulse.unfinished_since)
        peer.send(pong[3:])
        await await_until(lambda: not stream._pulse.unfinished_since)
