"""Both ends of an HTTP exchange for a test: what the server does, and what a worker does, over a real layer."""

import math
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from fairway.broker.effects import Abandoned, Credit, Delivery, Done, Envelope, Frame, Item
from fairway.http.consumers import ViewConsumer
from fairway.layers.codec import decode_message, encode_message
from fairway.layers.memory import MemoryLayer
from fairway.message import Message
from fairway.worker.contract import Call
from fairway.worker.dispatch import Dispatcher
from fairway.worker.outbox import Outbox
from fairway.worker.retries import Retry

PREFIX = "http.response.T1!"


def make_message(content: dict[str, Any], layer: MemoryLayer | None = None, **more: Any) -> Message:
    """A request message with what is required, and what a test adds."""
    whole = {"reply_channel": f"{PREFIX}c1", "http_version": "1.1", "method": "GET", "path": "/", "headers": []}
    return Message({**whole, **content, **more}, "http.request", layer)


@dataclass
class Answer:
    """The messages of one response, put together."""

    messages: list[dict[str, Any]]
    items: list[Item] = field(default_factory=list)

    @property
    def status(self) -> int:
        return self.messages[0]["status"]

    @property
    def content(self) -> bytes:
        return b"".join(message.get("content") or b"" for message in self.messages)

    @property
    def text(self) -> str:
        return self.content.decode()

    @property
    def is_complete(self) -> bool:
        return not self.messages[-1].get("more_content")

    def headers(self, name: str) -> list[str]:
        pairs = self.messages[0]["headers"]
        return [value.decode("latin-1") for key, value in pairs if key.decode().lower() == name.lower()]

    def cookies(self) -> str:
        return "; ".join(value.partition(";")[0] for value in self.headers("set-cookie"))


class Site:
    """Django behind a memory layer: the server's inbox, and a worker that runs when `work` is called."""

    def __init__(self, consumer: Callable[[Message], None] | None = None) -> None:
        self.layer = MemoryLayer()
        self.inbox = self.layer.inbox([PREFIX], lambda: None)
        self.reader = self.layer.reader(["http.request"])
        self.dispatcher = Dispatcher(self.layer, self.reader, OneConsumer(self.layer, consumer or ViewConsumer()))
        self.credit = 0
        self._numbers = count(1)

    def close(self) -> None:
        self.layer.close()

    def get(self, path: str, **more: Any) -> Answer:
        return self.ask({"method": "GET", "path": path, **more})

    def post(self, path: str, body: bytes, *headers: tuple[bytes, bytes], **more: Any) -> Answer:
        length = (b"content-length", str(len(body)).encode())
        return self.ask({"method": "POST", "path": path, "headers": [*headers, length], "body": body, **more})

    def ask(self, content: dict[str, Any]) -> Answer:
        """Send a request, let the worker run it, and collect what came back."""
        channel = self.submit(content)
        self.work()
        return self.collect(channel)

    def get_while_reading(self, path: str) -> Answer:
        """Do as `get`, with a client that reads on while the view runs."""
        self.submit({"path": path})
        items: list[Item] = []
        over = threading.Event()

        def read() -> None:
            while not over.wait(0.005):
                items.extend(self.inbox.drain())

        client = threading.Thread(target=read)
        client.start()
        self.work()
        over.set()
        client.join()
        items += self.inbox.drain()
        return Answer([decode_message(item.body) for item in items if isinstance(item, Frame)], items)

    def submit(self, content: dict[str, Any]) -> str:
        channel = f"{PREFIX}c{next(self._numbers)}"
        path, _, query = content["path"].partition("?")
        whole = make_message({"headers": [], **content}, reply_channel=channel, path=path).content
        whole.setdefault("query_string", query.encode())
        envelope = Envelope(f"id.{channel}", "http.request", channel, order=0)
        self.inbox.submit(envelope, encode_message(whole))
        return channel

    def work(self) -> None:
        delivery = self.reader.receive(5)
        assert delivery is not None, "no request is waiting"
        start = self.dispatcher.dispatch(delivery)
        assert start is None, "a view consumer is no coroutine"

    def collect(self, channel: str) -> Answer:
        items = [item for item in self.inbox.drain() if getattr(item, "channel", None) == channel]
        for item in items:
            assert not isinstance(item, Abandoned)
        self.credit += sum(item.size for item in items if isinstance(item, Credit))
        return Answer([decode_message(item.body) for item in items if isinstance(item, Frame)], items)


def kinds(answer: Answer) -> list[str]:
    """The order in which things reached the server: "frame" and "done"."""
    return [type(item).__name__.lower() for item in answer.items if isinstance(item, Frame | Done)]


class OneConsumer:
    """An application with one consumer for every request."""

    channels: Collection[str] = ["http.request"]
    companions = ()

    def __init__(self, layer: MemoryLayer, consumer: Callable[[Message], None]) -> None:
        self._layer = layer
        self._consumer = consumer

    def prepare(self, delivery: Delivery) -> Call:
        envelope = delivery.envelope
        message = Message(decode_message(delivery.body), envelope.channel, self._layer, envelope=envelope)
        return BlockingCall(self._consumer, message)

    def time_limit(self, delivery: Delivery) -> float:
        return math.inf

    def leave_thread(self) -> None:
        pass


@dataclass
class BlockingCall:
    consumer: Callable[[Message], None]
    message: Message
    is_coroutine: bool = False
    retry: Retry | None = None

    def run(self, outbox: Outbox) -> None:
        self.consumer(self.message)

    async def arun(self, outbox: Outbox) -> None:
        raise NotImplementedError
