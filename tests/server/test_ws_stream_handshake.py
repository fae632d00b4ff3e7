"""The handshake of a WebSocket, until its connect is done: the items 1 and 2 of its life."""

import pytest

from tests.server.support import PING, PONG, TEXT, await_until, begin, frame, limits, serving, upgrade

pytestmark = pytest.mark.usefixtures("quick", "loop_factory")


# --- 1: the handshake is left open ----------------------------------------------------------------------------------


async def test_connect_tells_what_the_request_told():
    async with serving(root_path="/mount") as house:
        head = upgrade("Cookie: a=b", "Sec-WebSocket-Protocol: chat, v2").replace(b"GET / ", b"GET /caf%C3%A9/?x=%20 ")
        await house.peer(head)
        connect = await house.take("websocket.connect")
        message = connect.message
        assert message["path"] == "/café/"
        assert message["query_string"] == b"x=%20"
        assert message["order"] == 0
        assert message["scheme"] == "ws"
        assert message["http_version"] == "1.1"
        assert message["subprotocols"] == ["chat", "v2"]
        assert message["root_path"] == "/mount"
        assert [b"cookie", b"a=b"] in message["headers"]
        assert message["client"][0] == "127.0.0.1"
        assert message["server"] == ["127.0.0.1", house.port]
        assert message["reply_channel"] == connect.reply
        assert connect.reply.startswith("websocket.send.")


async def test_the_handshake_stays_open_until_the_consumer_decides():
    async with serving() as house:
        peer, connect = await begin(house)
        await house.settle()
        assert not peer.reader._buffer
        connect.commit({"accept": True})
        assert (await peer.head()).status == 101


# --- 2: what decides ------------------------------------------------------------------------------------------------


async def test_accept_with_subprotocol_and_headers():
    async with serving() as house:
        peer, connect = await begin(house, "Sec-WebSocket-Protocol: a, b")
        connect.commit({"accept": True, "subprotocol": "b", "headers": [[b"x-mine", b"1"]]})
        answer = await peer.head()
        assert answer.status == 101
        assert answer.header("sec-websocket-protocol") == "b"
        assert answer.header("x-mine") == "1"
        assert answer.header("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("answer", [{"subprotocol": "unoffered"}, {"headers": [[b"x", b"a\r\nset-cookie: b"]]}])
async def test_an_acceptance_that_cannot_be_sent_is_500(answer, caplog):
    async with serving() as house:
        peer, connect = await begin(house)
        connect.commit({"accept": True, **answer})
        response = await peer.response()
        assert response.status == 500
        assert response.header("set-cookie") is None
        assert await peer.is_closed()
        assert "was refused" in caplog.text


@pytest.mark.parametrize(("answer", "first"), [({"text": "hi"}, 0x81), ({"bytes": b"hi"}, 0x82)])
async def test_a_frame_accepts(answer, first):
    async with serving() as house:
        peer, connect = await begin(house)
        connect.commit(answer)
        assert (await peer.head()).status == 101
        assert await peer.frame() == (first, b"hi")


@pytest.mark.parametrize("answer", [{"text": ""}, {"bytes": b""}, {"close": False}])
async def test_an_empty_text_decides_nothing(answer):
    async with serving() as house:
        peer, connect = await begin(house)
        connect.say(answer)
        await house.settle()
        assert not peer.reader._buffer
        connect.commit({"accept": True})
        assert (await peer.head()).status == 101


async def test_an_empty_text_on_an_open_socket_is_a_frame():
    async with serving() as house:
        _, connect = opened = await house.open()
        house.layer.send(connect.reply, {"text": ""})
        assert await opened[0].frame() == (0x81, b"")


@pytest.mark.parametrize(
    "answer", [{"accept": False}, {"accept": False, "text": "x"}, {"close": True}, {"close": 4001}]
)
async def test_a_refusal_is_403(answer):
    async with serving() as house:
        peer, connect = await begin(house)
        connect.commit(answer)
        assert (await peer.response()).status == 403
        assert await peer.is_closed()


async def test_a_rejection_has_the_status_headers_and_content_of_the_application():
    async with serving() as house:
        peer, connect = await begin(house)
        headers = [[b"Location", b"/login"], [b"Content-Type", b"text/html"], [b"Connection", b"keep-alive"]]
        connect.commit({"reject": {"status": 302, "headers": headers, "content": b"\xff<p>"}})
        answer = await peer.response()
        assert (answer.status, answer.body) == (302, b"\xff<p>")
        assert answer.header("location") == "/login"
        assert answer.header("content-type") == "text/html"
        assert answer.header("connection") == "close"
        disconnect = await house.take("websocket.disconnect")
        assert (disconnect.order, disconnect.message["code"]) == (1, 1006)


async def test_a_rejection_with_a_smuggled_header_is_500(caplog):
    async with serving() as house:
        peer, connect = await begin(house)
        connect.commit({"reject": {"status": 403, "headers": [[b"x", b"1\r\nset-cookie: a=b"]]}})
        answer = await peer.response()
        assert (answer.status, answer.header("set-cookie")) == (500, None)
        assert "cannot be sent" in caplog.text


async def test_accept_with_text_and_close():
    async with serving() as house:
        peer, connect = await begin(house)
        connect.commit({"accept": True, "text": "bye", "close": 4000, "reason": "enough"})
        assert (await peer.head()).status == 101
        assert await peer.text() == "bye"
        assert await peer.frame() == (0x88, (4000).to_bytes(2, "big") + b"enough")


async def test_text_and_close_accept_send_and_close():
    async with serving() as house:
        peer, connect = await begin(house)
        connect.commit({"text": "bye", "close": True})
        assert (await peer.head()).status == 101
        assert await peer.text() == "bye"
        assert await peer.closed() == 1000


async def test_a_close_code_that_may_not_travel_leaves_the_socket_as_it_is(caplog):
    async with serving() as house:
        peer, connect = await house.open()
        house.layer.send(connect.reply, {"close": 1006})
        house.layer.send(connect.reply, {"text": "still here"})
        assert await peer.text() == "still here"
        assert "failed" in caplog.text


# --- 2: group frames are held until the connect is done ---------------------------------------------------------------


async def test_own_frames_come_before_those_of_groups():
    async with serving() as house:
        peer, connect = await begin(house)
        house.layer.group_add("g", connect.reply)
        house.layer.send_group("g", {"text": "group 1"})
        connect.say({"accept": True})
        assert (await peer.head()).status == 101
        house.layer.send_group("g", {"text": "group 2"})
        connect.commit({"text": "own"})
        assert [await peer.text() for _ in range(3)] == ["own", "group 1", "group 2"]


async def test_a_held_frame_accepts_when_the_consumer_left_it_undecided():
    async with serving() as house:
        peer, connect = await begin(house)
        house.layer.group_add("g", connect.reply)
        house.layer.send_group("g", {"text": "held"})
        await house.settle()
        assert not peer.reader._buffer
        connect.commit()
        assert (await peer.head()).status == 101
        assert await peer.text() == "held"


async def test_held_frames_of_a_rejected_connection_are_dropped():
    async with serving() as house:
        peer, connect = await begin(house)
        house.layer.group_add("g", connect.reply)
        house.layer.send_group("g", {"text": "held"})
        house.layer.send_group("g", {"type": "room.event"})
        connect.commit({"accept": False})
        assert (await peer.response()).status == 403
        assert not await peer.read_all()
        (await house.take("websocket.disconnect")).commit()
        assert await house.takes_nothing()


async def test_too_many_held_frames_refuse_the_handshake():
    async with serving(limits(websocket={"held": 2})) as house:
        peer, connect = await begin(house)
        house.layer.group_add("g", connect.reply)
        for number in range(3):
            house.layer.send_group("g", {"text": str(number)})
        assert (await peer.response()).status == 503


async def test_too_many_held_frames_close_an_accepted_socket_with_1013():
    async with serving(limits(websocket={"held": 2})) as house:
        peer, connect = await begin(house)
        connect.say({"accept": True})
        assert (await peer.head()).status == 101
        house.layer.group_add("g", connect.reply)
        for number in range(3):
            house.layer.send_group("g", {"text": str(number)})
        assert await peer.closed() == 1013


async def test_nothing_is_delivered_before_acceptance_and_done():
    """RFC 6455 lets a client send nothing before the 101; one that does is answered late, not wrongly."""
    async with serving() as house:
        peer = await house.peer(upgrade(), frame(TEXT, b"early"))
        connect = await house.take("websocket.connect")
        connect.say({"accept": True})
        assert (await peer.head()).status == 101
        peer.say("after 101")
        assert await house.takes_nothing()
        connect.commit()
        for text in ("early", "after 101"):
            receive = (await house.take("websocket.receive")).commit()
            assert receive.message["text"] == text


async def test_early_control_frames_are_answered_on_acceptance():
    async with serving() as house:
        peer = await house.peer(upgrade(), frame(PING, b"early"))
        (await house.take("websocket.connect")).say({"accept": True})
        assert (await peer.head()).status == 101
        assert await peer.frame() == (0x80 | PONG, b"early")


async def test_a_pinned_connection_waits_for_done_as_well():
    async with serving() as house:
        house.layer.reader(["view.v1!"])
        peer, connect = await begin(house)
        connect.say({"accept": True, "receive_channel": "view.v1!c"})
        assert (await peer.head()).status == 101
        peer.say("x")
        await house.settle()
        assert not house.layer.statistics().channels["view.v1!"].waiting
        connect.commit()
        await await_until(lambda: house.layer.statistics().channels["view.v1!"].waiting == 1)
