"""The server as a whole: where it listens, and how it stops, gently and otherwise."""

import asyncio
import os
import socket
import time

import pytest

from fairway.errors import CannotListen
from fairway.layers.memory import MemoryLayer
from fairway.server import Server, ServerConfig
from tests.server.support import ask as ask_house
from tests.server.support import await_until, limits, request, serving, upgrade

pytestmark = pytest.mark.usefixtures("quick", "loop_factory")


async def ask(reader, writer):
    """Send nonsense; return the status line of the answer."""
    writer.write(b"NONSENSE\r\n\r\n")
    line = await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    return line


async def serve_at(bind, connect):
    layer = MemoryLayer()
    async with Server(ServerConfig(binds=[bind], limits=limits()), layer) as server:
        assert b" 400 " in await ask(*await connect(server))
    layer.close()
    await asyncio.sleep(0)


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "localhost:0", "[::1]:0"])
async def test_tcp(bind):
    if "::" in bind and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        await serve_at(bind, lambda server: asyncio.open_connection(*server.bound[0]))
    except OSError:
        if "::" not in bind:
            raise
        pytest.skip("this machine has no IPv6 loopback")


async def test_a_unix_socket_even_where_a_dead_one_lies(tmp_path):
    path = tmp_path / "f.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    await serve_at(f"unix:{path}", lambda server: asyncio.open_unix_connection(str(path)))
    assert not path.exists()


async def test_an_inherited_socket():
    with socket.socket() as inherited:
        inherited.bind(("127.0.0.1", 0))
        address = inherited.getsockname()
        await serve_at(f"fd:{inherited.fileno()}", lambda server: asyncio.open_connection(*address))
        os.fstat(inherited.fileno())  # still the caller's


async def test_requests_over_a_unix_socket_have_no_addresses(tmp_path):
    path = str(tmp_path / "f.sock")
    async with serving(binds=[f"unix:{path}"]) as house:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(request())
        work = await house.take("http.request")
        assert (work.message.get("client"), work.message.get("server")) == (None, None)
        work.commit({"status": 200})
        assert b" 200 " in await reader.readline()
        writer.close()


async def test_an_address_in_use_leaves_nothing_behind():
    layer = MemoryLayer()
    async with Server(ServerConfig(binds=["127.0.0.1:0"], limits=limits()), layer) as first:
        host, port = first.bound[0]
        second = Server(ServerConfig(binds=["127.0.0.1:0", f"{host}:{port}"]), layer)
        with pytest.raises(OSError, match="in use"):
            await second.start()
        assert layer.statistics().owners == 1
        assert second.connections == 0
    await second.stop()
    layer.close()
    await asyncio.sleep(0)


async def test_stopping_closes_sockets_one_after_the_other_with_1012():
    async with serving(limits(drain=0.3), clean=False) as house:
        house.work(lambda work: work.commit({"accept": True}))
        peers = [await house.peer(upgrade()) for _ in range(6)]
        for peer in peers:
            await peer.head()
        times = []

        async def leave(peer):
            assert await peer.closed() == 1012
            times.append(time.monotonic())
            peer.close(1012)

        began = time.monotonic()
        await asyncio.gather(house.server.stop(), *map(leave, peers))
        assert times[0] - began < 0.15
        assert times[-1] - times[0] > 0.15
        assert house.server.connections == 0
        assert house.layer.statistics().owners == 0


async def test_stopping_refuses_handshakes_that_wait_and_takes_nobody_in():
    async with serving(clean=False) as house:
        pending = await house.peer(upgrade())
        await house.take("websocket.connect")
        port = house.port
        stopping = asyncio.create_task(house.server.stop())
        assert (await pending.response()).status == 503
        await stopping
        with pytest.raises(OSError, match=r"refused|failed|Multiple|Errno"):
            await asyncio.open_connection("127.0.0.1", port)


async def test_stopping_lets_a_request_finish_and_closes_what_is_idle():
    async with serving(limits(drain_http=5), clean=False) as house:
        busy = await house.peer(request())
        work = await house.take("http.request")
        idle = await house.peer()
        await await_until(lambda: house.server.connections == 2)
        stopping = asyncio.create_task(house.server.stop())
        assert await idle.read_all() == b""
        assert not stopping.done()
        work.commit({"status": 200, "content": b"done"})
        answer = await busy.response()
        assert (answer.body, answer.header("connection")) == (b"done", "close")
        await stopping


async def test_a_request_that_does_not_end_is_cut():
    async with serving(limits(drain_http=0.1), clean=False) as house:
        peer = await house.peer(request())
        work = await house.take("http.request")
        work.say({"status": 200, "content": b"x", "more_content": True})
        await peer.head()
        await house.server.stop()
        assert house.server.connections == 0


async def test_disconnects_are_told_before_the_server_is_gone():
    async with serving(clean=False) as house:
        peer, _ = await house.open()
        stopping = asyncio.create_task(house.server.stop())
        assert await peer.closed() == 1012
        peer.close(1012)
        disconnect = (await house.take("websocket.disconnect")).commit()
        assert disconnect.message["code"] == 1012
        await stopping


@pytest.mark.parametrize("seconds", [0, 0.02, 0.1])
async def test_a_stop_that_is_cancelled_leaves_nothing_open(seconds):
    async with serving(limits(drain=5), clean=False) as house:
        for _ in range(3):
            await house.open()
        await house.peer(request())
        work = await house.take("http.request")
        work.say({"status": 200, "content": b"x", "more_content": True})
        stopping = asyncio.create_task(house.server.stop())
        await asyncio.sleep(seconds)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        if seconds:
            await await_until(lambda: not house.server.connections)
            assert house.layer.statistics().owners == 0
        await house.server.stop()


async def test_stopping_twice_or_before_the_start_is_nothing():
    layer = MemoryLayer()
    server = Server(ServerConfig(binds=["127.0.0.1:0"], limits=limits()), layer)
    await server.stop()
    await server.start()
    await asyncio.gather(server.stop(), server.stop())
    layer.close()


async def test_stopping_in_the_middle_of_everything(caplog):
    """Handshakes, floods, uploads, streams and slow readers at once: the stop ends, and nothing is left."""
    async with serving(limits(drain=0.1, drain_http=0.1, websocket={"close_timeout": 0.1}), clean=False) as house:
        opened = [await house.open(rcvbuf=4096, limit=2048) for _ in range(3)]
        for _, connect in opened:
            house.layer.group_add("g", connect.reply)
        await house.peer(upgrade())
        await house.peer(request("Content-Length: 5000000", method="POST"), b"x" * 1_000_000)
        await house.peer(request(), request(), request())
        await house.peer(b"GET / HT")
        await house.settle()
        house.work(lambda work: work.commit({"status": 200, "more_content": True} if "http" in work.channel else {}))
        for _ in range(50):
            house.layer.send_group("g", {"bytes": b"x" * 100_000})
        await asyncio.wait_for(house.server.stop(), 10)
        assert house.server.connections == 0
        assert not len(house.gateway.deadlines)
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_server_that_listens_no_more_keeps_its_connections():
    async with serving() as house:
        peer, connect = await house.open()
        port = house.port
        house.server.stop_listening()
        house.server.stop_listening()
        with pytest.raises(OSError, match=r"refused|failed|Multiple|Errno"):
            await asyncio.open_connection("127.0.0.1", port)
        assert house.server.health() == "not listening any more"
        assert house.server.bound == []
        house.layer.send(connect.reply, {"text": "still here"})
        assert await peer.text() == "still here"


async def test_what_keeps_a_server_from_its_start_is_named():
    layer = MemoryLayer()
    server = Server(ServerConfig(binds=["127.0.0.1:0", "nonsense"]), layer)
    with pytest.raises(CannotListen, match="cannot listen on nonsense: write HOST:PORT"):
        await server.start()
    assert (server.bound, server.health(), layer.statistics().owners) == ([], "starting", 0)
    server.abort()
    layer.close()


async def test_the_health_of_a_server_from_its_start_to_its_end():
    layer = MemoryLayer()
    server = Server(ServerConfig(binds=["127.0.0.1:0"], limits=limits()), layer)
    assert server.health() == "starting"
    assert server.status()["draining"] is False
    await server.start()
    assert server.health() == ""
    server._roster.gateway.trouble = "the layer is lost"
    assert server.status()["health"] == "the layer is lost"
    await server.stop()
    assert (server.health(), server.status()["draining"]) == ("draining", True)
    layer.close()


async def test_the_status_counts_connections_by_kind_and_what_was_refused():
    async with serving() as house:
        assert house.server.status()["connections"] == {"http": 0, "websocket": 0, "pending": 0}
        _, connect = await house.open()
        house.layer.group_add("room", connect.reply)
        await house.peer(upgrade())
        pending = await house.take("websocket.connect")
        _, work = await ask_house(house)
        refused = await house.peer(b"NONSENSE\r\n\r\n")
        assert (await refused.response()).status == 400
        closed, _ = await house.open()
        closed.close(1001)
        (await house.take("websocket.disconnect")).commit()
        await await_until(lambda: house.server.connections == 3)
        status = house.server.status()
        assert status["connections"] == {"http": 1, "websocket": 1, "pending": 1}
        assert (status["requests"], status["handshakes"], status["groups"]) == (1, 3, 1)
        assert (status["refusals"], status["closes"], status["turned_away"]) == ({"400": 1}, {"1001": 1}, {})
        assert (status["unsent_bytes"], status["health"], status["draining"]) == (0, "ok", False)
        assert status["layer"]["groups"] == 1
        assert status["layer"]["waiting"].get("websocket.connect", 0) == 0
        assert status["pid"] == os.getpid()
        pending.commit({"accept": True})
        work.commit({"status": 200})


async def test_a_layer_that_is_elsewhere_is_not_asked():
    async with serving() as house:
        house.server._layer.is_shared = True
        assert "layer" not in house.server.status()
