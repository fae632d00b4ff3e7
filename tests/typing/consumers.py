"""Class-based consumers as a typed application writes them. mypy reads this file; nothing runs it."""

from collections.abc import Iterable
from typing import Any, assert_type

from django.urls import path

from fairway import Group, Message, include, route_class
from fairway.consumers import (
    BaseConsumer,
    JsonWebsocketConsumer,
    Retry,
    WebsocketConsumer,
    WebsocketDemultiplexer,
    WebsocketMultiplexer,
    background,
)


class Chat(JsonWebsocketConsumer):
    """Hooks take the arguments of the routes, and each may be one or the other kind of function."""

    http_user = True
    groups = ["everyone"]

    def connection_groups(self, room: str) -> list[str]:
        return [f"room-{room}"]

    async def connect(self, message: Message, room: str) -> None:
        self.state.room = room
        self.send({"welcome": room})

    def receive(self, content: Any, room: str) -> None:
        Group(f"room-{room}").send({"type": "chat.message", "text": content["text"]})
        self.group_send("everyone", {"in": self.path}, close=True)

    async def chat_message(self, event: dict[str, Any], **kwargs: Any) -> None:
        await self.agroup_send("everyone", event)

    def wrong_json(self, frame: str | bytes | None, error: Exception) -> None:
        self.close(4000, reason=str(error))

    @classmethod
    def encode_json(cls, content: Any) -> str:
        return assert_type(super().encode_json(content), str)

    async def disconnect(self, message: Message, room: str) -> None:
        del self.state.room


class Plain(WebsocketConsumer):
    """Frames as they come."""

    async def connection_groups(self, **kwargs: Any) -> Iterable[str]:
        return ("a", "b")

    def receive(self, text: str | None = None, bytes: bytes | None = None, **kwargs: Any) -> None:  # noqa: A002
        self.send(text, bytes, close=4000)


class Work(BaseConsumer):
    """Channels of the application's own."""

    method_mapping = {"work": "act", "more.work": "aact"}

    def act(self, message: Message) -> None:
        assert_type(message["size"], Any)

    async def aact(self, message: Message) -> None:
        assert_type(message.id, str)


class Echo(JsonWebsocketConsumer):
    """A stream."""

    def receive(self, content: Any, multiplexer: WebsocketMultiplexer, **kwargs: Any) -> None:
        assert_type(multiplexer.stream, str)
        multiplexer.send({"echo": content})


async def log(message: Message, multiplexer: WebsocketMultiplexer, **kwargs: Any) -> None:
    """A stream that is a function."""
    await multiplexer.agroup_send("loggers", multiplexer.stream, {"text": message["text"]})


class Demultiplexer(WebsocketDemultiplexer):
    """Several of them."""

    consumers = {"echo": Echo, "log": log}

    def connect(self, message: Message, **kwargs: Any) -> Any:
        return super().connect(message, **kwargs)

    def wrong_frame(self, stream: str | None, reason: str) -> None:
        raise ValueError(reason)


routing = [
    path("chat/<slug:room>/", Chat.as_route()),
    path("streams/", include([Demultiplexer.as_route(attrs={"http_user": True})])),
    route_class(Plain, path="^/plain"),
    Work.as_route(),
]


class Import(BaseConsumer):
    """Work in the background."""

    retry = Retry(3, on=OSError)
    time_limit = 60


@background(retry=3, time_limit=0.5)
def thumbnail(message: Message, size: int) -> None:
    """The same, as a function."""


@background(retry=Retry(pause=5, on=(OSError, ValueError)))
async def athumbnail(message: Message) -> str:
    return "done"


async def by_hand(message: Message) -> None:
    """What a test may do."""
    assert_type(await Chat(message, room="blue"), Chat)
    assert_type(Chat.runs_as_coroutine(message), bool)


def wrong(chat: Chat, message: Message) -> None:
    """What mypy must refuse."""
    thumbnail(message, size="large")  # type: ignore[arg-type]
    background(retry="often")  # type: ignore[arg-type]
    Retry(on=BaseException)  # type: ignore[arg-type]
    chat.close("now")  # type: ignore[arg-type]
    chat.group_send({"text": "hi"})  # type: ignore[arg-type, call-arg]
    Chat.as_route({"groups": []}, path=5)  # type: ignore[arg-type]
