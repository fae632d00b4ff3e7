"""The admin endpoint over a real socket: three pages, and nothing else."""

import asyncio
import json

import pytest

from fairway.errors import CannotListen
from fairway.layers.memory import MemoryLayer
from fairway.server import Server, ServerConfig, admin
from fairway.server.admin import Admin
from tests.server.support import Peer, await_until, limits, request

pytestmark = pytest.mark.usefixtures("loop_factory")


class Endpoint:
    """An admin endpoint with a status and a health of the test's own."""

    def __init__(self):
        self.trouble = ""
        self.state = {"pid": 7, "connections": {"http": 1}}
        self.admin = Admin("127.0.0.1:0", lambda: self.state, lambda: self.trouble)

    async def __aenter__(self):
        await self.admin.start()
        return self

    async def __aexit__(self, *exc_info):
        await self.admin.stop()
        await asyncio.sleep(0)

    async def peer(self, *pieces):
        peer = Peer(*await asyncio.open_connection(*self.admin.bound))
        peer.send(*pieces)
        return peer

    async def get(self, target, **more):
        peer = await self.peer(request(target=target, **more))
        answer = await peer.response(head=more.get("method") == "HEAD")
        assert await peer.read_all() == b""
        peer.writer.close()
        return answer


async def test_health():
    async with Endpoint() as endpoint:
        answer = await endpoint.get("/healthz")
        assert (answer.status, answer.body) == (200, b"ok\n")
        endpoint.trouble = "draining"
        answer = await endpoint.get("/healthz?verbose")
        assert (answer.status, answer.body) == (503, b"draining\n")


async def test_status_is_json():
    async with Endpoint() as endpoint:
        answer = await endpoint.get("/status")
        assert (answer.status, answer.header("content-type")) == (200, "application/json")
        assert json.loads(answer.body) == endpoint.state
        assert answer.header("cache-control") == "no-store"


async def test_metrics():
    async with Endpoint() as endpoint:
        answer = await endpoint.get("/metrics")
        assert answer.header("content-type") == "text/plain; version=0.0.4; charset=utf-8"
        assert b'fairway_connections{kind="http"} 1\n' in answer.body


async def test_head_has_no_body():
    async with Endpoint() as endpoint:
        answer = await endpoint.get("/healthz", method="HEAD")
        assert (answer.status, answer.header("content-length"), answer.body) == (200, "3", b"")


@pytest.mark.parametrize(
    ("target", "method", "status"),
    [
        ("/", "GET", 404),
        ("/healthz/", "GET", 404),
        ("/../status", "GET", 404),
        ("/status", "POST", 405),
        ("/status", "DELETE", 405),
        ("*", "OPTIONS", 405),
    ],
)
async def test_nothing_else_is_there(target, method, status):
    async with Endpoint() as endpoint:
        answer = await endpoint.get(target, method=method)
        assert (answer.status, answer.header("connection")) == (status, "close")
        assert answer.header("allow") == ("GET, HEAD" if status == 405 else None)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET /" + b"a" * 3000, 431),
        (request(*[f"X-{number}: {'a' * 200}" for number in range(60)]), 431),
        (request(*[f"X-{number}: a" for number in range(100)]), 431),
        (request("Content-Length: 5", "Transfer-Encoding: chunked", method="POST"), 400),
    ],
)
async def test_what_is_odd_or_large_is_refused(data, status):
    async with Endpoint() as endpoint:
        peer = await endpoint.peer(data)
        assert (await peer.response()).status == status
        assert await peer.is_closed()
        peer.writer.close()


async def test_a_body_and_what_follows_are_not_read():
    async with Endpoint() as endpoint:
        peer = await endpoint.peer(request("Content-Length: 5", target="/healthz") + b"hello" + request())
        assert (await peer.response()).body == b"ok\n"
        assert await peer.is_closed()
        peer.writer.close()


async def test_a_request_in_pieces():
    async with Endpoint() as endpoint:
        peer = await endpoint.peer()
        for byte in request(target="/healthz"):
            peer.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await peer.response()).body == b"ok\n"
        peer.writer.close()


async def test_a_silent_peer_is_cut(monkeypatch):
    monkeypatch.setattr(admin, "TIMEOUT", 0.05)
    async with Endpoint() as endpoint:
        peer = await endpoint.peer(b"GET /healthz HT")
        assert await peer.is_closed()
        peer.writer.close()


async def test_too_many_peers_are_turned_away(monkeypatch):
    monkeypatch.setattr(admin, "CONNECTIONS", 2)
    async with Endpoint() as endpoint:
        held = [await endpoint.peer(b"GET") for _ in range(2)]
        await await_until(lambda: len(endpoint.admin._connections) == 2)
        third = await endpoint.peer(request(target="/healthz"))
        assert await third.read_all() == b""
        held[0].writer.close()
        await await_until(lambda: len(endpoint.admin._connections) == 1)
        assert (await endpoint.get("/healthz")).status == 200
        for peer in (*held, third):
            peer.writer.close()


async def test_a_status_that_fails_is_500_and_logged(caplog):
    async with Endpoint() as endpoint:
        endpoint.state = {"a": object()}
        answer = await endpoint.get("/status")
        assert (answer.status, answer.body) == (500, b"the server's log tells why\n")
        assert caplog.messages == ["the admin endpoint cannot answer b'/status'"]


async def test_stopping_cuts_what_is_open_and_twice_is_fine():
    async with Endpoint() as endpoint:
        peer = await endpoint.peer(b"GET")
        await await_until(lambda: endpoint.admin._connections)
        await endpoint.admin.stop()
        assert await peer.is_closed()
        assert endpoint.admin.bound is None
        peer.writer.close()


async def test_a_unix_socket(tmp_path):
    path = str(tmp_path / "admin.sock")
    endpoint = Admin(f"unix:{path}", dict, str)
    await endpoint.start()
    assert endpoint.bound is None
    peer = Peer(*await asyncio.open_unix_connection(path))
    peer.send(request(target="/healthz"))
    assert (await peer.response()).body == b"ok\n"
    peer.writer.close()
    await endpoint.stop()
    await await_until(lambda: not endpoint._connections)


async def test_an_address_in_use_is_named():
    async with Endpoint() as endpoint:
        host, port = endpoint.admin.bound
        with pytest.raises(CannotListen, match="address in use"):
            await Admin(f"{host}:{port}", dict, str).start()


async def test_a_server_tells_about_itself():
    layer = MemoryLayer()
    server = Server(ServerConfig(binds=["127.0.0.1:0"], limits=limits()), layer)
    endpoint = Endpoint()
    endpoint.admin = Admin("127.0.0.1:0", server.status, server.health)
    async with endpoint:
        assert (await endpoint.get("/healthz")).body == b"starting\n"
        async with server:
            assert (await endpoint.get("/healthz")).body == b"ok\n"
            status = json.loads((await endpoint.get("/status")).body)
            assert status["connections"] == {"http": 0, "websocket": 0, "pending": 0}
            assert b"fairway_layer_held_bytes 0\n" in (await endpoint.get("/metrics")).body
        assert (await endpoint.get("/healthz")).body == b"draining\n"
    layer.close()
