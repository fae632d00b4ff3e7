import subprocess
import sys

import pytest

from tests.support.processes import ROOT
from tests.testing.live_project import PATIENCE, live_project, plugin_options

__all__ = ["live_project"]

pytestmark = pytest.mark.timeout(PATIENCE)

TESTS = """
import pytest
from django.urls import path
from websockets.sync.client import connect

from fairway import Channel, channel_layers, route
from fairway.layers import MemoryLayer
from fairway.testing import apply_routes
from fairway.views import require_websocket


@require_websocket
def view(request):
    request.websocket.send(request.websocket.wait())


def answer(message):
    message.reply_channel.send({"text": message["text"]})


def test_modules_are_left_as_they_are(channel_layer):
    assert type(MemoryLayer.__init__.__globals__["__loader__"]).__name__ == "SourceFileLoader"


def test_layer(channel_layer):
    assert type(channel_layer) is MemoryLayer
    assert channel_layers["default"] is channel_layer


@apply_routes(route("input", answer))
def test_client(channel_client):
    channel_client.send_and_consume("input", {"text": "hello"})
    assert channel_client.receive() == {"text": "hello"}


def test_socket(ws_client, db):
    ws_client.connect("/")
    assert ws_client.receive(json=False) == "from the file"


def test_view(view_client, settings):
    settings.ROOT_URLCONF = type("Urls", (), {"urlpatterns": [path("view/", view)]})
    with view_client.open("/view/") as socket:
        socket.send("hello")
        assert socket.receive() == "hello"


def test_live(channel_live_server):
    with connect(channel_live_server.ws_url) as socket:
        assert socket.recv() == "from the file"


class TestOptions:
    @pytest.fixture
    def channel_live_server_options(self):
        return {"host": "127.0.0.1"}

    @pytest.fixture
    def channel_layer_aliases(self, settings):
        settings.CHANNEL_LAYERS = {}
        return ["default", "other"]

    def test_live(self, channel_live_server):
        assert channel_live_server.url.startswith("http://127.0.0.1:")
        with connect(channel_live_server.ws_url) as socket:
            socket.send("fail")
            socket.send("go on")
            assert [socket.recv(), socket.recv()] == ["from the file", "go on"]

    def test_aliases(self, channel_layer):
        assert type(channel_layers["other"]) is MemoryLayer
"""


@pytest.mark.parametrize("distribution", [[], ["-n", "2"]])
def test_the_fixtures_do_what_the_test_cases_do(live_project, distribution):
    project = live_project(TESTS)
    done = project.run("pytest", "-q", "-p", "no:cacheprovider", *plugin_options(), *distribution, "tests.py")
    assert "8 passed" in done.stdout, done.stdout
    assert "1 error" in done.stdout
    assert 'raise ZeroDivisionError("on purpose")' in done.stdout
    assert project.left() == []


def test_unused_it_imports_no_django_and_needs_no_settings():
    text = "import fairway.testing.plugin, sys; print([name for name in sys.modules if name.startswith('django')])"
    command = [sys.executable, "-W", "error", "-c", text]
    done = subprocess.run(command, cwd=ROOT, env={}, capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout == "[]\n"
