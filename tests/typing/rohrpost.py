"""Handlers, consumers and models of rohrpost, with types. mypy reads this file; nothing runs it."""

from typing import Any, TypedDict, assert_type

from django.db import models
from django.urls import path

from fairway import Message, route_class
from fairway.consumers import WebsocketConsumer
from fairway.rohrpost import (
    NotifyOnChange,
    NotifyOnUpdate,
    SyncRohrpostConsumer,
    TolerantJSONEncoder,
    asend_to_group,
    build_message,
    handle_rohrpost_message,
    rohrpost_handler,
    rohrpost_subscription,
    send_error,
    send_message,
    send_success,
    send_to_group,
)
from fairway.testing import RecordingConsumer


class NewTodo(TypedDict):
    title: str


@rohrpost_handler("add")
def add(consumer: SyncRohrpostConsumer, request: dict[str, Any], data: NewTodo) -> None:
    consumer.add_to_group("todos")
    consumer.state.last = data["title"]
    send_success(consumer=consumer, handler="add", message_id=request["id"], data={"title": data["title"]})


@rohrpost_handler(["slow", "slower"])
async def slow(consumer: SyncRohrpostConsumer, request: dict[str, Any]) -> None:
    await consumer.aremove_from_group("todos")
    await asend_to_group("todos", build_message(handler="slow", generate_id=True))
    send_error(consumer=consumer, handler=None, message_id=None, error={"user": consumer.user.pk})


@rohrpost_subscription("todo")
async def may_see(consumer: SyncRohrpostConsumer, data: NewTodo) -> bool:
    return bool(consumer.session.get("staff"))


class Blocking(SyncRohrpostConsumer):
    """The hooks of Channels 3 and 4."""

    json_encoder = TolerantJSONEncoder

    def connect(self) -> None:
        self.accept(subprotocol="v2")

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        super().receive(text_data=text_data)

    def disconnect(self, close_code: int) -> None:
        super().disconnect(close_code)

    def chat_message(self, event: dict[str, Any]) -> None:
        self.send("text")
        self.close(code=4000, reason="enough")


class Coroutines(SyncRohrpostConsumer):
    """The same, to be awaited."""

    async def connect(self) -> None:
        assert_type(self.channel_name, str)
        assert_type(self.scope, dict[str, Any])
        self.close()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await super().receive(text_data, bytes_data)

    async def disconnect(self, code: int) -> None:
        await self.aadd_to_group("gone")


class Own(WebsocketConsumer):
    """A consumer of one's own."""

    def receive(self, text: str | None = None, **kwargs: Any) -> None:
        handle_rohrpost_message(self, text)


class Todo(NotifyOnChange, models.Model):
    """All is told."""

    title = models.CharField(max_length=20)

    def __str__(self) -> str:
        return self.title

    def get_group_name(self, message_type: str) -> str:
        return f"{message_type}-{self.pk}"


class Note(NotifyOnUpdate, models.Model):
    """Some is told."""

    rohrpost_always_send = False
    group_name = "notes"

    def __str__(self) -> str:
        return "note"


add(SyncRohrpostConsumer.as_asgi()(Message({}, None, None)), {"id": 1}, {"title": "a function stays what it is"})
send_to_group("todos", '{"type": "note"}')
send_message(consumer=RecordingConsumer(), handler="a", message_id=0)
routing = [path("ws/", Blocking.as_route()), route_class(Coroutines.as_asgi(http_user=False))]
