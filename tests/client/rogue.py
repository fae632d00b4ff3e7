"""A WebSocket server that does as a test says, right or wrong; and one that does not even shake hands."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from fairway.client import Client

Talk = Callable[["Peer"], Awaitable[None]]


class Peer:
    """One connection, as the server sees it."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.path = socket.request.path
        self.headers = socket.request.headers

    async def ask(self) -> dict[str, Any]:
        """Return the next request."""
        return json.loads(await self.socket.recv())

    async def send(self, frame: object) -> None:
        """Send a text as it is, anything else as JSON."""
        await self.socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    async def answer(self, request: dict[str, Any], **content: object) -> None:
        """Answer a request."""
        await self.send({"type": request["type"], "id": request["id"], **content})

    async def wait_closed(self) -> None:
        """Take what comes, until the client goes."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self.socket.recv()


class Rogue:
    """The server: its address, and who has come."""

    def __init__(self) -> None:
        self.url = ""
        self.peers: list[Peer] = []


async def echo(peer: Peer) -> None:
    """Answer each request with its data, until the client goes."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            request = await peer.ask()
            await peer.answer(request, data=request.get("data"))


async def lose(client: Client, peer: Peer) -> None:
    """Cut a connection, and wait until its client knows."""
    known = asyncio.Event()
    client.once("close", lambda _: known.set())
    peer.socket.transport.abort()
    await known.wait()


@contextlib.asynccontextmanager
async def rogue(talk: Talk = echo, **options: Any) -> AsyncIterator[Rogue]:
    """Serve for the length of the block."""
    server = Rogue()

    async def handle(socket: ServerConnection) -> None:
        peer = Peer(socket)
        server.peers.append(peer)
        with contextlib.suppress(ConnectionClosed):
            await talk(peer)

    async with serve(handle, "127.0.0.1", 0, max_size=None, close_timeout=0.2, **options) as listening:
        server.url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
        yield server


@contextlib.asynccontextmanager
async def raw_server(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """Serve bytes for the length of the block."""
    tasks: list[asyncio.Task[None]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await talk(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
