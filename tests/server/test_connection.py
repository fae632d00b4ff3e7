"""One connection and its requests, one after the other: keep-alive, pipelining, slow heads, slow readers, refusals."""

import asyncio

import pytest

from tests.server.support import TEXT, await_until, frame, limits, request, serving, upgrade

pytestmark = pytest.mark.usefixtures("quick", "loop_factory")


def echo_path(work):
    work.commit({"status": 200, "content": work.message["path"].encode()})


def connections(house):
    return list(house.server._roster.connections)


async def test_a_connection_takes_one_request_after_the_other():
    async with serving() as house:
        house.work(echo_path)
        peer = await house.peer()
        for number in range(5):
            peer.send(request(target=f"/{number}"))
            answer = await peer.response()
            assert (answer.body, answer.header("connection")) == (b"/%d" % number, None)
        assert house.server.connections == 1


@pytest.mark.parametrize("head", [request("Connection: close"), request(version="HTTP/1.0")])
async def test_who_wants_no_more_is_closed(head):
    async with serving() as house:
        house.work(echo_path)
        peer = await house.peer(head)
        assert (await peer.response()).header("connection") == "close"
        assert await peer.is_closed()


async def test_pipelined_requests_are_answered_in_order_one_at_a_time():
    """CVE-2024-41671: pipelined requests answered out of order."""
    async with serving() as house:
        peer = await house.peer(*[request(target=f"/{number}") for number in range(20)])
        for number in range(20):
            work = await house.take("http.request")
            if number < 3:
                assert await house.takes_nothing()
            echo_path(work)
        assert [(await peer.response()).body for _ in range(20)] == [b"/%d" % number for number in range(20)]


async def test_a_pipelined_flood_is_read_no_further():
    async with serving() as house:
        peer = await house.peer()
        head = request()
        for _ in range(40):
            peer.send(head * 10_000)
        work = await house.take()
        [connection] = connections(house)
        await await_until(lambda: connection.reading_paused)
        await house.settle()
        assert peer.writer.transport.get_write_buffer_size() > 1_000_000
        work.commit({"status": 200})
        assert (await peer.response()).status == 200


async def test_the_body_of_a_pipelined_request_is_not_read_before_its_turn():
    """Counted by requests alone, a body without end would wait here, whole."""
    async with serving() as house:
        peer = await house.peer(request())
        work = await house.take()
        peer.send(request("Transfer-Encoding: chunked", method="POST"))
        for _ in range(300):
            peer.send(b"c350\r\n" + b"x" * 50_000 + b"\r\n")
        [connection] = connections(house)
        await await_until(lambda: connection.reading_paused)
        await house.settle()
        assert peer.writer.transport.get_write_buffer_size() > 1_000_000
        assert len(connection._events) < 10
        work.commit({"status": 200})
        assert (await peer.response()).status == 200
        assert (await house.take()).message["body_channel"]


async def test_the_next_request_waits_until_the_last_response_is_taken():
    """A client that asks on and on and reads nothing would have all its answers kept in memory."""
    async with serving() as house:
        house.work(lambda work: work.commit({"status": 200, "content": b"x" * 8_000_000}))
        peer = await house.peer(*[request()] * 10, rcvbuf=4096, limit=2048)
        await house.settle()
        [connection] = connections(house)
        await await_until(lambda: connection._writing_paused)
        await asyncio.sleep(0.1)
        assert connection.unsent() < 9_000_000
        assert house.layer.statistics().committed == 1
        for _ in range(10):
            assert len((await peer.response()).body) == 8_000_000


async def test_a_client_that_never_takes_its_response_is_cut():
    async with serving(limits(http={"stall": 0.1})) as house:
        house.work(lambda work: work.commit({"status": 200, "content": b"x" * 8_000_000}))
        await house.peer(request(), rcvbuf=4096, limit=2048)
        await await_until(lambda: house.server.connections)
        await await_until(lambda: not house.server.connections)


@pytest.mark.parametrize("head", [request(), request("Connection: close")])
async def test_a_slow_client_gets_its_last_response_whole(head):
    """The answer is written, the exchange is over: the bytes still have their way to go."""
    async with serving(limits(http={"stall": 1, "keep_alive": 1})) as house:
        house.work(lambda work: work.commit({"status": 200, "content": b"x" * 7_000_000}))
        peer = await house.peer(head, rcvbuf=65536, limit=2048)
        answer = await peer.head()
        for _ in range(20):
            answer.body += await peer.read(350_000)
            await asyncio.sleep(0.06)
        assert len(answer.body) == 7_000_000


async def test_an_idle_connection_is_closed():
    async with serving(limits(http={"keep_alive": 0.05})) as house:
        house.work(echo_path)
        silent = await house.peer()
        assert await silent.read_all() == b""
        peer = await house.peer(request())
        assert (await peer.response()).status == 200
        assert await peer.read_all() == b""


@pytest.mark.parametrize("before", [b"", request()])
async def test_a_slow_head_is_408(before):
    async with serving(limits(http={"head_timeout": 0.1})) as house:
        house.work(echo_path)
        peer = await house.peer(before + b"GET / HTT")
        if before:
            await peer.response()
        for _ in range(3):  # more bytes are no more time
            await asyncio.sleep(0.02)
            peer.send(b"P"[:1] if _ == 0 else b"")
        assert (await peer.response()).status == 408


async def test_two_slow_requests_do_not_share_anything():
    """CVE-2020-35681: concurrent requests shared state, and one user got another's response."""
    async with serving() as house:
        peers = [await house.peer(request(f"Cookie: user={name}", target=f"/{name}")) for name in "ab"]
        works = [await house.take("http.request") for _ in peers]
        assert len({work.reply for work in works}) == 2
        by_path = {work.message["path"]: work for work in works}
        for name in "ab":
            assert [b"cookie", b"user=" + name.encode()] in by_path[f"/{name}"].message["headers"]
        by_path["/b"].say({"status": 200, "content": b"b1", "more_content": True})
        by_path["/a"].say({"status": 200, "content": b"a1", "more_content": True})
        by_path["/b"].commit({"content": b"b2"}, effects=[by_path["/b"].save(user="b")])
        by_path["/a"].commit({"content": b"a2"})
        assert [(await peer.response()).body for peer in peers] == [b"a1a2", b"b1b2"]


@pytest.mark.parametrize("begun", [False, True])
async def test_a_body_that_breaks_its_framing_is_answered_at_once(begun):
    async with serving(limits(http={"body_chunk": 1000})) as house:
        head = request("Transfer-Encoding: chunked", method="POST")
        peer = await house.peer(head, b"7d0\r\n" + b"x" * 2000 + b"\r\n" if begun else b"3\r\nabc\r\n")
        work = await house.take() if begun else None
        await house.settle()
        peer.send(b"zz\r\n")
        assert (await peer.response()).status == 400
        assert await peer.is_closed()
        if work:
            reader = house.layer.reader([work.message["body_channel"]])
            last = None
            while delivery := await reader.areceive(0.05):
                last = delivery
            assert b"closed" in last.body
        else:
            assert await house.takes_nothing()


async def test_a_malformed_request_waits_for_the_answers_before_it():
    async with serving() as house:
        peer = await house.peer(request(), b"NONSENSE\r\n\r\n")
        await house.settle()
        (await house.take()).commit({"status": 200})
        assert (await peer.response()).status == 200
        assert (await peer.response()).status == 400
        assert await peer.is_closed()


async def test_a_path_that_is_no_text_is_400():
    async with serving() as house:
        assert (await (await house.peer(request(target="/%ff"))).response()).status == 400
        peer = await house.peer(upgrade().replace(b"GET / ", b"GET /%ff "))
        assert (await peer.response()).status == 400
        assert await house.takes_nothing()


async def test_an_early_answer_ends_the_connection_and_is_read_all_the_same():
    """What the client still sends is read away, or the reset would take the answer with it."""
    async with serving() as house:
        peer = await house.peer(request("Content-Length: 10000000", method="POST"), b"x" * 500_000)
        (await house.take()).commit({"status": 413, "content": b"too much"})
        for _ in range(20):
            peer.send(b"x" * 50_000)
        answer = await peer.response()
        assert (answer.status, answer.body, answer.header("connection")) == (413, b"too much", "close")


async def test_half_a_connection_is_none():
    """A peer that has sent everything and still reads is taken for one that has gone."""
    async with serving() as house:
        peer = await house.peer(request())
        work = await house.take()
        peer.writer.write_eof()
        assert await peer.read_all() == b""
        await await_until(lambda: not house.server.connections)
        work.commit({"status": 200})


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://example.com", True),
        ("https://trusted.org", True),
        ("https://a.trusted.org", True),
        ("null", False),
        ("http://example.com:81", False),
        ("https://example.com", False),
        ("http://sub.example.com", False),
        ("http://example.com.evil.org", False),
        ("https://eviltrusted.org", False),
    ],
)
async def test_origins(origin, allowed, caplog):
    async with serving(trusted_origins=["https://trusted.org", "https://*.trusted.org"]) as house:
        peer = await house.peer(upgrade(*[f"Origin: {origin}"] if origin else []))
        if allowed:
            (await house.take("websocket.connect")).commit({"accept": True})
            assert (await peer.head()).status == 101
        else:
            assert (await peer.response()).status == 403
            assert await house.takes_nothing()


async def test_a_rejected_client_may_send_what_it_likes():
    async with serving() as house:
        peer = await house.peer(upgrade(), frame(TEXT, b"early"))
        connect = await house.take()
        stream = house.gateway._streams[connect.reply]
        connect.commit({"accept": False})
        await await_until(lambda: stream._phase.name == "ENDED")
        for _ in range(100):
            peer.send(b"x" * 50_000)
        assert (await peer.response()).status == 403
        assert stream._pending is None


async def test_the_access_log_tells_each_exchange():
    lines = []
    async with serving(access_log=lines.append) as house:
        house.work(lambda work: work.commit({"status": 200} if work.channel == "http.request" else {"accept": True}))
        peer = await house.peer(request(target="/page?q=1"))
        await peer.response()
        peer.send(upgrade())
        await peer.head()
        peer.close(4001)
        await peer.is_closed()
        bad = await house.peer(b"\x16\x03\x01\r\n\r\n")
        await bad.response()
    told = [(line.action, line.status, line.method, line.path) for line in lines]
    assert told == [
        ("http", 200, "GET", "/page?q=1"),
        ("connecting", 0, "GET", "/"),
        ("connected", 101, "GET", "/"),
        ("disconnected", 4001, "GET", "/"),
        ("http", 400, "", ""),
    ]


async def test_an_access_log_that_fails_harms_nobody(caplog):
    def fail(access):
        raise ValueError

    async with serving(access_log=fail) as house:
        house.work(echo_path)
        assert (await (await house.peer(request())).response()).status == 200
    assert "access log" in caplog.text


async def test_a_request_may_take_longer_than_an_idle_connection_lives():
    async with serving(limits(http={"keep_alive": 0.3})) as house:
        peer = await house.peer(request())
        work = await house.take("http.request")
        began = house.gateway.deadlines.now
        await await_until(lambda: house.gateway.deadlines.now > began + 0.7)
        work.commit({"status": 200, "content": b"late"})
        assert (await peer.response()).body == b"late"
        peer.drop()
