"""Thousands of sockets in coroutine views of one worker."""

import asyncio
from pathlib import Path

import pytest

from fairway.limits import ViewLimits
from tests.support.view_site import ViewSite

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

SOCKETS = 5_000
AT_ONCE = 200
"""Handshakes that are under way together."""

HANDSHAKE = (
    b"GET /alower_case/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
HI = b"\x81\x82\0\0\0\0HI"
"""A masked text frame (RFC 6455, 5.2); a mask of zeros leaves it readable."""


class Client:
    """One socket."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.status = b""

    async def open(self, room: asyncio.Semaphore) -> None:
        async with room:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
            self._writer.write(HANDSHAKE)
            head = await self._reader.readuntil(b"\r\n\r\n")
        self.status = head.split(b" ")[1]

    async def ask(self) -> bytes:
        self._writer.write(HI)
        return (await self._reader.readexactly(4))[2:]

    def close(self) -> None:
        self._writer.close()


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


async def test_five_thousand_sockets_in_one_worker(tmp_path):
    site = ViewSite(tmp_path)
    with site.serve(), site.worker() as worker:
        clients = [Client(site.port) for _ in range(SOCKETS)]
        room = asyncio.Semaphore(AT_ONCE)
        await clients[0].open(room)
        assert await clients[0].ask() == b"hi"
        before = threads(worker.pid)
        await asyncio.gather(*(client.open(room) for client in clients[1:]))
        assert {client.status for client in clients} == {b"101"}
        for _ in range(2):
            assert set(await asyncio.gather(*(client.ask() for client in clients))) == {b"hi"}
        # Those for blocking code, and one or two of the layer that had nothing to do before.
        assert threads(worker.pid) <= before + ViewLimits().helpers + 4
        for client in clients[1:]:
            client.close()
        assert await clients[0].ask() == b"hi"
        clients[0].close()
        assert "Traceback" not in worker.output()
