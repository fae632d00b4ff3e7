"""Applications written for Channels 1, as their tests drive them: only the imports are other ones."""

import json

import pytest
from django.contrib.auth import get_user_model
from django.test import override_settings

from fairway import route_class
from fairway.auth import channel_session_user_from_http
from fairway.consumers import (
    BaseConsumer,
    JsonWebsocketConsumer,
    WebsocketConsumer,
    WebsocketDemultiplexer,
    WebsocketMultiplexer,
)
from fairway.errors import SendNotAvailableOnDemultiplexer
from fairway.sessions import enforce_ordering
from fairway.testing import ChannelTestCase, Client, WSClient, apply_routes


@override_settings(
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    CHANNEL_LAYERS={"default": {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": []}},
)
class GenericTests(ChannelTestCase):
    def test_base_consumer(self):
        class Consumers(BaseConsumer):
            method_mapping = {"test.create": "create", "test.test": "test"}

            def create(self, message, **kwargs):
                self.called = "create"

            def test(self, message, **kwargs):
                self.called = "test"

        with apply_routes([route_class(Consumers)]):
            client = Client()
            assert client.send_and_consume("test.create").called == "create"
            assert client.send_and_consume("test.test").called == "test"

    def test_websockets_consumers_handlers(self):
        class Consumer(WebsocketConsumer):
            def connect(self, message, **kwargs):
                self.called = "connect"
                self.id = kwargs["id"]

            def disconnect(self, message, **kwargs):
                self.called = "disconnect"

            def receive(self, text=None, bytes=None, **kwargs):  # noqa: A002
                self.text = text

        with apply_routes([route_class(Consumer, path=r"/path/(?P<id>\d+)")]):
            client = Client()
            consumer = client.send_and_consume("websocket.connect", {"path": "/path/1"})
            assert consumer.called == "connect"
            assert consumer.id == "1"
            consumer = client.send_and_consume("websocket.receive", {"path": "/path/1", "text": "text"})
            assert consumer.text == "text"
            consumer = client.send_and_consume("websocket.disconnect", {"path": "/path/1"})
            assert consumer.called == "disconnect"

    def test_async_handlers(self):
        class Consumer(WebsocketConsumer):
            async def connect(self, message, **kwargs):
                self.called = "connect"

        with apply_routes([route_class(Consumer)]):
            assert Client().send_and_consume("websocket.connect", {"path": "/"}).called == "connect"

    def test_websockets_http_session_and_channel_session(self):
        class Consumer(WebsocketConsumer):
            http_user_and_session = True

        user = get_user_model().objects.create_user(username="test", email="test@test.com", password="123456")
        client = WSClient()
        client.force_login(user)
        with apply_routes([route_class(Consumer, path=r"^/path$")]):
            connect = client.send_and_consume("websocket.connect", {"path": "/path"})
            receive = client.send_and_consume("websocket.receive", {"path": "/path"}, text={"key": "value"})
            disconnect = client.send_and_consume("websocket.disconnect", {"path": "/path"})
        assert connect.message.http_session.session_key == receive.message.http_session.session_key
        assert connect.message.http_session.session_key == disconnect.message.http_session.session_key

    def test_as_route_method(self):
        class Consumer(BaseConsumer):
            trigger = "new"

            def test(self, message, **kwargs):
                self.message.reply_channel.send({"trigger": self.trigger})

        method_mapping = {"mychannel": "test"}
        with apply_routes(
            [Consumer.as_route({"method_mapping": method_mapping, "trigger": "from_as_route"}, name="filter")]
        ):
            client = Client()
            client.send_and_consume("mychannel", {"name": "filter"})
            assert client.receive() == {"trigger": "from_as_route"}

    def test_decorators_of_ones_own(self):
        class Consumer(WebsocketConsumer):
            def get_handler(self, message, **kwargs):
                handler = super().get_handler(message, **kwargs)
                return enforce_ordering(channel_session_user_from_http(handler))

        with apply_routes([route_class(Consumer)]):
            client = WSClient(ordered=True)
            message = client.send_and_consume("websocket.connect").message
            assert message.user.is_anonymous

    def test_websockets_demultiplexer(self):
        class MyConsumer(JsonWebsocketConsumer):
            def connect(self, message, multiplexer=None, **kwargs):
                multiplexer.send(kwargs)

            def disconnect(self, message, multiplexer=None, **kwargs):
                multiplexer.send(kwargs)

            def receive(self, content, multiplexer=None, **kwargs):
                multiplexer.send(content)

        class Demultiplexer(WebsocketDemultiplexer):
            consumers = {"mystream": MyConsumer}

        with apply_routes([route_class(Demultiplexer, path=r"/path/(?P<id>\d+)")]):
            client = WSClient()
            client.send_and_consume("websocket.connect", path="/path/1")
            assert client.receive() == {"stream": "mystream", "payload": {"id": "1"}}
            client.send_and_consume(
                "websocket.receive",
                text={"stream": "mystream", "payload": {"text_field": "mytext"}},
                path="/path/1",
            )
            assert client.receive() == {"stream": "mystream", "payload": {"text_field": "mytext"}}
            client.send_and_consume("websocket.disconnect", path="/path/1")
            assert client.receive() == {"stream": "mystream", "payload": {"id": "1"}}

    def test_websocket_demultiplexer_send(self):
        class MyConsumer(JsonWebsocketConsumer):
            def receive(self, content, multiplexer=None, **kwargs):
                self.send(content)

        class Demultiplexer(WebsocketDemultiplexer):
            consumers = {"mystream": MyConsumer}

        with apply_routes([route_class(Demultiplexer, path=r"/path/(?P<id>\d+)")]):
            client = WSClient()
            with pytest.raises(SendNotAvailableOnDemultiplexer):
                client.send_and_consume(
                    "websocket.receive",
                    path="/path/1",
                    text={"stream": "mystream", "payload": {"text_field": "mytext"}},
                )
            client.receive()

    def test_websocket_custom_json_serialization(self):
        class Consumer(JsonWebsocketConsumer):
            @classmethod
            def decode_json(cls, text):
                return {key.upper(): value for key, value in json.loads(text).items()}

            @classmethod
            def encode_json(cls, content):
                return json.dumps({key.lower(): value for key, value in content.items()})

            def receive(self, content, multiplexer=None, **kwargs):
                self.content_received = content
                self.send({"RESPONSE": "HI"})

        class MyMultiplexer(WebsocketMultiplexer):
            @classmethod
            def encode_json(cls, content):
                return json.dumps({key.lower(): value for key, value in content.items()})

        with apply_routes([route_class(Consumer, path="/path")]):
            client = WSClient()
            consumer = client.send_and_consume("websocket.receive", path="/path", text={"key": "value"})
            assert consumer.content_received == {"KEY": "value"}
            assert client.receive() == {"response": "HI"}
            client.join_group("test_group")
            Consumer.group_send("test_group", {"KEY": "VALUE"})
            assert client.receive() == {"key": "VALUE"}
            MyMultiplexer.group_send("test_group", "stream", {"KEY": "VALUE"})
            assert client.receive() == {"stream": "stream", "payload": {"KEY": "VALUE"}}
