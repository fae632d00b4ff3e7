"""The page about class-based consumers: its code runs, and it names what there is."""

import json
import re

import pytest

from fairway import channel_layers, route_class
from fairway.broker.effects import Add
from fairway.consumers import JsonWebsocketConsumer, WebsocketConsumer, WebsocketDemultiplexer, WebsocketMultiplexer
from tests.support.chain import Chain
from tests.test_docs_application import DOCS, run_page

PAGE = "reference/class-consumers.md"


@pytest.fixture
def run(settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": []}}
    return lambda routing: Chain(routing, layer=channel_layers["default"])


@pytest.fixture
def page(settings):
    return run_page(PAGE)


def test_chat(run, page, transactional_db):
    with run(page["channel_routing"]) as chain:
        assert chain.connect("/chat/blue/") == [{"text": '{"welcome": "AnonymousUser"}'}]
        (state,) = chain.states()
        chain.run("websocket.receive", {"path": "/chat/blue/", "text": '{"text": "hi"}'}, order=1, state=state)
        assert chain.states()[1:] == [{"said": b"\x01"}]
        event = {"path": "/chat/blue/", "event": {"type": "chat.message", "text": "hi"}}
        chain.run("websocket.event", event, order=2, state=state)
        assert chain.frames()[-1] == {"text": '{"text": "hi"}'}
        chain.layer.group_add("chat-blue", "websocket.send.T1!other")
        chain.run("websocket.disconnect", {"path": "/chat/blue/", "code": 1000}, order=3, state=state)
        assert chain.group_frames()[1:] == [("chat-blue", {"text": '{"left": "AnonymousUser", "said": 0}'})]


def test_echo(run, page, capsys):
    with run([route_class(page["Echo"])]) as chain:
        assert chain.connect() == [{"accept": True}]
        assert [item.group for item in chain.look() if isinstance(item, Add)] == ["everyone"]
        assert chain.receive("hi") == [{"text": "hi"}]
        chain.run("websocket.disconnect", {"path": "/", "code": 1001}, order=2)
    assert capsys.readouterr().out == "closed with 1001\n"


def test_streams(run, page, capsys):
    with run([route_class(page["Demultiplexer"])]) as chain:
        chain.connect()
        answers = chain.receive('{"stream": "echo", "payload": {"a": 1}}')
        assert json.loads(answers[0]["text"])["payload"] == {"original_message": {"a": 1}}
        (answer,) = chain.receive('{"stream": "ecko", "payload": {}}', order=2)
    shown = re.search(r"```json\n(.*?)\n```", (DOCS / PAGE).read_text())
    assert json.loads(answer["text"]) == json.loads(shown[1])
    assert capsys.readouterr().out == "log websocket.connect\n"


@pytest.mark.parametrize(
    "cls", [WebsocketConsumer, JsonWebsocketConsumer, WebsocketDemultiplexer, WebsocketMultiplexer]
)
def test_the_tables_are_complete(cls):
    text = (DOCS / PAGE).read_text()
    public = {name for name in dir(cls) if not name.startswith("_")} - {"handles_event", "encode", "encode_error"}
    assert {name for name in public if name not in text} == set()
