"""One WebSocket: addresses, every way in which a handshake fails, and every way in which a socket ends."""

import asyncio
import ssl

import pytest

from fairway.client.sockets import MOST_PIECES, Address, NoConnection, open_socket
from fairway.errors import ConnectionLost, UsageError
from fairway.limits import ClientLimits
from tests.client.rogue import echo, raw_server, rogue
from tests.support.waiting import await_until

LIMITS = ClientLimits()


async def opened(url, limits=LIMITS, **handshake):
    return await open_socket(Address(url, handshake), limits)


async def ended(url, limits=LIMITS):
    """Connect and read to the end."""
    return await (await opened(url, limits)).read(lambda frame: None)


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("http://a/b?c", "ws://a/b?c"),
        ("https://http.a/", "wss://http.a/"),
        ("ws://a:1/", "ws://a:1/"),
        ("wss://a", "wss://a"),
    ],
)
def test_an_address_may_be_that_of_a_page(url, meant):
    assert Address(url, {}).url == meant


@pytest.mark.parametrize(
    "url", ["/ws/", "localhost:8000", "ftp://a/", "ws://", "", "://a", "http://[", "ws://a/#b", "httpx://a"]
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(UsageError, match="begins with ws://, wss://, http:// or https://"):
        Address(url, {})


def test_what_no_handshake_has_is_refused():
    with pytest.raises(UsageError, match=r"connect\(\) knows no retries, tokn; a handshake has headers, protocols"):
        Address("ws://a/", {"tokn": 1, "retries": 2})
    with pytest.raises(UsageError, match="an ssl context is for wss:// or https://"):
        Address("ws://a/", {"ssl": ssl.create_default_context()})
    assert Address("wss://a/", {"ssl": ssl.create_default_context()}).options.keys() == {"ssl"}


async def test_a_handshake_carries_headers_and_protocols():
    async def check(peer):
        await peer.send([peer.headers["Cookie"], peer.headers["Sec-WebSocket-Protocol"], peer.socket.subprotocol])

    heard = []
    async with rogue(check, subprotocols=["fast"]) as server:
        socket = await opened(server.url, headers={"Cookie": "a=b"}, protocols=["slow", "fast"], proxy=None)
        closing = await socket.read(heard.append)
    assert (heard, closing.code) == (['["a=b", "slow, fast", "fast"]'], 1000)


async def test_texts_go_both_ways():
    heard = []
    async with rogue(echo) as server:
        socket = await opened(server.url)
        reading = asyncio.create_task(socket.read(heard.append))
        await socket.send('{"type":"x","id":"Grüße"}'.encode())
        await socket.answers()
        await socket.close()
        closing = await reading
    assert heard == ['{"type": "x", "id": "Gr\\u00fc\\u00dfe", "data": null}']
    assert (closing.code, closing.will_reconnect) == (1006, False)  # it is this side that has closed it


async def test_a_redirect_is_not_followed():
    """What the headers hold is for one server alone."""

    def elsewhere(connection, request):
        answer = connection.respond(301, "")
        answer.headers["Location"] = other.url
        return answer

    async with rogue() as other, rogue(process_request=elsewhere) as server:
        with pytest.raises(
            NoConnection, match=r"HTTP 301 .*; a redirect is not followed, and this one leads to 'ws://1"
        ) as caught:
            await opened(server.url, headers={"X-Key": "secret"})
    assert (caught.value.closing.status, other.peers) == (301, [])


async def test_over_tls_a_server_is_believed_only_with_a_certificate(redis_certificates):
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(redis_certificates.certificate, redis_certificates.key)
    async with rogue(ssl=ours) as server:
        url = server.url.replace("ws:", "https:")
        with pytest.raises(NoConnection, match=r"1006 no connection: .*CERTIFICATE_VERIFY_FAILED"):
            await opened(url)
        theirs = ssl.create_default_context(cafile=redis_certificates.ca)
        theirs.verify_flags &= ~ssl.VERIFY_X509_STRICT  # it is a plain authority, without key identifiers
        socket = await opened(url, ssl=theirs)
        await socket.answers()
        await socket.close()


async def test_nobody_there():
    with pytest.raises(NoConnection, match="1006 no connection: ") as caught:
        await opened("ws://127.0.0.1:9/")
    assert caught.value.closing.status is None


@pytest.mark.parametrize("status", [200, 301, 403, 404, 429, 500, 503])
async def test_a_refused_handshake_tells_its_status(status):
    async with rogue(process_request=lambda connection, request: connection.respond(status, "no")) as server:
        with pytest.raises(NoConnection, match=f"1006 the server refused the handshake: HTTP {status}") as caught:
            await opened(server.url)
    assert caught.value.closing.status == status


GARBAGE = [
    b"",
    b"\x00" * 1000,
    b"SSH-2.0-OpenSSH_9.0\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
    b"HTTP/1.1 200 " + b"x" * 100_000,
    b"HTTP/1.1 302 Found\r\nLocation: http://[\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n",
]


@pytest.mark.parametrize("answer", GARBAGE, ids=lambda answer: repr(answer[:30]))
async def test_a_handshake_that_is_none(answer):
    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async with raw_server(talk) as url:
        with pytest.raises(NoConnection) as caught:
            await opened(url)
    assert caught.value.closing.code == 1006


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1012, 1013, 4000])
async def test_the_servers_code_and_reason_are_told(code):
    async def talk(peer):
        await peer.socket.close(code, "as it is")

    async with rogue(talk) as server:
        closing = await ended(server.url)
    assert (closing.code, closing.reason, closing.status) == (code, "as it is", None)


async def test_a_close_without_a_code_is_1005():
    async def talk(peer):
        peer.socket.transport.write(b"\x88\x00")
        await peer.wait_closed()

    async with rogue(talk) as server:
        assert (await ended(server.url)).code == 1005


async def test_a_lost_socket_is_1006():
    async def talk(peer):
        peer.socket.transport.abort()

    async with rogue(talk) as server:
        assert (await ended(server.url)).code == 1006


BROKEN = {
    "reserved opcode": b"\x83\x00",
    "masked": b"\x81\x81abcd!",
    "no UTF-8": b"\x81\x02\xff\xff",
    "continues nothing": b"\x80\x00",
    "too large": b"\x81\x7f" + (1000).to_bytes(8, "big") + b"x" * 1000,
    "absurdly large": b"\x81\x7f" + (2**62).to_bytes(8, "big"),
    "bad close": b"\x88\x02\x00\x01",
}


async def test_a_server_that_closes_and_does_not_go_is_cut(monkeypatch):
    monkeypatch.setattr("fairway.client.sockets.CLOSE_TIMEOUT", 0.05)
    gone = asyncio.Event()

    async def linger(peer):
        peer.socket.transport.write(b"\x88\x02\x03\xf4")
        peer.socket.transport.pause_reading()
        await gone.wait()
        peer.socket.transport.abort()

    async with rogue(linger) as server:
        try:
            closing = await asyncio.wait_for(ended(server.url), 30)
        finally:
            gone.set()
    assert closing.code == 1012


async def test_a_message_in_ever_more_pieces_is_cut():
    async def crumble(peer):
        peer.socket.transport.write(b"\x01\x01{" + b"\x00\x00" * (MOST_PIECES - 1) + b"\x80\x01}")
        await peer.ask()
        peer.socket.transport.write(b"\x01\x01{" + b"\x00\x00" * (MOST_PIECES + 1))
        await peer.wait_closed()

    heard = []
    async with rogue(crumble) as server:
        socket = await opened(server.url)
        reading = asyncio.create_task(socket.read(heard.append))
        await await_until(lambda: heard)
        await socket.send(b"{}")
        closing = await reading
    assert heard == ["{}"]
    assert closing == (1006, "the server sent a message in more than 1,024 pieces", None, False)


@pytest.mark.parametrize("frame", BROKEN.values(), ids=BROKEN)
async def test_a_server_that_breaks_the_protocol_is_as_good_as_lost(frame):
    """As in a browser, where the server's mistake has no code."""

    async def talk(peer):
        peer.socket.transport.write(frame)
        await peer.wait_closed()

    async with rogue(talk) as server:
        closing = await ended(server.url, ClientLimits(max_received=500))
    assert closing.code == 1006
    assert "sent" in closing.reason


async def test_a_socket_that_is_given_up_tells_why():
    async with rogue(echo) as server:
        socket = await opened(server.url)
        socket.abort("no sign of life")
        assert await socket.read(print) == (1006, "no sign of life", None, False)
        with pytest.raises(ConnectionLost):
            await socket.send(b"{}")
        with pytest.raises(ConnectionLost):
            await socket.answers()
        await socket.close()
