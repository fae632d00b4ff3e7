"""The page about WebSockets in views: its code runs, and its tables tell what is there."""

import re
import unittest

import pytest
from django.test import override_settings

from fairway.limits import ViewLimits
from fairway.testing import ViewClient
from fairway.testing.layers import PlacedLayers
from fairway.views import AsyncWebSocket, WebSocket
from tests.support.pages import DOCS, run_page

PAGE = "how-to/websocket-views.md"
TEXT = (DOCS / PAGE).read_text()


class Urls:
    """The page as a URLconf."""

    def __init__(self, names):
        self.urlpatterns = names["urlpatterns"]


@pytest.fixture
def page():
    names = run_page(PAGE)
    layers = {"default": {"URL": "memory://", "ROUTING": []}}
    with override_settings(ROOT_URLCONF=Urls(names), CHANNEL_LAYERS=layers), PlacedLayers(["default"]):
        yield names


@pytest.mark.parametrize(("where", "heard"), [("/echo-once/", "Ahoy"), ("/lower-case/", "ahoy"), ("/shout/", "AHOY")])
def test_the_views(db, page, where, heard):
    with ViewClient().open(where) as socket:
        socket.send("Ahoy")
        assert socket.receive() == heard


def test_a_plain_request(db, page, client):
    assert client.get("/lower-case/?message=AHOY").content == b"ahoy"
    assert client.get("/echo-once/").status_code == 400


def test_the_test(transactional_db, page):
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(page["EchoTests"]).run(result)
    assert (result.testsRun, result.failures, result.errors) == (1, [], [])


def test_the_table_of_the_socket_names_all_there_is():
    table = TEXT[TEXT.index("| `request.websocket` |") : TEXT.index("The socket is accepted when")]
    told = set(re.findall(r"^\| `(\w+)|, `(\w+)\(", table, re.MULTILINE))
    names = {name for pair in told for name in pair if name} - {"request", "for"}
    there = {name for name in vars(WebSocket) if not name.startswith("_")}
    assert names == there == {name for name in vars(AsyncWebSocket) if not name.startswith("_")}


def test_the_numbers():
    limits = ViewLimits()
    assert f"({limits.threads}); one more is answered with 503" in TEXT
    assert f"`send` waits, {limits.send:g} s at most" in TEXT
    assert f"how many, up to {limits.unread} " in TEXT
