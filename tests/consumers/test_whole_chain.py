"""Class-based consumers through the whole chain: a client's socket, the interface server, the layer, and a worker."""

import json

import pytest
from django.urls import path
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from fairway import Group, channel_layers
from fairway.application import application_for
from fairway.consumers import JsonWebsocketConsumer, WebsocketConsumer, WebsocketDemultiplexer, WebsocketMultiplexer
from fairway.errors import DenyConnection
from tests.support.serving import serving
from tests.support.waiting import wait_until


class Chat(JsonWebsocketConsumer):
    """A room: what is said is seen by all, what is whispered by those who may."""

    def connection_groups(self, room):
        return [f"room-{room}"]

    def connect(self, message, room):
        if room == "closed":
            raise DenyConnection
        self.state.heard = 0
        self.send({"welcome": room})

    def receive(self, content, room):
        if "whisper" in content:
            Group(f"room-{room}").send({"type": "room.whisper", "text": content["whisper"]})
        else:
            self.group_send(f"room-{room}", {"said": content["text"]})

    def room_whisper(self, event, room):
        self.state.heard += 1
        self.send({"heard": event["text"], "times": self.state.heard})

    def disconnect(self, message, room):
        self.group_send("ends", {"left": room, "code": message["code"], "heard": self.state.heard})


class AsyncChat(Chat):
    async def connect(self, message, room):
        Chat.connect(self, message, room)

    async def receive(self, content, room):
        if "whisper" in content:
            await Group(f"room-{room}").asend({"type": "room.whisper", "text": content["whisper"]})
        else:
            await self.agroup_send(f"room-{room}", {"said": content["text"]})

    async def room_whisper(self, event, room):
        Chat.room_whisper(self, event, room)

    async def disconnect(self, message, room):
        await self.agroup_send("ends", {"left": room, "code": message["code"], "heard": self.state.heard})


class Ends(WebsocketConsumer):
    groups = ["ends"]


class Echo(JsonWebsocketConsumer):
    def receive(self, content, multiplexer, **kwargs):
        multiplexer.send({"echo": content})


class AsyncNews(JsonWebsocketConsumer):
    async def connect(self, message, multiplexer, **kwargs):
        await Group("news").aadd(message.reply_channel)
        multiplexer.send({"news": "none so far"})

    async def receive(self, content, multiplexer, **kwargs):
        if content["title"] == "fail":
            raise ValueError("boom")
        await WebsocketMultiplexer.agroup_send("news", multiplexer.stream, content)
        await Group("news").asend({"type": "news.published"})

    async def news_published(self, event, multiplexer, **kwargs):
        multiplexer.send({"event": event["type"]})


class Demultiplexer(WebsocketDemultiplexer):
    consumers = {"echo": Echo, "news": AsyncNews}


channel_routing = [
    path("chat/<slug:room>/", Chat),
    path("achat/<slug:room>/", AsyncChat),
    path("ends/", Ends),
    path("streams/", Demultiplexer),
]


@pytest.fixture
def at(settings):
    """Open a client at a path."""
    routing = "tests.consumers.test_whole_chain.channel_routing"
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": routing}}
    with serving(channel_layers["default"], application_for()) as port:
        yield lambda where: connect(f"ws://127.0.0.1:{port}/{where}")
    channel_layers.clear()


def hear(client, count=1):
    return [json.loads(client.recv(30)) for _ in range(count)]


@pytest.mark.parametrize("where", ["chat", "achat"])
def test_a_room(at, where):
    with at("ends/") as ends:
        with at(f"{where}/blue/") as one, at(f"{where}/blue/") as two, at(f"{where}/red/") as other:
            assert [hear(each) for each in (one, two, other)] == [
                [{"welcome": "blue"}],
                [{"welcome": "blue"}],
                [{"welcome": "red"}],
            ]
            one.send('{"text": "hi"}')
            assert hear(one) == hear(two) == [{"said": "hi"}]
            for _ in range(2):
                two.send('{"whisper": "psst"}')
            assert hear(one, 2) == hear(two, 2) == [{"heard": "psst", "times": times} for times in (1, 2)]
            other.close(4001)
            assert hear(ends) == [{"left": "red", "code": 4001, "heard": 0}]
        assert hear(ends, 2) == [{"left": "blue", "code": 1000, "heard": 2}] * 2
    wait_until(lambda: Group("room-blue").channels() == [])


@pytest.mark.parametrize("where", ["chat", "achat"])
def test_a_handshake_that_is_denied(at, where):
    with pytest.raises(InvalidStatus) as refused:
        at(f"{where}/closed/")
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    ("frame", "code", "reason"), [("x", 1007, "this is no JSON"), (b"x", 1003, "send JSON as text")]
)
def test_what_is_no_json_closes_the_socket(at, frame, code, reason, caplog):
    with at("chat/blue/") as client:
        hear(client)
        client.send(frame)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(30)
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (code, reason)


def test_streams(at, caplog):
    with at("streams/") as client:
        assert hear(client) == [{"stream": "news", "payload": {"news": "none so far"}}]
        client.send('{"stream": "echo", "payload": {"a": 1}}')
        assert hear(client) == [{"stream": "echo", "payload": {"echo": {"a": 1}}}]
        client.send('{"stream": "news", "payload": {"title": "fail"}}')
        client.send('{"stream": "nope", "payload": {}}')
        assert [frame["stream"] for frame in hear(client)] == ["nope"]
        client.send('{"stream": "news", "payload": {"title": "Fairway"}}')
        assert hear(client, 2) == [
            {"stream": "news", "payload": {"title": "Fairway"}},
            {"stream": "news", "payload": {"event": "news.published"}},
        ]
    levels = [record.levelname for record in caplog.records if record.name.startswith("fairway")]
    assert levels == ["ERROR", "WARNING"]
