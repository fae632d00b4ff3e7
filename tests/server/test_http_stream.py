"""One HTTP exchange, from the request to the last byte of the response or the reason why there is none."""

import pytest

from fairway.broker.effects import Policy
from fairway.layers.memory import MemoryLayer
from fairway.limits import DEFAULT_RULES, BrokerLimits, ChannelRule
from tests.server.support import ask, await_until, limits, post, read_body, request, serving

pytestmark = pytest.mark.usefixtures("quick", "loop_factory")


# --- the request ----------------------------------------------------------------------------------------------------


async def test_a_request_and_its_response():
    async with serving(root_path="/mount") as house:
        peer, work = await ask(house, request("X-A: 1", "X-A: 2", target="/caf%C3%A9?a=%20b"))
        message = work.message
        assert (message["method"], message["path"], message["query_string"]) == ("GET", "/café", b"a=%20b")
        assert [pair for pair in message["headers"] if pair[0] == b"x-a"] == [[b"x-a", b"1"], [b"x-a", b"2"]]
        assert (message["scheme"], message["http_version"], message["root_path"]) == ("http", "1.1", "/mount")
        work.commit({"status": 201, "headers": [[b"X-Mine", b"yes"]], "content": b"made", "status_text": b"Made It"})
        answer = await peer.response()
        assert (answer.status, answer.body, answer.header("x-mine")) == (201, b"made", "yes")
        assert answer.header("content-length") == "4"
        assert answer.header("date")


async def test_a_small_body_travels_whole_and_holds_no_worker_until_it_is_there():
    async with serving() as house:
        peer = await house.peer(post(6), b"abc")
        assert await house.takes_nothing()
        peer.send(b"def")
        work = await house.take()
        assert work.message["body"] == b"abcdef"
        work.commit({"status": 200})
        assert (await peer.response()).status == 200


async def test_a_large_body_follows_as_chunks_under_a_credit():
    async with serving(limits(http={"body_chunk": 10_000, "body_window": 100_000})) as house:
        body = bytes(range(256)) * 12_000
        peer, work = await ask(house, post(len(body)), body)
        channel = work.message["body_channel"]
        await house.settle()
        await house.settle()
        assert house.layer.statistics().channels[channel].waiting_bytes <= 120_000
        stream = house.gateway._streams[work.reply]
        assert stream._port.reading_paused
        assert await read_body(house, work) == body
        work.commit({"status": 200, "content": b"thanks"})
        assert (await peer.response()).body == b"thanks"
        peer.send(request())
        (await house.take()).commit({"status": 204})
        assert (await peer.response()).status == 204


async def test_a_chunked_body_arrives_without_its_chunks():
    async with serving() as house:
        _, work = await ask(
            house, request("Transfer-Encoding: chunked", method="POST"), b"3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX: 1\r\n\r\n"
        )
        assert work.message["body"] == b"abcde"


async def test_expect_is_answered_once_when_its_turn_comes():
    async with serving() as house:
        head = request("Content-Length: 2", "Expect: 100-continue", method="POST")
        peer = await house.peer(head)
        assert (await peer.head()).status == 100
        peer.send(b"ok")
        work = await house.take()
        assert work.message["body"] == b"ok"
        work.commit({"status": 200})
        assert (await peer.head()).status == 200


@pytest.mark.parametrize(
    ("head", "policy"),
    [(request(), Policy.AGAIN), (request(method="HEAD"), Policy.AGAIN), (post(0), Policy.ONCE)],
)
async def test_only_safe_methods_run_again(head, policy):
    async with serving() as house:
        _, work = await ask(house, head)
        assert work.delivery.envelope.policy is policy


# --- framing of the response ------------------------------------------------------------------------------------------


async def test_head_204_and_304_have_no_body():
    async with serving() as house:
        peer, work = await ask(house, request(method="HEAD"))
        work.commit({"status": 200, "content": b"12345"})
        answer = await peer.response(head=True)
        assert answer.header("content-length") == "5"
        for status in (204, 304):
            peer.send(request())
            (await house.take()).commit({"status": status, "content": b"dropped"})
            assert (await peer.response()).status == status
        assert await house.takes_nothing()
        assert not peer.reader._buffer


async def test_a_refused_head_request_has_no_body():
    layer = MemoryLayer(BrokerLimits(rules=(("http.request", ChannelRule(capacity=0)), *DEFAULT_RULES)))
    async with serving(layer=layer) as house:
        house.reader.close()
        peer = await house.peer(request(method="HEAD"))
        assert (await peer.head()).status == 503
        assert not await peer.read_all()


async def test_a_streamed_response_is_chunked_and_ends_visibly():
    async with serving() as house:
        peer, work = await ask(house)
        work.say({"status": 200, "content": b"one", "more_content": True})
        assert (await peer.head()).header("transfer-encoding") == "chunked"
        assert await peer.chunk() == b"one"
        work.say({"content": b"", "more_content": True})
        work.say({"content": b"two", "more_content": True})
        assert await peer.chunk() == b"two"
        work.commit({"content": b"three"})
        assert await peer.chunk() == b"three"
        assert await peer.chunk() == b""


async def test_http_1_0_reads_a_stream_until_the_connection_closes():
    async with serving() as house:
        peer, work = await ask(house, request(version="HTTP/1.0"))
        work.say({"status": 200, "content": b"one", "more_content": True})
        work.commit({"content": b"two"})
        answer = await peer.response()
        assert (answer.body, answer.header("connection")) == (b"onetwo", "close")


async def test_a_response_may_stay_open_in_a_group():
    """An event stream costs no worker: the consumer is done, and the group goes on writing."""
    async with serving() as house:
        peer, work = await ask(house)
        house.layer.group_add("news", work.reply)
        work.commit({"status": 200, "headers": [[b"content-type", b"text/event-stream"]], "more_content": True})
        assert (await peer.head()).status == 200
        house.layer.send_group("news", {"content": b"data: 1\n\n"})
        assert await peer.chunk() == b"data: 1\n\n"
        house.layer.send_group("news", {"content": b"data: 2\n\n", "more_content": False})
        assert [await peer.chunk(), await peer.chunk()] == [b"data: 2\n\n", b""]


async def test_leaving_an_open_response_leaves_no_mark():
    async with serving() as house:
        peer, work = await ask(house)
        house.layer.group_add("news", work.reply)
        work.commit({"status": 200, "more_content": True})
        await peer.head()
        peer.drop()
        await await_until(lambda: not len(house.gateway))


# --- what the application does wrong ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        {"content": b"no status"},
        {"status": 99},
        {"status": 200, "headers": "wrong"},
        {"status": 200, "headers": [[b"x", b"1\r\nset-cookie: a=b"]]},
        {"status": 200, "headers": [[b"x\r\ny", b"1"]]},
        {"status": 200, "status_text": b"OK\r\nx: y"},
    ],
)
async def test_an_answer_that_is_none_is_500(answer, caplog):
    """CVE-2020-7695: CR and LF in a response header of the application."""
    async with serving() as house:
        peer, work = await ask(house)
        work.commit(answer)
        response = await peer.response()
        assert response.status == 500
        assert {name for name, _ in response.headers} <= {"content-length", "server", "connection", "date"}
        assert caplog.records


async def test_a_second_status_cuts_the_first_response(caplog):
    async with serving() as house:
        peer, work = await ask(house)
        work.commit({"status": 200, "content": b"x", "more_content": True}, {"status": 200})
        assert not (await peer.response()).complete


async def test_chunks_after_the_end_are_dropped():
    async with serving() as house:
        peer, work = await ask(house)
        work.commit({"status": 200, "content": b"all"}, {"content": b"late"})
        assert (await peer.response()).body == b"all"
        assert await house.takes_nothing()
        assert not peer.reader._buffer


async def test_less_than_promised_is_a_visible_truncation(caplog):
    async with serving() as house:
        peer, work = await ask(house)
        work.commit({"status": 200, "headers": [[b"content-length", b"10"]], "content": b"short"})
        answer = await peer.response()
        assert (answer.body, answer.complete) == (b"short", False)


async def test_a_log_line_never_holds_a_decoded_path(caplog):
    """CVE-2020-7694: a percent-decoded path with ANSI escapes and line ends in the log."""
    lines = []
    async with serving(access_log=lines.append) as house:
        peer, work = await ask(house, request(target="/%1b[31m%0aroot"))
        work.commit({"content": b"no status"})
        assert (await peer.response()).status == 500
    assert [line.path for line in lines] == ["/%1b[31m%0aroot"]
    assert "\x1b" not in caplog.text
    assert "\nroot" not in caplog.text
