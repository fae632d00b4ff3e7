"""What an application overrides and catches, in its own words. mypy reads this file; nothing runs it."""

import json
from collections.abc import Callable
from typing import Any, assert_type

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model
from django.http import HttpRequest, HttpResponse

from fairway import DEFAULT_CHANNEL_LAYER, Channel, Group, Message, channel_layers
from fairway.binding import WebsocketBinding, WebsocketBindingWithMembers
from fairway.consumers import (
    BaseConsumer,
    JsonWebsocketConsumer,
    WebsocketConsumer,
    WebsocketDemultiplexer,
    WebsocketMultiplexer,
)
from fairway.errors import (
    ChannelFull,
    ChannelSocketException,
    FairwayError,
    InvalidMessage,
    InvalidName,
    LayerUnavailable,
    MessageTooLarge,
    RequestAborted,
    RequestTimeout,
    SendNotAvailableOnDemultiplexer,
    UsageError,
)
from fairway.http import AsgiHandler, AsgiRequest, StaticFilesHandler, ViewConsumer
from fairway.layers import LocalLayer, MemoryLayer
from fairway.testing import Client, WSClient

Handler = Callable[..., Any]


def timed(handler: Handler) -> Handler:
    """Decorate a handler."""
    return handler


class Decorated(BaseConsumer):
    """Decorators of one's own."""

    method_mapping = {"work": "act"}

    @classmethod
    def channel_names(cls) -> set[str]:
        return {*super().channel_names(), "more-work"}

    def get_handler(self, message: Message, **kwargs: Any) -> Handler:
        return timed(super().get_handler(message, **kwargs))

    def dispatch(self, message: Message, **kwargs: Any) -> Any:
        return super().dispatch(message, **kwargs)

    def act(self, message: Message, **kwargs: Any) -> None:
        """Work."""


class Raw(WebsocketConsumer):
    """The methods around the hooks."""

    http_user_and_session = True
    strict_ordering = True

    def raw_connect(self, message: Message, **kwargs: Any) -> None:
        super().raw_connect(message, **kwargs)

    def raw_receive(self, message: Message, **kwargs: Any) -> None:
        self.send(bytes=message["bytes"])

    def raw_event(self, message: Message, **kwargs: Any) -> None:
        self.send(text=message["event"]["text"])

    def raw_disconnect(self, message: Message, **kwargs: Any) -> None:
        super().raw_disconnect(message, **kwargs)


class Dates(JsonWebsocketConsumer):
    """JSON of one's own."""

    @classmethod
    def decode_json(cls, text: str) -> Any:
        return json.loads(text, parse_float=str)

    @classmethod
    def encode_json(cls, content: Any) -> str:
        return json.dumps(content, cls=DjangoJSONEncoder)


class PlainMultiplexer(WebsocketMultiplexer):
    """Frames of one's own."""

    @classmethod
    def encode_json(cls, content: Any) -> str:
        return json.dumps(content)


class Streams(WebsocketDemultiplexer):
    """Multiplexers of one's own."""

    consumers = {"dates": Dates}
    multiplexer_class = PlainMultiplexer
    http_user = True

    def connect(self, message: Message, **kwargs: Any) -> None:
        try:
            self.send({"welcome": True})
        except SendNotAvailableOnDemultiplexer:
            super().connect(message, **kwargs)


class Bound(WebsocketBinding):
    """Payloads of one's own."""

    model = "auth.User"
    stream = "users"
    fields = ["username"]

    @classmethod
    def get_handler(cls) -> Handler:
        return timed(super().get_handler())

    @classmethod
    def get_registered_models(cls) -> list[type[Model]]:
        return [Model]

    @classmethod
    def group_names(cls, instance: Any) -> list[str]:
        return ["users"]

    def serialize(self, instance: Model, action: str) -> dict[str, Any]:
        return {} if action == "delete" else super().serialize(instance, action)

    def create(self, data: dict[str, Any]) -> None:
        super().create({**data, "first_name": ""})


class Members(WebsocketBindingWithMembers):
    """An encoder of one's own."""

    model = "auth.User"
    stream = "members"
    fields = "__all__"
    send_members = ["get_full_name"]
    encoder = DjangoJSONEncoder()


class Tell(ChannelSocketException):
    """An end of one's own."""

    def run(self, message: Message) -> None:
        message.reply_channel.send({"text": "that was that"})


class Later(AsgiRequest):
    """More patience."""

    body_receive_timeout = 300


class Own(AsgiHandler):
    """A response of one's own."""

    request_class = Later
    chunk_size = 64 * 1024

    def get_response(self, request: HttpRequest) -> HttpResponse:
        try:
            return HttpResponse(request.body)
        except (RequestAborted, RequestTimeout):
            return HttpResponse(status=408)


class OwnViews(ViewConsumer):
    """And who sends it."""

    handler_class = Own


class OwnFiles(StaticFilesHandler):
    """Files from elsewhere."""

    def file_path(self, url: str) -> str:
        return super().file_path(url).lower()


def send_or_not() -> str:
    """What may go wrong."""
    try:
        Channel("work", alias=DEFAULT_CHANNEL_LAYER).send({"id": 1}, immediately=True)
    except ChannelFull as error:
        return error.channel
    except InvalidMessage as error:
        return error.key
    except MessageTooLarge as error:
        return f"{error.size} of {error.limit}"
    except (InvalidName, LayerUnavailable, UsageError, FairwayError) as error:
        return str(error)
    return ""


def layers() -> None:
    """Layers by hand."""
    layer = channel_layers["default"]
    assert_type(isinstance(layer, LocalLayer | MemoryLayer), bool)
    Group("g", channel_layer=layer).add("websocket.send.A1!c1")
    with_alias = Channel(b"work", "other")
    assert_type(with_alias.name, str)


async def coroutine_tests() -> None:
    """What coroutine tests await."""
    client, socket = Client(), WSClient()
    client.join_group("g")
    assert_type(client.channel_layer, MemoryLayer)
    await client.aconsume("work")
    await socket.aconnect("/")
    await socket.aconsume("websocket.event", fail_on_none=False)
    await socket.adisconnect(code=1001)
