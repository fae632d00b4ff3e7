"""The pages about consumers, routing and settings: their code runs, and their tables tell what is there."""

import re
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError

from fairway import Channel, channel_layers, checks, conf, route
from fairway.layers.codec import decode_message
from fairway.layers.registry import KEYS
from fairway.management.commands.runserver import Command
from tests.support.chain import CLIENT, Chain
from tests.support.waiting import wait_until

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(autouse=True)
def layers(settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": []}}


def run_page(page):
    """Run the Python blocks of a page, one after the other, and return what they define."""
    names = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL):
        exec(compile(block, page, "exec"), names)
    return names


def run(routing):
    return Chain(routing, layer=channel_layers["default"])


def test_consumers():
    page = run_page("reference/consumers.md")
    routing = [
        route("websocket.receive", page["count"], path="/count"),
        route("websocket.receive", page["make_thumbnails"], path="/thumbs"),
        route("websocket.receive", page["order_reports"], path="/reports"),
        route("websocket.receive", page["receive"], path="/(?P<room>a)"),
        route("websocket.receive", page["areceive"], path="/(?P<room>b)"),
    ]
    with run(routing) as chain:
        assert chain.receive("x", "/count") == [{"text": "1"}]
        chain.run("websocket.receive", {"path": "/thumbs", "id": 1, "text": ""}, order=2)
        assert chain.layer.statistics().channels["thumbnailing-tasks"].waiting == 2
        chain.run("websocket.receive", {"path": "/reports", "text": ""}, order=3)
        assert chain.layer.statistics().channels["asgi.delay"].waiting == 3
        for room in "ab":
            chain.layer.group_add(f"chat-{room}", CLIENT)
            chain.receive("hi", f"/{room}")
        assert chain.group_frames() == [("chat-a", {"text": "hi"}), ("chat-b", {"text": "hi"})]


@pytest.mark.django_db(transaction=True)
def test_transactions(rf):
    page = run_page("how-to/transactions.md")
    layer = channel_layers["default"]
    layer.group_add("staff", "news")
    reader = layer.reader(["welcome-mails", "news"])
    assert page["sign_up"](rf.post("/", {"name": "ada"})).status_code == 201
    assert page["CHANNEL_SEND_ON_COMMIT"] is True

    user = User.objects.get()
    bodies = [decode_message(reader.receive(1).body) for _ in range(2)]
    assert sorted(bodies, key=list) == [{"text": "ada has signed up"}, {"user": user.pk}]

    with pytest.raises(IntegrityError):
        page["sign_up"](rf.post("/", {"name": "ada"}))
    with run([route("book", page["book"])]) as chain:
        Channel("book").send({"user": user.pk, "group": 5})
        wait_until(lambda: chain.layer.statistics().committed == 1)
        assert "booked" not in chain.layer.statistics().channels
    assert reader.receive(0) is None


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/blog/a-post/", "{'slug': 'a-post'}"),
        ("/echo/", "hi"),
        ("/rooms/lobby/", "{'room': 'lobby'}"),
        ("/old/1999/", "hi"),
    ],
)
def test_routing(path, answer):
    with run(run_page("reference/routing.md")["channel_routing"]) as chain:
        assert chain.connect(path) == [{"accept": True}]
        assert chain.receive("hi", path) == [{"text": answer}]


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("accept", {"accept": True}),
        ("accept_with_a_subprotocol", {"accept": True}),
        ("accept_by_sending", {"text": "welcome"}),
        ("refuse", {"reject": {"status": 403}}),
        ("refuse_in_your_own_words", {"reject": {"status": 404, "content": b"No such room."}}),
    ],
)
def test_deciding_about_a_handshake(name, reply):
    page = run_page("how-to/websockets.md")
    with run([route("websocket.connect", page[name]), route("websocket.receive", page["receive"])]) as chain:
        assert chain.connect() == [reply]
        assert chain.receive("x")[0]["close"] == 4000


def test_events():
    with run(run_page("how-to/websockets.md")["channel_routing"]) as chain:
        assert chain.connect() == [{"accept": True}]
        chain.receive("Fairway")
        assert chain.group_frames() == [("news", {"type": "news.published", "title": "Fairway"})]
        chain.run("websocket.event", {"path": "/", "event": {"type": "news.published", "title": "Fairway"}}, order=2)
        assert chain.frames()[-1] == {"text": "1 so far: Fairway"}


def test_settings(settings):
    page = run_page("reference/settings.md")
    settings.CHANNEL_LAYERS = page["CHANNEL_LAYERS"]

    layer = conf.channel_layers["default"]
    rules = dict(reversed(layer.broker.limits.rules))
    assert rules["thumbnailing-tasks"].capacity == 500


def test_the_tables_are_complete():
    text = (DOCS / "reference/settings.md").read_text()
    documented = set(re.findall(r"`(fairway\.[EW]\d+)`", text))

    assert documented == set(re.findall(r"fairway\.[EW]\d+", Path(checks.__file__).read_text()))
    for key in KEYS:
        assert f"| `{key}` |" in text
    for option in ("--noasgi", "--noworker", "--http_timeout", "--websocket_handshake_timeout"):
        assert f"`{option}" in text
        assert option in Command().create_parser("manage.py", "runserver").format_help()
