"""Rows of the list of hostile inputs that concern WebSocket, each through a running server."""

import struct
import time
import zlib

import pytest

from tests.server.support import (
    BINARY,
    CLOSE,
    DEFLATE,
    PING,
    PONG,
    TEXT,
    await_until,
    deflated,
    frame,
    limits,
    request,
    serving,
    upgrade,
)

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("quick", "loop_factory")]


async def fails(house, code, *pieces, lines=(), worker=()):
    """Send frames on an open socket: it closes with `code`, and only `worker` reached a worker."""
    peer, _ = await house.open(*lines)
    peer.send(*pieces)
    assert await peer.closed() == code
    peer.drop()
    for text in worker:
        assert (await house.take("websocket.receive")).commit().message.get("text") == text
    disconnect = (await house.take("websocket.disconnect")).commit()
    assert disconnect.message["code"] == code


# --- 4d: the handshake ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        pytest.param(["Sec-WebSocket-Protocol: " + "a," * 30_000], 400, id="CVE-2021-32640-many"),
        pytest.param(["Sec-WebSocket-Protocol: " + " " * 60_000 + "a"], 101, id="CVE-2021-32640-spaces"),
        pytest.param(["Sec-WebSocket-Extensions: " + "a;b=" + '"' * 30_001], 400, id="quotes-without-end"),
        pytest.param(["Sec-WebSocket-Extensions: constructor; __proto__=1"], 101, id="ws-2017-property-names"),
        pytest.param(["Sec-WebSocket-Protocol: caf\xe9"], 400, id="CVE-2026-42544"),
        pytest.param([f"X-{number}: a" for number in range(500)], 431, id="CVE-2024-37890"),
        pytest.param([f"{DEFLATE}; server_max_window_bits=99"], 101, id="CVE-2026-2229"),
        pytest.param([f"{DEFLATE}; server_max_window_bits=-1; client_max_window_bits=x"], 101, id="CVE-2026-2229-2"),
        pytest.param([f"{DEFLATE}; server_max_window_bits=8"], 101, id="a-window-that-is-not-ours"),
    ],
)
async def test_crafted_handshakes_cost_linear_time_and_no_process(lines, status):
    """CVE-2021-32640, CVE-2026-42544, CVE-2024-37890, CVE-2026-2229: parsers of the handshake's own headers."""
    async with serving() as house:
        house.work(lambda work: work.commit({"accept": True}))
        began = time.monotonic()
        answer = await (await house.peer(upgrade(*lines))).response()
        assert time.monotonic() - began < 1
        assert answer.status == status
        assert answer.header("sec-websocket-extensions") is None


async def test_a_handshake_without_end_is_cut():
    """CVE-2026-47073: a handshake buffer without bound, in bytes and in time."""
    async with serving(limits(http={"head_timeout": 0.1})) as house:
        slow = await house.peer(upgrade()[:-2])
        assert (await slow.response()).status == 408
        fast = await house.peer(upgrade()[:-2], b"X-A: b\r\n" * 100_000)
        assert (await fast.response()).status == 431
        assert await house.takes_nothing()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(upgrade(version="12"), 426, id="version"),
        pytest.param(upgrade(key=None), 400, id="no-key"),
        pytest.param(upgrade(key="dG9vIHNob3J0"), 400, id="short-key"),
        pytest.param(upgrade("Content-Length: 5") + b"hello", 400, id="body"),
        pytest.param(upgrade("Origin: null"), 403, id="null-origin"),
        pytest.param(upgrade("Origin: http://evil.org"), 403, id="CVE-2026-85183"),
        pytest.param(upgrade("Origin: http://evilexample.com"), 403, id="CVE-2022-42975"),
    ],
)
async def test_a_handshake_that_is_refused_gets_a_whole_http_response(data, status, caplog):
    """Clients got 1006 or a broken reply; CVE-2020-28481, CVE-2026-59950: cross-site hijacking."""
    async with serving() as house:
        peer = await house.peer(data)
        answer = await peer.response()
        assert (answer.status, answer.complete, answer.header("connection") is not None) == (status, True, True)
        assert await peer.is_closed()
        assert await house.takes_nothing()


async def test_a_post_to_a_websocket_is_an_http_request():
    """CVE-2022-21676: a POST to a WebSocket session killed the process."""
    async with serving() as house:
        await house.peer(upgrade().replace(b"GET", b"POST"))
        assert (await house.take("http.request")).message["method"] == "POST"


async def test_an_abort_at_every_byte_of_the_handshake():
    """CVE-2022-41940: an abort in the middle of an upgrade killed the process."""
    data = upgrade()
    async with serving() as house:
        for cut in range(0, len(data), 7):
            peer = await house.peer(data[:cut])
            peer.drop()
        await await_until(lambda: not house.server.connections)
        assert await house.takes_nothing()


# --- 4e: frames -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(b"\x81\xff" + struct.pack("!Q", 1 << 63), 1002, id="CVE-2020-27813"),
        pytest.param(b"\x81\xff" + b"\xff" * 8, 1002, id="CVE-2020-13935"),
        pytest.param(b"\x82\xff" + struct.pack("!Q", (1 << 63) - 1), 1009, id="CVE-2026-1528"),
        pytest.param(frame(TEXT, length=2_000_000), 1009, id="CVE-2016-10542"),
        pytest.param(frame(TEXT, b"hi", mask=None), 1002, id="unmasked"),
        pytest.param(frame(TEXT, b"hi", rsv=0x40), 1002, id="rsv1-without-deflate"),
        pytest.param(frame(TEXT, b"hi", rsv=0x20), 1002, id="rsv2"),
        pytest.param(frame(0x3, b"hi"), 1002, id="reserved-opcode"),
        pytest.param(frame(0xB, b"hi"), 1002, id="reserved-control"),
        pytest.param(frame(PING, b"x" * 126), 1002, id="long-ping"),
        pytest.param(frame(PING, b"x", fin=False), 1002, id="fragmented-control"),
        pytest.param(frame(0x0, b"x"), 1002, id="continuation-of-nothing"),
        pytest.param(frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), 1002, id="message-in-message"),
        pytest.param(frame(TEXT, b"\xff\xfe"), 1007, id="invalid-utf8"),
        pytest.param(frame(TEXT, b"ok\xc3", fin=False) + frame(0x0, b"(", fin=False), 1007, id="split-utf8-is-wrong"),
        pytest.param(frame(CLOSE, b"\x03"), 1002, id="CVE-2026-45736-one-byte"),
        pytest.param(frame(CLOSE, struct.pack("!H", 1005)), 1002, id="close-1005"),
        pytest.param(frame(CLOSE, struct.pack("!H", 1006)), 1002, id="close-1006"),
        pytest.param(frame(CLOSE, struct.pack("!H", 1015)), 1002, id="close-1015"),
        pytest.param(frame(CLOSE, struct.pack("!H", 999)), 1002, id="close-999"),
        pytest.param(frame(CLOSE, struct.pack("!H", 5000)), 1002, id="close-5000"),
        pytest.param(frame(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007, id="close-reason-utf8"),
    ],
)
async def test_a_frame_that_breaks_the_rules_closes_with_its_code(data, code):
    """CVE-2020-27813, CVE-2020-13935, CVE-2026-1528, CVE-2016-10542, CVE-2026-45736, and RFC 6455."""
    async with serving() as house:
        await fails(house, code, frame(TEXT, b"before"), data, frame(TEXT, b"after"), worker=["before"])


async def test_text_split_inside_a_character_is_fine():
    async with serving() as house:
        peer, _ = await house.open()
        data = "héé".encode()
        peer.send(frame(TEXT, data[:2], fin=False), frame(PING, b"between"), frame(0x0, data[2:]))
        assert (await house.take()).message["text"] == "héé"
        assert await peer.frame() == (0x80 | PONG, b"between")


async def test_one_endless_message_and_one_endless_frame():
    """CVE-2026-44545, CVE-2026-42786, CVE-2026-48779: bounded memory, 1009."""
    async with serving() as house:
        await fails(house, 1009, frame(BINARY, b"x" * 60_000, fin=False), *[frame(0, b"x" * 60_000, fin=False)] * 30)
        await fails(house, 1009, *[frame(BINARY, length=1 << 40)[:14], b"x" * 1_000_000])


@pytest.mark.parametrize("size", [0, 1])
async def test_tiny_fragments_without_end(size):
    """CVE-2026-62389: fragments are counted, whatever they weigh."""
    async with serving() as house:
        await fails(house, 1009, frame(TEXT, b"x", fin=False), frame(0x0, b"x" * size, fin=False) * 2000)


@pytest.mark.parametrize("between", [b"", frame(0x0, b"x", fin=False)])
async def test_a_message_takes_only_so_long(between):
    """CVE-2026-42786: more fragments are no more time, and answered pings are none either."""
    quick = {"message_time": 0.2, "ping_interval": 0.05, "ping_timeout": 5}
    async with serving(limits(websocket=quick)) as house:
        peer, _ = await house.open()
        peer.send(frame(TEXT, b"x", fin=False))
        began = time.monotonic()
        while (first := (await peer.frame())[0]) == 0x80 | PING:
            peer.send(frame(PONG), between)
        assert first == 0x80 | CLOSE
        assert 0.15 < time.monotonic() - began < 1


async def test_whole_messages_may_follow_each_other_for_ever():
    """A client that is always in the middle of a message, but never of the same, is no slow one."""
    async with serving(limits(websocket={"message_time": 0.15, "ping_interval": 0.05})) as house:
        house.work(lambda work: work.commit({"text": "next"}))
        peer, _ = (await house.peer(upgrade())), None
        assert (await peer.head()).status == 101
        end = time.monotonic() + 0.5
        peer.send(frame(TEXT, b"a", fin=False))
        while time.monotonic() < end:
            peer.send(frame(0x0, b"b") + frame(TEXT, b"a", fin=False))
            assert await peer.text() == "next"


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param([frame(TEXT, deflated(b"x" * 50_000_000), rsv=0x40)], id="CVE-2018-1000518"),
        pytest.param([frame(BINARY, deflated(b"\0" * 2_000_000), rsv=0x40)], id="CVE-2026-1526"),
        pytest.param(
            [frame(TEXT, b"", fin=False, rsv=0x40), *[frame(0, b"\x00\x00\x00\xff\xff" * 1000, fin=False)] * 1000],
            id="empty-blocks",
        ),
    ],
)
async def test_a_deflate_bomb_is_1009(bomb):
    """CVE-2018-1000518, CVE-2026-1526, CVE-2026-54464, CVE-2026-27571, GHSA-9p9m-jm8w-94p2."""
    async with serving() as house:
        began = time.monotonic()
        await fails(house, 1009, *bomb, lines=[DEFLATE])
        assert time.monotonic() - began < 1


async def test_what_is_no_deflate_is_a_protocol_error():
    async with serving() as house:
        await fails(house, 1002, frame(TEXT, b"\xff\xff\xff\xff", rsv=0x40), lines=[DEFLATE])
        await fails(house, 1002, frame(TEXT, zlib.compress(b"hello"), rsv=0x40), lines=[DEFLATE])


async def test_frames_before_acceptance_are_bounded():
    """A client that does not wait for the 101 may not fill the memory, decided or not."""
    async with serving() as house:
        peer = await house.peer(upgrade())
        await house.take("websocket.connect")
        peer.send(frame(TEXT, b"x" * 60_000) * 2)
        assert await peer.read_all() == b""
        await await_until(lambda: not house.server.connections)


async def test_frames_before_the_connect_is_done_are_bounded():
    """Accepted at once by a consumer that takes its time: the read-ahead holds, and TCP pushes back."""
    async with serving() as house:
        peer = await house.peer(upgrade(), frame(TEXT, b"early"))
        connect = await house.take("websocket.connect")
        connect.say({"accept": True})
        assert (await peer.head()).status == 101
        stream = house.gateway._streams[connect.reply]
        for _ in range(200):
            peer.send(frame(TEXT, b"x" * 50_000))
        await await_until(lambda: stream._port.reading_paused)
        await house.settle()
        assert peer.writer.transport.get_write_buffer_size() > 1_000_000
        assert await house.takes_nothing()


async def test_a_flood_of_pings_from_a_client_that_reads_nothing():
    async with serving(limits(websocket={"unsent": 50_000, "close_timeout": 0.1})) as house:
        peer, _ = await house.open(rcvbuf=4096, limit=2048)
        for _ in range(200):
            peer.send(frame(PING, b"x" * 125) * 500)
        assert (await house.take("websocket.disconnect")).message["code"] == 1013


async def test_a_client_that_never_stops_sending_is_still_closed():
    async with serving(limits(websocket={"close_timeout": 0.1})) as house:
        peer, connect = await house.open()
        stream = house.gateway._streams[connect.reply]
        house.layer.send(connect.reply, {"close": 4000})
        await await_until(lambda: stream._phase.name == "CLOSING")
        for _ in range(1000):
            peer.say("x" * 10_000)
            if not house.server.connections:
                break
            await house.settle()
        assert not house.server.connections
        assert (await house.take("websocket.disconnect")).message["code"] == 4000


async def test_an_http_request_behind_an_upgrade_is_no_request():
    async with serving() as house:
        await fails(house, 1002, request(target="/smuggled"))
