"""How a WebSocket ends: read-ahead, the disconnect, slow and dead peers, every time limit and every refusal."""

import asyncio

import pytest

from fairway.broker.effects import SaveState
from fairway.layers.memory import MemoryLayer
from fairway.limits import DEFAULT_RULES, UNLIMITED, BrokerLimits, ChannelRule
from tests.server.support import CLOSE, PING, PONG, TEXT, await_until, frame, limits, serving, upgrade

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


# --- 3: read-ahead and back-pressure ----------------------------------------------------------------------------------


async def test_beyond_the_read_ahead_the_socket_is_read_no_further():
    async with serving() as house:
        peer, connect = await house.open()
        peer.say("under way")
        held = await house.take()
        stream = house.gateway._streams[connect.reply]
        for number in range(16):
            peer.say(str(number))
        await await_until(lambda: stream._port.reading_paused)
        assert len(stream._gate) == 16
        piece = frame(TEXT, b"x" * 50_000)
        for _ in range(400):
            peer.send(piece)
        await house.settle()
        # what TCP did not take waits at the client, and the server holds no more than one read
        assert peer.writer.transport.get_write_buffer_size() > 1_000_000
        assert len(stream._intake._unread) <= 300_000
        held.commit()
        for number in range(416):
            receive = (await house.take("websocket.receive")).commit()
            assert receive.order == number + 2
        await await_until(lambda: not stream._port.reading_paused)


async def test_bytes_count_for_the_read_ahead_too():
    async with serving(limits(websocket={"read_ahead_bytes": 1000})) as house:
        peer, connect = await house.open()
        stream = house.gateway._streams[connect.reply]
        peer.say("under way")
        peer.say("x" * 1000)
        await await_until(lambda: stream._port.reading_paused)
        assert len(stream._gate) == 1


async def test_control_frames_are_answered_while_messages_wait():
    async with serving() as house:
        peer, _ = await house.open()
        for number in range(10):
            peer.say(str(number))
        peer.send(frame(PING, b"are you there?"))
        assert await peer.frame() == (0x80 | PONG, b"are you there?")


async def test_the_ping_clock_stops_while_the_socket_is_not_read():
    async with serving(limits(websocket={"ping_interval": 0.05, "ping_timeout": 0.05})) as house:
        peer, connect = await house.open()
        for number in range(17):
            peer.say(str(number))
        stream = house.gateway._streams[connect.reply]
        await await_until(lambda: stream._port.reading_paused)
        peer.reader._buffer.clear()
        await asyncio.sleep(0.3)
        house.work(lambda work: work.commit({"text": "done"}))
        assert await peer.text() == "done"


# --- 9: the disconnect ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["close", "drop", "eof"])
async def test_the_disconnect_comes_last_and_once(end):
    async with serving() as house:
        peer, connect = await house.open()
        peer.say("0")
        receive = await house.take()
        texts = [str(number) * 400 for number in range(1, 30)]
        for text in texts:
            peer.say(text)
        peer.close(4001)
        if end == "drop":
            await await_until(lambda: house.gateway._streams[connect.reply]._intake._unread)
            house.server._roster.connections.copy().pop().abort()
        elif end == "eof":
            peer.writer.write_eof()
        await house.settle()
        receive.commit()
        for text in texts:
            assert (await house.take("websocket.receive")).commit().message["text"] == text
        disconnect = (await house.take("websocket.disconnect")).commit()
        assert (disconnect.order, disconnect.message["code"]) == (31, 4001)
        assert await house.takes_nothing()


@pytest.mark.parametrize(("end", "code"), [("close", 1000), ("bare", 1005), ("drop", 1006)])
async def test_the_code_is_what_the_server_saw(end, code):
    async with serving() as house:
        peer, _ = await house.open()
        if end == "drop":
            peer.drop()
        else:
            peer.close() if end == "close" else peer.send(frame(CLOSE))
            assert await peer.closed() == code
            assert await peer.is_closed()
        assert (await house.take("websocket.disconnect")).message["code"] == code


async def test_a_client_that_leaves_during_the_handshake():
    async with serving() as house:
        peer = await house.peer(upgrade())
        connect = await house.take("websocket.connect")
        peer.drop()
        await await_until(lambda: not house.server.connections)
        house.layer.group_add("g", connect.reply)
        connect.commit({"accept": True, "text": "too late"})
        disconnect = await house.take("websocket.disconnect")
        assert (disconnect.order, disconnect.message["code"]) == (1, 1006)
        assert house.layer.group_channels is not None
        assert not len(house.gateway.fanout)


async def test_a_disconnect_that_finds_no_room_is_held_back(monkeypatch):
    monkeypatch.setattr("fairway.server.ws_stream.RETRY_DISCONNECT", 0.02)
    layer = layer_with(("websocket.disconnect", ChannelRule(capacity=1)))
    async with serving(layer=layer) as house:
        house.reader.close()
        house.reader = layer.reader(["websocket.connect"])
        peers = [(await house.open())[0] for _ in range(3)]
        for peer in peers:
            peer.close()
            assert await peer.is_closed()
        assert layer.statistics().channels["websocket.disconnect"].waiting == 1
        house.reader = layer.reader(["websocket.disconnect"])
        replies = {(await house.take()).commit().reply for _ in range(3)}
        assert len(replies) == 3
        assert await house.takes_nothing()


async def test_a_slow_consumer_of_the_disconnect_gets_it_once():
    """Deadlines of the open socket, pings say, must not touch its record."""
    async with serving(limits(websocket={"ping_interval": 0.05})) as house:
        peer, _ = await house.open()
        peer.close()
        disconnect = await house.take("websocket.disconnect")
        await asyncio.sleep(0.15)
        assert await house.takes_nothing()
        disconnect.commit()


async def test_memberships_go_at_once_and_the_state_stays():
    async with serving() as house:
        peer, connect = await house.open()
        house.layer.group_add("g", connect.reply)
        peer.say("x")
        receive = await house.take()
        house.layer.publish(SaveState(connect.reply, {"a": b"\x01"}))
        peer.close()
        assert await peer.is_closed()
        assert await house.layer.agroup_channels("g") == []
        receive.commit({"text": "discarded"})
        assert (await house.take("websocket.disconnect")).delivery.envelope.state == {"a": b"\x01"}


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
    quick = {"stall": 0.15, "high_water": 1000, "unsent": 100_000_000}
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
