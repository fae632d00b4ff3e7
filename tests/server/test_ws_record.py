"""What is left of a WebSocket: its last messages, and the news of its end, told once and never dropped."""

import asyncio
import struct

import pytest

from fairway.broker.effects import Abandoned, Refused, SaveState
from fairway.layers.codec import decode_message
from fairway.layers.memory import MemoryLayer
from fairway.limits import DEFAULT_RULES, BrokerLimits, ChannelRule
from fairway.server.fanout import GONE
from fairway.server.ws_record import Record
from tests.server.support import CLOSE, TEXT, await_until, begin, frame, limits, serving, upgrade

pytestmark = pytest.mark.usefixtures("quick", "loop_factory")


def layer_with(*rules, **changes):
    """A layer in which some channels have other rules."""
    return MemoryLayer(BrokerLimits(rules=(*rules, *DEFAULT_RULES), **changes))


@pytest.mark.parametrize("end", ["close", "drop", "eof"])
async def test_the_disconnect_comes_last_and_once(end):
    async with serving() as house:
        peer, connect = await house.open()
        peer.say("0")
        receive = await house.take()
        texts = [str(number) * 400 for number in range(1, 30)]
        # In one write, and so in one read: what the server has not read when a line is cut never came.
        peer.send(b"".join(frame(TEXT, text.encode()) for text in texts) + frame(CLOSE, struct.pack("!H", 4001)))
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
    monkeypatch.setattr("fairway.server.ws_record.RETRY_DISCONNECT", 0.02)
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


async def leave_early(house):
    """A client that goes before its connect is consumed; the connect, and the record."""
    peer = await house.peer(upgrade())
    connect = await house.take("websocket.connect")
    peer.drop()
    await await_until(lambda: not house.server.connections)
    record = house.gateway._streams[connect.reply]
    assert type(record) is Record
    return connect, record


async def test_a_record_takes_nothing_any_more():
    async with serving() as house:
        connect, record = await leave_early(house)
        record.on_frame(b"")
        record.on_event(b"")
        record.on_group(None)
        record.on_credit(5)
        assert record.groups is GONE
        connect.commit()
        (await house.take("websocket.disconnect")).commit()


@pytest.mark.parametrize("kind", [Abandoned, Refused])
async def test_the_end_of_what_nobody_saw_is_told_to_nobody(kind):
    async with serving() as house:
        connect, record = await leave_early(house)
        if kind is Abandoned:
            record.on_abandoned(Abandoned(connect.reply, 0, "expired", 0))
        else:
            record.on_refused(Refused(connect.reply, 0, "websocket.connect", "capacity"))
        assert not len(house.gateway)
        connect.commit()
        assert await house.takes_nothing()


async def test_an_abandoned_message_does_not_keep_the_end_from_being_told():
    async with serving() as house:
        connect, record = await leave_early(house)
        record.on_abandoned(Abandoned(connect.reply, 0, "attempts", 5))
        (await house.take("websocket.disconnect")).commit()
        connect.commit()


async def test_a_message_that_is_refused_does_not_keep_the_end_from_being_told():
    async with serving() as house:
        peer, connect = await house.open()
        peer.say("x")
        receive = await house.take("websocket.receive")
        peer.drop()
        await await_until(lambda: not house.server.connections)
        record = house.gateway._streams[connect.reply]
        record.on_refused(Refused(connect.reply, receive.order, "websocket.receive", "capacity"))
        (await house.take("websocket.disconnect")).commit()
        receive.commit()


async def test_when_the_process_that_reads_it_is_gone_a_record_is_too():
    async with serving() as house:
        connect, record = await leave_early(house)
        record.on_owner_gone()
        record.on_owner_gone()
        assert not len(house.gateway)
        connect.commit()
        (await house.take("websocket.disconnect")).commit()


async def test_a_deadline_before_the_end_is_on_its_way_does_nothing():
    async with serving() as house:
        connect, record = await leave_early(house)
        assert record.on_due(0.0) is None
        connect.commit()
        (await house.take("websocket.disconnect")).commit()
        assert await house.takes_nothing()


async def test_a_process_that_reads_the_connection_gets_all_at_once():
    """It hears of the end though it has not read what came before, and so more than its window is under way."""
    async with serving(limits(websocket={"pinned_window": 2})) as house:
        reader = house.layer.reader(["view.x!"])
        peer, connect = await begin(house)
        connect.commit({"accept": True, "receive_channel": "view.x!1"})
        await peer.head()
        for text in ("1", "2", "3", "4"):
            peer.say(text)
        held = [await reader.areceive(5) for _ in range(2)]
        assert await reader.areceive(0.01) is None
        peer.close(4000)
        held += [await reader.areceive(5) for _ in range(3)]
        assert [decode_message(one.body).get("code") for one in held] == [None] * 4 + [4000]
        for one in held:
            reader.commit(one)
        await await_until(lambda: not house.gateway._streams)


async def test_an_acceptance_that_comes_too_late_names_who_hears_of_the_end():
    async with serving() as house:
        reader = house.layer.reader(["view.x!"])
        peer = await house.peer(upgrade())
        connect = await house.take("websocket.connect")
        peer.drop()
        await await_until(lambda: not house.server.connections)
        connect.commit({"accept": True, "receive_channel": "view.x!1"})
        disconnect = await reader.areceive(5)
        assert decode_message(disconnect.body)["code"] == 1006
        reader.commit(disconnect)
        await await_until(lambda: not house.gateway._streams)
