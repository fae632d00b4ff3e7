"""An application that came from Channels 1, with annotations and nothing else changed but its imports.

mypy reads this file; nothing runs it.
"""

import json
from typing import Any, assert_type

from django.db import models
from django.http import HttpRequest, HttpResponse

from fairway import Channel, Group, Message, include, route, route_class
from fairway.auth import channel_session_user, channel_session_user_from_http
from fairway.binding import Binding, WebsocketBinding, WebsocketBindingWithMembers
from fairway.consumers import (
    BaseConsumer,
    JsonWebsocketConsumer,
    WebsocketConsumer,
    WebsocketDemultiplexer,
    WebsocketMultiplexer,
)
from fairway.errors import ConsumeLater, DenyConnection, ResponseLater, WebsocketCloseException
from fairway.http import AsgiHandler, AsgiRequest, StaticFilesConsumer, ViewConsumer
from fairway.routing import Entry, Include, Route, RouteClass, Router
from fairway.security import BaseOriginValidator, allowed_hosts_only
from fairway.sessions import channel_session, enforce_ordering, http_session
from fairway.signals import consumer_finished, consumer_started, worker_process_ready, worker_ready
from fairway.testing import ChannelTestCase, WSClient, apply_routes

# --- functions --------------------------------------------------------------------------------------------------------


def http_consumer(message: Message) -> None:
    """Answer a request by hand."""
    response = HttpResponse(f"Hello world! You asked for {message.content['path']}")
    for chunk in AsgiHandler.encode_response(response):
        message.reply_channel.send(chunk)


@allowed_hosts_only
@channel_session_user_from_http
def ws_connect(message: Message, room: str) -> None:
    """Decide about a socket."""
    if not message.user.is_authenticated:
        raise DenyConnection
    message.reply_channel.send({"accept": True})
    message.channel_session["room"] = room
    Group(f"chat-{room}").add(message.reply_channel)


@enforce_ordering
@channel_session_user
def ws_message(message: Message) -> None:
    """Work for later."""
    text: str = message["text"]
    Channel("chat-messages").send({"room": message.channel_session["room"], "message": text})
    Channel("thumbnailing-tasks").send({"id": 34245}, immediately=True)


@channel_session
def ws_disconnect(message: Message) -> None:
    """Leave."""
    Group(f"chat-{message.channel_session['room']}").discard(message.reply_channel)


def msg_consumer(message: Message) -> None:
    """Consume a channel of one's own."""
    if "room" not in message:
        raise ConsumeLater
    if message.get("message") == "bye":
        raise WebsocketCloseException(code=4000)
    Group(f"chat-{message['room']}").send({"text": message.content["message"]})


@http_session
def from_a_page(message: Message) -> None:
    """Look at the browser's session."""
    if message.http_session is not None:
        message.http_session["seen"] = True


def later(request: HttpRequest) -> HttpResponse:
    """A view that somebody else answers."""
    if isinstance(request, AsgiRequest) and request.reply_channel is not None:
        Channel("answers").send({"to": request.reply_channel.name})
        raise AsgiRequest.ResponseLater
    raise ResponseLater


# --- classes ----------------------------------------------------------------------------------------------------------


class MyConsumer(WebsocketConsumer):
    """The first example of the Channels documentation."""

    http_user = True
    strict_ordering = False

    def connection_groups(self, **kwargs: Any) -> list[str]:
        return ["test"]

    def connect(self, message: Message, **kwargs: Any) -> None:
        self.message.reply_channel.send({"accept": True})

    def receive(self, text: str | None = None, bytes: bytes | None = None, **kwargs: Any) -> None:  # noqa: A002
        self.send(text=text, bytes=bytes)

    def disconnect(self, message: Message, **kwargs: Any) -> None:
        pass


class Tasks(BaseConsumer):
    """One for channels."""

    method_mapping = {"tasks.add": "add"}
    channel_session = True

    def add(self, message: Message, **kwargs: Any) -> None:
        self.group = message["group"]


class EchoConsumer(JsonWebsocketConsumer):
    """A stream."""

    def connect(self, message: Message, multiplexer: WebsocketMultiplexer, **kwargs: Any) -> None:
        multiplexer.send({"status": "I just connected!"})

    def disconnect(self, message: Message, multiplexer: WebsocketMultiplexer, **kwargs: Any) -> None:
        assert_type(multiplexer.reply_channel, Channel)

    def receive(self, content: Any, multiplexer: WebsocketMultiplexer, **kwargs: Any) -> None:
        multiplexer.send({"original_message": content})


# --- data binding -----------------------------------------------------------------------------------------------------


class IntegerValue(models.Model):
    """The model of the Channels documentation."""

    name = models.CharField(max_length=100, unique=True)
    value = models.IntegerField(default=0)
    admin_only = models.BooleanField(default=False)

    class Meta:
        app_label = "bound"

    def __str__(self) -> str:
        return self.name


class IntegerValueBinding(WebsocketBinding):
    """The binding of the Channels documentation."""

    model = IntegerValue
    stream = "intval"
    fields = ["name", "value"]

    @classmethod
    def group_names(cls, instance: IntegerValue) -> list[str]:
        return ["intval-updates"]

    def has_permission(self, user: Any, action: str, pk: Any) -> bool:
        return True


class NotedBinding(WebsocketBindingWithMembers):
    """The `group_names` of the release notes, and members."""

    model = "bound.IntegerValue"
    stream = "noted"
    exclude = ["value"]
    send_members = ["get_absolute_url"]

    def group_names(self, instance: IntegerValue) -> list[str]:
        if instance.admin_only:
            return ["admins"]
        else:  # noqa: RET505  as the notes have it
            return ["admins", "non-admins"]


class PlainBinding(Binding):
    """One with another protocol."""

    model = IntegerValue
    stream = "plain"
    fields = "__all__"

    @classmethod
    def group_names(cls, instance: IntegerValue) -> list[str]:
        return ["plain"]

    def serialize(self, instance: IntegerValue, action: str) -> dict[str, Any]:
        return {"name": instance.name, "action": action}

    @classmethod
    def encode(cls, stream: str, payload: Any) -> dict[str, Any]:
        return {"text": json.dumps([stream, payload])}

    def deserialize(self, message: Message) -> tuple[str, Any, dict[str, Any]]:
        action, pk, data = json.loads(message["text"])
        return action, pk, data

    def has_permission(self, user: Any, action: str, pk: Any) -> bool:
        return bool(user.is_staff)


class Demultiplexer(WebsocketDemultiplexer):
    """Functions, classes and bindings side by side."""

    consumers = {
        "echo": EchoConsumer,
        "other": msg_consumer,
        "intval": IntegerValueBinding.consumer,
    }

    def connection_groups(self, **kwargs: Any) -> list[str]:
        return ["intval-updates"]


# --- routing ----------------------------------------------------------------------------------------------------------

http_routing = [
    route("http.request", "project.polls.consumers.poll", path=r"^/poll/$", method=r"^POST$"),
    route("http.request", http_consumer, path=b"^/hello/"),
]

chat_routing = [
    route("websocket.connect", ws_connect, path=r"^/(?P<room>[a-zA-Z0-9_]+)/$"),
    route("websocket.receive", ws_message),
    route("websocket.disconnect", ws_disconnect),
]

routing = [
    include(chat_routing, path=r"^/chat"),
    include("project.routing.channel_routing"),
    include(http_routing),
    route_class(MyConsumer, path=r"^/mine/"),
    MyConsumer.as_route(path=r"^/other/", attrs={"group_prefix": "x"}),
    Tasks.as_route(),
    route_class(Demultiplexer, path=r"^/binding/"),
    route(["chat-messages", b"old-messages"], msg_consumer),
]

assert_type(routing[0], Entry)
assert_type(include(chat_routing), Include)
assert_type(route("a", http_consumer), Route)
assert_type(Tasks.as_route(), RouteClass)
assert_type(Router(routing).channels, set[str])
http = [ViewConsumer(), StaticFilesConsumer()]


class OwnOrigin(BaseOriginValidator):
    """A rule of one's own."""

    def validate_origin(self, message: Message, origin: str) -> bool:
        return self.get_header(message, b"origin") == [origin]


# --- signals and tests ------------------------------------------------------------------------------------------------


def note(sender: Any, **kwargs: Any) -> None:
    """Hear of work."""


for signal in (consumer_started, consumer_finished, worker_ready, worker_process_ready):
    signal.connect(note)


class Tests(ChannelTestCase):
    """Tests as they were."""

    @apply_routes([route_class(MyConsumer, path="/path"), route("websocket.receive", ws_message)])
    def test_groups(self) -> None:
        client = WSClient()
        client.send_and_consume("websocket.connect", path="/path/")
        client.send_and_consume("websocket.receive", text={"key": "value"}, path="/path/")
        assert client.receive() is None
        client.consume("chat-messages", fail_on_none=False)
        self.get_next_message("thumbnailing-tasks", require=True)
