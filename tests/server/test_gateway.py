"""The gateway: items find their connection, questions are answered, and trouble stays where it is."""

import asyncio
import gc

import pytest

from fairway.broker.effects import Abandoned, Add, Credit, Discard, Done, Frame, OwnerGone, Refused, State
from fairway.layers.codec import encode_message
from fairway.layers.memory import MemoryLayer
from fairway.server import Server, ServerConfig
from fairway.server.connection import Connection
from fairway.server.gateway import NO_STATE, Gateway
from fairway.server.http_stream import HttpStream
from fairway.server.ws_stream import WebSocketStream
from tests.server.support import await_until, limits, request, serving, upgrade

pytestmark = pytest.mark.usefixtures("quick", "loop_factory")


async def test_every_connection_has_a_reply_channel_of_its_own():
    async with serving() as house:
        replies = [(await house.open())[1].reply for _ in range(3)]
        await house.peer(request())
        http = (await house.take("http.request")).reply
        assert len({*replies, http}) == 4
        assert {reply.split("!")[0] for reply in replies} == {house.gateway._socket_prefix[:-1]}
        assert http.startswith("http.response.")


async def test_items_for_a_connection_that_is_gone_are_dropped():
    async with serving() as house:
        gone = f"{house.gateway._socket_prefix}ffff"
        items = [
            Frame(gone, encode_message({"text": "x"})),
            Done(gone, 0),
            Add("g", gone, 1),
            Discard("g", gone),
            State(gone, {"a": b"1"}),
            Abandoned(gone, 0, "attempts", 5),
            Refused(gone, 0, "websocket.connect", "capacity"),
            Credit(gone, 5),
            OwnerGone("view.x!"),
        ]
        for item in items:
            house.gateway._actions[type(item)](item)
        assert not len(house.gateway)


async def test_what_fails_for_one_connection_harms_no_other(caplog, monkeypatch):
    async with serving() as house:
        (_, broken), (good, works) = await house.open(), await house.open()
        stream = house.gateway._streams[broken.reply]

        def fail(self, body, on_frame=WebSocketStream.on_frame):
            if self is stream:
                raise ValueError("broken")
            on_frame(self, body)

        monkeypatch.setattr(WebSocketStream, "on_frame", fail)
        house.layer.send(broken.reply, {"text": "x"})
        house.layer.send(works.reply, {"text": "fine"})
        assert await good.text() == "fine"
        assert broken.reply in caplog.text


async def test_a_message_that_is_none_is_logged_and_dropped(caplog):
    async with serving() as house:
        peer, connect = await house.open()
        house.layer.send(connect.reply, {"text": 5})
        house.layer.send(connect.reply, {"text": "fine"})
        assert await peer.text() == "fine"
        assert "was dropped" in caplog.text


async def test_a_state_is_never_changed_in_place():
    async with serving() as house:
        _, connect = await house.open()
        stream = house.gateway._streams[connect.reply]
        before = stream.state
        assert before is NO_STATE
        house.gateway._state(State(connect.reply, {"a": b"1"}))
        assert (stream.state, before) == ({"a": b"1"}, {})
        house.gateway._state(State(connect.reply, {"a": None}))
        assert stream.state is NO_STATE


async def test_questions_are_answered():
    async with serving() as house:
        _, connect = await house.open()
        await house.layer.agroup_add("g", connect.reply)
        assert await house.layer.agroup_channels("g") == [connect.reply]
        assert await house.layer.agroup_channels("nobody") == []
        house.gateway._state(State(connect.reply, {"a": b"1"}))
        assert await house.layer.astate(connect.reply) == {"a": b"1"}
        assert await house.layer.astate(connect.reply + "f") == {}


async def test_an_item_that_comes_after_the_loop_is_closed_is_nothing(loop_factory):
    layer = MemoryLayer()
    loop = loop_factory()
    gateway = Gateway(layer, ServerConfig(), loop)
    loop.close()
    layer.send(f"{gateway._socket_prefix}1", {"text": "late"})
    layer.close()


async def test_two_servers_of_one_layer_share_its_groups():
    async with serving() as house:
        other = Server(ServerConfig(binds=["127.0.0.1:0"], limits=limits()), house.layer)
        async with other:
            here, first = await house.open()
            port, house.server = house.server, other
            there, second = await house.open()
            house.server = port
            for connect in (first, second):
                house.layer.group_add("g", connect.reply)
            house.layer.send_group("g", {"text": "both"})
            assert [await here.text(), await there.text()] == ["both", "both"]
            assert sorted(await house.layer.agroup_channels("g")) == sorted([first.reply, second.reply])
            there.writer.transport.abort()
            (await house.take("websocket.disconnect")).commit()


async def test_a_forgotten_connection_leaves_no_trace():
    """Connections of all kinds come and go; then nothing of them is in the server, the layer, or memory."""
    async with serving(limits(websocket={"ping_interval": 0.05})) as house:

        def act(work):
            path = work.message["path"]
            if work.channel == "websocket.connect" and path != "/rejected":
                house.layer.group_add("room", work.reply)
                work.commit({"accept": True, "text": "hello"}, effects=[work.save(a=1)])
            elif work.channel == "websocket.connect":
                work.commit({"accept": False})
            elif work.channel == "http.request":
                house.layer.group_add("stream", work.reply)
                work.commit({"status": 200, "content": b"x", "more_content": path == "/stream"})
            else:
                work.commit({"text": "echo"})

        house.work(act)
        for _ in range(8):
            socket, rejected = await house.peer(upgrade()), await house.peer(upgrade().replace(b" / ", b" /rejected "))
            page, stream = await house.peer(request()), await house.peer(request(target="/stream"))
            broken, half = await house.peer(b"NONSENSE\r\n\r\n"), await house.peer(b"GET / HT")
            body = await house.peer(request("Content-Length: 10", method="POST"), b"12")
            await socket.head()
            socket.say("x")
            house.layer.send_group("room", {"text": "x", "type": "room.event"})
            assert (await rejected.response()).status == 403
            assert (await page.response()).status == 200
            assert (await stream.head()).status == 200
            assert (await broken.response()).status == 400
            socket.close()
            assert await socket.is_closed()
            for peer in (socket, rejected, page, stream, broken, half, body):
                peer.drop()
        await await_until(lambda: not house.server.connections)
        await await_until(lambda: not len(house.gateway))
        house.assert_no_trace()
        await house.settle()
        gc.collect()
        kinds = (Connection, HttpStream, WebSocketStream)
        # `isinstance` would wake Django's lazy objects, of which other tests may have left some.
        left = [type(thing).__name__ for thing in gc.get_objects() if issubclass(type(thing), kinds)]
        assert not left
        assert not house.gateway.fanout._members


async def test_a_layer_that_closes_first_is_an_error_in_the_log_and_no_more(caplog):
    async with serving(clean=False) as house:
        peer, _ = await house.open()
        house.layer.close()
        peer.say("x")
        await house.settle()
        assert await peer.closed() == 1013
        assert (await (await house.peer(request())).response()).status == 503
        assert (await (await house.peer(upgrade())).response()).status == 503
        peer.drop()
        await await_until(lambda: not house.server.connections)


async def test_an_item_from_another_thread_wakes_the_loop():
    async with serving() as house:
        peer, connect = await house.open()
        await asyncio.to_thread(house.layer.send, connect.reply, {"text": "x"})
        assert await peer.text() == "x"


async def test_an_idle_connection_keeps_no_message():
    async with serving() as house:
        peer, connect = await house.open()
        peer.say("1")
        work = await house.take("websocket.receive")
        assert [envelope.order for envelope, _ in house.underway(connect.reply)] == [1]
        work.commit({"text": "x"})
        await peer.text()
        await await_until(lambda: house.gateway._underway == {}, "nothing to be under way")
