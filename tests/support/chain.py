"""A worker and the server's end of a real memory layer, so that a test sees what a server would see."""

from types import TracebackType
from typing import Any, Self

from fairway.application import DjangoApplication
from fairway.broker.effects import Done, Envelope, Frame, GroupFrame, Item, State
from fairway.layers.codec import decode_message, encode_message
from fairway.layers.memory import MemoryLayer
from fairway.limits import WorkerLimits
from fairway.message import Message
from fairway.routing import Router
from fairway.worker.contract import Application
from fairway.worker.loop import Worker
from tests.support.waiting import wait_until

SOCKETS = "websocket.send.T1!"
REQUESTS = "http.response.T1!"
CLIENT = f"{SOCKETS}c1"


def answer_nothing(message: Message) -> None:
    """An HTTP consumer for tests without HTTP."""


class Chain:
    """Messages in, items out. Use it in a `with`: the worker runs meanwhile."""

    def __init__(
        self,
        routing: Any = (),
        *,
        application: Application | None = None,
        layer: MemoryLayer | None = None,
        threads: int = 2,
        limits: WorkerLimits | None = None,
    ) -> None:
        self.layer = layer or MemoryLayer()
        self.inbox = self.layer.inbox([SOCKETS, REQUESTS], lambda: None)
        self.items: list[Item] = []
        self.sent = 0
        application = application or DjangoApplication(self.layer, Router(list(routing)), http_consumer=answer_nothing)
        self.worker = Worker(self.layer, application, threads=threads, limits=limits)

    def __enter__(self) -> Self:
        self.worker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.worker.stop(5)
        self.layer.close()

    def submit(
        self, channel: str, content: dict[str, Any], reply: str = CLIENT, order: int = 0, **envelope: Any
    ) -> None:
        """Hand a connection's message to the workers, as a server does."""
        self.sent += 1
        body = encode_message({"reply_channel": reply, "order": order, **content})
        self.inbox.submit(Envelope(f"m{self.sent}", channel, reply, order=order, **envelope), body)

    def run(self, channel: str, content: dict[str, Any], reply: str = CLIENT, order: int = 0, **envelope: Any) -> None:
        """Submit a message and wait until it is consumed."""
        before = len(self.dones(reply))
        self.submit(channel, content, reply, order, **envelope)
        wait_until(lambda: len(self.dones(reply)) > before, f"{channel} {order} to be consumed")

    def connect(self, path: str = "/", reply: str = CLIENT) -> list[dict[str, Any]]:
        """Run a connect; return what was answered."""
        seen = len(self.frames(reply))
        self.run("websocket.connect", {"path": path, "headers": []}, reply)
        return self.frames(reply)[seen:]

    def receive(self, text: str, path: str = "/", reply: str = CLIENT, order: int = 1) -> list[dict[str, Any]]:
        """Run a frame of the client; return what was answered."""
        seen = len(self.frames(reply))
        self.run("websocket.receive", {"path": path, "text": text}, reply, order)
        return self.frames(reply)[seen:]

    def look(self) -> list[Item]:
        """Take what has come to the server's end; return all that ever came."""
        self.items += self.inbox.drain()
        return self.items

    def frames(self, reply: str = CLIENT) -> list[dict[str, Any]]:
        """The messages for one connection so far."""
        return [decode_message(i.body) for i in self.look() if isinstance(i, Frame) and i.channel == reply]

    def group_frames(self) -> list[tuple[str, dict[str, Any]]]:
        """The group messages so far."""
        return [(i.group, decode_message(i.body)) for i in self.look() if isinstance(i, GroupFrame)]

    def dones(self, reply: str = CLIENT) -> list[int]:
        """The orders that were consumed so far."""
        return [i.order for i in self.look() if isinstance(i, Done) and i.channel == reply]

    def states(self, reply: str = CLIENT) -> list[dict[str, bytes | None]]:
        """The state changes so far."""
        return [i.changes for i in self.look() if isinstance(i, State) and i.channel == reply]

    def wait_frames(self, count: int, reply: str = CLIENT) -> list[dict[str, Any]]:
        """The messages for one connection, once there are so many."""
        wait_until(lambda: len(self.frames(reply)) >= count, f"{count} frames")
        return self.frames(reply)
