"""The messages of a WebSocket: the items 3, 6, 7 and 8 of its life."""

import asyncio

import pytest
from websockets.asyncio.client import connect

from fairway.broker.effects import Ending
from fairway.layers.codec import unpack_value
from tests.server.support import BINARY, DEFLATE, TEXT, begin, deflated, frame, limits, request, serving, upgrade

pytestmark = pytest.mark.usefixtures("quick", "loop_factory")


# --- 3: the gate ----------------------------------------------------------------------------------------------------


async def test_one_message_is_in_flight_and_the_order_is_kept():
    async with serving() as house:
        peer, _ = await house.open()
        peer.send(frame(TEXT, b"0"), frame(BINARY, b"1"), frame(TEXT, b"2"))
        for number in range(3):
            receive = await house.take("websocket.receive")
            assert await house.takes_nothing()
            content = receive.message.get("text") or receive.message["bytes"].decode()
            assert (receive.order, receive.message["order"], content) == (number + 1, number + 1, str(number))
            receive.commit()


async def test_consume_later_keeps_the_gate_closed():
    async with serving() as house:
        peer, _ = await house.open()
        peer.say("a")
        peer.say("b")
        (await house.take()).commit(ending=Ending.LATER)
        again = await house.take("websocket.receive")
        assert (again.message["text"], again.delivery.envelope.retries) == ("a", 1)
        again.commit()
        assert (await house.take()).message["text"] == "b"


async def test_compressed_messages_arrive_inflated_and_large_ones_leave_deflated():
    async with serving() as house:
        peer, _ = await house.open(DEFLATE)
        peer.send(frame(TEXT, deflated(b"x" * 5000), rsv=0x40))
        receive = (await house.take()).commit({"text": "small"}, {"text": "y" * 5000})
        assert receive.message["text"] == "x" * 5000
        assert await peer.text() == "small"
        first, payload = await peer.frame()
        assert first == 0xC1
        assert len(payload) < 100


# --- 6, 7: events and state -------------------------------------------------------------------------------------------


async def test_an_event_goes_through_the_gate():
    async with serving() as house:
        peer, connect = await house.open()
        house.layer.group_add("g", connect.reply)
        await house.settle()
        peer.say("first")
        receive = await house.take("websocket.receive")
        house.layer.send_group("g", {"type": "room.event", "n": [1]})
        assert await house.takes_nothing()
        receive.commit()
        event = (await house.take("websocket.event")).commit()
        assert event.message["event"] == {"type": "room.event", "n": [1]}
        assert (event.order, event.message["path"], event.message["reply_channel"]) == (2, "/", connect.reply)


async def test_too_many_waiting_events_close_with_1013():
    async with serving(limits(websocket={"events": 3})) as house:
        peer, connect = await house.open()
        house.layer.group_add("g", connect.reply)
        for _ in range(5):  # one is in flight, three wait
            house.layer.send_group("g", {"type": "room.event"})
        assert await peer.closed() == 1013


async def test_state_merges_by_key_and_comes_with_each_message():
    async with serving() as house:
        peer, connect = await begin(house)
        connect.commit({"accept": True}, effects=[connect.save(a=1, b=[2])])
        await peer.head()
        peer.say("x")
        receive = await house.take()
        assert {key: unpack_value(value) for key, value in receive.delivery.envelope.state.items()} == {
            "a": 1,
            "b": [2],
        }
        receive.commit(effects=[receive.save(a=None, c="3")])
        assert (await house.layer.astate(connect.reply)).keys() == {"b", "c"}
        peer.close()
        disconnect = await house.take("websocket.disconnect")
        assert disconnect.delivery.envelope.state.keys() == {"b", "c"}


# --- 8: pinned connections --------------------------------------------------------------------------------------------


async def test_a_pinned_connection_goes_to_its_process_with_a_wider_window():
    async with serving(limits(websocket={"pinned_window": 3})) as house:
        view = house.layer.reader(["view.v1!"])
        peer, connect = await begin(house)
        connect.commit({"accept": True, "receive_channel": "view.v1!c"})
        await peer.head()
        for number in range(5):
            peer.say(str(number))
        taken = [await view.areceive(1) for _ in range(3)]
        assert [delivery.envelope.order for delivery in taken] == [1, 2, 3]
        assert await view.areceive(0.05) is None
        view.commit(taken[0])
        assert (await view.areceive(1)).envelope.order == 4


async def test_a_process_pins_a_connection_that_a_frame_has_accepted():
    async with serving() as house:
        view = house.layer.reader(["view.v1!"])
        peer, connect = await begin(house)
        house.layer.send(connect.reply, {"text": "from elsewhere"})
        assert (await peer.head()).status == 101
        assert await peer.text() == "from elsewhere"
        peer.say("1")
        peer.say("2")
        connect.commit({"accept": True, "receive_channel": "view.v1!c"})
        assert [(await view.areceive(5)).envelope.order for _ in range(2)] == [1, 2]
        peer.close()
        assert (await view.areceive(5)).envelope.order == 3  # the news of its end


async def test_a_process_that_pins_a_connection_too_late_hears_of_its_end():
    async with serving() as house:
        view = house.layer.reader(["view.v1!"])
        peer, connect = await begin(house)
        house.layer.send(connect.reply, {"text": "bye", "close": 4000})
        assert (await peer.head()).status == 101
        assert await peer.closed() == 4000
        connect.commit({"accept": True, "receive_channel": "view.v1!c"})
        await house.settle()
        peer.close()
        assert (await view.areceive(5)).envelope.channel == "view.v1!c"


async def test_what_is_in_flight_is_done_before_the_process_that_pins_its_connection_gets_more():
    async with serving() as house:
        view = house.layer.reader(["view.v1!"])
        peer, connect = await house.open()
        for number in range(1, 4):
            peer.say(str(number))
        receive = await house.take("websocket.receive")
        house.layer.send(connect.reply, {"receive_channel": "view.v1!c"})
        assert await view.areceive(0.05) is None
        receive.commit()
        assert [(await view.areceive(5)).envelope.order for _ in range(2)] == [2, 3]


async def test_an_idle_connection_is_pinned_at_once_and_only_once():
    async with serving() as house:
        view = house.layer.reader(["view.v1!"])
        peer, connect = await house.open()
        house.layer.send(connect.reply, {"receive_channel": "view.v1!c", "text": "pinned"})
        house.layer.send(connect.reply, {"receive_channel": "view.v2!c", "text": "still"})
        assert [await peer.text() for _ in range(2)] == ["pinned", "still"]
        peer.say("1")
        peer.say("2")
        assert [(await view.areceive(5)).envelope.order for _ in range(2)] == [1, 2]


@pytest.mark.parametrize("busy", [False, True])
async def test_when_its_process_dies_a_pinned_connection_closes_with_1012(busy, caplog):
    async with serving() as house:
        view = house.layer.reader(["view.v1!"])
        peer, connect = await begin(house)
        connect.commit({"accept": True, "receive_channel": "view.v1!c"})
        await peer.head()
        if busy:
            peer.say("under way")
            await view.areceive(1)
        view.close()
        assert await peer.closed() == 1012
        peer.close(1012)
        assert await peer.is_closed()


async def test_a_socket_that_was_refused_late_closes():
    async with serving() as house:
        peer, connect = await house.open()
        house.layer.send(connect.reply, {"reject": {"status": 500}})
        assert await peer.closed() == 1011


async def test_a_request_before_the_upgrade_is_answered_first():
    async with serving() as house:
        peer = await house.peer(request(), upgrade())
        (await house.take("http.request")).commit({"status": 200, "content": b"ok"})
        assert (await peer.response()).body == b"ok"
        (await house.take("websocket.connect")).commit({"accept": True})
        assert (await peer.head()).status == 101
        await asyncio.sleep(0)


async def test_a_client_of_good_behaviour():
    """The library most Python programs use, with its compression, its pings and its closing handshake."""
    async with serving() as house:

        def act(work):
            if work.channel == "websocket.receive":
                work.commit({key: work.message[key] for key in ("text", "bytes") if key in work.message})
            else:
                work.commit({"accept": True})

        house.work(act)
        async with connect(f"ws://127.0.0.1:{house.port}/", proxy=None) as client:
            for message in ("hello", "x" * 100_000, b"bytes", b"\0" * 100_000, ["in", "frag", "ments"]):
                await client.send(message)
                assert await client.recv() == ("".join(message) if isinstance(message, list) else message)
            await (await client.ping())
            assert "permessage-deflate" in client.response.headers["Sec-WebSocket-Extensions"]
        assert client.close_code == 1000


async def test_what_is_unread_of_a_pinned_connection_holds_no_group_back():
    async with serving() as house:
        reader = house.layer.reader(["view.x!"])
        peer, connect = await begin(house)
        connect.commit({"accept": True, "receive_channel": "view.x!1"})
        await peer.head()
        peer.say("unread")
        assert await reader.areceive(5)
        house.layer.group_add("g", connect.reply)
        house.layer.send_group("g", {"text": "now"})
        assert await peer.text() == "now"


async def test_a_pinned_connection_leaves_word_of_who_reads_it(monkeypatch):
    """If this server dies, whoever hears of it knows from the state."""
    async with serving() as house:
        filed = []
        monkeypatch.setattr(house.gateway.inbox, "will", lambda *will: filed.append(will))
        reader = house.layer.reader(["view.x!"])
        peer, connect = await begin(house)
        connect.commit({"accept": True, "receive_channel": "view.x!1"}, effects=[connect.save(view="view.x!1")])
        await peer.head()
        channel, _, order, state = filed[-1]
        assert (channel, order, unpack_value(state["view"])) == (connect.reply, 0, "view.x!1")
        reader.close()
