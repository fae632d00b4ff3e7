"""The page about porting: its code runs as it stands, and each name of Channels 1 is where its table says."""

import importlib.util
import re
import sys
import unittest
from types import ModuleType

import pytest
from django.contrib.auth import get_user_model
from django.test import override_settings

from fairway import channel_layers, checks
from fairway.testing import ChannelTestCase, WSClient, apply_routes
from tests.support.bound.models import Post
from tests.support.pages import DOCS

PAGE = DOCS / "porting.md"
LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": []}}

NAMES = {
    "channels": "Channel Group route route_class include channel_layers DEFAULT_CHANNEL_LAYER",
    "channels.channel": "Channel Group",
    "channels.message": "Message",
    "channels.routing": "Router Route RouteClass Include route route_class include",
    "channels.generic": "BaseConsumer",
    "channels.generic.base": "BaseConsumer",
    "channels.generic.websockets": (
        "WebsocketConsumer JsonWebsocketConsumer WebsocketDemultiplexer WebsocketMultiplexer"
    ),
    "channels.sessions": (
        "session_for_reply_channel channel_session enforce_ordering http_session channel_and_http_session"
    ),
    "channels.auth": (
        "transfer_user channel_session_user http_session_user channel_session_user_from_http "
        "channel_and_http_session_user_from_http channel_session http_session channel_and_http_session"
    ),
    "channels.security.websockets": "BaseOriginValidator AllowedHostsOnlyOriginValidator allowed_hosts_only",
    "channels.binding": "Binding",
    "channels.binding.base": "CREATE UPDATE DELETE BindingMetaclass Binding",
    "channels.binding.websockets": "WebsocketBinding WebsocketBindingWithMembers",
    "channels.exceptions": (
        "ConsumeLater ResponseLater RequestTimeout RequestAborted DenyConnection ChannelSocketException "
        "WebsocketCloseException SendNotAvailableOnDemultiplexer"
    ),
    "channels.handler": "AsgiRequest AsgiHandler ViewConsumer",
    "channels.staticfiles": "StaticFilesHandler StaticFilesConsumer",
    "channels.delay.models": "DelayedMessage DelayedMessageQuerySet",
    "channels.signals": "consumer_started consumer_finished worker_ready worker_process_ready",
    "channels.test": (
        "ChannelTestCase TransactionChannelTestCase Client WSClient HttpClient apply_routes ChannelLiveServerTestCase"
    ),
    "channels.tests": "ChannelTestCase",
}
"""What applications for Channels 1 import."""


def blocks():
    """The page's Python blocks, each run after those before it: what is defined then."""
    names = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), names)
        yield dict(names)


@pytest.fixture
def page(monkeypatch):
    models = ModuleType("mysite.models")
    models.Post = Post
    monkeypatch.setitem(sys.modules, "mysite", ModuleType("mysite"))
    monkeypatch.setitem(sys.modules, "mysite.models", models)
    return list(blocks())


@pytest.fixture
def run_case(transactional_db):
    """Run a test case as Django's test runner does."""

    def run(case):
        outcome = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromTestCase(case).run(outcome)
        assert (outcome.testsRun, outcome.errors, outcome.failures) == (1, [], [])

    return run


def homes(module):
    """The modules of Fairway that stand in the row of one of Channels' in the table of imports."""
    for row in PAGE.read_text().splitlines():
        cells = row.split(" | ")
        if f"`{module}`" in cells[0] and len(cells) == 2:
            return re.findall(r"`(fairway[.\w]*)`", cells[1])
    raise AssertionError(f"{module} is not in the table")


@pytest.mark.parametrize(("module", "name"), [(module, name) for module in NAMES for name in NAMES[module].split()])
def test_each_name_is_where_the_table_says(module, name):
    assert hasattr(importlib.import_module(homes(module)[0]), name)


def test_nothing_is_missing_that_the_page_once_said_to_be():
    assert "not there yet" not in PAGE.read_text()


def test_the_chat_of_channels_1(page, run_case, settings):
    settings.CHANNEL_LAYERS = LAYERS

    class Chat(ChannelTestCase):
        def test(self):
            ada, bob = WSClient(), WSClient()
            ada.force_login(get_user_model().objects.create_user("ada"))
            for client in (ada, bob):
                client.connect("/chat/red/")
            ada.send_and_consume("websocket.receive", text="hi")
            assert [ada.receive(json=False), bob.receive(json=False)] == ["ada: hi", "ada: hi"]
            bob.disconnect()
            assert ada.groups > {"chat-red"}
            assert bob.groups == set()

    with apply_routes(page[0]["channel_routing"]):
        run_case(Chat)


def test_the_settings(page, settings):
    settings.CHANNEL_LAYERS = page[1]["CHANNEL_LAYERS"]
    settings.CHANNEL_LAYERS["default"]["ROUTING"] = []

    assert checks.check_channel_layers() == []
    assert channel_layers.setting("default").backend == "fairway.layers.LocalLayer"


def test_the_board_of_channels_4(page, run_case):
    """In the words of the page, with its test."""
    board = override_settings(CHANNEL_LAYERS=LAYERS)(page[3]["BoardTests"])
    with apply_routes(page[2]["channel_routing"]):
        run_case(board)
