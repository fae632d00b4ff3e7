"""Rows of the list of hostile inputs that concern HTTP/1, each from a raw socket through a running server.

The grammar is tried byte by byte in tests/wire. Here it is shown that what it refuses is answered, closes the
connection, reaches no worker, and leaves the server alive.
"""

import asyncio
import time

import pytest

from tests.server.support import await_until, limits, request, serving, upgrade

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("quick", "loop_factory")]

TE = "Transfer-Encoding: chunked"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: example.com\r\n\r\n"


async def refused(house, *pieces, status=400):
    """Send it; the answer is `status`, the connection ends, no worker hears of it, and the next client is served."""
    peer = await house.peer(*pieces)
    answer = await peer.response()
    assert (answer.status, answer.header("connection")) == (status, "close")
    assert await peer.read_all() == b""
    assert await house.takes_nothing()
    other = await house.peer(request())
    (await house.take("http.request")).commit({"status": 204})
    assert (await other.response()).status == 204


def post(*lines, body=b"", **more):
    return request(*lines, method="POST", body=body, **more)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(post("Content-Length: 3", "Content-Length: 0", body=b"abc"), id="CVE-2020-10108"),
        pytest.param(post("Content-Length: 3", "Content-Length: 3", body=b"abc"), id="CVE-2020-10108-equal"),
        pytest.param(post("Content-Length: 3", TE, body=b"0\r\n\r\n"), id="CVE-2020-10109"),
        pytest.param(post(TE, "Content-Length: 3", body=b"0\r\n\r\n"), id="CVE-2020-10109-other-order"),
        pytest.param(post("Content-Length: +5", body=b"abcde"), id="CVE-2022-24801-plus"),
        pytest.param(post("Content-Length: -0"), id="CVE-2022-24801-minus"),
        pytest.param(post(TE, body=b"0x3\r\nabc\r\n0\r\n\r\n"), id="CVE-2022-24801-hex"),
        pytest.param(post(TE, body=b"\r\nabc\r\n0\r\n\r\n"), id="CVE-2022-24801-empty-size"),
        pytest.param(post(TE, body=b"3;a=\nb\r\nabc\r\n0\r\n\r\n"), id="CVE-2022-24801-bare-lf-in-extension"),
        pytest.param(post("Content-Length : 0"), id="CVE-2022-24801-space-before-colon"),
        pytest.param(post(" Content-Length: 0"), id="CVE-2022-24801-space-before-name"),
        pytest.param(post("Content-Length: 0\r\n folded"), id="CVE-2022-24801-folded"),
        pytest.param(post(TE, body=b"3\r\nabcXX0\r\n\r\n"), id="CVE-2025-43859"),
        pytest.param(post("Transfer-Encoding: chunked, chunked"), id="te-twice-in-one"),
        pytest.param(post(TE, TE), id="te-twice"),
        pytest.param(post("Transfer-Encoding: identity"), id="te-identity"),
        pytest.param(post("Transfer-Encoding: gzip, chunked"), id="te-gzip"),
        pytest.param(post("Transfer-Encoding: xchunked"), id="te-unknown"),
        pytest.param(post("Transfer-Encoding:\x0bchunked"), id="te-vertical-tab"),
        pytest.param(post(TE, version="HTTP/1.0"), id="te-in-1.0"),
        pytest.param(b"GET / HTTP/1.1\nHost: a\n\n", id="bare-lf"),
        pytest.param(request("X: a\rb"), id="bare-cr"),
        pytest.param(request("X: a\x00b"), id="nul"),
        pytest.param(request(host=None), id="no-host"),
        pytest.param(request("Host: other"), id="two-hosts"),
        pytest.param(request(target="http://other.example/"), id="target-and-host-differ"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", id="a-tls-hello"),
        pytest.param(b"PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n", id="http2-preface-as-1.1"),
    ],
)
async def test_a_request_that_two_parsers_could_read_in_two_ways_is_400(data):
    """CVE-2020-10108, CVE-2020-10109, CVE-2022-24801, CVE-2025-43859: request smuggling."""
    async with serving() as house:
        await refused(house, data + SMUGGLED)


@pytest.mark.parametrize("byte", [0x0B, 0x0C, 0x1C, 0x1D, 0x1E, 0x85, 0x00, 0x07, 0x7F])
async def test_a_byte_that_another_parser_takes_for_a_line_end_is_400(byte):
    """CVE-2026-44546: in an upgrade's header value too, where a second parser split."""
    async with serving() as house:
        line = b"X-A: a" + bytes([byte]) + b"X-Smuggled: b"
        await refused(house, request(line))
        await refused(house, upgrade(line))


async def test_a_header_with_an_underscore_is_dropped():
    """CVE-2015-0219, CVE-2026-3902: `X_User` shadows `X-User` in Django's environment; on HTTP and on WebSocket."""
    async with serving() as house:
        for data in (request("X-User: real", "X_User: forged"), upgrade("X-User: real", "X_User: forged")):
            await house.peer(data)
            work = await house.take()
            assert [pair for pair in work.message["headers"] if b"user" in pair[0]] == [[b"x-user", b"real"]]


async def test_no_header_of_a_client_sets_scope():
    """`Daphne-Root-Path` and the like: root path, scheme and address are the server's to say."""
    lines = ["Daphne-Root-Path: /evil", "Script-Name: /evil", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https"]
    async with serving(root_path="/app") as house:
        for data, scheme in ((request(*lines), "http"), (upgrade(*lines), "ws")):
            await house.peer(data)
            message = (await house.take()).message
            assert (message["root_path"], message["scheme"]) == ("/app", scheme)
            assert message["client"][0] == "127.0.0.1"


async def test_thousands_of_repeated_headers_cost_linear_time():
    """CVE-2025-14550: concatenating repeated headers in quadratic time."""
    async with serving(limits(http={"header_count": 100_000, "header_bytes": 10_000_000})) as house:
        began = time.monotonic()
        await house.peer(request(*["X-A: b"] * 50_000))
        work = await house.take("http.request")
        assert time.monotonic() - began < 2
        assert len(work.message["headers"]) == 50_001


@pytest.mark.parametrize("said", [5, None])
async def test_the_bound_on_a_body_does_not_believe_its_length(said):
    """CVE-2026-33034, CVE-2026-5766: a missing or understated Content-Length bypassed the memory limit."""
    async with serving(limits(http={"body_total": 100_000})) as house:
        if said is None:
            await refused(house, post(TE), b"ffff\r\n" + b"x" * 65535 + b"\r\n" + b"ffff\r\n", status=413)
        else:
            # What is beyond the length is the next request, and a malformed one.
            peer = await house.peer(post("Content-Length: 5"), b"x" * 50_000)
            work = await house.take()
            assert work.message["body"] == b"xxxxx"
            work.commit({"status": 200})
            assert [(await peer.response()).status for _ in range(2)] == [200, 431]


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        pytest.param([b"GET / HTTP/1.1\r\n", b"X-A: b\r\n" * 100_000], 431, id="endless-headers"),
        pytest.param([b"GET / HTTP/1.1\r\nX-A: ", b"b" * 1_000_000], 431, id="one-endless-header"),
        pytest.param([b"GET /", b"a" * 1_000_000], 431, id="endless-request-line"),
        pytest.param([post(TE), b"0\r\n", b"X-A: b\r\n" * 100_000], 431, id="endless-trailers"),
        pytest.param([post(TE), b"0\r\nX-A: ", b"b" * 1_000_000], 431, id="one-endless-trailer"),
        pytest.param([post(TE), b"1;", b"a" * 1_000_000], 431, id="endless-chunk-extension"),
        pytest.param([post(TE), b"1;a=b\r\nx\r\n" * 50_000], 431, id="many-chunk-extensions"),
    ],
)
async def test_what_never_ends_is_refused_early(pieces, status):
    """CVE-2026-22815, CVE-2023-45288: headers and trailers without a cap."""
    async with serving() as house:
        peer = await house.peer(*pieces)
        assert (await peer.response()).status == status
        assert await peer.is_closed()
        await await_until(lambda: not house.server.connections)


async def test_tiny_chunks_cost_linear_time_and_few_messages():
    """A message for each byte of a body would be an amplifier."""
    async with serving(limits(http={"body_chunk": 1000})) as house:
        await house.peer(post(TE), b"1\r\nx\r\n" * 60_000 + b"0\r\n\r\n")
        work = await house.take("http.request")
        await await_until(lambda: house.layer.statistics().channels.get(work.message["body_channel"]))
        await house.settle()
        assert house.layer.statistics().channels[work.message["body_channel"]].waiting < 70


async def test_a_response_to_one_is_never_given_to_another():
    """CVE-2024-41671, CVE-2020-35681: pipelined and concurrent requests, answered in any order by their workers."""
    async with serving() as house:
        peers = [await house.peer(*[request(target=f"/{p}/{n}") for n in range(3)]) for p in range(4)]
        for _ in range(3):
            works = [await house.take("http.request") for _ in peers]
            for work in reversed(works):
                work.commit({"status": 200, "content": work.message["path"].encode()})
        for number, peer in enumerate(peers):
            assert [(await peer.response()).body for _ in range(3)] == [b"/%d/%d" % (number, n) for n in range(3)]


async def test_a_slow_reader_and_a_slow_writer_hold_no_worker():
    """A slow head, a slow body and a client that reads nothing are the server's business alone."""
    async with serving() as house:
        await house.peer(b"GET / HT")
        await house.peer(post("Content-Length: 100"), b"1")
        reads_nothing = await house.peer(request(), rcvbuf=4096, limit=2048)
        (await house.take("http.request")).commit({"status": 200, "content": b"x" * 8_000_000})
        assert await house.takes_nothing()
        quick = await house.peer(request())
        (await house.take("http.request")).commit({"status": 200})
        assert (await quick.response()).status == 200
        reads_nothing.drop()


async def test_nothing_that_is_malformed_ends_the_process(caplog):
    """CVE-2022-21676, CVE-2022-41940, CVE-2023-31125: one crafted request killed the process."""
    crafted = [
        b"",
        b"\r\n\r\n\r\n",
        b"\x00" * 1000,
        upgrade().replace(b"GET", b"POST"),
        upgrade("Content-Length: 5", "Expect: 100-continue") + b"hello",
        upgrade().replace(b"GET / ", b"GET /?%%%=&&&[]=\xff "),
        upgrade().replace(b"GET / ", b"GET http://[::1/ "),
        request(method="OPTIONS", target="*"),
        request(method="CONNECT", target="a:1"),
        request("Connection: close, upgrade, keep-alive", "Upgrade: h2c"),
    ]
    async with serving() as house:
        house.work(lambda work: work.commit({"status": 200} if work.channel == "http.request" else {"accept": True}))
        for data in crafted:
            for cut in (len(data), len(data) // 2, 1):
                peer = await house.peer(data[:cut])
                await asyncio.sleep(0)
                peer.send(data[cut:])
                await house.settle()
                peer.drop()
        assert (await (await house.peer(request())).response()).status == 200
    assert not [record for record in caplog.records if record.exc_info]
