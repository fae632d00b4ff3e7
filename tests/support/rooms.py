"""Servers and a worker over Redis in this process, each with a layer of its own, and an application of three lines."""

import asyncio
import contextlib
import math
import threading
from collections.abc import Iterator

from fairway.broker.effects import Delivery, GroupSend, Send
from fairway.layers.codec import decode_message, encode_message
from fairway.layers.redis.layer import RedisLayer
from fairway.server import Server, new_event_loop
from fairway.server.config import ServerConfig
from fairway.worker.loop import Worker
from fairway.worker.outbox import Outbox

ROOM = "room"


class Rooms:
    """The application: each socket is in one room, `!` before a text tells the room, and all else is answered."""

    channels = ("websocket.connect", "websocket.receive", "websocket.disconnect", "work")
    companions = ()

    def __init__(self, layer: RedisLayer) -> None:
        self.layer = layer
        self.worked: list[str] = []
        """What has come on the channel `work`."""

    def prepare(self, delivery: Delivery) -> "_Call":
        return _Call(self, delivery)

    def time_limit(self, delivery: Delivery) -> float:
        return math.inf

    def leave_thread(self) -> None:
        pass


class _Call:
    is_coroutine = False
    retry = None

    def __init__(self, rooms: Rooms, delivery: Delivery) -> None:
        self._rooms = rooms
        self._envelope = delivery.envelope
        self._message = decode_message(delivery.body)

    def run(self, outbox: Outbox) -> None:
        layer, reply = self._rooms.layer, self._envelope.reply_channel
        if self._envelope.channel == "websocket.connect":
            layer.group_add(ROOM, reply)
            outbox.append(Send(reply, encode_message({"accept": True})), layer)
        elif self._envelope.channel == "websocket.receive":
            text = self._message["text"]
            body = encode_message({"text": text})
            outbox.append(GroupSend(ROOM, body) if text.startswith("!") else Send(reply, body), layer)
        elif self._envelope.channel == "work":
            self._rooms.worked.append(self._message["text"])


class House:
    """What runs: `ports` of the servers, the `worker`, the application `rooms`, and a `layer` for the test itself."""

    def __init__(self, ports: list[int], worker: Worker, rooms: Rooms, layer: RedisLayer) -> None:
        self.ports = ports
        self.worker = worker
        self.rooms = rooms
        self.layer = layer

    def tell(self, text: str) -> None:
        """Send a text to the room, from outside."""
        self.layer.send_group(ROOM, {"text": text})


@contextlib.contextmanager
def rooms_on(url: str, servers: int = 2) -> Iterator[House]:
    """Run servers and a worker on the Redis of a URL."""
    with contextlib.ExitStack() as life:
        rooms = Rooms(life.enter_context(contextlib.closing(RedisLayer(url))))
        worker = Worker(rooms.layer, rooms, threads=2)  # type: ignore[arg-type]
        worker.start()
        life.callback(worker.stop, 5)
        # They stop first: the worker is to consume that their sockets are closed.
        ports = [life.enter_context(_served(url)) for _ in range(servers)]
        yield House(ports, worker, rooms, life.enter_context(contextlib.closing(RedisLayer(url))))


@contextlib.contextmanager
def _served(url: str) -> Iterator[int]:
    loop = new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="server", daemon=True)
    thread.start()
    with contextlib.closing(RedisLayer(url)) as layer:
        server = Server(ServerConfig(binds=["127.0.0.1:0"]), layer)
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(20)
        try:
            yield server.bound[0][1]
        finally:
            asyncio.run_coroutine_threadsafe(server.stop(), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()
