"""A real server on a real loopback port, a raw peer that may misbehave, and the hands of a worker.

`serving` ends with a look at what is left: whatever a test did, nothing of its connections may remain anywhere.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from fairway.broker.effects import Delivery, Effect, Ending, Envelope, Grant, Renewed, SaveState, Send, Severed
from fairway.layers.base import Reader
from fairway.layers.codec import decode_message, encode_message, pack_value
from fairway.layers.memory import MemoryLayer
from fairway.limits import HttpLimits, RateLimits, ServerLimits, WebSocketLimits
from fairway.server import Server, ServerConfig, connection, deadlines, listener
from fairway.server.gateway import Gateway
from fairway.server.underway import in_order
from fairway.wire.frames import BINARY, CLOSE, PING, PONG, TEXT
from tests.support.waiting import await_until
from tests.wire.peers import deflated, frame, request, upgrade

__all__ = [
    "BINARY",
    "CLOSE",
    "PING",
    "PONG",
    "TEXT",
    "await_until",
    "deflated",
    "frame",
    "quick",
    "request",
    "upgrade",
]

PATIENCE = 20.0
CHANNELS = ("websocket.connect", "websocket.receive", "websocket.event", "websocket.disconnect", "http.request")
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timeouts are exact to 10 ms, and nothing waits long for a peer that has no more to say."""
    monkeypatch.setattr(deadlines, "TICK", 0.01)
    monkeypatch.setattr(connection, "LINGER", 0.1)
    monkeypatch.setattr(listener, "RECORDS_TIMEOUT", 0.2)


def limits(**changes: Any) -> ServerLimits:
    """Limits for a test: `http`, `websocket` and `rates` are dicts, the rest are keys of `ServerLimits`."""
    kinds = {"http": HttpLimits, "websocket": WebSocketLimits, "rates": RateLimits}
    whole = {key: kinds[key](**value) if key in kinds else value for key, value in changes.items()}
    return ServerLimits(**{"drain": 0, "drain_http": 1, **whole})


@dataclass
class Response:
    """What a peer read."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    complete: bool = True

    def header(self, name: str) -> str | None:
        """The value of a header; several joined by commas."""
        return ", ".join(value for key, value in self.headers if key == name) or None


class Peer:
    """A raw socket to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *pieces: bytes) -> None:
        """Write bytes; what the kernel does not take waits here."""
        for piece in pieces:
            self.writer.write(piece)

    def say(self, text: str) -> None:
        """Send a text message."""
        self.send(frame(TEXT, text.encode()))

    async def read(self, count: int) -> bytes:
        """Read exactly so many bytes."""
        return await asyncio.wait_for(self.reader.readexactly(count), PATIENCE)

    async def read_all(self) -> bytes:
        """Read until the server closes; a reset ends it too."""
        data = b""
        with suppress(ConnectionError):
            while piece := await asyncio.wait_for(self.reader.read(65536), PATIENCE):
                data += piece
        return data

    async def is_closed(self) -> bool:
        """Wait until the server closes, whatever it sends before."""
        await self.read_all()
        return True

    async def head(self) -> Response:
        """Read a response head."""
        data = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE)
        first, *lines = data.decode("latin-1").split("\r\n")[:-2]
        pairs = [line.split(": ", 1) for line in lines]
        return Response(int(first.split()[1]), [(name.lower(), value) for name, value in pairs], b"")

    async def response(self, *, head: bool = False) -> Response:
        """Read a whole response; `complete` is False when its end never came."""
        answer = await self.head()
        if answer.status == 100:
            answer = await self.head()
        length = answer.header("content-length")
        try:
            if head or answer.status in (101, 204, 304):
                pass
            elif length is not None:
                answer.body = await self.read(int(length))
            elif answer.header("transfer-encoding") == "chunked":
                while chunk := await self.chunk():
                    answer.body += chunk
            else:
                answer.body = await self.read_all()
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            answer.body += getattr(error, "partial", b"")
            answer.complete = False
        return answer

    async def chunk(self) -> bytes:
        """Read a chunk of a body; the last one is empty."""
        line = await asyncio.wait_for(self.reader.readuntil(b"\r\n"), PATIENCE)
        return (await self.read(int(line, 16) + 2))[:-2]

    async def frame(self) -> tuple[int, bytes]:
        """Read a frame; return its first byte and its payload."""
        first, length = await self.read(2)
        if length >= 126:
            length = int.from_bytes(await self.read(2 if length == 126 else 8), "big")
        return first, await self.read(length)

    async def text(self) -> str:
        """Read a text message; a ping or a pong before it is skipped."""
        first, payload = await self.frame()
        while first & 0x0F in (PING, PONG):
            first, payload = await self.frame()
        assert first == 0x80 | TEXT, (hex(first), payload)
        return payload.decode()

    async def closed(self) -> int:
        """Read up to the close frame, and return its code; 1005 when it has none."""
        while True:
            first, payload = await self.frame()
            if first & 0x0F == CLOSE:
                return struct.unpack("!H", payload[:2])[0] if payload else 1005

    def close(self, code: int = 1000) -> None:
        """Send a close frame."""
        self.send(frame(CLOSE, struct.pack("!H", code)))

    def drop(self) -> None:
        """Cut the line, with a reset."""
        sock = self.writer.get_extra_info("socket")
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class Work:
    """A delivery in a worker's hands."""

    reader: Reader
    delivery: Delivery
    message: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.message = decode_message(self.delivery.body)

    @property
    def channel(self) -> str:
        """Where it was read."""
        return self.delivery.envelope.channel

    @property
    def reply(self) -> str:
        """The reply channel."""
        return self.delivery.envelope.reply_channel

    @property
    def order(self) -> int:
        """Its place in the connection."""
        return self.delivery.envelope.order

    def commit(self, *answers: dict[str, Any], effects: Sequence[Effect] = (), ending: Ending = Ending.DONE) -> "Work":
        """Acknowledge it; `answers` go to its own connection."""
        self.reader.commit(self.delivery, [*effects, *map(self.effect, answers)], ending)
        return self

    def effect(self, answer: dict[str, Any]) -> Send:
        """An answer as an effect."""
        return Send(self.reply, encode_message(answer))

    def say(self, answer: dict[str, Any], timeout: float = 0) -> None:
        """Send an answer at once."""
        self.reader.publish(self.delivery, self.effect(answer), timeout)

    async def asay(self, answer: dict[str, Any], timeout: float = 0) -> None:
        """Send an answer at once; wait for room."""
        await self.reader.apublish(self.delivery, self.effect(answer), timeout)

    def save(self, **changes: Any) -> SaveState:
        """A change of the connection's state; None removes a key."""
        packed = {key: None if value is None else pack_value(value, key) for key, value in changes.items()}
        return SaveState(self.reply, packed)


class House:
    """A server, its layer, and what a test needs to play both sides."""

    def __init__(self, layer: MemoryLayer, server: Server) -> None:
        self.layer = layer
        self.layers = [layer]
        self.server = server
        self.reader = layer.reader(CHANNELS)
        self.peers: list[Peer] = []
        self.tasks: list[asyncio.Task[None]] = []

    @property
    def gateway(self) -> Gateway:
        """The server's gateway."""
        assert self.server._roster
        return self.server._roster.gateway

    @property
    def port(self) -> int:
        """The server's port."""
        return self.server.bound[0][1]

    async def peer(self, *pieces: bytes, rcvbuf: int = 0, limit: int = 2**16) -> Peer:
        """Open a connection, and send these bytes. With a small `rcvbuf` and `limit` the server soon has to wait."""
        sock = socket.socket(proto=socket.IPPROTO_TCP)  # only then asyncio switches Nagle's algorithm off
        if rcvbuf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        peer = Peer(*await asyncio.open_connection(sock=sock, limit=limit))
        self.peers.append(peer)
        peer.send(*pieces)
        return peer

    async def open(self, *lines: str, **options: Any) -> tuple[Peer, Work]:
        """Open a WebSocket that is accepted; return it with its connect."""
        peer = await self.peer(upgrade(*lines), **options)
        connect = (await self.take("websocket.connect")).commit({"accept": True})
        assert (await peer.head()).status == 101
        return peer, connect

    async def take(self, channel: str | None = None) -> Work:
        """Take the next delivery, which must be from `channel`."""
        delivery = await self.reader.areceive(PATIENCE)
        assert delivery is not None, f"nothing came from {channel}"
        work = Work(self.reader, delivery)
        assert channel in (None, work.channel), work.message
        return work

    async def takes_nothing(self) -> bool:
        """Whether nothing is there to be taken, after what the server has read was acted upon."""
        await self.settle()
        delivery = await self.reader.areceive(0.02)
        if delivery is not None:
            self.reader.release(delivery)
        return delivery is None

    async def settle(self) -> None:
        """Let the loop turn until what is on its way has arrived: loopback takes no longer."""
        for _ in range(10):
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)

    def work(self, act: Callable[[Work], Any]) -> None:
        """Let a worker take and do everything from now on; `act` commits."""

        async def run() -> None:
            while (delivery := await self.reader.areceive()) is not None:
                act(Work(self.reader, delivery))

        self.tasks.append(asyncio.create_task(run()))

    def underway(self, reply: str) -> list[tuple[Envelope, bytes]]:
        """Return what the gateway has under way for a connection."""
        return in_order(self.gateway._underway.get(reply))

    def attempts(self) -> list[int]:
        """Return the attempts of all that is under way."""
        return [entry[0].attempt for entry in self.gateway._underway.values()]

    def sever(self) -> None:
        """Let the gateway learn that its broker is away."""
        self.gateway._act_on([Severed()])

    def renew(self, *channels: str, same: bool = False) -> None:
        """Let the gateway learn that it has a broker again: a new one, or the `same` over a new line.

        At a new one the reader reads `channels` as well.
        """
        gateway = self.gateway
        if not same:
            self.layer.close()
            self.layer = MemoryLayer()
            self.layers.append(self.layer)
            self.reader = self.layer.reader([*CHANNELS, *channels])
        gateway.inbox = self.layer.inbox([gateway._socket_prefix, gateway._http_prefix], gateway._wake)
        gateway.fanout._inbox = gateway.inbox
        gateway._act_on([Renewed()])

    async def end(self) -> None:
        """Close all peers, consume what is left, and look for traces."""
        for peer in self.peers:
            peer.writer.transport.abort()
        for task in self.tasks:
            task.cancel()
        for reader in list(self.layer.locked.readers.values()):
            reader.close()  # as if all workers had died: what the test held comes again
        self.reader = self.layer.reader(CHANNELS)
        self.work(lambda work: work.commit(*[{"status": 200}] if work.channel == "http.request" else []))
        await await_until(lambda: not self.server.connections, "all connections to be gone")
        await await_until(lambda: not len(self.gateway), "all records to be gone")
        await await_until(lambda: not self.gateway._underway, "all messages to be consumed")
        self.tasks[-1].cancel()
        self.assert_no_trace()

    def assert_no_trace(self) -> None:
        """Nothing of any connection is left in the server or in the layer."""
        gateway = self.gateway
        assert not gateway._streams
        assert not gateway._departed
        assert not gateway._congested
        assert not gateway._underway
        assert not len(gateway.fanout)
        assert not gateway.fanout._generations
        assert not len(gateway.deadlines)
        roster = self.server._roster
        assert roster
        assert not roster._doorman.total
        assert not roster._doorman._counts
        inbox = next(iter(self.layer.broker.owners._inboxes.values()))
        assert not inbox.marks
        assert not inbox.waiting
        statistics = self.layer.statistics()
        assert not statistics.groups
        # Body chunks that nobody read stay until they expire.
        waiting = {name: box.waiting for name, box in statistics.channels.items() if "?" not in name}
        assert not any(waiting.values()), waiting


@asynccontextmanager
async def serving(
    server_limits: ServerLimits | None = None, *, layer: MemoryLayer | None = None, clean: bool = True, **config: Any
) -> AsyncIterator[House]:
    """A server for the time of a `with`. With `clean` nothing of its connections may be left at the end."""
    layer = layer or MemoryLayer()
    settings = ServerConfig(**{"binds": ["127.0.0.1:0"], "limits": server_limits or limits(), **config})
    server = Server(settings, layer)
    await server.start()
    house = House(layer, server)
    try:
        yield house
        if clean:
            await house.end()
    finally:
        for task in house.tasks:
            task.cancel()
        for peer in house.peers:
            peer.writer.transport.abort()
        await server.stop()
        for layer in house.layers:
            layer.close()
        await asyncio.sleep(0)


async def ask(house, *pieces, **options):
    """A peer that has sent a request, and the request in a worker's hands."""
    peer = await house.peer(*(pieces or (request(),)), **options)
    return peer, await house.take("http.request")


def post(size, **more):
    """The head of a POST."""
    return request(f"Content-Length: {size}", method="POST", **more)


async def read_body(house, work):
    """Read a body from its channel as a view does, and grant what was read."""
    body = work.message.get("body", b"")
    if not work.message.get("body_channel"):
        return body
    reader = house.layer.reader([work.message["body_channel"]])
    more = True
    while more:
        delivery = await reader.areceive(5)
        chunk = decode_message(delivery.body)
        body += chunk.get("content", b"")
        more = chunk.get("more_content", False)
        reader.commit(delivery, [Grant(work.reply, len(chunk.get("content", b"")))])
    reader.close()
    return body


async def begin(house, *lines):
    """A peer whose handshake waits, and its connect."""
    peer = await house.peer(upgrade(*lines))
    return peer, await house.take("websocket.connect")
